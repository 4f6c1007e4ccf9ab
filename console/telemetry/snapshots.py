"""The first answer to a subscription: everything up to a moment, from one selector. Deltas go on from there.

Reading takes threads of its own: a question to the monitor may take 2 s, and pages must not wait behind it.
"""

import asyncio
import time
from typing import Any

from channels.db import database_sync_to_async

from console.telemetry import live, selectors
from console.telemetry.events import event_data
from console.telemetry.mailbox import Subscription

EVENTS = 20


async def read_snapshot(subscription: Subscription) -> dict[str, Any]:
    """The body of `snap`. Sets what the subscription is through with."""
    if subscription.channel == "metrics":
        return await metrics_snapshot(subscription)
    if subscription.channel == "events":
        return await events_snapshot(subscription)
    return await state_snapshot(subscription)


async def state_snapshot(subscription: Subscription) -> dict[str, Any]:
    state = await asyncio.to_thread(live.read_state, subscription.channel)
    if state is None:
        return {"t": 0, "at": None, "s": {}, "lines": {}}
    subscription.through, subscription.state = state.through, state.s
    return {"t": state.through, "at": state.at_s, "s": state.s, "lines": state.lines}


async def metrics_snapshot(subscription: Subscription) -> dict[str, Any]:
    now_s = time.time()
    query = subscription.params.query(now_s)
    answer = await database_sync_to_async(selectors.run_query, thread_sensitive=False)(query, now_s)
    subscription.through = answer.through
    lines = {
        name: [None if value is None else round(value, 3) for value in line] for name, line in answer.series.items()
    }
    return {
        "t": answer.through, "t0": answer.start, "step": answer.step, "n": answer.points, "s": lines,
        "left_out": answer.left_out,
    }  # fmt: skip


async def events_snapshot(subscription: Subscription) -> dict[str, Any]:
    events = await database_sync_to_async(selectors.latest_events, thread_sensitive=False)(EVENTS)
    subscription.through = max((event.pk for event in events), default=0)
    return {"t": int(time.time()), "rows": [event_data(event) for event in events]}
