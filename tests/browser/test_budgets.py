"""What a page may weigh, compressed, and that nothing comes from elsewhere."""

import pytest

pytestmark = pytest.mark.browser

KB = 1024
WORK_PAGES = ["/models/", "/models/minilm/", "/models/minilm/versions/1/", "/playground/", "/workers/", "/audit/"]


@pytest.mark.parametrize("path", WORK_PAGES)
def test_a_page_stays_within_its_budget(console, page, path):
    weighed = {"Document": 0, "Stylesheet": 0, "Script": 0}
    kinds, hosts = {}, set()
    session = page.context.new_cdp_session(page)
    session.send("Network.enable")
    session.on("Network.requestWillBeSent", lambda event: hosts.add(event["request"]["url"].split("/")[2]))
    session.on("Network.responseReceived", lambda event: kinds.update({event["requestId"]: event["type"]}))

    def weigh(event):
        kind = kinds.get(event["requestId"])
        if kind in weighed:
            weighed[kind] += event["encodedDataLength"]

    session.on("Network.loadingFinished", weigh)
    page.goto(console.url + path, wait_until="networkidle")
    assert hosts == {console.url.split("/")[2]}
    assert 0 < weighed["Document"] <= 40 * KB, weighed
    assert 0 < weighed["Stylesheet"] <= 25 * KB, weighed
    assert 0 < weighed["Script"] <= 50 * KB, weighed
    assert page.evaluate("document.querySelectorAll('*').length") <= 1500
