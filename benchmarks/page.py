"""Take the screenshot of the page in the README, from a running server: `python -m benchmarks.page docs/page.png`.

It needs Chromium (on Debian: apt install chromium). The job has enough steps that it is still running when the
screenshot is taken.
"""

import argparse
import os
import shutil
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

PROMPT, ITERATE = "sunflower", 3
SETTINGS = {"method": "srds", "steps": "100", "blocks": "10", "seed": "7", "tolerance": "0"}


def paint(page: Page) -> None:
    """Submit a job with the form, and wait until its iterates are visible."""
    page.get_by_text("Settings", exact=True).click()
    for name, value in SETTINGS.items():
        field = page.locator(f"#field-{name}")
        field.select_option(value) if name == "method" else field.fill(value)
    page.get_by_text("Settings", exact=True).click()
    page.get_by_label("What should it show?").fill(PROMPT)
    page.get_by_role("button", name="Paint").click()
    page.locator(f'.canvas[data-iterate="{ITERATE}"]').wait_for()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--server", default="http://127.0.0.1:8000")
    parser.add_argument("--dark", action="store_true")
    arguments = parser.parse_args()
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        flags = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=chromium, args=flags)
        scheme = "dark" if arguments.dark else "light"
        page = browser.new_page(viewport={"width": 1280, "height": 860}, color_scheme=scheme)
        page.set_default_timeout(120_000)  # ms; the first job loads the model
        page.goto(arguments.server)
        paint(page)
        page.wait_for_timeout(300)  # ms, for the picture to fade in
        page.screenshot(path=arguments.out)
        page.get_by_role("button", name="Cancel").click()
        browser.close()


if __name__ == "__main__":
    main()
