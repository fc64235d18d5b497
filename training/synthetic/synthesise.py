"""Renders a video of a synthetic subject into a folder of the published layout.

The ground truth beside the images, `subject.npz`, holds the surface with its motion.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from imavatar_deploy.arrays import Array, Float32, Shaped
from imavatar_deploy.atomic import atomic_folder
from imavatar_deploy.camera import Camera
from imavatar_deploy.errors import InputError, UsageError, unknown_name
from imavatar_deploy.progress import Progress, silent
from imavatar_deploy.rendering.workers import Workers
from imavatar_deploy.tracks import FlameTrack, write_track
from imavatar_deploy.untrusted.npz import read_npz

from ..warm_start.head_surface import HeadSurface
from .build_subject import SUBDIVISIONS, SyntheticSubject, build_subject, openhead
from .motions import SETS
from .people import SUBJECTS, Person
from .render_frame import FrameRenderer, RenderedFrame, with_keypoints

# Ground truth

SUBJECT_FILE = "subject.npz"

HALF_PRECISION_ARRAYS = ("expression", "pose")
"""Arrays in half precision, to which `in_half_precision` rounds them before frames are drawn."""

LOSSLESS_ARRAYS = ("rest", "faces", "parts", "weights", "colour", "flush")
"""Arrays that are stored without loss."""


def write_ground_truth(subject: SyntheticSubject, shape: Float32[Array, " S"], path: Path) -> None:
    """Write the surface, the labels and the shape coefficients of a subject."""
    surface = subject.surface
    arrays: dict[str, Any] = {name: getattr(surface, name) for name in LOSSLESS_ARRAYS}
    arrays["faces"] = surface.faces.astype(np.int32)
    arrays["parts"] = surface.parts.astype(np.uint8)
    arrays |= {name: getattr(surface, name).astype(np.float16) for name in HALF_PRECISION_ARRAYS}
    np.savez_compressed(path, labels=subject.labels, shape=shape, **arrays)


def load_subject(folder: Path) -> SyntheticSubject:
    """Load the subject of a synthetic set, as it was drawn.

    Raises:
        InputError: the folder has no ground truth, or it cannot be read.
    """
    path = Path(folder) / SUBJECT_FILE
    if not path.is_file():
        raise InputError(
            f"{folder} has no {SUBJECT_FILE}: expected a set that `imavatar-data synth` wrote"
        )
    try:
        names = (*LOSSLESS_ARRAYS, *HALF_PRECISION_ARRAYS, "labels", "shape")
        stored = read_npz(path, names)
        arrays = {name: stored[name] for name in names}
    except (OSError, ValueError, KeyError) as error:
        raise InputError(
            f"{path} is not a readable ground truth ({error}); make the set again"
        ) from error
    labels = arrays.pop("labels")
    shape = arrays.pop("shape")
    arrays |= {name: arrays[name].astype(np.float32) for name in HALF_PRECISION_ARRAYS}
    arrays |= {name: arrays[name].astype(np.int64) for name in ("faces", "parts")}
    importance = np.ones(len(labels), dtype=np.float32)
    return SyntheticSubject(
        HeadSurface(head=openhead().for_subject(shape), importance=importance, **arrays), labels
    )


def load_ground_truth(folder: Path) -> HeadSurface:
    """Load the surface of a synthetic set.

    `posed(expression, pose)` of the result is the mesh of any frame, in model units.

    Raises:
        InputError: the folder has no ground truth, or it cannot be read.
    """
    return load_subject(folder).surface


# Video

MARKER = "synthetic.json"

TRACK = "flame_params.json"

WORLD_MAT = np.column_stack([np.eye(3), [0.0, 0.0, -4.0]])

INTRINSICS = (-2.7, 2.7, 0.5, 0.48)
"""A square view from below the collar to a hand above the hair, as of the bundled motion."""

SHAPE_SIZE = 100
"""Length of the shape coefficients in a track."""

DEPTH_SCALE = 8192.0
"""Steps of the stored depth in one model unit; one is 0.03 mm."""

MIN_SIDE = 16
MAX_SIDE = 2048


def synthesise(
    subject: str,
    out: str | Path,
    *,
    which: str = "train",
    frames: int | None = None,
    size: int = 256,
    seed: int = 0,
    overwrite: bool = False,
    subdivisions: int = SUBDIVISIONS,
    progress: Progress = silent,
) -> None:
    """Write one video of a synthetic subject; the same arguments give the same bytes.

        image/K.png        RGB, white background
        mask/K.png         0 or 255
        semantic/K.png     ids of `labels.LABELS`
        normal/K.png       16 bits, (n + 1) / 2 x 65535, model space
        depth/K.png        16 bits, depth x 8192
        flame_params.json  the track, as a tracker writes it
        subject.npz        the surface and its motion
        synthetic.json     the arguments

    Args:
        subject: a key of `SUBJECTS`.
        out: the folder to write.
        which: a key of `SETS`.
        frames: number of frames; by default that of the set.
        size: pixels a side, 16..2048.
        seed: of the motion.
        overwrite: replace an earlier set at `out`.
        subdivisions: how fine the surface is; each step quadruples the faces.
        progress: shows the progress.

    Raises:
        UsageError: an unknown name, a number out of range, or `out` cannot be written.

    Example:
        >>> from imavatar_deploy.training import synthesise
        >>> synthesise("female1", "data/female1", frames=20, size=128)
    """
    if subject not in SUBJECTS:
        raise unknown_name("subject", subject, SUBJECTS)
    if which not in SETS:
        raise unknown_name("set", which, SETS)
    count = SETS[which].frames if frames is None else frames
    _check(count, size, seed)
    person = SUBJECTS[subject]
    with atomic_folder(out, marker=MARKER, overwrite=overwrite) as folder:
        with progress("building the subject", None):
            built = build_subject(subject, subdivisions)
        track = _track(person, built, which, count, seed)
        _write_frames(built, track, folder, size, progress)
        _write_track(track, folder / TRACK)
        write_ground_truth(built, person.shape, folder / SUBJECT_FILE)
        about = {"subject": subject, "set": which, "seed": seed, "frames": count, "size": size}
        (folder / MARKER).write_text(
            json.dumps(about | _notes(person, which), indent=1) + "\n", encoding="utf-8"
        )


def _check(frames: int, size: int, seed: int) -> None:
    if frames < 1:
        raise UsageError(f"frames must be at least 1, got {frames}")
    if not MIN_SIDE <= size <= MAX_SIDE:
        raise UsageError(f"size must be between {MIN_SIDE} and {MAX_SIDE} pixels, got {size}")
    if seed < 0:
        raise UsageError(f"seed must not be negative, got {seed}")


def _track(
    person: Person, subject: SyntheticSubject, which: str, frames: int, seed: int
) -> FlameTrack:
    head = subject.surface.head
    expression, pose, fps = SETS[which].motion(frames, seed, head.expression_names)
    shape = np.zeros(SHAPE_SIZE, dtype=np.float32)
    shape[: len(person.shape)] = person.shape
    cameras = (Camera.from_dataset(WORLD_MAT, INTRINSICS),) * frames
    return FlameTrack(expression, pose, cameras, fps=fps, edition=head.edition, shape=shape)


def _write_frames(
    subject: SyntheticSubject, track: FlameTrack, folder: Path, size: int, progress: Progress
) -> None:
    for kind in WRITERS:
        (folder / kind).mkdir()
    with Workers(1) as workers, progress("drawing", len(track)) as advance:
        renderer = FrameRenderer(subject, track.cameras[0], size, workers)
        for frame in track.frames():
            image = renderer.draw(frame.expression, frame.pose)
            for kind, encode in WRITERS.items():
                _write_png(folder / kind / f"{frame.name}.png", encode(image))
            advance(1)


def _write_png(path: Path, pixels: Shaped[Array, "H W ..."]) -> None:
    swapped = pixels[..., ::-1] if pixels.ndim == 3 else pixels
    if not cv2.imwrite(str(path), np.ascontiguousarray(swapped)):
        raise UsageError(f"{path} cannot be written; is the disk full?")


def _normal(frame: RenderedFrame) -> Shaped[Array, "S S 3"]:
    steps = np.round((frame.normal + 1.0) / 2.0 * 65535.0)
    return np.where(frame.mask[..., None], steps, 0.0).astype(np.uint16)


WRITERS: dict[str, Callable[[RenderedFrame], Shaped[Array, "S S ..."]]] = {
    "image": lambda frame: np.round(frame.rgb * 255.0).astype(np.uint8),
    "mask": lambda frame: frame.mask.astype(np.uint8) * np.uint8(255),
    "semantic": lambda frame: frame.label,
    "normal": _normal,
    "depth": lambda frame: np.round(frame.depth * DEPTH_SCALE).astype(np.uint16),
}
"""The pixels of the images in each folder."""


def _write_track(track: FlameTrack, path: Path) -> None:
    """Write the track with the keypoints that `write_track` leaves out."""
    write_track(track, path)
    document = with_keypoints(json.loads(path.read_text(encoding="utf-8")), track)
    path.write_text(json.dumps(document, separators=(",", ":")) + "\n", encoding="utf-8")


def _notes(person: Person, which: str) -> dict[str, str]:
    return {
        "what": (
            f"a synthetic video of {person.name} ({person.description}): {SETS[which].description}"
        ),
        "licence": "CC0-1.0",
    }
