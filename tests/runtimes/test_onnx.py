"""ONNX: a graph reaches nothing outside its folder, needs no library but onnxruntime, and speaks our datatypes."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from inference.errors import CorruptArtifact, UnsafeArtifact, UnsupportedFormat
from inference.runtimes.onnx import OnnxRuntime
from inference.spec import Signature, Version

WEIGHT = numpy_helper.from_array(np.arange(12, dtype=np.float32).reshape(4, 3), "weight")


def save(folder: Path, *, weight: Any = WEIGHT, nodes: list[Any] | None = None, **changes: Any) -> Path:
    """A graph y = x @ weight, in `folder`."""
    settings: dict[str, Any] = {"datatype": TensorProto.FLOAT, "rows": "rows", "domains": []} | changes
    graph = helper.make_graph(
        nodes or [helper.make_node("MatMul", ["x", "weight"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", settings["datatype"], [settings["rows"], 4])],
        [helper.make_tensor_value_info("y", settings["datatype"], [settings["rows"], 3])],
        [weight],
    )
    opsets = [helper.make_opsetid("", 18), *(helper.make_opsetid(domain, 1) for domain in settings["domains"])]
    (folder / "model.onnx").write_bytes(helper.make_model(graph, opset_imports=opsets).SerializeToString())
    return folder


def external(location: str) -> TensorProto:
    """WEIGHT as external data that lies at `location`."""
    tensor = TensorProto()
    tensor.CopyFrom(WEIGHT)
    onnx.external_data_helper.set_external_data(tensor, location=location, offset=0, length=48)
    tensor.ClearField("raw_data")
    return tensor


def test_weights_beside_the_graph_are_found(tmp_path: Path, make_version: Callable[..., Version]) -> None:
    save(tmp_path, weight=external("model.onnx.data"))
    (tmp_path / "model.onnx.data").write_bytes(WEIGHT.raw_data)
    found = OnnxRuntime.inspect(tmp_path, None)
    assert found.parameters == 12
    runtime = OnnxRuntime.load(tmp_path, found.signature, "cpu", 1)
    assert runtime.run({"x": np.ones((2, 4), np.float32)})["y"].tolist() == [[18, 22, 26]] * 2


@pytest.mark.parametrize("location", ["../secret", "/etc/passwd", "a/../../secret", "..\\secret", "file:secret"])
def test_weights_outside_the_folder_are_refused(tmp_path: Path, location: str) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "secret").write_bytes(WEIGHT.raw_data)
    with pytest.raises(UnsafeArtifact, match="outside"):
        OnnxRuntime.inspect(save(folder, weight=external(location)), None)


def test_a_constant_inside_a_branch_is_looked_at_too(tmp_path: Path) -> None:
    branch = helper.make_graph(
        [helper.make_node("Constant", [], ["c"], value=external("../secret"))],
        "branch",
        [],
        [helper.make_tensor_value_info("c", TensorProto.FLOAT, [4, 3])],
    )
    condition = numpy_helper.from_array(np.array(True), "weight")
    nodes = [
        helper.make_node("If", ["weight"], ["w"], then_branch=branch, else_branch=branch),
        helper.make_node("MatMul", ["x", "w"], ["y"]),
    ]
    with pytest.raises(UnsafeArtifact, match="outside"):
        OnnxRuntime.inspect(save(tmp_path, weight=condition, nodes=nodes), None)


def test_a_constant_inside_a_function_is_looked_at_too(tmp_path: Path) -> None:
    nodes = [helper.make_node("Constant", [], ["c"], value=external("../secret"))]
    function = helper.make_function("own", "F", [], ["c"], nodes, [helper.make_opsetid("", 18)])
    save(
        tmp_path, nodes=[helper.make_node("F", [], ["w"], domain="own"), helper.make_node("MatMul", ["x", "w"], ["y"])]
    )
    model = onnx.load(tmp_path / "model.onnx")
    model.functions.append(function)
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(UnsafeArtifact, match="outside"):
        OnnxRuntime.inspect(tmp_path, None)


def test_weights_that_were_not_uploaded_are_named(tmp_path: Path) -> None:
    with pytest.raises(CorruptArtifact, match=r"weights\.bin"):
        OnnxRuntime.inspect(save(tmp_path, weight=external("weights.bin")), None)


def test_a_link_in_place_of_weights_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    (tmp_path / "secret").write_bytes(WEIGHT.raw_data)
    (folder / "w").symlink_to(tmp_path / "secret")
    with pytest.raises(CorruptArtifact):
        OnnxRuntime.inspect(save(folder, weight=external("w")), None)


def test_operators_of_somebody_else_are_refused(tmp_path: Path) -> None:
    nodes = [helper.make_node("Leak", ["x", "weight"], ["y"], domain="com.evil")]
    with pytest.raises(UnsafeArtifact, match=r"com\.evil"):
        OnnxRuntime.inspect(save(tmp_path, nodes=nodes, domains=["com.evil"]), None)


@pytest.mark.parametrize("rows", [1, 8])
def test_a_batch_of_one_size_only_is_refused(tmp_path: Path, rows: int) -> None:
    with pytest.raises(UnsupportedFormat, match="dynamic first axis"):
        OnnxRuntime.inspect(save(tmp_path, rows=rows), None)


def test_bfloat16_at_the_edge_is_refused_with_a_way_out(tmp_path: Path) -> None:
    weight = helper.make_tensor("weight", TensorProto.BFLOAT16, [4, 3], [1.0] * 12)
    nodes = [helper.make_node("Sum", ["x"], ["y"])]
    with pytest.raises((UnsupportedFormat, CorruptArtifact)):
        OnnxRuntime.inspect(save(tmp_path, weight=weight, datatype=TensorProto.BFLOAT16, nodes=nodes), None)


def test_half_precision_and_text_pass_through(tmp_path: Path) -> None:
    for name, datatype, values in (
        ("half", TensorProto.FLOAT16, np.array([[1.5, -2.0]], np.float16)),
        ("text", TensorProto.STRING, np.array([["grüße".encode(), b""]], dtype=object)),
    ):
        folder = tmp_path / name
        folder.mkdir()
        graph = helper.make_graph(
            [helper.make_node("Identity", ["x"], ["y"])],
            "g",
            [helper.make_tensor_value_info("x", datatype, ["rows", 2])],
            [helper.make_tensor_value_info("y", datatype, ["rows", 2])],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
        (folder / "model.onnx").write_bytes(model.SerializeToString())
        signature: Signature = OnnxRuntime.inspect(folder, None).signature
        answer = OnnxRuntime.load(folder, signature, "cpu", 1).run({"x": values})["y"]
        assert answer.dtype == values.dtype
        assert answer.tolist() == values.tolist()


def test_two_graphs_are_one_too_many(tmp_path: Path) -> None:
    save(tmp_path)
    (tmp_path / "other.onnx").write_bytes(b"")
    with pytest.raises(CorruptArtifact, match=r"model\.onnx, other\.onnx"):
        OnnxRuntime.inspect(tmp_path, None)


def test_onnxruntime_reports_to_nobody_and_leaves_no_device_id(tmp_path: Path) -> None:
    folder, home = tmp_path / "model", tmp_path / "home"
    folder.mkdir()
    home.mkdir()
    save(folder)
    code = (
        "from pathlib import Path; from inference.runtimes.onnx import OnnxRuntime;"
        f"OnnxRuntime.inspect(Path({str(folder)!r}), None)"
    )
    environment = {"PATH": os.environ["PATH"], "HOME": str(home)}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True, timeout=60)
    assert list(home.rglob("*")) == []
