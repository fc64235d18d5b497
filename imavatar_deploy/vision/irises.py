"""Irises located in the image, between the lids that the landmarks show.

The landmark network reads a crop of 256 pixels and leaves an iris up to a quarter of its radius
from its place. Here a disc is fitted to the brightness of the pixels between the lids, and a second
one, the pupil, inside it:

    I(p) = outside + (inside - outside) * s((r - |p - c|) / w),    s the logistic function,

with both levels, the centre c and the radius r free. Least squares with Huber weights, by damped
Gauss-Newton steps. The red channel is used, in which skin is nearly as bright as the sclera.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from imavatar_deploy.arrays import Array, Float, Float32, UInt8
from imavatar_deploy.head_fit.landmark_groups import LEFT_EYE, LEFT_IRIS, RIGHT_EYE, RIGHT_IRIS

from .images import checked_image, crop_region
from .region import FaceRegion

EYES = ((RIGHT_EYE, RIGHT_IRIS), (LEFT_EYE, LEFT_IRIS))
"""Rim of the lids, beginning at the outer corner and with the inner one half around, and iris."""

RADIUS = 8.0
"""Radius of an iris in the patch that is read around it, pixels."""
SIZE = 44
"""Side of the patch, pixels."""
BLUR = 0.6
"""Standard deviation of the Gaussian filter of the patch, pixels."""
MARGIN = (1.0, 1.3)
"""Distance from the lids from which pixels are used, and that over which their weight grows:
lashes and their shadow are dark, too."""
MIN_RADIUS = 3.0
"""Radius in the image below which the network's iris is kept, pixels."""
MIN_PIXELS = 40
"""Number of pixels between the lids below which the network's iris is kept."""
MIN_PUPIL_PIXELS = 20
"""Number of pixels of the iris below which no pupil is sought."""
STARTS = (-0.35, 0.0, 0.35)
"""Positions along the eye, in radii from the network's iris, from which an iris is sought."""
NEAR = 0.85
"""Share of the iris's radius in which the pupil is sought: its border is dark, too."""
VISIBLE = 0.7
"""Share of the pupil between the lids from which its height is used."""
MAX_HEIGHT = 0.3
"""Displacement up or down, in radii, from which that of the network is kept: lashes above a narrow
eye are as dark as an iris."""


@dataclass(frozen=True)
class _DiscModel:
    """What is known of a disc beforehand; lengths in radii of the iris, brightness of 0 to 1."""

    radius: float
    inner: float
    """Share of its radius that is left out: another disc lies there."""
    reach: float
    """Largest displacement from the start, on each axis."""
    range: tuple[float, float]
    """Smallest and largest radius, as shares of `radius`."""
    outlier: float
    """Difference of brightness from which Huber weights fall, such as that of a catch light."""
    contrast: float
    """Least difference of both levels."""
    prior: tuple[float, float, float]
    """Weights of the squared displacement across and down and of the squared change of radius."""
    steps: int


IRIS = _DiscModel(1.0, 0.6, 0.8, (0.8, 1.25), 0.15, 0.03, (2e-3, 5e-3, 0.3), 7)
PUPIL = _DiscModel(0.42, 0.0, 0.35, (0.6, 1.4), 0.08, 0.08, (5e-4, 5e-4, 0.025), 6)
EDGE = 0.1
"""w of the logistic function, in radii of the iris."""


@dataclass(frozen=True, eq=False)
class _Pixels:
    """Pixels between the lids, relative to the network's iris, in radii of the iris."""

    places: Float32[Array, "N 2"]
    brightness: Float32[Array, " N"]
    weights: Float32[Array, " N"]


def refine_irises(image: Any, landmarks: Float32[Array, "478 D"]) -> Float32[Array, "478 D"]:
    """Return the landmarks with the centre of each iris moved to where the image shows it.

    The four points of an iris's border stay as the network reads them, with the errors that they
    share with the lids. A centre stays in place where the lids cover the iris, where it is small,
    and where it is hardly darker than the sclera.

    Args:
        image: RGB, uint8 `[H, W, 3]`.
        landmarks: of the landmark network: column and row, and a depth where they have one.

    Raises:
        InputError: `image` is something else.

    Example:
        >>> landmarks, confidence = network.read(image, region)
        >>> landmarks = refine_irises(image, landmarks)
    """
    image = checked_image(image)
    refined = landmarks.copy()
    for lids, iris in EYES:
        refined[iris[0], :2] += _displacement(image, landmarks, lids, iris)
    return refined


def _displacement(
    image: UInt8[Array, "H W 3"],
    landmarks: Float32[Array, "478 D"],
    lids: tuple[int, ...],
    iris: tuple[int, ...],
) -> Float[Array, "2"]:
    """Return by how many pixels an iris lies from its landmarks."""
    centre = landmarks[iris[0], :2].astype(np.float64)
    radius = float(np.linalg.norm(landmarks[list(iris[1:]), :2] - centre, axis=1).mean())
    across = landmarks[lids[8], :2] - landmarks[lids[0], :2]
    if not np.isfinite(radius) or radius < MIN_RADIUS:
        return np.zeros(2)
    if across[0] < 0:
        across = -across
    angle = float(np.arctan2(across[1], across[0]))
    region = FaceRegion(centre, SIZE * radius / RADIUS, angle)
    matrix = region.matrix(SIZE)
    rim = (landmarks[list(lids), :2] - matrix[:, 2]) @ np.linalg.inv(matrix[:, :2]).T
    pixels = _pixels_between(rim, crop_region(image, region, SIZE)[..., 0])
    disc = None if len(pixels.weights) < MIN_PIXELS else _iris_centre(pixels)
    return np.zeros(2) if disc is None else matrix[:, :2] @ (RADIUS * disc)


def _pixels_between(rim: Float[Array, "N 2"], red: UInt8[Array, "S S"]) -> _Pixels:
    """Return the pixels of a patch inside the rim of the lids."""
    mask = np.zeros(red.shape, np.uint8)
    cv2.fillPoly(mask, [np.round(rim * 16).astype(np.int32)], 255, shift=4)
    distance = cv2.distanceTransform(mask, cv2.DIST_L2, 5)
    rows, columns = np.nonzero(distance > MARGIN[0])
    brightness = cv2.GaussianBlur(red.astype(np.float32) / 255, (0, 0), BLUR)
    places = (np.stack([columns, rows], axis=1) - (SIZE - 1) / 2) / RADIUS
    weights = np.minimum((distance[rows, columns] - MARGIN[0]) / np.float32(MARGIN[1]), 1.0)
    return _Pixels(places.astype(np.float32), brightness[rows, columns], weights)


def _iris_centre(pixels: _Pixels) -> Float[Array, "2"] | None:
    """Return the centre of the iris, or None where none is seen.

    The lids hide the upper and the lower border of most irises, so that only a pupil shows how high
    one is.
    """
    starts = np.array([(across, 0.0, 1.0) for across in STARTS], dtype=np.float32)
    iris = _fit_disc(pixels, IRIS, starts, np.array([0.0, 0.0, 1.0], dtype=np.float32))
    if iris is None:
        return None
    near = np.linalg.norm(pixels.places - iris[:2], axis=1) < NEAR
    level = np.array([iris[0], 0.0])
    if near.sum() < MIN_PUPIL_PIXELS:
        return level
    inside = _Pixels(pixels.places[near], pixels.brightness[near], pixels.weights[near])
    start = np.append(iris[:2], PUPIL.radius).astype(np.float32)
    pupil = _fit_disc(inside, PUPIL, start[None], start)
    if pupil is None:
        return level
    seen = np.linalg.norm(inside.places - pupil[:2], axis=1) < pupil[2]
    visible = seen.sum() / (np.pi * (RADIUS * pupil[2]) ** 2)
    level[0] = pupil[0]
    return pupil[:2] if visible > VISIBLE and abs(pupil[1]) < MAX_HEIGHT else level


def _fit_disc(
    pixels: _Pixels, model: _DiscModel, starts: Float32[Array, "B 3"], mean: Float32[Array, "3"]
) -> Float32[Array, "3"] | None:
    """Fit a dark disc: centre and radius of the best of some starts, or None without contrast."""
    places, brightness, weights = pixels.places, pixels.brightness, pixels.weights
    total = float(weights.sum()) + 1e-6
    prior = np.array(model.prior, dtype=np.float32)
    reach = np.array([model.reach, model.reach, 0.0], dtype=np.float32)
    low, high = mean - reach, mean + reach
    low[2], high[2] = (model.radius * share for share in model.range)
    disc = starts
    huber = np.ones_like(weights)
    for step in range(model.steps + 1):
        offset = places - disc[:, None, :2]
        distance = np.sqrt(np.einsum("bni,bni->bn", offset, offset)) + 1e-4
        inside = 1.0 / (1.0 + np.exp(np.clip((distance - disc[:, 2:]) / EDGE, -30.0, 30.0)))
        used = weights * (distance > model.inner * disc[:, 2:]) * huber
        level, difference = _levels(inside, brightness, used)
        residual = brightness - level - difference * inside
        huber = 1.0 / np.maximum(1.0, np.abs(residual) / model.outlier)
        if step == model.steps:
            break
        slope = -difference * inside * (1.0 - inside) / EDGE
        rows = np.concatenate(
            [offset * (slope / distance)[..., None], slope[..., None]], axis=-1, dtype=np.float32
        )
        weighted = rows * used[..., None]
        hessian = weighted.transpose(0, 2, 1) @ rows / total
        gradient = np.einsum("bni,bn->bi", weighted, residual) / total + prior * (disc - mean)
        matrix = hessian * (1.0 + 0.05 * np.eye(3)) + np.diag(prior + 1e-6)
        change = np.linalg.solve(matrix, gradient[..., None])[..., 0]
        limit = 0.25 * model.radius
        disc = np.clip(disc - np.clip(change, -limit, limit), low, high).astype(np.float32)
    squares = np.minimum(residual**2, model.outlier**2)
    cost = (weights * squares).sum(axis=1) / total + (prior * (disc - mean) ** 2).sum(axis=1)
    cost[difference[:, 0] > -model.contrast] = np.inf
    best = int(cost.argmin())
    return disc[best] if np.isfinite(cost[best]) else None


def _levels(inside: Any, brightness: Any, weights: Any) -> tuple[Any, Any]:
    """Return the brightness outside of a disc and what is added inside, by least squares."""
    total = weights.sum(axis=1, keepdims=True) + 1e-6
    mean = (weights * inside).sum(axis=1, keepdims=True) / total
    middle = (weights * brightness).sum(axis=1, keepdims=True) / total
    deviation = weights * (inside - mean)
    covariance = (deviation * (brightness - middle)).sum(axis=1, keepdims=True)
    difference = covariance / ((deviation * (inside - mean)).sum(axis=1, keepdims=True) + 1e-6)
    return middle - difference * mean, difference
