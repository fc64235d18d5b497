"""Clean an extracted mesh: move vertices onto the surface, drop stray parts, reduce the faces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import compress
from typing import NamedTuple

import numpy as np

from imavatar_deploy.arrays import Array, Bool, Float, Float32, Float64, Integer
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

# Newton steps onto the zero level set

MAX_STEP = 0.5
"""Largest displacement of a vertex, as a share of the mean edge.

Farther away the linear model of the field does not hold.
"""


@dataclass(frozen=True)
class Gain:
    """Distance of the vertices from the surface, `|f| / |grad f|` in model units: before, after."""

    median: tuple[float, float]
    p99: tuple[float, float]


def polish(mesh: Mesh, field: Field, *, progress: Progress = silent) -> tuple[Mesh, Gain]:
    """Move the vertices onto the surface by two Newton steps `x -= f grad f / |grad f|²`.

    The second step uses the gradient of the first, which saves a third of the cost. Every vertex
    keeps the step that brought it nearest; one whose move would turn a face over stays in place.

    Returns:
        The mesh, and the distances before and after.
    """
    with progress("polishing", 3 * len(mesh.vertices)) as advance:
        value, gradient = field.values_and_gradients(mesh.vertices, advance)
        squared = np.maximum((gradient**2).sum(axis=1, keepdims=True), 1e-12)
        start = error = np.abs(value)
        vertices = best = mesh.vertices
        limit = np.float32(MAX_STEP * mesh.edge_length())
        for _ in range(2):
            step = value[:, None] * gradient / squared
            vertices = _within(limit, mesh.vertices, vertices - step)
            value = field.values(vertices, advance)
            best = np.where((np.abs(value) < error)[:, None], vertices, best)
            error = np.minimum(np.abs(value), error)
    polished, fixed = _without_flips(mesh, best)
    slope = np.sqrt(squared[:, 0])
    return polished, _gain(start / slope, np.where(fixed, start, error) / slope)


def _within(
    limit: np.float32, origin: Float32[Array, "V 3"], target: Float32[Array, "V 3"]
) -> Float32[Array, "V 3"]:
    """Points on the way from `origin` to `target`, at most `limit` from `origin`."""
    step = target - origin
    length = np.linalg.norm(step, axis=1, keepdims=True)
    return np.asarray(
        origin + step * np.minimum(1.0, limit / np.maximum(length, 1e-12)), dtype=np.float32
    )


def _without_flips(mesh: Mesh, target: Float32[Array, "V 3"]) -> tuple[Mesh, Bool[Array, " V"]]:
    """Move the vertices of `mesh` to `target`, except those around which a face would turn over.

    Returns:
        The mesh, and which vertices stay in place.
    """
    before = mesh.face_normals()
    fixed = np.zeros(len(target), dtype=np.bool_)
    while True:
        polished = replace(mesh, vertices=np.where(fixed[:, None], mesh.vertices, target))
        flipped = np.einsum("fi,fi->f", before, polished.face_normals()) <= 0
        flipped &= ~fixed[mesh.faces].all(axis=1)
        if not flipped.any():
            return polished, fixed
        fixed[mesh.faces[flipped]] = True


def _gain(before: Float[Array, " V"], after: Float[Array, " V"]) -> Gain:
    (median_before, p99_before), (median_after, p99_after) = (
        np.percentile(e, (50, 99)) for e in (before, after)
    )
    return Gain((float(median_before), float(median_after)), (float(p99_before), float(p99_after)))


# Quadric decimation to a face budget (Garland and Heckbert, 1997)
#
# Measured on the reference head (144,202 faces at 256³, every vertex on the surface) with 50,000
# and 20,000 faces left: mean distance to the full mesh in 1e-5 model units, eyes / mouth / rest.
#
#     libigl qslim                  3.1 / 3.2 / 3.7   14 / 14 / 12   1.4 s, 2.1 s, always manifold
#     fast-simplification, agg 2    3.4 / 3.5 / 4.1   15 / 14 / 13   0.2 s, 2 edges not manifold
#     fast-simplification, agg 7    13  / 18  / 11    36 / 47 / 26   0.2 s, 18 edges not manifold
#     qslim, polished again         4.3 / 5.5 / 5.0   18 / 20 / 17
#     qslim of an unpolished mesh   31  / 25  / 8.7   35 / 30 / 15
#
# (Edges that are not manifold: at 20,000 faces.) Hence the full mesh is polished first, which
# preserves lids and lips, and the vertices stay where the quadrics put them: a little outside a
# convex surface, so that the faces, and not the corners, are nearest to it.


def simplify(mesh: Mesh, faces: int) -> Mesh:
    """Reduce `mesh` to at most `faces` faces; a mesh within the budget is returned unchanged.

    Closedness, winding and connected components stay as they are.

    Raises:
        UsageError: the budget is below `MIN_FACES`.
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
        raise InternalError(f"decimation to {faces} faces returned {len(triangles)} faces")
    return Mesh(vertices, triangles)


# Stray parts: pieces that float free of the head
#
# Training leaves such pieces below the chest or behind the shoulders, where no camera looks. They
# have skinning weights like any other vertex: a rotating jaw moves them by centimetres.

GAPS = (0.04, 0.08)
"""Smallest and largest gap at which a part counts as detached, model units (1 cm and 2 cm).

On the head the limit is the part's own extent, clipped to this range: a lens without a visible
frame may be 2 cm away from an eye, a speck may not. On the bust it is always the smallest gap:
scraps gather along its edge, and clothes touch it. Parts that touch are up to a cell of the
coarsest extraction (1 cm) apart.
"""

LARGE_PART_SHARE = 0.1
"""Share of the body's area from which on a detached part is not a stray part.

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
    """Parts that are left out."""
    large: tuple[Part, ...] = ()
    """Detached parts that are too large to be left out."""
    extracted: int = 0
    """Number of faces before parts are left out."""


class HeadPoints(NamedTuple):
    """The vertices of a head model."""

    points: Float32[Array, "N 3"]  # model units
    on_head: Bool[Array, " N"]  # whether they follow the neck, the jaw or an eye, not the bust


def canonical_points(head: HeadModel) -> HeadPoints:
    """Vertices of the head model in canonical space."""
    return posed_points(head, np.zeros(EXPRESSION_SIZE, dtype=np.float32), canonical_pose())


def posed_points(
    head: HeadModel, expression: Float32[Array, " E"], pose: Float32[Array, "15"]
) -> HeadPoints:
    """Vertices of the head model for an expression `[E]` and a pose `[15]`."""
    points = UNITS_PER_METRE * head.vertices(expression, pose)
    moves = head.weights[:, 1:].sum(axis=1) > 0.5
    return HeadPoints(np.asarray(points, dtype=np.float32), np.asarray(moves))


def without_strays(mesh: Mesh, head: HeadModel) -> Mesh:
    """`mesh`, in canonical space, without its stray parts."""
    return drop_strays(mesh, canonical_points(head)).mesh


def extract_surface(
    field: Field,
    head: HeadPoints,
    settings: ExportSettings,
    progress: Progress = silent,
) -> Cleaned:
    """Extract the surface of a field and keep the parts that the settings select.

    Args:
        field: the signed distance field.
        head: the head model in the field's space.
        settings: resolution, components and treatment of stray parts.
        progress: shows how far the work is.
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

    The body is the largest part near the head model, with all parts that are near another part of
    the body or near the model's head. Eyeballs, teeth, glasses and locks of hair belong to it. If
    no part of the mesh is near the head model, the largest part is the body.

    Args:
        mesh: the surface.
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
    body = on_head & (distances <= limits)
    body[main] = True
    large = ~body & (areas >= LARGE_PART_SHARE * areas[main])
    gaps = _attach(points, limits, body, large)
    rows = [
        Part(faces, float(gap), float(area / areas[main]))
        for faces, gap, area in zip(np.bincount(part).tolist(), gaps, areas, strict=True)
    ]
    return Cleaned(
        mesh if body.all() else mesh.with_faces(body[part]),
        strays=_largest_first(rows, ~body),
        large=_largest_first(rows, large & (gaps > limits)),
        extracted=len(mesh.faces),
    )


def stray_notes(cleaned: Cleaned) -> list[str]:
    """Sentences about the parts that are left out, and about large detached parts."""
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


def _extent(points: Float32[Array, "_ 3"]) -> float:
    return float(np.linalg.norm(points.max(axis=0) - points.min(axis=0)))


def _attach(
    points: Sequence[Float32[Array, "_ 3"]],
    limits: Float64[Array, " P"],
    body: Bool[Array, " P"],
    large: Bool[Array, " P"],
) -> Float64[Array, " P"]:
    """Add to the body every part that is near it, until no part is left to add.

    Args:
        points: vertices of each of the P parts.
        limits: largest gap at which a part is attached.
        body: parts of the body; attached and large parts are added in place.
        large: detached parts that are too large to be left out.

    Returns:
        The gap between each part and the rest of the body.
    """
    body |= large
    gaps = np.where(body, 0.0, np.inf)
    attached = body.copy()
    while attached.any():
        others = np.flatnonzero(~body).tolist()
        distances, _ = _nearest(_join(points, attached), [points[number] for number in others])
        gaps[others] = np.minimum(gaps[others], distances)
        attached = ~body & (gaps <= limits)
        body |= attached
    for number in np.flatnonzero(large).tolist():
        rest = body & (np.arange(len(points)) != number)
        gaps[number] = _nearest(_join(points, rest), [points[number]])[0][0]
    return gaps


def _join(
    points: Sequence[Float32[Array, "_ 3"]], selection: Bool[Array, " P"]
) -> Float32[Array, "_ 3"]:
    return np.concatenate(list(compress(points, selection)))


def _nearest(
    surface: Float32[Array, "N 3"], parts: Sequence[Float32[Array, "_ 3"]]
) -> tuple[Float64[Array, " P"], Integer[Array, " P"]]:
    """Distance of each of P parts from the points of a surface, and row of the nearest point."""
    tree = require("scipy.spatial", extra="export").cKDTree(surface)
    distances = np.zeros(len(parts))
    nearest = np.zeros(len(parts), dtype=np.intp)
    for row, points in enumerate(parts):
        distance, number = tree.query(points)
        distances[row] = distance.min()
        nearest[row] = number[distance.argmin()]
    return distances, nearest


def _largest_first(rows: Sequence[Part], selection: Bool[Array, " P"]) -> tuple[Part, ...]:
    return tuple(sorted(compress(rows, selection), key=lambda part: -part.faces))


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _range(parts: Sequence[Part]) -> str:
    """Range of the parts' gaps, centimetres."""
    gaps = [f"{100 / UNITS_PER_METRE * gap:.1f}" for gap in sorted(part.gap for part in parts)]
    return gaps[0] if gaps[0] == gaps[-1] else f"{gaps[0]} to {gaps[-1]}"
