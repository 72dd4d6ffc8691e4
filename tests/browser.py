"""A headless Chromium for tests: opens a page from disk, tells what it logged and what it asked for."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.support.ui import WebDriverWait

__all__ = ["Page", "open_page"]

_OPTIONS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--window-size=1300,1600",
)  # fmt: skip


class Page:
    """A page in the browser.

    Attributes:
        driver: Selenium's driver, for all that this class does not do.
    """

    def __init__(self, driver: webdriver.Chrome) -> None:
        self.driver = driver

    def run(self, script: str, *arguments: Any) -> Any:
        """Run JavaScript and return what it returns."""
        return self.driver.execute_script(script, *arguments)

    def wait(self, condition: str) -> None:
        """Wait until a JavaScript expression is true."""
        WebDriverWait(self.driver, 60).until(lambda driver: driver.execute_script(f"return Boolean({condition})"))

    def _log(self, kind: str) -> list[dict[str, Any]]:
        entries: list[dict[str, Any]] = self.driver.get_log(kind)  # type: ignore[no-untyped-call]
        return entries

    def errors(self) -> list[str]:
        """Return what the page complained of since the last time."""
        return [entry["message"] for entry in self._log("browser") if entry["level"] in {"SEVERE", "WARNING"}]

    def requests(self) -> list[str]:
        """Return the addresses that the page asked for since the last time, itself and data within it left out."""
        asked = []
        for entry in self._log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                # The browser's own start page may still be loading.
                own = message["params"]["documentURL"].startswith("chrome:")
                url = message["params"]["request"]["url"]
                if not own and not url.startswith(("data:", "blob:")):
                    asked.append(url)
        return asked


@contextmanager
def open_page(path: Path, profile: Path) -> Iterator[Page]:
    """Open a file in a fresh browser.

    Args:
        path: The page.
        profile: An empty directory for the browser's own files.
    """
    options = webdriver.ChromeOptions()
    browser, service = shutil.which("chromium") or shutil.which("google-chrome"), shutil.which("chromedriver")
    missing = "these tests need chromium and chromedriver; .ci/install_browser installs them"
    assert browser is not None, missing
    assert service is not None, missing
    options.binary_location = browser
    for option in (*_OPTIONS, f"--user-data-dir={profile}"):
        options.add_argument(option)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(service))
    try:
        driver.get(path.resolve().as_uri())
        yield Page(driver)
    finally:
        driver.quit()
