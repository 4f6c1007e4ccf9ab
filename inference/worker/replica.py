"""The life of one replica: listen (so a controller sees it load), load and warm up, grant slots, serve, drain."""

import contextlib
import gc
import os
import time
from pathlib import Path

import msgspec

from inference.config import Config
from inference.drivers.base import Job
from inference.drivers.run_files import RunFile, start_ticks
from inference.errors import ArtifactError, BadDocument, SwitchyardError
from inference.heap import keep_freed_memory
from inference.log import get_log
from inference.runtimes.pipeline import Pipeline, load_pipeline
from inference.spec import Unit
from inference.status import ReplicaState
from inference.transport.connection import Limits
from inference.transport.frames import WorkerHello
from inference.transport.listening import listen
from inference.transport.server import Server
from inference.transport.tls import server_context
from inference.worker.ahead import Ahead
from inference.worker.buffers import PinnedBuffers
from inference.worker.failures import DeviceLost
from inference.worker.load import materialise
from inference.worker.loop import Loop
from inference.worker.stop import Stop
from inference.worker.vitals import Vitals

EXIT_DRAINED, EXIT_FAILED, EXIT_BAD_JOB, EXIT_BAD_ARTIFACT, EXIT_DEVICE_LOST = range(5)
# One batch runs while the next lies ready. Whether a gateway uses the second is its choice (policy/batching).
SLOTS = 2
HEAP_BYTES = 256 * 1024 * 1024  # kept from batch to batch: the activations of a model of ordinary size

log = get_log()


def run_replica(job: Job, config: Config, stop: Stop) -> int:
    """Serve until told to stop; the exit code says how it went."""
    try:
        unit = find_unit(job)
    except BadDocument as error:
        log.error("job_refused", reason=str(error))
        return EXIT_BAD_JOB
    try:
        server = open_server(job, unit, config.poll_s)
    except (OSError, SwitchyardError) as error:
        log.error("cannot_listen", address=job.address, reason=str(error))
        return EXIT_FAILED
    stop.on_request = server.wake
    run_file = write_run_file(job)
    loop = Loop(server, Vitals(job, time.time(), config.visible_gpus), stop, config.drain_s)

    def leave() -> None:
        run_file.unlink(missing_ok=True)
        server.close()

    try:
        pipeline = loop.beside(lambda: load(job, unit, loop), abandon=leave)
        serve(job, unit, pipeline, loop)
    except ArtifactError as error:
        return give_up(loop, f"{error.code}: {error}", EXIT_BAD_ARTIFACT)
    except DeviceLost as error:
        return give_up(loop, str(error), EXIT_DEVICE_LOST)
    except Exception as error:
        log.exception("worker_failed")
        return give_up(loop, f"{type(error).__name__}: {error}", EXIT_FAILED)
    finally:
        leave()
    log.info("replica_drained", replica=job.replica)
    return EXIT_DRAINED


def write_run_file(job: Job) -> Path:
    """Say that this process is the replica, so a controller that starts later adopts it."""
    path = Path(job.data) / "run" / f"{job.replica}.json"
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    content = RunFile(
        replica=job.replica,
        pid=os.getpid(),
        started_at_s=time.time(),
        address=job.address,
        model=job.model,
        version=job.version.number,
        digest=job.version.digest,
        unit=job.unit,
        device=job.device,
        start_ticks=start_ticks(os.getpid()),
    )
    fresh = path.with_suffix(".new")
    try:
        fresh.write_bytes(msgspec.json.encode(content))
        fresh.replace(path)
    except OSError as error:  # a full disk: better to serve, unknown to a later controller, than not to serve
        with contextlib.suppress(OSError):
            fresh.unlink()
        log.error("run_file_not_written", path=str(path), error=str(error), effect="no later controller can adopt this")
    return path


def find_unit(job: Job) -> Unit:
    for unit in job.version.units:
        if unit.name == job.unit:
            return unit
    raise BadDocument(f"Version {job.version.number} of {job.model!r} has no unit {job.unit!r}.")


def open_server(job: Job, unit: Unit, poll_s: float) -> Server:
    context = server_context(Path(job.data) / "certs") if job.address.startswith("tls:") else None
    hello = WorkerHello(job.replica, job.version.digest, job.unit, SLOTS, unit.batch.max_size)
    return Server(listen(job.address), hello, context, Limits(poll_s=poll_s))


def load(job: Job, unit: Unit, loop: Loop) -> Pipeline:
    """Artifact, model, warm-up. Runs in the main thread, beside the heartbeat."""
    start = time.monotonic()
    loop.tell(ReplicaState.LOADING)
    keep_freed_memory(HEAP_BYTES)
    # What torch.compile makes is kept for the next replica; its own choice, /tmp, is shared with strangers.
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(Path(job.data) / "compiled"))
    pinned = materialise(job.version.artifact, Path(job.data) / "cache")
    pipeline = load_pipeline(job.version, unit, pinned.folder, job.device, job.threads, pinned.turned)
    loop.tell(ReplicaState.WARMING)
    pipeline.warm_up()
    loop.vitals.load_s = time.monotonic() - start
    return pipeline


def serve(job: Job, unit: Unit, pipeline: Pipeline, loop: Loop) -> None:
    # What is loaded lives as long as the process: the collector need not walk it between batches.
    gc.collect()
    gc.freeze()
    gc.enable()
    loop.server.open(SLOTS)
    loop.enter(ReplicaState.READY)
    log.info("replica_ready", replica=job.replica, load_s=round(loop.vitals.load_s or 0.0, 3), address=job.address)
    if pipeline.streams is not None:
        loop.work(Ahead(loop, pipeline, unit.batch.max_size, PinnedBuffers()).step)
    else:
        loop.serve(pipeline, unit.batch.max_size)


def give_up(loop: Loop, reason: str, code: int) -> int:
    log.error("replica_gave_up", replica=loop.vitals.job.replica, reason=reason, exit_code=code)
    loop.enter(ReplicaState.FAILED, reason)
    return code
