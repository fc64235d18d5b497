"""OpenHead's rig: joints and their regressor, skinning weights, and the jaw's pose corrective."""

from __future__ import annotations

import numpy as np
from makehuman import read_bone_weight
from numpy.typing import NDArray
from openhead_shape import Head

from imavatar_deploy.conventions import POSE_FEATURE_SIZE

Float = NDArray[np.float64]
Integers = NDArray[np.int64]

JAW_MOTION = 1.9e-4
"""Metres. Vertices that jawOpen moves less do not belong to the jaw but to MakeHuman's rounding."""


def hinge(rest: Float, moved: Float) -> tuple[float, Float]:
    """Fit the rotation about an axis along X that moves `rest` to `moved` [N, 3] (Kabsch).

    Returns:
        The angle, and the point [3] of the axis in the plane x = 0.
    """
    left, _, right = np.linalg.svd((rest - rest.mean(axis=0)).T @ (moved - moved.mean(axis=0)))
    rotation = (left @ right).T
    shift = moved.mean(axis=0) - rotation @ rest.mean(axis=0)
    centre = np.linalg.solve((np.eye(3) - rotation)[1:, 1:], shift[1:])
    return float(np.arctan2(rotation[2, 1], rotation[1, 1])), np.array([0.0, *centre])


def about_x(angle: float) -> Float:
    """Return the rotation matrix [3, 3] about +X."""
    cos = np.cos(angle)
    sin = np.sin(angle)
    return np.array([[1.0, 0.0, 0.0], [0.0, cos, -sin], [0.0, sin, cos]])


def smooth(values: Float, faces: Integers, rounds: int) -> Float:
    """Average `values` [V] half-and-half with the mean of their neighbours, `rounds` times."""
    ends = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    start, end = np.unique(np.concatenate([ends, ends[:, ::-1]]), axis=0).T
    neighbours = np.maximum(np.bincount(start, minlength=len(values)), 1)
    for _ in range(rounds):
        values = (
            values + np.bincount(start, weights=values[end], minlength=len(values)) / neighbours
        ) / 2
    return values


def skin_weights(head: Head, jaw_open: Float, turned: Float) -> Float:
    """Return the skinning weights [V, 5].

    The torso's weights are those of MakeHuman's rig. The weight of the jaw is the fraction of its
    rotation that jawOpen contains. The neck has the remainder.

    Args:
        jaw_open: [V, 3] displacement of the jawOpen unit.
        turned: [V, 3] displacement by the full rotation about the jaw's hinge.
    """
    body = head.part("body")
    skin = head.faces[body[head.faces].all(axis=1)]
    torso = read_bone_weight(
        head.data, ("breast", "clavicle", "shoulder", "spine", "upperarm", "neck01"), head.base_size
    )
    torso += 0.5 * read_bone_weight(head.data, ("neck02",), head.base_size)
    still = np.where(body, smooth(torso[head.kept] * body, skin, 12), 0.0)

    share = np.clip((turned * jaw_open).sum(axis=1) / (turned**2).sum(axis=1), 0.0, 1.0)
    share[np.linalg.norm(jaw_open, axis=1) < JAW_MOTION] = 0.0
    share[head.part("helper-lower-teeth")] = 1.0
    jaw = np.where(body, np.minimum(smooth(share * body, skin, 4), 1.0 - still), share)

    eyes = [head.part("helper-l-eye") * 1.0, head.part("helper-r-eye") * 1.0]
    return np.stack([still, 1.0 - still - jaw - sum(eyes), jaw, *eyes], axis=1)


def jaw_corrective(
    template: Float, jaw_open: Float, jaw: Float, hinge_at: Float, angle: float
) -> Float:
    """Return the pose basis [V, 3, 36] with which the jaw at `angle` gives exactly jawOpen.

    It is the one of least norm. Skinning moves x to x + w (R - I)(x - hinge), so the offset solves
    (I + w (R - I)) offset = jawOpen - w (R - I)(x - hinge).
    """
    turn = about_x(angle) - np.eye(3)
    missing = jaw_open - jaw[:, None] * ((template - hinge_at) @ turn.T)
    offset = np.linalg.solve(np.eye(3) + jaw[:, None, None] * turn, missing[:, :, None])
    feature = np.zeros(POSE_FEATURE_SIZE)
    feature[9:18] = turn.ravel()
    corrective: Float = offset * (feature / (feature @ feature))
    return corrective


def joints_and_regressor(head: Head, jaw_hinge: Float) -> tuple[Float, Float]:
    """Return the joints [5, 3], and the regressor [5, V] for any shape and expression.

    Each row averages the vertices around its joint, with the smallest change of the weights that
    gives the joint exactly.
    """
    x, y, z = head.template.T
    body = head.part("body")
    eyes = [head.part("helper-l-eye"), head.part("helper-r-eye")]
    # Lower and upper end of the neck (m): halves of MakeHuman's neck, far enough inside the body to
    # rotate without pinching.
    joints = [np.array([0.0, -0.145, -0.045]), np.array([0.0, -0.085, -0.026]), jaw_hinge]
    joints += [
        (head.template[eye].min(axis=0) + head.template[eye].max(axis=0)) / 2 for eye in eyes
    ]
    around = [
        body & (np.abs(y - joints[0][1]) < 0.012) & (np.abs(x) < 0.11),
        body & (np.abs(y - joints[1][1]) < 0.012),
        body
        & (np.abs(y - joints[2][1]) < 0.03)
        & (np.abs(z - joints[2][2]) < 0.02)
        & (np.abs(x) > 0.05),
        *eyes,
    ]
    rows = [
        least_norm_row(head.template, ring, joint)
        for ring, joint in zip(around, joints, strict=True)
    ]
    return np.stack(joints), np.stack(rows)


def least_norm_row(template: Float, ring: NDArray[np.bool_], joint: Float) -> Float:
    """Return the weights [V] of least norm on `ring` that sum to one and average to `joint`."""
    known = np.column_stack([template[ring], np.ones(ring.sum())])
    row = np.zeros(len(template))
    row[ring] = known @ np.linalg.solve(known.T @ known, [*joint, 1.0])
    return row
