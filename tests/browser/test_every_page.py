"""Promises of every page, in both themes, wide and narrow: no barrier, no policy violation, no sideways scrolling."""

import pytest
from axe_playwright_python.sync_playwright import Axe

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]

PAGES = [
    "/",
    "/models/",
    "/models/?q=nothing-like-this",
    "/models/+new/",
    "/models/minilm/",
    "/models/minilm/?tab=traffic",
    "/models/minilm/?tab=config",
    "/models/minilm/?tab=activity",
    "/models/sentiment/",
    "/models/minilm/versions/1/",
    "/models/minilm/versions/3/",
    "/models/minilm/versions/2/stable/",
    "/models/minilm/upload/",
    "/playground/?model=minilm",
    "/playground/?model=digits",
    "/workers/",
    "/workers/?view=replicas",
    "/workers/minilm-v1-all-0/",
    "/dashboards/latency/",
    "/audit/?check=1",
    "/settings/profile/",
    "/settings/api-keys/",
    "/settings/users/",
    "/settings/system/",
    "/accounts/password/change/",
    "/accounts/2fa/",
    "/search/?q=mini",
    "/nothing-here/",
]
GRAVE = ("serious", "critical")


def grave_faults(page, **options):
    found = Axe().run(page, options=options or None).response["violations"]
    return [
        f"{fault['id']}: {node['html'][:160]} {node['failureSummary'][:200]}"
        for fault in found
        if fault["impact"] in GRAVE
        for node in fault["nodes"]
    ]


@pytest.mark.parametrize("width", [1440, 360])
def test_no_page_has_a_barrier(console, open_context, width):
    page = open_context(width=width).new_page()
    faults = {}
    for path in PAGES:
        page.emulate_media(color_scheme="light")
        page.goto(console.url + path)
        page.wait_for_load_state("load")
        found = grave_faults(page)
        page.emulate_media(color_scheme="dark")  # changes colours alone, so only these are looked at again
        found += grave_faults(page, runOnly=["color-contrast", "link-in-text-block"])
        found += page.evaluate("window.violations")
        if (wide := page.evaluate("document.documentElement.scrollWidth")) > width:
            found.append(f"scrolls sideways: {wide} px")
        if found:
            faults[path] = found
    assert faults == {}


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_sign_in_has_no_barrier(console, open_context, theme):
    page = open_context("nobody", theme=theme, width=360).new_page()
    page.goto(f"{console.url}/accounts/login/")
    page.fill("[name=login]", "admin")
    page.fill("[name=password]", "not-the-password")
    page.click("[type=submit]")
    page.wait_for_selector("[role=alert]")
    assert grave_faults(page) + page.evaluate("window.violations") == []


def test_dialogs_have_no_barrier(console, page):
    page.goto(f"{console.url}/models/minilm/")
    page.click("text=Make stable")
    page.wait_for_selector("#dialog[open]")
    assert "100% of the traffic moves to v2" in page.inner_text("#dialog")
    assert grave_faults(page) == []
    page.keyboard.press("Escape")
    page.keyboard.press("Control+k")
    page.wait_for_selector("#palette [role=option]")
    assert grave_faults(page) == []
