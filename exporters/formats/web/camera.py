"""Files by which the page of the web format tracks a face before the camera, in the browser.

They are the viewer's module `camera.js`, networks of `assets/vision`, the head model to fit, and
onnxruntime-web from the user's own folder. An export loads nothing from a network.
"""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path

from imavatar_deploy.errors import MissingDependencyError, UsageError
from imavatar_deploy.head_model import OPENHEAD

from .face_fit_file import face_fit_file

FOLDER = "camera"
"""The folder of these files inside the page's."""

MODULE = "camera.js"

RUNTIME = {
    "onnxruntime.js": "ort.wasm.bundle.min.mjs",
    "onnxruntime.wasm": "ort-wasm-simd-threaded.wasm",
}
"""File of the page -> file of onnxruntime-web: the CPU alone, as one module and its WebAssembly. It
runs on one thread, so that the page needs no isolation from other origins."""

NETWORKS = ("face_detector.onnx", "face_landmarks.onnx")
FIT = "face_fit.bin"
LICENCE = "LICENCES.txt"

INSTALL = "npm install onnxruntime-web"

MIT = """
Permission is hereby granted, free of charge, to any person obtaining a copy of this software and
associated documentation files (the "Software"), to deal in the Software without restriction,
including without limitation the rights to use, copy, modify, merge, publish, distribute,
sublicense, and/or sell copies of the Software, and to permit persons to whom the Software is
furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or
substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT
NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND
NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES
OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM, OUT OF OR IN
CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
"""


def check_runtime(folder: Path) -> None:
    """Check that a folder holds what is used of onnxruntime-web.

    Raises:
        MissingDependencyError: it does not.
    """
    absent = [name for name in RUNTIME.values() if not (folder / name).is_file()]
    if absent:
        raise MissingDependencyError(
            f"{folder} has no {absent[0]} of onnxruntime-web; install it by `{INSTALL}` and give "
            "--web-camera node_modules/onnxruntime-web/dist"
        )


def check_edition(edition: str) -> None:
    """Check that the camera's motion fits an avatar.

    Raises:
        UsageError: the avatar has another head model than OpenHead.
    """
    if edition != OPENHEAD:
        raise UsageError(
            f"--web-camera moves avatars of the head model {OPENHEAD}, and this one has {edition}; "
            "leave it out, and use imavatar-run --source webcam:0 with a map"
        )


def camera_files(folder: Path) -> dict[str, bytes]:
    """Return the files of the camera by their paths inside the page's folder.

    Args:
        folder: `dist` of the npm package onnxruntime-web.

    Raises:
        MissingDependencyError: the folder holds something else.
    """
    check_runtime(folder)
    package = files("imavatar_deploy")
    networks = package.joinpath("assets", "vision")
    contents = {
        MODULE: package.joinpath("viewer", MODULE).read_bytes(),
        FIT: face_fit_file(),
        LICENCE: _licences(folder, networks.joinpath("LICENSE-APACHE-2.0.txt").read_text()),
    }
    contents |= {name: networks.joinpath(name).read_bytes() for name in NETWORKS}
    contents |= {name: (folder / source).read_bytes() for name, source in RUNTIME.items()}
    return {f"{FOLDER}/{name}": content for name, content in contents.items()}


def _licences(folder: Path, apache: str) -> bytes:
    try:
        package = json.loads((folder.parent / "package.json").read_text(encoding="utf-8"))
        version = f" {package['version']}"
    except (OSError, ValueError, KeyError, TypeError):
        version = ""
    return (
        f"onnxruntime.js, onnxruntime.wasm: onnxruntime-web{version}\n"
        f"Copyright (c) Microsoft Corporation\n\nMIT License\n{MIT}\n\n"
        "face_detector.onnx, face_landmarks.onnx: networks of MediaPipe by Google, converted to "
        f"ONNX\n\n{apache}"
    ).encode()
