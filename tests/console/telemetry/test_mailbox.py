"""A slow reader costs bounded memory, and knows what it missed."""

import pytest

from console.telemetry.mailbox import Mailbox, SlowConsumer, Subscription


def drain(box):
    messages = []
    while (message := box.take()) is not None:
        messages.append(message)
    return messages


def test_points_wait_in_order():
    box, chart = Mailbox(4), Subscription(id="c", channel="metrics")
    for t in range(3):
        box.put_point(chart, {"t": t})
    assert [(m["seq"], m["t"]) for m in drain(box)] == [(1, 0), (2, 1), (3, 2)]


def test_overflow_becomes_one_gap_that_names_what_is_missing():
    box, chart = Mailbox(4), Subscription(id="c", channel="metrics")
    for t in range(20):
        box.put_point(chart, {"t": t})
    assert drain(box) == [{"op": "gap", "id": "c", "from": 1, "to": 5}]
    assert box.dropped == 4


def test_the_fullest_subscription_gives_way_and_the_others_do_not():
    box = Mailbox(8)
    busy, calm = Subscription(id="busy", channel="metrics"), Subscription(id="calm", channel="metrics")
    box.put_point(calm, {"t": 0})
    for t in range(10):
        box.put_point(busy, {"t": t})
    box.put_point(calm, {"t": 1})
    messages = drain(box)
    assert [m["t"] for m in messages if m["id"] == "calm"] == [0, 1]
    assert [m["op"] for m in messages if m["id"] == "busy"] == ["gap"]


def test_of_a_state_only_the_latest_waits_and_only_what_changed_is_sent():
    box, tiles = Mailbox(4), Subscription(id="o", channel="overview", state={"a": 1, "b": 1, "c": 1})
    for t in range(100):
        box.put_state(tiles, t, {"a": 1, "b": t})
    assert len(box) == 1
    assert drain(box) == [{"op": "delta", "id": "o", "seq": 1, "t": 99, "s": {"b": 99}, "gone": ["c"]}]


def test_events_are_never_dropped():
    box, log, chart = Mailbox(8), Subscription(id="e", channel="events"), Subscription(id="c", channel="metrics")
    for number in range(6):
        box.put({"op": "event", "rev": number}, log)
        box.put_point(chart, {"t": number})
    assert [m["rev"] for m in drain(box) if m["op"] == "event"] == list(range(6))


def test_a_reader_that_takes_no_events_is_let_go():
    box = Mailbox(8)
    for number in range(8):
        box.put({"op": "event", "rev": number})
    with pytest.raises(SlowConsumer):
        box.put({"op": "event", "rev": 8})


def test_what_is_no_longer_wanted_is_not_sent():
    box, chart = Mailbox(4), Subscription(id="c", channel="metrics")
    box.put_point(chart, {"t": 0})
    box.forget(chart)
    assert drain(box) == []
