"""Headless Chromium, driven by the protocol of WebDriver, and folders served on this machine."""

from __future__ import annotations

import base64
import contextlib
import functools
import http.server
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

_ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


class Browser:
    """A page in a browser."""

    def __init__(self, address: str) -> None:
        self._driver = address
        options = {
            "goog:chromeOptions": {"args": _ARGUMENTS},
            "goog:loggingPrefs": {"browser": "ALL"},
        }
        value = self._ask("POST", "/session", {"capabilities": {"alwaysMatch": options}})
        self._session = f"/session/{value['sessionId']}"

    def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        answer = requests.request(method, self._driver + path, json=body, timeout=120)
        value = answer.json()["value"]
        assert answer.ok, value
        return value

    def do(self, path: str, **body: Any) -> Any:
        """A command of the protocol."""
        return self._ask("POST", self._session + path, body)

    def run(self, script: str) -> Any:
        """What a function with this body returns."""
        return self.do("/execute/sync", script=script, args=[])

    def wait(self, script: str, seconds: float = 60) -> Any:
        """What a function with this body returns, once that is something."""
        deadline = time.monotonic() + seconds
        while not (value := self.run(script)):
            assert time.monotonic() < deadline, (script, self.errors())
            time.sleep(0.1)
        return value

    def choose_file(self, css: str, path: Path) -> None:
        """Chooses a file as a person would."""
        [found] = self.do("/elements", using="css selector", value=css)
        self.do(f"/element/{next(iter(found.values()))}/value", text=str(path))

    def press(self, key: str) -> None:
        """Presses a key where the focus is."""
        keys = [{"type": kind, "value": key} for kind in ("keyDown", "keyUp")]
        self.do("/actions", actions=[{"type": "key", "id": "keyboard", "actions": keys}])

    def resize(self, width: int, height: int) -> None:
        """Shows the page as on a screen of this size."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": True}
        command = "Emulation.setDeviceMetricsOverride"
        self.do("/goog/cdp/execute", cmd=command, params=metrics)

    def screenshot(self) -> bytes:
        """A PNG file of what is to be seen."""
        return base64.b64decode(self._ask("GET", f"{self._session}/screenshot"))

    def errors(self) -> list[str]:
        """Errors in the console, those of the network among them."""
        entries = self.do("/se/log", type="browser")
        return [entry["message"] for entry in entries if entry["level"] == "SEVERE"]

    def close(self) -> None:
        """Ends the browser."""
        self._ask("DELETE", self._session)


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """A browser; the test is skipped where there is none."""
    driver = shutil.which("chromedriver")
    if driver is None or shutil.which("chromium") is None:
        pytest.skip("no chromium and chromedriver")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen([driver, f"--port={port}"], stdout=subprocess.DEVNULL)
    try:
        address = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + 60
        while True:
            with contextlib.suppress(requests.ConnectionError):
                if requests.get(f"{address}/status", timeout=10).json()["value"]["ready"]:
                    break
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.1)
        browser = Browser(address)
        try:
            yield browser
        finally:
            browser.close()
    finally:
        process.kill()
        process.wait()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    asked: list[str]

    def log_message(self, format: str, *args: Any) -> None:
        self.asked.append(self.path)


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """The address of a plain server of a folder, and the paths that it was asked for."""
    asked: list[str] = []
    kind = type("Handler", (_Quiet,), {"asked": asked})
    handler = functools.partial(kind, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/", asked
        finally:
            server.shutdown()
            thread.join()
