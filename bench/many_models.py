"""What ten thousand models cost the one that is asked: `python -m bench.many_models [--json]`.

The gateway starts with W1 alone, then with W1 among `--models` others of `--versions` versions each, in turn, and
answers the same load. Told are: the time from its start until it listens, its resident memory, its idle CPU time, the
rate and the CPU time a request as ratios to W1 alone, and what one change costs: the time for which the loop is held,
measured on the gateway's own parts, and the latency of a client who asks on while models change ten times a second,
beside the same client while nothing changes.
"""

import argparse
import asyncio
import gc
import hashlib
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from threading import Thread

import msgspec

from bench.load_cost import measure_cost, median_cost, median_ratio
from bench.peers import machine
from bench.probe import ask_for, percentile
from bench.stand import Gateway, Stand, one_model, open_stand
from inference.gateway.dispatch import Dispatcher
from inference.gateway.tables import Tables
from inference.gateway.telemetry import Telemetry
from inference.runtimes.sentences import TOKENS, embedding_stages, hidden_state
from inference.spec import Artifact, ArtifactFile, Format, Signature, Unit, Version, artifact_digest, version_digest
from inference.sync.feed import Feed
from inference.sync.files import DocumentFolder

CLIENTS = 64
FILES = ("config.json", "model.safetensors", "tokenizer.json", "vocab.txt")
IDLE_S = 5.0
STARTS = 3
CHANGES = 200
PAUSE_S = 0.1  # between two changes
SIGNATURE, STAGES = embedding_stages(Signature(TOKENS, (hidden_state(384),)), max_length=128)


def main() -> None:
    given = arguments()
    with tempfile.TemporaryDirectory(prefix="sy-many-") as name:
        alone, among = (Path(name) / folder for folder in ("alone", "among"))
        with open_stand(alone) as one, open_stand(among) as many:
            lay_models(many, given.models, given.versions)
            told = machine.describe() | compare(one, many, given) | {"change": measure_change(many, given)}
    if given.json:
        print(json.dumps(told))
    else:
        print_table(told)


def lay_models(stand: Stand, models: int, versions: int) -> None:
    """Sentence encoders of three stages and four files, all different."""
    for number in range(models):
        name = f"model-{number:05d}"
        stand.lay("spec", name, one_model(name, *(sample_version(name, place + 1) for place in range(versions))))


def sample_version(model: str, number: int) -> Version:
    files = tuple(
        ArtifactFile(path=path, sha256=hashlib.sha256(f"{model}/{number}/{path}".encode()).hexdigest(), size_bytes=1)
        for path in FILES
    )
    artifact = Artifact(digest=artifact_digest(files), files=files, store="file:///var/lib/switchyard/store")
    return Version(
        number=number,
        digest=version_digest(artifact.digest, SIGNATURE, STAGES),
        format=Format.SAFETENSORS,
        artifact=artifact,
        signature=SIGNATURE,
        stages=STAGES,
        units=(Unit(name="main", stages=tuple(stage.name for stage in STAGES)),),
    )


def compare(one: Stand, many: Stand, given: argparse.Namespace) -> dict[str, object]:
    """Both gateways run; they are asked in turn, a short while each, so that a slow spell of the machine meets both."""
    alone, among = [], []
    with one.gateway() as single, many.gateway() as crowded:
        before_s = crowded.cpu_s()
        time.sleep(IDLE_S)
        idle_ms = (crowded.cpu_s() - before_s) / IDLE_S * 1e3
        for gateway, body in ((single, one.body), (crowded, many.body)):
            measure_cost(gateway, body, CLIENTS, given.seconds)
        for _ in range(given.repeat):
            alone.append(measure_cost(single, one.body, CLIENTS, given.seconds))
            among.append(measure_cost(crowded, many.body, CLIENTS, given.seconds))
        rss_mb = crowded.rss_mb()
    return {
        "models": given.models,
        "versions": given.versions,
        "start_s": [start(many) for _ in range(STARTS)],
        "rss_mb": round(rss_mb, 1),
        "idle_cpu_ms_per_s": round(idle_ms, 1),
        "rps_ratio": median_ratio(among, alone, "rps"),
        "cpu_ratio": median_ratio(among, alone, "cpu_us"),
        "alone": median_cost(alone),
        "among": median_cost(among),
    }


def start(stand: Stand) -> float:
    """Seconds from the start of the program until it listens."""
    with stand.gateway() as gateway:
        return round(gateway.started_s, 2)


def measure_change(stand: Stand, given: argparse.Namespace) -> dict[str, float]:
    with stand.gateway() as gateway:
        quiet_ms = asked(stand, gateway, lambda: time.sleep(CHANGES * PAUSE_S))
        busy_ms = asked(stand, gateway, lambda: change_models(stand, given))
    held_ms, held_cpu_ms = asyncio.run(hold_loop(stand, given))
    return {
        "held_p50_ms": round(percentile(held_ms, 0.5), 3),
        "held_max_ms": round(max(held_ms), 3),
        "held_cpu_max_ms": round(max(held_cpu_ms), 3),  # without what others on the machine took meanwhile
        "client_p99_quiet_ms": round(percentile(quiet_ms, 0.99), 2),
        "client_p99_changing_ms": round(percentile(busy_ms, 0.99), 2),
        "client_max_quiet_ms": round(max(quiet_ms), 2),
        "client_max_changing_ms": round(max(busy_ms), 2),
    }


def asked(stand: Stand, gateway: Gateway, meanwhile: Callable[[], None]) -> list[float]:
    """Latencies in ms of a client that asks one request after the other while something is done."""
    doing = Thread(target=meanwhile)
    doing.start()
    return ask_for(gateway, stand.body.read_bytes(), doing.is_alive)


def change_models(stand: Stand, given: argparse.Namespace) -> None:
    """As a controller or `local` would: through the folder, with its lock and its fsync."""
    folder = DocumentFolder(stand.data / "documents")
    for number in range(CHANGES):
        folder.write("spec", *changed(number, given, generation=2 + number // given.models))
        time.sleep(PAUSE_S)


def changed(number: int, given: argparse.Namespace, generation: int) -> tuple[str, msgspec.Struct]:
    name = f"model-{number % given.models:05d}"
    versions = (sample_version(name, place + 1) for place in range(given.versions))
    return name, one_model(name, *versions, generation=generation)


async def hold_loop(stand: Stand, given: argparse.Namespace) -> tuple[list[float], list[float]]:
    """For how many ms the loop does nothing but take one change up, by the clock and of CPU time: the gateway's own
    feed and tables."""
    feed = Feed("", stand.data / "documents")
    tables = Tables(Dispatcher("bench", Telemetry(), asyncio.get_running_loop()))
    gc.disable()
    feed.load()
    gc.collect()
    gc.freeze()  # as the gateway does
    gc.enable()
    tables.load(feed.documents)
    feed.on_change = lambda kind, key: tables.apply(feed.documents, kind, key)
    held_ms, cpu_ms = [], []
    for number in range(CHANGES):
        name, document = changed(number, given, generation=1000)
        began_s, spent_s = time.perf_counter(), time.thread_time()
        taken = feed.accept([("spec", name, document)])
        held_ms.append((time.perf_counter() - began_s) * 1e3)
        cpu_ms.append((time.thread_time() - spent_s) * 1e3)
        assert taken
    await tables.dispatcher.stop()
    return held_ms, cpu_ms


def print_table(told: dict) -> None:
    for key, value in told.items():
        if isinstance(value, dict):
            for inner, figure in value.items():
                print(f"{key + '.' + inner:32} {figure}")
        else:
            print(f"{key:32} {value}")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "python -m bench.many_models", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", type=int, default=10_000)
    parser.add_argument("--versions", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=2, help="of each measurement")
    parser.add_argument("--repeat", type=int, default=10, help="repetitions, interleaved")
    parser.add_argument("--json", action="store_true", help="one line of JSON instead of a table")
    return parser.parse_args()


if __name__ == "__main__":
    main()
