"""The picture of a report in docs/report.png, which the documentation shows.

python tests/support/reportpicture.py OUT/report.html opens the report in Chromium (`make browser`).
"""

import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

PICTURE = Path(__file__).parents[2] / "docs" / "report.png"
WIDTH, HEIGHT = 1000, 1000


def keep(report):
    """Write PICTURE: the top of the report in the light scheme."""
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        page = opened.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="light")
        page.goto(report.resolve().as_uri())
        page.screenshot(path=PICTURE)
        opened.close()


if __name__ == "__main__":
    keep(Path(sys.argv[1]))
