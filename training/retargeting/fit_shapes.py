"""Fits an expression map to the shapes of two head models.

Each input of the map is a probe: the source moves by it alone. The target's expressions, jaw and
eyes are fitted to the displacements of its vertices.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from imavatar_deploy.arrays import Array, Bool, Float32, Float64
from imavatar_deploy.conventions import EXPRESSION_SIZE, POSE_SIZE
from imavatar_deploy.errors import InputError
from imavatar_deploy.head_model import OPENHEAD, HeadModel
from imavatar_deploy.kinematics import bone_transforms
from imavatar_deploy.progress import Progress, silent
from imavatar_deploy.retarget import ExpressionMap, MapFit, find_retarget
from imavatar_deploy.retarget.arkit import ARKIT
from imavatar_deploy.retarget.expression_map import CONTROLS, INPUTS, split

from .registration import Registration, register

# Fit of controls to displacements

TYPICAL_CONTROLS = np.array([1.0] * EXPRESSION_SIZE + [0.2] * (len(CONTROLS) - EXPRESSION_SIZE))
"""Typical size of each control: 1 for expressions (standard deviations in FLAME), 0.2 rad for
components of jaw and eyes."""

VERTICES_PER_ERROR = 10.0
"""Vertices per independent error: the errors of neighbouring vertices are correlated."""

MIN_DAMPING = 1e-9
"""Smallest lambda, relative to the mean squared effect of a control: keeps a control without effect
at zero."""

GAUSS_NEWTON_STEPS = 4
"""Gauss-Newton iterations where a joint rotates, which is not linear."""

STEP_TOLERANCE = 1e-3
"""Step, relative to typical controls, that ends the iterations."""

MIN_ROTATION = 0.01
"""Smallest rotation of jaw or eye, radians, for which the fit iterates."""

MIN_DISPLACEMENT = 5e-4
"""Smallest displacement, metres, of a vertex that noise and residuals take into account."""

DERIVATIVE_STEP = 1e-3
"""Step of a numerical derivative, radians; vertices are accurate to 1e-8 m."""


class ShapeMatch:
    """Fits controls to displacements of the reliable vertices of a head.

    Args:
        reliable: mask of the vertices to fit; W of them.
    """

    def __init__(self, head: HeadModel, reliable: Bool[Array, " V"]) -> None:
        self._head = head
        self._reliable = reliable
        neutral = np.zeros(len(CONTROLS))
        self._rest = self._vertices(neutral)
        self._columns = self._derivative(neutral)  # [3 W, 59], a column per typical control
        self._least = MIN_DAMPING * float((self._columns**2).sum()) / len(CONTROLS)

    def noise(self, displacements: Float64[Array, "N W 3"]) -> float:
        """Estimate lambda, in square metres, from the residuals of a fit with the least damping.

        Lambda is the median over the probes of the mean square residual, times
        `VERTICES_PER_ERROR`.
        """
        controls = self.linear_fit(displacements, 0.0)
        fitted = (controls / TYPICAL_CONTROLS @ self._columns.T).reshape(displacements.shape)
        squares = [
            float((residual[moves] ** 2).mean())
            for residual, moves in zip(
                displacements - fitted,
                np.linalg.norm(displacements, axis=-1) > MIN_DISPLACEMENT,
                strict=True,
            )
            if moves.any()
        ]
        return VERTICES_PER_ERROR * float(np.median(squares)) if squares else 0.0

    def linear_fit(
        self, displacements: Float64[Array, "N W 3"], strength: float
    ) -> Float64[Array, "N 59"]:
        """Controls for displacements, with all motion linearised at rest.

        Args:
            strength: lambda in square metres.
        """
        flat = displacements.reshape(len(displacements), -1)
        return self._solve(self._columns, flat, 0.0, strength)

    def refine(
        self,
        controls: Float64[Array, "59"],
        displacements: Float64[Array, "W 3"],
        strength: float,
    ) -> Float64[Array, "59"]:
        """Improve the controls of one probe by Gauss-Newton steps, which take rotations exactly."""
        rotates = np.abs(controls[EXPRESSION_SIZE:]).max() > MIN_ROTATION
        for _ in range(GAUSS_NEWTON_STEPS if rotates else 0):
            residual = (displacements - self.displacements(controls)).ravel()
            step = self._solve(
                self._derivative(controls), residual, controls / TYPICAL_CONTROLS, strength
            )
            controls = controls + step
            if np.abs(step / TYPICAL_CONTROLS).max() < STEP_TOLERANCE:
                break
        return controls

    def displacements(self, controls: Float64[Array, "59"]) -> Float64[Array, "W 3"]:
        """Displacements of the reliable vertices."""
        return np.asarray(self._vertices(controls) - self._rest)

    def _solve(
        self,
        columns: Float64[Array, "D 59"],
        residual: Float64[Array, "*n D"],
        start: Float64[Array, "59"] | float,
        strength: float,
    ) -> Float64[Array, "*n 59"]:
        """Step that minimises |columns step - residual|^2 + strength |start + step|^2.

        `start` is in typical controls, the result in controls.
        """
        damping = max(strength, self._least)
        normal = columns.T @ columns + damping * np.eye(len(CONTROLS))
        right = residual @ columns - damping * np.asarray(start)
        return np.asarray(np.linalg.solve(normal, right.T).T * TYPICAL_CONTROLS)

    def _vertices(self, controls: Float64[Array, "59"]) -> Float64[Array, "W 3"]:
        still = np.zeros(POSE_SIZE, dtype=np.float32)
        vertices = self._head.vertices(*split(controls.astype(np.float32), still))
        return vertices[self._reliable].astype(float)

    def _derivative(self, controls: Float64[Array, "59"]) -> Float64[Array, "D 59"]:
        """Derivative of the vertices by typical controls, [3 W, 59].

        That of expressions is exact, that of joints is numerical.
        """
        expression, pose = split(controls.astype(np.float32), np.zeros(POSE_SIZE, dtype=np.float32))
        rotations = bone_transforms(pose, self._head.joints(expression))[:, :3, :3]
        skinned = np.einsum("vb,bij->vij", self._head.weights[self._reliable], rotations)
        by_expression = np.einsum(
            "vij,vje->vie", skinned, self._head.expression_basis[self._reliable]
        )
        around = controls + DERIVATIVE_STEP * np.eye(len(CONTROLS))[EXPRESSION_SIZE:]
        here = self._vertices(controls)
        by_joint = np.stack(
            [(self._vertices(row) - here) / DERIVATIVE_STEP for row in around], axis=-1
        )
        return np.asarray(
            np.concatenate([by_expression, by_joint], axis=-1).reshape(-1, len(CONTROLS))
            * TYPICAL_CONTROLS,
            dtype=float,
        )


# Probes

PROBE_ANGLE = 0.2
"""Rotation of jaw or eye in a probe, radians: a common angle, at which the linear map is exact."""


@dataclass(frozen=True)
class Probes:
    """N probes of a head."""

    vocabulary: str
    names: tuple[str, ...]
    sizes: Float64[Array, " N"]  # the value of the input in its probe
    displacements: Float64[Array, "N V 3"]  # metres


def probes(head: HeadModel, *, codes: bool = False) -> Probes:
    """Move a head by each input of a map alone.

    The inputs are ARKit's shapes, which OpenHead has by name, or the head's own codes.

    Args:
        codes: probe expressions, jaw and eyes of any head.

    Raises:
        InputError: the head has no ARKit shapes.
    """
    if not codes and head.edition != OPENHEAD:
        raise InputError(
            f"ARKit's shapes are known for openhead, and this head is {head.edition}: map from "
            f"openhead, or pass --codes to map from the codes of {head.edition}"
        )
    vocabulary = head.edition if codes else ARKIT
    names = INPUTS[vocabulary]
    sizes = np.ones(len(names))
    if codes:
        sizes[EXPRESSION_SIZE:] = PROBE_ANGLE
    rest = head.vertices(
        np.zeros(EXPRESSION_SIZE, dtype=np.float32), np.zeros(POSE_SIZE, dtype=np.float32)
    )
    displacements = np.stack(
        [_pose_probe(head, row, vocabulary) - rest for row in np.diag(sizes).astype(np.float32)]
    )
    return Probes(vocabulary, names, sizes, displacements.astype(float))


def _pose_probe(
    head: HeadModel, inputs: Float32[Array, " N"], vocabulary: str
) -> Float32[Array, "V 3"]:
    still = np.zeros(POSE_SIZE, dtype=np.float32)
    if vocabulary == ARKIT:
        return head.vertices(
            *find_retarget(ARKIT, head.edition, head.expression_names)(inputs, still)
        )
    return head.vertices(*split(inputs, still))


# Fit of a map

MIN_RELIABLE_SHARE = 0.3
"""Smallest share of reliable vertices of a target; with less it is no head, or upside down."""


@dataclass(frozen=True)
class ShapeResidual:
    """Residual of one probe: root mean squares over the vertices that it moves, in mm."""

    name: str
    moved: float
    """Displacement of the vertices."""
    missed: float
    """Error of the fitted displacement."""
    worst: float
    """Largest error of a vertex."""


@dataclass(frozen=True)
class ShapesFit:
    """A map from shapes, and its quality."""

    expression_map: ExpressionMap
    residuals: tuple[ShapeResidual, ...]
    """Of every probe that moves any vertex."""
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
        made_from: file names or words for the reader of the map.
        codes: read the source's codes instead of ARKit's shapes.
        ridge: lambda in square metres; by default the mean square residual of a fit without it,
            so that codes do not grow to imitate what the target cannot do.
        progress: shows the progress.

    Raises:
        InputError: the source has no ARKit shapes, or the registration of the two heads failed.
    """
    probed = probes(source, codes=codes)
    registration = register(source, target)
    if registration.reliable.mean() < MIN_RELIABLE_SHARE:
        raise InputError(
            f"only {100 * registration.reliable.mean():.0f} % of the target's vertices were found "
            "on the source: both must be human heads in metres, +Y up, facing +Z, with FLAME's "
            "five joints"
        )
    # [N, W, 3]
    goals = registration.transfer(probed.displacements)[:, registration.reliable]
    match = ShapeMatch(target, registration.reliable)
    strength = match.noise(goals) if ridge is None else ridge
    controls = match.linear_fit(goals, strength)
    with progress("bending joints", len(controls)) as advance:
        for index, row in enumerate(controls):
            controls[index] = match.refine(row, goals[index], strength)
            advance(1)
    residuals = tuple(
        residual
        for name, row, goal in zip(probed.names, controls, goals, strict=True)
        if (residual := _residual(name, goal, match.displacements(row)))
    )
    fit = MapFit("shapes", made_from, strength, len(residuals), *_overall(residuals))
    matrix = (controls / probed.sizes[:, None]).astype(np.float32)
    return ShapesFit(
        ExpressionMap(probed.vocabulary, target.edition, matrix, fit=fit), residuals, registration
    )


def _residual(
    name: str, goal: Float64[Array, "W 3"], fitted: Float64[Array, "W 3"]
) -> ShapeResidual | None:
    distance = np.linalg.norm(goal, axis=1)
    moves = distance > MIN_DISPLACEMENT
    if not moves.any():
        return None
    error = np.linalg.norm(goal - fitted, axis=1)
    return ShapeResidual(
        name, _rms_mm(distance[moves]), _rms_mm(error[moves]), 1000 * float(error.max())
    )


def _overall(residuals: tuple[ShapeResidual, ...]) -> tuple[float, float]:
    """Root mean squares of `missed` and `moved` over all probes."""
    pairs = np.array([(row.missed, row.moved) for row in residuals] or [(0.0, 0.0)])
    missed, moved = np.sqrt((pairs**2).mean(axis=0))
    return float(missed), float(moved)


def _rms_mm(metres: Float64[Array, " N"]) -> float:
    return 1000 * float(np.sqrt((metres**2).mean()))
