"""Transfer of landmarks from one head model to another by the shape of their surfaces.

The source's face is deformed onto the target's, whose topology, size and place may differ:

1. Both mouths are opened, as closed lips would lie on each other.
2. The joints of jaw and eyes, which every head has, give scale, rotation and translation.
3. The source is deformed to the nearest points of the target whose normals have a similar
   direction. The deformation is the source's identity basis plus a smooth displacement, a Gaussian
   process whose covariance has several widths (Luethi et al. 2018, Gaussian Process Morphable
   Models) and does not join upper and lower lip. Distances along the normal count more than those
   along the surface. The expected noise falls from one iteration to the next.
4. A landmark of the skin takes the target's point that is nearest to it on the deformed source, one
   of an iris the point of the target's eyeball at the same distance from the eye's axis.
"""

from __future__ import annotations

import numpy as np

from imavatar_deploy.arrays import Array, Bool, Float, Float64, Int64, Integer
from imavatar_deploy.conventions import BONES, EXPRESSION_SIZE, JAW, POSE_SIZE
from imavatar_deploy.errors import InputError
from imavatar_deploy.head_model import HeadModel

from .nearest_point import NearestPoint, vertex_normals

JAW_OPENING = 0.25
"""Opening of the jaw in radians."""

JAW_BONE = BONES.index("jaw")
EYES = (BONES.index("eyeL"), BONES.index("eyeR"))

REACH = 0.015
"""Distance from a landmark, metres, within which the source's vertices are matched."""
MARGIN = 0.03
"""Distance from the source's landmarks, metres, within which the target's faces are searched."""

IDENTITY_SIZE = 30
"""Directions of the source's identity basis in use."""

CONTROL_POINTS = 100
"""Points at which the smooth displacement is parametrised."""

COVARIANCE = ((0.060, 0.006), (0.030, 0.003), (0.014, 0.0015))
"""Widths of the displacement's covariance, and its standard deviation at each; metres."""

LIP_DISTANCE = 0.04
"""Distance in metres that the covariance adds between skin that follows the jaw and skin that does
not."""

NOISE = (0.010, 0.0006)
"""Expected distance of the surfaces in the first iteration and in the last, metres."""
ITERATIONS = 10
RIGID_ITERATIONS = 5
"""The first iterations, which also correct scale, rotation and translation."""

TANGENTIAL = 0.3
"""Weight of distances along the surface, relative to those along the normal."""
NORMAL_WEIGHT = 0.002
"""Distance in metres that opposite normals count as in the search of nearest points."""
MIN_COSINE = 0.6
"""Smallest cosine between the normals of two matched points."""
MAX_DISTANCE = 3.0
"""Largest distance of two matched points, in units of the expected noise."""
CLOSE = 0.004
"""Distance in metres that is never too large."""
MIN_MATCHED = 0.5
"""Share of the source's vertices that must have a match in the end."""


def transfer_points(
    source: HeadModel,
    triangles: Integer[Array, " L"],
    barycentric: Float[Array, "L 3"],
    target: HeadModel,
) -> tuple[Int64[Array, " L"], Float64[Array, "L 3"]]:
    """Return triangles and barycentric weights on the target of points of the source.

    Args:
        source: a head model with an identity basis.
        triangles: faces of the source that hold the points.
        barycentric: the points' weights.
        target: another head model, of any topology.

    Raises:
        InputError: the target has no eyeball, or its surface is not that of a face.
    """
    out_triangles = np.zeros(len(triangles), dtype=np.int64)
    out_weights = np.zeros((len(triangles), 3))
    bones = _bones(source)[triangles]
    for bone in EYES:
        own = bones == bone
        corners = source.template[source.faces[triangles[own]]].astype(np.float64)
        points = np.einsum("lk,lkc->lc", barycentric[own], corners)
        if own.any():
            out_triangles[own], out_weights[own] = _transfer_iris(source, points, target, bone)
    skin = ~np.isin(bones, EYES)
    if skin.any():
        deformation = _Deformation(source, triangles[skin], barycentric[skin].astype(np.float64))
        out_triangles[skin], out_weights[skin] = _transfer_skin(deformation, source, target)
    return out_triangles, out_weights


def similarity(
    points: Float64[Array, "N 3"], onto: Float64[Array, "N 3"]
) -> tuple[float, Float64[Array, "3 3"], Float64[Array, "3"]]:
    """Return the scale, rotation and translation that best map points onto others (Umeyama 1991).

    The image of a point x is scale * rotation @ x + translation.
    """
    middle = points.mean(axis=0)
    target = onto.mean(axis=0)
    left, size, right = np.linalg.svd((onto - target).T @ (points - middle))
    sign = np.array([1.0, 1.0, np.sign(np.linalg.det(left @ right))])
    rotation = (left * sign) @ right
    scale = float((size * sign).sum() / np.square(points - middle).sum())
    return scale, rotation, target - scale * rotation @ middle


def _bones(head: HeadModel) -> Int64[Array, " F"]:
    """The bone that each triangle follows most."""
    return np.asarray(head.weights[head.faces].mean(axis=1).argmax(axis=1), dtype=np.int64)


def _open_mouth(head: HeadModel) -> Float64[Array, "V 3"]:
    """Vertices of the head with its mouth open."""
    pose = np.zeros(POSE_SIZE, dtype=np.float32)
    pose[JAW.start] = JAW_OPENING
    return head.vertices(np.zeros(EXPRESSION_SIZE, dtype=np.float32), pose).astype(np.float64)


def _joints(head: HeadModel) -> Float64[Array, "5 3"]:
    return np.asarray(head.joint_regressor @ head.template, dtype=np.float64)


# Irises


def _transfer_iris(
    source: HeadModel, points: Float64[Array, "L 3"], target: HeadModel, bone: int
) -> tuple[Int64[Array, " L"], Float64[Array, "L 3"]]:
    """Points of an eyeball at the same distances from its axis, in the scale of the eyes."""
    own = np.flatnonzero(_bones(target) == bone)
    if not len(own):
        raise InputError(f"the head model has no eyeball: no triangle follows its bone {bone}")
    start, end = _joints(source), _joints(target)
    left, right = EYES
    scale = np.linalg.norm(end[left] - end[right]) / np.linalg.norm(start[left] - start[right])
    vertices = target.template.astype(np.float64)
    outward = vertices[np.unique(target.faces[own])] - end[bone]
    squared_radius = np.median(np.square(outward).sum(axis=1))
    offset = scale * (points - start[bone])
    across = np.square(offset[:, :2]).sum(axis=1)
    offset[:, 2] = np.sqrt(np.maximum(squared_radius - across, 0.0))
    triangles, weights = NearestPoint(vertices, target.faces[own])(end[bone] + offset)
    return own[triangles], weights


# Skin


class _Deformation:
    """The source's face around landmarks, with its mouth open, and its deformation."""

    def __init__(
        self, source: HeadModel, triangles: Integer[Array, " L"], weights: Float64[Array, "L 3"]
    ) -> None:
        self._corners = source.faces[triangles]
        self._weights = weights
        self._faces = source.faces
        self._rest = _open_mouth(source)
        self.full = self._rest.copy()
        self.own = self._near(source)
        self._basis = source.shape_basis[self.own, :, :IDENTITY_SIZE].astype(np.float64)
        jaw = source.weights[:, [JAW_BONE]].astype(np.float64)
        place = np.concatenate([self._rest, LIP_DISTANCE * jaw], axis=1)[self.own]
        control = place[_spread_out(place, min(CONTROL_POINTS, len(place)))]
        self._smooth = _covariance(place, control)
        self._prior = _prior(_covariance(control, control), self._basis.shape[2])

    @property
    def vertices(self) -> Float64[Array, "N 3"]:
        """The deformed vertices."""
        return self.full[self.own]

    @property
    def points(self) -> Float64[Array, "L 3"]:
        """The landmarks on the deformed face."""
        return np.asarray(np.einsum("lk,lkc->lc", self._weights, self.full[self._corners]))

    def normals(self) -> tuple[Float64[Array, "N 3"], Float64[Array, "L 3"]]:
        """Return the normals of the deformed face at its vertices and at the landmarks."""
        normals = vertex_normals(self.full, self._faces)
        at_points = np.einsum("lk,lkc->lc", self._weights, normals[self._corners])
        lengths = np.maximum(np.linalg.norm(at_points, axis=1, keepdims=True), 1e-30)
        return normals[self.own], at_points / lengths

    def fit(
        self,
        goal: Float64[Array, "N 3"],
        normals: Float64[Array, "N 3"],
        matched: Bool[Array, " N"],
        noise: float,
    ) -> None:
        """Deform the face to goals: least squares of the distances and of the prior's terms.

        Args:
            goal: points of the target.
            normals: at these points.
            matched: which of them count.
            noise: standard deviation of the distances along the normals.
        """
        basis = self._basis[matched]
        smooth = self._smooth[matched]
        normal = normals[matched]
        offset = (goal - self._rest[self.own])[matched]
        count = smooth.shape[1]
        size = basis.shape[2]
        across = [np.einsum("ncs,nc->ns", basis, normal)]
        across += [smooth * normal[:, [axis]] for axis in range(3)]
        along_normal = np.concatenate(across, axis=1)
        matrix = along_normal.T @ along_normal
        vector = along_normal.T @ (offset * normal).sum(axis=1)
        share = TANGENTIAL**2
        for axis in range(3):
            rows = np.concatenate([basis[:, axis], smooth], axis=1)
            block = slice(size + axis * count, size + (axis + 1) * count)
            index = np.r_[0:size, block]
            matrix[np.ix_(index, index)] += share * rows.T @ rows
            vector[index] += share * rows.T @ offset[:, axis]
        solution = np.linalg.solve(matrix + noise**2 * self._prior, vector)
        moved = self._basis @ solution[:size]
        moved += self._smooth @ solution[size:].reshape(3, count).T
        self.full[self.own] = self._rest[self.own] + moved

    def _near(self, source: HeadModel) -> Int64[Array, " N"]:
        """Vertices of the skin that are near a landmark, or corners of its triangle."""
        points = np.einsum("lk,lkc->lc", self._weights, self._rest[self._corners])
        squares = np.square(self._rest[:, None] - points).sum(axis=2).min(axis=1)
        near = squares < REACH**2
        near &= ~np.isin(source.weights.argmax(axis=1), EYES)
        near[self._corners] = True
        return np.flatnonzero(near)


def _transfer_skin(
    deformation: _Deformation, source: HeadModel, target: HeadModel
) -> tuple[Int64[Array, " L"], Float64[Array, "L 3"]]:
    """Points of the target's skin nearest to the landmarks of the deformed source."""
    scale, rotation, shift = similarity(_joints(target)[JAW_BONE:], _joints(source)[JAW_BONE:])
    placed = scale * _open_mouth(target) @ rotation.T + shift
    own = _skin_near(target, placed, deformation.points)
    matched = np.zeros(0, dtype=bool)
    for step, noise in enumerate(np.geomspace(*NOISE, ITERATIONS)):
        surface = NearestPoint(placed, target.faces[own], NORMAL_WEIGHT)
        goal, normals, matched = _matches(deformation, surface, noise)
        if matched.mean() < MIN_MATCHED:
            break
        if step < RIGID_ITERATIONS:
            scale, rotation, shift = similarity(goal[matched], deformation.vertices[matched])
            placed = scale * placed @ rotation.T + shift
            goal = scale * goal @ rotation.T + shift
            normals = normals @ rotation.T
        deformation.fit(goal, normals, matched, noise)
    if matched.mean() < MIN_MATCHED:
        raise InputError(
            f"landmarks cannot be transferred to this head model: only {matched.mean():.0%} of the "
            "face have a counterpart on its surface; expected a head in FLAME's pose and joints"
        )
    surface = NearestPoint(placed, target.faces[own], NORMAL_WEIGHT)
    triangles, weights = surface(deformation.points, deformation.normals()[1])
    return own[triangles], weights


def _matches(
    deformation: _Deformation, surface: NearestPoint, noise: float
) -> tuple[Float64[Array, "N 3"], Float64[Array, "N 3"], Bool[Array, " N"]]:
    """Nearest points of the target, normals there, and which of them are reliable."""
    vertices = deformation.vertices
    own_normals, _ = deformation.normals()
    triangles, weights = surface(vertices, own_normals)
    goal = surface.at(surface.vertices, triangles, weights)
    normals = surface.at(surface.normals, triangles, weights)
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-30)
    on_rim = (weights * surface.boundary[surface.faces[triangles]]).sum(axis=1) > 0.99
    distance = np.linalg.norm(goal - vertices, axis=1)
    reliable = (distance < max(CLOSE, MAX_DISTANCE * noise)) & ~on_rim
    reliable &= (normals * own_normals).sum(axis=1) > MIN_COSINE
    return goal, normals, reliable


def _skin_near(
    target: HeadModel, placed: Float64[Array, "V 3"], points: Float64[Array, "L 3"]
) -> Int64[Array, " F"]:
    """Triangles of the target's skin in the box around the landmarks."""
    low, high = points.min(axis=0) - MARGIN, points.max(axis=0) + MARGIN
    inside = ((placed > low) & (placed < high)).all(axis=1)
    return np.flatnonzero(inside[target.faces].all(axis=1) & ~np.isin(_bones(target), EYES))


def _spread_out(places: Float64[Array, "N D"], count: int) -> Int64[Array, " K"]:
    """Indices of places far from each other: each next is the farthest from those before it."""
    chosen = [0]
    distance = np.linalg.norm(places - places[0], axis=1)
    for _ in range(count - 1):
        chosen.append(int(distance.argmax()))
        distance = np.minimum(distance, np.linalg.norm(places - places[chosen[-1]], axis=1))
    return np.array(chosen, dtype=np.int64)


def _covariance(
    first: Float64[Array, "N D"], second: Float64[Array, "K D"]
) -> Float64[Array, "N K"]:
    squares = np.square(first[:, None] - second).sum(axis=2)
    return np.asarray(
        sum(deviation**2 * np.exp(-squares / (2 * width**2)) for width, deviation in COVARIANCE)
    )


def _prior(covariance: Float64[Array, "K K"], identity: int) -> Float64[Array, "M M"]:
    """Quadratic form of the coefficients' prior: of the basis, then of each axis."""
    count = len(covariance)
    prior = np.eye(identity + 3 * count)
    for axis in range(3):
        block = slice(identity + axis * count, identity + (axis + 1) * count)
        prior[block, block] = covariance + 1e-9 * np.eye(count)
    return prior
