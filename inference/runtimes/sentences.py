"""The stages of a sentence-embedding model: text → token ids → token vectors → one vector. Pure; no model library."""

from inference.spec import Signature, Stage, StageKind, TensorSpec

TEXT = TensorSpec(name="text", datatype="BYTES", shape=(-1,))
# A mask of 0 marks padding, and id 0 is what most tokenizers pad with.
TOKENS = (
    TensorSpec(name="input_ids", datatype="INT64", shape=(-1, -1), ragged_axes=(1,)),
    TensorSpec(name="attention_mask", datatype="INT64", shape=(-1, -1), ragged_axes=(1,)),
)


def hidden_state(size: int) -> TensorSpec:
    return TensorSpec(name="last_hidden_state", datatype="FP32", shape=(-1, -1, size), ragged_axes=(1,))


def tokenize_stage(tokens: tuple[TensorSpec, ...], max_length: int, pad_id: int) -> Stage:
    return Stage(
        name="tokenize",
        kind=StageKind.PREPROCESS,
        use="tokenizer",
        config={"max_length": max_length, "pad_id": pad_id},
        signature=Signature(inputs=(TEXT,), outputs=tokens),
    )


def pool_stage(hidden: TensorSpec, mask: TensorSpec, *, mode: str, normalize: bool) -> Stage:
    embedding = TensorSpec(name="embedding", datatype="FP32", shape=(-1, hidden.shape[-1]))
    return Stage(
        name="pool",
        kind=StageKind.POSTPROCESS,
        use="pooling",
        config={"mode": mode, "normalize": normalize},
        signature=Signature(inputs=(hidden, mask), outputs=(embedding,)),
    )


def embedding_stages(
    infer: Signature, *, max_length: int, pad_id: int = 0, mode: str = "mean", normalize: bool = True
) -> tuple[Signature, tuple[Stage, ...]]:
    """Signature and stages around an encoder that takes tokens and gives `last_hidden_state`."""
    hidden = next(spec for spec in infer.outputs if spec.name == "last_hidden_state")
    mask = next(spec for spec in infer.inputs if spec.name == "attention_mask")
    stages = (
        tokenize_stage(infer.inputs, max_length, pad_id),
        # Its other outputs would be calculated for nobody.
        Stage(name="infer", kind=StageKind.INFER, signature=Signature(inputs=infer.inputs, outputs=(hidden,))),
        pool_stage(hidden, mask, mode=mode, normalize=normalize),
    )
    return Signature(inputs=(TEXT,), outputs=stages[-1].signature.outputs), stages
