"""Measures tracking on rendered subjects: images alone, against the parameters they were drawn by.

    python benchmarks/tracking.py DATASET... [--out FILE.md] [--frames N] [--live] [--disturbed]

Each DATASET is a folder of `imavatar-data synth`: images, and `flame_params.json`, which is read
after the fit alone (but for the focal length). Without a DATASET the four subjects are rendered
into a temporary folder.

Columns, root mean squares over the frames unless stated:

    error       mean distance of visible landmarks from the fitted model's, pixels
    head        angle between the fitted and the true rotation of the head (root and neck), degrees
    neck        angle between the fitted neck joint's rotation and the true one of the head against
                the shoulders, which stand still in these renders (the shirt follows no bone)
    jaw         error of the jaw's opening, degrees
    gaze        angle between the rotations of an eye in the camera's axes, lids open
    shoulders   motion of the root bone's points in the picture plane, millimetres; truly 0
    lips        correlation of the distance between the lips with the true one
    seen        correlation of the displacements of all landmarks by the expression, lips and lids
    seconds     of one core per 400 frames, for the fit alone
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from imavatar_deploy.conventions import UNITS_PER_METRE
from imavatar_deploy.head_fit import (
    FrameFitter,
    SequenceFit,
    SequenceSettings,
    calibrate,
    fit_sequence,
    landmark_points,
)
from imavatar_deploy.head_fit.landmark_groups import LEFT_EYE, LIPS_INNER, LIPS_OUTER, RIGHT_EYE
from imavatar_deploy.head_fit.landmark_model import LandmarkModel
from imavatar_deploy.head_model import HeadModel
from imavatar_deploy.kinematics import rotations
from imavatar_deploy.training.tracking.torso import TorsoTracker
from imavatar_deploy.vision import FaceTracker, PersonMask
from imavatar_deploy.vision.outline import OutlineCollector

SUBJECTS = ("female1", "female2", "male1", "male2")
COLUMNS = ("error", "head", "neck", "jaw", "gaze", "shoulders", "lips", "seen", "seconds")
BLINK = 0.3
"""Weight of eyeBlink from which the eye's direction is not visible."""
CALIBRATION = 120
"""Frames from which the live fit is calibrated: five seconds."""
UPPER_LIP, LOWER_LIP = 13, 14

IMAGE_NOISE = 10.0
"""Standard deviation of the noise of `--disturbed`, of 255 grey values."""
DROPPED = 0.1
"""Share of frames that `--disturbed` drops, in gaps of `GAP` frames."""
GAP = 5
FOCAL_ERROR = 1.2
"""Factor on the focal length that `--disturbed` states."""


@dataclass(frozen=True, eq=False)
class Truth:
    """Parameters that the images were drawn by."""

    expression: Any
    pose: Any
    translation: Any
    shape: Any
    intrinsics: Any
    files: list[Path]

    @classmethod
    def read(cls, folder: Path, frames: int | None) -> Truth:
        content = json.loads((folder / "flame_params.json").read_text())
        rows = content["frames"][:frames]
        return cls(
            np.array([row["expression"] for row in rows]),
            np.array([row["pose"] for row in rows]),
            np.array([row["world_mat"] for row in rows])[:, :, 3],
            np.array(content["shape_params"]),
            np.abs(np.array(content["intrinsics"])),
            [folder / f"{row['file_path']}.png" for row in rows],
        )


@dataclass(frozen=True, eq=False)
class Observed:
    """What the images show."""

    landmarks: Any
    confidences: Any
    torso: Any
    silhouettes: Any
    size: tuple[int, int]


Method = Callable[[Observed, HeadModel, Any], tuple[SequenceFit, float]]


def observe(files: list[Path], noise: float = 0.0, irises: bool = True) -> Observed:
    """Read the images, add noise of a standard deviation, and locate the irises."""
    random = np.random.default_rng(0)
    landmarks, confidences = [], []
    torso, outlines, people = TorsoTracker(), OutlineCollector(), PersonMask()
    shape: tuple[int, ...] = (0, 0)
    with FaceTracker(irises=irises) as tracker:
        for path in files:
            image = cv2.imread(str(path))
            if image is None:
                raise SystemExit(f"{path} is no readable image")
            image = np.ascontiguousarray(image[:, :, ::-1])
            if noise:
                noisy = image + random.normal(0.0, noise, image.shape)
                image = noisy.round().clip(0, 255).astype(np.uint8)
            shape = image.shape
            face = tracker.track(image)
            points = None if face is None else face.landmarks
            mask = people.mask(image)
            torso.add(image, mask, points)
            outlines.add(mask, points)
            landmarks.append(np.full((478, 3), np.nan) if face is None else face.landmarks)
            confidences.append(0.0 if face is None else face.confidence)
    return Observed(
        np.array(landmarks),
        np.array(confidences),
        torso.finish(),
        outlines.finish(),
        (shape[1], shape[0]),
    )


def with_gaps(observed: Observed) -> Observed:
    """Drop frames, as where a hand covers the face."""
    count = len(observed.landmarks)
    starts = np.linspace(GAP, count - 2 * GAP, max(1, round(DROPPED * count / GAP))).astype(int)
    landmarks, confidences = observed.landmarks.copy(), observed.confidences.copy()
    for start in starts:
        landmarks[start : start + GAP] = np.nan
        confidences[start : start + GAP] = 0.0
    return replace(observed, landmarks=landmarks, confidences=confidences)


def fit_all(observed: Observed, head: HeadModel, intrinsics: Any) -> tuple[SequenceFit, float]:
    """Fit all frames together; return the fit and the seconds it took."""
    begun = time.process_time()
    fit = fit_sequence(
        observed.landmarks,
        head,
        intrinsics,
        observed.size,
        confidences=observed.confidences,
        torso=observed.torso,
        silhouettes=observed.silhouettes,
        settings=SequenceSettings(irises=True),
    )
    return fit, time.process_time() - begun


def fit_live(observed: Observed, head: HeadModel, intrinsics: Any) -> tuple[SequenceFit, float]:
    """Fit frame after frame, calibrated by the first 120; return fit and seconds."""
    begun = time.process_time()
    first = slice(0, CALIBRATION)
    shape, moved = calibrate(
        observed.landmarks[first],
        head,
        intrinsics,
        observed.size,
        silhouettes=observed.silhouettes.part(first),
    )
    fitter = FrameFitter(head.for_subject(shape), intrinsics, observed.size, offsets=moved)
    fits = [fitter.fit(points) for points in observed.landmarks]
    seconds = time.process_time() - begun
    stacked = {
        name: np.stack([getattr(fit, name) for fit in fits])
        for name in ("expression", "pose", "translation")
    }
    errors = np.array([fit.error for fit in fits], dtype=np.float32)
    empty = np.zeros((len(fits), 478), dtype=np.float32)
    offsets = np.zeros((3, 478, 3), dtype=np.float32)
    return SequenceFit(shape, *stacked.values(), errors, empty, empty, offsets), seconds


def figures(fit: SequenceFit, truth: Truth, head: HeadModel) -> dict[str, float]:
    """Compare a fit with the truth."""
    own, true = rotations(fit.pose), rotations(truth.pose.astype(np.float32))
    open_ = truth.expression[:, head.expression_names.index("eyeBlinkLeft")] < BLINK
    gaze = [
        _angle(own[:, 0] @ own[:, 1] @ own[:, eye], true[:, 0] @ true[:, 1] @ true[:, eye])[open_]
        for eye in (3, 4)
    ]
    shape = truth.shape[: len(fit.shape)]
    model = LandmarkModel.of(head, landmark_points(head))
    fitted, drawn = (
        _expressed(model, *parameters, shape)
        for parameters in ((fit.expression, fit.pose), (truth.expression, truth.pose))
    )
    lips = [np.linalg.norm(p[:, UPPER_LIP] - p[:, LOWER_LIP], axis=1) for p in (fitted, drawn)]
    edges = list(LIPS_OUTER + LIPS_INNER + LEFT_EYE + RIGHT_EYE)
    return {
        "error": float(np.nanmean(fit.errors)),
        "head": _rms(_angle(own[:, 0] @ own[:, 1], true[:, 0] @ true[:, 1])),
        "neck": _rms(_angle(own[:, 1], true[:, 0] @ true[:, 1])),
        "jaw": _rms(np.degrees(fit.pose[:, 6] - truth.pose[:, 6])),
        "gaze": _rms(np.concatenate(gaze)),
        "shoulders": _shoulders(fit, head),
        "lips": float(np.corrcoef(*lips)[0, 1]),
        "seen": _correlation(fitted[:, edges], drawn[:, edges]),
    }


def _expressed(model: LandmarkModel, expression: Any, pose: Any, shape: Any) -> Any:
    """Return the landmarks of a head that does not turn and looks ahead."""
    still = np.zeros_like(pose, dtype=np.float64)
    still[:, 6:9] = pose[:, 6:9]
    return model.posed(expression.astype(np.float64), still, shape).points


def _shoulders(fit: SequenceFit, head: HeadModel) -> float:
    root = np.nonzero(head.weights[:, 0] > 0.99)[0]
    model = LandmarkModel.of_vertices(head, root)
    numbers = (array.astype(np.float64) for array in (fit.expression, fit.pose, fit.shape))
    points = model.posed(*numbers).points + fit.translation[:, None]
    return _rms(np.linalg.norm((points - points.mean(axis=0))[..., :2], axis=-1)) * (
        1000.0 / UNITS_PER_METRE
    )


def _correlation(first: Any, second: Any) -> float:
    first, second = first - first.mean(axis=0), second - second.mean(axis=0)
    return float((first * second).sum() / np.sqrt((first**2).sum() * (second**2).sum()))


def _angle(first: Any, second: Any) -> Any:
    trace = np.einsum("tij,tij->t", first.astype(np.float64), second.astype(np.float64))
    return np.degrees(np.arccos(np.clip((trace - 1) / 2, -1, 1)))


def _rms(values: Any) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


def _render(folder: Path) -> list[Path]:
    for name in SUBJECTS:
        command = ["imavatar-data", "synth", "--subject", name, "--size", "512"]
        subprocess.run(
            [str(Path(sys.executable).parent / command[0]), *command[1:], "--out", folder / name],
            check=True,
            timeout=3600,
        )
    return [folder / name for name in SUBJECTS]


def _table(rows: list[tuple[str, dict[str, float]]]) -> str:
    lines = ["| subject | " + " | ".join(COLUMNS) + " |", "|---" * (len(COLUMNS) + 1) + "|"]
    for name, values in rows:
        cells = [f"{values[column]:.2f}" for column in COLUMNS]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def conditions(truth: Truth, live: bool, disturbed: bool) -> Iterator[tuple[str, Method, Any, Any]]:
    """Yield the name, the method, the observations and the intrinsics of every row."""
    observed = observe(truth.files)
    yield "", fit_all, observed, truth.intrinsics
    if live:
        yield ", live", fit_live, observe(truth.files, irises=False), truth.intrinsics
    if disturbed:
        yield ", noise", fit_all, observe(truth.files, IMAGE_NOISE), truth.intrinsics
        yield ", dropped frames", fit_all, with_gaps(observed), truth.intrinsics
        wrong = truth.intrinsics * np.array([FOCAL_ERROR, FOCAL_ERROR, 1.0, 1.0])
        yield ", wrong focal length", fit_all, observed, wrong


def measure(folders: list[Path], frames: int | None, live: bool, disturbed: bool) -> str:
    """Track the datasets and return the table."""
    head = HeadModel.load("openhead")
    rows = []
    for folder in folders:
        truth = Truth.read(folder, frames)
        for suffix, method, observed, intrinsics in conditions(truth, live, disturbed):
            fit, seconds = method(observed, head, intrinsics)
            values = figures(fit, truth, head)
            values["seconds"] = seconds * 400 / len(truth.files)
            rows.append((folder.name + suffix, values))
            print(_table(rows[-1:]).splitlines()[-1], flush=True)
    return _table(rows)


def main() -> None:
    """Run the measurement."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("datasets", nargs="*", type=Path, metavar="DATASET")
    results = Path(__file__).parent / "results" / f"{date.today().isoformat()}-tracking.md"
    parser.add_argument("--out", type=Path, default=results, help="Markdown file to write")
    parser.add_argument("--frames", type=int, help="only the first frames of each dataset")
    parser.add_argument("--live", action="store_true", help="measure FrameFitter, too")
    parser.add_argument(
        "--disturbed",
        action="store_true",
        help="with noise, dropped frames and a focal length 20 % too long, too",
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folders = options.datasets or _render(Path(temporary))
        table = measure(folders, options.frames, options.live, options.disturbed)
    title = f"# Tracking of rendered subjects, {date.today().isoformat()}\n\n"
    legend = (__doc__ or "").split("Columns, ")[1]
    options.out.write_text(f"{title}{table}\n\n```\n{legend}```\n")
    print(table)


if __name__ == "__main__":
    main()
