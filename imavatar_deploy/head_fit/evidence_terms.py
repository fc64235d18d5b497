"""Terms of a sequence's energy beside landmarks: the shoulders' motion, the person's outline."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from imavatar_deploy.arrays import Array, Float64, Int64
from imavatar_deploy.head_model import HeadModel

from .block_tridiagonal import NormalEquations
from .evidence import HEAD, Silhouettes, TorsoMotion
from .landmark_model import EXPRESSION, POSE, TRANSLATION, LandmarkModel
from .sequence_problem import SequenceState, accumulate, chunks, projected
from .terms import ImagePlane, huber, huber_weight

TORSO_POINTS = 6
"""Points of the root bone whose motion is compared with the measured one."""

OUTLINE_POINTS = 240
"""Points of the head model that are compared with the outline."""

OUTSIDE_WEIGHT = 0.05
"""Factor on distances of the model's rim that lie inside the outline of the head: hair is there.
Points of the model outside of the outline have the factor 1."""

RIM = 0.35
"""Largest cosine between normal and line of sight of a point on the model's rim."""

REACH = 0.12
"""Largest distance between a rim point and an outline point that are compared, in units."""


@dataclass(eq=False)
class TorsoTerm:
    """Points of the root bone move in the picture as the shoulders' measured rigid motion says.

    Where the points lie in the reference frame is unknown, and shared by all frames.
    """

    model: LandmarkModel
    plane: ImagePlane
    unit: float
    motion: TorsoMotion
    weight: float

    @classmethod
    def of(
        cls,
        head: HeadModel,
        plane: ImagePlane,
        unit: float,
        motion: TorsoMotion,
        weight: float,
        shape: Float64[Array, " S"] | None,
    ) -> TorsoTerm:
        """Choose points of the root bone, and fix their shape where it is given."""
        model = LandmarkModel.of_vertices(head, _torso_vertices(head))
        model = model if shape is None else model.with_shape(shape)
        return cls(model, plane, unit, motion, weight)

    def prepared(self, state: SequenceState) -> SequenceState:
        """Return the state with the points' mean positions in the reference frame."""
        back = self.motion.matrices().transpose(0, 2, 1)
        offset = self._pixels(state) - self.motion.shift[:, None] - self.motion.anchor
        positions = np.einsum("tij,tnj->tni", back, offset) + self.motion.anchor
        weight = self.motion.weight.astype(np.float64)[:, None, None]
        mean = (positions * weight).sum(axis=0) / max(float(weight.sum()), 1e-9)
        return SequenceState(state.frames, state.shape, mean)

    def update(self, state: SequenceState) -> None:
        """Nothing stays fixed during a step."""

    def energy(self, state: SequenceState) -> float:
        """Return the term's energy."""
        offset = self._pixels(state) - self.motion.moved(state.torso)
        distance = np.linalg.norm(offset, axis=-1) / self.unit
        return float((self._factors() * huber(distance)).sum())

    def add_to(self, equations: NormalEquations, state: SequenceState) -> None:
        """Add the term's gradient and Hessian, in place."""
        size = len(state.shape)
        count = len(state.torso)
        targets = self.motion.moved(state.torso)
        matrices = self.motion.matrices()
        for part in chunks(len(state.frames)):
            pixels, by_frame, by_shape = projected(self.model, self.plane, state, part)
            offset = (pixels - targets[part]) / self.unit
            weight = self._factors()[part] * huber_weight(np.linalg.norm(offset, axis=-1))
            by_shared = np.zeros((*offset.shape, size + 2 * count))
            by_shared[..., :size] = by_shape
            for point in range(count):
                columns = slice(size + 2 * point, size + 2 * point + 2)
                by_shared[:, point, :, columns] = -matrices[part]
            accumulate(equations, part, offset, weight, by_frame / self.unit, by_shared / self.unit)

    def _factors(self) -> Float64[Array, "T 1"]:
        return self.weight * self.motion.weight.astype(np.float64)[:, None] / len(self.model)

    def _pixels(self, state: SequenceState) -> Float64[Array, "T N 2"]:
        return _pixels(self.model, self.plane, state, slice(None))


@dataclass(eq=False)
class SilhouetteTerm:
    """The head model lies inside the person's outline, and its rim near it.

    Every step pairs points of the model with the nearest points of the outline and measures the
    distance along the outline's normal: all points that are outside, and those of the model's rim
    that are inside. Hair lies outside the head, so that the latter count little for the head.
    """

    model: LandmarkModel
    plane: ImagePlane
    unit: float
    silhouettes: Silhouettes
    weight: float
    pairs: tuple[_Pairs, ...] = field(default=())

    @classmethod
    def of(
        cls,
        head: HeadModel,
        plane: ImagePlane,
        unit: float,
        silhouettes: Silhouettes,
        weight: float,
        shape: Float64[Array, " S"] | None,
    ) -> SilhouetteTerm:
        """Choose points of the head model, and fix their shape where it is given."""
        model = LandmarkModel.of_vertices(head, _outer_vertices(head))
        model = model if shape is None else model.with_shape(shape)
        return cls(model, plane, unit, silhouettes, weight)

    def prepared(self, state: SequenceState) -> SequenceState:
        """Return the state; the term adds no unknowns."""
        return state

    def update(self, state: SequenceState) -> None:
        """Pair the model's points with the outline's."""
        self.pairs = tuple(self._paired(state, frame) for frame in range(len(state.frames)))

    def energy(self, state: SequenceState) -> float:
        """Return the term's energy, with the pairs of the last update."""
        total = 0.0
        for frame, pairs in enumerate(self.pairs):
            if len(pairs.points):
                model = self.model.subset(pairs.points)
                pixels = _pixels(model, self.plane, state, slice(frame, frame + 1))[0]
                total += float((pairs.weights * huber(np.abs(pairs.distances(pixels)))).sum())
        return total

    def add_to(self, equations: NormalEquations, state: SequenceState) -> None:
        """Add the term's gradient and Hessian, in place."""
        for frame, pairs in enumerate(self.pairs):
            if not len(pairs.points):
                continue
            part = slice(frame, frame + 1)
            model = self.model.subset(pairs.points)
            pixels, by_frame, by_shape = projected(model, self.plane, state, part)
            distance = pairs.distances(pixels[0])
            weight = pairs.weights * huber_weight(np.abs(distance))
            along = pairs.normals[None, :, None] / self.unit
            accumulate(
                equations,
                part,
                distance[None, :, None],
                weight[None],
                along @ by_frame,
                along @ by_shape,
            )

    def _paired(self, state: SequenceState, frame: int) -> _Pairs:
        contour = self.silhouettes.contours[frame].astype(np.float64)
        share = self.weight * float(self.silhouettes.weight[frame])
        if not len(contour) or share <= 0:
            return _Pairs.none(self.unit)
        part = slice(frame, frame + 1)
        pixels = _pixels(self.model, self.plane, state, part)[0]
        square = (pixels[:, None] - contour[None]) ** 2
        nearest = square.sum(axis=-1).argmin(axis=1)
        pairs = _Pairs(
            np.arange(len(pixels)),
            contour[nearest],
            self.silhouettes.normals[frame][nearest].astype(np.float64),
            np.ones(len(pixels)),
            self.unit,
        )
        distance = pairs.distances(pixels)
        apart = np.linalg.norm(pixels - contour[nearest], axis=1) / self.unit
        # The nearest point of an outline is in the direction of its normal, apart from its ends.
        facing = np.abs(distance) > 0.7 * apart
        normals = self.model.posed_normals(state.frames[part, POSE])[0]
        points = self.model.template + state.frames[frame, TRANSLATION]
        if len(state.shape):
            points = points + self.model.shape_basis @ state.shape
        cosine = np.abs(np.einsum("li,li->l", normals, points)) / np.linalg.norm(points, axis=1)
        hair = self.silhouettes.labels[frame][nearest] == HEAD
        inside = np.where(hair, OUTSIDE_WEIGHT, 1.0) * (cosine < RIM)
        weights = np.where(distance > 0, 1.0, inside) * facing * (apart < REACH)
        used = np.nonzero(weights > 0)[0]
        return pairs.of(used, weights[used] * share / len(pixels))


@dataclass(frozen=True, eq=False)
class _Pairs:
    """Points of the model, and the nearest ones of the outline with their normals."""

    points: Int64[Array, " n"]
    targets: Float64[Array, "n 2"]
    normals: Float64[Array, "n 2"]
    weights: Float64[Array, " n"]
    unit: float

    @classmethod
    def none(cls, unit: float) -> _Pairs:
        return cls(
            np.zeros(0, dtype=np.int64), np.zeros((0, 2)), np.zeros((0, 2)), np.zeros(0), unit
        )

    def of(self, used: Int64[Array, " m"], weights: Float64[Array, " m"]) -> _Pairs:
        return _Pairs(self.points[used], self.targets[used], self.normals[used], weights, self.unit)

    def distances(self, pixels: Float64[Array, "n 2"]) -> Float64[Array, " n"]:
        """Return signed distances along the normals, in units; positive is outside."""
        return np.asarray(((pixels - self.targets) * self.normals).sum(axis=1) / self.unit)


def _pixels(
    model: LandmarkModel, plane: ImagePlane, state: SequenceState, part: slice
) -> Float64[Array, "T N 2"]:
    frames = state.frames[part]
    points = model.posed(frames[:, EXPRESSION], frames[:, POSE], state.shape).points
    return plane.project(points + frames[:, None, TRANSLATION])


def _torso_vertices(head: HeadModel) -> Int64[Array, " n"]:
    """Return vertices of the root bone that face the camera, far from each other."""
    root = np.nonzero(head.weights[:, 0] > 0.99)[0]
    if not len(root):
        root = np.argsort(-head.weights[:, 0])[:TORSO_POINTS]
    front = root[LandmarkModel.of_vertices(head, root).normals[:, 2] > 0.2]
    return _far_apart(head, front if len(front) >= TORSO_POINTS else root, TORSO_POINTS)


def _outer_vertices(head: HeadModel) -> Int64[Array, " n"]:
    """Return vertices of the skin, far from each other."""
    skin = np.arange(len(head.template))
    if head.vertex_groups:
        skin = np.nonzero(np.array(head.vertex_groups) == "body")[0]
    eyes = head.weights[skin, 3:].sum(axis=1) > 0.5
    return _far_apart(head, skin[~eyes], OUTLINE_POINTS)


def _far_apart(head: HeadModel, vertices: Any, count: int) -> Int64[Array, " n"]:
    """Return `count` of the vertices by farthest-point sampling."""
    places = head.template[vertices].astype(np.float64)
    chosen = [int(np.abs(places[:, 0]).argmax())]
    nearest = np.linalg.norm(places - places[chosen[0]], axis=1)
    while len(chosen) < min(count, len(vertices)):
        chosen.append(int(nearest.argmax()))
        nearest = np.minimum(nearest, np.linalg.norm(places - places[chosen[-1]], axis=1))
    return np.asarray(vertices[chosen], dtype=np.int64)
