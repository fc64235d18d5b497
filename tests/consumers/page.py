"""Run a module of JavaScript in a page of Chromium, which loads npm's packages and files from here.

The page is served on this machine alone. It posts its result, or the error that it ended with.
"""

from __future__ import annotations

import json
import mimetypes
import os
import queue
import shutil
import threading
from collections.abc import Mapping
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from ..processes import started
from .programs import NODE_MODULES, SCRIPTS

CHROMIUM = os.environ.get(
    "IMAVATAR_CHROMIUM",
    next(filter(shutil.which, ("chromium", "chromium-browser", "google-chrome")), "chromium"),
)
"""The browser."""

LIMIT = 240.0
"""Seconds; software rendering of a head takes some of them."""

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--no-first-run",
    "--disable-background-networking",
    "--autoplay-policy=no-user-gesture-required",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
)
"""Flags of the browser: no window, no other connections, and WebGL without a GPU."""

PAGE = """<!doctype html><meta charset="utf-8"><title>consumer</title>
<script type="importmap">{"imports": {
  "three": "/modules/three/build/three.module.js",
  "three/addons/": "/modules/three/examples/jsm/",
  "@pixiv/three-vrm": "/modules/@pixiv/three-vrm/lib/three-vrm.module.js",
  "onnxruntime-web": "/modules/onnxruntime-web/dist/ort.wasm.min.mjs",
  "@google/model-viewer": "/modules/@google/model-viewer/dist/model-viewer.min.js",
  "@met4citizen/talkinghead": "/modules/@met4citizen/talkinghead/modules/talkinghead.mjs"
}, "scopes": {"/modules/@met4citizen/talkinghead/": {
  "three": "/modules/@met4citizen/talkinghead/node_modules/three/build/three.module.js",
  "three/addons/": "/modules/@met4citizen/talkinghead/node_modules/three/examples/jsm/"
}}}</script>
<script type="module">
const send = (result) => fetch("/result", {method: "POST", body: JSON.stringify(result)});
try {
  const {main} = await import("/script");
  send({value: await main(await (await fetch("/request")).json())});
} catch (error) {
  send({error: String(error.stack ?? error)});
}
</script>
"""
"""The page: it calls `main(request)` of the script and posts what that returns."""


def run_page(
    package: str, script: str, request: Mapping[str, Any], files: Mapping[str, Path], profile: Path
) -> Any:
    """Call `main(request)` of a script in the browser; return its result.

    Args:
        package: npm's package that the script imports; without it, the test is skipped.
        script: in this folder.
        request: JSON.
        files: name below `/files/` -> file.
        profile: a temporary folder for the browser.
    """
    if shutil.which(CHROMIUM) is None:
        pytest.skip("Chromium is not there: install it, or name it in IMAVATAR_CHROMIUM")
    if not (NODE_MODULES / package).is_dir():
        pytest.skip(f"{package} is not there: make consumers installs it")
    results: queue.Queue[dict[str, Any]] = queue.Queue()
    content = {
        "/": PAGE.encode(),
        "/script": (SCRIPTS / script).read_bytes(),
        "/request": json.dumps(request).encode(),
    }
    handler = partial(_Handler, content, files, results)
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    url = f"http://127.0.0.1:{server.server_address[1]}/"
    try:
        with started([CHROMIUM, *FLAGS, f"--user-data-dir={profile}", url], limit=LIMIT) as child:
            try:
                result = results.get(timeout=LIMIT - 30)
            except queue.Empty:
                raise AssertionError(f"the page sent nothing:\n{child.stderr()}") from None
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)
    assert "error" not in result, result["error"]
    return result["value"]


class _Handler(BaseHTTPRequestHandler):
    """Serves the page, npm's packages and files, and takes the result."""

    def __init__(
        self,
        content: Mapping[str, bytes],
        files: Mapping[str, Path],
        results: queue.Queue[dict[str, Any]],
        *arguments: Any,
    ) -> None:
        self._content = content
        self._files = files
        self._results = results
        super().__init__(*arguments)

    def do_GET(self) -> None:
        path = self.path.split("?")[0]
        _, folder, *rest = path.split("/")
        body = self._content.get(path)
        if folder == "modules":
            file = NODE_MODULES.joinpath(*rest)
            body = file.read_bytes() if file.is_file() else None
        elif folder == "files" and "/".join(rest) in self._files:
            body = self._files["/".join(rest)].read_bytes()
        self.send_response(404 if body is None else 200)
        kind = {"/": "text/html", "/script": "text/javascript"}.get(path)
        if path.endswith((".js", ".mjs")):
            kind = "text/javascript"
        guessed = mimetypes.guess_type(path)[0] or "application/octet-stream"
        self.send_header("Content-Type", kind or guessed)
        self.end_headers()
        self.wfile.write(body or b"")

    def do_POST(self) -> None:
        size = int(self.headers["Content-Length"])
        self._results.put(json.loads(self.rfile.read(size)))
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *arguments: Any) -> None:
        """Write no lines of requests to the standard error."""
