"""The `jobs` program: one thread a queue takes operations one by one, the main thread keeps house.

It ends when told (SIGTERM, Ctrl-C) or when its lifeline does: work in hand is put back within a beat and taken up by
the next `jobs`.
"""

import threading
from collections.abc import Callable

import structlog
from django.db import DatabaseError, close_old_connections
from django_tasks_db.management.commands.db_worker import Worker
from django_tasks_db.models import DBTaskResult

from console.jobs import running
from console.jobs.housekeeping import forget_old, recover_orphans
from console.jobs.identity import worker_name
from console.jobs.queue import DEFAULT_QUEUE, TRAFFIC_QUEUE
from console.serving.services import settle_handovers

log = structlog.get_logger()

POLL_S = 0.25
RECOVER_EVERY_S = 5.0
FORGET_EVERY_S = 600.0
FINISH_S = 15.0  # that a step in hand has to reach its next beat


class QueueRunner(threading.Thread):
    """Takes what is ready in one queue, one by one. Looks without a lock, and locks only to take."""

    def __init__(self, queue: str, stop: threading.Event):
        super().__init__(name=f"queue-{queue}", daemon=True)
        self.queue, self.stop = queue, stop
        self.taker = Worker(
            queue_names=[queue],
            interval=0,
            batch=True,
            backend_name="default",
            startup_delay=False,
            max_tasks=1,
            worker_id=f"{worker_name()}"[:64],
            excluded_queue_names=[],
        )

    def run(self) -> None:
        while not self.stop.is_set():
            if not guarded("queue_failed", self.take_one):
                self.stop.wait(POLL_S)

    def take_one(self) -> bool:
        if not DBTaskResult.objects.ready().filter(queue_name=self.queue, backend_name="default").exists():
            return False
        self.taker._run_tasks = 0
        self.taker.run()
        return True


def guarded(event: str, work: Callable[[], object]) -> bool:
    """A database that is away or busy for a moment must not end the program."""
    try:
        close_old_connections()
        return bool(work())
    except DatabaseError as error:
        log.warning(event, error=str(error))
        return False


def run_jobs(stop: threading.Event) -> None:
    """Work until `stop` is set."""
    runners = [QueueRunner(DEFAULT_QUEUE, stop), QueueRunner(TRAFFIC_QUEUE, stop)]
    guarded("housekeeping_failed", recover_orphans)
    for runner in runners:
        runner.start()
    log.info("jobs_ready", worker=worker_name())
    waited_s = FORGET_EVERY_S
    while not stop.wait(RECOVER_EVERY_S):
        guarded("housekeeping_failed", recover_orphans)
        guarded("handover_failed", settle_handovers)
        waited_s += RECOVER_EVERY_S
        if waited_s >= FORGET_EVERY_S:
            guarded("housekeeping_failed", forget_old)
            waited_s = 0.0
    running.stopping.set()
    for runner in runners:
        runner.join(FINISH_S)
    log.info("jobs_ended", unfinished=[runner.queue for runner in runners if runner.is_alive()])
