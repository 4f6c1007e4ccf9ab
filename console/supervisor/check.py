"""`manage.py up --check`: a newcomer's first five minutes, without a screen, against the machine that just started.

Each step is what a person does: open the login link, try a model, make a key, paste the curl line, send demo traffic,
watch the numbers move. The first that fails ends the check with its reason and exit code 1.
"""

import asyncio
import http.cookiejar
import json
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

import websockets

STEP_S = 30.0
LIVE_S = 15.0
PROTOCOL = websockets.Subprotocol("console.v1")
TEXT = {"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "data": ["The points are set."]}]}


class CheckFailed(Exception):
    """A step did not give what a newcomer would expect; the message says what came instead."""


class Visitor:
    """A browser without a screen: cookies, CSRF, JSON."""

    def __init__(self, base: str):
        self.base = base
        self.cookies = http.cookiejar.CookieJar()
        self.opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self.cookies))

    def cookie(self, name: str) -> str:
        return next((cookie.value or "" for cookie in self.cookies if cookie.name == name), "")

    def open(self, url: str) -> str:
        with self.opener.open(url, timeout=STEP_S) as answer:
            return str(answer.read().decode())

    def call(self, path: str, body: dict[str, Any]) -> Any:
        headers = {
            "Content-Type": "application/json",
            "X-CSRFToken": self.cookie("switchyard_csrf"),
            "Idempotency-Key": f"check-{time.monotonic_ns()}",
        }
        request = urllib.request.Request(self.base + path, json.dumps(body).encode(), headers)
        try:
            with self.opener.open(request, timeout=STEP_S) as answer:
                return json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            raise CheckFailed(f"POST {path} gave {error.code}: {error.read(2000).decode(errors='replace')}") from error


async def run_check(facts: dict[str, Any], say: Callable[[str], None]) -> int:
    """Go through every step; say each; return the exit code."""
    visitor = Visitor(facts["console_url"])
    state: dict[str, Any] = {}
    steps: tuple[tuple[str, Callable[[], str]], ...] = (
        ("log in by the one-time link", lambda: log_in(visitor, facts)),
        ("playground answers", lambda: try_model(visitor)),
        ("make an API key", lambda: make_key(visitor, state)),
        ("curl with that key", lambda: curl(facts, state["key"])),
        ("send demo traffic", lambda: send_traffic(visitor)),
    )
    try:
        for number, (name, step) in enumerate(steps, 1):
            began = time.monotonic()
            found = await asyncio.to_thread(step)
            say(f"check {number}/{len(steps) + 1}  {name}: {found} ({time.monotonic() - began:.1f} s)")
        found = await live_numbers(visitor)
        say(f"check {len(steps) + 1}/{len(steps) + 1}  live numbers: {found}")
    except (CheckFailed, OSError, TimeoutError, KeyError, websockets.WebSocketException) as error:
        say(f"check failed: {type(error).__name__}: {error}")
        return 1
    say("The first five minutes work.")
    return 0


def log_in(visitor: Visitor, facts: dict[str, Any]) -> str:
    page = visitor.open(facts["login_url"])
    if "switchyard_session" not in {cookie.name for cookie in visitor.cookies}:
        raise CheckFailed("The login link opened no session.")
    if "Overview" not in page:
        raise CheckFailed("The login link did not lead to the Overview.")
    return "Overview opens"


def try_model(visitor: Visitor) -> str:
    answer = visitor.call("/api/v1/models/minilm:infer", TEXT)
    outputs = answer["body"].get("outputs") or [{"shape": answer["body"]}]
    if outputs[0]["shape"] != [1, 384]:
        raise CheckFailed(f"minilm answered with shape {outputs[0]['shape']} instead of [1, 384].")
    return "minilm gives 384 numbers"


def make_key(visitor: Visitor, state: dict[str, Any]) -> str:
    made = visitor.call("/api/v1/api-keys/", {"name": f"check {time.time():.0f}", "scopes": ["infer"]})
    state["key"] = made["secret"]
    return f"{made['secret'][:11]}… shown once"


def curl(facts: dict[str, Any], key: str) -> str:
    """As copied from the playground; a new key must work everywhere within a second."""
    command = [
        "curl", "--silent", "--show-error", "--fail-with-body", "--max-time", "10",
        f"{facts['gateway_url']}/v2/models/minilm/infer", "-H", f"Authorization: Bearer {key}",
        "-H", "Content-Type: application/json", "--data", json.dumps(TEXT),
    ]  # fmt: skip
    end = time.monotonic() + 5.0
    while True:
        done = subprocess.run(command, capture_output=True, text=True, timeout=15, check=False)
        if done.returncode == 0:
            break
        if time.monotonic() > end:
            raise CheckFailed(f"curl ended with {done.returncode}: {done.stdout}{done.stderr}")
        time.sleep(0.1)
    return f"{len(json.loads(done.stdout)['outputs'][0]['data'])} numbers"


def send_traffic(visitor: Visitor) -> str:
    visitor.call("/api/v1/system/demo:traffic", {"rate_per_s": 10, "seconds": 20})
    return "10 requests/s for 20 s"


async def live_numbers(visitor: Visitor) -> str:
    """Join the live stream as the Overview does, and wait until it tells of requests."""
    url = visitor.base.replace("http", "ws", 1) + "/ws/v1/stream"
    cookie = "; ".join(f"{cookie.name}={cookie.value}" for cookie in visitor.cookies)
    headers = {"Cookie": cookie, "Origin": visitor.base}
    began = time.monotonic()
    async with (
        asyncio.timeout(LIVE_S),
        websockets.connect(
            url, additional_headers=headers, subprotocols=[websockets.Subprotocol("console.v1")]
        ) as socket,
    ):
        await socket.send(json.dumps({"op": "sub", "id": "c1", "ch": "overview"}))
        async for raw in socket:
            frame = json.loads(raw)
            if frame.get("op") == "problem":
                raise CheckFailed(f"The live stream refused: {frame}")
            rate = frame.get("s", {}).get("requests")
            if rate:
                return f"{rate:g} requests/s on the Overview after {time.monotonic() - began:.1f} s"
    raise CheckFailed("The live stream ended without a number.")
