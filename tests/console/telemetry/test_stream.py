"""The live socket, `console.v1`: who may open it, snapshot then deltas, gaps said, slow readers let go."""

import asyncio
import contextlib
import json
import time

import pytest
import pytest_asyncio
from asgiref.sync import sync_to_async
from asgiref.testing import ApplicationCommunicator
from channels.layers import get_channel_layer
from django.contrib.auth import get_user_model
from django.test import Client

from console.asgi import application
from console.telemetry import live, wire
from console.telemetry.events import record_events
from console.telemetry.monitor import Monitor

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.asyncio]


class Socket:
    """One WebSocket to the whole ASGI application, as a server would open it."""

    def __init__(self, headers, subprotocols):
        scope = {"type": "websocket", "path": "/ws/v1/stream", "query_string": b"", "headers": headers}
        self.asgi = ApplicationCommunicator(application, scope | {"subprotocols": list(subprotocols)})

    async def connect(self):
        """The accepted subprotocol, or None where the handshake was refused."""
        await self.asgi.send_input({"type": "websocket.connect"})
        answer = await self.asgi.receive_output(5)
        return answer["subprotocol"] if answer["type"] == "websocket.accept" else None

    async def say(self, **message):
        await self.say_text(json.dumps(message))

    async def say_text(self, text):
        await self.asgi.send_input({"type": "websocket.receive", "text": text})

    async def next(self, timeout=5.0):
        output = await self.asgi.receive_output(timeout)
        return json.loads(output["text"]) if output["type"] == "websocket.send" else output

    async def hear(self, op, timeout=5.0):
        """The next message of that kind; others before it are left aside."""
        async with asyncio.timeout(timeout):
            while True:
                message = await self.next(timeout)
                if message.get("op") == op:
                    return message

    async def close(self):
        await self.asgi.send_input({"type": "websocket.disconnect", "code": 1000})
        await self.asgi.wait(5)


def log_in(role="viewer"):
    user = get_user_model().objects.create_user(f"{role}-1", password="a long password 1", role=role)
    client = Client()
    client.force_login(user)
    return user, client


def open_socket(client=None, *, origin="http://localhost", host="localhost", subprotocols=("console.v1",)):
    headers = [(b"host", host.encode()), (b"origin", origin.encode())]
    if client is not None:
        cookie = "; ".join(f"{name}={morsel.value}" for name, morsel in client.cookies.items())
        headers.append((b"cookie", cookie.encode()))
    return Socket(headers, subprotocols)


@pytest_asyncio.fixture
async def viewer(valkey):
    return await sync_to_async(log_in)()


@pytest_asyncio.fixture
async def socket(viewer):
    socket = open_socket(viewer[1])
    assert await socket.connect() == "console.v1"
    yield socket
    with contextlib.suppress(asyncio.CancelledError, asyncio.TimeoutError):
        await socket.close()


@pytest_asyncio.fixture
async def monitor(valkey):
    stop = asyncio.Event()
    async with live.monitor_client() as redis:
        monitor = Monitor(redis, get_channel_layer())
        task = asyncio.create_task(monitor.run(stop))
        yield monitor
        stop.set()
        await task


async def until(what, deadline_s=8.0):
    async with asyncio.timeout(deadline_s):
        while not (found := what()):
            await asyncio.sleep(0.02)
    return found


async def test_hello_says_what_the_client_must_know(socket):
    hello = await socket.hear("hello")
    assert (hello["v"], hello["max_subs"], hello["heartbeat"]) == (1, 32, 15)
    assert hello["epoch"]
    await socket.say(op="ping", t=17)
    assert (await socket.hear("pong"))["t"] == 17


async def test_an_anonymous_socket_is_closed_with_4401(valkey):
    socket = open_socket()
    assert await socket.connect()
    assert (await socket.next())["code"] == "login"
    assert (await socket.next())["code"] == wire.LOGIN


@pytest.mark.parametrize(
    "origin",
    ["http://evil.example", "http://localhost:3000", "null", ""],
)
async def test_another_origin_never_gets_a_socket(viewer, origin):
    assert await open_socket(viewer[1], origin=origin).connect() is None


async def test_a_client_that_does_not_speak_the_protocol_is_refused(viewer):
    assert await open_socket(viewer[1], subprotocols=("graphql-ws",)).connect() is None


async def test_logging_out_closes_the_socket(viewer, socket):
    await socket.hear("hello")
    await sync_to_async(viewer[1].logout)()
    assert (await socket.hear("bye"))["code"] == "login"
    assert (await socket.next())["code"] == wire.LOGIN


async def test_a_deactivated_person_loses_the_socket_at_the_next_look(viewer, socket):
    await socket.hear("hello")
    user = viewer[0]
    user.is_active = False
    await sync_to_async(user.save)()
    assert (await socket.hear("bye"))["code"] == "login"


@pytest.mark.parametrize(
    "said, why",
    [
        ("nonsense", "not usable"),
        ("[1]", "not usable"),
        ('{"op":"dance"}', "no operation"),
        ('{"op":"sub","id":"a","ch":"secrets"}', "No channel"),
        ('{"op":"sub","id":"no spaces","ch":"overview"}', "An id is"),
        ('{"op":"unsub","id":"x"}', "No subscription"),
        ('{"op":"sub","id":"a","ch":"metrics","p":{"series":["nonsense"]}}', "No series"),
        ('{"op":"sub","id":"a","ch":"metrics","p":{"step":7}}', "Live steps"),
        ('{"op":"sub","id":"a","ch":"metrics","p":{"window":99999999}}', "live window"),
        ('{"op":"sub","id":"a","ch":"metrics","p":{"q":[0.123]}}', "Live quantiles"),
        ('{"op":"sub","id":"a","ch":"metrics","p":{"series":["busy"],"by":"model"}}', "known by worker"),
        ('{"op":"sub","id":"a","ch":"metrics","p":{"typo":1}}', "not usable"),
        ('{"op":"sub","id":"a","ch":"overview","p":' + '"x"' + "}", "not usable"),
        (json.dumps({"op": "ping", "id": "x" * 5_000}), "at most 4096"),
    ],
)
async def test_what_cannot_be_right_gets_a_problem_and_the_socket_lives(socket, said, why):
    await socket.say_text(said)
    problem = await socket.hear("problem")
    assert problem["status"] == 400
    assert why in problem["detail"]
    await socket.say(op="ping", t=1)
    assert await socket.hear("pong")


async def test_a_socket_holds_32_subscriptions(socket):
    for number in range(wire.MAX_SUBS):
        await socket.say(op="sub", id=f"s{number}", ch="overview")
        await socket.hear("snap")
    await socket.say(op="sub", id="one-more", ch="overview")
    assert (await socket.hear("problem"))["code"] == "too_many_subscriptions"


async def test_a_flood_is_closed_with_4429(socket):
    for _ in range(wire.MAX_MESSAGES + 5):
        await socket.say(op="ping", t=1)
    assert (await socket.hear("bye"))["code"] == "too_many"
    assert (await socket.next())["code"] == wire.TOO_MANY
    assert await socket.asgi.receive_nothing(0.2)  # a server takes nothing after a close


async def test_overview_is_a_snapshot_then_what_changed(monitor, socket, plane, telemetry):
    await until(lambda: live.read_state("overview"))
    await socket.say(op="sub", id="c1", ch="overview")
    snap = await socket.hear("snap")
    assert snap["s"]["requests"] is None
    assert len(snap["lines"]["requests"]) == 60
    plane.report(telemetry.second(int(time.time()), telemetry.series([0.01] * 20)))
    seqs = [snap["seq"]]
    async with asyncio.timeout(5):
        while True:
            delta = await socket.hear("delta")
            seqs.append(delta["seq"])
            if "requests" in delta["s"]:
                break
    assert delta["s"]["requests"] == 20  # of the one second known
    assert "use.kind" not in delta["s"]  # it did not change
    assert seqs == list(range(1, len(seqs) + 1))


async def test_metrics_join_snapshot_and_deltas_without_a_hole(monitor, socket, plane, telemetry):
    now = int(time.time())
    for second in range(now - 20, now):
        plane.report(telemetry.second(second, telemetry.series([0.01] * 10), telemetry.series([0.05] * 2, version=2)))
    await until(lambda: (state := live.read_state("overview")) and state.s.get("m|minilm|requests"))
    params = {"series": ["latency_ms", "requests"], "q": [0.5], "window": 300, "step": 1, "model": "minilm"}
    await socket.say(op="sub", id="c1", ch="metrics", p=params)
    snap = await socket.hear("snap")
    assert snap["n"] == 300
    line = snap["s"]["requests|minilm/1"]
    index = now - 20 - snap["t0"]
    assert line[index : index + 20] == [10.0] * 20
    assert line[index - 1] is None
    assert snap["s"]["latency_ms.p50|minilm/2"][index] == pytest.approx(50, rel=0.011)

    seen = set()
    through = snap["t"]
    while len(seen) < 3:
        second = int(time.time())
        plane.report(telemetry.second(second, telemetry.series([0.02] * 4)))
        delta = await socket.hear("delta")
        if delta["t"] > through:
            assert delta["t"] <= max(seen, default=through) + 1
            seen.add(delta["t"])
    await until(lambda: monitor.rings.newest >= max(seen))


async def test_a_missed_frame_is_said_as_a_gap_and_mended_by_asking_anew(socket, valkey):
    await socket.say(op="sub", id="c1", ch="metrics", p={"series": ["requests"], "by": "none", "step": 1})
    snap = await socket.hear("snap")
    layer, group = get_channel_layer(), live.group_of_channel("metrics")

    async def frame(first, last):
        points = [[1, last, True, {"none": {"requests|all": 5.0}}]]
        await layer.group_send(
            group, {"type": "live.points", "ch": "metrics", "t0": first, "t": last, "points": points}
        )

    t = snap["t"]
    await frame(t + 1, t + 1)
    assert (await socket.hear("delta"))["s"] == {"requests|all": 5.0}
    await frame(t + 4, t + 4)
    gap = await socket.hear("gap")
    assert gap["id"] == "c1"
    await frame(t + 5, t + 5)  # silent until asked anew
    await socket.say(op="sub", id="c1", ch="metrics", p={"series": ["requests"], "by": "none", "step": 1})
    message = await socket.next()
    assert message["op"] == "snap"
    assert message["seq"] > gap["from"] - 1


async def test_events_come_once_snapshot_or_live(monitor, socket, plane, telemetry):
    old = telemetry.event(at_s=time.time(), kind="worker.ready", subject="r0", message="ready")
    await sync_to_async(record_events)([("1-0", old)])
    await socket.say(op="sub", id="e", ch="events")
    snap = await socket.hear("snap")
    assert [row["subject"] for row in snap["rows"]] == ["r0"]
    plane.event(telemetry.event(at_s=time.time(), kind="worker.lost", subject="r1", message="lost", level="bad"))
    event = await socket.hear("event", 8)
    assert (event["type"], event["subject"], event["data"]["level"]) == ("worker.lost", "r1", "bad")
    assert event["rev"] > snap["rows"][0]["rev"]


async def test_paused_means_silent_and_resumed_means_a_fresh_snapshot(socket, valkey):
    await socket.say(op="sub", id="c1", ch="workers")
    await socket.hear("snap")
    layer, group = get_channel_layer(), live.group_of_channel("workers")
    await socket.say(op="pause", id="c1")
    await socket.say(op="ping", t=1)
    await socket.hear("pong")
    await layer.group_send(group, {"type": "live.state", "ch": "workers", "t": 9, "s": {"w|r1|use": 3}})
    await socket.say(op="resume", id="c1")
    assert (await socket.next())["op"] == "snap"


async def test_unsubscribed_means_silent(socket, valkey):
    await socket.say(op="sub", id="c1", ch="overview")
    await socket.hear("snap")
    await socket.say(op="unsub", id="c1")
    await socket.say(op="ping", t=1)
    await socket.hear("pong")
    group = live.group_of_channel("overview")
    await get_channel_layer().group_send(group, {"type": "live.state", "ch": "overview", "t": 9, "s": {"requests": 3}})
    assert await socket.asgi.receive_nothing(0.3)


async def test_without_a_monitor_metrics_come_from_history(socket, valkey):
    await socket.say(op="sub", id="c1", ch="metrics", p={"series": ["requests"], "by": "none", "step": 10})
    snap = await socket.hear("snap")
    assert snap["s"] == {"requests|all": [None] * snap["n"]}
