"""A closed-loop load generator over gRPC: `python -m bench.grpc_load HOST:PORT --body FILE --clients 8 --seconds 5`.

Requests and answers are bytes that nobody encodes or decodes here, so that what is measured is the server and as little
of Python as can be. Each client is a thread with a channel of its own. Prints one JSON line.
"""

import argparse
import json
import threading
import time
from pathlib import Path

import grpc

METHOD = "/inference.GRPCInferenceService/ModelInfer"
OPTIONS = [
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.use_local_subchannel_pool", 1),
]
ANSWER_S = 20.0


class Client(threading.Thread):
    def __init__(self, target: str, body: bytes, metadata: list[tuple[str, str]], until_s: float):
        super().__init__(daemon=True)
        self.target, self.body, self.metadata, self.until_s = target, body, metadata, until_s
        self.latencies: list[float] = []
        self.errors: list[str] = []

    def run(self) -> None:
        with grpc.insecure_channel(self.target, options=OPTIONS) as channel:
            infer = channel.unary_unary(METHOD)  # no serializers: bytes in, bytes out
            while (start := time.perf_counter()) < self.until_s:
                try:
                    infer(self.body, metadata=self.metadata, timeout=ANSWER_S)
                except grpc.RpcError as error:
                    self.errors.append(str(error.code()))
                else:
                    self.latencies.append(time.perf_counter() - start)


def load(target: str, body: bytes, metadata: list[tuple[str, str]], clients: int, seconds: float) -> dict[str, object]:
    start = time.perf_counter()
    threads = [Client(target, body, metadata, start + seconds) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(seconds + 2 * ANSWER_S)
    took = time.perf_counter() - start
    ordered = sorted(latency for thread in threads for latency in thread.latencies) or [0.0]
    return {
        "rps": round(len(ordered) / took, 1),
        "p50_ms": round(ordered[len(ordered) // 2] * 1000, 3),
        "p99_ms": round(ordered[int(len(ordered) * 0.99)] * 1000, 3),
        "errors": sum(len(thread.errors) for thread in threads),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target")
    parser.add_argument("--body", type=Path, required=True, help="a serialized ModelInferRequest")
    parser.add_argument("--metadata", action="append", default=[], help="name: value")
    parser.add_argument("--clients", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=5.0)
    given = parser.parse_args()
    metadata = [(name.strip().lower(), value.strip()) for name, _, value in (m.partition(":") for m in given.metadata)]
    print(json.dumps(load(given.target, given.body.read_bytes(), metadata, given.clients, given.seconds)))


if __name__ == "__main__":
    main()
