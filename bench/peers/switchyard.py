"""Ours, as `python -m inference local --spec FILE` gives it to a user: key check, deadlines and telemetry on.

Nothing is tuned to the number of clients: one setting for each work, the defaults but for replicas and threads, which
every server is told. The tiny model is an ONNX graph, MiniLM a safetensors folder; its int8 graph is the peers' own.
"""

import contextlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np

from bench.deployment import deploy, version_of
from bench.peers.servers import models
from bench.peers.serving import Endpoint, check
from bench.peers.works import Work
from inference.runtimes.sentences import TOKENS, embedding_stages, hidden_state
from inference.spec import BatchPolicy, Format, Signature, Stage, StageKind, TensorSpec, Unit

NOTES = "key check, telemetry, deadlines, request ids on; ONNX (w1, w2int8) and safetensors (w2); default settings"
NO_CACHE = "no answer cache yet"
REPLICAS = {"w1": 1, "w2": 2, "w2int8": 2}
BATCH = BatchPolicy().max_size


@contextlib.contextmanager
def serve_ours(work: Work, made: Path, folder: Path) -> Iterator[Endpoint]:
    recipe = folder / "recipe"
    (recipe / "files").mkdir(parents=True)
    write_version(work.model, made, recipe)
    version = version_of(recipe, folder / "store", REPLICAS[work.model], threads=1, max_batch=BATCH)
    body = folder / "body.json"
    body.write_bytes(work.body())
    with deploy(folder, work.model, version) as running:
        url = f"{running.url}/v2/models/{work.model}/infer"
        endpoint = Endpoint(url, {"Authorization": f"Bearer {running.key}"}, body)
        check(endpoint, work)
        yield endpoint


def write_version(model: str, made: Path, recipe: Path) -> None:
    """The files of a version and what the console would know of them."""
    files = recipe / "files"
    if model == "w1":
        write_tiny(files / "model.onnx")
        kind, (signature, stages) = Format.ONNX, bare(tensors(model))
    elif model == "w2":
        for name in ("config.json", "model.safetensors"):
            shutil.copyfile(models.weights_folder() / name, files / name)
        _, (_, *rest) = embedding_stages(Signature(TOKENS, (hidden_state(models.SIZE),)), max_length=models.TOKENS)
        kind, stages = Format.SAFETENSORS, tuple(rest)  # clients send token ids, so there is nothing to tokenize
        signature = Signature(inputs=TOKENS, outputs=stages[-1].signature.outputs)
    else:
        shutil.copyfile(made / models.INT8, files / "model.onnx")
        kind, (signature, stages) = Format.ONNX, bare(tensors(model, "sentence_embedding"))
    unit = Unit(name="main", stages=tuple(stage.name for stage in stages))
    told = {"format": kind, "signature": signature, "stages": stages, "units": (unit,)}
    (recipe / "version.json").write_text(json.dumps(msgspec.to_builtins(told)))


def tensors(model: str, output: str = "") -> Signature:
    def spec(tensor: models.Tensor, name: str = "") -> TensorSpec:
        return TensorSpec(name=name or tensor.name, datatype=tensor.datatype, shape=(-1, tensor.size))

    inputs, given = models.SHAPES[model]
    return Signature(inputs=tuple(spec(tensor) for tensor in inputs), outputs=(spec(given, output),))


def bare(signature: Signature) -> tuple[Signature, tuple[Stage, ...]]:
    return signature, (Stage(name="infer", kind=StageKind.INFER, signature=signature),)


def write_tiny(path: Path) -> None:
    """x @ WEIGHT.T + BIAS."""
    import onnx
    from onnx import helper, numpy_helper

    graph = helper.make_graph(
        [helper.make_node("Gemm", ["x", "weight", "bias"], ["y"])],
        "tiny",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["rows", 4])],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["rows", 3])],
        [
            numpy_helper.from_array(np.ascontiguousarray(models.WEIGHT.T), "weight"),
            numpy_helper.from_array(models.BIAS, "bias"),
        ],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), str(path))
