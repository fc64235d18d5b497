"""FaceMotion: images of one person -> OpenHead's codes, by face landmarks and a fit.

Landmarks come from `imavatar_deploy.vision`, the fit from `imavatar_deploy.head_fit`. The first
images serve a mean head. Meanwhile the person's shape is estimated, and some seconds later
calibrated; from then on it is kept.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import numpy as np

from imavatar_deploy.arrays import Array, Float, Float64
from imavatar_deploy.blas import single_threaded_blas
from imavatar_deploy.camera import default_focal
from imavatar_deploy.conventions import POSE_SIZE
from imavatar_deploy.head_fit import FrameFit, FrameFitter, Silhouettes
from imavatar_deploy.head_model import OPENHEAD, read_head_model
from imavatar_deploy.kinematics import axis_angles, product, quaternions
from imavatar_deploy.vision import FaceTracker, PersonMask, TrackedFace

from .observation import Observation
from .subject_estimate import (
    MIN_CONFIDENCE,
    EstimateStage,
    Image,
    LandmarkCollector,
    OutlinedCollector,
    Subject,
    SubjectEstimate,
)

# Confidence
#
# The landmark network invents the points that a hand covers. Only its own probability tells: its
# log odds are 15 to 22 for a face that looks about into the camera, 10 to 15 for one that is turned
# by 30 to 50 degrees, and 4 to 10 for one that is covered or turned further.

CLEAR_LOG_ODDS = 8.5
"""Log odds of the landmark network at which a face is as likely covered as not."""

LEAST_CONFIDENCE = 0.35
"""Confidence of a face below which it is withheld, and the policy of `--on-loss` acts."""

RETURN_CONFIDENCE = 0.5
"""Confidence from which faces are shown again. It is higher, so that the motion does not alternate
between two policies."""


def certainty(presence: float) -> float:
    """Certainty, 0 to 1, that the points of a face are visible.

    Args:
        presence: probability that the landmark network states, 0 to 1.
    """
    odds = max(presence, 1e-12) / max(1 - presence, 1e-12)
    return odds / (odds + math.exp(CLEAR_LOG_ODDS))


class ConfidenceGate:
    """Decides which faces are shown, with hysteresis."""

    def __init__(self) -> None:
        self._open = True

    def passes(self, confidence: float) -> bool:
        """Whether a face of this confidence is shown."""
        self._open = confidence >= (LEAST_CONFIDENCE if self._open else RETURN_CONFIDENCE)
        return self._open


# The person

QUICK_FACES = 30
"""Faces from which the shape is estimated at first."""

QUICK_INTERVAL = 0.03
"""Least seconds between two of them: a second and more in all, in which the face moves a little."""

CALIBRATION_FACES = 60
"""Faces of a calibration. Twice as many in the same time tell no more, and take twice as long."""

CALIBRATION_INTERVAL = 0.08
"""Least seconds between two of them: five seconds in all."""

ABSENCE_SECONDS = 5.0
"""Seconds without a face after which the next one may be another person's, and is estimated anew.
Until then the former shape stays."""

CLOSE_SECONDS = 10.0
"""Seconds to wait at the end of a run for an estimate that has begun."""

BLEND_SECONDS = 0.8
"""Seconds in which the motion passes from one fit of the person to the next one's."""


# One face


class Fitter(Protocol):
    """Fits one frame after another, as `FrameFitter` does."""

    def fit(self, landmarks: Any, *, confidence: float = 1.0, blendshapes: Any = None) -> FrameFit:
        """Fit one frame, starting from the one before."""
        ...

    def reset(self) -> None:
        """Forget the frame before."""
        ...


class Tracker(Protocol):
    """Finds the landmarks of a face, as `FaceTracker` does."""

    def track(self, image: Image) -> TrackedFace | None:
        """Return the face of an image, following that of the image before."""
        ...


def mixed(
    first: tuple[Float[Array, "50"], Float[Array, "15"]],
    second: tuple[Float[Array, "50"], Float[Array, "15"]],
    share: float,
) -> tuple[Float[Array, "50"], Float[Array, "15"]]:
    """The face (expression, pose) that is `share` of the way from the first to the second."""
    turns = quaternions(np.stack([first[1], second[1]]))
    towards = axis_angles(product(turns[1], turns[0] * np.array([1.0, -1.0, -1.0, -1.0])))
    pose = axis_angles(product(quaternions(share * towards), turns[0]))
    return first[0] + share * (second[0] - first[0]), pose


def head_and_face(pose: Float[Array, "15"]) -> Float[Array, "15"]:
    """A pose whose global rotation is that of the head, neck included, as trackers state it."""
    turns = quaternions(np.asarray(pose, dtype=np.float64))
    whole = np.zeros(POSE_SIZE)
    whole[:3] = axis_angles(product(turns[0], turns[1])[None])
    whole[6:] = pose[6:]
    return whole


LARGEST_CONVERGENCE = 0.1
"""Largest rotation of each eye towards the nose, beside the common gaze, radians: something 30 cm
away is looked at."""


def with_common_gaze(pose: Float[Array, "15"]) -> Float64[Array, "15"]:
    """A pose whose eyes look in one direction, or at one near point; they never diverge.

    Errors of the landmarks, those of a far eye above all, would make the avatar squint.
    """
    result = np.array(pose, dtype=np.float64)
    left, right = result[9:12], result[12:15]
    common = (left + right) / 2
    convergence = float(np.clip((right[1] - left[1]) / 2, 0.0, LARGEST_CONVERGENCE))
    inwards = np.array([0.0, convergence, 0.0])
    result[9:12], result[12:15] = common - inwards, common + inwards
    return result


class FaceMotion:
    """Observations of the face in one image after another. One thread at a time may use it.

    What an image gives, and what is known of the person:

        no face                      `empty`; after `ABSENCE_SECONDS` all is estimated anew
        a face of low confidence     `uncertain`
        estimates in progress        a provisional observation, fitted with what is known by now: a
                                     mean or former head, or the result of an earlier stage; a face
                                     of high confidence joins the estimates
        blending                     the fits before and after a result, mixed; provisional
        all estimated                an observation
    """

    vocabulary = OPENHEAD
    """Vocabulary of the observations."""

    def __init__(
        self,
        tracker: Tracker,
        fitter_of: Callable[[Subject, tuple[int, int]], Fitter],
        stages: Sequence[EstimateStage],
    ) -> None:
        """Create the motion of a person that is not known yet.

        Args:
            tracker: finds landmarks.
            fitter_of: makes the fitter for a subject and images of (width, height).
            stages: estimates of the subject, from the first to the best. All begin at once.
        """
        self._tracker = tracker
        self._fitter_of = fitter_of
        self._stages = stages
        self._size: tuple[int, int] | None = None
        self._estimates: list[SubjectEstimate] = []
        self._subject = Subject()
        self._gate = ConfidenceGate()
        self._last_face = -np.inf
        self.state = "not seen yet"
        """What is known of the person's face, for the user."""

    def observe(self, image: Image, time: float) -> Observation | str:
        """Return the face in an image, or why it is withheld: `empty` or `uncertain`.

        Args:
            image: of the same camera as the one before.
            time: of its capture, seconds; it grows.
        """
        height, width = image.shape[:2]
        if self._size != (width, height):
            self._begin((width, height))
        face = self._tracker.track(image)
        if face is None:
            self._lost = True
            return "empty"
        if self._lost:
            self._resume(time)
        self._last_face = time
        fit = self._fitter.fit(face.landmarks, confidence=face.confidence)
        confidence = fit.confidence * certainty(face.confidence)
        if not self._gate.passes(confidence):
            return "uncertain"
        if confidence >= MIN_CONFIDENCE:
            for estimate in self._estimates:
                estimate.add(image, face.landmarks, time)
        return self._observation(face, fit, time)

    def wait(self, seconds: float) -> None:
        """Wait for estimates that are being made, for so many seconds at most each."""
        for estimate in self._estimates:
            estimate.wait(seconds)

    def _begin(self, size: tuple[int, int]) -> None:
        self._size = size
        self._fitter = self._fitter_of(self._subject, size)
        self._former: Fitter | None = None
        self._blend_start = 0.0
        self._lost = False
        self._start_estimates()

    def _start_estimates(self) -> None:
        assert self._size is not None
        self._estimates = [SubjectEstimate(stage, self._size) for stage in self._stages]
        self._name = "a former one's" if self._subject.shape is not None else "mean"

    def _resume(self, time: float) -> None:
        self._lost = False
        self._fitter.reset()
        if time - self._last_face > ABSENCE_SECONDS:
            self._start_estimates()

    def _observation(self, face: TrackedFace, fit: FrameFit, time: float) -> Observation:
        provisional = bool(self._estimates)
        if self._former is None and self._take_result(time):
            fit = self._fitter.fit(face.landmarks, confidence=face.confidence)
        code = (fit.expression, fit.pose)
        if self._former is not None:
            share = (time - self._blend_start) / BLEND_SECONDS
            if share >= 1:
                self._former = None
            else:
                provisional = True
                former = self._former.fit(face.landmarks, confidence=face.confidence)
                code = mixed((former.expression, former.pose), code, share)
        expression, pose = code
        self.state = self._state()
        return Observation(
            OPENHEAD,
            np.asarray(expression, dtype=np.float32),
            with_common_gaze(head_and_face(pose)).astype(np.float32),
            time,
            provisional=provisional,
        )

    def _take_result(self, time: float) -> bool:
        """Use the best result that is ready; return whether there is one."""
        for index in reversed(range(len(self._estimates))):
            estimate = self._estimates[index]
            if (subject := estimate.subject()) is not None:
                assert self._size is not None
                self._subject = subject
                self._name = estimate.stage.name
                self._former = self._fitter
                self._blend_start = time
                self._fitter = self._fitter_of(subject, self._size)
                self._estimates = self._estimates[index + 1 :]
                return True
        return False

    def _state(self) -> str:
        if not self._estimates:
            return self._name
        following = self._estimates[0]
        return f"{self._name} ({following.stage.name}: {following.progress})"


@contextmanager
def open_face_motion(focal: float | None = None) -> Iterator[FaceMotion]:
    """Open the networks and the head model that camera tracking needs.

    Within the context BLAS uses one thread.

    Args:
        focal: focal length in pixels; None: `camera.default_focal` of the images.

    Raises:
        MissingDependencyError: onnxruntime is not installed.
    """
    from imavatar_deploy.head_fit import calibrate, estimate_shape

    head = read_head_model(OPENHEAD)

    def fitter_of(subject: Subject, size: tuple[int, int]) -> FrameFitter:
        shaped = head.for_subject(np.zeros(0) if subject.shape is None else subject.shape)
        return FrameFitter(shaped, intrinsics_of(focal, size), size, offsets=subject.offsets)

    def quick(size: tuple[int, int]) -> LandmarkCollector:
        return LandmarkCollector(
            lambda landmarks: estimate_shape(landmarks, head, intrinsics_of(focal, size), size)
        )

    def calibration(size: tuple[int, int]) -> OutlinedCollector:
        def subject_of(landmarks: Any, silhouettes: Silhouettes) -> Subject:
            intrinsics = intrinsics_of(focal, size)
            return Subject(*calibrate(landmarks, head, intrinsics, size, silhouettes=silhouettes))

        return OutlinedCollector(mask.mask, subject_of)

    stages = (
        EstimateStage("estimated", QUICK_FACES, QUICK_INTERVAL, quick),
        EstimateStage("calibrated", CALIBRATION_FACES, CALIBRATION_INTERVAL, calibration),
    )
    with single_threaded_blas(), FaceTracker() as tracker:
        mask = PersonMask()
        motion = FaceMotion(tracker, fitter_of, stages)
        yield motion
        motion.wait(CLOSE_SECONDS)


def intrinsics_of(focal: float | None, size: tuple[int, int]) -> Float64[Array, "4"]:
    """Intrinsics (fx, fy, cx, cy as fractions of the image) of square pixels and a middle axis.

    Args:
        focal: pixels; None: `camera.default_focal` of the size.
        size: width and height, pixels.
    """
    width, height = size
    pixels = default_focal(width, height) if focal is None else focal
    return np.array([-pixels / width, pixels / height, 0.5, 0.5])
