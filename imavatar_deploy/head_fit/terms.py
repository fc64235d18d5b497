"""Terms that the fits of a frame and of a sequence share: projection, priors, bounds, weights.

Image distances are divided by a unit (half the picture, as published, or a multiple of the face's
size). The landmark term is the published mean distance, made smooth near zero:

    rho(r) = r^2 / (2 d)  for r < d,   r - d / 2  beyond,   d = `HUBER`
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from imavatar_deploy.arrays import Array, Float64
from imavatar_deploy.conventions import EXPRESSION_SIZE
from imavatar_deploy.head_model import HeadModel

from .correspondences import LANDMARKS
from .landmark_groups import (
    LEFT_EYE,
    LEFT_IRIS,
    LIPS_INNER,
    LIPS_OUTER,
    OVAL,
    RIGHT_EYE,
    RIGHT_IRIS,
)
from .landmark_model import EXPRESSION, FRAME_SIZE, POSE

HUBER = 0.006
"""Distance from which the landmark term is linear: 1.5 pixels of a 512-pixel picture."""

LAMBDA_EXPRESSION = 2e-4
"""Published weight of the squared expression coefficients."""


@dataclass(frozen=True)
class EditionUnits:
    """Factors that carry the published weights, which are FLAME's, over to another head model."""

    shape: float = 1.0
    expression: float = 1.0


EDITION_UNITS = {"openhead": EditionUnits(shape=0.3, expression=5.0)}
"""By edition. OpenHead has 30 shape coefficients in place of 100, and one of its expressions at 1
is as strong as some standard deviations of FLAME's. Both were measured on two rendered subjects."""


def edition_units(head: HeadModel) -> EditionUnits:
    """Return the factors for a head model; 1 for those that are not in `EDITION_UNITS`."""
    return EDITION_UNITS.get(head.edition, EditionUnits())


EXPRESSION_PRIORS: dict[str, float] = {
    "eyeBlinkLeft": 0.1,
    "eyeBlinkRight": 0.1,
    "eyeWideLeft": 0.3,
    "eyeWideRight": 0.3,
    "browDownLeft": 0.4,
    "browDownRight": 0.4,
    "browInnerUp": 0.4,
    "browOuterUpLeft": 0.4,
    "browOuterUpRight": 0.4,
    "mouthPucker": 0.4,
    "mouthFunnel": 0.5,
    "mouthSmileLeft": 0.5,
    "mouthSmileRight": 0.5,
    "mouthClose": 12.0,
    "jawForward": 12.0,
    "cheekPuff": 3.0,
    "jawLeft": 2.0,
    "jawRight": 2.0,
    "mouthLeft": 2.0,
    "mouthRight": 2.0,
    "cheekSquintLeft": 2.0,
    "cheekSquintRight": 2.0,
    "noseSneerLeft": 1.5,
    "noseSneerRight": 1.5,
}
"""Factors on the prior of single expressions, by name; 1 for all others.

Shapes that move the mouth as the jaw does are the more expensive ones, so that the jaw's joint
explains an opening first. Those whose few landmarks show them well are the cheaper ones: with a
factor of 1 the closed lids of a real woman were fitted half open (0.5, where OpenHead's lids meet
at 0.75), and brows and smiles at half to three quarters of what the landmarks did. Cheaper brows
still follow the noise of the landmarks on rendered faces."""

GAZE_PREFIX = "eyeLook"
"""Expressions that the eyes' joints replace; they are locked at zero."""

FLAME_EXPRESSION_BOUND = 4.0
"""FLAME's coefficients are in standard deviations."""

POSE_LOW = np.radians([-60, -60, -60, -75, -95, -60, -3, -8, -4, -30, -40, 0, -30, -40, 0])
POSE_HIGH = np.radians([60, 60, 60, 75, 95, 60, 38, 8, 4, 30, 40, 0, 30, 40, 0])
"""Bounds of the pose: global, neck, jaw, eyeL, eyeR. An eye does not roll."""

LEFT_GAZE = slice(POSE.start + 9, POSE.start + 12)
RIGHT_GAZE = slice(POSE.start + 12, POSE.start + 15)
"""Parameters of a frame: the rotations of the eyes."""

LIDS_RIGHT = (159, 145, 33, 133)
LIDS_LEFT = (386, 374, 362, 263)
"""Landmarks in the middle of the upper and the lower lid, and at both corners of the eye."""
OUTER_EYE_CORNERS = (33, 263)

OVAL_WEIGHT = 0.25
"""Of the face's contour, which slides along the surface when the head turns."""
EYES_AND_LIPS_WEIGHT = 2.0
"""Landmarks on drawn edges are the more exact ones."""
IRIS_WEIGHT = 3.0
IRIS_BORDER_WEIGHT = 0.25
"""The same of a point of the border where the centres are located in the image: those are exact to
a fraction of a pixel, and have the rest of the weight."""


@dataclass(frozen=True, eq=False)
class FramePriors:
    """Priors and bounds of the parameters of a frame, `[68]` each."""

    weight: Float64[Array, " D"]
    """Of the squared parameter."""
    low: Float64[Array, " D"]
    high: Float64[Array, " D"]
    apart: Float64[Array, "3"]
    """Weights of the squared differences between the left eye's rotation and the right one's."""

    @classmethod
    def of(
        cls,
        head: HeadModel,
        *,
        expression: float = LAMBDA_EXPRESSION,
        root: float = 2e-2,
        neck: float = 1e-4,
        jaw: float = 1e-4,
        jaw_sideways: float = 5e-2,
        eyes: float = 1e-4,
        eyes_apart: tuple[float, float] = (0.02, 0.002),
    ) -> FramePriors:
        """Return the priors for a head model.

        Args:
            head: whose expressions' names select factors and bounds.
            expression: weight of the squared expression coefficients.
            root: weight of the squared root rotation, which stays near upright.
            neck: weight of the squared neck rotation.
            jaw: weight of the squared jaw opening.
            jaw_sideways: weight of the squared other rotations of the jaw.
            eyes: weight of the squared eye rotations.
            eyes_apart: weights of the squared differences of both eyes' pitch and yaw.
        """
        weight = np.zeros(FRAME_SIZE)
        low = np.full(FRAME_SIZE, -np.inf)
        high = np.full(FRAME_SIZE, np.inf)
        named = head.edition == "openhead"
        units = edition_units(head)
        weight[EXPRESSION] = (
            expression
            * units.expression
            * np.array([EXPRESSION_PRIORS.get(name, 1.0) for name in head.expression_names])
        )
        low[EXPRESSION] = 0.0 if named else -FLAME_EXPRESSION_BOUND
        high[EXPRESSION] = 1.0 if named else FLAME_EXPRESSION_BOUND
        gaze = [name.startswith(GAZE_PREFIX) for name in head.expression_names]
        high[:EXPRESSION_SIZE][gaze] = 0.0
        low[:EXPRESSION_SIZE][gaze] = 0.0
        pose = [root] * 3 + [neck] * 3 + [jaw, jaw_sideways, jaw_sideways] + [eyes] * 6
        weight[POSE] = pose
        low[POSE] = POSE_LOW
        high[POSE] = POSE_HIGH
        return cls(weight, low, high, np.array([*eyes_apart, 0.0]))

    def energy(self, frames: Float64[Array, "T D"]) -> float:
        """Return the energy of the parameters of frames."""
        apart = frames[:, LEFT_GAZE] - frames[:, RIGHT_GAZE]
        return float((frames**2).sum(axis=0) @ self.weight + (apart**2).sum(axis=0) @ self.apart)

    def add_to(
        self,
        frames: Float64[Array, "T D"],
        gradient: Float64[Array, "T D"],
        hessian: Float64[Array, "T D D"],
    ) -> None:
        """Add the derivatives of the energy to those of every frame, in place."""
        gradient += 2 * self.weight * frames
        np.einsum("tii->ti", hessian)[...] += 2 * self.weight
        pull = 2 * self.apart * (frames[:, LEFT_GAZE] - frames[:, RIGHT_GAZE])
        gradient[:, LEFT_GAZE] += pull
        gradient[:, RIGHT_GAZE] -= pull
        coupling = 2 * np.diag(self.apart)
        for rows in (LEFT_GAZE, RIGHT_GAZE):
            for columns in (LEFT_GAZE, RIGHT_GAZE):
                hessian[:, rows, columns] += coupling if rows == columns else -coupling


@dataclass(frozen=True, eq=False)
class ImagePlane:
    """Projection to a picture, in pixels, of a camera that does not turn."""

    focal: Float64[Array, "2"]
    centre: Float64[Array, "2"]

    @classmethod
    def of(cls, intrinsics: Any, size: tuple[int, int]) -> ImagePlane:
        """Return the projection for intrinsics (fractions) and a picture's width and height."""
        values = np.asarray(intrinsics, dtype=np.float64)
        extent = np.array(size, dtype=np.float64)
        return cls(np.abs(values[:2]) * extent, values[2:] * extent)

    def project(self, points: Float64[Array, "*N 3"]) -> Float64[Array, "*N 2"]:
        """Return pixels (column, row) of points in the camera's axes, which has z < 0."""
        depth = -np.minimum(points[..., 2:], -1e-3)
        flipped = points[..., :2] * np.array([1.0, -1.0])
        return np.asarray(self.centre + self.focal * flipped / depth)

    def derivatives(
        self, points: Float64[Array, "*N 3"], by: Float64[Array, "*N 3 D"]
    ) -> Float64[Array, "*N 2 D"]:
        """Return the derivatives of the pixels from those of the points."""
        inverse = -1.0 / np.minimum(points[..., 2], -1e-3)
        across = self.focal[0] * inverse
        down = -self.focal[1] * inverse
        result = np.zeros((*points.shape[:-1], 2, by.shape[-1]))
        # depth = -z, so that a step of z changes the pixel by focal * x / depth^2
        result[..., 0, :] = across[..., None] * by[..., 0, :]
        result[..., 0, :] += (across * inverse * points[..., 0])[..., None] * by[..., 2, :]
        result[..., 1, :] = down[..., None] * by[..., 1, :]
        result[..., 1, :] += (down * inverse * points[..., 1])[..., None] * by[..., 2, :]
        return result


def huber(distance: Float64[Array, "*N"], width: float = HUBER) -> Float64[Array, "*N"]:
    """Return rho of a distance, see the head of this file."""
    return np.where(distance < width, distance**2 / (2 * width), distance - width / 2)


def huber_weight(distance: Float64[Array, "*N"], width: float = HUBER) -> Float64[Array, "*N"]:
    """Return the factor on r^2 / 2 whose gradient is that of rho."""
    return np.asarray(1.0 / np.maximum(distance, width))


def base_weights(count: int) -> Float64[Array, " L"]:
    """Return the weights of `count` landmarks apart from visibility; of mean near 1."""
    weights = np.ones(count)
    if count == LANDMARKS:
        weights[[*RIGHT_EYE, *LEFT_EYE, *LIPS_OUTER, *LIPS_INNER]] = EYES_AND_LIPS_WEIGHT
        weights[list(OVAL)] = OVAL_WEIGHT
        weights[[*RIGHT_IRIS, *LEFT_IRIS]] = IRIS_WEIGHT
    elif count == 68:
        weights[:17] = OVAL_WEIGHT
        weights[36:] = EYES_AND_LIPS_WEIGHT
    return weights


def with_weight_on_iris_centres(weights: Float64[Array, " L"]) -> Float64[Array, " L"]:
    """Return weights of landmarks with those of each iris moved from its border to its centre."""
    moved = weights.copy()
    if len(weights) == LANDMARKS:
        for centre, *border in (RIGHT_IRIS, LEFT_IRIS):
            kept = weights[border] * (IRIS_BORDER_WEIGHT / IRIS_WEIGHT)
            moved[centre] += (weights[border] - kept).sum()
            moved[border] = kept
    return moved


def visibility(
    normals: Float64[Array, "T L 3"], points: Float64[Array, "T L 3"]
) -> Float64[Array, "T L"]:
    """Return 1 for points that face the camera, falling to 0 for those at the silhouette.

    Args:
        normals: outward, in the camera's axes.
        points: in the camera's axes; the camera is the origin.
    """
    cosine = -np.einsum("tli,tli->tl", normals, points) / np.linalg.norm(points, axis=-1)
    return np.asarray(np.clip((cosine - 0.1) / 0.3, 0.0, 1.0))


def eye_openness(landmarks: Float64[Array, "T L _"]) -> Float64[Array, "T 2"]:
    """Return how far the right and the left eye are open: 0 closed, 1 enough to see the iris."""
    columns = []
    for upper, lower, inner, outer in (LIDS_RIGHT, LIDS_LEFT):
        gap = np.linalg.norm(landmarks[:, upper, :2] - landmarks[:, lower, :2], axis=-1)
        width = np.linalg.norm(landmarks[:, inner, :2] - landmarks[:, outer, :2], axis=-1)
        columns.append(np.clip((gap / np.maximum(width, 1e-6) - 0.1) / 0.1, 0.0, 1.0))
    return np.stack(columns, axis=-1)


def iris_weights(landmarks: Float64[Array, "T L _"]) -> Float64[Array, "T L"]:
    """Return factors on the landmarks' weights: a covered iris has none."""
    factors = np.ones(landmarks.shape[:2])
    if landmarks.shape[1] == LANDMARKS:
        openness = eye_openness(landmarks)
        factors[:, RIGHT_IRIS] = openness[:, :1]
        factors[:, LEFT_IRIS] = openness[:, 1:]
    return factors


def spread_weights(points: Any, count: int) -> Float64[Array, " L"]:
    """Return factors from the correspondences' own spread, where they have one; median 1."""
    spread = getattr(points, "spread", None)
    if spread is None:
        return np.ones(count)
    values = np.asarray(spread, dtype=np.float64)
    middle = float(np.median(values))
    return np.clip(middle / np.maximum(values, 0.25 * middle + 1e-12), 0.25, 2.0)
