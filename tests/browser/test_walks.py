"""What people do: by keyboard alone, without script, with too few rights, and after an interruption."""

import pytest

pytestmark = pytest.mark.browser


def test_the_keyboard_reaches_a_model_and_asks_before_moving_traffic(console, page):
    page.goto(f"{console.url}/")
    page.keyboard.press("Control+k")
    page.wait_for_selector("#palette [role=option]")
    page.keyboard.type("minilm")
    page.locator("#palette [role=option]").first.filter(has_text="minilm").wait_for()
    page.keyboard.press("Enter")
    page.wait_for_url("**/models/minilm/")
    page.locator("text=Make stable").focus()
    page.keyboard.press("Enter")
    page.wait_for_selector("#dialog[open]")
    page.keyboard.press("Escape")
    page.keyboard.press("g")
    page.keyboard.press("w")
    page.wait_for_url("**/workers/")
    page.keyboard.press("?")
    assert "Keyboard" in page.inner_text("#keys")


def test_focus_is_always_seen(console, page):
    """Each stop of the tab key has a ring, and the sticky bars do not hide it."""
    page.goto(f"{console.url}/models/minilm/?tab=traffic")
    for _ in range(40):
        page.keyboard.press("Tab")
        stop = page.evaluate("""() => {
          const one = document.activeElement, box = one.getBoundingClientRect(), style = getComputedStyle(one)
          const top = document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2)
          const ring = getComputedStyle(one.closest(".drop") ?? one)
          return { name: one.outerHTML.slice(0, 80), ring: ring.outlineStyle !== "none",
                   seen: one === document.body || !top || one.contains(top) || top.contains(one) }
        }""")
        if stop["name"].startswith("<body"):
            break  # once around
        assert stop["ring"], stop
        assert stop["seen"], stop


def test_shortcuts_can_be_switched_off(console, open_context):
    page = open_context("vera").new_page()
    page.goto(f"{console.url}/settings/profile/")
    page.uncheck("[name=shortcuts]")
    page.click("text=Save")
    page.wait_for_selector(".toast")
    page.keyboard.press("g")
    page.keyboard.press("m")
    page.keyboard.press("?")
    assert page.url.endswith("/settings/profile/")
    assert page.locator("#keys[open]").count() == 0
    page.check("[name=shortcuts]")
    page.click("text=Save")
    page.wait_for_load_state()


def test_the_theme_is_right_from_the_first_byte(console, page):
    page.goto(f"{console.url}/models/")
    page.click("summary.who")
    with page.expect_response("**/settings/theme/"):
        page.click("[name=theme][value=dark]")
    assert page.get_attribute("html", "data-theme") == "dark"
    answer = page.request.get(f"{console.url}/models/")
    assert '<html lang="en" data-theme="dark"' in answer.text()
    page.click("[name=theme][value=system]")


def test_everything_can_be_done_without_script(console, open_context):
    page = open_context(script=False).new_page()
    page.goto(f"{console.url}/models/+new/")
    page.fill("[name=name]", "no-script")
    page.click("text=Register model")
    page.wait_for_url("**/models/no-script/upload/")
    assert "curl" in page.inner_text("main")
    page.goto(f"{console.url}/models/minilm/")
    page.click("text=Make stable")
    assert "100% of the traffic moves to v2" in page.inner_text("main")
    page.get_by_role("button", name="Move all traffic to v2").click()
    page.wait_for_url("**/models/minilm/")
    page.get_by_role("button", name="Undo").click()  # v1 was stable before
    page.wait_for_url("**/models/minilm/")
    assert "v1 is stable, v2 before" in page.inner_text("body")
    page.goto(f"{console.url}/playground/?model=minilm")
    page.click("main button:has-text('Run')")
    page.wait_for_url("**/playground/")
    assert "The gateway does not answer" in page.inner_text("main")
    assert "curl" in page.inner_text("main")
    page.goto(f"{console.url}/settings/api-keys/")
    page.fill("[name=name]", "made without script")
    page.click("text=Create key")
    page.wait_for_selector("#new-key")
    assert page.inner_text("#new-key").startswith("sy_")
    page.goto(f"{console.url}/settings/api-keys/")
    assert page.locator("#new-key").count() == 0


def test_a_viewer_sees_why_a_button_is_off(console, open_context):
    page = open_context("vera").new_page()
    for path in ("/models/", "/models/minilm/", "/models/minilm/versions/2/"):
        page.goto(console.url + path)
        off = page.locator("[aria-disabled=true]").first
        assert "operator" in off.get_attribute("title")
    page.goto(f"{console.url}/models/minilm/archive/")
    assert "operator" in page.inner_text("main")
    page.goto(f"{console.url}/models/minilm/upload/")
    assert page.locator("#upload").count() == 0


def test_an_upload_goes_on_after_an_interruption(console, page, tmp_path):
    file = tmp_path / "weights.onnx"
    file.write_bytes(bytes(range(256)) * 80_000)  # 20 MB: three chunks
    page.goto(f"{console.url}/models/sentiment/upload/")
    sent = []
    page.on(
        "request",
        lambda request: sent.append(request.headers.get("upload-offset")) if request.method == "PATCH" else None,
    )
    page.set_input_files("#file", file)
    page.route("**/api/v1/uploads/*/", lambda route: route.abort() if len(sent) == 2 else route.fallback())
    page.click("#upload [type=submit]")
    page.wait_for_url("**/models/sentiment/versions/*/", timeout=30_000)
    assert sent == ["0", "8388608", "8388608", "16777216"]
    assert "20.5" in page.inner_text("h1 + p, .head p") or "Waits" in page.inner_text("h1")


def test_a_damaged_name_is_refused_where_it_was_typed(console, open_context):
    page = open_context(script=False).new_page()
    page.goto(f"{console.url}/models/+new/")
    page.fill("[name=name]", "minilm")
    page.click("text=Register model")
    assert "called 'minilm' already" in page.inner_text("[role=alert]")
    assert page.input_value("[name=name]") == "minilm"
