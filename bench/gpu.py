"""One GPU, our way and plain torch's: `python -m bench.gpu [--batch 32] [--seconds 5] [--repeat 3] [--json]`.

A ResNet-50 with random weights is exported as a version (.pt2) and run by the worker's own code: items as the frames
bring them are collated into page-locked memory, launched, waited for and split, each batch launched before the last has
been waited for. Beside it plain torch, as one writes it: stack the pictures, `.to("cuda")`, model, `.cpu()`; in float32
and at its best (bfloat16, channels_last). Both get the same pictures and must give the same answers. GPU busy is the
share of time in which some kernel ran, as NVML samples it; the goal is 95 % or more.

`--device cpu --small` runs the same script on any machine with a toy model: it shows that the script works, no more.
"""

import argparse
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from bench.peers import machine
from inference import spec
from inference.log import configure_log
from inference.protocol.tensors import NUMPY_KIND
from inference.worker.buffers import PinnedBuffers
from inference.worker.collate import Empty, collate, new_array, split

GOAL_PERCENT = 95
NO_GPU = (
    "bench.gpu needs a GPU that torch can use, and this torch sees none. Run it on a machine with one, or with "
    "`--device cpu --small` to see that it runs."
)
CONFIGS: dict[str, dict[str, Any]] = {
    "as it is": {},
    "bf16": {"autocast": "bf16"},
    "bf16, channels_last": {"autocast": "bf16", "channels_last": True},
    "bf16, channels_last, CUDA graphs": {"autocast": "bf16", "channels_last": True, "cuda_graphs": True},
    "bf16, channels_last, compiled": {"autocast": "bf16", "channels_last": True, "compile": True},
    "bf16, channels_last, compiled, CUDA graphs": {
        "autocast": "bf16", "channels_last": True, "compile": True, "cuda_graphs": True,
    },
}  # fmt: skip
PLAIN, PLAIN_BEST = "plain torch, float32", "plain torch, bf16, channels_last"
TOLERANCE = 0.05  # of the answers' spread: bfloat16 has eight bits

Turn = Callable[[], int]  # one batch; rows answered


class Figure(msgspec.Struct, frozen=True):
    way: str
    rows_per_s: float
    ratio: float  # to plain torch in float32
    ratio_to_best: float  # to plain torch in bfloat16 and channels_last
    gpu_busy_percent: float | None
    difference: float  # largest, from plain torch in float32, as a share of the answers' spread


class Bench:
    def __init__(self, device: str, batch: int, *, small: bool):
        import torch

        from bench.resnet import make_resnet

        self.torch, self.device, self.batch = torch, torch.device(device), batch
        self.name = device
        side = 32 if small else 224
        self.model = make_resnet((1, 1), 8, 10) if small else make_resnet()
        chance = np.random.default_rng(0)
        # Read-only, as a frame's body is.
        raw = [chance.standard_normal((1, 3, side, side), np.float32).tobytes() for _ in range(batch)]
        self.pictures = [np.frombuffer(one, np.float32).reshape(1, 3, side, side) for one in raw]
        self.inputs = (spec.TensorSpec(name="pixels", datatype="FP32", shape=(-1, 3, side, side)),)
        classes = 10 if small else 1000
        self.outputs = (spec.TensorSpec(name="score", datatype="FP32", shape=(-1, classes)),)

    def save(self, folder: Path) -> None:
        torch, example = self.torch, {"pixels": self.torch.from_numpy(np.concatenate(self.pictures[:2]))}

        class Named(torch.nn.Module):
            def __init__(self, model: Any):
                super().__init__()
                self.model = model

            def forward(self, pixels: Any) -> dict[str, Any]:
                return {"score": self.model(pixels)}

        rows = {"pixels": {0: torch.export.Dim.DYNAMIC}}
        torch.export.save(torch.export.export(Named(self.model), (), example, dynamic_shapes=rows), folder / "m.pt2")

    def plain(self, *, best: bool) -> tuple[Turn, Callable[[], np.ndarray]]:
        """Plain torch: one batch after the other, everything in order."""
        torch, device = self.torch, self.device
        model = self.fresh_model().to(device)
        if best:
            model = model.to(memory_format=torch.channels_last, dtype=torch.bfloat16)

        def answer() -> np.ndarray:
            pixels = torch.from_numpy(np.concatenate(self.pictures)).to(device)
            if best:
                pixels = pixels.to(memory_format=torch.channels_last, dtype=torch.bfloat16)
            with torch.inference_mode():
                return model(pixels).float().cpu().numpy()

        return (lambda: len(answer())), answer

    def fresh_model(self) -> Any:
        import copy

        return copy.deepcopy(self.model)

    def ours(self, folder: Path, config: dict[str, Any]) -> tuple[Turn, Callable[[], np.ndarray]]:
        """The worker's way from items to answers, a batch launched before the last is waited for."""
        from inference.runtimes.pipeline import load_pipeline

        signature = spec.Signature(inputs=self.inputs, outputs=self.outputs)
        asked = config | ({"batch_sizes": [self.batch]} if "cuda_graphs" in config or "compile" in config else {})
        stage = spec.Stage(name="infer", kind=spec.StageKind.INFER, signature=signature, config=asked)
        unit = spec.Unit(name="main", stages=("infer",), batch=spec.BatchPolicy(max_size=self.batch))
        version = spec.Version(
            number=1, digest="0" * 64, format=spec.Format.PT2,
            artifact=spec.Artifact(digest="0" * 64, files=(), store=""),
            signature=signature, stages=(stage,), units=(unit,), native=True,
        )  # fmt: skip
        pipeline = load_pipeline(version, unit, folder, self.name, 0)
        pipeline.warm_up()
        empty: Empty = PinnedBuffers() if self.device.type == "cuda" else new_array
        items, rows = [{"pixels": picture} for picture in self.pictures], [1] * self.batch
        on_the_way: list[Any] = []  # runtimes.pipeline.Launched

        def launch() -> None:
            on_the_way.append(pipeline.launch(collate(items, self.inputs, empty)))

        def turn() -> int:
            launch()
            if len(on_the_way) < 2:
                return 0
            return len(split(on_the_way.pop(0).wait(), rows, self.outputs, {}))

        def answer() -> np.ndarray:
            launch()
            while len(on_the_way) > 1:
                on_the_way.pop(0).wait()
            (tensors,) = zip(*split(on_the_way.pop().wait(), rows, self.outputs, {}), strict=True)
            return np.concatenate([np.frombuffer(one.data, NUMPY_KIND["FP32"]).reshape(one.shape) for one in tensors])

        return turn, answer


class BusySampler(threading.Thread):
    """NVML's share of time with a kernel running, some times a second; None without NVML."""

    def __init__(self, device: str):
        super().__init__(daemon=True)
        from inference.worker.device import open_sampler

        self.sampler = open_sampler(device, 1) if device.startswith("cuda") else None
        self.readings: list[float] = []
        self.done = threading.Event()

    def run(self) -> None:
        while self.sampler is not None and not self.done.wait(0.2):
            use = self.sampler.read().use.value
            if use is not None:
                self.readings.append(use)

    def stop(self) -> float | None:
        self.done.set()
        self.join()
        return round(statistics.mean(self.readings), 1) if self.readings else None


def rate(turn: Turn, seconds: float, device: str) -> tuple[float, float | None]:
    """(rows/s, GPU busy %), after a tenth of the time as a warm-up."""
    for span in (seconds / 10, seconds):
        sampler = BusySampler(device)
        sampler.start()
        rows, start = 0, time.perf_counter()
        while time.perf_counter() - start < span:
            rows += turn()
        took, busy = time.perf_counter() - start, sampler.stop()
    return rows / took, busy


def measure(given: argparse.Namespace) -> list[Figure]:
    bench = Bench(given.device, given.batch, small=given.small)
    found: dict[str, list[tuple[float, float | None]]] = {}
    differences: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="sy-gpu-") as name:
        bench.save(Path(name))
        wanted = bench.plain(best=False)[1]()
        # One way at a time is in memory, so none is helped or hindered by what another holds.
        for way, make in ways(bench, Path(name), given.small):
            turn, answer = make()
            differences[way] = float(np.abs(answer() - wanted).max() / np.ptp(wanted))
            found[way] = [rate(turn, given.seconds, given.device) for _ in range(given.repeat)]
            print(f"{way}: {statistics.median(r for r, _ in found[way]):,.0f} rows/s", file=sys.stderr, flush=True)
    rates = {way: statistics.median(rows for rows, _ in runs) for way, runs in found.items()}
    return [
        Figure(
            way, round(rates[way], 1), round(rates[way] / rates[PLAIN], 3), round(rates[way] / rates[PLAIN_BEST], 3),
            max((busy for _, busy in runs if busy is not None), default=None), round(differences[way], 5),
        )
        for way, runs in found.items()
    ]  # fmt: skip


def ways(bench: Bench, folder: Path, small: bool) -> Iterator[tuple[str, Callable[[], tuple[Turn, Any]]]]:
    yield PLAIN, lambda: bench.plain(best=False)
    yield PLAIN_BEST, lambda: bench.plain(best=True)
    for way, config in CONFIGS.items():
        if not (small and config.get("compile")):  # a minute of C++ for a toy
            yield way, lambda config=config: bench.ours(folder, config)


def table(figures: list[Figure]) -> str:
    lines = ["| way | pictures/s | to float32 | to its best | GPU busy % | difference |", "|---|---|---|---|---|---|"]
    for one in figures:
        busy = "–" if one.gpu_busy_percent is None else f"{one.gpu_busy_percent:.0f}"
        lines.append(
            f"| {one.way} | {one.rows_per_s:,.0f} | {one.ratio:.2f} | {one.ratio_to_best:.2f} | {busy} | "
            f"{one.difference:.4f} |"
        )
    return "\n".join(lines)


def verdict(figures: list[Figure], device: str) -> str:
    """The sentence under the table."""
    best = max(figures, key=lambda one: one.rows_per_s)
    said = f"Fastest: {best.way}, {best.ratio_to_best:.2f} times plain torch at its best."
    if device.startswith("cuda") and best.gpu_busy_percent is not None:
        met = "met" if best.gpu_busy_percent >= GOAL_PERCENT else "missed"
        said += f" The GPU was busy {best.gpu_busy_percent:.0f} % of the time; {GOAL_PERCENT} % is the goal: {met}."
    return said


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--small", action="store_true", help="a toy model, to see that the script runs")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each measurement")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="one line a way")
    parser.add_argument("--out", type=Path, help="file for all of it, with the machine")
    given = parser.parse_args()
    import torch

    if given.device.startswith("cuda") and not torch.cuda.is_available():
        print(NO_GPU, file=sys.stderr)
        return 2
    configure_log("bench")  # to stderr
    figures = measure(given)
    if given.json:
        print("\n".join(msgspec.json.encode(one).decode() for one in figures))
    else:
        print(table(figures), verdict(figures, given.device), sep="\n\n")
    if given.out:
        gpu = torch.cuda.get_device_name() if given.device.startswith("cuda") else None
        told = machine.describe() | {"gpu": gpu, "torch": torch.__version__, "batch": given.batch, "rows": figures}
        given.out.write_bytes(msgspec.json.format(msgspec.json.encode(told)) + b"\n")
    wrong = [one.way for one in figures if not one.difference <= TOLERANCE]
    if wrong:
        print(f"Other answers than plain torch's: {', '.join(wrong)}.", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
