"""A map from two head models alone: each probe of the source is imitated by the target's expression, jaw and eyes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.errors import InputError
from imavatar_deploy.head_model import HeadModel
from imavatar_deploy.progress import Progress, silent
from imavatar_deploy.retarget import ExpressionMap, Fit

from .imitation import SEEN, Imitation
from .probes import probes
from .registration import Registration, register

Double = NDArray[np.float64]

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

    chart: ExpressionMap
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
    if registration.trusted.mean() < LEAST_FOUND:
        raise InputError(
            f"only {100 * registration.trusted.mean():.0f} % of the target's vertices were found on the source: both "
            "must be human heads in metres, +Y up, facing +Z, with FLAME's five joints"
        )
    wanted = registration.carried(probed.moved)[:, registration.trusted]  # [n, W, 3]
    imitation = Imitation(target, registration.trusted)
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
    fit = Fit("shapes", made_from, strength, len(residuals), *_overall(residuals))
    matrix = (found / probed.sizes[:, None]).astype(np.float32)
    return ShapesFit(ExpressionMap(probed.vocabulary, target.edition, matrix, fit=fit), residuals, registration)


def _residual(name: str, wanted: Double, came: Double) -> ShapeResidual | None:
    distance = np.linalg.norm(wanted, axis=1)
    seen = distance > SEEN
    if not seen.any():
        return None
    missed = np.linalg.norm(wanted - came, axis=1)
    return ShapeResidual(name, _rms_mm(distance[seen]), _rms_mm(missed[seen]), 1000 * float(missed.max()))


def _overall(residuals: tuple[ShapeResidual, ...]) -> tuple[float, float]:
    """Missed and moved, over all shapes alike."""
    pairs = np.array([(row.missed, row.moved) for row in residuals] or [(0.0, 0.0)])
    missed, moved = np.sqrt((pairs**2).mean(axis=0))
    return float(missed), float(moved)


def _rms_mm(metres: Double) -> float:
    return 1000 * float(np.sqrt((metres**2).mean()))
