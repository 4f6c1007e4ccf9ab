"""Pictures in and out, [1,3,224,224] FP32, through a model that answers what it was asked: MB/s beside Triton.

    python -m bench.large_tensors [--servers switchyard,triton] [--seconds 5] [--repeat 3] [--json] [--out FILE]

602,112 bytes each way, over HTTP with the binary tensor extension (`wrk`) and over gRPC with raw contents
(`bench.grpc_load`). MB/s counts both ways, 10^6 bytes. Servers take turns in each repetition; figures are medians. Ours
is `python -m inference local` with an ONNX graph of one Identity, Triton's a python backend that hands back its input;
each has one worker with one thread. Triton needs the environment of `python -m bench.peers --setup --servers triton`.
"""

import argparse
import contextlib
import json
import statistics
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from bench.deployment import ROOT, deploy, free_port, version_of
from bench.peers import environments, machine
from bench.peers.roster import BY_NAME
from bench.peers.servers.settings import Settings
from bench.peers.serving import serve_peer
from bench.peers.works import Work
from bench.peers.wrk import find_wrk, measure
from inference.protocol.proto.open_inference_pb2 import ModelInferRequest
from inference.spec import Format, Signature, Stage, StageKind, TensorSpec, Unit

MODEL = "identity"
SHAPE = (3, 224, 224)
BYTES = 4 * SHAPE[0] * SHAPE[1] * SHAPE[2]
CLIENTS = (1, 8)
EDGES = ("http", "grpc")
OURS = "switchyard"


@dataclass(frozen=True)
class Served:
    url: str
    grpc: str
    headers: dict[str, str]


class Row(msgspec.Struct, frozen=True):
    edge: str
    server: str
    c: int
    mb_per_s: float
    rps: float
    p50_ms: float
    p99_ms: float
    errors: int


def picture() -> np.ndarray:
    return np.random.default_rng(0).standard_normal(SHAPE, dtype=np.float32)


def http_body(shape: tuple[int, ...]) -> tuple[bytes, int]:
    """A request of the binary tensor extension, and the length of its JSON part."""
    told = {
        "inputs": [{"name": "x", "shape": [1, *shape], "datatype": "FP32", "parameters": {"binary_data_size": BYTES}}],
        "outputs": [{"name": "y", "parameters": {"binary_data": True}}],
    }
    head = json.dumps(told, separators=(",", ":")).encode()
    return head + picture().tobytes(), len(head)


def grpc_body(shape: tuple[int, ...]) -> bytes:
    tensor = ModelInferRequest.InferInputTensor(name="x", datatype="FP32", shape=[1, *shape])
    message = ModelInferRequest(model_name=MODEL, inputs=[tensor], raw_input_contents=[picture().tobytes()])
    return message.SerializeToString()


@contextlib.contextmanager
def serve_ours(folder: Path) -> Iterator[Served]:
    recipe = folder / "recipe"
    (recipe / "files").mkdir(parents=True)
    write_identity(recipe / "files" / "model.onnx")
    taken, given = (TensorSpec(name=name, datatype="FP32", shape=(-1, *SHAPE)) for name in "xy")
    signature = Signature(inputs=(taken,), outputs=(given,))
    stages = (Stage(name="infer", kind=StageKind.INFER, signature=signature),)
    told = {"format": Format.ONNX, "signature": signature, "stages": stages, "units": (Unit("main", ("infer",)),)}
    (recipe / "version.json").write_text(json.dumps(msgspec.to_builtins(told)))
    version = version_of(recipe, folder / "store", 1, threads=1, max_batch=32)
    with deploy(folder, MODEL, version, grpc=True) as running:
        yield Served(running.url, running.grpc, {"Authorization": f"Bearer {running.key}"})


def write_identity(path: Path) -> None:
    import onnx
    from onnx import helper

    shape = ["rows", *SHAPE]
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["y"])],
        MODEL,
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, shape)],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), str(path))


@contextlib.contextmanager
def serve_triton(folder: Path, envs: Path) -> Iterator[Served]:
    """Its model takes rows of 150,528 numbers: the same bytes without their shape."""
    row = [{"name": "x", "shape": [1, BYTES // 4], "datatype": "FP32", "data": [0.0] * (BYTES // 4)}]
    work = Work(MODEL, {"id": "1", "inputs": row}, [0.0] * (BYTES // 4))
    settings = Settings(MODEL, max_batch=32, grpc_port=free_port())
    with serve_peer(BY_NAME["triton"], settings, work, envs, folder) as endpoint:
        yield Served(endpoint.url.partition("/v2/")[0], f"127.0.0.1:{settings.grpc_port}", {})


def shape_for(server: str) -> tuple[int, ...]:
    return SHAPE if server == OURS else (BYTES // 4,)


def measure_http(server: str, served: Served, folder: Path, clients: int, seconds: int) -> Row:
    body, head_bytes = http_body(shape_for(server))
    url, headers = (
        f"{served.url}/v2/models/{MODEL}/infer",
        served.headers | {"Inference-Header-Content-Length": str(head_bytes)},
    )
    check_answer(url, body, headers)
    path = folder / "body.http"
    path.write_bytes(body)
    measure(url, path, headers, clients, 1)
    found = measure(url, path, headers, clients, seconds)
    return Row("http", server, clients, megabytes(found.rps), found.rps, found.p50_ms, found.p99_ms, found.errors)


def check_answer(url: str, body: bytes, headers: dict[str, str]) -> None:
    request = urllib.request.Request(url, data=body, headers={"Content-Type": "application/octet-stream", **headers})
    with urllib.request.urlopen(request, timeout=30) as answer:
        if answer.read()[-BYTES:] != picture().tobytes():
            raise ValueError(f"{url} answers other bytes than it was sent.")


def measure_grpc(server: str, served: Served, folder: Path, clients: int, seconds: int) -> Row:
    path = folder / "body.grpc"
    path.write_bytes(grpc_body(shape_for(server)))
    command = [sys.executable, "-m", "bench.grpc_load", served.grpc, "--body", str(path), "--clients", str(clients)]
    for name, value in served.headers.items():
        command += ["--metadata", f"{name}: {value}"]
    for span in (1, seconds):
        done = subprocess.run([*command, "--seconds", str(span)], cwd=ROOT, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    return Row("grpc", server, clients, megabytes(found["rps"]), **found)


def megabytes(rps: float) -> float:
    return round(rps * 2 * BYTES / 1e6, 1)


MEASURE = {"http": measure_http, "grpc": measure_grpc}


def median_of(rows: list[Row]) -> Row:
    middle = {
        name: statistics.median(getattr(row, name) for row in rows) for name in ("mb_per_s", "rps", "p50_ms", "p99_ms")
    }
    return msgspec.structs.replace(rows[0], errors=sum(row.errors for row in rows), **middle)


def table(rows: list[Row]) -> str:
    lines = [
        "| edge | clients | server | MB/s | requests/s | p50 ms | p99 ms | errors |",
        "|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row.edge} | {row.c} | {row.server} | {row.mb_per_s:,.0f} | {row.rps:,.0f} | {row.p50_ms:.2f} | "
        f"{row.p99_ms:.2f} | {row.errors} |"
        for row in sorted(rows, key=lambda row: (row.edge, row.c, row.server != OURS))
    ]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--servers", default=f"{OURS},triton")
    parser.add_argument("--edges", default=",".join(EDGES))
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="one line a row")
    parser.add_argument("--out", type=Path, help="file for all of it, with the machine")
    parser.add_argument("--envs", type=lambda path: Path(path).absolute(), default=environments.DEFAULT)
    given = parser.parse_args()
    servers, edges = given.servers.split(","), given.edges.split(",")
    if "triton" in servers and not environments.is_made(given.envs, BY_NAME["triton"]):
        print("Triton is left out: make its environment with `make bench-peers ARGS='--setup'`.", file=sys.stderr)
        servers.remove("triton")
    if "http" in edges:
        find_wrk()
    before, rows = machine.load_average(), []
    for _ in range(given.repeat):
        for server in servers:
            with tempfile.TemporaryDirectory(prefix="sy-large-") as name:
                folder = Path(name)
                serve = serve_ours(folder) if server == OURS else serve_triton(folder, given.envs)
                with serve as served:
                    for edge in edges:
                        rows += [MEASURE[edge](server, served, folder, clients, given.seconds) for clients in CLIENTS]
    places = list(dict.fromkeys((row.edge, row.server, row.c) for row in rows))
    found = [median_of([row for row in rows if (row.edge, row.server, row.c) == place]) for place in places]
    print("\n".join(msgspec.json.encode(row).decode() for row in found) if given.json else table(found))
    if given.out:
        loads = {"before": before, "after": machine.load_average()}
        told = machine.describe() | {"load_average": loads, "rows": found, "runs": rows}
        given.out.write_bytes(msgspec.json.format(msgspec.json.encode(told)) + b"\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
