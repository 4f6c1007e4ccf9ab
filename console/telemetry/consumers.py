"""The live socket: it joins groups and relays. One selector a subscription, for its snapshot; no other query.

A message is handled before the next one, so frames of the group that arrive while a snapshot is being read wait, and
those the snapshot covers are dropped. Nothing here waits for the client: one task writes, from the mailbox.
"""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec
import structlog
from channels.generic.websocket import AsyncWebsocketConsumer

from console.lib.errors import ConsoleError, Invalid
from console.lib.ids import new_ulid
from console.telemetry import live, wire
from console.telemetry.admission import look_anew, refusal, same_origin
from console.telemetry.mailbox import Mailbox, SlowConsumer, Subscription
from console.telemetry.snapshots import read_snapshot

log = structlog.get_logger()

EPOCH = new_ulid()  # of this process: a client never joins two histories
CLOSING_S = 2.0
FAILED_CHECKS = 3
AFTER_LOGOUT_S = 0.3


class StreamConsumer(AsyncWebsocketConsumer):
    async def connect(self) -> None:
        self.subscriptions: dict[str, Subscription] = {}
        self.tasks: list[asyncio.Task[None]] = []
        self.leaving = False
        if not same_origin(self.scope) or wire.SUBPROTOCOL not in self.scope.get("subprotocols", []):
            await self.close()  # before accepting: the browser sees 403
            return
        self.mailbox, self.has_mail = Mailbox(), asyncio.Event()
        self.heard_s = time.monotonic()
        self.said: deque[float] = deque()
        await self.accept(wire.SUBPROTOCOL)
        if code := await refusal(self.scope):
            await self.say_bye(code)
            return
        await self.channel_layer.group_add(live.group_of_person(self.scope["user"].pk), self.channel_name)
        self.put(hello())
        self.tasks = [asyncio.create_task(self.write()), asyncio.create_task(self.watch())]

    async def disconnect(self, code: int) -> None:
        for task in self.tasks:
            if task is not asyncio.current_task():
                task.cancel()
        with contextlib.suppress(*live.AWAY):
            await self.channel_layer.group_discard(live.group_of_person(self.scope["user"].pk), self.channel_name)
            for channel in {subscription.channel for subscription in self.subscriptions.values()}:
                await self.channel_layer.group_discard(live.group_of_channel(channel), self.channel_name)
        self.subscriptions.clear()

    # Rights

    async def watch(self) -> None:
        """Each 30 s: is the session still good? And is anybody there? Sockets outlive logouts otherwise."""
        failed, checked_s = 0, time.monotonic()
        while True:
            await asyncio.sleep(5.0)
            if time.monotonic() - self.heard_s > wire.SILENT_S:
                await self.say_bye(wire.SLOW)
                return
            if time.monotonic() - checked_s < wire.RECHECK_S:
                continue
            checked_s = time.monotonic()
            try:
                code = await refusal(look_anew(self.scope))
            except Exception:
                log.exception("socket.recheck_failed")
                failed += 1
                code = wire.RESTART if failed >= FAILED_CHECKS else 0
            else:
                failed = 0
            if code:
                await self.say_bye(code)
                return

    async def live_recheck(self, event: dict[str, Any]) -> None:
        """This person logged out or changed: look now, once the session has had time to end."""
        await asyncio.sleep(AFTER_LOGOUT_S)
        if code := await refusal(look_anew(self.scope)):
            await self.say_bye(code)

    # Writing

    def put(self, message: dict[str, Any]) -> None:
        self.mailbox.put(message)
        self.has_mail.set()

    async def write(self) -> None:
        while True:
            await self.has_mail.wait()
            self.has_mail.clear()
            while not self.leaving and (message := self.mailbox.take()) is not None:
                await self.send(text_data=wire.encode(message).decode())

    async def say_bye(self, code: int) -> None:
        """Once: what a flood sends behind the close finds it said already. A client that is gone hears nothing."""
        if self.leaving:
            return
        self.leaving = True
        words = {
            wire.LOGIN: "login", wire.FORBIDDEN: "forbidden", wire.SLOW: "slow_consumer", wire.TOO_MANY: "too_many",
            wire.RESTART: "restart",
        }  # fmt: skip
        with contextlib.suppress(asyncio.TimeoutError, OSError):  # a reader that is gone must not hold us
            async with asyncio.timeout(CLOSING_S):
                await self.send(text_data=wire.encode({"op": "bye", "code": words[code], "retry_ms": 2_000}).decode())
        with contextlib.suppress(OSError):
            await self.close(code)

    # What the client says

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        if self.leaving:
            return
        self.heard_s = time.monotonic()
        if self.too_many():
            await self.say_bye(wire.TOO_MANY)
            return
        said = None
        try:
            if text_data is None or len(text_data) > wire.MAX_MESSAGE_BYTES:
                raise Invalid(f"A message is JSON text of at most {wire.MAX_MESSAGE_BYTES} bytes.")
            said = read_said(text_data)
            await self.obey(said)
        except ConsoleError as error:
            self.put(problem(said.id if said else "", 400, error.code, error.detail))
        except SlowConsumer:
            await self.say_bye(wire.SLOW)

    def too_many(self) -> bool:
        now_s = time.monotonic()
        self.said.append(now_s)
        while now_s - self.said[0] > wire.MESSAGES_WITHIN_S:
            self.said.popleft()
        return len(self.said) > wire.MAX_MESSAGES

    async def obey(self, said: wire.Said) -> None:
        if said.op == "ping":
            self.put({"op": "pong", "t": said.t})
        elif said.op == "sub":
            await self.subscribe(said)
        elif said.op in ("unsub", "pause", "resume"):
            subscription = self.subscriptions.get(said.id)
            if subscription is None:
                raise Invalid.field("id", f"No subscription has the id {said.id!r}.")
            if said.op == "unsub":
                await self.unsubscribe(subscription)
            else:
                subscription.paused = said.op == "pause"
                if said.op == "resume":
                    await self.snapshot(subscription)
        else:
            raise Invalid.field("op", f"{said.op!r} is no operation: sub, unsub, pause, resume, ping.")

    async def subscribe(self, said: wire.Said) -> None:
        channel = wire.read_channel(said.ch)
        if not wire.ID.fullmatch(said.id):
            raise Invalid.field("id", "An id is 1 to 32 letters, digits, hyphens or underscores.")
        params = wire.read_params(said.p, time.time()) if channel == "metrics" else None
        before = self.subscriptions.get(said.id)
        if before is None and len(self.subscriptions) >= wire.MAX_SUBS:
            self.put(problem(said.id, 429, "too_many_subscriptions", f"A socket holds {wire.MAX_SUBS} subscriptions."))
            return
        seq = 0
        if before is not None:  # asked anew, after a gap or with other parameters
            seq = before.seq
            self.mailbox.forget(before)
            await self.unsubscribe(before, keep=channel)
        subscription = self.subscriptions[said.id] = Subscription(id=said.id, channel=channel, params=params, seq=seq)
        await self.channel_layer.group_add(live.group_of_channel(channel), self.channel_name)
        await self.snapshot(subscription)

    async def unsubscribe(self, subscription: Subscription, keep: str = "") -> None:
        del self.subscriptions[subscription.id]
        self.mailbox.forget(subscription)
        channel = subscription.channel
        if channel != keep and all(other.channel != channel for other in self.subscriptions.values()):
            await self.channel_layer.group_discard(live.group_of_channel(channel), self.channel_name)

    async def snapshot(self, subscription: Subscription) -> None:
        """The one query of a subscription. Its group was joined before."""
        self.mailbox.forget(subscription)
        subscription.lost = False
        message: dict[str, Any] = {"op": "snap", "id": subscription.id, "seq": subscription.next_seq()}
        try:
            message |= await read_snapshot(subscription)
        except ConsoleError:
            raise
        except Exception:
            log.exception("socket.snapshot_failed", channel=subscription.channel)
            subscription.lost = True
            self.put(
                problem(subscription.id, 503, "not_ready", "The telemetry store did not answer. Ask again in a moment.")
            )
            return
        self.put(message)

    # What the monitor says

    def listeners(self, event: dict[str, Any]) -> list[Subscription]:
        return [
            subscription
            for subscription in self.subscriptions.values()
            if subscription.channel == event["ch"] and not subscription.paused and not subscription.lost
        ]

    async def live_state(self, event: dict[str, Any]) -> None:
        await self.relay(event, self.take_state)

    async def live_points(self, event: dict[str, Any]) -> None:
        await self.relay(event, self.take_points)

    async def live_event(self, event: dict[str, Any]) -> None:
        await self.relay(event, self.take_event)

    async def relay(self, event: dict[str, Any], take: Callable[[Subscription, dict[str, Any]], None]) -> None:
        try:
            for subscription in self.listeners(event):
                take(subscription, event)
        except SlowConsumer:
            await self.say_bye(wire.SLOW)
        self.has_mail.set()

    def take_state(self, subscription: Subscription, event: dict[str, Any]) -> None:
        if event["t"] > subscription.through:
            subscription.through = event["t"]
            self.mailbox.put_state(subscription, event["t"], event["s"])

    def take_points(self, subscription: Subscription, event: dict[str, Any]) -> None:
        """Frames that the snapshot covers are dropped; a frame that does not join on is a gap."""
        if event["t"] <= subscription.through:
            return
        if event["t0"] > subscription.through + 1:
            self.mailbox.say_gap(subscription, subscription.seq + 1, subscription.seq + 1)
            return
        subscription.through = event["t"]
        for step, start, known, point in event["points"]:
            if step == subscription.params.step:
                values = subscription.params.pick(point)
                self.mailbox.put_point(subscription, {"t": start, "k": int(known), "s": values})

    def take_event(self, subscription: Subscription, event: dict[str, Any]) -> None:
        if event["event"]["rev"] > subscription.through:
            subscription.through = event["event"]["rev"]
            message = {"op": "event", "id": subscription.id, "seq": subscription.next_seq(), **event["event"]}
            self.mailbox.put(message, subscription)


def hello() -> dict[str, Any]:
    now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return {
        "op": "hello", "v": 1, "sid": new_ulid(), "epoch": EPOCH, "now": now,
        "heartbeat": wire.HEARTBEAT_S, "max_subs": wire.MAX_SUBS,
    }  # fmt: skip


def problem(subscription: str, status: int, code: str, detail: str) -> dict[str, Any]:
    return {"op": "problem", "id": subscription, "status": status, "code": code, "detail": detail}


def read_said(text: str) -> wire.Said:
    try:
        return wire.decode_said(text)
    except msgspec.MsgspecError as error:
        raise Invalid(f"The message is not usable: {error}.") from None
