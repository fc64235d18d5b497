"""Imitation: the expression, jaw and eyes with which a head's vertices move nearest to wanted displacements."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.conventions import EXPRESSION_SIZE, POSE_SIZE
from imavatar_deploy.head_model import HeadModel
from imavatar_deploy.kinematics import bone_transforms
from imavatar_deploy.retarget.controls import CONTROLS, split

Double = NDArray[np.float64]

TYPICAL = np.array([1.0] * EXPRESSION_SIZE + [0.2] * (len(CONTROLS) - EXPRESSION_SIZE))
"""A common size of each control: FLAME's expressions are in standard deviations, jaw and eyes in radians."""

KINDRED = 10.0
"""Vertices that err together: neighbours do, so a head holds that many times fewer independent ones than it has."""

BARELY = 1e-9
"""Least lambda, as a share of what the controls move: keeps a control that moves nothing at zero."""

ROUNDS = 4
"""Of Gauss and Newton, where a joint turns: a turn is no straight line."""

SETTLED = 1e-3
"""Step, in typical controls, after which the next would be its square and not worth a round."""

BENT = 0.01
"""Radians of jaw or eye from which those rounds are worth their time."""

SEEN = 5e-4
"""Metres from which a vertex counts as moved: noise and residual are told of these."""

STEP = 1e-3
"""Radians of a numerical derivative; vertices are good to 1e-8 m."""


class Imitation:
    """Which controls make the trusted vertices of a head move as they are wanted to.

    Args:
        trusted: [V] the vertices that count; W of them.
    """

    def __init__(self, head: HeadModel, trusted: NDArray[np.bool_]) -> None:
        self._head, self._trusted = head, trusted
        self._rest = self._vertices(np.zeros(len(CONTROLS)))
        self._columns = self._derivative(np.zeros(len(CONTROLS)))  # [3 W, 59], a column per typical control
        self._least = BARELY * float((self._columns**2).sum()) / len(CONTROLS)

    def noise(self, wanted: Double) -> float:
        """Mean square metres that the least hindered fit misses at a coordinate of the median probe, as lambda."""
        missed = wanted - (self.at_once(wanted, 0.0) / TYPICAL @ self._columns.T).reshape(wanted.shape)
        seen = np.linalg.norm(wanted, axis=-1) > SEEN
        squares = [float((miss[moves] ** 2).mean()) for miss, moves in zip(missed, seen, strict=True) if moves.any()]
        return KINDRED * float(np.median(squares)) if squares else 0.0

    def at_once(self, wanted: Double, strength: float) -> Double:
        """[n, 59] controls for displacements `[n, W, 3]`, as if every control moved along straight lines."""
        return self._solved(self._columns, wanted.reshape(len(wanted), -1), 0.0, strength)

    def refined(self, controls: Double, wanted: Double, strength: float) -> Double:
        """[59] controls for one displacement `[W, 3]`, turns taken for what they are."""
        for _ in range(ROUNDS if np.abs(controls[EXPRESSION_SIZE:]).max() > BENT else 0):
            missed = (wanted - self.moved(controls)).ravel()
            step = self._solved(self._derivative(controls), missed, controls / TYPICAL, strength)
            controls = controls + step
            if np.abs(step / TYPICAL).max() < SETTLED:
                break
        return controls

    def moved(self, controls: Double) -> Double:
        """[W, 3] displacement of the trusted vertices."""
        return np.asarray(self._vertices(controls) - self._rest)

    def _solved(self, columns: Double, missed: Double, start: Double | float, strength: float) -> Double:
        """[..., 59] step of least |columns step - missed|^2 + strength |start + step|^2, in controls."""
        held = max(strength, self._least)
        normal = columns.T @ columns + held * np.eye(len(CONTROLS))
        return np.asarray(np.linalg.solve(normal, (missed @ columns - held * np.asarray(start)).T).T * TYPICAL)

    def _vertices(self, controls: Double) -> Double:
        still = np.zeros(POSE_SIZE, dtype=np.float32)
        return self._head.vertices(*split(controls.astype(np.float32), still))[self._trusted].astype(float)

    def _derivative(self, controls: Double) -> Double:
        """[3 W, 59]: expressions turned as the bones turn them, joints by a small step."""
        expression, pose = split(controls.astype(np.float32), np.zeros(POSE_SIZE, dtype=np.float32))
        turns = bone_transforms(pose, self._head.joints(expression))[:, :3, :3]
        skinned = np.einsum("vb,bij->vij", self._head.weights[self._trusted], turns)
        bent = np.einsum("vij,vje->vie", skinned, self._head.expression_basis[self._trusted])
        around = controls + STEP * np.eye(len(CONTROLS))[EXPRESSION_SIZE:]
        here = self._vertices(controls)
        turned = np.stack([(self._vertices(row) - here) / STEP for row in around], axis=-1)
        return np.asarray(np.concatenate([bent, turned], axis=-1).reshape(-1, len(CONTROLS)) * TYPICAL, dtype=float)
