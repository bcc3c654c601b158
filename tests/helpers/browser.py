"""A headless Chromium driven from Python over its debugging pipe, without any library beside it."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

BINARIES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--mute-audio",
    "--disable-extensions", "--disable-background-networking", "--hide-scrollbars", "--remote-debugging-pipe",
)  # fmt: skip
PATIENCE = 60.0  # seconds for one answer


def chromium() -> str | None:
    """The browser's path; None where there is none."""
    return next((path for name in BINARIES if (path := shutil.which(name))), None)


class Page:
    """One tab. `problems` collects what the console, uncaught errors and refused requests said."""

    def __init__(self, write: int, read: int) -> None:
        self._write, self._read, self._rest, self._number = write, read, b"", 0
        self.problems: list[str] = []
        self.requests: list[str] = []
        self.events: list[dict[str, Any]] = []
        target = self._ask("Target.createTarget", {"url": "about:blank"}, session=None)["targetId"]
        attached = self._ask("Target.attachToTarget", {"targetId": target, "flatten": True}, session=None)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{domain}.enable")

    def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One command of the DevTools protocol."""
        return self._ask(method, parameters, self._session)

    def open(self, path: Path, *, width: int = 980, dark: bool = False, scripts: bool = True) -> None:
        """Open a file and wait until it is loaded and, with scripts, says that it is ready."""
        self.ask("Emulation.setScriptExecutionDisabled", value=not scripts)
        self.look(width, dark=dark)
        self.events.clear()
        self.ask("Page.navigate", url=path.absolute().as_uri())
        self._until(lambda: any(event["method"] == "Page.loadEventFired" for event in self.events))
        if scripts:
            self._until(lambda: self.run("!['loading', 'answering'].includes(document.documentElement.dataset.state)"))

    def look(self, width: int, *, height: int = 900, dark: bool = False, media: str = "") -> None:
        """Set the width of the window, the colour scheme and, if given, the medium."""
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.ask("Emulation.setEmulatedMedia", media=media, features=[scheme])

    def run(self, code: str) -> Any:
        """The value of a JavaScript expression, awaited; raises :class:`RuntimeError` where it throws."""
        answer = self.ask("Runtime.evaluate", expression=code, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in answer:
            details = answer["exceptionDetails"]
            raise RuntimeError(details.get("exception", {}).get("description") or details["text"])
        return answer["result"].get("value")

    def key(self, name: str, code: int) -> None:
        """Press one key."""
        for kind in ("keyDown", "keyUp"):
            self.ask("Input.dispatchKeyEvent", type=kind, key=name, code=name, windowsVirtualKeyCode=code)

    def screenshot(self, path: Path, selector: str = "html") -> None:
        """A picture of an element, whole."""
        box = self.run(
            f"(r => ({{x: r.x + scrollX, y: r.y + scrollY, width: r.width, height: r.height}}))"
            f"(document.querySelector({json.dumps(selector)}).getBoundingClientRect())"
        )
        clip = {**box, "scale": 1}
        shot = self.ask("Page.captureScreenshot", format="png", clip=clip, captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(shot["data"]))

    def pdf(self) -> bytes:
        """The page as a printed document (A4)."""
        answer = self.ask("Page.printToPDF", preferCSSPageSize=True, paperWidth=8.27, paperHeight=11.69)
        return base64.b64decode(answer["data"])

    def _until(self, holds: Any) -> None:
        end = time.monotonic() + PATIENCE
        while not holds():
            if time.monotonic() > end:
                raise TimeoutError("the page did not become ready: " + "; ".join(self.problems))
            self._message(0.02)

    def _ask(self, method: str, parameters: dict[str, Any], session: str | None) -> dict[str, Any]:
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if session is not None:
            message["sessionId"] = session
        data = json.dumps(message).encode() + b"\0"
        while data:
            data = data[os.write(self._write, data) :]
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            answer = self._message(end - time.monotonic())
            if answer is not None and answer.get("id") == self._number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']['message']}")
                return dict(answer["result"])
        raise TimeoutError(f"{method}: the browser did not answer")

    def _message(self, patience: float) -> dict[str, Any] | None:
        """The next message, if one comes in time; events are kept."""
        while b"\0" not in self._rest:
            if not select.select([self._read], [], [], patience)[0]:
                return None
            if not (more := os.read(self._read, 1 << 20)):
                raise ConnectionError("the browser is gone")
            self._rest += more
        text, self._rest = self._rest.split(b"\0", 1)
        message = dict(json.loads(text))
        if "method" in message:
            self.events.append(message)
            self._note(message["method"], message["params"])
        return message

    def _note(self, method: str, what: dict[str, Any]) -> None:
        if method == "Runtime.exceptionThrown":
            details = what["exceptionDetails"]
            self.problems.append(details.get("exception", {}).get("description") or details["text"])
        elif method == "Runtime.consoleAPICalled" and what["type"] in ("error", "warning", "assert"):
            self.problems.append(" ".join(str(a.get("value", a.get("description"))) for a in what["args"]))
        elif method == "Log.entryAdded" and what["entry"]["level"] in ("error", "warning"):
            self.problems.append(what["entry"]["text"])
        elif method == "Network.requestWillBeSent":
            self.requests.append(what["request"]["url"])


@contextmanager
def browser(extra: Sequence[str] = ()) -> Iterator[Page]:
    """A tab of a new browser with a profile of its own, which ends with the block."""
    binary = chromium()
    assert binary is not None
    to_browser, from_browser = _pipe(), _pipe()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        # The browser reads descriptor 3 and writes descriptor 4.
        moves: list[Any] = [(os.POSIX_SPAWN_DUP2, to_browser[0], 3), (os.POSIX_SPAWN_DUP2, from_browser[1], 4)]
        moves += [(os.POSIX_SPAWN_OPEN, k, os.devnull, os.O_WRONLY, 0) for k in (1, 2)]
        command = [binary, *FLAGS, *extra, f"--user-data-dir={profile}"]
        process = os.posix_spawn(binary, command, os.environ, file_actions=moves)
        os.close(to_browser[0])
        os.close(from_browser[1])
        try:
            yield Page(to_browser[1], from_browser[0])
        finally:
            os.kill(process, signal.SIGTERM)
            os.waitpid(process, 0)
            os.close(to_browser[1])
            os.close(from_browser[0])


def _pipe() -> tuple[int, int]:
    """A pipe whose descriptors are none that the browser's may be moved over."""
    ends = os.pipe()
    high = tuple(fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for end in ends)
    for end in ends:
        os.close(end)
    return high[0], high[1]
