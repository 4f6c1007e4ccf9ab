"""What every driver promises, on real processes and on made-up ones alike."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import psutil
import pytest
from support.replicas import make_job, tiny_version
from support.waiting import wait_until

from inference.drivers.base import Driver, Gone, Job
from inference.drivers.fake import FakeDriver
from inference.drivers.local import LocalDriver


class Bench:
    """A driver, and how to do to one of its workers what the world does."""

    def __init__(self, driver: Driver, folder: Path, crash: Callable[[str], None]):
        self.driver = driver
        self.version = tiny_version(folder / "store")
        self.folder = folder
        self.crash = crash

    def job(self, replica: str, **changes) -> Job:
        return make_job(self.folder, self.version, replica, **changes)

    def names(self) -> set[str]:
        return {one.replica for one in self.driver.running()}

    def await_end(self, replica: str) -> Gone:
        found = {}

        def ended() -> Gone | None:
            found.update((gone.replica, gone) for gone in self.driver.ended())
            return found.get(replica)

        return wait_until(ended, why=f"the end of {replica} is told")


@pytest.fixture(params=["local", "fake"])
def bench(request, short_tmp):
    if request.param == "fake":
        driver = FakeDriver()
        yield Bench(driver, short_tmp, driver.crash)
        return
    driver = LocalDriver(short_tmp)
    yield Bench(driver, short_tmp, lambda replica: psutil.Process(driver.workers[replica].file.pid).kill())
    driver.keep_spares(0)
    for one in driver.running():
        driver.stop(one.replica, 0)
    wait_until(lambda: not driver.running())


def test_a_started_worker_is_listed_with_what_its_job_says(bench):
    bench.driver.start(bench.job("tiny-1-main-aaaa"))

    (one,) = bench.driver.running()
    assert (one.replica, one.model, one.version, one.digest) == ("tiny-1-main-aaaa", "tiny", 1, bench.version.digest)
    assert (one.unit, one.device, one.address) == ("main", "cpu", bench.job("tiny-1-main-aaaa").address)


def test_starting_a_replica_twice_leaves_one(bench):
    bench.driver.start(bench.job("tiny-1-main-aaaa"))
    before = bench.driver.running()
    bench.driver.start(bench.job("tiny-1-main-aaaa"))

    assert bench.driver.running() == before


def test_a_stopped_worker_ends_by_itself_and_its_end_is_told_once(bench):
    bench.driver.start(bench.job("tiny-1-main-aaaa"))
    bench.driver.stop("tiny-1-main-aaaa", 10)

    gone = bench.await_end("tiny-1-main-aaaa")
    assert gone.exit_code in (0, -15), "drained, or so young that it could not even hear the request"
    assert bench.names() == set()
    assert bench.driver.ended() == []


def test_a_stop_without_drain_kills(bench):
    bench.driver.start(bench.job("tiny-1-main-aaaa"))
    bench.driver.stop("tiny-1-main-aaaa", 0)

    assert bench.await_end("tiny-1-main-aaaa").exit_code == -9


def test_stopping_what_nobody_knows_is_no_error(bench):
    bench.driver.stop("nobody-1-main-0000", 1)

    assert bench.driver.ended() == []


def test_a_crash_is_told_with_its_signal_and_the_replica_can_start_again(bench):
    bench.driver.start(bench.job("tiny-1-main-aaaa"))
    bench.crash("tiny-1-main-aaaa")

    assert bench.await_end("tiny-1-main-aaaa").exit_code == -9
    bench.driver.start(bench.job("tiny-1-main-aaaa"))
    assert bench.names() == {"tiny-1-main-aaaa"}


def test_a_job_that_cannot_be_done_raises_nothing_and_shows_as_an_end_with_a_reason(bench):
    bench.driver.start(bench.job("tiny-1-main-aaaa", unit="no-such-unit"))

    gone = bench.await_end("tiny-1-main-aaaa")
    assert gone.exit_code == 2
    assert "no-such-unit" in gone.log_tail


def test_workers_end_one_by_one(bench):
    for replica in ("tiny-1-main-aaaa", "tiny-1-main-bbbb"):
        bench.driver.start(bench.job(replica))
    bench.driver.stop("tiny-1-main-aaaa", 0)
    bench.await_end("tiny-1-main-aaaa")

    assert bench.names() == {"tiny-1-main-bbbb"}


def test_spares_are_no_replicas(bench):
    bench.driver.keep_spares(1)

    assert bench.driver.running() == []
    assert bench.driver.keep_spares(0) == 0


def test_a_job_longer_than_a_pipe_is_taken_whole(bench):
    stages = tuple(msgspec.structs.replace(bench.version.stages[0], config={"note": "x" * 300_000}) for _ in range(1))
    bench.version = msgspec.structs.replace(bench.version, stages=stages)
    bench.driver.start(bench.job("tiny-1-main-aaaa", unit="no-such-unit"))

    assert bench.await_end("tiny-1-main-aaaa").exit_code == 2, "read to its end and refused for its unit"
    assert list((bench.folder / "run").iterdir()) == []
