"""Where the microseconds of a request go in the gateway: `python -m bench.hot_path [--batch 32] [--json]`.

The real gateway's objects in one process, from the bytes of a request (tiny model, OIP JSON, key, known connection) to
the bytes of its answer, with everything on: key, routing, deadline, bounded queue, telemetry, ids, timings. A worker
that answers at once stands behind the frames. Each step is timed alone, `whole` is timed whole; between lie calls,
batches being formed and what steps share. Sockets are not in it: `whole` is what Python costs, the rest of a gateway's
time is the kernel's and uvloop's. Processor time, best of many rounds, so that a busy machine adds little.
"""

import argparse
import hashlib
import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, process_time
from typing import Any

import numpy as np
import uvloop

from bench.peers.switchyard import bare, tensors
from inference.config import Config
from inference.gateway.batches import pack_joined, read_outputs
from inference.gateway.exchange import Request, Response
from inference.gateway.express import ExpressWork
from inference.gateway.gateway import Gateway, calm_collector
from inference.gateway.headers import answer_headers
from inference.gateway.http import Connection
from inference.gateway.infer import Target
from inference.gateway.replica import Replica
from inference.policy.routing import choose_version
from inference.spec import (
    ApiKey,
    Artifact,
    BatchPolicy,
    Format,
    KeysSpec,
    ModelSpec,
    Traffic,
    Unit,
    Version,
    Weight,
    version_digest,
)
from inference.status import Endpoint, ReplicaState
from inference.sync.documents import Documents
from inference.transport.frames import FrameReader, Kind, Result, TensorHead, decoders, encoder

ROUNDS, LOOPS = 30, 20
KEY = "sy_bench"
BODY = b'{"id":"1","inputs":[{"name":"x","shape":[1,4],"datatype":"FP32","data":[0.1,0.2,0.3,0.4]}]}'
HEAD = (
    b"POST /v2/models/tiny/infer HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nContent-Type: application/json\r\n"
    b"Authorization: Bearer %b\r\nContent-Length: %d\r\n\r\n"
) % (KEY.encode(), len(BODY))


class Client:
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        self.answers = 0
        self.last = b""

    def write(self, data: bytes) -> None:
        self.answers += 1
        self.last = data

    def is_closing(self) -> bool:
        return False


class Wire:
    """A link that keeps the frames a worker would get."""

    def __init__(self) -> None:
        self.frames: list[bytes] = []

    def send(self, frame: bytes, *_: object) -> None:
        self.frames.append(frame)


@dataclass
class Stand:
    gateway: Gateway
    replica: Any
    wire: Any
    connections: list[Connection]

    def round(self) -> None:
        """All clients ask at once, one batch goes out and comes back, all are answered."""
        self.answer(self.take_frame())

    def take_frame(self) -> bytes:
        data = HEAD + BODY
        for connection in self.connections:
            connection.data_received(data)
        self.replica.queue.pump()
        [frame] = self.wire.frames
        self.wire.frames.clear()
        return frame

    def answer(self, frame: bytes) -> None:
        self.replica.link_answered(self.wire, *answer_of(frame))


def answer_of(frame: bytes) -> tuple[Result, memoryview]:
    [(_, raw, body)] = FrameReader().feed(frame)
    data: Any = decoders[Kind.DATA].decode(raw)
    rows = len(data.items)
    heads = [TensorHead("y", "FP32", (rows, 3), rows * 12)]
    result = Result(data.batch, 1, [], 1000, 2000, 1000, heads)
    outputs = np.frombuffer(body, "<f4").reshape(rows, 4)[:, :3] * np.float32(1.7)
    decoded: Any = decoders[Kind.RESULT].decode(encoder.encode(result))
    return decoded, memoryview(outputs.tobytes())


def make_stand(folder: Path, clients: int) -> Stand:
    gateway = Gateway(Config.from_env({}, data=folder, redis_url="", grpc_port=0), "bench", "http://bench")
    signature, stages = bare(tensors("w1"))
    artifact = Artifact(digest="0" * 64, files=(), store="file:///none")
    unit = Unit(name="main", stages=("infer",), batch=BatchPolicy(max_size=clients))
    version = Version(
        number=1, digest=version_digest(artifact.digest, signature, stages), format=Format.ONNX, artifact=artifact,
        signature=signature, stages=stages, units=(unit,),
    )  # fmt: skip
    traffic = Traffic(weights=(Weight(version=1, percent=100),))
    model = ModelSpec(name="tiny", epoch="e", generation=1, versions=(version,), traffic=traffic)
    key = ApiKey(id="k", name="k", sha256=hashlib.sha256(KEY.encode()).hexdigest(), scopes=("infer",))
    gateway.tables.load(Documents(models={"tiny": model}, keys=KeysSpec(epoch="e", generation=1, keys=(key,))))
    gateway.http.set_date()
    queue = gateway.tables.model("tiny").plan(1).steps[0].queue
    endpoint = Endpoint(
        replica="r", model="tiny", version=1, unit="main", digest=version.digest, address="unix:/none", device="cpu",
        node="here", state=ReplicaState.READY,
    )  # fmt: skip
    replica = Replica(endpoint, queue, "bench", gateway.telemetry, gateway.dispatcher.polling)
    replica.task.cancel()
    wire: Any = Wire()
    replica.link, replica.credits, replica.max_rows = wire, 1, max(64, clients)
    queue.add_slot(replica)
    connections = []
    for _ in range(clients):
        connections.append(Connection(gateway.http))
        connections[-1].connection_made(Client())
    return Stand(gateway, replica, wire, connections)


def best_us(run: Callable[[], object], per: int = 1) -> float:
    """Processor time of one call, in microseconds, shared among the `per` requests that it serves."""
    times = []
    for _ in range(ROUNDS):
        began = process_time()
        for _ in range(LOOPS):
            run()
        times.append(process_time() - began)
    return min(times) / LOOPS / per * 1e6


def steps(stand: Stand) -> dict[str, float]:
    """Microseconds a request, of the short way: see `inference/gateway/express.py`."""
    gateway, connection, batch = stand.gateway, stand.connections[0], len(stand.connections)
    data, rest = HEAD + BODY, gateway.rest
    head = gateway.http.known_heads.find(HEAD)
    assert head is not None, "the head is known by now"
    request, target = Request(head, BODY, monotonic()), head.target
    assert isinstance(target, Target)
    assert target.express is not None
    [(text, lane)] = target.express.lanes.items()
    start, [plan], queue, now_s = len(text), lane.plans.values(), stand.replica.queue, monotonic()
    tensor = lane.template.read(BODY, start)
    assert tensor is not None

    def look_up_head() -> None:
        end = data.find(b"\r\n\r\n") + 4
        found = gateway.http.known_heads.find(data[:end])
        if found is not None and rest.still_admits(found):
            Request(found, data[end:], now_s)

    def read_numbers() -> None:
        at = BODY.rfind(b"[")
        target.express.lanes[BODY[:at]].template.read(BODY, at)

    def route() -> None:
        if gateway.tables.models.get("tiny") is lane.table:
            lane.plans.get(choose_version(lane.table.routing, lane.call.facts, 0.5).version)

    def make_work() -> ExpressWork:
        return ExpressWork(lane, request, connection.respond, plan, "weighted", tensor)

    waiting = make_work()

    def wait_in_line() -> None:
        queue.check_admission(waiting.tensors, waiting.deadline_s, waiting.queued_s, waiting.level)
        queue.line_up(waiting)
        queue.waiting.clear()
        queue.waiting_count = queue.waiting_rows = 0

    works = [make_work() for _ in range(batch)]
    frame = pack_joined(1, works, batch, now_s)
    result, body = answer_of(frame if isinstance(frame, bytes) else frame[0])
    shares: list[Any] = [share for [share] in read_outputs(result, works, body)]
    many = LOOPS * 5

    def repeat(step: Callable[[], object]) -> Callable[[], object]:
        return lambda: [step() for _ in range(many)]

    def write_numbers() -> None:
        shares[0].joined.texts = None  # of a new batch
        for share in shares:
            around = lane.frame(plan, share)
            around.before + share.joined.text(share.start, 1) + around.after

    def tell() -> None:
        told = answer_headers(plan, "weighted", 0.001, 0.0001, 0.001, rest.request_ids.new())
        connection.write(Response(200, BODY, headers=told), request, keep_alive=True)

    return {
        "head: find it among the known, key still good": best_us(repeat(look_up_head), many),
        "body: find its text among the known, numbers to a tensor": best_us(repeat(read_numbers), many),
        "route: model as it was, weights, plan": best_us(repeat(route), many),
        "queue: what is known of the request until its answer": best_us(repeat(make_work), many),
        "queue: admission, deadline, a place in line": best_us(repeat(wait_in_line), many),
        "batch: one frame to the worker": best_us(lambda: pack_joined(1, works, batch, now_s), batch),
        "batch: one result, shared out": best_us(lambda: list(read_outputs(result, works, body)), batch),
        "answer: telemetry": best_us(
            repeat(lambda: gateway.telemetry.answered("tiny", 1, 1, 0.001, 0.0001, 1000)), many
        ),
        "answer: numbers to JSON": best_us(write_numbers, batch),
        "answer: HTTP head, timings, ids": best_us(repeat(tell), many),
    }  # fmt: skip


async def measure(clients: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory(prefix="sy-hot-") as name:
        stand = make_stand(Path(name), clients)
        for _ in range(5):
            stand.round()
        calm_collector()
        assert all(connection.transport.answers == 5 for connection in stand.connections), "not all were answered"
        frame = stand.take_frame()
        worker_us = best_us(lambda: answer_of(frame), clients)  # it is ours, not the gateway's
        stand.answer(frame)
        whole_us = best_us(stand.round, clients) - worker_us
        table = steps(stand)
        for head in stand.gateway.http.known_heads.heads.values():
            head.target.express = None
        long_us = best_us(stand.round, clients) - worker_us
        between_us = whole_us - sum(table.values())
        whole = {"whole": whole_us, "whole, where nothing is known but the head": long_us}
        return table | {"between: calls, batches formed, what steps share": between_us} | whole


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=BatchPolicy().max_size, help="requests that come in together")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    table = uvloop.run(measure(given.batch))
    if given.json:
        print(json.dumps({"batch": given.batch, "microseconds": {step: round(us, 3) for step, us in table.items()}}))
        return
    print(f"microseconds a request, {given.batch} together\n")
    for step, us in table.items():
        print(f"{us:7.2f}  {step}")


if __name__ == "__main__":
    main()
