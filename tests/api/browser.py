"""A headless Chromium spoken to over its DevTools protocol: what a person sees of a page, and may press."""

from __future__ import annotations

import base64
import itertools
import json
import os
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
STARTED_WITHIN = 60.0
SEEN_WITHIN = 30.0
BETWEEN_LOOKS = 0.05

OPTIONS = (
    "--headless=new",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--no-default-browser-check",
    "--remote-debugging-port=0",
)
VIOLATIONS = """
window.violations = [];
document.addEventListener("securitypolicyviolation",
    (each) => window.violations.push(`${each.effectiveDirective} ${each.blockedURI}`));
"""


class Tab:
    """One page. Its script errors, and the addresses that it asked for, are kept."""

    def __init__(self, wire: ClientConnection) -> None:
        self._wire = wire
        self._numbers = itertools.count(1)
        self.asked: list[str] = []
        self.errors: list[str] = []
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")
        self.call("Page.addScriptToEvaluateOnNewDocument", source=VIOLATIONS)

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """One command of the protocol, and its result. Raises AssertionError when it is refused."""
        number = next(self._numbers)
        self._wire.send(json.dumps({"id": number, "method": method, "params": params}))
        while True:
            message = json.loads(self._wire.recv(timeout=SEEN_WITHIN))
            if message.get("id") == number:
                assert "error" not in message, f"{method}: {message['error']}"
                result: dict[str, Any] = message["result"]
                return result
            self._note(message)

    def _note(self, message: dict[str, Any]) -> None:
        params = message.get("params", {})
        match message.get("method"):
            case "Network.requestWillBeSent":
                self.asked.append(params["request"]["url"])
            case "Runtime.exceptionThrown":
                self.errors.append(_thrown(params["exceptionDetails"]))
            case "Log.entryAdded" if params["entry"]["level"] == "error":
                self.errors.append(params["entry"]["text"])

    def open(self, url: str) -> None:
        self.call("Page.navigate", url=url)

    def resize(self, width: int, height: int) -> None:
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )

    def evaluate(self, expression: str) -> Any:
        """What a JavaScript expression is on the page."""
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def wait(self, expression: str) -> Any:
        """The first value of `expression` that is true. Raises AssertionError when none is in time."""
        deadline = time.monotonic() + SEEN_WITHIN
        while time.monotonic() < deadline:
            if value := self.evaluate(expression):
                return value
            time.sleep(BETWEEN_LOOKS)
        raise AssertionError(f"never true on the page: {expression}")

    def press(self, selector: str) -> None:
        """Click what `selector` finds with the mouse, where a person would."""
        self.wait(f"!!document.querySelector({json.dumps(selector)})")
        place = self.evaluate(
            f"(() => {{ const found = document.querySelector({json.dumps(selector)});"
            "found.scrollIntoView({block: 'center', behavior: 'instant'});"
            "const box = found.getBoundingClientRect();"
            "return [box.x + box.width / 2, box.y + box.height / 2]; })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.call(
                "Input.dispatchMouseEvent", type=kind, x=place[0], y=place[1], button="left", clickCount=1
            )

    def type(self, selector: str, text: str) -> None:
        """Type into the field that `selector` finds, in the place of what stands there."""
        self.press(selector)
        self.evaluate(f"document.querySelector({json.dumps(selector)}).select()")
        self.call("Input.insertText", text=text)

    def picture(self, file: Path) -> None:
        """What is to be seen now, as PNG."""
        file.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))


def _thrown(details: dict[str, Any]) -> str:
    """What a script's exception says, with where it was thrown."""
    thrown: str = details.get("exception", {}).get("description", details["text"])
    return thrown


@contextmanager
def browsing(folder: Path) -> Iterator[Tab]:
    """A tab of a browser whose profile is in `folder`; it ends with the block."""
    assert CHROMIUM is not None
    # Chromium's own sandbox does not work for root.
    alone = ["--no-sandbox"] if os.geteuid() == 0 else []
    process = subprocess.Popen(
        [CHROMIUM, *OPTIONS, *alone, f"--user-data-dir={folder}", "about:blank"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        with connect(_tab_address(folder / "DevToolsActivePort", process), max_size=None) as wire:
            yield Tab(wire)
    finally:
        process.terminate()
        process.wait(STARTED_WITHIN)


def _tab_address(port_file: Path, process: subprocess.Popen[bytes]) -> str:
    """Where the protocol of the first tab is spoken."""
    deadline = time.monotonic() + STARTED_WITHIN
    while time.monotonic() < deadline and process.poll() is None:
        if port_file.exists() and (lines := port_file.read_text().splitlines()):
            with urllib.request.urlopen(f"http://127.0.0.1:{lines[0]}/json/list", timeout=10) as answer:
                tabs = [tab for tab in json.load(answer) if tab["type"] == "page"]
            if tabs:
                address: str = tabs[0]["webSocketDebuggerUrl"]
                return address
        time.sleep(BETWEEN_LOOKS)
    raise AssertionError(f"{CHROMIUM} did not start")
