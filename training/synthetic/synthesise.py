"""synthesise: draw a set of a synthetic subject into a folder of the published layout."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.atomic import atomic_folder
from imavatar_deploy.camera import Camera
from imavatar_deploy.errors import InputError, UsageError, unknown_name
from imavatar_deploy.progress import Progress, silent
from imavatar_deploy.rendering.workers import Workers
from imavatar_deploy.tracks import FlameTrack, write_track
from imavatar_deploy.untrusted.npz import read_npz

from ..warm_start.head_surface import HeadSurface
from .build_subject import SUBDIVISIONS, SyntheticSubject, actor, openhead
from .motions import SETS
from .people import SUBJECTS, Person
from .render_frame import FrameRenderer, RenderedFrame, with_keypoints

# The 3D truth of a synthetic set: the drawn surfaces with all of their motion, in `subject.npz`.


SUBJECT_FILE = "subject.npz"

HALVED = ("expression", "pose")
"""Stored in half precision, to which `actor.halved` has rounded them before anything was drawn."""

EXACT = ("rest", "faces", "parts", "weights", "colour", "flush")


def write_ground_truth(actor: SyntheticSubject, shape: NDArray[np.float32], path: Path) -> None:
    """Write an actor's surfaces, labels and shape coefficients."""
    subject = actor.subject
    arrays: dict[str, Any] = {name: getattr(subject, name) for name in EXACT}
    arrays["faces"] = subject.faces.astype(np.int32)
    arrays["parts"] = subject.parts.astype(np.uint8)
    arrays |= {name: getattr(subject, name).astype(np.float16) for name in HALVED}
    np.savez_compressed(path, labels=actor.labels, shape=shape, **arrays)


def load_actor(folder: Path) -> SyntheticSubject:
    """The actor of a synthetic set, as it was drawn.

    Raises:
        InputError: the folder has no ground truth, or it cannot be read.
    """
    path = Path(folder) / SUBJECT_FILE
    if not path.is_file():
        raise InputError(
            f"{folder} has no {SUBJECT_FILE}: expected a set that `imavatar-data synth` wrote"
        )
    try:
        names = (*EXACT, *HALVED, "labels", "shape")
        stored = read_npz(path, names)
        arrays = {name: stored[name] for name in names}
    except (OSError, ValueError, KeyError) as error:
        raise InputError(
            f"{path} is not a readable ground truth ({error}); make the set again"
        ) from error
    labels, shape = arrays.pop("labels"), arrays.pop("shape")
    arrays |= {name: arrays[name].astype(np.float32) for name in HALVED}
    arrays |= {name: arrays[name].astype(np.int64) for name in ("faces", "parts")}
    importance = np.ones(len(labels), dtype=np.float32)
    return SyntheticSubject(
        HeadSurface(head=openhead().for_subject(shape), importance=importance, **arrays), labels
    )


def load_ground_truth(folder: Path) -> HeadSurface:
    """The surfaces of a synthetic set; `.posed(expression, pose)` gives the mesh of any frame, in model units.

    Raises:
        InputError: the folder has no ground truth, or it cannot be read.
    """
    return load_actor(folder).subject


MARKER = "synthetic.json"

TRACK = "flame_params.json"

WORLD_MAT = np.column_stack([np.eye(3), [0.0, 0.0, -4.0]])

INTRINSICS = (-2.7, 2.7, 0.5, 0.48)
"""A square view from below the collar to a hand above the hair, as of the bundled motion."""

SHAPE_SIZE = 100

DEPTH_SCALE = 8192.0
"""Steps of the stored depth in one model unit: 0.03 mm."""

SMALLEST, LARGEST = 16, 2048


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

        image/K.png       RGB, white background       mask/K.png    0 or 255
        semantic/K.png    ids of `labels.LABELS`      normal/K.png  16 bits, (n + 1) / 2 x 65535, model space
        depth/K.png       16 bits, depth x 8192       subject.npz   the surfaces and their motion
        flame_params.json what a tracker would know   synthetic.json

    Args:
        subject: a row of `SUBJECTS`.
        which: a row of `SETS`.
        frames: how many; the set's own length when left out.
        out: the folder to write.
        size: pixels across, 16..2048.
        seed: of the motion: the same seed draws the same images.
        overwrite: replace an earlier set at `out`.
        subdivisions: how fine the surfaces are; each step quadruples the faces.
        progress: shows how far it is.

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
            cast = actor(subject, subdivisions)
        track = _track(person, cast, which, count, seed)
        _write_frames(cast, track, folder, size, progress)
        _write_track(track, folder / TRACK)
        write_ground_truth(cast, person.shape, folder / SUBJECT_FILE)
        about = {"subject": subject, "set": which, "seed": seed, "frames": count, "size": size}
        (folder / MARKER).write_text(
            json.dumps(about | _notes(person, which), indent=1) + "\n", encoding="utf-8"
        )


def _check(frames: int, size: int, seed: int) -> None:
    if frames < 1:
        raise UsageError(f"frames must be at least 1, got {frames}")
    if not SMALLEST <= size <= LARGEST:
        raise UsageError(f"size must be between {SMALLEST} and {LARGEST} pixels, got {size}")
    if seed < 0:
        raise UsageError(f"seed must not be negative, got {seed}")


def _track(
    person: Person, cast: SyntheticSubject, which: str, frames: int, seed: int
) -> FlameTrack:
    expression, pose, fps = SETS[which].motion(frames, seed, cast.subject.head.expression_names)
    shape = np.zeros(SHAPE_SIZE, dtype=np.float32)
    shape[: len(person.shape)] = person.shape
    cameras = (Camera.from_dataset(WORLD_MAT, INTRINSICS),) * frames
    return FlameTrack(
        expression, pose, cameras, fps=fps, edition=cast.subject.head.edition, shape=shape
    )


def _write_frames(
    cast: SyntheticSubject, track: FlameTrack, folder: Path, size: int, progress: Progress
) -> None:
    for kind in WRITERS:
        (folder / kind).mkdir()
    with Workers(1) as workers, progress("drawing", len(track)) as advance:
        stage = FrameRenderer(cast, track.cameras[0], size, workers)
        for frame in track.frames():
            picture = stage.draw(frame.expression, frame.pose)
            for kind, encode in WRITERS.items():
                _write_png(folder / kind / f"{frame.name}.png", encode(picture))
            advance(1)


def _write_png(path: Path, pixels: NDArray[Any]) -> None:
    swapped = pixels[..., ::-1] if pixels.ndim == 3 else pixels
    if not cv2.imwrite(str(path), np.ascontiguousarray(swapped)):
        raise UsageError(f"{path} cannot be written; is the disk full?")


def _normal(picture: RenderedFrame) -> NDArray[np.uint16]:
    steps = np.round((picture.normal + 1.0) / 2.0 * 65535.0)
    return np.where(picture.mask[..., None], steps, 0.0).astype(np.uint16)


WRITERS: dict[str, Callable[[RenderedFrame], NDArray[Any]]] = {
    "image": lambda picture: np.round(picture.rgb * 255.0).astype(np.uint8),
    "mask": lambda picture: picture.mask.astype(np.uint8) * np.uint8(255),
    "semantic": lambda picture: picture.label,
    "normal": _normal,
    "depth": lambda picture: np.round(picture.depth * DEPTH_SCALE).astype(np.uint16),
}
"""What each folder's images hold."""


def _write_track(track: FlameTrack, path: Path) -> None:
    """The track in the published schema, with the landmarks that the format's own writer leaves out."""
    write_track(track, path)
    document = with_keypoints(json.loads(path.read_text(encoding="utf-8")), track)
    path.write_text(json.dumps(document, separators=(",", ":")) + "\n", encoding="utf-8")


def _notes(person: Person, which: str) -> dict[str, str]:
    return {
        "what": f"a synthetic video of {person.name} ({person.description}): {SETS[which].description}",
        "licence": "CC0-1.0",
    }
