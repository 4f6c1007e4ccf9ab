"""The worker's side of the socket: what is served, who is served next, and who is shown the door."""

import os
import random
import socket
import stat
from pathlib import Path

import pytest
from support.peer import Peer, floats
from support.waiting import wait_until

from inference.transport.connection import Limits
from inference.transport.frames import (
    MAGIC,
    PREFIX,
    VERSION,
    ClientHello,
    Data,
    Item,
    Kind,
    Result,
    Role,
    TensorHead,
    Want,
    pack,
)
from inference.transport.listening import listen
from inference.transport.server import CROSSING_S

ROW = floats([1, 2, 3, 4])


def test_a_lone_gateway_is_granted_every_slot_and_gets_each_back_with_its_answer(echo) -> None:
    with echo(slots=2).connect() as gateway:
        gateway.wait_for_credit()
        assert gateway.credits == 2
        for _ in range(3):
            assert gateway.ask(ROW)[0]["x"].tolist() == [[1, 2, 3, 4]]
            assert gateway.credits == 2


def test_the_socket_is_its_owners_alone(echo, short_tmp: Path) -> None:
    echo()
    assert stat.S_IMODE((short_tmp / "w.sock").stat().st_mode) == 0o600


def test_the_path_of_a_dead_process_is_taken_over_and_of_a_living_one_is_not(short_tmp: Path) -> None:
    path = short_tmp / "w.sock"
    listener = listen(f"unix:{path}")
    with pytest.raises(OSError, match="Another process"):
        listen(f"unix:{path}")
    listener.close()  # as after SIGKILL: the path stays
    assert path.exists()
    listen(f"unix:{path}").close()


def test_a_gateway_that_comes_before_the_model_is_ready_is_granted_when_it_is(echo) -> None:
    worker = echo(slots=0)
    with worker.connect() as gateway:
        assert gateway.credits == 0
        worker.server.open(1)
        gateway.wait_for_credit()
        assert gateway.ask(ROW)[0]["x"].tolist() == [[1, 2, 3, 4]]


def test_a_batch_with_several_items_and_large_tensors_comes_back_whole(echo) -> None:
    large = floats(*[[float(n)] * 4 for n in range(200_000)])
    with echo().connect() as gateway:
        small, big = gateway.ask(ROW, large)
    assert small["x"].tolist() == [[1, 2, 3, 4]]
    assert big["x"].shape == (200_000, 4)
    assert big["x"][-1, 0] == 199_999


def test_two_gateways_that_want_are_served_in_turn(echo) -> None:
    worker = echo(slots=1, limits=Limits(settle_s=60))  # however slowly this test is run
    with worker.connect("a") as a, worker.connect("b") as b:
        a.wait_for_credit()
        worker.hold()
        a.send_batch(ROW)
        wait_until(lambda: worker.server.batches, why="a has the slot")
        a.want(10)
        b.want(10)
        accounts = worker.server.credits.accounts
        wait_until(lambda: [account.waiting for account in accounts.values()] == [10, 10])
        worker.release()
        for gateway in (b, a) * 9:
            gateway.wait_for_credit()
            gateway.send_batch(ROW)
        wait_until(lambda: len(worker.answered) == 19, why="all are served")
    assert worker.answered == ["a", "b"] * 9 + ["a"]


def test_an_idle_gateways_credit_is_taken_back_for_one_that_wants(echo) -> None:
    worker = echo(slots=1)
    with worker.connect("a") as a, worker.connect("b") as b:
        a.wait_for_credit()
        b.want(1)
        b.wait_for_credit()
        assert b.ask(ROW)[0]["x"].tolist() == [[1, 2, 3, 4]]
        while a.credits:  # it hears of it
            a.next()


def test_a_gateway_that_asked_and_says_no_more_does_not_block_the_other(echo) -> None:
    worker = echo(slots=1)
    with worker.connect("a") as a, worker.connect("b") as b, worker.connect("c") as c:
        a.wait_for_credit()
        worker.hold()
        a.send_batch(ROW)
        wait_until(lambda: worker.server.batches, why="a has the slot")
        b.want(1)
        c.want(1)
        wait_until(lambda: sum(account.waiting for account in worker.server.credits.accounts.values()) == 2)
        worker.release()
        b.wait_for_credit()  # and does nothing with it
        c.wait_for_credit()
        assert c.ask(ROW)[0]["x"].tolist() == [[1, 2, 3, 4]]


def test_a_gateway_that_hangs_up_with_work_here_frees_its_slots(echo) -> None:
    worker = echo(slots=2)
    with worker.connect("b") as b:
        a = worker.connect("a")
        b.wait_for_credit()
        a.want(1)
        a.wait_for_credit()
        worker.hold()
        a.send_batch(ROW)
        wait_until(lambda: worker.server.inbox, why="the batch is here")
        a.reset()
        wait_until(lambda: not worker.server.inbox, why="the batch of the dead is dropped")
        worker.release()
        assert b.ask(ROW)[0]["x"].tolist() == [[1, 2, 3, 4]]
        assert b.credits == 2
        assert worker.answered == ["b"]


def test_a_gateway_that_hangs_up_while_its_batch_runs_costs_nobody_else_an_answer(echo) -> None:
    worker = echo(slots=2)
    with worker.connect("b") as b:
        a = worker.connect("a")
        b.wait_for_credit()
        a.want(1)
        a.wait_for_credit()
        worker.hold()
        a.send_batch(ROW)
        batch = wait_until(lambda: worker.server.inbox and worker.server.inbox.popleft(), why="the batch is taken")
        a.reset()
        wait_until(lambda: len(worker.server.connections) == 1 and not worker.server.batches)
        worker.server.answer(batch, [], [], None)
        worker.release()
        assert b.ask(ROW)[0]["x"].tolist() == [[1, 2, 3, 4]]


@pytest.mark.parametrize(
    "bytes_sent",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        os.urandom(64),
        PREFIX.pack(MAGIC, VERSION, 77, 0, 0),
        PREFIX.pack(MAGIC, VERSION + 1, Kind.HELLO, 0, 0),
        PREFIX.pack(MAGIC, VERSION, Kind.HELLO, 2**31, 2**62),
        PREFIX.pack(MAGIC, VERSION, Kind.HELLO, 1, 1_000_000),  # too much for a stranger
        PREFIX.pack(MAGIC, VERSION, Kind.HELLO, 3, 0) + b"\xc1\xc1\xc1",
        pack(Kind.WANT, Want(1)),  # before HELLO
        pack(Kind.HELLO, ClientHello(9, "x", "")),
        pack(Kind.HELLO, ClientHello(Role.GATEWAY, "x", "e" * 64)),  # another version
    ],
    ids=["http", "noise", "kind", "version", "lengths", "large-hello", "header", "no-hello", "role", "digest"],
)
def test_a_stranger_that_speaks_nonsense_is_hung_up_on_and_others_are_served(echo, bytes_sent: bytes) -> None:
    worker = echo()
    with worker.connect() as gateway, Peer(worker.address) as stranger:
        stranger.sock.sendall(bytes_sent)
        assert stranger.is_hung_up()
        assert gateway.ask(ROW)[0]["x"].tolist() == [[1, 2, 3, 4]]


@pytest.mark.parametrize(
    "kind, header, body",
    [
        (Kind.DATA, Data(1, []), b""),
        (Kind.DATA, Data(1, [Item(1, 0, [])] * 2, [TensorHead("x", "FP32", (1, 4), 16)]), b"x" * 16),
        (Kind.DATA, Data(1, [Item(1, 0, [TensorHead("x", "FP32", (1, 4), 16)])]), b"short"),
        (Kind.DATA, Data(1, [Item(1, 0, [TensorHead("x", "FP32", (1, 4), 16)])]), b"x" * 17),
        (Kind.DATA, Data(1, [Item(1, 0, [TensorHead("x", "UINT8", (1, 4), n) for n in (20, -4)])]), b"x" * 16),
        (Kind.RESULT, Result(1, 0, []), b""),
        (Kind.HELLO, ClientHello(Role.GATEWAY, "twice", "d" * 64), b""),
    ],
    ids=[
        "no-items",
        "rows-that-do-not-add-up",
        "too-few-bytes",
        "too-many-bytes",
        "negative-size",
        "not-for-workers",
        "hello-twice",
    ],
)
def test_a_gateway_that_lies_is_hung_up_on_and_others_are_served(echo, kind, header, body) -> None:
    worker = echo()
    with worker.connect() as honest, worker.connect("liar") as liar:
        liar.send(kind, header, [body])
        assert liar.is_hung_up()
        assert liar.drained  # it was told why
        assert honest.ask(ROW)[0]["x"].tolist() == [[1, 2, 3, 4]]


def test_more_batches_than_slots_end_the_connection(echo) -> None:
    worker = echo(slots=2)
    with worker.connect() as gateway:
        gateway.wait_for_credit()
        worker.hold()
        for _ in range(3):
            gateway.send_batch(ROW)
        assert gateway.is_hung_up()
        assert "slots" in gateway.drained


def test_a_batch_number_in_use_ends_the_connection(echo) -> None:
    worker = echo(slots=2)
    with worker.connect() as gateway:
        gateway.wait_for_credit()
        worker.hold()
        gateway.send_batch(ROW)
        gateway.numbers = 0
        gateway.send_batch(ROW)
        assert gateway.is_hung_up()


def test_a_controller_gets_heartbeats_and_may_send_no_work(echo) -> None:
    worker = echo()
    with worker.connect("c", Role.CONTROLLER) as controller:
        wait_until(lambda: worker.server.observer_came)
        worker.server.beat(b"{}")
        assert bytes(controller.expect(Kind.HEARTBEAT)[1]) == b"{}"
        controller.send_batch(ROW)
        assert controller.is_hung_up()


def test_one_that_connects_and_says_nothing_is_hung_up_on(echo) -> None:
    with Peer(echo().address) as silent:
        assert silent.is_hung_up()


def test_one_that_stops_half_way_through_a_frame_is_hung_up_on(echo) -> None:
    with echo().connect() as gateway:
        gateway.wait_for_credit()
        gateway.sock.sendall(pack(Kind.WANT, Want(1))[:-1])
        assert gateway.is_hung_up()


def test_one_that_reads_nothing_is_hung_up_on_and_others_are_served_meanwhile(echo) -> None:
    worker = echo(slots=2, limits=Limits(introduction_s=0.2, stall_s=0.4, unsent_bytes=1_000_000))
    large = floats(*[[1.0] * 4] * 200_000)
    with worker.connect("b") as b, worker.connect("a") as deaf:
        deaf.want(1)
        deaf.wait_for_credit()
        deaf.send_batch(large)
        wait_until(lambda: worker.answered == ["a"])
        assert b.ask(ROW)[0]["x"].tolist() == [[1, 2, 3, 4]]
        wait_until(lambda: len(worker.server.connections) == 1, why="the deaf one is dropped")


def test_an_idle_connection_stays(echo) -> None:
    worker = echo()
    with worker.connect() as gateway:
        gateway.wait_for_credit()
        with Peer(worker.address) as silent:
            assert silent.is_hung_up()  # several limits later
        assert gateway.ask(ROW)[0]["x"].tolist() == [[1, 2, 3, 4]]


def test_cancelled_items_are_marked_and_a_cancel_that_comes_late_is_no_fault(echo) -> None:
    worker = echo()
    with worker.connect() as gateway:
        gateway.wait_for_credit()
        worker.hold()
        number = gateway.send_batch(ROW, ROW)
        gateway.cancel(number, [1])
        wait_until(lambda: worker.server.inbox and worker.server.inbox[0].cancelled == {1})
        worker.release()
        gateway.result()
        gateway.cancel(number, [0])
        assert gateway.ask(ROW)[0]["x"].tolist() == [[1, 2, 3, 4]]


def test_a_drain_answers_what_is_here_and_what_was_on_its_way_and_takes_no_newcomer(echo, short_tmp: Path) -> None:
    worker = echo(slots=2)
    with worker.connect() as gateway:
        gateway.wait_for_credit()
        worker.hold()
        gateway.send_batch(ROW)
        wait_until(lambda: worker.server.inbox)
        worker.server.drain("asked to stop")
        gateway.expect(Kind.DRAIN)
        gateway.send_batch(ROW)  # crossed the DRAIN
        with pytest.raises(OSError):
            Peer(worker.address)
        assert not worker.server.drained
        worker.release()
        assert [len(gateway.result()), len(gateway.result())] == [1, 1]
        assert gateway.drained == "asked to stop"
        wait_until(lambda: worker.server.drained, deadline_s=CROSSING_S + 2)
    assert not (short_tmp / "w.sock").exists()


def test_only_so_many_connections_are_held(echo) -> None:
    worker = echo(limits=Limits(connections=3))
    held = [worker.connect(str(n)) for n in range(3)]
    with Peer(worker.address) as late:
        assert late.is_hung_up()
    for peer in held:
        peer.close()


def test_a_half_closed_peer_is_let_go(echo) -> None:
    worker = echo()
    with worker.connect() as gateway:
        gateway.sock.shutdown(socket.SHUT_WR)
        assert gateway.is_hung_up()
        wait_until(lambda: not worker.server.connections)


def test_a_valid_stream_with_any_byte_changed_never_stops_the_worker(echo) -> None:
    """What a changed byte means differs (another value, a lie, a longer frame); that others are served does not."""
    worker = echo()
    data = Data(1, [Item(1, 0, [TensorHead("x", "FP32", (1, 4), 16)])])
    valid = pack(Kind.HELLO, ClientHello(Role.GATEWAY, "m", "d" * 64)) + pack(Kind.DATA, data, [bytes(16)])
    dice = random.Random(20)
    with worker.connect("honest") as honest:
        for _ in range(150):
            stream = bytearray(valid)
            for _ in range(dice.randint(1, 4)):
                stream[dice.randrange(len(stream))] = dice.randrange(256)
            with Peer(worker.address) as mutant:
                mutant.sock.sendall(stream[: dice.randrange(1, len(stream))] if dice.random() < 0.3 else stream)
        honest.want(1)
        assert honest.ask(ROW)[0]["x"].tolist() == [[1, 2, 3, 4]]
    assert worker.thread.is_alive()
