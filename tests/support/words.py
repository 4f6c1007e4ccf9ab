"""The smallest real embedding model: a tokenizer that knows a few words, and a vector for each of them."""

from pathlib import Path

import numpy as np
from support.replicas import make_artifact

from inference.runtimes.sentences import TOKENS, embedding_stages, hidden_state
from inference.spec import BatchPolicy, Format, Signature, Stage, StageKind, TensorSpec, Unit, Version, version_digest

WORDS = ("[PAD]", "[UNK]", "red", "green", "blue")
SIZE = 4
VECTORS = np.array([[0, 0, 0, 0], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 2, 0], [0, 0, 0, 4]], np.float32)
MAX_ROWS = 8


def tokenizer_json() -> bytes:
    from tokenizers import Tokenizer, models, pre_tokenizers

    tokenizer = Tokenizer(models.WordLevel({word: place for place, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return tokenizer.to_str().encode()


def encoder_onnx(pooled: bool) -> bytes:
    """Token ids to their vectors; `pooled`: to the sum of them."""
    from onnx import TensorProto, helper, numpy_helper

    table = numpy_helper.from_array(VECTORS, "table")
    mask = helper.make_node("Identity", ["attention_mask"], ["unused"])  # taken, as real encoders take it
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.INT64, ["rows", "tokens"])
        for name in ("input_ids", "attention_mask")
    ]
    unused = helper.make_tensor_value_info("unused", TensorProto.INT64, ["rows", "tokens"])
    if pooled:
        axes = numpy_helper.from_array(np.array([1], np.int64), "axes")
        nodes = [
            helper.make_node("Gather", ["table", "input_ids"], ["each"]),
            helper.make_node("ReduceSum", ["each", "axes"], ["embedding"], keepdims=0),
        ]
        output = helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["rows", SIZE])
        constants = [table, axes]
    else:
        nodes = [helper.make_node("Gather", ["table", "input_ids"], ["last_hidden_state"])]
        output = helper.make_tensor_value_info("last_hidden_state", TensorProto.FLOAT, ["rows", "tokens", SIZE])
        constants = [table]
    graph = helper.make_graph([*nodes, mask], "words", inputs, [output, unused], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()


def words_version(store: Path) -> Version:
    """Text to the mean of its words' vectors, of length 1."""
    signature, stages = embedding_stages(Signature(inputs=TOKENS, outputs=(hidden_state(SIZE),)), max_length=16)
    files = {"model.onnx": encoder_onnx(pooled=False), "tokenizer.json": tokenizer_json()}
    return version_of(store, files, signature, stages)


def ids_version(store: Path) -> Version:
    """Token ids to the sum of their vectors, with no tokenizer before it."""
    signature = Signature(inputs=TOKENS, outputs=(TensorSpec(name="embedding", datatype="FP32", shape=(-1, SIZE)),))
    stages = (Stage(name="infer", kind=StageKind.INFER, signature=signature),)
    return version_of(store, {"model.onnx": encoder_onnx(pooled=True)}, signature, stages)


def version_of(store: Path, files: dict[str, bytes], signature: Signature, stages: tuple[Stage, ...]) -> Version:
    artifact = make_artifact(store, files)
    unit = Unit(name="main", stages=tuple(stage.name for stage in stages), batch=BatchPolicy(max_size=MAX_ROWS))
    return Version(
        number=1, digest=version_digest(artifact.digest, signature, stages), format=Format.ONNX, artifact=artifact,
        signature=signature, stages=stages, units=(unit,),
    )  # fmt: skip
