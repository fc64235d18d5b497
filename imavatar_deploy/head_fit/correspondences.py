"""Landmark correspondences: the points of a head model's surface where face landmarks lie.

`landmark_points` has the 478 landmarks of MediaPipe's Face Landmarker, `landmark_points_68` the 68
of iBUG. Those of OpenHead are bundled; `tools/build_landmarks.py` measures them on renders.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from importlib.resources import as_file, files

import numpy as np

from imavatar_deploy.arrays import Array, Float, Float32, Int32, Integer, read_only
from imavatar_deploy.checks import as_float32, ensure_shape
from imavatar_deploy.conventions import EDITIONS
from imavatar_deploy.errors import InputError, unknown_name
from imavatar_deploy.head_model import OPENHEAD, HeadModel
from imavatar_deploy.untrusted.npz import read_npz

from .ibug_landmarks import IBUG_LANDMARKS, landmark_vertices
from .surface_transfer import transfer_points

LANDMARKS = 478
"""Landmarks of MediaPipe's Face Landmarker: 468 of the face, then five of each iris."""

SUM_TOLERANCE = 1e-4
"""Largest accepted difference from one of the sum of barycentric weights."""


@dataclass(frozen=True, eq=False)
class LandmarkPoints:
    """Points of a head model's surface, one for each landmark of an image.

    Raises:
        InputError: the arrays differ in length, an index is negative, weights do not sum to one, or
            a spread is negative.
        UsageError: there is no such edition.
    """

    triangles: Int32[Array, " L"]
    """Index into the faces of the head model."""
    barycentric: Float32[Array, "L 3"]
    """Weights of the triangle's corners; they sum to one."""
    edition: str
    """Edition of the head model whose faces the triangles are."""
    spread: Float32[Array, " L"] | None = None
    """Standard deviation of each point over faces and views, metres; `None` where it is unknown."""
    slides: Float32[Array, "K L 3"] | None = None
    """Displacements of the points at rest, model units, linear in the `pose_features`: a landmark
    slides along the surface when the head turns. `None` where they are unknown."""

    def __post_init__(self) -> None:
        if self.edition not in EDITIONS:
            raise unknown_name("head-model edition", self.edition, EDITIONS)
        ensure_shape("landmark triangles", self.triangles, ("L",))
        count = len(self.triangles)
        if self.triangles.min(initial=0) < 0:
            raise InputError("landmark triangles must be indices of faces, got a negative one")
        weights = as_float32("landmark barycentric weights", self.barycentric, (count, 3))
        if np.abs(weights.sum(axis=1) - 1.0).max(initial=0.0) > SUM_TOLERANCE:
            raise InputError("barycentric weights of a landmark must sum to one")
        if self.spread is not None:
            spread = as_float32("landmark spread", self.spread, (count,))
            if spread.min(initial=0.0) < 0:
                raise InputError("landmark spread must not be negative")
        if self.slides is not None:
            as_float32("landmark slides", self.slides, ("K", count, 3))

    def __len__(self) -> int:
        return len(self.triangles)

    def corners(self, faces: Integer[Array, "F 3"]) -> Int32[Array, "L 3"]:
        """Return the vertex indices of each landmark's triangle.

        Raises:
            InputError: there are fewer faces than the triangles need.
        """
        if self.triangles.max(initial=-1) >= len(faces):
            raise InputError(
                f"landmarks lie on triangle {int(self.triangles.max())}, and the head has only "
                f"{len(faces)} faces; use the landmarks of this head model ({self.edition} is "
                "that of these landmarks)"
            )
        return np.asarray(faces[self.triangles], dtype=np.int32)

    def interpolate(
        self, values: Float[Array, "V ..."], faces: Integer[Array, "F 3"]
    ) -> Float[Array, "L ..."]:
        """Interpolate values of the vertices at the landmarks, such as a blendshape basis.

        Raises:
            InputError: there are fewer faces than the triangles need.
        """
        return np.asarray(
            np.einsum("lk,lk...->l...", self.barycentric, values[self.corners(faces)]),
            dtype=values.dtype,
        )

    def positions(
        self, vertices: Float[Array, "V 3"], faces: Integer[Array, "F 3"]
    ) -> Float[Array, "L 3"]:
        """Return the positions of the landmarks on a posed or a resting head.

        Raises:
            InputError: there are fewer faces than the triangles need.
        """
        return self.interpolate(vertices, faces)


def landmark_points(head: HeadModel) -> LandmarkPoints:
    """Return the points of a head model where the 478 landmarks of a face lie.

    Args:
        head: a head model, with or without a subject's shape in its template.

    Those of OpenHead are measured. On another head model, such as a FLAME file, they are found in
    a few seconds by deforming OpenHead onto it (`surface_transfer`).

    Raises:
        InputError: the head has no eyeballs or is not a face.

    Example:
        >>> head = HeadModel.load("openhead")
        >>> landmark_points(head).positions(head.template, head.faces).shape
        (478, 3)
    """
    return _on(head, _openhead_points())


def landmark_points_68(head: HeadModel) -> LandmarkPoints:
    """Return the points of a head model where the 68 landmarks of the iBUG scheme lie.

    The order is 17 contour, 10 brows, 9 nose, 12 eyes, 20 mouth, the subject's right side first.

    Args:
        head: a head model, with or without a subject's shape in its template.

    Raises:
        InputError: the head has no eyeballs or is not a face.
    """
    openhead = HeadModel.load(OPENHEAD)
    vertices = landmark_vertices(openhead)[:IBUG_LANDMARKS]
    return _on(head, _points_of_vertices(openhead, vertices))


def _on(head: HeadModel, points: LandmarkPoints) -> LandmarkPoints:
    """Points of OpenHead on any head model."""
    if head.edition == OPENHEAD:
        return points
    key = _digest(head, points)
    if key not in _transferred:
        openhead = HeadModel.load(OPENHEAD)
        triangles, weights = transfer_points(openhead, points.triangles, points.barycentric, head)
        _transferred[key] = read_only(
            LandmarkPoints(
                triangles.astype(np.int32),
                weights.astype(np.float32),
                head.edition,
                points.spread,
                points.slides,
            )
        )
        while len(_transferred) > MAX_TRANSFERRED:
            _transferred.popitem(last=False)
    return _transferred[key]


MAX_TRANSFERRED = 8
"""Transfers that are kept for the next call: of both schemes, on a few heads."""

_transferred: OrderedDict[bytes, LandmarkPoints] = OrderedDict()


def _digest(head: HeadModel, points: LandmarkPoints) -> bytes:
    """SHA-256 of what a transfer depends on."""
    digest = sha256(head.edition.encode())
    for array in (
        *(head.template, head.faces, head.weights, head.joint_regressor, head.pose_basis),
        *(points.triangles, points.barycentric),
    ):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.digest()


@lru_cache(maxsize=1)
def _openhead_points() -> LandmarkPoints:
    with as_file(files("imavatar_deploy") / "assets" / "landmarks.npz") as path:
        stored = read_npz(path, ("triangles", "barycentric", "spread"))
    with as_file(files("imavatar_deploy") / "assets" / "landmark_slides.npz") as path:
        stored |= read_npz(path, ("slides",))
    return read_only(LandmarkPoints(**stored, edition="openhead"))


def _points_of_vertices(head: HeadModel, vertices: Integer[Array, " L"]) -> LandmarkPoints:
    """Points at vertices: the first triangle that has each as a corner."""
    triangles = np.array([np.argmax((head.faces == v).any(axis=1)) for v in vertices])
    weights = (head.faces[triangles] == vertices[:, None]).astype(np.float32)
    return LandmarkPoints(triangles.astype(np.int32), weights, head.edition)
