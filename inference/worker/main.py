"""`python -m inference worker`: one line on stdin, a Job, and this process is that replica.

With `--spare` torch is imported before the line comes, so a replica started from it skips those seconds.
"""

import argparse
import faulthandler
import gc
import os
import sys

import msgspec

from inference.config import BadSetting, Config
from inference.drivers.base import Job
from inference.errors import BadDocument
from inference.log import configure_log, get_log
from inference.spec import decode
from inference.worker.stop import Stop

EXIT_DRAINED, EXIT_BAD_JOB = 0, 2
MAX_JOB_BYTES = 16 * 1024 * 1024
# Libraries read these once, when they are first imported.
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser("python -m inference worker", description="Become the replica that stdin names.")
    parser.add_argument("--spare", action="store_true", help="import torch, then wait for the job")
    arguments = parser.parse_args(argv)
    try:
        config = Config.from_env()
    except BadSetting as error:
        parser.error(str(error))
    # Imports and loading make objects that stay; walking them over and over takes a fifth of the start. `serve`
    # turns the collector on.
    gc.disable()
    faulthandler.enable()  # a crash in native code leaves its Python stack in the log
    configure_log("worker", config.log_format, config.log_level)
    os.environ["CUDA_DEVICE_ORDER"] = "PCI_BUS_ID"  # so that cuda:k is the GPU that NVML counts as k
    stop = Stop()
    stop.on_request = lambda: os._exit(EXIT_DRAINED)  # nothing to lose before there is a job
    stop.watch(config.drain_s)
    if arguments.spare:
        become_spare()
    line = sys.stdin.buffer.readline(MAX_JOB_BYTES)
    if not line.strip():
        return EXIT_DRAINED  # whoever kept this spare ended
    try:
        job = decode(line, Job)
    except BadDocument as error:
        get_log().error("job_refused", reason=str(error))
        return EXIT_BAD_JOB
    job = msgspec.structs.replace(job, threads=job.threads or len(os.sched_getaffinity(0)))
    set_threads(job.threads)
    from inference.worker.replica import run_replica  # only now: it imports numpy, which looks at the threads

    return run_replica(job, config, stop)


def become_spare() -> None:
    """Import what takes seconds, without starting thread pools of a size that the job does not want."""
    set_threads(1)
    from inference.runtimes.pipeline import preload
    from inference.spec import Format

    preload(Format.SAFETENSORS)
    gc.collect()
    gc.freeze()  # while nobody waits, so that the start of a replica walks only what it made itself


def set_threads(threads: int) -> None:
    for variable in THREAD_VARIABLES:
        os.environ[variable] = str(threads)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(threads)
