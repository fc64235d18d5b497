"""Chromium without a window, driven through the DevTools protocol over a pipe.

Only what loads a page and evaluates expressions in it. No network port is opened, and no package is
needed.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any

from imavatar_deploy.errors import QualityError

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
"""Names under which the browser is installed."""

LIMIT = 120.0
"""Seconds that a browser may take for one command, with a renderer in software on a busy core."""

ENDING = 5.0
"""Seconds for the browser to close before it is killed."""

FLAGS = (
    "--headless",
    "--remote-debugging-pipe",
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--disable-dev-shm-usage",
    "--disable-extensions",
    "--disable-background-networking",
    "--disable-component-update",
    "--hide-scrollbars",
    "--mute-audio",
    "--no-first-run",
    "--no-default-browser-check",
)
"""The pages are this package's own; they are drawn in software, as on every machine."""

LAUNCHER = """
import fcntl, os, sys
pipes = [fcntl.fcntl(int(number), fcntl.F_DUPFD, 10) for number in sys.argv[1:3]]
os.dup2(pipes[0], 3)
os.dup2(pipes[1], 4)
os.execv(sys.argv[3], sys.argv[3:])
"""
"""Moves both pipes to the numbers 3 and 4, where the browser expects them, and becomes it."""


class BrowserError(QualityError):
    """The browser does not start, hangs, or reports an error of the page."""


def find_chromium() -> str | None:
    """Return the path of an installed Chromium or Chrome; None where there is none.

    The pipe needs POSIX: on Windows the answer is None.
    """
    if os.name != "posix":
        return None
    return next((path for name in PROGRAMS if (path := shutil.which(name))), None)


class Page:
    """A page of a browser."""

    def __init__(self, browser: Browser, session: str) -> None:
        self._browser = browser
        self._session = session
        for domain in ("Page", "Runtime", "Log"):
            self.send(f"{domain}.enable")

    def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command of the DevTools protocol and return its result."""
        return self._browser.send(method, self._session, **parameters)

    def open(self, url: str) -> None:
        """Load an address."""
        answer = self.send("Page.navigate", url=url)
        if answer.get("errorText"):
            raise BrowserError(f"the browser cannot open {url}: {answer['errorText']}")

    def evaluate(self, expression: str) -> Any:
        """Return the JSON value of an expression, or of the promise that it returns.

        Raises:
            BrowserError: the expression throws, or takes longer than the limit.
        """
        answer = self.send(
            "Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True
        )
        if "exceptionDetails" in answer:
            details = answer["exceptionDetails"]
            text = details.get("exception", {}).get("description", details.get("text"))
            raise BrowserError(f"the page reports an error: {text}")
        return answer["result"].get("value")

    def errors(self) -> list[str]:
        """Return the errors that the page has logged or thrown so far."""
        return self._browser.errors


class Browser:
    """A running browser; `chromium` opens and closes it."""

    def __init__(self, process: subprocess.Popen[bytes], to: int, since: int, log: Path) -> None:
        self._process = process
        self._to = to
        self._since = since
        self._log = log
        self._numbers = count(1)
        self._received = b""
        self.errors: list[str] = []

    def page(self) -> Page:
        """Open an empty page."""
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        attached = self.send("Target.attachToTarget", targetId=target, flatten=True)
        return Page(self, attached["sessionId"])

    def send(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        """Send a command and return its result.

        Raises:
            BrowserError: the browser refuses the command, has ended, or takes longer than `LIMIT`.
        """
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": parameters}
        if session is not None:
            message["sessionId"] = session
        deadline = time.monotonic() + LIMIT
        try:
            os.write(self._to, json.dumps(message).encode() + b"\0")
        except BrokenPipeError as error:
            raise self._failure(f"has ended before {method}") from error
        while True:
            answer = self._next_message(method, deadline)
            if answer.get("id") == number:
                break
            self._note(answer)
        if "error" in answer:
            raise BrowserError(f"the browser refuses {method}: {answer['error'].get('message')}")
        return dict(answer["result"])

    def _next_message(self, method: str, deadline: float) -> dict[str, Any]:
        while b"\0" not in self._received:
            ready, _, _ = select.select([self._since], [], [], max(0, deadline - time.monotonic()))
            if not ready:
                raise self._failure(f"has not answered {method} within {LIMIT:g} s")
            block = os.read(self._since, 1 << 20)
            if not block:
                raise self._failure(f"has ended during {method}")
            self._received += block
        text, self._received = self._received.split(b"\0", 1)
        return dict(json.loads(text))

    def _note(self, event: dict[str, Any]) -> None:
        """Keep the errors among the events."""
        parameters = event.get("params", {})
        if event.get("method") == "Runtime.exceptionThrown":
            details = parameters["exceptionDetails"]
            self.errors.append(details.get("exception", {}).get("description", details["text"]))
        elif event.get("method") == "Log.entryAdded" and parameters["entry"]["level"] == "error":
            entry = parameters["entry"]
            self.errors.append(f"{entry['text']} ({entry.get('url', '')})")
        elif event.get("method") == "Runtime.consoleAPICalled" and parameters["type"] == "error":
            self.errors.append(" ".join(str(each.get("value")) for each in parameters["args"]))

    def _failure(self, what: str) -> BrowserError:
        lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines()
        return BrowserError(f"the browser {what}; its last lines: {' | '.join(lines[-5:])}")


@contextmanager
def chromium(program: str, *flags: str) -> Iterator[Browser]:
    """Start a browser that ends with this context, with an empty profile of its own.

    Args:
        program: the browser.
        flags: further ones than `FLAGS`.

    Raises:
        BrowserError: it does not start.
    """
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        log = Path(folder) / "log"
        inner_to, to = os.pipe()
        since, inner_since = os.pipe()
        options = [*FLAGS, *flags, f"--user-data-dir={folder}/profile"]
        if os.geteuid() == 0:
            options.append("--no-sandbox")  # the sandbox does not run for root
        launcher = [sys.executable, "-c", LAUNCHER, str(inner_to), str(inner_since)]
        with log.open("wb") as output:
            process = subprocess.Popen(
                [*launcher, program, *options],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=(inner_to, inner_since),
                start_new_session=True,
            )
        os.close(inner_to)
        os.close(inner_since)
        try:
            yield Browser(process, to, since, log)
        finally:
            os.close(to)
            os.close(since)
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the browser with all its processes, which form a session."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(ENDING)
            break
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
