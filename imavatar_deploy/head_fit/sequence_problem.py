"""The energy of a sequence: landmarks, priors and changes over time, and its normal equations.

    E = sum_t [ mean_l w rho(|p - p*|) + sum_k prior_k x_k^2 + sum_k change_k (x_t - x_t-1)_k^2 ]
        + T lambda_beta |beta|^2 + further terms

Image distances are in halves of the picture, as published.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from imavatar_deploy.arrays import Array, Bool, Float64
from imavatar_deploy.errors import InternalError

from .block_tridiagonal import NormalEquations
from .correspondences import LANDMARKS
from .landmark_groups import IRISES
from .landmark_model import (
    EXPRESSION,
    FRAME_SIZE,
    POSE,
    POSE_FEATURES,
    TRANSLATION,
    LandmarkModel,
    pose_features,
)
from .terms import FramePriors, ImagePlane, huber, huber_weight, visibility

OFFSET_UNIT = 0.012
"""Model units (3 mm): a usual distance of a person's landmark from the table's point."""

CHUNK = 8
"""Frames whose derivatives are computed at once; more do not fit a processor's cache."""


@dataclass(frozen=True, eq=False)
class SequenceState:
    """All unknowns of a sequence."""

    frames: Float64[Array, "T D"]
    shape: Float64[Array, " S"]
    torso: Float64[Array, "N 2"]
    """Where the points of the torso lie in the reference frame, pixels; N may be 0."""

    @property
    def shared_size(self) -> int:
        """Number of parameters that all frames share."""
        return len(self.shape) + self.torso.size

    def moved(
        self, frames: Float64[Array, "T D"], shared: Float64[Array, " M"], priors: FramePriors
    ) -> SequenceState:
        """Return the state after a step, within the bounds."""
        size = len(self.shape)
        return SequenceState(
            np.clip(self.frames + frames, priors.low, priors.high),
            self.shape + shared[:size],
            self.torso + shared[size:].reshape(-1, 2),
        )


class SequenceTerm(Protocol):
    """A further term of the energy."""

    def update(self, state: SequenceState) -> None:
        """Choose what stays fixed during a step, such as nearest points."""

    def energy(self, state: SequenceState) -> float:
        """Return the term's energy."""

    def add_to(self, equations: NormalEquations, state: SequenceState) -> None:
        """Add the term's gradient and Hessian, in place."""


@dataclass(eq=False)
class SequenceProblem:
    """Energy of a sequence, and its minimisation by Levenberg-Marquardt steps within bounds."""

    model: LandmarkModel
    plane: ImagePlane
    unit: float
    """Pixels in a unit of image distances."""
    priors: FramePriors
    change: Float64[Array, "T D"]
    """Weight of the squared change since the frame before; 0 at t = 0."""
    pixels: Float64[Array, "T L 2"]
    weights: Float64[Array, "T L"]
    """Of the landmarks, apart from visibility; 0 where a frame has none."""
    total: float
    """Sum of the weights of a frame that is seen completely."""
    lambda_shape: float
    lambda_offset: float = 0.0
    """Weight of the squared displacement of a landmark, in `OFFSET_UNIT`; 0 leaves all in place."""
    terms: tuple[SequenceTerm, ...] = ()
    offsets: Float64[Array, "K L 3"] = field(default_factory=lambda: np.zeros((0, 0, 3)))
    """Displacements of this subject's landmarks that `model` has already; none by default."""

    def __post_init__(self) -> None:
        self.visible = self.weights
        if not self.offsets.size:
            self.offsets = np.zeros((POSE_FEATURES, *self.model.template.shape))

    def minimise(
        self, state: SequenceState, steps: int, tolerance: float = 2e-4
    ) -> tuple[SequenceState, int]:
        """Take at most `steps` steps; return the state and the number of steps taken."""
        damping = 1e-3
        taken = 0
        for _ in range(steps):
            self.update(state)
            energy = self.energy(state)
            equations = self.equations(state)
            free = self._free(state, equations.gradient)
            lower = energy
            for _ in range(5):
                step = equations.damped(damping).restricted(free).solve()
                proposal = state.moved(*step, self.priors)
                lower = self.energy(proposal)
                if lower < energy:
                    break
                damping *= 10.0
            if lower >= energy:
                break
            state = proposal
            damping = max(damping * 0.2, 1e-6)
            taken += 1
            if self.lambda_offset > 0:
                self.displace(state)
            if energy - lower < tolerance * energy:
                break
        self.update(state)
        return state, taken

    def update(self, state: SequenceState) -> None:
        """Compute the visibility and what further terms hold fixed during a step."""
        rest = self.model.template + self.model.shape_basis @ state.shape
        visible = np.zeros_like(self.weights)
        for part in self._chunks():
            normals = self.model.posed_normals(state.frames[part, POSE])
            points = rest + state.frames[part, None, TRANSLATION]
            visible[part] = visibility(normals, points)
        self.visible = self.weights * visible
        for term in self.terms:
            term.update(state)

    def displace(self, state: SequenceState) -> None:
        """Take a Gauss-Newton step on where the landmarks lie on this subject's head.

        The points of a correspondence table are means over many faces and views. Those of one
        person differ by millimetres, and slide when the head turns: three numbers a landmark and
        pose feature, for all frames. What the head as a whole or its shape can do is left to these.
        """
        count = len(self.model)
        scale = OFFSET_UNIT / self.unit
        size = 3 * POSE_FEATURES
        hessian = np.zeros((count, size, size))
        gradient = np.zeros((count, size))
        for part in self._chunks():
            frames = state.frames[part]
            turned = self.model.blended_rotations(frames[:, POSE])
            points = self._points(state, part)
            rows = self.plane.derivatives(points, turned) * scale
            features = pose_features(frames[:, POSE])
            rows = (features[:, None, None, :, None] * rows[:, :, :, None]).reshape(
                *rows.shape[:3], size
            )
            offset = (self.plane.project(points) - self.pixels[part]) / self.unit
            root = np.sqrt(self.visible[part] * huber_weight(np.linalg.norm(offset, axis=-1)))
            flat = (rows * root[..., None, None]).transpose(1, 0, 2, 3).reshape(count, -1, size)
            value = (offset * root[..., None]).transpose(1, 0, 2).reshape(count, -1, 1)
            hessian += flat.transpose(0, 2, 1) @ flat
            gradient += (flat.transpose(0, 2, 1) @ value)[..., 0]
        weight = self.visible.max(axis=0)
        stiffness = 2 * self.lambda_offset * len(state.frames) * weight[:, None] * self._firmness()
        stiffness = np.repeat(stiffness, 3, axis=1)
        current = self.offsets.transpose(1, 0, 2).reshape(count, size)
        hessian += (stiffness + 1e-9)[:, :, None] * np.eye(size)
        gradient += stiffness * current / OFFSET_UNIT
        step = np.linalg.solve(hessian, gradient[:, :, None])[..., 0] * OFFSET_UNIT
        moved = (current - step).reshape(count, POSE_FEATURES, 3).transpose(1, 0, 2)
        before = self.offsets
        self.offsets = np.stack([_without(self._bases(), weight, field) for field in moved])
        self.model = self.model.with_offsets(self.offsets - before)

    def _firmness(self) -> Float64[Array, "L K"]:
        """Return factors on `lambda_offset`.

        A mean displacement of the irises is free, as people look ahead on the whole. They do not
        slide with the head's pose: the eyes turn against the head.
        """
        factors = np.ones((len(self.model), POSE_FEATURES))
        if len(factors) == LANDMARKS:
            factors[list(IRISES)] = [0.1, 1e3, 1e3]
        return factors

    def _bases(self) -> Float64[Array, "L 3 N"]:
        """Return the displacements by rigid motions, size and shape, to first order."""
        place = self.model.template - self.model.template.mean(axis=0)
        turns = np.stack([np.cross(axis, place) for axis in np.eye(3)], axis=-1)
        shifts = np.broadcast_to(np.eye(3), (len(place), 3, 3))
        return np.concatenate([shifts, turns, place[..., None], self.model.shape_basis], axis=-1)

    def distances(self, state: SequenceState) -> Float64[Array, "T L"]:
        """Return the distance of every landmark, pixels."""
        result = np.zeros_like(self.weights)
        for part in self._chunks():
            result[part] = np.linalg.norm(self._offsets(state, part), axis=-1) * self.unit
        return result

    def energy(self, state: SequenceState) -> float:
        """Return the energy of a state."""
        data = float((self.visible * huber(self.distances(state) / self.unit)).sum() / self.total)
        frames = state.frames
        change = float((self.change[1:] * np.diff(frames, axis=0) ** 2).sum())
        prior = self.priors.energy(frames)
        firmness = self._firmness().T * self.visible.max(axis=0)
        squares = float(((self.offsets**2).sum(axis=2) * firmness).sum())
        moved = self.lambda_offset * len(frames) * squares / OFFSET_UNIT**2 / self.total
        shape = self.lambda_shape * len(frames) * float(state.shape @ state.shape)
        further = sum(term.energy(state) for term in self.terms)
        return data + change + prior + shape + moved + further

    def equations(self, state: SequenceState) -> NormalEquations:
        """Return gradient and Hessian (Gauss-Newton) at a state."""
        frames = state.frames
        count = len(frames)
        size = len(state.shape)
        shared = state.shared_size
        equations = NormalEquations(
            np.zeros((count, FRAME_SIZE)),
            np.zeros((count, FRAME_SIZE, FRAME_SIZE)),
            2 * self.change,
            np.zeros((count, FRAME_SIZE, shared)),
            np.zeros(shared),
            np.zeros((shared, shared)),
        )
        for part in self._chunks():
            self._add_landmarks(equations, state, part)
        gradient = equations.gradient
        self.priors.add_to(frames, gradient, equations.hessian)
        difference = 2 * self.change[1:] * np.diff(frames, axis=0)
        gradient[1:] += difference
        gradient[:-1] -= difference
        diagonal = np.einsum("tii->ti", equations.hessian)
        diagonal += 2 * self.change
        diagonal[:-1] += 2 * self.change[1:]
        equations.shared_gradient[:size] += 2 * self.lambda_shape * count * state.shape
        equations.shared_hessian[range(size), range(size)] += 2 * self.lambda_shape * count
        for term in self.terms:
            term.add_to(equations, state)
        return equations

    def _chunks(self) -> list[slice]:
        return chunks(len(self.pixels))

    def _points(self, state: SequenceState, part: slice) -> Float64[Array, "T L 3"]:
        """Return the landmarks in the camera's axes."""
        frames = state.frames[part]
        posed = self.model.posed(frames[:, EXPRESSION], frames[:, POSE], state.shape)
        return posed.points + frames[:, None, TRANSLATION]

    def _offsets(self, state: SequenceState, part: slice) -> Float64[Array, "T L 2"]:
        pixels = self.plane.project(self._points(state, part))
        return (pixels - self.pixels[part]) / self.unit

    def _add_landmarks(self, equations: NormalEquations, state: SequenceState, part: slice) -> None:
        points, by_frame, by_shape = projected(self.model, self.plane, state, part)
        offset = (points - self.pixels[part]) / self.unit
        weight = self.visible[part] * huber_weight(np.linalg.norm(offset, axis=-1)) / self.total
        accumulate(equations, part, offset, weight, by_frame / self.unit, by_shape / self.unit)

    def _free(self, state: SequenceState, gradient: Float64[Array, "T D"]) -> Bool[Array, "T D"]:
        """Return which parameters may move: those not at a bound that the gradient points past."""
        at_low = (state.frames <= self.priors.low) & (gradient >= 0)
        at_high = (state.frames >= self.priors.high) & (gradient <= 0)
        return ~(at_low | at_high)


def _without(
    bases: Float64[Array, "L 3 N"], weight: Float64[Array, " L"], field: Float64[Array, "L 3"]
) -> Float64[Array, "L 3"]:
    """Return a field of displacements less its weighted projection on some bases."""
    root = np.sqrt(weight + 1e-6)[:, None]
    columns = (bases * root[..., None]).reshape(field.size, -1)
    parts, *_ = np.linalg.lstsq(columns, (field * root).reshape(-1), rcond=1e-6)
    return np.asarray(field - bases @ parts)


def chunks(frames: int) -> list[slice]:
    """Return slices of at most `CHUNK` frames."""
    return [slice(start, min(start + CHUNK, frames)) for start in range(0, frames, CHUNK)]


def projected(
    model: LandmarkModel, plane: ImagePlane, state: SequenceState, part: slice
) -> tuple[Float64[Array, "T L 2"], Float64[Array, "T L 2 D"], Float64[Array, "T L 2 S"]]:
    """Return pixels of a model's points and their derivatives by frame and by shape."""
    frames = state.frames[part]
    posed = model.posed(
        frames[:, EXPRESSION],
        frames[:, POSE],
        state.shape,
        derivatives=True,
        by_shape=True,
    )
    if posed.by_frame is None or posed.by_shape is None:
        raise InternalError("derivatives were requested and are missing")
    points = posed.points + frames[:, None, TRANSLATION]
    return (
        plane.project(points),
        plane.derivatives(points, posed.by_frame),
        plane.derivatives(points, posed.by_shape),
    )


def accumulate(
    equations: NormalEquations,
    part: slice,
    residual: Float64[Array, "T L R"],
    weight: Float64[Array, "T L"],
    by_frame: Float64[Array, "T L R D"],
    by_shared: Float64[Array, "T L R M"],
    first: int = 0,
) -> None:
    """Add weighted squared residuals / 2 to the equations, in place.

    The products are formed in single precision, which the damping forgives.

    Args:
        equations: to add to.
        part: frames.
        residual: of each point.
        weight: of each point.
        by_frame: derivatives of the residual by the frame's parameters.
        by_shared: derivatives by the shared parameters from number `first` on.
        first: number of the first shared parameter.
    """
    frames = len(residual)
    root = np.sqrt(weight)[..., None]
    own = (by_frame * root[..., None]).reshape(frames, -1, by_frame.shape[-1]).astype(np.float32)
    value = (residual * root).reshape(frames, -1, 1).astype(np.float32)
    transposed = own.transpose(0, 2, 1)
    equations.hessian[part] += transposed @ own
    equations.gradient[part] += (transposed @ value)[..., 0]
    size = by_shared.shape[-1]
    if not size:
        return
    both = (by_shared * root[..., None]).reshape(frames, -1, size).astype(np.float32)
    columns = slice(first, first + size)
    equations.border[part, :, columns] += transposed @ both
    flat = both.reshape(-1, size)
    equations.shared_hessian[columns, columns] += flat.T @ flat
    equations.shared_gradient[columns] += flat.T @ value.reshape(-1)
