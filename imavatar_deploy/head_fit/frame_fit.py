"""FrameFitter: expression, pose and translation of one frame after the other, for live use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from imavatar_deploy.arrays import Array, Float32, Float64
from imavatar_deploy.checks import as_float32
from imavatar_deploy.conventions import EXPRESSION_SIZE
from imavatar_deploy.errors import InputError
from imavatar_deploy.head_model import HeadModel
from imavatar_deploy.retarget.arkit import ARKIT_NAMES

from .correspondences import LANDMARKS, landmark_points
from .landmark_model import EXPRESSION, FRAME_SIZE, POSE, TRANSLATION, LandmarkModel, MeshPoints
from .terms import (
    OUTER_EYE_CORNERS,
    FramePriors,
    ImagePlane,
    base_weights,
    huber,
    huber_weight,
    iris_weights,
    spread_weights,
    visibility,
)

RIGID = np.r_[53:56, 65:68]
"""Parameters of the head as a rigid body: neck and translation."""

START_YAWS = (0.0, -0.6, 0.6)
"""Rotations about the vertical axis, radians, from which a fit without a predecessor starts."""

FACE_UNIT = 2.7
"""The unit of image distances, in distances of the outer corners of the eyes: half the side of a
square picture of head and shoulders."""

FAR = 0.1
"""Mean error, in units, from which a rigid fit does not start from the frame before."""

SINGLE_FRAME_FACTORS: dict[str, float] = {
    "mouthClose": 16.0,
    "jawForward": 16.0,
    "mouthLowerDownLeft": 8.0,
    "mouthLowerDownRight": 8.0,
    "mouthShrugLower": 8.0,
    "mouthRollLower": 8.0,
    "mouthRollUpper": 4.0,
    "mouthUpperUpLeft": 3.0,
    "mouthUpperUpRight": 3.0,
    "cheekPuff": 3.0,
}
"""Factors on the priors of single expressions, by name, beside those of `FramePriors`.

One frame does not tell lips that the jaw parts from lips that part by themselves: with these, the
jaw does it first.
"""

EYE_DISTANCE = 0.36
"""Of the outer corners of the eyes, model units (9 cm)."""


@dataclass(frozen=True)
class FitSettings:
    """Weights and limits of `FrameFitter`; image distances in units of `FACE_UNIT`."""

    expression: float = 2e-4
    """Weight of the squared expression coefficients."""
    blendshapes: float = 0.0
    """Weight of the squared difference from the blendshape network's output."""
    temporal_expression: float = 1e-4
    """Weight of the squared change of the expression since the frame before."""
    temporal_pose: float = 1e-3
    """The same of the pose."""
    temporal_root: float = 1.0
    """The same of the root rotation."""
    iterations: int = 2
    """Steps for a frame that follows another."""
    first_iterations: int = 12
    """Steps for a frame without a predecessor."""
    jump: float = 0.12
    """Mean error at the start of a frame, in units, from which the pose is sought anew."""
    bad: float = 0.06
    """Mean error at the end, in units, from which the next frame starts anew."""


@dataclass(frozen=True, eq=False)
class FrameFit:
    """Parameters of one frame."""

    expression: Float32[Array, "50"]
    pose: Float32[Array, "15"]
    """Axis-angle, radians: global, neck, jaw, eyeL, eyeR. The neck has the head's rotation."""
    translation: Float32[Array, "3"]
    """From model space to the camera's axes, model units."""
    error: float
    """Mean distance of the visible landmarks from those of the model, pixels."""
    confidence: float
    """0 to 1, from the error, the visible share and the landmarks' own confidence."""


class FrameFitter:
    """Fits the head of one subject to the landmarks of one frame after the other.

    Levenberg-Marquardt steps on expression, pose and translation with bounds, Huber weights and
    visibility. A fit starts from the one before; where that is far off, from the landmarks alone.
    """

    def __init__(
        self,
        head: HeadModel,
        intrinsics: Any,
        size: tuple[int, int],
        settings: FitSettings | None = None,
        *,
        points: MeshPoints | None = None,
        offsets: Any = None,
    ) -> None:
        """Prepare a head.

        Args:
            head: with the subject's shape in its template, see `HeadModel.for_subject`.
            intrinsics: `[4]` fx, fy, cx, cy as fractions of the picture, see `Camera`.
            size: width and height of the picture, pixels.
            settings: weights and limits.
            points: where the landmarks lie on the head; by default `landmark_points(head)`.
            offsets: displacements of the subject's landmarks, see `SequenceFit`.
        """
        if points is None:
            points = landmark_points(head)
        self._plane = ImagePlane.of(as_float32("intrinsics", intrinsics, (4,)), size)
        self._settings = settings or FitSettings()
        model = LandmarkModel.of(head, points)
        self._model = model.with_shape(np.zeros(0))
        if offsets is not None:
            self._model = self._model.with_offsets(np.asarray(offsets, dtype=np.float64))
        self._weights = base_weights(len(model)) * spread_weights(points, len(model))
        self._priors = FramePriors.of(head, expression=self._settings.expression)
        self._priors.weight[EXPRESSION] *= [
            SINGLE_FRAME_FACTORS.get(name, 1.0) for name in head.expression_names
        ]
        self._change = np.zeros(FRAME_SIZE)
        self._change[EXPRESSION] = self._settings.temporal_expression
        self._change[POSE] = self._settings.temporal_pose
        self._change[50:53] = self._settings.temporal_root
        self._network = _network_columns(head)
        self._state: Float64[Array, " D"] | None = None

    def reset(self) -> None:
        """Forget the frame before."""
        self._state = None

    def fit(self, landmarks: Any, *, confidence: float = 1.0, blendshapes: Any = None) -> FrameFit:
        """Fit one frame.

        Args:
            landmarks: `[L, 2]` or `[L, 3]` pixels: column, row; a depth is not used.
            confidence: of the landmark network.
            blendshapes: `[52]` output of the blendshape network in the order of `ARKIT_NAMES`; used
                where the settings give it a weight.

        Raises:
            InputError: landmarks of a wrong number, or not finite.
        """
        pixels = _checked(landmarks, len(self._model))
        problem = self._problem(pixels, blendshapes)
        state = self._state
        if state is not None and problem.error(state) > self._settings.jump:
            state = None
        if state is None:
            state = problem.solve(problem.start(), self._settings.first_iterations)
        else:
            problem.previous = state
            problem.change = self._change
            state = problem.solve(state, self._settings.iterations)
        error = problem.error(state)
        self._state = state if error < self._settings.bad else None
        return FrameFit(
            expression=state[EXPRESSION].astype(np.float32),
            pose=state[POSE].astype(np.float32),
            translation=state[TRANSLATION].astype(np.float32),
            error=float(error * problem.unit),
            confidence=float(confidence * problem.trust(state, error)),
        )

    def _problem(self, pixels: Float64[Array, "L 2"], blendshapes: Any) -> _FrameProblem:
        weights = self._weights * iris_weights(pixels[None])[0]
        problem = _FrameProblem(self._model, self._plane, self._priors, pixels, weights)
        if blendshapes is not None and self._settings.blendshapes > 0:
            columns, sources = self._network
            problem.target_weight[columns] = self._settings.blendshapes
            problem.target[columns] = np.asarray(blendshapes, dtype=np.float64)[sources]
        return problem


class _FrameProblem:
    """Energy of one frame and its minimisation."""

    def __init__(
        self,
        model: LandmarkModel,
        plane: ImagePlane,
        priors: FramePriors,
        pixels: Float64[Array, "L 2"],
        weights: Float64[Array, " L"],
        all_pixels: Float64[Array, "N 2"] | None = None,
    ) -> None:
        self.model = model
        self.plane = plane
        self.priors = priors
        self.pixels = pixels
        self.unit = FACE_UNIT * _eye_distance(pixels if all_pixels is None else all_pixels)
        self.weights = weights
        self.total = float(weights.sum())
        self.visible = weights
        self.previous = np.zeros(FRAME_SIZE)
        self.change = np.zeros(FRAME_SIZE)
        self.target = np.zeros(FRAME_SIZE)
        self.target_weight = np.zeros(FRAME_SIZE)
        self._latest: tuple[Any, Any] = (None, None)

    def start(self) -> Float64[Array, " D"]:
        """Return the best rigid fit of the neutral face."""
        candidates = []
        for yaw in START_YAWS:
            state = np.zeros(FRAME_SIZE)
            state[54] = yaw
            self._place(state)
            state = self.solve(state, 8, free=RIGID)
            candidates.append((self.error(state), state))
        return min(candidates, key=lambda pair: pair[0])[1]

    def _place(self, state: Float64[Array, " D"]) -> None:
        """Set the translation so that the mean and the size of the landmarks agree."""
        points = self.model.posed(state[None, EXPRESSION], state[None, POSE], np.zeros(0)).points[0]
        centre = points.mean(axis=0)
        extent = np.linalg.norm(points[:, :2] - centre[:2], axis=1).mean()
        middle = self.pixels.mean(axis=0)
        size = np.linalg.norm(self.pixels - middle, axis=1).mean()
        depth = float(self.plane.focal.mean() * extent / max(size, 1e-6))
        offset = (middle - self.plane.centre) / self.plane.focal * depth * [1.0, -1.0]
        state[TRANSLATION] = np.append(offset, -depth) - centre

    def error(self, state: Float64[Array, " D"]) -> float:
        """Return the mean distance of visible landmarks, in units."""
        distance = self._distances(state)
        self.visible = self._visible(state)
        return float((self.visible * distance).sum() / max(self.visible.sum(), 1e-9))

    def trust(self, state: Float64[Array, " D"], error: float) -> float:
        """Return a confidence of 0 to 1 from the error and the visible share."""
        share = float(self.visible.sum() / self.total)
        depth = max(-float(state[67]), 1e-3)
        expected = FACE_UNIT * EYE_DISTANCE * float(self.plane.focal.mean()) / depth
        relative = error * self.unit / expected
        return float(np.clip(share / 0.35, 0, 1) * np.clip(2.0 - relative / 0.025, 0, 1))

    def solve(
        self, state: Float64[Array, " D"], steps: int, free: Any = None
    ) -> Float64[Array, " D"]:
        """Take Levenberg-Marquardt steps within the bounds."""
        allowed = np.zeros(FRAME_SIZE, dtype=bool)
        allowed[slice(None) if free is None else free] = True
        damping = 1e-3
        self.visible = self._visible(state)
        energy = self._energy(state)
        for _ in range(steps):
            gradient, hessian = self._normal_equations(state)
            open_ = allowed & ~(
                ((state <= self.priors.low) & (gradient >= 0))
                | ((state >= self.priors.high) & (gradient <= 0))
            )
            step = None
            for _ in range(4):
                proposal = self._step(state, gradient, hessian, open_, damping)
                lower = self._energy(proposal)
                if lower < energy:
                    step = proposal - state
                    state = proposal
                    damping = max(damping * 0.2, 1e-6)
                    break
                damping *= 10.0
            if step is None:
                break
            converged = energy - lower < 1e-4 * energy
            energy = lower
            if converged:
                break
        return state

    def _step(
        self,
        state: Float64[Array, " D"],
        gradient: Float64[Array, " D"],
        hessian: Float64[Array, "D D"],
        open_: Any,
        damping: float,
    ) -> Float64[Array, " D"]:
        index = np.nonzero(open_)[0]
        matrix = hessian[np.ix_(index, index)]
        matrix[np.diag_indices(len(index))] *= 1.0 + damping
        matrix[np.diag_indices(len(index))] += 1e-9
        proposal = state.copy()
        proposal[index] -= np.linalg.solve(matrix, gradient[index])
        return np.clip(proposal, self.priors.low, self.priors.high)

    def _visible(self, state: Float64[Array, " D"]) -> Float64[Array, " L"]:
        pose = state[None, POSE]
        normals = self.model.posed_normals(pose)
        points = self.model.template + state[TRANSLATION]
        return np.asarray(self.weights * visibility(normals, points[None])[0])

    def _distances(self, state: Float64[Array, " D"]) -> Float64[Array, " L"]:
        """Return the distances of all landmarks in units; the last answer is kept."""
        if self._latest[0] is not state:
            still = np.zeros(0)
            points = self.model.posed(state[None, EXPRESSION], state[None, POSE], still).points[0]
            offset = (self.plane.project(points + state[TRANSLATION]) - self.pixels) / self.unit
            self._latest = (state, np.sqrt(np.einsum("li,li->l", offset, offset)))
        return np.asarray(self._latest[1])

    def _energy(self, state: Float64[Array, " D"]) -> float:
        distance = self._distances(state)
        data = float((self.visible * huber(distance)).sum() / self.total)
        return (
            data
            + self.priors.energy(state[None])
            + float(self.change @ (state - self.previous) ** 2)
            + float(self.target_weight @ (state - self.target) ** 2)
        )

    def _normal_equations(self, state: Float64[Array, " D"]) -> tuple[Any, Any]:
        posed = self.model.posed(
            state[None, EXPRESSION], state[None, POSE], np.zeros(0), derivatives=True
        )
        assert posed.by_frame is not None
        points = posed.points[0] + state[TRANSLATION]
        offset = (self.plane.project(points) - self.pixels) / self.unit
        distance = np.sqrt(np.einsum("li,li->l", offset, offset))
        factor = np.sqrt(self.visible * huber_weight(distance) / self.total)
        rows = self.plane.derivatives(points, posed.by_frame[0])
        rows *= (factor / self.unit)[:, None, None]
        jacobian = rows.reshape(-1, FRAME_SIZE).astype(np.float32)
        residual = (offset * factor[:, None]).reshape(-1)
        gradient = (residual.astype(np.float32) @ jacobian).astype(np.float64)
        hessian = (jacobian.T @ jacobian).astype(np.float64)
        gradient += 2 * (
            self.change * (state - self.previous) + self.target_weight * (state - self.target)
        )
        hessian[np.diag_indices(FRAME_SIZE)] += 2 * (self.change + self.target_weight)
        self.priors.add_to(state[None], gradient[None], hessian[None])
        return gradient, hessian


def rigid_start(
    model: LandmarkModel,
    plane: ImagePlane,
    priors: FramePriors,
    pixels: Float64[Array, "T L 2"],
    weights: Float64[Array, "T L"],
) -> Float64[Array, "T D"]:
    """Fit the neutral head, as a rigid body, to the landmarks of every frame.

    Args:
        model: without shape coefficients, see `LandmarkModel.with_shape`.
        plane: the projection.
        priors: bounds.
        pixels: landmarks.
        weights: of the landmarks; frames whose weights are all 0 keep zeros.
    """
    chosen = np.arange(0, len(model), 4 if len(model) == LANDMARKS else 1)
    model = model.subset(chosen)
    frames = np.zeros((len(pixels), FRAME_SIZE))
    state: Float64[Array, " D"] | None = None
    for frame in np.nonzero(weights.any(axis=1))[0]:
        problem = _FrameProblem(
            model, plane, priors, pixels[frame, chosen], weights[frame, chosen], pixels[frame]
        )
        if state is None or problem.error(state) > FAR:
            state = problem.start()
        state = problem.solve(state, 4, free=RIGID)
        frames[frame] = state
    return frames


def _checked(landmarks: Any, count: int) -> Float64[Array, "L 2"]:
    values = np.asarray(landmarks)
    if values.ndim != 2 or values.shape[0] != count or values.shape[1] not in (2, 3):
        raise InputError(
            f"landmarks must have shape [{count}, 2] or [{count}, 3], got {list(values.shape)}"
        )
    pixels = as_float32("landmarks", values[:, :2], (count, 2))
    return pixels.astype(np.float64)


def _eye_distance(pixels: Float64[Array, "L 2"]) -> float:
    """Return a size of the face in pixels that a turned head changes little."""
    if len(pixels) == LANDMARKS:
        right, left = OUTER_EYE_CORNERS
        across = float(np.linalg.norm(pixels[right] - pixels[left]))
    else:
        across = 0.0
    # The height of the face is about 1.3 times the distance of the eyes' corners
    spread = float(np.sqrt(pixels.var(axis=0).sum()))
    return max(across, 0.9 * spread, 1.0)


def _network_columns(head: HeadModel) -> tuple[Any, Any]:
    """Return the expressions that the blendshape network has, and their places in its output."""
    names = list(head.expression_names)
    known = [name for name in names if name in ARKIT_NAMES and not name.startswith("eyeLook")]
    columns = np.array([names.index(name) for name in known], dtype=np.int64)
    sources = np.array([ARKIT_NAMES.index(name) for name in known], dtype=np.int64)
    assert len(columns) <= EXPRESSION_SIZE
    return columns, sources
