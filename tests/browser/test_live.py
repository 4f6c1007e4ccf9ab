"""The live pages: traffic is on the screen within two seconds, pauses mean still, an outage is said and mended."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import redis
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Error as PlaywrightError
from playwright.sync_api import expect
from support.waiting import wait_until

from inference import sketch, spec
from inference.status import EVENTS, TELEMETRY, Event, Series, TelemetrySecond

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]
ROOT = Path(__file__).resolve().parents[2]


class Plane:
    """A gateway's reports, as they reach the monitor."""

    def __init__(self, url):
        self.client = redis.Redis.from_url(url)

    def report(self, second=None, *, requests=20, latency_s=0.0125, errors=None, version=1):
        """Of the second that has just ended."""
        second = int(time.time()) - 1 if second is None else second
        bins = {}
        sketch.add(bins, latency_s, requests)
        failed = sum((errors or {}).values())
        series = Series(
            model="minilm", version=version, requests=requests + failed, ok=requests, errors=errors or {},
            rows=requests, batches=5, latency=bins, queue=bins,
        )  # fmt: skip
        report = TelemetrySecond(gateway=f"g{version}", second=second, series=(series,), in_flight=3, waiting=1)
        self.client.xadd(TELEMETRY, {"d": spec.encode(report)})

    def event(self, message):
        told = Event(at_s=time.time(), kind="worker.lost", subject="minilm-v1-all-0", message=message, level="bad")
        self.client.xadd(EVENTS, {"d": spec.encode(told)})


@pytest.fixture(scope="module")
def plane(console):
    """A monitor at work beside the console, and what it reads."""
    monitor = subprocess.Popen([sys.executable, "manage.py", "monitor"], cwd=ROOT, env=console.environ)
    plane = Plane(console.environ["REDIS_URL"])
    try:
        wait_until(lambda: plane.client.hexists("sy:live", "overview"), 40, "the monitor shows something")
        yield plane
    finally:
        monitor.send_signal(signal.SIGTERM)
        try:
            monitor.wait(10)
        except subprocess.TimeoutExpired:
            monitor.kill()
            monitor.wait(5)


@pytest.fixture
def faults(page):
    """Errors of scripts, collected; a page must have none."""
    found = []
    page.on("pageerror", lambda error: found.append(str(error)))
    page.on("console", lambda line: found.append(line.text) if line.type == "error" else None)
    yield found
    if not page.is_closed():
        found += page.evaluate("window.violations ?? []")
    assert found == []


def tile(page, key):
    return page.locator(f"[data-tile={key}] [data-v]")


def is_live(page):
    expect(page.locator("#conn")).to_contain_text("ms", timeout=10_000)


def test_traffic_is_on_the_overview_within_two_seconds(console, plane, page, faults):
    page.goto(console.url)
    is_live(page)
    expect(tile(page, "requests")).to_have_text("–")  # nothing is known yet, and that is not 0
    began = time.monotonic()
    plane.report(requests=40, latency_s=0.0125)
    expect(tile(page, "requests")).to_have_text("40", timeout=2_000)
    assert time.monotonic() - began < 2.0
    expect(tile(page, "p95")).to_have_text("12.5")
    expect(tile(page, "errors")).to_have_text("0")  # measured
    expect(page.locator("tr[data-model=minilm] [data-m=p95]")).to_contain_text("12.5")
    expect(page.locator("[data-tile=requests] .spark path").last).to_have_attribute("d", re.compile("."))


def test_an_event_arrives_by_itself(console, plane, page, faults):
    page.goto(console.url)
    is_live(page)
    plane.event("minilm-v1-all-0 does not answer <b>any more</b>")
    newest = page.locator("#events li").first
    expect(newest).to_contain_text("does not answer <b>any more</b>", timeout=6_000)
    expect(newest.locator("strong")).to_have_text("Worker lost")


def test_paused_is_still_and_live_again_is_fresh(console, plane, page, faults):
    page.goto(console.url)
    is_live(page)
    plane.report(requests=50)
    expect(tile(page, "in_flight")).to_have_text("3", timeout=4_000)
    page.click("#live")
    expect(page.locator("#live")).to_contain_text("Paused")
    as_of = page.locator("#as-of").inner_text()
    frames = watch_deltas(page)
    plane.report(requests=90)
    page.wait_for_timeout(2_500)  # long enough for two frames that must not come
    assert page.locator("#as-of").inner_text() == as_of
    assert frames == []
    page.click("#live")
    expect(page.locator("#as-of")).not_to_have_text(as_of, timeout=4_000)


def watch_deltas(page):
    """Texts of frames that the page's open socket receives from now on."""
    session = page.context.new_cdp_session(page)
    session.send("Network.enable")
    found = []
    session.on(
        "Network.webSocketFrameReceived",
        lambda event: (
            found.append(event["response"]["payloadData"])
            if '"op":"delta"' in event["response"]["payloadData"]
            else None
        ),
    )
    return found


def test_a_hidden_tab_costs_nothing_and_returns_fresh(console, plane, page, faults):
    page.goto(f"{console.url}/dashboards/latency/?range=5m&model=minilm")
    is_live(page)
    hide = """(hidden) => {
      Object.defineProperty(document, "hidden", { configurable: true, get: () => hidden })
      document.dispatchEvent(new Event("visibilitychange"))
    }"""
    page.evaluate(hide, True)
    page.wait_for_timeout(500)  # what was under way
    frames = watch_deltas(page)
    page.wait_for_timeout(2_500)
    assert frames == []
    page.evaluate(hide, False)
    wait_until(lambda: page.wait_for_timeout(50) or frames, 5, "deltas come again")


@pytest.fixture
def traffic(plane):
    """Two versions over the last minute, with an error now and then."""
    now = int(time.time())
    for second in range(now - 60, now):
        plane.report(second, requests=20, latency_s=0.02, errors={"queue_full": 1} if second % 10 == 0 else None)
        plane.report(second, requests=5, latency_s=0.04, version=2)


def test_the_latency_dashboard_draws_each_panel(console, plane, traffic, open_context):
    context = open_context()
    page = context.new_page()
    page.set_viewport_size({"width": 1440, "height": 1700})  # so that all are in view
    errors = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(f"{console.url}/dashboards/latency/?range=5m&model=minilm")
    expect(page.locator(".js-plotly-plot")).to_have_count(6, timeout=20_000)
    said = page.locator("[data-panel=p95] [data-said]")
    expect(said).to_contain_text("v1")
    expect(said).to_contain_text("20.1 ms")
    expect(page.locator("[data-panel=errors] [data-said]")).to_contain_text("queue full")
    expect(page.locator("[data-panel=use] [data-said]")).to_contain_text("minilm-v1-all-0")
    expect(page.locator("#empty")).to_be_hidden()
    assert errors == []
    assert page.evaluate("window.violations") == []

    def stroke():
        return page.locator("[data-panel=p95] .scatterlayer .js-line").first.evaluate("line => line.style.stroke")

    light = stroke()
    page.emulate_media(color_scheme="dark")
    wait_until(lambda: page.wait_for_timeout(50) or stroke() != light, 5, "charts follow the theme")


def test_lines_are_hidden_by_their_button_and_the_address_remembers(console, plane, traffic, page, faults):
    page.goto(f"{console.url}/dashboards/latency/?range=5m&model=minilm")
    button = page.locator("[data-panel=p95] button[data-group='minilm/2']")
    button.click()
    expect(button).to_have_attribute("aria-pressed", "false")
    wait_until(lambda: page.wait_for_timeout(50) or "off=minilm%2F2" in page.url, 3, "the address says so")
    wait_until(
        lambda: page.wait_for_timeout(50) or page.locator("[data-panel=p95] .scatterlayer .trace").count() == 1, 5
    )
    page.reload()
    expect(page.locator("[data-panel=p95] button[data-group='minilm/2']")).to_have_attribute("aria-pressed", "false")


def test_zooming_pauses_every_panel_and_is_in_the_address(console, plane, traffic, page, faults):
    page.goto(f"{console.url}/dashboards/latency/?range=5m&model=minilm")
    plot = page.locator("[data-panel=p95] .js-plotly-plot .nsewdrag")
    plot.wait_for()
    box = plot.bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + 60)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.9, box["y"] + 60, steps=6)
    page.mouse.up()
    expect(page.locator("#live")).to_contain_text("Paused", timeout=5_000)
    assert "start=" in page.url
    assert "end=" in page.url
    assert "start=" in page.locator("[data-panel=p50] [data-csv]").get_attribute("href")
    page.click("#live")
    expect(page.locator("#live")).to_contain_text("Live")
    assert "range=5m" in page.url


def test_a_chart_can_be_read_as_a_table(console, plane, traffic, page, faults):
    page.goto(f"{console.url}/dashboards/latency/?range=5m&model=minilm")
    page.locator("[data-panel=p95] .js-plotly-plot").wait_for()
    page.click("[data-panel=p95] [data-table]")
    table = page.locator("[data-panel=p95] table")
    expect(table.locator("th")).to_have_text(["At", "v1, ms", "v2, ms"])
    expect(table.locator("tbody tr").first).to_contain_text("UTC")
    page.click("[data-panel=p95] [data-table]")
    expect(page.locator("[data-panel=p95] .js-plotly-plot")).to_be_visible()


def test_a_range_without_requests_says_so_and_offers_a_wider_one(console, plane, page, faults):
    page.goto(f"{console.url}/dashboards/latency/?range=5m&model=sentiment")
    expect(page.locator("#empty")).to_contain_text("No requests in this range")
    page.click("text=Widen to 15m")
    expect(page.locator("[data-range='15m']")).to_have_attribute("aria-current", "true")


def test_a_range_that_cannot_be_is_a_page_with_a_way_out(console, page):
    answer = page.goto(f"{console.url}/dashboards/latency/?range=1y")
    assert answer.status == 400
    page.click("text=Last 15m")
    expect(page.locator("h1")).to_have_text("Latency")


def test_both_pages_are_whole_without_script(console, plane, traffic, open_context):
    page = open_context(script=False).new_page()
    wait_until(lambda: plane.client.hexists("sy:live", "model:minilm"), 5, "a frame after the traffic")
    page.goto(console.url)
    expect(tile(page, "p95")).not_to_have_text("–")
    assert page.locator("[data-tile=requests] .spark path").last.get_attribute("d")
    page.goto(f"{console.url}/dashboards/latency/?range=5m&model=minilm")
    expect(page.locator("table")).to_contain_text("20.1")
    expect(page.locator("[data-panel=p95]")).to_contain_text("Charts need JavaScript")


def test_a_restarted_console_is_said_and_the_picture_comes_back(console, plane, open_context):
    """On a server of this test's own, beside the shared one: the same data, another port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"

    def serve():
        return subprocess.Popen(
            [sys.executable, "manage.py", "serve", "--port", str(port)], cwd=ROOT, env=os.environ | console.environ
        )

    server = serve()
    try:
        page = open_context().new_page()
        wait_until(lambda: answers(page, url), 40, "the second console answers")
        page.goto(url)
        is_live(page)
        server.send_signal(signal.SIGTERM)
        server.wait(10)
        expect(page.locator("#away")).to_contain_text("Reconnecting, data as of", timeout=10_000)
        expect(page.locator("#tiles")).to_have_class("tiles stale")
        server = serve()
        wait_until(lambda: answers(page, url), 40, "it is back")
        back = time.monotonic()
        expect(page.locator("#away")).to_be_hidden(timeout=20_000)
        plane.report(requests=70)
        expect(page.locator("#conn")).to_contain_text("ms")
        assert time.monotonic() - back < 18  # the longest pause between tries
    finally:
        server.kill()
        server.wait(5)


def answers(page, url):
    try:
        return page.request.get(f"{url}/healthz", timeout=1_000).ok
    except PlaywrightError:  # not yet
        page.wait_for_timeout(100)
        return False


@pytest.mark.parametrize("width", [1440, 360])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_live_pages_have_no_barrier(console, plane, traffic, open_context, width, theme):
    page = open_context(width=width, theme=theme).new_page()
    for path in ("/", "/dashboards/latency/?range=5m&model=minilm"):
        page.goto(console.url + path)
        page.locator("#live").wait_for()
        violations = Axe().run(page).response["violations"]
        grave = [
            f"{fault['id']}: {node['html'][:200]}"
            for fault in violations
            if fault["impact"] in ("serious", "critical")
            for node in fault["nodes"]
        ]
        assert grave == [], path
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), f"{path} scrolls sideways"
