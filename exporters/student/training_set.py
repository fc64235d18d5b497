"""Training and validation samples of the student: points, normals and the teacher's colours.

The teacher is the full texture network. It is evaluated at the baked vertices and within faces: a
student trained at vertices alone has noise in between, visible as scratches. Validation frames are
not used for training: they are stretches of the bundled motion whose neighbouring frames are left
out of training, too, and corners, among them those of `reference_poses`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from imavatar_deploy.arrays import Array, Bool, Float32, Float64, Int32, Int64, Integer
from imavatar_deploy.conventions import EXPRESSION_SIZE, POSE_SIZE
from imavatar_deploy.model import ImplicitAvatar
from imavatar_deploy.model.surface.field import chunks
from imavatar_deploy.progress import Progress
from imavatar_deploy.rendering.cpu_renderer import SurfacePoser
from imavatar_deploy.rendering.workers import Workers
from imavatar_deploy.tracks import read_track

from ..bake import Bake
from ..fidelity.reference_poses import CORNERS, FLAME_CORNER, ReferencePoses, reference_poses
from ..formats.onnx_modules import BakedTexture

TRAINING_MOTION = 80
"""Training frames of motion."""

TRAINING_CORNERS = 300
"""Training frames of random corners."""

VALIDATION_MOTION = 15
"""Validation frames of motion."""

VALIDATION_CORNERS = 12
"""Validation frames of corners."""

POINTS = 4096
"""Points of a training frame, random in each frame, half of them vertices.

380 frames show every face of a mesh of 50,000 faces 30 times.
"""

FACES_PER_POINT = 12
"""A training frame has at least one point for this many faces, so that large meshes are covered."""

VALIDATION_POINTS = 8192
"""Points of a validation frame, spread over the whole mesh."""

SPLIT_PERIOD = 50
"""Period of the split of the bundled motion into training and validation, frames (2 s)."""

NON_TRAINING_FRAMES = slice(20, 36)
"""Frames of each period that training leaves out: the validation frames and their neighbours."""

VALIDATION_FRAMES = slice(24, 32)
"""Frames of each period that are used for validation."""

POSE_RANGE = np.array(
    [0.1, 0.1, 0.1, 0.4, 0.6, 0.4, 0.4, 0.08, 0.02, 0.2, 0.4, 0.02, 0.2, 0.4, 0.02]
)
"""Largest magnitude of each angle of a pose in a corner, radians."""

MIN_JAW_ANGLE = -0.05
"""Smallest angle of the jaw in a corner, radians; the jaw opens widely and hardly closes."""

STRONG_SHARE = 0.3
"""Largest share of OpenHead's expressions that is active at a time."""

FLAME_STRONG_COUNT = 10
"""Number of FLAME's first coefficients that leave their usual range in a corner."""


class Points(NamedTuple):
    """P points of a mesh."""

    corners: Int64[Array, "P 3"]  # vertices around the points
    weights: Float32[Array, "P 3"]  # barycentric


class StudentSamples(NamedTuple):
    """T frames of P points each, with the teacher's colours."""

    corners: Tensor  # [T, P, 3] vertices around the points
    weights: Tensor  # [T, P, 3] barycentric
    normals: Tensor  # [T, P, 3] of the deformed surface
    condition: Tensor  # [T, 53]
    colours: Tensor  # [T, P, 3]


def training_samples(source: ImplicitAvatar, bake: Bake, progress: Progress) -> StudentSamples:
    """Samples that the student is trained on, with other random points in each frame."""
    edition = source.edition
    generator = np.random.default_rng(1)
    frames = _join(
        _motion(edition, generator, training=True), _corners(edition, generator, TRAINING_CORNERS)
    )
    faces = bake.avatar.faces
    count = max(min(POINTS, len(faces)), len(faces) // FACES_PER_POINT)
    points = [
        _join_points(_vertices(faces, generator, count // 2), _within(faces, generator, count // 2))
        for _ in frames.pose
    ]
    return _samples(source, bake, frames, points, progress)


def validation_samples(
    source: ImplicitAvatar, bake: Bake, progress: Progress
) -> dict[str, StudentSamples]:
    """Samples at vertices that the student is validated on: the sets `motion` and `corners`."""
    edition = source.edition
    generator = np.random.default_rng(2)
    poses = reference_poses(edition)
    fixed = ReferencePoses(poses.expression[1 : len(CORNERS)], poses.pose[1 : len(CORNERS)])
    random = _corners(edition, generator, VALIDATION_CORNERS - len(fixed.pose))
    sets: Mapping[str, ReferencePoses] = {
        "motion": _motion(edition, generator, training=False),
        "corners": _join(fixed, random),
    }
    count = bake.avatar.vertex_count
    rows = np.linspace(0, count - 1, min(VALIDATION_POINTS, count)).astype(np.int64)
    vertices = _at_first_corner(np.repeat(rows[:, None], 3, axis=1))
    return {
        name: _samples(source, bake, frames, [vertices] * len(frames.pose), progress)
        for name, frames in sets.items()
    }


def validation_samples_within_faces(
    source: ImplicitAvatar, bake: Bake, progress: Progress
) -> StudentSamples:
    """The validation motion at points within faces, as pixels show it."""
    generator = np.random.default_rng(3)
    frames = _motion(source.edition, generator, training=False)
    points = _within(bake.avatar.faces, generator, min(VALIDATION_POINTS, len(bake.avatar.faces)))
    return _samples(source, bake, frames, [points] * len(frames.pose), progress)


def at_points(attribute: Tensor, corners: Tensor, weights: Tensor) -> Tensor:
    """Interpolate an attribute `[V, K]` of the vertices at N points.

    Args:
        attribute: values at the vertices.
        corners: `[N, 3]` vertices around each point.
        weights: `[N, 3]` barycentric coordinates.

    Returns:
        `[N, K]` values.
    """
    return nn.functional.embedding_bag(corners, attribute, per_sample_weights=weights, mode="sum")


def _vertices(faces: Int32[Array, "F 3"], generator: np.random.Generator, count: int) -> Points:
    """Random corners of random faces."""
    corners = faces[generator.integers(0, len(faces), count)]
    order = (np.arange(3) + generator.integers(0, 3, count)[:, None]) % 3
    return _at_first_corner(np.take_along_axis(corners, order, axis=1))


def _at_first_corner(corners: Integer[Array, "P 3"]) -> Points:
    weights = np.tile(np.array([1, 0, 0], dtype=np.float32), (len(corners), 1))
    return Points(corners.astype(np.int64), weights)


def _within(faces: Int32[Array, "F 3"], generator: np.random.Generator, count: int) -> Points:
    """Random points of random faces, uniformly distributed within each face."""
    weights = generator.dirichlet(np.ones(3), count).astype(np.float32)
    return Points(faces[generator.integers(0, len(faces), count)].astype(np.int64), weights)


def _join_points(first: Points, second: Points) -> Points:
    return Points(
        np.concatenate([first.corners, second.corners]),
        np.concatenate([first.weights, second.weights]),
    )


def _motion(edition: str, generator: np.random.Generator, *, training: bool) -> ReferencePoses:
    """Frames of the bundled motion.

    For FLAME, which has no bundled motion, normally distributed coefficients and half the range of
    poses of a corner.
    """
    count = TRAINING_MOTION if training else VALIDATION_MOTION
    if edition != "openhead":
        expression = generator.normal(size=(count, EXPRESSION_SIZE)).astype(np.float32)
        return ReferencePoses(expression, _poses(generator, count) * np.float32(0.5))
    talk = read_track("talk")
    phase = np.arange(len(talk.pose)) % SPLIT_PERIOD
    if training:
        selected = ~_is_within(phase, NON_TRAINING_FRAMES)
    else:
        selected = _is_within(phase, VALIDATION_FRAMES)
    frames = np.flatnonzero(selected)
    frames = frames[np.linspace(0, len(frames) - 1, count).astype(int)]
    return ReferencePoses(talk.expression[frames], talk.pose[frames])


def _is_within(phase: Int64[Array, " T"], frames: slice) -> Bool[Array, " T"]:
    return np.asarray((phase >= frames.start) & (phase < frames.stop))


def _corners(edition: str, generator: np.random.Generator, count: int) -> ReferencePoses:
    """Random sets of expressions over random poses; in every other frame at full strength."""
    expression = np.zeros((count, EXPRESSION_SIZE), dtype=np.float32)
    for frame in range(count):
        expression[frame] = _strong(edition, generator, full=frame % 2 == 1)
    return ReferencePoses(expression, _poses(generator, count))


def _strong(edition: str, generator: np.random.Generator, *, full: bool) -> Float64[Array, " E"]:
    """Random strong expression; its active coefficients are extreme if `full`."""
    active, strength = generator.random((2, EXPRESSION_SIZE))
    if edition == "openhead":
        selected = active < generator.uniform(0, STRONG_SHARE)
        return np.where(selected, 1.0 if full else strength, 0.0)
    signed = np.sign(2 * strength - 1) if full else 2 * strength - 1
    return np.where(np.arange(EXPRESSION_SIZE) < FLAME_STRONG_COUNT, FLAME_CORNER * signed, 0.0)


def _poses(generator: np.random.Generator, count: int) -> Float32[Array, "T 15"]:
    """Random poses within `POSE_RANGE`; both eyes have the same rotation."""
    pose = generator.uniform(-1, 1, (count, POSE_SIZE)) * POSE_RANGE
    pose[:, 6] = generator.uniform(MIN_JAW_ANGLE, POSE_RANGE[6], count)
    pose[:, 12:] = pose[:, 9:12]
    return np.asarray(pose, dtype=np.float32)


def _join(first: ReferencePoses, second: ReferencePoses) -> ReferencePoses:
    return ReferencePoses(
        np.concatenate([first.expression, second.expression]),
        np.concatenate([first.pose, second.pose]),
    )


def _samples(
    source: ImplicitAvatar,
    bake: Bake,
    frames: ReferencePoses,
    points: Sequence[Points],
    progress: Progress,
) -> StudentSamples:
    """Evaluate the teacher at the points of each frame; around filled vertices, on their codes."""
    device = source.canonical_pose.device
    corners, weights = (
        torch.from_numpy(np.stack(part)).to(device) for part in zip(*points, strict=True)
    )
    condition = torch.from_numpy(frames.condition).to(device)
    canonical = torch.from_numpy(np.ascontiguousarray(bake.avatar.canonical.T)).to(device)
    filled, codes = (torch.from_numpy(array).to(device) for array in (bake.by_code, bake.code.code))
    baked = BakedTexture(source.texture, bake.code.decode, bake.code.mean)
    normals = torch.zeros_like(weights)
    colours = torch.zeros_like(weights)
    with torch.inference_mode(), progress("evaluating the teacher", len(points)) as advance:
        for frame, vertex_normals in enumerate(_normals(bake, frames)):
            for part in chunks(corners.shape[1]):
                position = corners[frame, part], weights[frame, part]
                normal = nn.functional.normalize(
                    at_points(torch.from_numpy(vertex_normals).to(device), *position)
                )
                normals[frame, part] = normal
                teacher = source.texture(
                    at_points(canonical, *position),
                    normal,
                    condition[frame],
                    at_points(bake.feature, *position),
                )
                rows = filled[corners[frame, part]].any(dim=1)
                code = at_points(codes, *(values[rows] for values in position))
                teacher[rows] = baked(code, normal[rows], condition[frame, None])
                colours[frame, part] = teacher
            advance(1)
    return StudentSamples(corners, weights, normals, condition, colours)


def _normals(bake: Bake, frames: ReferencePoses) -> Iterator[Float32[Array, "V 3"]]:
    """Vertex normals of each frame, as in the runtime; the next frame overwrites them."""
    with Workers(1) as workers:
        poser = SurfacePoser(bake.avatar, workers)
        for expression, pose in zip(frames.expression, frames.pose, strict=True):
            yield poser(expression, pose).normals
