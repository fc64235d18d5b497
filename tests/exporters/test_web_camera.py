"""The option `--web-camera`: its files, and what is refused. `tests/consumers` runs the camera."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from imavatar_deploy.avatar_io import open_avatar
from imavatar_deploy.errors import MissingDependencyError, UsageError
from imavatar_deploy.exporters.add import add_formats
from imavatar_deploy.exporters.commands.export import export
from imavatar_deploy.exporters.formats.options import WebSettings
from imavatar_deploy.exporters.formats.web.camera import RUNTIME, check_edition
from imavatar_deploy.exporters.formats.web.chromium import Page
from imavatar_deploy.exporters.formats.web.face_fit_file import face_fit_file
from imavatar_deploy.exporters.formats.web.format import write_page
from imavatar_deploy.exporters.formats.web.frames import opened
from imavatar_deploy.exporters.settings import ExportSettings
from imavatar_deploy.head_fit.correspondences import landmark_points
from imavatar_deploy.head_fit.landmark_model import LandmarkModel
from imavatar_deploy.head_model import HeadModel
from imavatar_deploy.rendering.posing import resting_camera
from imavatar_deploy.student import read_student
from imavatar_deploy.viewer.avatar_file import encode

from ..students import random_student
from ..tiny_avatar import tiny_avatar
from ..web_scripts import HEAD


@pytest.fixture
def runtime(tmp_path: Path) -> Path:
    """A folder with the names of onnxruntime-web's files."""
    folder = tmp_path / "onnxruntime-web" / "dist"
    folder.mkdir(parents=True)
    for name in RUNTIME.values():
        (folder / name).write_text(name)
    (folder / "ort.webgpu.min.mjs").write_text("not used")
    (folder.parent / "package.json").write_text('{"version": "1.30.0"}')
    return folder


def test_the_page_gets_the_files_of_the_camera(runtime: Path, tmp_path: Path) -> None:
    plain = write_page(tmp_path / "plain", b"avatar")
    sizes = write_page(tmp_path / "site", b"avatar", camera=runtime)
    camera = {name.removeprefix("camera/") for name in sizes.keys() - plain.keys()}
    assert camera == {
        "LICENCES.txt",
        "camera.js",
        "face_detector.onnx",
        "face_fit.bin",
        "face_landmarks.onnx",
        "onnxruntime.js",
        "onnxruntime.wasm",
    }
    folder = tmp_path / "site" / "camera"
    assert {path.name for path in folder.iterdir()} == camera
    assert (folder / "onnxruntime.wasm").read_text() == "ort-wasm-simd-threaded.wasm"
    licences = (folder / "LICENCES.txt").read_text()
    assert "onnxruntime-web 1.30.0" in licences
    assert "MIT License" in licences
    assert "Apache License" in licences
    page = (tmp_path / "site" / "index.html").read_text()
    assert 'camera="camera/camera.js"' in page
    assert "script-src 'self' 'wasm-unsafe-eval';" in page
    assert "connect-src 'self'" in page
    before = (tmp_path / "plain" / "index.html").read_text()
    assert "wasm" not in before
    assert 'camera="' not in before
    assert (folder / "camera.js").stat().st_size < 30_000


def test_an_avatar_folder_gets_a_page_with_the_camera(runtime: Path, tmp_path: Path) -> None:
    settings = ExportSettings(formats=("web",), web=WebSettings(camera=runtime))
    out = tmp_path / "avatar"
    report = add_formats(open_avatar("sample").path, out, settings)
    assert (out / "web" / "camera" / "face_landmarks.onnx").is_file()
    sizes = open_avatar(out).manifest["graphs"]["web"]["files"]
    assert sizes["camera/face_landmarks.onnx"] == 2_448_982
    notes = [note for note in report.notes if note.startswith("web/")]
    assert "web/ is a page of 0.5" in notes[0]
    assert "which a browser loads when the camera is used" in notes[1]


def test_a_folder_without_the_runtime_is_refused_with_the_command(tmp_path: Path) -> None:
    for folder in (tmp_path / "absent", tmp_path):
        arguments = ("sample", "--format", "web", "--web-camera", folder, "--out", tmp_path / "out")
        result = CliRunner().invoke(export, [str(argument) for argument in arguments])
        assert result.exit_code == 5
        assert " ".join(result.output.split()).endswith(
            f"{folder} has no ort.wasm.bundle.min.mjs of onnxruntime-web; install it by `npm "
            "install onnxruntime-web` and give --web-camera node_modules/onnxruntime-web/dist"
        )
    with pytest.raises(MissingDependencyError, match="npm install onnxruntime-web"):
        write_page(tmp_path / "site", b"avatar", camera=tmp_path)


def test_another_head_model_is_refused() -> None:
    check_edition("openhead")
    with pytest.raises(UsageError, match="of the head model openhead, and this one has flame2020"):
        check_edition("flame2020")


def test_the_file_of_the_head_model_is_its_landmarks() -> None:
    data = face_fit_file()
    length = int.from_bytes(data[:4], "little")
    offset = 4 + length
    arrays = {}
    for entry in json.loads(data[4:offset]):
        kind = np.dtype("<i2" if entry["step"] else "<f4")
        numbers = np.frombuffer(data, kind, entry["count"], offset)
        arrays[entry["name"]] = numbers * (entry["step"] or 1)
        offset += numbers.nbytes
    assert offset == len(data)
    head = HeadModel.load("openhead")
    model = LandmarkModel.of(head, landmark_points(head))
    for name in ("template", "expression_basis", "pose_basis", "weights", "spread", "offsets"):
        largest = np.abs(arrays[name] - getattr(model, name).ravel()).max()
        assert largest < 2e-5, f"{name} is rounded by 5 micrometres at most"
    assert arrays["prior_low"][-1] == -np.inf


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory, browser_here: None) -> Iterator[Page]:
    """A page without the camera."""
    folder = tmp_path_factory.mktemp("web") / "site"
    sample = open_avatar("sample")
    data = encode(sample.avatar, read_student(sample), resting_camera(sample.avatar)).data
    write_page(folder, data)
    with opened(folder) as page:
        yield page


def start(page: Page) -> str:
    return str(page.evaluate(f"{HEAD}.startCamera().then(() => '', (error) => error.message)"))


def test_a_page_without_the_camera_has_no_button(page: Page) -> None:
    assert page.evaluate("document.querySelector('[data-camera-controls]').clientHeight") == 0
    assert start(page) == (
        "This page was exported without the camera. Export it again with --web-camera."
    )


def test_a_lost_module_gets_a_sentence(page: Page) -> None:
    page.evaluate(f"{HEAD}.setAttribute('camera', 'camera/camera.js')")
    assert start(page) == "The camera could not be loaded: camera/camera.js is not there."
    assert page.evaluate(f"{HEAD}.cameraState.state") == "off"
    page.evaluate(f"{HEAD}.removeAttribute('camera')")


@pytest.mark.usefixtures("browser_here")
def test_a_page_of_another_head_model_says_so(runtime: Path, tmp_path: Path) -> None:
    avatar = replace(tiny_avatar(), edition="flame2020")
    student = random_student(avatar.vertex_count, 16)
    data = encode(avatar, student, resting_camera(avatar)).data
    write_page(tmp_path / "site", data, camera=runtime)
    with opened(tmp_path / "site") as page:
        assert start(page) == (
            "The camera moves avatars of the head model openhead, and this one has flame2020."
        )
