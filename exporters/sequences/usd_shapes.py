"""BlendShapes: the avatar's bases as blend shapes of a USD scene, and their weights in a motion."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from imavatar_deploy.arrays import Array, Float32
from imavatar_deploy.avatar import Avatar
from imavatar_deploy.conventions import BONES, POSE_FEATURE_SIZE
from imavatar_deploy.kinematics import pose_feature
from imavatar_deploy.tracks import FlameTrack

from ..formats.gltf.clip_weights import within_unit_range
from ..formats.gltf.morph_targets import MorphTarget


def blend_names(avatar: Avatar) -> list[str]:
    """[E + P] identifiers: the expressions, then `pose_jaw_0` and so on for the pose feature."""
    expressions = [re.sub(r"\W", "_", name) for name in avatar.expression_names]
    each = POSE_FEATURE_SIZE // (len(BONES) - 1)
    names = [*expressions, *(f"pose_{bone}_{entry}" for bone in BONES[1:] for entry in range(each))]
    return [
        name if names.count(name) == 1 else f"{name}_{index}" for index, name in enumerate(names)
    ]


def blend_offsets(avatar: Avatar) -> Float32[Array, "S 3 V"]:
    """Displacements of the S = E + P bases, model units for a weight of one."""
    return np.concatenate([avatar.expression_basis, avatar.pose_basis])


def blend_weights(
    expression: Float32[Array, " E"], pose: Float32[Array, "15"]
) -> Float32[Array, " S"]:
    """Weights of the bases for an expression and a pose."""
    return np.concatenate([expression, pose_feature(pose)])


@dataclass(frozen=True)
class BlendShapes:
    """The blend shapes of a scene.

    They are the bases that move a vertex, the named shapes of the file, and those that keep the
    weights of the motion within 0..1 (`clip_weights`).
    """

    targets: list[MorphTarget]
    used: list[int]
    """Basis of each of the first targets."""
    named: int
    """Number of named shapes, which follow the bases."""
    weights: Float32[Array, "T _"]
    """Weights of all targets in the frames of the motion."""

    @property
    def names(self) -> list[str]:
        """Names of the targets, which are identifiers of USD."""
        return [target.name for target in self.targets]

    def pose_weights(
        self, expression: Float32[Array, " E"], pose: Float32[Array, "15"]
    ) -> Float32[Array, " _"]:
        """Weights of all targets for an expression and a pose, of any size."""
        weights = np.zeros(len(self.targets), dtype=np.float32)
        weights[: len(self.used)] = blend_weights(expression, pose)[self.used]
        return weights

    def shape_weights(self, name: str) -> Float32[Array, " _"]:
        """Weights of all targets for a named shape at its full weight."""
        weights = np.zeros(len(self.targets), dtype=np.float32)
        weights[self.names.index(name)] = 1.0
        return weights


def blend_shapes(
    avatar: Avatar, track: FlameTrack, named: Sequence[MorphTarget] = ()
) -> BlendShapes:
    """The blend shapes of an avatar that plays a motion.

    Args:
        avatar: the baked avatar.
        track: the motion.
        named: further shapes for other programs, which the motion does not use.
    """
    bases = [
        MorphTarget(name, offset)
        for name, offset in zip(blend_names(avatar), blend_offsets(avatar), strict=True)
    ]
    used = [number for number, base in enumerate(bases) if base.without_small_offsets().any()]
    bases = [bases[number] for number in used]
    frames = zip(track.expression, track.pose, strict=True)
    weights = np.stack([blend_weights(*frame)[used] for frame in frames])
    unit = within_unit_range(bases, weights)
    still = np.zeros((len(track), len(named)), dtype=np.float32)
    return BlendShapes(
        [*bases, *named, *unit.targets],
        used,
        len(named),
        np.concatenate([unit.weights[:, : len(used)], still, unit.weights[:, len(used) :]], axis=1),
    )
