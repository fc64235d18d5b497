"""Build `imavatar_deploy/assets/gaze.npz`: the eyes' pitch and yaw from landmarks.

    python tools/build_gaze.py [--people N] [--out FILE.npz]

The renders of `landmark_renders.py`, of people whom the other tables have not seen and who look to
all sides, are read by the landmark network, and the directions of their eyes are fitted by ridge
regression on `gaze_features`, together with the mirror images. A fifth of the people at a time is
left out to measure the result. The heads' rotations vary by what a fit misses of them.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from build_landmark_slides import head_rotation
from build_openhead import write_npz
from landmark_renders import Studio

from imavatar_deploy.head_fit.gaze import gaze_features
from imavatar_deploy.head_fit.landmark_groups import MIRROR
from imavatar_deploy.kinematics import rotations
from imavatar_deploy.rendering.workers import Workers
from imavatar_deploy.vision import FaceTracker

ASSET = Path(__file__).resolve().parents[1] / "imavatar_deploy" / "assets" / "gaze.npz"
FIRST_PERSON = 200
VIEWS = 8
GAZE = 0.3
"""Largest rotation of the eyes, radians."""
HEAD_ERROR = np.radians(1.5)
"""Standard deviation of the error of a fitted head's rotation."""
RIDGE = 0.03
"""Weight of the squared coefficients of features of variance 1."""
FOLDS = 5


def observe(people: int) -> dict[str, Any]:
    """Return landmarks, rotations of the head, directions of the eyes and people of all renders."""
    rows: list[tuple[Any, ...]] = []
    with Workers(1) as workers, FaceTracker(average=2) as tracker:
        studio = Studio(workers)
        rigid = studio.head.weights[:, 1] > 0.99
        for person in range(FIRST_PERSON, FIRST_PERSON + people):
            for render in studio.renders(person, VIEWS, wider=True, gaze=GAZE):
                faces = tracker.find_all(render.image)
                if faces:
                    marks = faces[0].landmarks[:, :2]
                    rows.append((marks, head_rotation(render, rigid), render.gaze, person))
    names = ("landmarks", "rotations", "gaze", "people")
    columns = zip(*rows, strict=True)
    return {k: np.array(v, dtype=np.float64) for k, v in zip(names, columns, strict=True)}


def with_mirror_images(observed: dict[str, Any]) -> dict[str, Any]:
    """Return the observations and those of the mirrored renders."""
    flip = np.diag([-1.0, 1.0, 1.0])
    mirrored = {
        "landmarks": observed["landmarks"][:, MIRROR] * [-1.0, 1.0],
        "rotations": flip @ observed["rotations"] @ flip,
        "gaze": observed["gaze"] * [1.0, -1.0],
        "people": observed["people"],
    }
    return {name: np.concatenate([observed[name], mirrored[name]]) for name in mirrored}


def solve(features: Any, gaze: Any) -> dict[str, Any]:
    """Return the table: coefficients of the features and a constant."""
    middle, scale = features.mean(axis=0), features.std(axis=0) + 1e-9
    scaled = (features - middle) / scale
    matrix = scaled.T @ scaled + RIDGE * len(scaled) * np.eye(scaled.shape[1])
    weights = np.linalg.solve(matrix, scaled.T @ (gaze - gaze.mean(axis=0))) / scale[:, None]
    return {"weights": weights, "constant": gaze.mean(axis=0) - middle @ weights}


def main() -> None:
    """Build the table and print its error on people who are left out."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else "")
    parser.add_argument("--people", type=int, default=70)
    parser.add_argument("--out", type=Path, default=ASSET)
    options = parser.parse_args()
    build(observe(options.people), options.out)


def build(observed: dict[str, Any], out: Path) -> None:
    """Fit the table to observations, measure it and write it."""
    observed = with_mirror_images(observed)
    random = np.random.default_rng(0)
    errors = np.zeros((len(observed["gaze"]), 15), dtype=np.float32)
    errors[:, :3] = random.normal(0.0, HEAD_ERROR, (len(errors), 3))
    rotation = rotations(errors)[:, 0].astype(np.float64) @ observed["rotations"]
    features = gaze_features(observed["landmarks"], rotation)
    people, gaze = observed["people"], observed["gaze"]
    rest = np.zeros_like(gaze)
    for fold in range(FOLDS):
        left_out = people % FOLDS == fold
        table = solve(features[~left_out], gaze[~left_out])
        rest[left_out] = features[left_out] @ table["weights"] + table["constant"] - gaze[left_out]
    pitch, yaw = np.degrees(np.sqrt((rest**2).mean(axis=0)))
    print(f"other people: pitch {pitch:.2f}, yaw {yaw:.2f} degrees")
    table = solve(features, gaze)
    arrays = {name: values.astype(np.float32) for name, values in table.items()}
    write_npz(out, arrays | {"licence": np.array("CC0-1.0")})


if __name__ == "__main__":
    main()
