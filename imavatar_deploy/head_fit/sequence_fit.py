"""fit_sequence: one shape, and expression, pose and translation of every frame, all together."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np

from imavatar_deploy.arrays import Array, Float32, Float64
from imavatar_deploy.blas import single_threaded_blas
from imavatar_deploy.checks import as_float32, ensure_shape
from imavatar_deploy.conventions import EXPRESSION_SIZE, POSE_SIZE
from imavatar_deploy.errors import InputError
from imavatar_deploy.head_model import HeadModel
from imavatar_deploy.kinematics import axis_angles_of_matrices, rotations
from imavatar_deploy.progress import Progress, silent
from imavatar_deploy.tracks.track import FlameTrack

from .correspondences import LANDMARKS, landmark_points
from .evidence import Silhouettes, TorsoMotion
from .evidence_terms import SilhouetteTerm, TorsoTerm
from .frame_fit import rigid_start
from .gaze import with_eyeballs_placed
from .landmark_model import (
    EXPRESSION,
    FRAME_SIZE,
    POSE,
    POSE_FEATURES,
    TRANSLATION,
    LandmarkModel,
    MeshPoints,
)
from .sequence_input import (
    NOMINAL_STEP,
    checked_landmarks,
    interpolated,
    key_frames,
    spread_out,
    time_steps,
)
from .sequence_problem import SequenceProblem, SequenceState, SequenceTerm
from .terms import (
    FramePriors,
    ImagePlane,
    base_weights,
    edition_units,
    eye_openness,
    iris_weights,
    spread_weights,
    with_weight_on_iris_centres,
)


@dataclass(frozen=True)
class SequenceSettings:
    """Weights and limits of `fit_sequence`.

    The five published weights are the defaults; factors on them say how single bones differ.
    """

    shape: float = 1e-4
    """lambda_beta, of the squared shape coefficients."""
    expression: float = 2e-4
    """lambda_psi, of the squared expression coefficients."""
    temporal_expression: float = 1e-3
    """Of the squared change of the expression from frame to frame."""
    temporal_pose: float = 2.0 / 3.0
    """The same of the pose, radians."""
    temporal_translation: float = 10.0 / 3.0
    """The same of the translation, model units."""
    offsets: float = 1e-3
    """Of the squared displacement of landmarks on the subject's head, in 3 mm; 0 for none."""
    root: float = 2e-2
    """Of the squared root rotation, which is pulled to upright."""
    root_change: float = 30.0
    """Factor on `temporal_pose` for the root: shoulders move slowly."""
    jaw_change: float = 0.05
    """The same for the jaw, which moves fast."""
    eye_change: float = 5e-4
    """The same for the eyes, which jump: more makes their rotations too small."""
    torso: float = 1.0
    """Of the shoulders' measured motion (`TorsoMotion`)."""
    silhouettes: float = 0.3
    """Of the person's outline (`Silhouettes`)."""
    iterations: int = 12
    """Steps on all frames together."""
    keyframes: int = 48
    """Frames from which the shape is found before all frames are fitted."""
    window: int = 600
    """Longer sequences are fitted in windows of this many frames, with the shape of the
    keyframes."""
    overlap: int = 20
    """Frames that neighbouring windows share."""
    irises: bool = False
    """The centres of the irises are located in the images, as by `refine_irises`, and all other
    landmarks are the network's. The eyes then follow the centres, and the eyeballs are placed for
    this person, see `gaze.py`."""


@dataclass(frozen=True, eq=False)
class SequenceFit:
    """Shape, and parameters of every frame."""

    shape: Float32[Array, " S"]
    expression: Float32[Array, "T 50"]
    pose: Float32[Array, "T 15"]
    """Axis-angle, radians: global, neck, jaw, eyeL, eyeR."""
    translation: Float32[Array, "T 3"]
    """From model space to the camera's axes, model units."""
    errors: Float32[Array, " T"]
    """Mean distance of visible landmarks, pixels; NaN where a frame has no landmarks and its
    parameters are interpolated."""
    point_errors: Float32[Array, "T L"]
    """Distance of every landmark, pixels; NaN in frames without landmarks."""
    weights: Float32[Array, "T L"]
    """Weight of every landmark: visibility, confidence and kind."""
    offsets: Float32[Array, "K L 3"]
    """Displacements at rest of the subject's landmarks from `points`, model units, by the
    `pose_features`."""
    notes: tuple[str, ...] = field(default=())

    def __len__(self) -> int:
        return len(self.pose)


@single_threaded_blas()
def fit_sequence(
    landmarks: Any,
    head: HeadModel,
    intrinsics: Any,
    size: tuple[int, int],
    *,
    times: Any = None,
    confidences: Any = None,
    shape: Any = None,
    offsets: Any = None,
    initial: SequenceFit | FlameTrack | None = None,
    torso: TorsoMotion | None = None,
    silhouettes: Silhouettes | None = None,
    points: MeshPoints | None = None,
    settings: SequenceSettings | None = None,
    progress: Progress = silent,
) -> SequenceFit:
    """Fit a head model to the landmarks of all frames of a video together.

    Minimises E = E_kp + E_reg + E_temp (Zheng et al. 2022, supplementary, section 2.6) with one
    translation a frame, by Levenberg-Marquardt steps on all unknowns at once.

    Args:
        landmarks: `[T, L, 2]` or `[T, L, 3]` pixels: column, row; a depth is not used. A frame with
            values that are not finite has no landmarks.
        head: head model, without a subject's shape unless `shape` is empty.
        intrinsics: `[4]` fx, fy, cx, cy as fractions of the picture, see `Camera`.
        size: width and height of the picture, pixels.
        times: `[T]` seconds, ascending; evenly spaced at 25 a second by default.
        confidences: `[T]` 0 to 1, of the landmarks of each frame; 0 where it has none. Such
            frames are interpolated.
        shape: coefficients to keep; estimated by default.
        offsets: `[K, L, 3]` displacements of the subject's landmarks to keep with `shape`, those of
            another fit of the person; estimated by default.
        initial: parameters to start from.
        torso: measured motion of the shoulders, which tells root and neck apart.
        silhouettes: outlines of the person, for skull, ears and profile.
        points: where the landmarks lie on the head; by default `landmark_points(head)`.
        settings: weights and limits.
        progress: shows the progress.

    Raises:
        InputError: no frame has landmarks, arrays of wrong shapes, or offsets without a shape.

    Example:
        >>> head = HeadModel.load("openhead")
        >>> fit = fit_sequence(landmarks, head, [1.5, 1.5, 0.5, 0.5], (512, 512))
        >>> fit.expression.shape, fit.pose.shape  # of 100 frames
        ((100, 50), (100, 15))
    """
    if offsets is not None and shape is None:
        raise InputError("offsets of landmarks need the shape that they were estimated with")
    sequence = _Sequence.of(landmarks, head, intrinsics, size, times, confidences, points, settings)
    sequence.check_evidence(torso, silhouettes)
    start = sequence.start(initial, shape)
    model = sequence.model
    notes: list[str] = []
    if shape is not None:
        start = SequenceState(start.frames, np.zeros(0), start.torso)
        fixed = as_float32("shape", shape, ("S",)).astype(np.float64)
        sequence = sequence.with_shape(fixed)
        if offsets is not None:
            sequence = sequence.with_fixed_offsets(offsets)
    elif initial is None or not len(np.atleast_1d(initial.shape)):
        beta, offsets = sequence.keyframe_shape(start.frames, silhouettes, progress)
        sequence = sequence.with_offsets(offsets)
        start = SequenceState(start.frames, beta, start.torso)
    windows = sequence.windows()
    # The outline costs as much as all else. It shows skull and neck in the keyframes, and their
    # shape is then kept.
    if shape is None and (len(windows) > 1 or silhouettes is not None):
        fixed = start.shape
        sequence = sequence.with_shape(fixed)
        start = SequenceState(start.frames, np.zeros(0), start.torso)
    total = sequence.settings.iterations * len(windows)
    frames = start.frames.copy()
    beta = start.shape
    with progress("fitting all frames", total) as advance:
        for window, kept in windows:
            part = sequence.part(window)
            terms = part.terms(_take(torso, window), None)
            state = SequenceState(frames[window], beta, np.zeros((0, 2)))
            for term in terms:
                state = term.prepared(state)
            problem = part.problem(terms)
            state, _ = problem.minimise(state, part.settings.iterations)
            sequence = sequence.with_offsets(problem.offsets)
            frames[kept] = state.frames[kept.start - window.start : kept.stop - window.start]
            beta = state.shape
            advance(sequence.settings.iterations)
    frames = sequence.with_eyeballs_placed(frames)
    if len(windows) > 1:
        notes.append(f"fitted in {len(windows)} windows with the shape of the keyframes")
    result = sequence.result(SequenceState(frames, beta, np.zeros((0, 2))), tuple(notes))
    if not len(beta):
        full = np.zeros(model.shape_size, dtype=np.float32)
        full[: len(fixed)] = fixed[: model.shape_size]
        result = replace(result, shape=full)
    return result


@single_threaded_blas()
def estimate_shape(
    landmarks: Any,
    head: HeadModel,
    intrinsics: Any,
    size: tuple[int, int],
    *,
    points: MeshPoints | None = None,
    settings: SequenceSettings | None = None,
    frames: int = 24,
) -> Float32[Array, " S"]:
    """Estimate a subject's shape from a few dozen frames, in about a second.

    Args:
        landmarks: `[T, L, 2]` or `[T, L, 3]` pixels.
        head: head model without a subject's shape.
        intrinsics: `[4]` fx, fy, cx, cy as fractions of the picture.
        size: width and height of the picture, pixels.
        points: where the landmarks lie on the head; by default `landmark_points(head)`.
        settings: weights.
        frames: at most this many frames are used, those whose poses differ most.

    Raises:
        InputError: no frame has landmarks, or arrays of wrong shapes.

    Example:
        >>> head = HeadModel.load("openhead")
        >>> shape = estimate_shape(landmarks, head, [1.5, 1.5, 0.5, 0.5], (512, 512))
        >>> fitter = FrameFitter(head.for_subject(shape), [1.5, 1.5, 0.5, 0.5], (512, 512))
    """
    sequence = _Sequence.of(landmarks, head, intrinsics, size, None, None, points, settings)
    usable = np.nonzero(sequence.weights.any(axis=1))[0]
    sequence = sequence.part(usable[spread_out(usable, 2 * frames)])
    start = sequence.start(None, None)
    beta, _ = sequence.keyframe_shape(start.frames, None, silent, count=frames, steps=6)
    return beta.astype(np.float32)


def calibrate(
    landmarks: Any,
    head: HeadModel,
    intrinsics: Any,
    size: tuple[int, int],
    *,
    silhouettes: Silhouettes | None = None,
    points: MeshPoints | None = None,
    settings: SequenceSettings | None = None,
    frames: int = 60,
) -> tuple[Float32[Array, " S"], Float32[Array, "K L 3"]]:
    """Estimate a subject's shape and where the landmarks lie on that head, for `FrameFitter`.

    It takes two seconds of one core, four times those of `estimate_shape`, and up to four seconds
    with outlines of the person. Without them the pitch of the head is off by some degrees that stay
    the same: the landmarks of a face do not tell how long it is from how far it looks up.

    Args:
        landmarks: `[T, L, 2]` or `[T, L, 3]` pixels, of some seconds.
        head: head model without a subject's shape.
        intrinsics: `[4]` fx, fy, cx, cy as fractions of the picture.
        size: width and height of the picture, pixels.
        silhouettes: outlines of the person in these frames.
        points: where the landmarks lie on the head; by default `landmark_points(head)`.
        settings: weights.
        frames: at most this many frames are used, evenly spaced.

    Returns:
        The shape, for `HeadModel.for_subject`, and the displacements of the landmarks, for
        `FrameFitter(offsets=...)`.

    Raises:
        InputError: no frame has landmarks, or arrays of wrong shapes.

    Example:
        >>> shape, offsets = calibrate(landmarks, head, intrinsics, size)
        >>> fitter = FrameFitter(head.for_subject(shape), intrinsics, size, offsets=offsets)
    """
    chosen = np.asarray(landmarks)
    if chosen.ndim == 3 and len(chosen) > frames:
        kept = spread_out(np.arange(len(chosen)), frames)
        chosen, silhouettes = chosen[kept], _take(silhouettes, kept)
    fit = fit_sequence(
        chosen, head, intrinsics, size, silhouettes=silhouettes, points=points, settings=settings
    )
    return fit.shape, fit.offsets


@dataclass(frozen=True, eq=False)
class _Sequence:
    """The input of a fit, checked, and what is derived from it once."""

    head: HeadModel
    model: LandmarkModel
    plane: ImagePlane
    unit: float
    pixels: Float64[Array, "T L 2"]
    weights: Float64[Array, "T L"]
    base: Float64[Array, " L"]
    steps: Float64[Array, " T"]
    """Seconds since the frame before."""
    settings: SequenceSettings
    offsets: Float64[Array, "K L 3"]
    fixed_shape: Float64[Array, " S"] | None = None

    @classmethod
    def of(
        cls,
        landmarks: Any,
        head: HeadModel,
        intrinsics: Any,
        size: tuple[int, int],
        times: Any,
        confidences: Any,
        points: MeshPoints | None,
        settings: SequenceSettings | None,
    ) -> _Sequence:
        points = landmark_points(head) if points is None else points
        model = LandmarkModel.of(head, points)
        pixels = checked_landmarks(landmarks, len(model))
        count = len(pixels)
        present = np.asarray(np.isfinite(pixels).all(axis=(1, 2)))
        if confidences is not None:
            ensure_shape("confidences", np.asarray(confidences), (count,))
            present = present * np.clip(np.nan_to_num(np.asarray(confidences, float)), 0, 1)
        if not present.any():
            raise InputError(
                f"none of the {count} frames has landmarks of a face; record a video that shows one"
            )
        pixels = np.nan_to_num(pixels, nan=0.0, posinf=0.0, neginf=0.0)
        base = base_weights(len(model)) * spread_weights(points, len(model))
        settings = settings or SequenceSettings()
        if settings.irises:
            base = with_weight_on_iris_centres(base)
        return cls(
            head,
            model,
            ImagePlane.of(as_float32("intrinsics", intrinsics, (4,)), size),
            (size[0] + size[1]) / 4.0,
            pixels,
            base * iris_weights(pixels) * present[:, None],
            base,
            time_steps(times, count),
            settings,
            np.zeros((POSE_FEATURES, len(model), 3)),
        )

    def check_evidence(self, torso: TorsoMotion | None, silhouettes: Silhouettes | None) -> None:
        count = len(self.pixels)
        for name, evidence in (("torso", torso), ("silhouettes", silhouettes)):
            if evidence is not None and len(evidence) != count:
                raise InputError(
                    f"{name} must be of the {count} frames of the landmarks, got {len(evidence)}"
                )

    def with_shape(self, shape: Float64[Array, " S"]) -> _Sequence:
        """Return the sequence with the shape fixed."""
        return replace(self, model=self.model.with_shape(shape), fixed_shape=shape)

    def with_offsets(self, offsets: Float64[Array, "K L 3"]) -> _Sequence:
        """Return the sequence with landmarks displaced on the head."""
        return replace(self, offsets=offsets)

    def with_fixed_offsets(self, offsets: Any) -> _Sequence:
        """Return the sequence with landmarks that the fit does not displace any further."""
        kept = as_float32("offsets", offsets, self.offsets.shape).astype(np.float64)
        return replace(self, offsets=kept, settings=replace(self.settings, offsets=0.0))

    def part(self, frames: Any) -> _Sequence:
        """Return some of the frames; steps over frames left out stay those of neighbours."""
        return replace(
            self,
            pixels=self.pixels[frames],
            weights=self.weights[frames],
            steps=self.steps[frames],
        )

    def windows(self) -> list[tuple[slice, slice]]:
        """Return windows of frames, and the part of each whose result is kept."""
        count = len(self.pixels)
        width = self.settings.window
        if count <= width:
            return [(slice(0, count), slice(0, count))]
        half = self.settings.overlap // 2
        stride = width - 2 * half
        number = -(-(count - 2 * half) // stride)
        edges = np.linspace(0, count, number + 1).round().astype(int)
        return [
            (slice(max(a - half, 0), min(b + half, count)), slice(int(a), int(b)))
            for a, b in pairwise(edges)
        ]

    def start(self, initial: SequenceFit | FlameTrack | None, shape: Any) -> SequenceState:
        """Return the parameters to start from: those of `initial`, or rigid fits."""
        beta = np.zeros(self.model.shape_size)
        known = shape if shape is not None else getattr(initial, "shape", None)
        if known is not None:
            values = np.asarray(known, dtype=np.float64)[: len(beta)]
            beta[: len(values)] = values
        if initial is not None:
            frames = _frames_of(initial, len(self.pixels), self.model.joints[0])
        else:
            model = self.model.with_shape(beta)
            present = np.asarray(self.weights.any(axis=1))
            frames = rigid_start(model, self.plane, self._priors(), self.pixels, self.weights)
            frames = interpolated(frames, present)
        priors = self._priors()
        return SequenceState(np.clip(frames, priors.low, priors.high), beta, np.zeros((0, 2)))

    def keyframe_shape(
        self,
        frames: Float64[Array, "T D"],
        silhouettes: Silhouettes | None,
        progress: Progress,
        *,
        count: int | None = None,
        steps: int = 15,
    ) -> tuple[Float64[Array, " S"], Float64[Array, "K L 3"]]:
        """Fit frames of differing poses without coupling in time.

        Returns:
            The shape, and the displacements of the landmarks.
        """
        chosen = key_frames(frames, self.weights, count or self.settings.keyframes)
        part = self.part(chosen)
        terms: tuple[Any, ...] = part.terms(None, _take(silhouettes, chosen))
        problem = part.problem(terms)
        problem.change[:] = 0.0
        state = SequenceState(frames[chosen], np.zeros(self.model.shape_size), np.zeros((0, 2)))
        with progress("estimating the shape", steps) as advance:
            state, _ = problem.minimise(state, steps)
            advance(steps)
        return state.shape, problem.offsets

    def terms(
        self, torso: TorsoMotion | None, silhouettes: Silhouettes | None
    ) -> tuple[TorsoTerm | SilhouetteTerm, ...]:
        """Return the terms of the evidence beside landmarks."""
        terms: list[TorsoTerm | SilhouetteTerm] = []
        if torso is not None and self.settings.torso > 0 and (torso.weight > 0).any():
            terms.append(
                TorsoTerm.of(
                    self.head, self.plane, self.unit, torso, self.settings.torso, self.fixed_shape
                )
            )
        if silhouettes is not None and self.settings.silhouettes > 0:
            terms.append(
                SilhouetteTerm.of(
                    self.head,
                    self.plane,
                    self.unit,
                    silhouettes,
                    self.settings.silhouettes,
                    self.fixed_shape,
                )
            )
        return tuple(terms)

    def problem(self, terms: tuple[SequenceTerm, ...]) -> SequenceProblem:
        """Return the energy."""
        return SequenceProblem(
            self.model.with_offsets(self.offsets),
            self.plane,
            self.unit,
            self._priors(),
            self._change(),
            self.pixels,
            self.weights,
            float(self.base.sum()),
            self.settings.shape * edition_units(self.head).shape,
            self.settings.offsets,
            terms,
            self.offsets,
        )

    def with_eyeballs_placed(self, frames: Float64[Array, "T D"]) -> Float64[Array, "T D"]:
        """Return the frames with the eyes corrected for where this person's eyeballs lie."""
        if not self.settings.irises or len(self.model) != LANDMARKS:
            return frames
        visible = self.weights.any(axis=1) & (eye_openness(self.pixels).min(axis=1) >= 1.0)
        priors = self._priors()
        placed = frames.copy()
        placed[:, POSE] = with_eyeballs_placed(frames[:, POSE], self.pixels, visible)
        return np.clip(placed, priors.low, priors.high)

    def _priors(self) -> FramePriors:
        return FramePriors.of(
            self.head, expression=self.settings.expression, root=self.settings.root
        )

    def _change(self) -> Float64[Array, "T D"]:
        """Return the weights of changes: a walk's variance grows with the time between frames."""
        settings = self.settings
        weight = np.zeros(FRAME_SIZE)
        scale = edition_units(self.head).expression
        weight[EXPRESSION] = settings.temporal_expression * scale
        factors = (settings.root_change, 1.0, settings.jaw_change)
        pose = np.repeat([*factors, settings.eye_change, settings.eye_change], 3)
        weight[POSE] = settings.temporal_pose * pose
        weight[TRANSLATION] = settings.temporal_translation
        change = weight * (NOMINAL_STEP / self.steps)[:, None]
        change[0] = 0.0
        return change

    def result(self, state: SequenceState, notes: tuple[str, ...]) -> SequenceFit:
        """Return the fit of a state with its errors."""
        problem = self.problem(())
        problem.update(state)
        distances = problem.distances(state)
        visible = problem.visible
        total = visible.sum(axis=1)
        present = total > 0
        errors = np.full(len(distances), np.nan)
        errors[present] = (visible * distances).sum(axis=1)[present] / total[present]
        distances[~self.weights.any(axis=1)] = np.nan
        return SequenceFit(
            shape=state.shape.astype(np.float32),
            expression=state.frames[:, EXPRESSION].astype(np.float32),
            pose=state.frames[:, POSE].astype(np.float32),
            translation=state.frames[:, TRANSLATION].astype(np.float32),
            errors=errors.astype(np.float32),
            point_errors=distances.astype(np.float32),
            weights=visible.astype(np.float32),
            offsets=self.offsets.astype(np.float32),
            notes=notes,
        )


def _take(evidence: Any, frames: Any) -> Any:
    """Return the evidence of some frames; None stays None."""
    return None if evidence is None else evidence.part(frames)


def _frames_of(
    initial: SequenceFit | FlameTrack, count: int, root: Float64[Array, "3"]
) -> Float64[Array, "T D"]:
    """Return the parameters of a fit or a track as frames of a camera that does not turn."""
    if len(initial) != count:
        raise InputError(
            f"the initial parameters must be of the {count} frames of the landmarks, "
            f"got {len(initial)}"
        )
    frames = np.zeros((count, FRAME_SIZE))
    frames[:, EXPRESSION] = initial.expression[:, :EXPRESSION_SIZE]
    frames[:, POSE] = initial.pose[:, :POSE_SIZE]
    if isinstance(initial, SequenceFit):
        frames[:, TRANSLATION] = initial.translation
        return frames
    if not initial.cameras:
        frames[:, TRANSLATION] = (0.0, 0.0, -4.0)
        return frames
    world = np.stack([camera.world_to_camera for camera in initial.cameras])
    # The root turns about its joint J: R (R0 (x - J) + J) + t = R R0 (x - J) + J + (t + R J - J)
    turned = world[:, :, :3] @ rotations(initial.pose[:, :3])[:, 0]
    frames[:, 50:53] = axis_angles_of_matrices(turned)
    frames[:, TRANSLATION] = world[:, :, 3] + world[:, :, :3] @ root - root
    return frames
