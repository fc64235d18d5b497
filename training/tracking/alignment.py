"""Aligns a region of one picture to another by a similarity transform, without features.

Inverse compositional Gauss-Newton (Baker and Matthews, "Lucas-Kanade 20 years on", 2004) on an
image pyramid, with robust weights, a gain and an offset a channel.

A similarity transform of the plane is a pair of complex numbers, z -> scale z + shift, where
z = column + 1j row; the modulus of `scale` is the magnification and its argument the rotation from
the column axis towards the row axis.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from imavatar_deploy.arrays import Array, Float32, Float64

LEVELS = 3
"""Pyramid levels, each half the size of the one before."""

CELL = 12
"""Pixels are chosen per square cell of this side, so that one strong edge does not dominate."""

PIXELS_PER_CELL = 16
"""Largest number of pixels chosen in one cell: those with the steepest gradient."""

MIN_GRADIENT = 0.01
"""Least gradient of a chosen pixel, per pixel, where intensities are 0..1."""

NOISE_FACTOR = 2.0
"""Chosen pixels have a gradient of at least this many times the median, most of which is noise."""

MAX_THRESHOLD = 0.03
"""Largest such bound: a richly textured cloth has a large median."""

TOLERANCE = 0.6
"""Displacement, pixels of a level, up to which a pixel belongs to the common motion."""

ITERATIONS = 20
"""Largest number of Gauss-Newton steps a level."""

CONVERGED = 0.01
"""Pixels that no point moves by in the last step."""

MIN_SCALE = 0.03
"""Floor of the robust scale of residuals, intensities."""

SCALE_SPREAD = 0.01
"""Standard deviation of the prior on the logarithm of the magnification."""

CORRELATED_PIXELS = 12.0
"""Pixels that share one error: the residuals of neighbours are not independent."""


@dataclass(frozen=True)
class Similarity:
    """The similarity transform z -> scale z + shift of points z = column + 1j row."""

    scale: complex = 1.0
    shift: complex = 0.0

    def __call__(self, z: complex) -> complex:
        """Return where the point z lands."""
        return self.scale * z + self.shift

    def after(self, first: Similarity) -> Similarity:
        """Return the transform that applies `first`, then this one."""
        return Similarity(self.scale * first.scale, self.scale * first.shift + self.shift)

    def inverse(self) -> Similarity:
        """Return the inverse transform."""
        return Similarity(1.0 / self.scale, -self.shift / self.scale)


@dataclass(frozen=True)
class Alignment:
    """The result of one alignment."""

    motion: Similarity
    """From the template's picture to the other picture."""
    agreement: float
    """Share of the visible part of the template that the other picture confirms, 0..1."""
    spread: float
    """Expected error of the points of the template, pixels (one standard deviation)."""


@dataclass(frozen=True, eq=False)
class _Level:
    """Chosen pixels of one pyramid level, in the level's own pixels."""

    points: Float64[Array, "N 2"]
    values: Float32[Array, "N C"]
    steepness: Float32[Array, " N"]
    gradients: Float32[Array, "N C 4"]
    """Derivative of the values by column, row, rotation and logarithm of the magnification."""
    weights: Float32[Array, " N"]
    centre: complex
    reach: float
    """Root mean square distance of the points from the centre."""


class Template:
    """The region of a picture that other pictures are aligned to.

    Args:
        pyramid: levels of a picture, finest first, intensities 0..1 (see `pyramid`).
        region: importance of every pixel of the finest level, 0..1.
    """

    def __init__(
        self, pyramid: list[Float32[Array, "_ _ C"]], region: Float32[Array, "H W"]
    ) -> None:
        self._levels = []
        for image in pyramid:
            self._levels.append(_choose(image, region))
            region = cv2.pyrDown(region)
        self.size = len(self._levels[0].points)
        """Number of pixels of the finest level."""
        self.centre = self._levels[0].centre
        """Centroid of the pixels, column + 1j row."""

    def align(self, pyramid: list[Float32[Array, "_ _ C"]], start: Similarity) -> Alignment:
        """Find the region in another picture.

        Args:
            pyramid: levels of the other picture.
            start: an estimate of the motion.
        """
        motion = start
        for index in reversed(range(len(self._levels))):
            factor = 0.5**index
            level = self._levels[index]
            if len(level.points) < 24:
                continue
            scaled = Similarity(motion.scale, motion.shift * factor)
            result = _align_level(level, pyramid[index], scaled)
            motion = Similarity(result.motion.scale, result.motion.shift / factor)
        if self.size < 24:
            return Alignment(motion, 0.0, np.inf)
        return Alignment(motion, result.agreement, result.spread)


def pyramid(image: Float32[Array, "H W C"]) -> list[Float32[Array, "_ _ C"]]:
    """Return the levels of a picture, finest first."""
    levels = [cv2.GaussianBlur(image, (0, 0), 0.8)]
    for _ in range(1, LEVELS):
        levels.append(cv2.pyrDown(levels[-1]))
    return levels


def _choose(image: Float32[Array, "H W C"], region: Float32[Array, "H W"]) -> _Level:
    column = cv2.Sobel(image, cv2.CV_32F, 1, 0, ksize=3, scale=0.125)
    row = cv2.Sobel(image, cv2.CV_32F, 0, 1, ksize=3, scale=0.125)
    steepness = np.sqrt((column**2 + row**2).sum(axis=2))
    allowed = region > 0.05
    usual = float(np.median(steepness[allowed])) if allowed.any() else 0.0
    threshold = max(MIN_GRADIENT, min(NOISE_FACTOR * usual, MAX_THRESHOLD))
    rows, columns = np.nonzero(allowed & (steepness > threshold))
    cell = (rows // CELL) * (region.shape[1] // CELL + 1) + columns // CELL
    order = np.lexsort((-steepness[rows, columns], cell))
    begins = np.r_[True, np.diff(cell[order]) > 0] if len(order) else np.zeros(0, bool)
    first = np.maximum.accumulate(np.where(begins, np.arange(len(order)), 0))
    chosen = order[np.arange(len(order)) - first < PIXELS_PER_CELL]
    rows = rows[chosen]
    columns = columns[chosen]
    points = np.stack([columns, rows], axis=1).astype(np.float64)
    weights = region[rows, columns]
    middle = np.average(points, axis=0, weights=weights) if len(points) else np.zeros(2)
    x, y = (points - middle).T.astype(np.float32)[..., None]
    across = column[rows, columns]
    down = row[rows, columns]
    gradients = np.stack([across, down, x * down - y * across, x * across + y * down], axis=-1)
    reach = float(np.sqrt((x**2 + y**2).mean())) if len(points) else 0.0
    centre = complex(*middle)
    steep = steepness[rows, columns]
    return _Level(points, image[rows, columns], steep, gradients, weights, centre, reach)


def _align_level(level: _Level, image: Float32[Array, "H W C"], start: Similarity) -> Alignment:
    z = (level.points @ np.array([1.0, 1j])) - level.centre
    # Within the loop the motion is written about the centre: z -> scale z + shift.
    scale = start.scale
    shift = start(level.centre)
    height, width, channels = image.shape
    total = float(level.weights.sum())
    for _ in range(ITERATIONS):
        moved = scale * z + shift
        columns = moved.real.astype(np.float32)
        rows = moved.imag.astype(np.float32)
        inside = (columns >= 0) & (columns <= width - 1) & (rows >= 0) & (rows <= height - 1)
        sampled = cv2.remap(image, columns, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        sampled = sampled.reshape(len(z), channels)
        weights = level.weights * inside
        if weights.sum() < 0.1 * total:
            return Alignment(start, 0.0, np.inf)
        residual, noise = _residual(sampled, level.values, weights)
        variance = noise**2 + (TOLERANCE * level.steepness) ** 2
        robust = 1.0 / (1.0 + (residual**2).sum(axis=1) / (4.0 * variance)) ** 2
        weighted = (weights * robust / variance)[:, None, None] * level.gradients
        normal = np.einsum("nci,ncj->ij", weighted, level.gradients, dtype=np.float64)
        right = np.einsum("nci,nc->i", weighted, residual, dtype=np.float64)
        prior = CORRELATED_PIXELS / SCALE_SPREAD**2
        hessian = normal.copy()
        hessian[3, 3] += prior
        right[3] += prior * np.log(abs(scale))
        hessian[np.diag_indices(4)] += 1e-6 * np.diag(hessian) + 1e-9
        step = np.linalg.solve(hessian, right)
        turn = np.exp(step[3] + 1j * step[2])
        scale = scale / turn
        shift = shift - scale * complex(step[0], step[1])
        if np.hypot(step[0], step[1]) + level.reach * np.hypot(step[2], step[3]) < CONVERGED:
            break
    errors = (residual**2).sum(axis=1) / variance
    deviation = float((weights * robust * errors).sum() / (weights * robust).sum())
    covariance = np.linalg.inv(hessian) * CORRELATED_PIXELS * deviation
    spread = np.sqrt(covariance[0, 0] + covariance[1, 1] + level.reach**2 * covariance[2, 2])
    agreement = float((weights * robust).sum() / weights.sum())
    motion = Similarity(complex(scale), complex(shift - scale * level.centre))
    return Alignment(motion, agreement, float(spread))


def _residual(
    sampled: Float32[Array, "N C"], values: Float32[Array, "N C"], weights: Float32[Array, " N"]
) -> tuple[Float32[Array, "N C"], float]:
    """Return residuals after gain and offset, and the scale of their noise."""
    residual = np.empty_like(values)
    plain = np.abs(sampled - values).sum(axis=1)
    trusted = weights / (0.05 + plain) ** 2
    trusted /= trusted.sum()
    for channel in range(values.shape[1]):
        x = sampled[:, channel]
        y = values[:, channel]
        mean_x = float(trusted @ x)
        mean_y = float(trusted @ y)
        variance = float(trusted @ (x - mean_x) ** 2)
        covariance = float(trusted @ ((x - mean_x) * (y - mean_y)))
        gain = float(np.clip((covariance + 0.01) / (variance + 0.01), 0.5, 2.0))
        residual[:, channel] = gain * (x - mean_x) + mean_y - y
    visible = np.sqrt((residual**2).sum(axis=1))[weights > 0]
    return residual, max(1.4826 * float(np.median(visible)), MIN_SCALE)
