"""LandmarkModel: a head model restricted to points of its surface, with analytic derivatives.

Lengths are in model units. Shapes, beside those of `imavatar_deploy.conventions`:

    L  points                       S  shape coefficients in use
    D  parameters of a frame (68): expression 0:50, pose 50:65, translation 65:68
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from imavatar_deploy.arrays import Array, Float, Float32, Float64, Int, Int32
from imavatar_deploy.conventions import (
    BONES,
    EXPRESSION_SIZE,
    PARENTS,
    POSE_SIZE,
    UNITS_PER_METRE,
)
from imavatar_deploy.head_model import HeadModel

from .nearest_point import vertex_normals
from .rotation_derivatives import (
    left_jacobians,
    posed_joints,
    rotation_derivatives,
    rotation_matrices,
    skew_matrices,
    world_rotations,
)

FRAME_SIZE = EXPRESSION_SIZE + POSE_SIZE + 3
"""Number of parameters of a frame."""
EXPRESSION = slice(0, EXPRESSION_SIZE)
POSE = slice(EXPRESSION_SIZE, EXPRESSION_SIZE + POSE_SIZE)
TRANSLATION = slice(EXPRESSION_SIZE + POSE_SIZE, FRAME_SIZE)

MAX_SHAPE = 100
"""At most this many shape coefficients are in use: landmarks do not determine FLAME's further
200."""


POSE_FEATURES = 3
"""Number of functions of the pose that displacements of the points are linear in."""

NORMAL_RADIUS = 0.08
"""Model units (2 cm) over which normals are averaged: the rims of lids and lips turn inwards, and
are visible where the skin around them is."""


class MeshPoints(Protocol):
    """Points on the surface of a head model, as `LandmarkPoints` has them."""

    @property
    def triangles(self) -> Int32[Array, " L"]:
        """Face of the head model that each point lies on."""

    @property
    def barycentric(self) -> Float32[Array, "L 3"]:
        """Weights of the corners of that face."""


@dataclass(frozen=True, eq=False)
class PosedLandmarks:
    """Points of T frames and, where requested, their derivatives."""

    points: Float64[Array, "T L 3"]
    """Model space, without the translation."""
    by_frame: Float64[Array, "T L 3 D"] | None
    """Derivative by expression, pose and translation."""
    by_shape: Float64[Array, "T L 3 S"] | None
    """Derivative by the shape coefficients."""


@dataclass(frozen=True, eq=False)
class LandmarkModel:
    """A head model restricted to L points of its surface.

    A point is the blend of three vertices. Blending after skinning (as in `HeadModel.vertices`) and
    skinning with blended weights differ by the covariance of weights and positions within a
    triangle; `spread` holds that of the template, which leaves errors of some micrometres.
    """

    template: Float64[Array, "L 3"]
    shape_basis: Float64[Array, "L 3 S"]
    expression_basis: Float64[Array, "L 3 50"]
    pose_basis: Float64[Array, "L 3 36"]
    weights: Float64[Array, "L 5"]
    spread: Float64[Array, "L 5 3"]
    normals: Float64[Array, "L 3"]
    """Outward unit normals of the template, each the mean over `NORMAL_RADIUS`."""
    joints: Float64[Array, "5 3"]
    joints_by_shape: Float64[Array, "5 3 S"]
    joints_by_expression: Float64[Array, "5 3 50"]
    offsets: Float64[Array, "K L 3"]
    """Displacements of the points at rest, as linear functions of the `pose_features`."""
    corrective_bones: tuple[int, ...]
    """Bones whose rotation has correctives."""

    @classmethod
    def of(cls, head: HeadModel, points: MeshPoints) -> LandmarkModel:
        """Restrict a head model to points of its surface."""
        corners = head.faces[points.triangles]
        model = cls._blend(head, corners, np.asarray(points.barycentric, dtype=np.float64))
        slides = getattr(points, "slides", None)
        return model if slides is None else model.with_offsets(np.asarray(slides, np.float64))

    @classmethod
    def of_vertices(cls, head: HeadModel, vertices: Int[Array, " L"]) -> LandmarkModel:
        """Restrict a head model to some of its vertices."""
        return cls._blend(head, np.asarray(vertices)[:, None], np.ones((len(vertices), 1)))

    @classmethod
    def _blend(
        cls, head: HeadModel, corners: Int[Array, "L C"], blend: Float64[Array, "L C"]
    ) -> LandmarkModel:
        shape_size = used_shape_coefficients(head)
        shape_basis = head.shape_basis[:, :, :shape_size].astype(np.float64) * UNITS_PER_METRE
        expression_basis = head.expression_basis.astype(np.float64) * UNITS_PER_METRE
        template = head.template.astype(np.float64) * UNITS_PER_METRE
        regressor = head.joint_regressor.astype(np.float64)

        def blended(values: Any) -> Any:
            return np.einsum("lc,lc...->l...", blend, np.asarray(values, dtype=np.float64)[corners])

        weights = blended(head.weights)
        deviation = head.weights[corners] - weights[:, None]
        points = blended(template)
        normals = _smooth_normals(points, template, vertex_normals(template, head.faces))
        features = np.abs(head.pose_basis).max(axis=(0, 1)).reshape(len(BONES) - 1, 9).max(axis=1)
        return cls(
            template=points,
            shape_basis=blended(shape_basis),
            expression_basis=blended(expression_basis),
            pose_basis=blended(head.pose_basis) * UNITS_PER_METRE,
            weights=weights,
            spread=np.einsum("lc,lcb,lci->lbi", blend, deviation, template[corners]),
            normals=normals,
            joints=regressor @ template,
            joints_by_shape=np.einsum("bv,vis->bis", regressor, shape_basis),
            joints_by_expression=np.einsum("bv,vie->bie", regressor, expression_basis),
            offsets=np.zeros((POSE_FEATURES, *points.shape)),
            corrective_bones=tuple(int(b) + 1 for b in np.nonzero(features > 0)[0]),
        )

    def __len__(self) -> int:
        return len(self.template)

    @property
    def shape_size(self) -> int:
        """Number of shape coefficients in use."""
        return int(self.shape_basis.shape[2])

    def with_shape(self, shape: Float[Array, " n"]) -> LandmarkModel:
        """Return the model with a shape of at most S coefficients added to the template."""
        beta = np.zeros(self.shape_size)
        beta[: len(shape)] = shape[: self.shape_size]
        return replace(
            self,
            template=self.template + self.shape_basis @ beta,
            shape_basis=self.shape_basis[:, :, :0],
            joints=self.joints + self.joints_by_shape @ beta,
            joints_by_shape=self.joints_by_shape[:, :, :0],
        )

    def with_offsets(self, offsets: Float[Array, "K L 3"]) -> LandmarkModel:
        """Return the model with further displacements of its points."""
        return replace(self, offsets=self.offsets + offsets)

    def subset(self, points: Int[Array, " n"]) -> LandmarkModel:
        """Return the model restricted to some of its points."""
        return replace(
            self,
            template=self.template[points],
            shape_basis=self.shape_basis[points],
            expression_basis=self.expression_basis[points],
            pose_basis=self.pose_basis[points],
            weights=self.weights[points],
            spread=self.spread[points],
            normals=self.normals[points],
            offsets=self.offsets[:, points],
        )

    def blended_rotations(self, pose: Float64[Array, "T 15"]) -> Float64[Array, "T L 3 3"]:
        """Return the derivative of the posed points by the points at rest."""
        world = world_rotations(rotation_matrices(pose))
        blended = self.weights @ world.reshape(len(pose), len(BONES), 9)
        return blended.reshape(len(pose), len(self), 3, 3)

    def posed_normals(self, pose: Float64[Array, "T 15"]) -> Float64[Array, "T L 3"]:
        """Return the normals of the template, turned with their bones."""
        return np.asarray((self.blended_rotations(pose) @ self.normals[:, :, None])[..., 0])

    def posed(
        self,
        expression: Float64[Array, "T 50"],
        pose: Float64[Array, "T 15"],
        shape: Float64[Array, " S"],
        *,
        derivatives: bool = False,
        by_shape: bool = False,
    ) -> PosedLandmarks:
        """Return the points in model space and their derivatives.

        Args:
            expression: of every frame.
            pose: of every frame.
            shape: of all frames; length 0 for a model of `with_shape`.
            derivatives: by the parameters of a frame.
            by_shape: derivatives by the shape, too.
        """
        local = rotation_matrices(pose)
        world = world_rotations(local)
        joints = (
            self.joints
            + self.joints_by_shape @ shape
            + _times(self.joints_by_expression, expression)
        )
        heads = posed_joints(world, joints)
        rest = self.template + self.shape_basis @ shape + _times(self.expression_basis, expression)
        if self.offsets.any():
            rest = rest + np.tensordot(pose_features(pose), self.offsets, axes=(1, 0))
        for bone in self.corrective_bones:
            feature = (local[:, bone] - np.eye(3)).reshape(-1, 9)
            rest = rest + _times(self._correctives(bone), feature)
        frames, count = rest.shape[:2]
        blended = (self.weights @ world.reshape(frames, len(BONES), 9)).reshape(frames, count, 3, 3)
        offset = heads - (world @ joints[..., None])[..., 0]
        turned = world.transpose(0, 1, 3, 2).reshape(frames, 3 * len(BONES), 3)
        points = (
            (blended @ rest[..., None])[..., 0]
            + self.weights @ offset
            + self.spread.reshape(count, -1) @ turned
        )
        if not derivatives:
            return PosedLandmarks(points, None, None)
        by_frame = np.zeros((*points.shape, FRAME_SIZE))
        by_frame[..., EXPRESSION] = self._by_coefficients(
            blended, world, self.expression_basis, self.joints_by_expression
        )
        by_frame[..., POSE] = self._by_pose(
            pose, local, world, joints, heads, rest, points, blended
        )
        by_frame[..., TRANSLATION] = np.eye(3)
        shaped = (
            self._by_coefficients(blended, world, self.shape_basis, self.joints_by_shape)
            if by_shape
            else None
        )
        return PosedLandmarks(points, by_frame, shaped)

    def _part(
        self,
        bone: int,
        world: Float64[Array, "T 5 3 3"],
        joints: Float64[Array, "T 5 3"],
        rest: Float64[Array, "T L 3"],
    ) -> Float64[Array, "T L 3"]:
        """Return what a bone adds to the points, about that bone's own posed joint."""
        arm = self.weights[:, bone, None] * (rest - joints[:, None, bone]) + self.spread[:, bone]
        return np.asarray(arm @ world[:, bone].transpose(0, 2, 1))

    def _correctives(self, bone: int) -> Float64[Array, "L 3 9"]:
        return self.pose_basis[:, :, 9 * (bone - 1) : 9 * bone]

    def _by_coefficients(
        self,
        blended: Float64[Array, "T L 3 3"],
        world: Float64[Array, "T 5 3 3"],
        basis: Float64[Array, "L 3 N"],
        joints: Float64[Array, "5 3 N"],
    ) -> Float64[Array, "T L 3 N"]:
        """Differentiate by coefficients that move the points at rest and the joints linearly."""
        frames, count = blended.shape[:2]
        rows = np.ascontiguousarray(blended.transpose(1, 0, 2, 3)).reshape(count, -1, 3)
        moved = (rows @ basis).reshape(count, frames, 3, -1).transpose(1, 0, 2, 3)
        # A bone's joint moves at rest and posed: G x = R (x - J) + K
        heads = posed_joints(world, np.broadcast_to(joints, (frames, *joints.shape)))
        offset = heads - world @ joints
        carried = self.weights @ offset.reshape(frames, len(BONES), -1)
        return np.asarray(moved + carried.reshape(moved.shape))

    def _by_pose(
        self,
        pose: Float64[Array, "T 15"],
        local: Float64[Array, "T 5 3 3"],
        world: Float64[Array, "T 5 3 3"],
        joints: Float64[Array, "T 5 3"],
        heads: Float64[Array, "T 5 3"],
        rest: Float64[Array, "T L 3"],
        points: Float64[Array, "T L 3"],
        blended: Float64[Array, "T L 3 3"],
    ) -> Float64[Array, "T L 3 15"]:
        """Differentiate by the pose.

        A change of axis-angle theta turns the bone by J(theta) d theta, where J is the left
        Jacobian of the rotation, in the axes of the parent and about the posed joint.
        """
        frames, count = points.shape[:2]
        left = left_jacobians(pose.reshape(frames, len(BONES), 3))
        result = np.zeros((frames, count, 3, POSE_SIZE))
        for bone, parent in enumerate(PARENTS):
            turn = left[:, bone] if parent < 0 else world[:, parent] @ left[:, bone]
            if parent < 0:
                arm = points - heads[:, None, 0]
            elif bone == 1:
                # all but what the root carries
                arm = points - self._part(0, world, joints, rest)
                arm -= self.weights[:, :1] * heads[:, None, 0]
                arm -= (1.0 - self.weights[:, :1]) * heads[:, None, 1]
            else:
                arm = self._part(bone, world, joints, rest)
            # turn x arm, for each of the three columns of turn
            derivative = -(skew_matrices(arm) @ turn[:, None])
            if bone in self.corrective_bones:
                feature = rotation_derivatives(local[:, bone], left[:, bone])
                moved = self._correctives(bone).reshape(-1, 9) @ feature
                derivative += blended @ moved.reshape(frames, count, 3, 3)
            if bone < 2 and self.offsets.any():
                slopes = np.cos(pose[:, None, :2] + pose[:, None, 3:5])[..., None, :]
                derivative[..., :2] += blended @ (self.offsets[1:].transpose(1, 2, 0) * slopes)
            result[..., 3 * bone : 3 * bone + 3] = derivative
        return result


def pose_features(pose: Float64[Array, "T 15"]) -> Float64[Array, "T K"]:
    """Return the functions of the pose that displacements of the points are linear in.

    They are 1, and the sines of the sums of the pitch and of the yaw of root and neck.
    """
    return np.concatenate([np.ones((len(pose), 1)), np.sin(pose[:, :2] + pose[:, 3:5])], axis=1)


def used_shape_coefficients(head: HeadModel) -> int:
    """Return the number of leading shape coefficients that fits use.

    They reach to the last one that moves a vertex, and number `MAX_SHAPE` at most.
    """
    moves = np.abs(head.shape_basis).max(axis=(0, 1), initial=0.0)[:MAX_SHAPE] > 0
    return int(np.nonzero(moves)[0].max(initial=-1)) + 1


def _smooth_normals(
    points: Float64[Array, "L 3"], vertices: Float64[Array, "V 3"], normals: Float64[Array, "V 3"]
) -> Float64[Array, "L 3"]:
    """Return the mean normal of the surface around each point."""
    mean = np.zeros_like(points)
    for index, point in enumerate(points):
        near = ((vertices - point) ** 2).sum(axis=1) < NORMAL_RADIUS**2
        mean[index] = normals[near].sum(axis=0)
    length = np.linalg.norm(mean, axis=1, keepdims=True)
    return np.asarray(mean / np.maximum(length, 1e-12))


def _times(basis: Float64[Array, "*N M"], values: Float64[Array, "T M"]) -> Float64[Array, "..."]:
    """Return `basis @ values[t]` for every frame, `[T, *N]`."""
    flat = basis.reshape(-1, basis.shape[-1])
    return np.asarray((values @ flat.T).reshape(len(values), *basis.shape[:-1]))
