"""Picture every page of a running console: light and dark, 1440 x 900 and 360 x 780.

python -m bench.screenshots --url http://127.0.0.1:8000 --user admin --password … --out docs/screenshots
"""

import argparse
import asyncio
import io
import sys
from dataclasses import dataclass
from pathlib import Path

from PIL import Image
from playwright.async_api import Browser, Page, async_playwright

CHROMIUM = "/usr/bin/chromium"
CHROMIUM_FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
SIZES = {"": (1440, 900), "-360": (360, 780)}
THEMES = ("light", "dark")
SETTLE_MS = 1200  # live numbers and charts arrive


@dataclass(frozen=True)
class Shot:
    name: str
    path: str
    click: str = ""  # selector to press before the picture
    until: str = ""  # selector to wait for after that


def list_shots(model: str, image_model: str) -> list[Shot]:
    return [
        Shot("overview", "/"),
        Shot("models", "/models/"),
        Shot("model", f"/models/{model}/"),
        Shot("model-traffic", f"/models/{model}/?tab=traffic"),
        Shot("model-config", f"/models/{model}/?tab=config"),
        Shot("model-activity", f"/models/{model}/?tab=activity"),
        Shot("version", f"/models/{model}/versions/1/"),
        Shot("upload", f"/models/{model}/upload/"),
        Shot("playground", f"/playground/?model={model}", click="[data-run]", until="#result .facts"),
        Shot("playground-image", f"/playground/?model={image_model}", click="[data-run]", until="#result .facts"),
        Shot("workers", "/workers/"),
        Shot("dashboard-latency", "/dashboards/latency/"),
        Shot("audit", "/audit/?check=1"),
        Shot("settings-profile", "/settings/profile/"),
        Shot("settings-api-keys", "/settings/api-keys/"),
        Shot("settings-users", "/settings/users/"),
        Shot("settings-system", "/settings/system/"),
        Shot("search", "/models/", click="[data-do=palette]"),
        Shot("not-found", "/models/nothing-here/"),
    ]


async def sign_in(page: Page, arguments: argparse.Namespace) -> None:
    if arguments.login_link:
        await page.goto(arguments.login_link)
        return
    await page.goto(f"{arguments.url}/accounts/login/")
    await page.fill("[name=login]", arguments.user)
    await page.fill("[name=password]", arguments.password)
    await page.click("form [type=submit]")
    await page.wait_for_load_state()


async def take(browser: Browser, arguments: argparse.Namespace, shots: list[Shot], state: str) -> None:
    for suffix, (width, height) in SIZES.items():
        for theme in THEMES:
            context = await browser.new_context(
                viewport={"width": width, "height": height},
                storage_state=state,
                color_scheme="dark" if theme == "dark" else "light",
                reduced_motion="reduce",
            )
            page = await context.new_page()
            for shot in shots:
                await page.goto(f"{arguments.url}{shot.path}")
                if shot.click and await page.locator(shot.click).count():
                    await page.locator(shot.click).first.click()
                if shot.until:
                    await page.locator(shot.until).first.wait_for()
                await page.wait_for_timeout(SETTLE_MS)
                await shoot(page, arguments.out / f"{shot.name}-{theme}{suffix}.png", arguments.full)
            await context.close()


async def shoot(page: Page, path: Path, full: bool = False) -> None:
    """In 256 colours: nobody sees the difference, and the folder is a third as large."""
    picture = Image.open(io.BytesIO(await page.screenshot(full_page=full)))
    picture.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)


async def run(arguments: argparse.Namespace) -> None:
    arguments.out.mkdir(parents=True, exist_ok=True)
    shots = list_shots(arguments.model, arguments.image_model)
    if arguments.only:
        shots = [shot for shot in shots if shot.name in arguments.only]
    state = str(arguments.out / ".session.json")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=CHROMIUM_FLAGS)
        if not arguments.only or "login" in arguments.only:
            await take_login(browser, arguments)
        context = await browser.new_context()
        await sign_in(await context.new_page(), arguments)
        await context.storage_state(path=state)
        try:
            await take(browser, arguments, shots, state)
        finally:
            Path(state).unlink()
            await browser.close()


async def take_login(browser: Browser, arguments: argparse.Namespace) -> None:
    for suffix, (width, height) in SIZES.items():
        for theme in THEMES:
            page = await browser.new_page(
                viewport={"width": width, "height": height}, color_scheme="dark" if theme == "dark" else "light"
            )
            await page.goto(f"{arguments.url}/accounts/login/")
            await shoot(page, arguments.out / f"login-{theme}{suffix}.png")
            await page.close()


def parse(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.screenshots", description=__doc__)
    parser.add_argument("--url", required=True, help="of the console, without a slash at the end")
    parser.add_argument("--login-link", help="a one-time link; else --user and --password")
    parser.add_argument("--user", default="admin")
    parser.add_argument("--password", default="")
    parser.add_argument("--out", type=Path, default=Path("docs/screenshots"))
    parser.add_argument("--model", default="minilm")
    parser.add_argument("--image-model", default="digits")
    parser.add_argument("--only", nargs="*", default=[], help="names of pages; without it, all")
    parser.add_argument("--full", action="store_true", help="the whole height of each page")
    return parser.parse_args(argv)


if __name__ == "__main__":
    asyncio.run(run(parse(sys.argv[1:])))
