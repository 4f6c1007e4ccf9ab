"""The monitor as a process: live within two seconds, history counted once, back by itself after any outage."""

import os
import signal
import time

import msgspec
import pytest
import redis
from support.waiting import wait_until

from console.lib.models import OutboxMark
from console.telemetry import live
from console.telemetry.models import Event, GatewayRollUp, RollUp
from inference.lifeline import VARIABLE, open_lifeline
from inference.status import TELEMETRY

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.e2e]


def state(url, channel="overview"):
    raw = redis.Redis.from_url(url).hget(live.LIVE, channel)
    return msgspec.json.decode(raw, type=live.State) if raw else None


def requests_written(grain_s=10):
    return sum(RollUp.objects.filter(grain_s=grain_s).values_list("requests", flat=True))


def past_second(offset=0):
    """A second in a bucket that ended long enough ago to be written at once."""
    return int(time.time()) - 120 + offset


def test_traffic_is_on_the_overview_within_two_seconds(valkey, plane, telemetry, start_monitor):
    start_monitor()
    wait_until(lambda: state(valkey), 20, "the monitor shows something")
    assert state(valkey).s["requests"] is None
    assert state(valkey).s["ready"] is None

    second = int(time.time())
    began = time.monotonic()
    plane.worker(telemetry.worker("r1", time.time(), use=40))
    plane.report(telemetry.second(second, telemetry.series([0.010] * 95 + [0.2] * 5, errors={"queue_full": 1})))
    shown = wait_until(lambda: (found := state(valkey)).s["requests"] and found, 4, "requests are shown")
    assert time.monotonic() - began < 2.5  # the second itself had still to end
    assert shown.s["p95"] == pytest.approx(10, rel=0.011)
    assert shown.s["errors"] == pytest.approx(1 / 101 * 100, rel=0.01)
    assert (shown.s["ready"], shown.s["workers"], shown.s["w|r1|use"]) == (1, 1, 40)
    assert shown.s["m|minilm|p95"] == shown.s["p95"]
    assert state(valkey, "model:minilm").s["v|1|p50"] == pytest.approx(10, rel=0.011)


def test_history_counts_each_report_once_over_kill_and_restart(plane, telemetry, start_monitor):
    for i in range(30):
        plane.report(telemetry.second(past_second(i), telemetry.series([0.01] * 10)))
    first = start_monitor()
    wait_until(lambda: requests_written() == 300, 20, "all reports have rows")
    first.kill()
    first.wait(5)
    plane.report(telemetry.second(past_second(29), telemetry.series([0.01] * 5), gateway="g2"))
    start_monitor()
    wait_until(lambda: requests_written() >= 305, 20, "the late report has its row")
    assert requests_written(10) == requests_written(300) == 305


def test_a_report_sent_twice_counts_once(plane, telemetry, start_monitor):
    report = telemetry.second(past_second(), telemetry.series([0.01] * 10))
    plane.report(report)
    plane.report(report)
    start_monitor()
    wait_until(requests_written, 20)
    assert requests_written() == 10


def test_it_stops_clean_and_writes_what_is_in_hand(valkey, plane, telemetry, start_monitor):
    process = start_monitor()
    wait_until(lambda: state(valkey), 20)
    plane.report(telemetry.second(int(time.time()) - 1, telemetry.series([0.01] * 10)))
    wait_until(lambda: state(valkey).s["requests"], 5)
    assert requests_written() == 0
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0
    assert requests_written() == 10


def test_it_ends_with_its_lifeline(valkey, start_monitor):
    read_end, write_end = open_lifeline()
    process = start_monitor(pass_fds=(read_end,), **{VARIABLE: str(read_end)})
    os.close(read_end)
    wait_until(lambda: state(valkey), 20)
    os.close(write_end)
    assert process.wait(10) == 0


def test_two_monitors_write_as_one(valkey, plane, telemetry, start_monitor):
    one = start_monitor()
    wait_until(lambda: state(valkey), 20)
    first_epoch = state(valkey).epoch
    other = start_monitor()
    for i in range(20):
        plane.report(telemetry.second(past_second(i), telemetry.series([0.01] * 10)))
    wait_until(lambda: requests_written() == 200, 20)
    one.kill()
    wait_until(lambda: state(valkey).epoch != first_epoch, 10, "the other takes over")
    assert other.poll() is None
    plane.report(telemetry.second(past_second(), telemetry.series([0.01]), gateway="g2"))
    wait_until(lambda: requests_written() >= 201, 10)
    assert requests_written() == 201


def test_it_outlives_its_valkey(own_valkey, plane_at, telemetry, start_monitor):
    plane = plane_at(own_valkey.url)
    process = start_monitor(REDIS_URL=own_valkey.url)
    plane.report(telemetry.second(past_second(), telemetry.series([0.01] * 10)))
    wait_until(lambda: requests_written() == 10, 20)
    own_valkey.kill()
    own_valkey.start()
    plane.report(telemetry.second(past_second(1), telemetry.series([0.01] * 3)))
    wait_until(lambda: requests_written() == 13, 15, "reports of the new Valkey are written")
    wait_until(lambda: (found := state(own_valkey.url)) and found.is_fresh(), 5)
    assert process.poll() is None


def test_events_are_mirrored_once(plane, telemetry, start_monitor):
    for number in range(3):
        plane.event(telemetry.event(at_s=time.time(), kind="worker.ready", subject=f"r{number}", message="ready"))
    first = start_monitor()
    wait_until(lambda: Event.objects.count() == 3, 20)
    first.kill()
    first.wait(5)
    plane.event(telemetry.event(at_s=time.time(), kind="worker.lost", subject="r1", message="lost", level="bad"))
    start_monitor()
    wait_until(lambda: Event.objects.count() >= 4, 20)
    assert list(Event.objects.order_by("pk").values_list("subject", flat=True)) == ["r0", "r1", "r2", "r1"]


def test_what_it_cannot_read_is_left_out(valkey, plane, telemetry, start_monitor):
    client = redis.Redis.from_url(valkey)
    client.xadd(TELEMETRY, {"d": b"{not json"})
    client.xadd(TELEMETRY, {"other": b"field"})
    client.hset("sy:status:workers", "odd", b"[]")
    plane.report(telemetry.second(1_000, telemetry.series([0.01])))  # a clock of 1970
    plane.report(telemetry.second(int(time.time()) + 3_600, telemetry.series([0.01])))
    plane.report(telemetry.second(past_second(), telemetry.series([0.01] * 10)))
    start_monitor()
    wait_until(requests_written, 20)
    assert requests_written() == 10
    assert GatewayRollUp.objects.filter(grain_s=10).count() == 1


def test_it_sweeps_the_outbox(valkey, start_monitor):
    OutboxMark.objects.create(kind="keys", key="keys", generation=1, pending=True)
    start_monitor()
    wait_until(lambda: not OutboxMark.objects.filter(pending=True).exists(), 20, "the mark is published")
    assert redis.Redis.from_url(valkey).hlen("sy:doc:keys") == 1
