"""A real console for a real browser: its own data folder and Valkey, seeded through the services, `manage.py serve`."""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright
from support.valkey import run_own_valkey
from support.waiting import wait_until

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser") or ""
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
PASSWORD = "switchyard-test"
WATCH_POLICY = """
  window.violations = []
  document.addEventListener("securitypolicyviolation", (event) => {
    window.violations.push(`${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}:${event.lineNumber}`)
  })
"""


@dataclass(frozen=True)
class Console:
    url: str
    environ: dict[str, str]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def running(command: list[str], environ: dict[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as out:
        process = subprocess.Popen(command, cwd=ROOT, env=environ, stdout=out, stderr=subprocess.STDOUT)
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(8)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(5)


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=1) as answer:
            return answer.status == 200
    except (urllib.error.URLError, OSError):
        return False


@pytest.fixture(scope="session")
def console() -> Iterator[Console]:
    folder = Path(tempfile.mkdtemp(prefix="sy-b-"))
    port = free_port()
    environ = {
        **os.environ,
        "SWITCHYARD_DATA": str(folder),
        "REDIS_URL": f"unix://{folder}/valkey.sock",
        "SWITCHYARD_GATEWAY_URL": f"http://127.0.0.1:{free_port()}",  # nobody listens: the playground must say so
        "PYTHONUNBUFFERED": "1",
    }
    seed = [sys.executable, str(Path(__file__).with_name("seed.py"))]
    try:
        with contextlib.ExitStack() as stack:
            stack.enter_context(run_own_valkey(folder))
            wait_until((folder / "valkey.sock").exists, why="Valkey opens its socket")
            run([sys.executable, "manage.py", "migrate", "-v0"], environ)
            run(seed, environ)
            stack.enter_context(running([*seed, "report"], environ, folder / "report.log"))
            serve = [sys.executable, "manage.py", "serve", "--port", str(port)]
            stack.enter_context(running(serve, environ, folder / "serve.log"))
            url = f"http://127.0.0.1:{port}"
            wait_until(lambda: answers(f"{url}/healthz"), 40, f"the console answers; see {folder / 'serve.log'}")
            yield Console(url, environ)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def run(command: list[str], environ: dict[str, str]) -> None:
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    if not CHROMIUM:
        why = "No Chromium here: install one, or name it with CHROMIUM=/path."
        if os.environ.get("REQUIRE_BROWSER") == "1":
            pytest.fail(why)
        pytest.skip(why)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def sessions(browser: Browser, console: Console) -> dict[str, dict]:  # type: ignore[type-arg]
    """Signed in once a person; each test starts from the cookies."""
    states = {}
    for name in ("admin", "vera"):
        context = browser.new_context()
        page = context.new_page()
        page.goto(f"{console.url}/accounts/login/")
        page.fill("[name=login]", name)
        page.fill("[name=password]", PASSWORD)
        page.click("[type=submit]")
        page.wait_for_url(f"{console.url}/")
        states[name] = context.storage_state()
        context.close()
    return states


@pytest.fixture
def open_context(browser: Browser, sessions: dict) -> Iterator[object]:  # type: ignore[type-arg]
    """`open_context("admin", width=360, theme="dark", script=False)`: a signed-in window that watches the policy."""
    opened: list[BrowserContext] = []

    def open_one(
        person: str = "admin", *, width: int = 1440, theme: str = "light", script: bool = True
    ) -> BrowserContext:
        context = browser.new_context(
            viewport={"width": width, "height": 900 if width > 700 else 780},
            storage_state=sessions.get(person),
            color_scheme=theme,
            reduced_motion="reduce",
            java_script_enabled=script,
        )
        context.set_default_timeout(15_000)
        if script:
            context.add_init_script(WATCH_POLICY)
        opened.append(context)
        return context

    yield open_one
    for context in opened:
        context.close()


@pytest.fixture
def page(open_context) -> Page:  # type: ignore[no-untyped-def]
    return open_context().new_page()
