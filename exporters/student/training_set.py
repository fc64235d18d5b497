"""What a student is taught and examined on: frames of the training distribution, their normals, the teacher's colours.

The teacher is the full texture network, asked at the baked vertices and within faces: taught at vertices alone, free
features are noise in between, which shows as scratches. Examined are frames that are never taught: stretches of the
bundled motion whose neighbours are left out, too, and corners, among them those of `proof_poses`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from imavatar_deploy.conventions import EXPRESSION_SIZE, POSE_SIZE
from imavatar_deploy.model import ImplicitAvatar
from imavatar_deploy.model.surface.field import chunks
from imavatar_deploy.progress import Progress
from imavatar_deploy.rendering.cpu_renderer import SurfacePoser
from imavatar_deploy.rendering.workers import Workers
from imavatar_deploy.tracks import read_track

from ..bake import Bake
from ..fidelity.reference_poses import CORNERS, FLAME_CORNER, ReferencePoses, proof_poses

TAUGHT_MOTION, TAUGHT_CORNERS = 80, 300
EXAMINED_MOTION, EXAMINED_CORNERS = 15, 12

POINTS = 4096
"""Points of a taught frame, others in each, half of them vertices: 380 frames show every face of 50,000 30 times."""

SHARE = 12
"""A taught frame shows at least one face in this many, so that large meshes are seen as often."""

EXAMINED_POINTS = 8192
"""Points of an examined frame, spread over the whole mesh."""

SPLIT_PERIOD, HELD_OUT, EXAMINED = 50, slice(20, 36), slice(24, 32)
"""Of every 50 frames of motion (2 s) the frames 20 to 35 are not taught and those from 24 to 31 examined."""

POSE_RANGE = np.array(
    [0.1, 0.1, 0.1, 0.4, 0.6, 0.4, 0.4, 0.08, 0.02, 0.2, 0.4, 0.02, 0.2, 0.4, 0.02]
)
"""Radians that each angle of a pose may have in a corner, either way; the jaw opens and hardly closes."""

JAW_CLOSES = -0.05
STRONG_SHARE = 0.3
"""At most this share of OpenHead's expressions is active at a time."""

FLAME_ACTIVE = 10
"""The first coefficients matter most and are the ones that leave their usual range in a corner."""


class Points(NamedTuple):
    """P points of a mesh."""

    corners: NDArray[np.int64]  # [P, 3] three vertices
    weights: NDArray[np.float32]  # [P, 3] barycentric


class StudentSamples(NamedTuple):
    """T frames of P points each, with the teacher's colours."""

    corners: Tensor  # [T, P, 3] vertices around the points
    weights: Tensor  # [T, P, 3] barycentric
    normals: Tensor  # [T, P, 3] of the deformed surface
    condition: Tensor  # [T, 53]
    colours: Tensor  # [T, P, 3]


def training_samples(source: ImplicitAvatar, bake: Bake, progress: Progress) -> StudentSamples:
    """What the student learns from; other random points in each frame."""
    edition, generator = source.edition, np.random.default_rng(1)
    frames = _joined(
        _motion(edition, generator, training=True), _corners(edition, generator, TAUGHT_CORNERS)
    )
    faces = bake.avatar.faces
    count = max(min(POINTS, len(faces)), len(faces) // SHARE)
    points = [
        _joined_points(
            _vertices(faces, generator, count // 2), _within(faces, generator, count // 2)
        )
        for _ in frames.pose
    ]
    return _lessons(source, bake, frames, points, progress)


def validation_samples(
    source: ImplicitAvatar, bake: Bake, progress: Progress
) -> dict[str, StudentSamples]:
    """What the student is judged by, at vertices: a set for each kind of frame, `motion` and `corners`."""
    edition, generator = source.edition, np.random.default_rng(2)
    far = proof_poses(edition)
    proof = ReferencePoses(far.expression[1 : len(CORNERS)], far.pose[1 : len(CORNERS)])
    sets: Mapping[str, ReferencePoses] = {
        "motion": _motion(edition, generator, training=False),
        "corners": _joined(proof, _corners(edition, generator, EXAMINED_CORNERS - len(proof.pose))),
    }
    count = bake.avatar.vertex_count
    rows = np.linspace(0, count - 1, min(EXAMINED_POINTS, count)).astype(np.int64)
    vertices = _at_first_corner(np.repeat(rows[:, None], 3, axis=1))
    return {
        name: _lessons(source, bake, frames, [vertices] * len(frames.pose), progress)
        for name, frames in sets.items()
    }


def validation_samples_within_faces(
    source: ImplicitAvatar, bake: Bake, progress: Progress
) -> StudentSamples:
    """The examined motion at points within faces: what pixels see."""
    generator = np.random.default_rng(3)
    frames = _motion(source.edition, generator, training=False)
    points = _within(bake.avatar.faces, generator, min(EXAMINED_POINTS, len(bake.avatar.faces)))
    return _lessons(source, bake, frames, [points] * len(frames.pose), progress)


def at_points(attribute: Tensor, corners: Tensor, weights: Tensor) -> Tensor:
    """[N, K] an attribute `[V, K]` of the vertices, interpolated at N points."""
    return nn.functional.embedding_bag(corners, attribute, per_sample_weights=weights, mode="sum")


def _vertices(faces: NDArray[np.int32], generator: np.random.Generator, count: int) -> Points:
    """Random corners of random faces."""
    corners = faces[generator.integers(0, len(faces), count)]
    turned = (np.arange(3) + generator.integers(0, 3, count)[:, None]) % 3
    return _at_first_corner(np.take_along_axis(corners, turned, axis=1))


def _at_first_corner(corners: NDArray[np.signedinteger]) -> Points:
    weights = np.tile(np.array([1, 0, 0], dtype=np.float32), (len(corners), 1))
    return Points(corners.astype(np.int64), weights)


def _within(faces: NDArray[np.int32], generator: np.random.Generator, count: int) -> Points:
    """Random points, everywhere alike, of random faces."""
    weights = generator.dirichlet(np.ones(3), count).astype(np.float32)
    return Points(faces[generator.integers(0, len(faces), count)].astype(np.int64), weights)


def _joined_points(first: Points, second: Points) -> Points:
    return Points(
        np.concatenate([first.corners, second.corners]),
        np.concatenate([first.weights, second.weights]),
    )


def _motion(edition: str, generator: np.random.Generator, *, training: bool) -> ReferencePoses:
    """Frames of the bundled motion; for FLAME, which has none here, usual coefficients and half a corner's reach."""
    count = TAUGHT_MOTION if training else EXAMINED_MOTION
    if edition != "openhead":
        expression = generator.normal(size=(count, EXPRESSION_SIZE)).astype(np.float32)
        return ReferencePoses(expression, _poses(generator, count) * np.float32(0.5))
    talk = read_track("talk")
    place = np.arange(len(talk.pose)) % SPLIT_PERIOD
    stretch = HELD_OUT if training else EXAMINED
    frames = np.flatnonzero(((place >= stretch.start) & (place < stretch.stop)) != training)
    frames = frames[np.linspace(0, len(frames) - 1, count).astype(int)]
    return ReferencePoses(talk.expression[frames], talk.pose[frames])


def _corners(edition: str, generator: np.random.Generator, count: int) -> ReferencePoses:
    """Random sets of expressions, every other time all of them as strong as they get, over random poses."""
    expression = np.zeros((count, EXPRESSION_SIZE), dtype=np.float32)
    for frame in range(count):
        expression[frame] = _strong(edition, generator, full=frame % 2 == 1)
    return ReferencePoses(expression, _poses(generator, count))


def _strong(edition: str, generator: np.random.Generator, *, full: bool) -> NDArray[np.float64]:
    """[50] some expressions, all at their strongest when `full`: weights of OpenHead, deviations of FLAME."""
    active, strength = generator.random((2, EXPRESSION_SIZE))
    if edition == "openhead":
        chosen = active < generator.uniform(0, STRONG_SHARE)
        return np.where(chosen, 1.0 if full else strength, 0.0)
    signed = np.sign(2 * strength - 1) if full else 2 * strength - 1
    return np.where(np.arange(EXPRESSION_SIZE) < FLAME_ACTIVE, FLAME_CORNER * signed, 0.0)


def _poses(generator: np.random.Generator, count: int) -> NDArray[np.float32]:
    """[count, 15] within `REACH`; both eyes look the same way."""
    pose = generator.uniform(-1, 1, (count, POSE_SIZE)) * POSE_RANGE
    pose[:, 6] = generator.uniform(JAW_CLOSES, POSE_RANGE[6], count)
    pose[:, 12:] = pose[:, 9:12]
    return np.asarray(pose, dtype=np.float32)


def _joined(first: ReferencePoses, second: ReferencePoses) -> ReferencePoses:
    return ReferencePoses(
        np.concatenate([first.expression, second.expression]),
        np.concatenate([first.pose, second.pose]),
    )


def _lessons(
    source: ImplicitAvatar,
    bake: Bake,
    frames: ReferencePoses,
    points: Sequence[Points],
    progress: Progress,
) -> StudentSamples:
    device = source.canonical_pose.device
    corners, weights = (
        torch.from_numpy(np.stack(part)).to(device) for part in zip(*points, strict=True)
    )
    condition = torch.from_numpy(frames.condition).to(device)
    canonical = torch.from_numpy(np.ascontiguousarray(bake.avatar.canonical.T)).to(device)
    normals, colours = torch.zeros_like(weights), torch.zeros_like(weights)
    with torch.inference_mode(), progress("asking the teacher", len(points)) as advance:
        for frame, posed in enumerate(_normals(bake, frames)):
            for part in chunks(corners.shape[1]):
                where = corners[frame, part], weights[frame, part]
                normal = nn.functional.normalize(
                    at_points(torch.from_numpy(posed).to(device), *where)
                )
                asked = (
                    at_points(canonical, *where),
                    normal,
                    condition[frame],
                    at_points(bake.feature, *where),
                )
                normals[frame, part], colours[frame, part] = normal, source.texture(*asked)
            advance(1)
    return StudentSamples(corners, weights, normals, condition, colours)


def _normals(bake: Bake, frames: ReferencePoses) -> Iterator[NDArray[np.float32]]:
    """[V, 3] of each frame, as the runtime computes them; the next frame overwrites them."""
    with Workers(1) as workers:
        poser = SurfacePoser(bake.avatar, workers)
        for expression, pose in zip(frames.expression, frames.pose, strict=True):
            yield poser(expression, pose).normals
