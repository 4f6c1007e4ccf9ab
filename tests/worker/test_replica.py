"""A worker process, from the job on stdin to its exit code, over its real socket."""

import fcntl
import os
import signal
from pathlib import Path

import numpy as np
import psutil
import pytest
from support.peer import Peer, floats
from support.replicas import give_job, make_job, start_worker, tiny_version
from support.waiting import wait_until

from inference.drivers.run_files import is_alive, read_run_files
from inference.protocol.messages import Tensor
from inference.status import ReplicaState
from inference.transport.certs import make_ca, make_node
from inference.transport.frames import Role
from inference.transport.tls import client_context

ROW = floats([1, 2, 3, 4])
DOUBLED = [[3, 5, 7, 9]]


def test_a_worker_answers_each_item_of_a_batch(replica) -> None:
    with replica().connect() as gateway:
        answers = gateway.ask(ROW, floats([0, 0, 0, 0], [5, 5, 5, 5]))
    assert [answer["y"].tolist() for answer in answers] == [DOUBLED, [[1, 1, 1, 1], [11, 11, 11, 11]]]
    assert answers[0]["y"].dtype == np.float32


def test_a_worker_that_cannot_write_its_run_file_serves_all_the_same(replica, short_tmp: Path) -> None:
    (short_tmp / "run" / "tiny-1-main-0.new").mkdir(parents=True)
    with replica().connect() as gateway:
        assert gateway.ask(ROW)[0]["y"].tolist() == DOUBLED
    assert read_run_files(short_tmp / "run") == []


def test_bad_items_fail_alone_and_the_worker_stays(replica) -> None:
    with replica().connect() as gateway:
        wrong = [Tensor("x", "FP64", (1, 4), bytes(32))]
        lying = [Tensor("x", "FP32", (1, 4), bytes(12))]
        first, *bad, last = gateway.ask(ROW, wrong, lying, ROW)
        assert (first["y"].tolist(), last["y"].tolist()) == (DOUBLED, DOUBLED)
        assert bad == ["bad_input", "bad_input"]


def test_garbage_on_the_socket_costs_nobody_else_an_answer(replica) -> None:
    worker = replica()
    with worker.connect() as gateway, Peer(worker.job.address) as stranger:
        stranger.sock.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert stranger.is_hung_up()
        assert gateway.ask(ROW)[0]["y"].tolist() == DOUBLED


def test_two_gateways_get_their_own_answers(replica) -> None:
    worker = replica()
    with worker.connect(id="a") as a, worker.connect(id="b") as b:
        for turn in range(20):
            for peer, value in ((a, turn), (b, 1000 + turn)):
                peer.want(1)
                assert peer.ask(floats([value] * 4))[0]["y"].tolist() == [[2 * value + 1] * 4]


def test_a_gateway_that_hangs_up_mid_batch_costs_the_other_nothing(replica) -> None:
    worker = replica(delay_s=0.2)
    with worker.connect(id="b") as b:
        a = worker.connect(id="a")
        a.want(1)
        a.wait_for_credit()
        a.send_batch(ROW)
        a.reset()
        assert b.ask(ROW)[0]["y"].tolist() == DOUBLED


def test_heartbeats_tell_the_life_of_the_replica(replica) -> None:
    worker = replica(delay_s=0.05)
    with worker.connect(role=Role.CONTROLLER, digest="") as controller:
        seen = [controller.heartbeat()]
        while seen[-1].state is not ReplicaState.READY:
            seen.append(controller.heartbeat())
        with worker.connect() as gateway:
            for _ in range(30):
                gateway.ask(ROW, ROW)
            while seen[-1].batches < 30:
                seen.append(controller.heartbeat())
        worker.process.terminate()
        while seen[-1].state is not ReplicaState.DRAINING:
            seen.append(controller.heartbeat())
    last = seen[-1]
    states = list(dict.fromkeys(status.state.value for status in seen))
    assert states == sorted(states, key=["starting", "loading", "warming", "ready", "draining"].index)
    assert states[-2:] == ["ready", "draining"]
    assert (last.replica, last.model, last.pid) == (worker.job.replica, "tiny", worker.process.pid)
    assert (last.batches, last.rows) == (30, 60)
    assert last.load_s > 0
    assert last.rss_bytes > 10_000_000
    assert 0 < max(status.busy.value or 0 for status in seen) <= 100
    assert 0 < max(status.device_use.value or 0 for status in seen) <= 100
    assert last.memory_used_bytes.value < last.memory_total_bytes.value
    assert last.device_name


def test_a_worker_that_loads_says_so_all_the_time_and_stops_at_once_when_told(replica, short_tmp: Path) -> None:
    job = make_job(short_tmp, tiny_version(short_tmp / "store"))
    (short_tmp / "cache").mkdir()
    with (short_tmp / "cache" / f"{job.version.artifact.digest}.filling").open("w") as filling:
        fcntl.flock(filling, fcntl.LOCK_EX)  # so the artifact never comes
        worker = replica(job=job)
        with worker.connect(role=Role.CONTROLLER, digest="") as controller, worker.connect() as early:
            assert [controller.heartbeat().state.value for _ in range(3)][1:] == ["loading", "loading"]
            assert early.credits == 0
            worker.process.terminate()
            assert worker.process.wait(5) == 0
    assert not worker.socket.exists()


def test_a_stuck_model_is_a_silent_worker(replica) -> None:
    worker = replica(delay_s=3.0)
    with worker.connect(role=Role.CONTROLLER, digest="") as controller, worker.connect() as gateway:
        gateway.wait_for_credit()
        gateway.send_batch(ROW)
        controller.sock.settimeout(2.0)
        assert not controller.is_hung_up()  # it reads on until nothing comes for two heartbeats' time


def test_sigterm_answers_what_is_in_hand_then_exits_0_and_leaves_nothing(replica) -> None:
    worker = replica(delay_s=0.3)
    with worker.connect() as gateway:
        gateway.wait_for_credit()
        gateway.send_batch(ROW)
        gateway.send_batch(ROW)  # the second slot
        worker.process.send_signal(signal.SIGTERM)
        assert [gateway.result()[0]["y"].tolist() for _ in range(2)] == [DOUBLED, DOUBLED]
        assert gateway.drained
        assert worker.process.wait(5) == 0
    assert not worker.socket.exists()
    assert not worker.socket.with_suffix(".json").exists()


def test_the_end_of_the_lifeline_drains_too(replica, lifeline) -> None:
    read_end, write_end = lifeline
    worker = replica(lifeline=read_end, delay_s=0.3)
    with worker.connect() as gateway:
        gateway.wait_for_credit()
        gateway.send_batch(ROW)
        os.close(write_end)
        assert gateway.result()[0]["y"].tolist() == DOUBLED
        assert worker.process.wait(5) == 0


def test_a_hung_model_does_not_outlive_the_lifeline(replica, lifeline, monkeypatch) -> None:
    read_end, write_end = lifeline
    monkeypatch.setenv("SWITCHYARD_DRAIN_S", "0.2")
    worker = replica(lifeline=read_end, delay_s=30.0)
    with worker.connect() as gateway:
        gateway.wait_for_credit()
        gateway.send_batch(ROW)
        gateway.want(0)
        os.close(write_end)
        assert worker.process.wait(5) == 1
        assert gateway.is_hung_up()


def test_after_sigkill_the_same_address_serves_again(replica) -> None:
    worker = replica(delay_s=0.2)
    gateway = worker.connect()
    gateway.wait_for_credit()
    gateway.send_batch(ROW)
    worker.process.kill()
    worker.process.wait(5)
    assert gateway.is_hung_up()
    assert worker.socket.exists()  # it could not clean up
    again = replica(job=worker.job)

    def answers() -> bool:
        try:
            with Peer(worker.job.address) as peer:
                peer.hello(worker.job.version.digest)
                return peer.ask(ROW)[0]["y"].tolist() == DOUBLED
        except (OSError, EOFError):
            return False

    wait_until(answers, why="the new process took the address over")
    assert again.process.poll() is None


def test_the_run_file_lets_a_later_controller_trust_the_pid(replica) -> None:
    worker = replica()
    worker.connect().close()
    [found] = read_run_files(Path(worker.job.data, "run"))
    assert is_alive(found)
    assert (found.replica, found.pid, found.model) == (worker.job.replica, worker.process.pid, "tiny")
    assert (found.address, found.digest) == (worker.job.address, worker.job.version.digest)


def test_a_spare_becomes_a_replica_when_its_job_comes(replica, short_tmp: Path) -> None:
    job = make_job(short_tmp, tiny_version(short_tmp / "store"))
    spare = start_worker(None, "--spare")
    try:
        wait_until(lambda: "torch" in mapped_files(spare.pid), deadline_s=30, why="torch is imported")
        give_job(spare, job)
        wait_until(lambda: Path(job.address.removeprefix("unix:")).exists(), deadline_s=30)
        with Peer(job.address) as gateway:
            gateway.hello(job.version.digest)
            assert gateway.ask(ROW)[0]["y"].tolist() == DOUBLED
    finally:
        spare.kill()
        spare.wait(5)


def mapped_files(pid: int) -> str:
    return Path(f"/proc/{pid}/maps").read_text()


def test_a_worker_whose_starter_ends_before_it_gave_a_job_ends_quietly() -> None:
    process = start_worker(None)
    process.stdin.close()
    assert process.wait(30) == 0


@pytest.mark.parametrize("end", ["sigterm", "lifeline"])
def test_a_spare_that_is_not_needed_ends_quietly(lifeline, end: str) -> None:
    read_end, write_end = lifeline
    spare = start_worker(None, "--spare", lifeline=read_end)
    try:
        wait_until(lambda: b"worker" in Path(f"/proc/{spare.pid}/cmdline").read_bytes())
        wait_until(lambda: "numpy" in mapped_files(spare.pid), deadline_s=30, why="it is up")
        if end == "sigterm":
            spare.terminate()
        else:
            os.close(write_end)
        assert spare.wait(30) == 0
    finally:
        spare.kill()


def test_a_corrupt_artifact_ends_the_worker_with_its_reason_in_the_log(replica, short_tmp: Path) -> None:
    version = tiny_version(short_tmp / "store")
    sha256 = version.artifact.files[0].sha256
    (short_tmp / "store" / "sha256" / sha256[:2] / sha256).write_bytes(b"not what was uploaded")
    worker = replica(job=make_job(short_tmp, version))
    assert worker.process.wait(30) == 3
    assert "artifact_corrupt" in worker.log.read_text()
    assert not worker.socket.exists()


@pytest.mark.parametrize("line", [b"{}\n", b"nonsense\n"])
def test_a_job_that_is_not_valid_is_refused(line: bytes, short_tmp: Path) -> None:
    process = start_worker(None, log=short_tmp / "log")
    process.stdin.write(line)
    process.stdin.close()
    assert process.wait(30) == 2
    assert "job_refused" in (short_tmp / "log").read_text()


def test_the_thread_count_of_the_job_holds(replica, short_tmp: Path) -> None:
    worker = replica(job=make_job(short_tmp, tiny_version(short_tmp / "store"), threads=1))
    with worker.connect() as gateway:
        gateway.ask(ROW)
    environ = psutil.Process(worker.process.pid)
    assert environ.num_threads() <= 3  # the loop, and what a library keeps for itself; not one for each core


def test_a_worker_serves_over_tls(replica, short_tmp: Path) -> None:
    node = make_node(make_ca(short_tmp / "ca"), "127.0.0.1")
    (short_tmp / "certs").symlink_to(node)
    port = free_port()
    job = make_job(short_tmp, tiny_version(short_tmp / "store"), address=f"tls:127.0.0.1:{port}")
    worker = replica(job=job)
    context = client_context(node)

    def answer() -> object:
        try:
            with Peer(job.address, context) as gateway:
                gateway.hello(job.version.digest)
                return gateway.ask(ROW)[0]["y"].tolist()
        except ConnectionError:
            return None

    assert wait_until(answer, why="the worker listens") == DOUBLED
    worker.process.terminate()
    assert worker.process.wait(5) == 0


def free_port() -> int:
    import socket

    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]
