"""Build `imavatar_deploy/assets/landmark_slides.npz`: how landmarks slide when the head turns.

    python tools/build_landmark_slides.py [--people N] [--out FILE.npz]

A landmark network does not mark the same point of the surface from every side, and follows a nod
by about three quarters. The renders of `landmark_renders.py`, of people whom the table of
correspondences has not seen, show by how much: for every landmark, displacements at rest that are
linear in the sines of pitch and yaw (`pose_features`) are fitted to the pixels of all renders in
which it is visible, then averaged with their mirror images. A third of the people are left out to
measure the result. Run it after `build_landmarks.py`.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from build_openhead import write_npz
from landmark_renders import RenderedHead, Studio

from imavatar_deploy.head_fit import landmark_points
from imavatar_deploy.head_fit.landmark_groups import MIRROR
from imavatar_deploy.head_fit.landmark_model import POSE_FEATURES, LandmarkModel, pose_features
from imavatar_deploy.head_fit.terms import visibility
from imavatar_deploy.kinematics import axis_angles_of_matrices
from imavatar_deploy.rendering.workers import Workers
from imavatar_deploy.vision import FaceTracker

ASSET = Path(__file__).resolve().parents[1] / "imavatar_deploy" / "assets" / "landmark_slides.npz"
FIRST_PERSON = 100
VIEWS = 6
STIFFNESS = 100.0
"""Weight of a squared displacement beside a squared pixel, a frame and model unit."""
ROUNDS = 4
"""Times that the weights of outliers are computed anew."""


def observe(people: int) -> dict[str, Any]:
    """Return landmarks, true points, projections, rotations and people of all renders."""
    rows: list[tuple[Any, ...]] = []
    with Workers(1) as workers, FaceTracker(average=2) as tracker:
        studio = Studio(workers)
        points = landmark_points(studio.head)
        rigid = studio.head.weights[:, 1] > 0.99
        for person in range(FIRST_PERSON, FIRST_PERSON + people):
            for render in studio.renders(person, VIEWS, wider=True):
                faces = tracker.find_all(render.image)
                if faces:
                    places = points.positions(render.vertices, render.head.faces)
                    rotation = head_rotation(render, rigid)
                    marks = faces[0].landmarks[:, :2]
                    rows.append((marks, places, render.matrix, rotation, person))
    names = ("landmarks", "places", "matrices", "rotations", "people")
    columns = zip(*rows, strict=True)
    return {k: np.array(v, dtype=np.float64) for k, v in zip(names, columns, strict=True)}


def head_rotation(render: RenderedHead, rigid: Any) -> Any:
    """Return the rotation of the vertices that move with the head alone."""
    rest, posed = render.head.template[rigid], render.vertices[rigid]
    left, _, right = np.linalg.svd((rest - rest.mean(axis=0)).T @ (posed - posed.mean(axis=0)))
    sign = np.diag([1.0, 1.0, np.sign(np.linalg.det(left @ right))])
    return right.T @ sign @ left.T


class SlideSolver:
    """Least squares of the displacements on observed renders."""

    def __init__(self, observed: dict[str, Any], model: LandmarkModel) -> None:
        matrices, rotations = observed["matrices"], observed["rotations"]
        places = observed["places"]
        pose = np.zeros((len(places), 15))
        pose[:, :3] = axis_angles_of_matrices(rotations)
        self.features = pose_features(pose)
        homogeneous = np.einsum("nij,nlj->nli", matrices[:, :, :3], places)
        homogeneous += matrices[:, None, :, 3]
        pixels = homogeneous[..., :2] / homogeneous[..., 2:]
        self.offsets = observed["landmarks"] - pixels
        rows = matrices[:, None, :2, :3] - pixels[..., None] * matrices[:, None, 2:, :3]
        rows = rows / homogeneous[..., 2:, None]
        turned = rows @ rotations[:, None]
        self.rows = (self.features[:, None, None, :, None] * turned[:, :, :, None]).reshape(
            *turned.shape[:3], -1
        )
        eye = -np.linalg.solve(matrices[:, :, :3], matrices[:, :, 3:])[..., 0]
        normals = np.einsum("nij,lj->nli", rotations, model.normals)
        self.weights = visibility(normals, places - eye[:, None])

    def solve(self, chosen: Any) -> Any:
        """Return the displacements `[K, 478, 3]` for some of the renders."""
        rows, offsets = self.rows[chosen], self.offsets[chosen]
        size = rows.shape[-1]
        answer = np.zeros((rows.shape[1], size))
        for _ in range(ROUNDS):
            rest = np.linalg.norm(offsets - np.einsum("nlia,la->nli", rows, answer), axis=-1)
            weight = self.weights[chosen] / np.maximum(rest, 1.0)
            matrix = np.einsum("nlia,nlib,nl->lab", rows, rows, weight, optimize=True)
            right = np.einsum("nlia,nli,nl->la", rows, offsets, weight, optimize=True)
            matrix += STIFFNESS * len(rows) * np.eye(size)
            answer = np.linalg.solve(matrix, right[..., None])[..., 0]
        slides = answer.reshape(-1, POSE_FEATURES, 3).transpose(1, 0, 2)
        mirrored = slides[:, MIRROR] * np.array([-1.0, 1.0, 1.0])
        mirrored[2] *= -1.0
        return (slides + mirrored) / 2

    def error(self, chosen: Any, slides: Any) -> float:
        """Return the mean distance of visible landmarks, pixels."""
        flat = slides.transpose(1, 0, 2).reshape(slides.shape[1], -1)
        rest = self.offsets[chosen] - np.einsum("nlia,la->nli", self.rows[chosen], flat)
        weight = self.weights[chosen]
        return float((weight * np.linalg.norm(rest, axis=-1)).sum() / weight.sum())


def main() -> None:
    """Build the table and print what it changes on held-out people."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else "")
    parser.add_argument("--people", type=int, default=50)
    parser.add_argument("--out", type=Path, default=ASSET)
    options = parser.parse_args()
    observed = observe(options.people)
    with Workers(1) as workers:
        head = Studio(workers).head
    bare = landmark_points(head)
    solver = SlideSolver(observed, LandmarkModel.of(head, bare))
    held_out = observed["people"] % 3 == 0
    slides = solver.solve(~held_out)
    before = solver.error(held_out, np.zeros_like(slides))
    print(f"other people: {before:.2f} -> {solver.error(held_out, slides):.2f} pixels")
    everyone = solver.solve(np.ones(len(held_out), dtype=bool))
    write_npz(options.out, {"slides": everyone.astype(np.float32)})


if __name__ == "__main__":
    main()
