"""The report in a browser, on a desk and on a phone: no error, nothing fetched, all is seen."""

import shutil

import pytest
from tercet.gen.cli import main

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")
SECTIONS = ("network", "accuracy", "plan", "memories", "verified", "ports", "repeat")

pytestmark = [
    pytest.mark.icarus,
    pytest.mark.mnist,
    pytest.mark.skipif(not BROWSER, reason="Chromium is not installed; make browser"),
]


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The report of ``plain`` on digits with labels."""
    import numpy as np
    from tercet.model.data import mnist

    folder, digits = tmp_path_factory.mktemp("report"), mnist("test").first(300)
    np.savez(folder / "digits.npz", images=digits.images, labels=digits.labels)
    words = ["build", "plain", "--data", str(folder / "digits.npz"), "-n", "3"]
    words += ["--simulator", "icarus"]
    assert main([*words, "-o", str(folder / "out")]) == 0
    return folder / "out" / "report.html"


@pytest.fixture(scope="module")
def browser():
    sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    with sync_api.sync_playwright() as playwright:
        options = ["--no-sandbox", "--disable-background-networking"]
        made = playwright.chromium.launch(executable_path=BROWSER, args=options)
        yield made
        made.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1200, 390])
def test_the_page_is_whole(browser, page, width, scheme):
    context = browser.new_context(
        viewport={"width": width, "height": 800}, color_scheme=scheme, offline=True
    )
    opened = context.new_page()
    troubles, fetched = [], []
    opened.on("console", lambda message: troubles.append(message.text))
    opened.on("pageerror", lambda error: troubles.append(str(error)))
    opened.on("request", lambda request: fetched.append(request.url))
    opened.goto(page.as_uri())
    assert troubles == []
    assert [url for url in fetched if not url.startswith("data:")] == [page.as_uri()]
    assert opened.evaluate("document.documentElement.scrollWidth") <= width
    for section in SECTIONS:
        box = opened.locator(f"#{section}").bounding_box()
        assert box["height"] > 60, section
        assert box["width"] <= width
    drawn = opened.locator("svg rect.span")
    assert drawn.count() == 3
    assert all(drawn.nth(index).bounding_box()["width"] > 5 for index in range(3))
    pictures = opened.locator(".pictures img")
    assert pictures.count() == 12
    assert opened.evaluate("[...document.images].every(image => image.naturalWidth === 28)")
    ground, ink = opened.evaluate(
        "[getComputedStyle(document.body).backgroundColor, getComputedStyle(document.body).color]"
    )
    assert (ground == "rgb(255, 255, 255)") == (scheme == "light")
    assert ground != ink
    context.close()
