"""The stages of a sentence-embedding model: text → token ids → token vectors → one vector. Pure; no model library."""

from inference.spec import Signature, Stage, StageKind, TensorSpec

TEXT = TensorSpec(name="text", datatype="BYTES", shape=(-1,))
# A mask of 0 marks padding, and id 0 is what the tokenizer pads with.
TOKENS = (
    TensorSpec(name="input_ids", datatype="INT64", shape=(-1, -1), ragged_axes=(1,)),
    TensorSpec(name="attention_mask", datatype="INT64", shape=(-1, -1), ragged_axes=(1,)),
)


def embedding_stages(
    size: int, *, max_length: int, pad_id: int = 0, mode: str = "mean", normalize: bool = True
) -> tuple[Signature, tuple[Stage, ...]]:
    """Signature and stages of an encoder whose vectors have `size` numbers."""
    hidden = TensorSpec(name="last_hidden_state", datatype="FP32", shape=(-1, -1, size), ragged_axes=(1,))
    embedding = TensorSpec(name="embedding", datatype="FP32", shape=(-1, size))
    stages = (
        Stage(
            name="tokenize",
            kind=StageKind.PREPROCESS,
            use="tokenizer",
            config={"max_length": max_length, "pad_id": pad_id},
            signature=Signature(inputs=(TEXT,), outputs=TOKENS),
        ),
        Stage(name="infer", kind=StageKind.INFER, signature=Signature(inputs=TOKENS, outputs=(hidden,))),
        Stage(
            name="pool",
            kind=StageKind.POSTPROCESS,
            use="pooling",
            config={"mode": mode, "normalize": normalize},
            signature=Signature(inputs=(hidden, TOKENS[1]), outputs=(embedding,)),
        ),
    )
    return Signature(inputs=(TEXT,), outputs=(embedding,)), stages
