"""A browser without a window, spoken to by its DevTools protocol over two pipes: no library is needed."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
SECONDS = 30
START = """import os, sys
os.dup2(int(sys.argv[1]), 3)
os.dup2(int(sys.argv[2]), 4)
os.execv(sys.argv[3], sys.argv[3:])"""
"""A process that becomes the browser once its ends of the pipes are 3 and 4, where the browser looks for them."""
FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--remote-debugging-pipe"),
    *("--no-first-run", "--disable-background-networking", "--disable-component-update", "--hide-scrollbars"),
    *("--disable-extensions", "--disable-sync", "--mute-audio", "--host-resolver-rules=MAP * ~NOTFOUND"),
)
KEYS = {
    "Tab": 9,
    "Enter": 13,
    "Space": 32,
    "End": 35,
    "Home": 36,
    "ArrowLeft": 37,
    "ArrowUp": 38,
    "ArrowRight": 39,
    "ArrowDown": 40,
}
TEXT = {"Enter": "\r", "Space": " "}


def executable() -> str | None:
    """Where a browser is that these tests can drive."""
    return next((found for name in NAMES if (found := shutil.which(name)) is not None), None)


class Browser:
    """A running browser: commands go in, answers and events come out, each a JSON text that ends with a zero byte."""

    def __init__(self, process: subprocess.Popen[bytes], to_browser: int, from_browser: int) -> None:
        self.process, self._in, self._out = process, to_browser, from_browser
        self._buffer = b""
        self._last = 0
        self.events: list[dict[str, Any]] = []

    def send(self, method: str, session: str | None = None, **params: Any) -> dict[str, Any]:
        """The answer to a command; events that arrive before it are kept."""
        self._last += 1
        message: dict[str, Any] = {"id": self._last, "method": method, "params": params}
        if session is not None:
            message["sessionId"] = session
        os.write(self._in, json.dumps(message).encode() + b"\0")
        end = time.monotonic() + SECONDS
        while True:
            answer = self._receive(end, method)
            if answer.get("id") == self._last:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']['message']}")
                result: dict[str, Any] = answer["result"]
                return result
            self.events.append(answer)

    def _receive(self, end: float, waiting_for: str) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._out], [], [], max(0.0, end - time.monotonic()))
            chunk = os.read(self._out, 1 << 20) if ready else b""
            if not chunk:
                raise RuntimeError(f"the browser gave no answer to {waiting_for} within {SECONDS} s")
            self._buffer += chunk
        text, _, self._buffer = self._buffer.partition(b"\0")
        message: dict[str, Any] = json.loads(text)
        return message

    def open(self, path: Path, *, width: int = 1280, height: int = 800, dark: bool = False) -> Tab:
        """A new tab of that size with the file in it, once it is loaded and its scripts have run."""
        context = self.send("Target.createBrowserContext")["browserContextId"]
        target = self.send("Target.createTarget", url="about:blank", browserContextId=context)["targetId"]
        session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        tab = Tab(self, session)
        for domain in ("Page", "Runtime", "Log", "Network", "Accessibility"):
            tab.send(f"{domain}.enable")
        tab.size(width, height)
        tab.theme(dark=dark)
        tab.send("Page.navigate", url=path.as_uri())
        tab.wait("location.protocol === 'file:' && document.readyState === 'complete'")
        return tab


class Tab:
    """One page in the browser."""

    def __init__(self, browser: Browser, session: str) -> None:
        self._browser, self._session = browser, session

    def send(self, method: str, **params: Any) -> dict[str, Any]:
        return self._browser.send(method, self._session, **params)

    def size(self, width: int, height: int) -> None:
        self.send(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )

    def theme(self, *, dark: bool) -> None:
        """What the system prefers."""
        features = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.send("Emulation.setEmulatedMedia", features=features)

    def run(self, script: str) -> Any:
        """The value of an expression, or of what it promises."""
        answer = self.send("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(f"{script}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def wait(self, script: str) -> None:
        """Until an expression is true."""
        end = time.monotonic() + SECONDS
        while not self.run(script):
            if time.monotonic() > end:
                raise RuntimeError(f"still not true after {SECONDS} s: {script}")
            time.sleep(0.02)

    def frames(self) -> None:
        """Two frames later: what waits for a frame has been drawn."""
        self.run("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(1))))")

    def press(self, key: str, times: int = 1) -> None:
        """A key as a person presses it, on whatever has the focus."""
        asked: dict[str, Any] = {"key": TEXT.get(key, key) if key == "Space" else key, "code": key}
        asked["windowsVirtualKeyCode"] = KEYS[key]
        for _ in range(times):
            text = {"text": TEXT[key]} if key in TEXT else {}
            self.send("Input.dispatchKeyEvent", type="keyDown" if text else "rawKeyDown", **asked, **text)
            self.send("Input.dispatchKeyEvent", type="keyUp", **asked)

    def type(self, text: str) -> None:
        self.send("Input.insertText", text=text)

    def click(self, selector: str) -> None:
        """A real click in the middle of an element, scrolled into view."""
        box = self.run(
            f"(() => {{ const found = document.querySelector({json.dumps(selector)});"
            "found.scrollIntoView({block: 'center', behavior: 'instant'}); const box = found.getBoundingClientRect();"
            "return [box.x + box.width / 2, box.y + box.height / 2]; })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.send("Input.dispatchMouseEvent", type=kind, x=box[0], y=box[1], button="left", clickCount=1)

    def names(self, *roles: str) -> list[tuple[str, str]]:
        """Role and accessible name of everything in the accessibility tree of these roles."""
        nodes = self.send("Accessibility.getFullAXTree")["nodes"]
        told = [(node.get("role", {}).get("value"), node.get("name", {}).get("value", "")) for node in nodes]
        return [(role, name) for role, name in told if role in roles]

    def complaints(self) -> list[str]:
        """What the console, the log and uncaught exceptions say."""
        self.frames()
        kinds = ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded")
        return [json.dumps(event["params"]) for event in self._mine() if event["method"] in kinds]

    def requests(self) -> list[str]:
        """The addresses that the page asked for, itself among them."""
        self.frames()
        sent = [event for event in self._mine() if event["method"] == "Network.requestWillBeSent"]
        return [event["params"]["request"]["url"] for event in sent]

    def picture(self, path: Path, *, whole: bool = False) -> None:
        """A screenshot, of the whole page or of what is in view."""
        self.frames()
        path.write_bytes(
            base64.b64decode(self.send("Page.captureScreenshot", format="png", captureBeyondViewport=whole)["data"])
        )

    def _mine(self) -> Iterator[dict[str, Any]]:
        return (event for event in self._browser.events if event.get("sessionId") == self._session)


@contextmanager
def browser(folder: Path) -> Iterator[Browser]:
    """A browser with its profile in ``folder``, ended when the block is left."""
    found = executable()
    if found is None:
        raise RuntimeError("there is no browser")
    ends: list[int] = []

    def pipe() -> tuple[int, int]:
        low = os.pipe()
        high = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in low]  # 3 and 4 must stay free
        for end in low:
            os.close(end)
        ends.extend(high)
        return high[0], high[1]

    (theirs_in, ours_out), (ours_in, theirs_out) = pipe(), pipe()
    words = [sys.executable, "-c", START, str(theirs_in), str(theirs_out), found, *FLAGS]
    with (folder / "browser.log").open("wb") as log:
        process = subprocess.Popen(
            [*words, f"--user-data-dir={folder / 'profile'}"],
            pass_fds=(theirs_in, theirs_out),
            stdout=log,
            stderr=log,
            env={**os.environ, "HOME": str(folder)},
        )
    started = Browser(process, ours_out, ours_in)
    try:
        for end in (theirs_in, theirs_out):
            os.close(end)
            ends.remove(end)
        yield started
        started.send("Browser.close")
    finally:
        for end in ends:
            os.close(end)
        _end(process.wait, process.kill)


def _end(wait: Callable[..., int], kill: Callable[[], None]) -> None:
    try:
        wait(timeout=10)
    except subprocess.TimeoutExpired:
        kill()
        wait()
