"""Reports: newest wins, bounded, counted, and no trouble to those who report."""

import json

import pytest
import redis

from inference import status
from inference.sync.report import MAX_SECONDS, Reporter


def second(number: int) -> status.TelemetrySecond:
    return status.TelemetrySecond(gateway="g", second=number)


def gateway(at_s: float) -> status.GatewayStatus:
    return status.GatewayStatus(id="g", at_s=at_s, started_at_s=0, url="http://127.0.0.1:1")


@pytest.mark.asyncio
async def test_reports_arrive_and_the_newest_status_wins(valkey):
    reporter = Reporter(valkey)
    for at in (1, 2):
        reporter.telemetry(second(at))
        reporter.gateway(gateway(at))
    reporter.event(status.Event(at_s=1, kind="version.ready", subject="m", message="m 1 is ready"))
    assert await reporter.flush()
    await reporter.close()

    with redis.Redis.from_url(valkey) as client:
        assert [json.loads(fields[b"d"])["second"] for _, fields in client.xrange(status.TELEMETRY)] == [1, 2]
        assert json.loads(client.hget(status.GATEWAYS, "g"))["at_s"] == 2
        assert client.hexpiretime(status.GATEWAYS, "g") != [-1], "a dead gateway's row does not stay for ever"
        assert client.xlen(status.EVENTS) == 1


@pytest.mark.asyncio
async def test_with_redis_away_it_keeps_the_last_seconds_and_counts_the_rest(short_tmp, valkey_at, until):
    reporter = Reporter(f"unix://{short_tmp}/valkey.sock")
    for number in range(MAX_SECONDS + 7):
        reporter.telemetry(second(number))
    assert not await reporter.flush()

    with valkey_at(short_tmp):
        await until((short_tmp / "valkey.sock").exists)
        assert await reporter.flush()
        with redis.Redis.from_url(f"unix://{short_tmp}/valkey.sock") as client:
            sent = [json.loads(fields[b"d"]) for _, fields in client.xrange(status.TELEMETRY)]
        assert [item["second"] for item in sent] == list(range(7, MAX_SECONDS + 7))
        assert [item.get("dropped", 0) for item in sent] == [7] + [0] * (MAX_SECONDS - 1)
        assert await reporter.flush(), "what was sent is not sent again"
        await reporter.close()


@pytest.mark.asyncio
async def test_rows_of_workers_that_are_gone_are_removed(valkey):
    reporter = Reporter(valkey)
    with redis.Redis.from_url(valkey) as client:
        client.hset(status.WORKERS, mapping={"old": "{}", "living": "{}"})
        await reporter.forget_workers_except({"living"})
        await reporter.flush()
        assert client.hkeys(status.WORKERS) == [b"living"]
    await reporter.close()


@pytest.mark.asyncio
async def test_without_redis_nothing_is_kept():
    reporter = Reporter("")
    reporter.telemetry(second(1))
    reporter.gateway(gateway(1))
    assert await reporter.flush()
    assert not reporter.seconds
    assert not reporter.statuses


@pytest.mark.asyncio
async def test_a_report_that_redis_refuses_is_said_once_and_holds_nothing_up(valkey, capsys):
    reporter = Reporter(valkey)
    with redis.Redis.from_url(valkey) as client:
        client.set(status.GATEWAYS, "no hash")
        for at in (1, 2):
            reporter.gateway(gateway(at))
            reporter.telemetry(second(at))
            assert await reporter.flush()
        assert client.xlen(status.TELEMETRY) == 2
    await reporter.close()

    said = capsys.readouterr()
    assert (said.out + said.err).count("reports_refused") == 1
