"""Take the README's picture: the demo's page in a headless Chromium, as soon as a goal is being turned to.

.venv/bin/python tools/page_picture.py http://127.0.0.1:8080 docs/images/demo.png
"""

from __future__ import annotations

import sys
import time

from playwright.sync_api import sync_playwright

CHROMIUM = "/usr/bin/chromium"
FLAGS = [
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
]
WARM_UP_S = 25.0


def main(url: str, path: str) -> None:
    """Open ``url``, let the scene settle, close the browser's own notice and save the screenshot at ``path``."""
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.goto(url)
        time.sleep(WARM_UP_S)
        notice = page.locator(".mantine-Notification-closeButton")
        if notice.count():
            notice.first.click()
            time.sleep(2.0)
        page.screenshot(path=path)
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
