"""Head models made from OpenHead whose relation to it is known; they stand in for FLAME."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.head_model import HeadModel

Double = NDArray[np.float64]

OUTER = ("body", "helper-l-eye", "helper-r-eye")
"""The parts that FLAME has, too: neither teeth nor tongue."""

BY_VERTEX = ("template", "shape_basis", "expression_basis", "pose_basis", "weights")
"""The arrays of a head model with a row per vertex."""


def mixing(seed: int = 0) -> Double:
    """Well-conditioned matrix [50, 50]; column j mixes OpenHead's shapes to expression j."""
    random = np.random.default_rng(seed)
    left, right = (np.linalg.qr(random.normal(size=(50, 50)))[0] for _ in range(2))
    return np.asarray((left * np.linspace(0.5, 2.0, 50)) @ right)


def mixed(head: HeadModel, mix: Double) -> HeadModel:
    """The head with a mixed expression basis, as an edition of FLAME."""
    return replace(
        head, expression_basis=(head.expression_basis @ mix).astype(np.float32), edition="flame2020"
    )


def without_mouth_parts(head: HeadModel) -> HeadModel:
    keep = np.isin(head.vertex_groups, OUTER)
    return _selection(head, np.flatnonzero(keep), head.faces[keep[head.faces].all(axis=1)])


def shuffled(
    head: HeadModel, *, scale: float = 1.0, shift: float = 0.0, seed: int = 0
) -> HeadModel:
    """The head with its vertices in another order, scaled and moved."""
    order = np.random.default_rng(seed).permutation(len(head.template))
    other = _selection(head, order, head.faces)
    bases = {
        name: (scale * getattr(other, name)).astype(np.float32)
        for name in ("shape_basis", "expression_basis", "pose_basis")
    }
    return replace(other, template=(scale * other.template + shift).astype(np.float32), **bases)


def finer(head: HeadModel, selection: NDArray[np.bool_]) -> HeadModel:
    """The head with every selected face split in three around a new vertex."""
    split = head.faces[selection]
    new = len(head.template) + np.arange(len(split))
    parts = [
        np.stack([split[:, corner], split[:, (corner + 1) % 3], new], axis=1) for corner in range(3)
    ]

    def more(array: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.concatenate([array, array[split].mean(axis=1)])

    return replace(
        head,
        faces=np.concatenate([head.faces[~selection], *parts]).astype(np.int32),
        joint_regressor=np.pad(head.joint_regressor, ((0, 0), (0, len(split)))),
        **{name: more(getattr(head, name)) for name in BY_VERTEX},
    )


def write_head(path: Path, head: HeadModel) -> Path:
    """Write a head-model file in FLAME's keys, which does not state its edition."""
    np.savez(
        path,
        v_template=head.template,
        f=head.faces,
        shapedirs=np.concatenate([head.shape_basis[:, :, :100], head.expression_basis], axis=2),
        posedirs=head.pose_basis,
        weights=head.weights,
        J_regressor=head.joint_regressor,
        kintree_table=np.array([[-1, 0, 1, 1, 1], range(5)]),
    )
    return path


def _selection(head: HeadModel, order: NDArray[np.int64], faces: NDArray[np.int32]) -> HeadModel:
    """Selected vertices in an order, without their groups, which files of FLAME lack."""
    place = np.zeros(len(head.template), dtype=np.int32)
    place[order] = np.arange(len(order))
    return replace(
        head,
        faces=place[faces],
        joint_regressor=np.ascontiguousarray(head.joint_regressor[:, order]),
        vertex_groups=(),
        **{name: getattr(head, name)[order] for name in BY_VERTEX},
    )
