"""ONNX graphs on onnxruntime. One graph a folder; weights may lie beside it as external data."""

from pathlib import Path, PurePosixPath
from typing import Any, ClassVar, Self

import numpy as np
import onnxruntime

from inference.errors import BadInput, CorruptArtifact, UnsafeArtifact, UnsupportedFormat
from inference.protocol.tensors import NUMPY_KIND
from inference.runtimes.base import Inspection
from inference.runtimes.derive import derive_stages
from inference.runtimes.signatures import check_batch_axis, infer_stage, mark_ragged
from inference.spec import Signature, TensorSpec

# onnxruntime's names. bfloat16 is absent: numpy cannot hand it over.
DATATYPES = {
    "tensor(bool)": "BOOL", "tensor(uint8)": "UINT8", "tensor(uint16)": "UINT16", "tensor(uint32)": "UINT32",
    "tensor(uint64)": "UINT64", "tensor(int8)": "INT8", "tensor(int16)": "INT16", "tensor(int32)": "INT32",
    "tensor(int64)": "INT64", "tensor(float16)": "FP16", "tensor(float)": "FP32", "tensor(double)": "FP64",
    "tensor(string)": "BYTES",
}  # fmt: skip
# Operators that onnxruntime itself has, by domain. Any other domain needs a library of somebody's own.
DOMAINS = frozenset({"", "ai.onnx", "ai.onnx.ml", "com.microsoft", "com.microsoft.nchwc", "com.microsoft.experimental"})


class OnnxRuntime:
    uses_torch: ClassVar[bool] = False
    libraries: ClassVar[tuple[str, ...]] = ("tokenizers",)
    runs_code: ClassVar[bool] = False

    def __init__(self, session: Any, signature: Signature):
        self.session = session
        self.inputs = signature.inputs
        self.outputs = signature.outputs

    @staticmethod
    def inspect(folder: Path, given: Signature | None) -> Inspection:
        path = graph_file(folder)
        parameters = check_graph(path)
        session = open_session(path, "cpu", 1)
        found = Signature(
            inputs=tuple(tensor_spec(node, "input") for node in session.get_inputs()),
            outputs=tuple(tensor_spec(node, "output") for node in session.get_outputs()),
        )
        signature = given or mark_ragged(found)
        check_batch_axis(signature)
        bare = Inspection(signature, (infer_stage(signature),), parameters)
        return bare if given else derive_stages(folder, bare)

    @classmethod
    def load(cls, folder: Path, signature: Signature, device: str, threads: int) -> Self:
        session = open_session(graph_file(folder), device, threads)
        has = {node.name for node in session.get_inputs()}, {node.name for node in session.get_outputs()}
        for what, names, specs in (("input", has[0], signature.inputs), ("output", has[1], signature.outputs)):
            if missing := {spec.name for spec in specs} - names:
                raise CorruptArtifact(
                    f"The graph has no {what} {', '.join(missing)}; it has {', '.join(sorted(names))}. "
                    "Give the version the signature that inspect prints."
                )
        return cls(session, signature)

    def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        feed = {spec.name: to_onnx(spec, inputs[spec.name]) for spec in self.inputs}
        answer = self.session.run([spec.name for spec in self.outputs], feed)
        return {spec.name: from_onnx(spec, value) for spec, value in zip(self.outputs, answer, strict=True)}


def graph_file(folder: Path) -> Path:
    found = sorted(folder.glob("*.onnx")) or sorted(folder.glob("onnx/*.onnx"))
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise CorruptArtifact(f"The folder must hold one *.onnx graph; it holds {names}.")
    return found[0]


def open_session(path: Path, device: str, threads: int) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # A replica waits for its gateway most of the time: threads that spin meanwhile take the cores of its neighbours.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    # On a CPU, its one kernel for a sum and its normalization is no match for the two apart: a row of MiniLM in int8
    # takes 1.9 ms with it and 1.3 ms without (onnxruntime 1.32, AVX-512).
    apart = [] if device.startswith("cuda") else ["SkipLayerNormFusion"]
    providers: list[Any] = ["CPUExecutionProvider"]
    if device.startswith("cuda"):
        if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
            raise UnsupportedFormat(
                f"onnxruntime {onnxruntime.__version__} cannot run on {device} here. Install onnxruntime-gpu, or serve "
                "this version on cpu."
            )
        providers.insert(0, ("CUDAExecutionProvider", {"device_id": int(device.partition(":")[2] or 0)}))
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=providers, disabled_optimizers=apart)
    except Exception as error:  # onnxruntime's errors have no common class of their own
        reason = str(error).splitlines()[0].replace(str(path.parent), "").strip()
        raise CorruptArtifact(f"onnxruntime cannot load {path.name}: {reason}") from error


def check_graph(path: Path) -> int:
    """Refuse graphs that reach outside their folder or need foreign operators; return the count of weights.

    Reads the graph as plain data, before onnxruntime builds anything of it.
    """
    try:
        import onnx
        from google.protobuf.message import DecodeError
    except ImportError as error:
        raise UnsupportedFormat("To check ONNX graphs, install the extra 'optimize' (package onnx).") from error
    try:
        model = onnx.load(path, load_external_data=False)
    except (DecodeError, ValueError, OSError) as error:
        raise CorruptArtifact(f"{path.name} is not an ONNX graph: {error}.") from None
    foreign = {opset.domain for opset in model.opset_import} - DOMAINS - {f.domain for f in model.functions}
    if foreign:
        raise UnsafeArtifact(
            f"{path.name} uses operators of {', '.join(sorted(foreign))}, which need a library of their own. "
            "Export with standard operators."
        )
    graphs = every_graph(model)
    for graph in graphs:
        for tensor in every_tensor(graph):
            check_external(path, tensor)
    return sum(int(np.prod(tensor.dims, dtype=np.int64)) for graph in graphs for tensor in initializers(graph))


def every_graph(model: Any) -> list[Any]:
    """The graph, the model's own functions, and the graphs inside If, Loop and Scan nodes of either."""
    found, waiting = [], [model.graph, *model.functions]
    while waiting:
        current = waiting.pop()
        found.append(current)
        for node in current.node:
            for attribute in node.attribute:
                waiting.extend([attribute.g] if attribute.HasField("g") else attribute.graphs)
    return found


def initializers(graph: Any) -> list[Any]:
    return list(getattr(graph, "initializer", ()))  # a function has none


def every_tensor(graph: Any) -> list[Any]:
    """Weights and constants, sparse ones as the two tensors that they are."""
    attributes = [attribute for node in graph.node for attribute in node.attribute]
    sparse = [*getattr(graph, "sparse_initializer", ())]
    sparse += [a.sparse_tensor for a in attributes if a.HasField("sparse_tensor")]
    sparse += [tensor for a in attributes for tensor in a.sparse_tensors]
    dense = [*initializers(graph), *(a.t for a in attributes if a.HasField("t"))]
    dense += [tensor for a in attributes for tensor in a.tensors]
    return [*dense, *(part for tensor in sparse for part in (tensor.values, tensor.indices))]


def check_external(path: Path, tensor: Any) -> None:
    for entry in tensor.external_data:
        if entry.key != "location":
            continue
        location = PurePosixPath(entry.value)
        if location.is_absolute() or ".." in location.parts or "\\" in entry.value or ":" in entry.value:
            raise UnsafeArtifact(
                f"Weight {tensor.name!r} lies at {entry.value!r}, outside the version's folder. Keep external data "
                "beside the graph."
            )
        file = path.parent / location
        if not file.is_file() or file.is_symlink():
            raise CorruptArtifact(f"Weight {tensor.name!r} lies in {entry.value!r}, which was not uploaded. Add it.")


def tensor_spec(node: Any, what: str) -> TensorSpec:
    datatype = DATATYPES.get(node.type)
    if datatype is None:
        raise UnsupportedFormat(
            f"The {what} {node.name!r} is a {node.type}, which cannot be served. Cast it inside the graph, to "
            "float32 for instance."
        )
    shape = tuple(size if isinstance(size, int) and size >= 0 else -1 for size in node.shape)
    return TensorSpec(name=node.name, datatype=datatype, shape=shape)


def to_onnx(spec: TensorSpec, values: np.ndarray) -> np.ndarray:
    if spec.datatype != "BYTES":
        return np.ascontiguousarray(values, dtype=NUMPY_KIND[spec.datatype])
    try:
        texts = [value.decode() for value in values.ravel().tolist()]
    except UnicodeDecodeError:
        raise BadInput(f"Input {spec.name!r} must hold UTF-8 text.") from None
    return np.array(texts, dtype=object).reshape(values.shape)


def from_onnx(spec: TensorSpec, values: np.ndarray) -> np.ndarray:
    if spec.datatype != "BYTES":
        return values
    return np.array([str(value).encode() for value in values.ravel().tolist()], dtype=object).reshape(values.shape)
