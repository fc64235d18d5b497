"""A map from two head models alone: each probe of the source is imitated by the target's expression, jaw and eyes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.conventions import EXPRESSION_SIZE, POSE_SIZE
from imavatar_deploy.errors import InputError
from imavatar_deploy.head_model import OPENHEAD, HeadModel
from imavatar_deploy.kinematics import bone_transforms
from imavatar_deploy.progress import Progress, silent
from imavatar_deploy.retarget import ExpressionMap, MapFit, find_retarget
from imavatar_deploy.retarget.arkit import ARKIT
from imavatar_deploy.retarget.expression_map import CONTROLS, INPUTS, split

from .registration import Registration, register

# Imitation: the expression, jaw and eyes with which a head's vertices move nearest to wanted displacements.


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


class ShapeMatch:
    """Which controls make the trusted vertices of a head move as they are wanted to.

    Args:
        trusted: [V] the vertices that count; W of them.
    """

    def __init__(self, head: HeadModel, reliable: NDArray[np.bool_]) -> None:
        self._head, self._reliable = head, reliable
        self._rest = self._vertices(np.zeros(len(CONTROLS)))
        self._columns = self._derivative(
            np.zeros(len(CONTROLS))
        )  # [3 W, 59], a column per typical control
        self._least = BARELY * float((self._columns**2).sum()) / len(CONTROLS)

    def noise(self, wanted: Double) -> float:
        """Mean square metres that the least hindered fit misses at a coordinate of the median probe, as lambda."""
        missed = wanted - (self.at_once(wanted, 0.0) / TYPICAL @ self._columns.T).reshape(
            wanted.shape
        )
        seen = np.linalg.norm(wanted, axis=-1) > SEEN
        squares = [
            float((miss[moves] ** 2).mean())
            for miss, moves in zip(missed, seen, strict=True)
            if moves.any()
        ]
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

    def _solved(
        self, columns: Double, missed: Double, start: Double | float, strength: float
    ) -> Double:
        """[..., 59] step of least |columns step - missed|^2 + strength |start + step|^2, in controls."""
        held = max(strength, self._least)
        normal = columns.T @ columns + held * np.eye(len(CONTROLS))
        return np.asarray(
            np.linalg.solve(normal, (missed @ columns - held * np.asarray(start)).T).T * TYPICAL
        )

    def _vertices(self, controls: Double) -> Double:
        still = np.zeros(POSE_SIZE, dtype=np.float32)
        return self._head.vertices(*split(controls.astype(np.float32), still))[
            self._reliable
        ].astype(float)

    def _derivative(self, controls: Double) -> Double:
        """[3 W, 59]: expressions turned as the bones turn them, joints by a small step."""
        expression, pose = split(controls.astype(np.float32), np.zeros(POSE_SIZE, dtype=np.float32))
        turns = bone_transforms(pose, self._head.joints(expression))[:, :3, :3]
        skinned = np.einsum("vb,bij->vij", self._head.weights[self._reliable], turns)
        bent = np.einsum("vij,vje->vie", skinned, self._head.expression_basis[self._reliable])
        around = controls + STEP * np.eye(len(CONTROLS))[EXPRESSION_SIZE:]
        here = self._vertices(controls)
        turned = np.stack([(self._vertices(row) - here) / STEP for row in around], axis=-1)
        return np.asarray(
            np.concatenate([bent, turned], axis=-1).reshape(-1, len(CONTROLS)) * TYPICAL,
            dtype=float,
        )


# Probes: each thing that a map reads, done alone by its own head model, and how far every vertex then moves.


Float = NDArray[np.float32]

TURN = 0.2
"""Radians by which a probe turns jaw or eye: a common angle, so that a turn's straight line is cut where it is used."""


@dataclass(frozen=True)
class Probes:
    """n probes of a head."""

    vocabulary: str
    names: tuple[str, ...]
    sizes: Double  # [n] how much of each input a probe holds
    moved: Double  # [n, V, 3] metres


def probes(head: HeadModel, *, codes: bool = False) -> Probes:
    """ARKit's shapes where the head carries their names (OpenHead does), or its own codes.

    Args:
        codes: probe expression, jaw and eyes, whatever their names.

    Raises:
        InputError: ARKit's shapes are asked of a head that has none.
    """
    if not codes and head.edition != OPENHEAD:
        raise InputError(
            f"ARKit's shapes are known for openhead, and this head is {head.edition}: map from openhead, or pass "
            f"--codes to map from the codes of {head.edition}"
        )
    vocabulary = head.edition if codes else ARKIT
    names = INPUTS[vocabulary]
    sizes = np.ones(len(names))
    if codes:
        sizes[EXPRESSION_SIZE:] = TURN
    rest = head.vertices(
        np.zeros(EXPRESSION_SIZE, dtype=np.float32), np.zeros(POSE_SIZE, dtype=np.float32)
    )
    moved = np.stack(
        [_posed(head, row, vocabulary) - rest for row in np.diag(sizes).astype(np.float32)]
    )
    return Probes(vocabulary, names, sizes, moved.astype(float))


def _posed(head: HeadModel, inputs: Float, vocabulary: str) -> Float:
    still = np.zeros(POSE_SIZE, dtype=np.float32)
    if vocabulary == ARKIT:
        return head.vertices(
            *find_retarget(ARKIT, head.edition, head.expression_names)(inputs, still)
        )
    return head.vertices(*split(inputs, still))


LEAST_FOUND = 0.3
"""Share of a target's vertices below which it is no head, or not the right way up."""


@dataclass(frozen=True)
class ShapeResidual:
    """How well one probe is imitated: root mean square over the vertices that it moves, in mm of the target."""

    name: str
    moved: float
    missed: float
    worst: float
    """The largest miss of one vertex."""


@dataclass(frozen=True)
class ShapesFit:
    """A map from shapes, and what a user should know of it."""

    expression_map: ExpressionMap
    residuals: tuple[ShapeResidual, ...]
    """Of every probe that moves anything."""
    registration: Registration


def fit_shapes(
    source: HeadModel,
    target: HeadModel,
    made_from: str,
    *,
    codes: bool = False,
    ridge: float | None = None,
    progress: Progress = silent,
) -> ShapesFit:
    """Fit a map from `source`'s ARKit shapes (or its codes) to `target`'s controls.

    Args:
        ridge: lambda in square metres. Left out: the mean square that an unhindered fit misses by, so that codes are
            not stretched to imitate what the target cannot do.

    Raises:
        InputError: ARKit's shapes are asked of a head that has none, or the two heads do not lie upon one another.
    """
    probed = probes(source, codes=codes)
    registration = register(source, target)
    if registration.reliable.mean() < LEAST_FOUND:
        raise InputError(
            f"only {100 * registration.trusted.mean():.0f} % of the target's vertices were found on the source: both "
            "must be human heads in metres, +Y up, facing +Z, with FLAME's five joints"
        )
    wanted = registration.transfer(probed.moved)[:, registration.reliable]  # [n, W, 3]
    imitation = ShapeMatch(target, registration.reliable)
    strength = imitation.noise(wanted) if ridge is None else ridge
    found = imitation.at_once(wanted, strength)
    with progress("bending joints", len(found)) as advance:
        for index, controls in enumerate(found):
            found[index] = imitation.refined(controls, wanted[index], strength)
            advance(1)
    residuals = tuple(
        residual
        for name, controls, shape in zip(probed.names, found, wanted, strict=True)
        if (residual := _residual(name, shape, imitation.moved(controls)))
    )
    fit = MapFit("shapes", made_from, strength, len(residuals), *_overall(residuals))
    matrix = (found / probed.sizes[:, None]).astype(np.float32)
    return ShapesFit(
        ExpressionMap(probed.vocabulary, target.edition, matrix, fit=fit), residuals, registration
    )


def _residual(name: str, wanted: Double, came: Double) -> ShapeResidual | None:
    distance = np.linalg.norm(wanted, axis=1)
    seen = distance > SEEN
    if not seen.any():
        return None
    missed = np.linalg.norm(wanted - came, axis=1)
    return ShapeResidual(
        name, _rms_mm(distance[seen]), _rms_mm(missed[seen]), 1000 * float(missed.max())
    )


def _overall(residuals: tuple[ShapeResidual, ...]) -> tuple[float, float]:
    """Missed and moved, over all shapes alike."""
    pairs = np.array([(row.missed, row.moved) for row in residuals] or [(0.0, 0.0)])
    missed, moved = np.sqrt((pairs**2).mean(axis=0))
    return float(missed), float(moved)


def _rms_mm(metres: Double) -> float:
    return 1000 * float(np.sqrt((metres**2).mean()))
