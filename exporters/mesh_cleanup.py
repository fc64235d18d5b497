"""Move vertices onto the zero level set: Newton's method along the field's gradient, without turning a face over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import compress
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.avatar import canonical_pose
from imavatar_deploy.conventions import EXPRESSION_SIZE, UNITS_PER_METRE
from imavatar_deploy.errors import InternalError, UsageError
from imavatar_deploy.head_model import HeadModel
from imavatar_deploy.model.surface.extract import extract
from imavatar_deploy.model.surface.field import Field
from imavatar_deploy.model.surface.mesh import Mesh, part_of_face
from imavatar_deploy.optional import require
from imavatar_deploy.progress import Progress, silent

from .settings import MIN_FACES, ExportSettings

Float = NDArray[np.float32]

REACH = 0.5
"""A vertex moves at most this share of the mean edge: farther away the linear model of the field means nothing."""


@dataclass(frozen=True)
class Gain:
    """How far vertices were from the surface, `|f| / |grad f|` in model units, before and after."""

    median: tuple[float, float]
    p99: tuple[float, float]


def polish(mesh: Mesh, field: Field, *, progress: Progress = silent) -> tuple[Mesh, Gain]:
    """Two Newton steps `x -= f grad f / |grad f|²`, the second with the gradient of the first (a third of the cost).

    Every vertex keeps the step that brought it nearest; one that would turn a face over stays where it was.
    """
    with progress("polishing", 3 * len(mesh.vertices)) as advance:
        value, gradient = field.values_and_gradients(mesh.vertices, advance)
        squared = np.maximum((gradient**2).sum(axis=1, keepdims=True), 1e-12)
        start, best, error = np.abs(value), mesh.vertices, np.abs(value)
        moved, reach = mesh.vertices, np.float32(REACH * mesh.edge_length())
        for _ in range(2):
            moved = _within(reach, mesh.vertices, moved - value[:, None] * gradient / squared)
            value = field.values(moved, advance)
            best = np.where((np.abs(value) < error)[:, None], moved, best)
            error = np.minimum(np.abs(value), error)
    polished, held = _without_flips(mesh, best)
    slope = np.sqrt(squared[:, 0])
    return polished, _gain(start / slope, np.where(held, start, error) / slope)


def _within(reach: np.float32, origin: Float, moved: Float) -> Float:
    """`moved`, no farther than `reach` from `origin`."""
    step = moved - origin
    length = np.linalg.norm(step, axis=1, keepdims=True)
    return np.asarray(
        origin + step * np.minimum(1.0, reach / np.maximum(length, 1e-12)), dtype=np.float32
    )


def _without_flips(mesh: Mesh, moved: Float) -> tuple[Mesh, NDArray[np.bool_]]:
    """`mesh` with its vertices moved, but those back in place, `[V]`, around whose new positions a face turned over."""
    before, held = mesh.face_normals(), np.zeros(len(moved), dtype=np.bool_)
    while True:
        polished = replace(mesh, vertices=np.where(held[:, None], mesh.vertices, moved))
        turned = np.einsum("fi,fi->f", before, polished.face_normals()) <= 0
        turned &= ~held[mesh.faces].all(axis=1)
        if not turned.any():
            return polished, held
        held[mesh.faces[turned]] = True


def _gain(before: Float, after: Float) -> Gain:
    (median_before, p99_before), (median_after, p99_after) = (
        np.percentile(e, (50, 99)) for e in (before, after)
    )
    return Gain((float(median_before), float(median_after)), (float(p99_before), float(p99_after)))


# Fewer faces where the surface is flat: quadric decimation to a face budget (Garland and Heckbert, 1997).
#
# Measured on the reference head (144,202 faces at 256³, every vertex on the surface), 50,000 and 20,000 faces left,
# mean distance to the full mesh in 1e-5 model units, eyes / mouth / rest:
#
#     libigl qslim                  3.1 / 3.2 / 3.7     14 / 14 / 12    1.4 s and 2.1 s, always manifold
#     fast-simplification, agg 2    3.4 / 3.5 / 4.1     15 / 14 / 13    0.2 s, two edges not manifold at 20,000
#     fast-simplification, agg 7    13  / 18  / 11      36 / 47 / 26    0.2 s, 18 edges not manifold at 20,000
#     qslim, polished again         4.3 / 5.5 / 5.0     18 / 20 / 17
#     qslim of an unpolished mesh   31  / 25  / 8.7     35 / 30 / 15
#
# Hence: polish the full mesh first, which is what keeps lids and lips, then leave the vertices where the quadrics put
# them: a little outside of a convex surface, so that the faces and not the corners are nearest to it.


def simplify(mesh: Mesh, faces: int) -> Mesh:
    """`mesh` with at most `faces` faces: closed, wound and connected as before; unchanged within the budget.

    Raises:
        UsageError: the budget is too small to be meant.
    """
    if faces < MIN_FACES:
        raise UsageError(f"a face budget must be at least {MIN_FACES}, got {faces}")
    if len(mesh.faces) <= faces:
        return mesh
    igl = require("igl", extra="export")
    vertices, triangles, _, _ = igl.qslim(
        mesh.vertices.astype(np.float64), mesh.faces.astype(np.int64), faces
    )
    if not 0 < len(triangles) <= faces:
        raise InternalError(f"decimation to {faces} faces gave {len(triangles)}")
    return Mesh(vertices, triangles)


# Stray parts of a surface: pieces that float free of the head, where a video shows nothing.
#
# A training leaves such pieces below the chest or behind the shoulders, where no camera looks. They
# have skinning weights like any other vertex: a turning jaw moves them by centimetres.


GAPS = (0.04, 0.08)
"""Model units (1 cm and 2 cm): the least and the largest gap at which a part counts as detached.

On the head, the gap is the part's own extent, within these: a lens without a visible frame may
hover 2 cm before an eye, a speck may not. On the bust it is always the least: scraps gather along
its edge, and what is worn there touches it. Parts that touch are up to a cell of the coarsest
extraction (1 cm) apart.
"""

LARGE = 0.1
"""A detached part with at least this share of the body's area is no stray.

It may be the shoulders under a neck that is missing.
"""


@dataclass(frozen=True)
class Part:
    """A connected part that is detached from the body."""

    faces: int
    gap: float  # model units to the nearest part that belongs to the body
    share: float  # of the area of the body's largest part


@dataclass(frozen=True)
class Cleaned:
    """A mesh without its stray parts."""

    mesh: Mesh
    strays: tuple[Part, ...] = ()
    """The parts that were left out."""
    large: tuple[Part, ...] = ()
    """Detached parts that are too large to be left out."""
    extracted: int = 0
    """Faces before."""


class HeadPoints(NamedTuple):
    """The vertices of a head model."""

    points: Float  # [N, 3] model units
    on_head: NDArray[np.bool_]  # [N] whether they follow the neck, the jaw or an eye, not the bust


def canonical_points(head: HeadModel) -> HeadPoints:
    """The head model in canonical space."""
    return posed_points(head, np.zeros(EXPRESSION_SIZE, dtype=np.float32), canonical_pose())


def posed_points(head: HeadModel, expression: Float, pose: Float) -> HeadPoints:
    """The head model in a frame."""
    points = UNITS_PER_METRE * head.vertices(expression, pose)
    moves = head.weights[:, 1:].sum(axis=1) > 0.5
    return HeadPoints(np.asarray(points, dtype=np.float32), np.asarray(moves))


def without_strays(mesh: Mesh, head: HeadModel) -> Mesh:
    """A canonical mesh without its stray parts."""
    return drop_strays(mesh, canonical_points(head)).mesh


def extract_surface(
    field: Field,
    head: HeadPoints,
    settings: ExportSettings,
    progress: Progress = silent,
) -> Cleaned:
    """The surface of a field with the parts that the settings ask for.

    Args:
        head: the head model in the field's space.
    """
    mesh = extract(
        field,
        resolution=settings.resolution,
        components=settings.components,
        progress=progress,
    )
    if settings.drops_strays:
        return drop_strays(mesh, head)
    return Cleaned(mesh, extracted=len(mesh.faces))


def drop_strays(mesh: Mesh, head: HeadPoints) -> Cleaned:
    """Leave out the small parts of a mesh that are detached from the body.

    The body is the largest part that comes near the head model, with all parts that are near
    another part of the body or near the model's head. Eyeballs, teeth, glasses and locks of hair
    belong to it. Of a mesh that is nowhere near the head model, the largest part is the body.

    Args:
        head: the head model in the mesh's space.
    """
    part = part_of_face(mesh)
    count = int(part.max()) + 1 if len(part) else 0
    if count < 2:
        return Cleaned(mesh, extracted=len(mesh.faces))
    areas = np.bincount(part, mesh.face_areas(), minlength=count)
    points = [mesh.vertices[np.unique(mesh.faces[part == number])] for number in range(count)]
    distances, nearest = _nearest(head.points, points)
    on_head = head.on_head[nearest]
    limits = np.where(on_head, [_extent(each) for each in points], 0.0).clip(*GAPS)
    near = distances <= GAPS[1]
    main = int(np.where(near | ~near.any(), areas, -1.0).argmax())
    stays = on_head & (distances <= limits)
    stays[main] = True
    large = ~stays & (areas >= LARGE * areas[main])
    gaps = _attach(points, limits, stays, large)
    rows = [
        Part(faces, float(gap), float(area / areas[main]))
        for faces, gap, area in zip(np.bincount(part).tolist(), gaps, areas, strict=True)
    ]
    return Cleaned(
        mesh if stays.all() else mesh.with_faces(stays[part]),
        strays=_largest_first(rows, ~stays),
        large=_largest_first(rows, large & (gaps > limits)),
        extracted=len(mesh.faces),
    )


def stray_notes(cleaned: Cleaned) -> list[str]:
    """Sentences about what was left out, and about detached parts that are still there."""
    notes = []
    if strays := cleaned.strays:
        faces = sum(part.faces for part in strays)
        notes.append(
            f"left out {_count(len(strays), 'loose piece')} ({faces:,} of {cleaned.extracted:,} "
            f"extracted faces), {_range(strays)} cm away from the head; "
            f"--keep-strays keeps {'it' if len(strays) == 1 else 'them'}"
        )
    if large := cleaned.large:
        share = max(part.share for part in large)
        notes.append(
            f"kept {_count(len(large), 'detached part')} of up to {100 * share:.0f} % of the "
            f"body's area, {_range(large)} cm away from it: too large for a loose piece; "
            "--components largest leaves out all parts but one"
        )
    return notes


def _extent(points: Float) -> float:
    return float(np.linalg.norm(points.max(axis=0) - points.min(axis=0)))


def _attach(
    points: Sequence[Float],
    limits: NDArray[np.float64],
    stays: NDArray[np.bool_],
    large: NDArray[np.bool_],
) -> NDArray[np.float64]:
    """[P] the gap between each part and those that stay; `stays` becomes true for all that stay.

    What is near a part that stays does so, too, and then what is near that.
    """
    stays |= large
    gaps, fresh = np.where(stays, 0.0, np.inf), stays.copy()
    while fresh.any():
        others = np.flatnonzero(~stays).tolist()
        distances, _ = _nearest(_joined(points, fresh), [points[number] for number in others])
        gaps[others] = np.minimum(gaps[others], distances)
        fresh = ~stays & (gaps <= limits)
        stays |= fresh
    for number in np.flatnonzero(large).tolist():
        rest = stays & (np.arange(len(points)) != number)
        gaps[number] = _nearest(_joined(points, rest), [points[number]])[0][0]
    return gaps


def _joined(points: Sequence[Float], which: NDArray[np.bool_]) -> Float:
    return np.concatenate(list(compress(points, which)))


def _nearest(
    surface: Float,
    parts: Sequence[Float],
) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """[P] the distance of each part from points `[N, 3]`, and [P] the row of the nearest one."""
    tree = require("scipy.spatial", extra="export").cKDTree(surface)
    distances, nearest = np.zeros(len(parts)), np.zeros(len(parts), dtype=np.intp)
    for row, points in enumerate(parts):
        distance, number = tree.query(points)
        distances[row], nearest[row] = distance.min(), number[distance.argmin()]
    return distances, nearest


def _largest_first(rows: Sequence[Part], which: NDArray[np.bool_]) -> tuple[Part, ...]:
    return tuple(sorted(compress(rows, which), key=lambda part: -part.faces))


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _range(parts: Sequence[Part]) -> str:
    """The parts' gaps in centimetres."""
    gaps = [f"{100 / UNITS_PER_METRE * gap:.1f}" for gap in sorted(part.gap for part in parts)]
    return gaps[0] if gaps[0] == gaps[-1] else f"{gaps[0]} to {gaps[-1]}"
