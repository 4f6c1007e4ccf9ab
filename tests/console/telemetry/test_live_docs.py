"""The page on the live stream names what there is, all of it."""

from pathlib import Path

import pytest

from console.telemetry import wire
from console.telemetry.frames import LIVE_STEPS
from console.telemetry.series import CATALOGUE, RANGES

PAGE = (Path(__file__).resolve().parents[3] / "docs/live-stream.md").read_text()


@pytest.mark.parametrize("name", [*CATALOGUE, *RANGES, "overview", "workers", "events", "metrics", "model:NAME"])
def test_each_series_range_and_channel_is_on_the_page(name):
    assert f"`{name}`" in PAGE


@pytest.mark.parametrize("code", [wire.LOGIN, wire.FORBIDDEN, wire.SLOW, wire.TOO_MANY, wire.RESTART])
def test_each_close_code_is_on_the_page(code):
    assert f"| {code} |" in PAGE


def test_limits_are_as_written():
    one, five, ten = LIVE_STEPS
    assert f"`step` {one}, {five} or {ten} s" in PAGE
    assert f"over {wire.MAX_MESSAGES} messages in {wire.MESSAGES_WITHIN_S:g} s" in PAGE
    assert f"every {wire.SILENT_S} s" in PAGE
    assert f"every {wire.RECHECK_S:g} s" in PAGE
    assert f'"max_subs":{wire.MAX_SUBS}' in PAGE
