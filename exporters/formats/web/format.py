"""The format `web`: a static folder with a page, its viewer and the avatar, for any web server."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

import imavatar_deploy
from imavatar_deploy.arrays import Array, Float32
from imavatar_deploy.avatar import Avatar
from imavatar_deploy.conventions import UNITS_PER_METRE
from imavatar_deploy.errors import UsageError
from imavatar_deploy.fidelity.golden import GoldenCase, golden_rows, read_golden, write_golden
from imavatar_deploy.fidelity.parity import ParityReport, Tolerance, compare
from imavatar_deploy.fidelity.stage_metrics import BROWSER
from imavatar_deploy.marking import TERM, extras
from imavatar_deploy.progress import Progress
from imavatar_deploy.rendering.posing import pose_plainly, resting_camera
from imavatar_deploy.student import STUDENT_FILE
from imavatar_deploy.tracks import FlameTrack, check_edition
from imavatar_deploy.viewer.avatar_file import MILLIMETRE, WIDTHS, decode, encode

from ...fidelity.reference_poses import reference_poses
from ...manifest import licence_report
from ...settings import ExportSettings
from ...student.format import student_of
from ..format import ExportFormat, ExportInput, Source
from .camera import FOLDER as CAMERA_FOLDER
from .camera import MODULE as CAMERA_MODULE
from .camera import camera_files, check_runtime
from .camera import check_edition as check_camera_edition

FOLDER = "web"
"""The folder inside an avatar folder."""

BINARY = "avatar.bin"
PAGE = "index.html"
VIEWER = "viewer.js"
TRACK = "track.json"

CASE = "web"
"""Name of the golden case."""

TOLERANCE = Tolerance(0.5 * MILLIMETRE)
"""Of the coordinates of vertices. On the bundled avatar the largest difference in the strongest
expressions is 0.2 mm."""

FRAMES = slice(4)
"""Reference poses of the golden case: rest and the corners of pose and expression."""


def _ready(settings: ExportSettings) -> None:
    if settings.student is None:
        raise UsageError(
            "the format web draws the student, and student=None (--no-student) leaves it out; "
            "give one of them"
        )
    if settings.student.width not in WIDTHS:
        raise UsageError(
            f"the format web draws students of width {' or '.join(map(str, WIDTHS))}, "
            f"got {settings.student.width}: choose one by student.width (--student)"
        )
    if settings.web.camera is not None:
        check_runtime(settings.web.camera)


def _write(folder: Path, subject: ExportInput, progress: Progress) -> Mapping[str, Any]:
    avatar, settings = subject.bake.avatar, subject.settings
    source = subject.source
    facts = {
        "producer": f"imavatar-deploy {imavatar_deploy.__version__}",
        "licence": licence_report(
            source.edition, source.provenance, subject.metadata["source_sha256"]
        ),
        **extras(settings.synthetic_mark),
    }
    file = encode(avatar, student_of(subject), resting_camera(avatar), facts)
    sizes = write_page(
        folder / FOLDER,
        file.data,
        settings.track,
        synthetic_mark=settings.synthetic_mark,
        camera=settings.web.camera,
    )
    poses = reference_poses(source.edition)
    posed = _posed(avatar, poses.expression, poses.pose)[:, file.vertices]
    stored = _posed(decode(file.data).avatar, poses.expression, poses.pose)
    largest = float(np.linalg.norm(posed - stored, axis=2).max()) / MILLIMETRE
    inputs = {"expression": poses.expression[FRAMES], "pose": poses.pose[FRAMES]}
    outputs = {"vertices": posed[FRAMES][:, golden_rows(len(file.vertices))]}
    write_golden(folder, {CASE: GoldenCase(inputs, outputs, {"vertices": TOLERANCE})})
    return {
        "web": {
            "files": sizes,
            "parts": {name: dict(part) for name, part in file.sizes.items()},
            "units": f"{UNITS_PER_METRE:g} model units a metre",
            "losses_mm": {"numbers rounded for the transfer": largest},
        }
    }


def write_page(
    folder: Path,
    data: bytes,
    track: FlameTrack | None = None,
    *,
    synthetic_mark: bool = True,
    camera: Path | None = None,
) -> dict[str, int]:
    """Write a page with an avatar into a new folder; return the bytes of each file.

    Args:
        data: the avatar, as `avatar_file.encode` writes it.
        track: the motion that the page plays.
        camera: `dist` of onnxruntime-web, for a page that tracks a face before the camera.
    """
    folder.mkdir(parents=True)
    viewer = files("imavatar_deploy").joinpath("viewer")
    page = viewer.joinpath(PAGE).read_text(encoding="utf-8")
    if synthetic_mark:
        mark = f'<meta name="digitalSourceType" content="{TERM}">\n'
        page = page.replace("<title>", f"{mark}<title>", 1)
    contents = {
        PAGE: page.encode(),
        VIEWER: viewer.joinpath(VIEWER).read_bytes(),
        BINARY: data,
    }
    if track is not None:
        contents[TRACK] = _track_json(track)
        page = page.replace(f'src="{BINARY}"', f'src="{BINARY}" track="{TRACK}"', 1)
        contents[PAGE] = page.encode()
    if camera is not None:
        page = page.replace(
            " data-controls", f' camera="{CAMERA_FOLDER}/{CAMERA_MODULE}" data-controls'
        )
        # WebAssembly is compiled from a file of this page's own folder.
        page = page.replace("script-src 'self'", "script-src 'self' 'wasm-unsafe-eval'", 1)
        contents |= {PAGE: page.encode(), **camera_files(camera)}
        (folder / CAMERA_FOLDER).mkdir()
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return {name: len(content) for name, content in contents.items()}


def _track_json(track: FlameTrack) -> bytes:
    """A track as the viewer reads it, rounded to a ten-thousandth."""
    rows = zip(track.expression.astype(float), track.pose.astype(float), strict=True)
    frames = [
        {"expression": expression.round(4).tolist(), "pose": pose.round(4).tolist()}
        for expression, pose in rows
    ]
    document = {"fps": track.fps, "head_model": track.edition, "frames": frames}
    return json.dumps(document, separators=(",", ":")).encode()


def _refuse(avatar: Source, settings: ExportSettings) -> None:
    if settings.track is not None:
        check_edition(settings.track.edition, avatar.edition)
    if settings.web.camera is not None:
        check_camera_edition(avatar.edition)


def _posed(
    avatar: Avatar, expression: Float32[Array, "T E"], pose: Float32[Array, "T 15"]
) -> Float32[Array, "T V 3"]:
    frames = zip(expression, pose, strict=True)
    return np.stack([pose_plainly(avatar, *frame).vertices for frame in frames])


def _check(folder: Path) -> list[ParityReport]:
    """Read the file back and compare posed vertices with those of the avatar."""
    case = read_golden(folder)[CASE]
    avatar = decode((folder / FOLDER / BINARY).read_bytes()).avatar
    posed = _posed(avatar, case.inputs["expression"], case.inputs["pose"])
    outputs = {"vertices": posed[:, golden_rows(avatar.vertex_count)]}
    return [compare(CASE, case.outputs, outputs, case.tolerances)]


def _notes(folder: Path) -> list[str]:
    def megabytes(part: Path) -> str:
        return f"{sum(file.stat().st_size for file in part.glob('*') if file.is_file()) / 1e6:.2f}"

    page = folder / FOLDER
    notes = [
        f"{FOLDER}/ is a page of {megabytes(page)} MB for any static web server; to look at it: "
        f"python -m http.server --bind 127.0.0.1 --directory OUT/{FOLDER}"
    ]
    if (page / CAMERA_FOLDER).is_dir():
        notes.append(
            f"{FOLDER}/{CAMERA_FOLDER}/ has {megabytes(page / CAMERA_FOLDER)} MB, which a browser "
            "loads when the camera is used; away from this computer that needs https"
        )
    return notes


ROWS = (
    ExportFormat(
        name="web",
        description="a page for any static web server: the avatar in WebGL, with sliders "
        "and playback of tracks",
        modules=(),
        write=_write,
        check=_check,
        after=("student",),
        after_student=True,
        refuse=_refuse,
        ready=_ready,
        notes=_notes,
        stage=BROWSER,
        output=FOLDER,
        folder_files=(STUDENT_FILE,),
    ),
)
