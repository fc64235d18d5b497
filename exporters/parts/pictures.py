"""Pictures of the open mouth, and the edges of the lips that their labels show.

The networks learn the lips from pictures, and their edges on the canonical surface differ from
those of the head model by some millimetres. Where labels are known, every pixel of the mouth votes
for the point of the surface that it shows, and the surface is opened where most votes say that it
is not lips but the inside of the mouth.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from imavatar_deploy.arrays import Array, Float32, Float64, Int64, UInt8
from imavatar_deploy.avatar import Avatar
from imavatar_deploy.conventions import JAW
from imavatar_deploy.dataset import FaceDataset
from imavatar_deploy.dataset.labels import LABELS
from imavatar_deploy.optional import require
from imavatar_deploy.progress import Progress, silent
from imavatar_deploy.rendering.cpu_renderer import SurfacePoser
from imavatar_deploy.rendering.rasteriser import Rasteriser
from imavatar_deploy.rendering.workers import Workers

from ..refine.held_out import split_frames
from ..refine.raster_frames import Shots
from .opening import COLUMNS, DEGREE, Opening

OPEN_FRAMES = 40
"""Frames with the widest jaw that are read."""

CLOSED_FRAMES = 8
"""Frames with the smallest jaw that are read, too, so that no teeth show in closed lips."""

MIN_JAW = 0.05
"""Angle of the jaw from which a mouth counts as open, radians."""

MIN_FRAMES = 8
"""Smallest number of frames with an open mouth from which anything is learned."""

CELL = 0.0014
"""Side of a cell in which votes are counted, model units (0.35 mm)."""

BLUR = 1.5
"""Standard deviation of the blur of the votes, cells."""

MIN_VOTES = 1.0
"""Votes a cell must have after the blur."""

MARGIN = 0.03
"""Distance around the outline of the head model within which votes are counted, model units."""

MIN_WIDTH = 0.5
"""Smallest width of a labelled mouth, as a share of that of the head model."""

NO_OPEN_MOUTH = (
    f"fewer than {MIN_FRAMES} frames of the refinement show an open mouth: its inside keeps its "
    "usual place and colours"
)


@dataclass(frozen=True)
class MouthPictures:
    """T frames, most of them with an open mouth."""

    shots: Shots
    label: UInt8[Array, "T S S"] | None
    """Label ids, see `labels.LABELS`; None where the dataset has none."""

    @classmethod
    def load(cls, dataset: FaceDataset, progress: Progress = silent) -> MouthPictures | None:
        """Decode the frames with the widest and the smallest jaw that a refinement is fitted to.

        Returns:
            The pictures; None where hardly any frame shows an open mouth.

        Raises:
            InputError: a picture cannot be read.
        """
        fitted, _ = split_frames(len(dataset), dataset.size)
        rows = mouth_rows(dataset.track.pose, fitted)
        if not len(rows):
            return None
        shots = Shots.load(dataset, rows, progress)
        if not dataset.semantic_known:
            return cls(shots, None)
        labels = [dataset.observation(row).semantic for row in rows.tolist()]
        return cls(shots, np.stack([label for label in labels if label is not None]))

    def __len__(self) -> int:
        return len(self.shots)


def mouth_rows(pose: Float32[Array, "T 15"], rows: Int64[Array, " M"]) -> Int64[Array, " N"]:
    """Return the frames from which a mouth is learned, empty where too few show it open.

    Args:
        pose: of all frames.
        rows: the frames to choose from.
    """
    jaw = pose[:, JAW.start]
    order = rows[np.argsort(-jaw[rows], kind="stable")]
    widest = order[:OPEN_FRAMES][jaw[order[:OPEN_FRAMES]] > MIN_JAW]
    if len(widest) < MIN_FRAMES:
        return np.zeros(0, dtype=np.int64)
    smallest = np.setdiff1d(order[-CLOSED_FRAMES:], widest)
    return np.sort(np.concatenate([widest, smallest])).astype(np.int64)


def labelled_outline(shape: Avatar, pictures: MouthPictures, usual: Opening) -> Opening | None:
    """Return the outline of the mouth that the labels of pictures show.

    Args:
        shape: the avatar of the closed skin; its colours are not used.
        pictures: frames with labels.
        usual: the outline of the head model.

    Returns:
        The outline in canonical space; None where there are no labels, or where they show no mouth
        in the place of the head model's.
    """
    if pictures.label is None:
        return None
    ndimage = require("scipy.ndimage", extra="export")
    points, inside = _votes(shape, pictures, usual)
    low = np.array([usual.x[0], usual.lower.min()]) - MARGIN
    high = np.array([usual.x[-1], usual.upper.max()]) + MARGIN
    cells = np.floor((points[:, :2] - low) / CELL).astype(np.int64)
    columns, rows = np.ceil((high - low) / CELL).astype(np.int64)
    near = ((cells >= 0) & (cells < [columns, rows])).all(axis=1)
    index = cells[near, 1] * columns + cells[near, 0]
    mouth, votes = (
        ndimage.gaussian_filter(
            np.bincount(index, weights=weight, minlength=rows * columns)
            .reshape(rows, columns)
            .astype(np.float64),
            BLUR,
            mode="constant",
        )
        for weight in (inside[near].astype(np.float64), None)
    )
    pieces, count = ndimage.label((mouth > 0.5 * votes) & (votes > MIN_VOTES))
    if not count:
        return None
    largest = pieces == 1 + np.argmax(np.bincount(pieces.ravel())[1:])
    across = np.flatnonzero(largest.any(axis=0))
    if len(across) * CELL < MIN_WIDTH * (usual.x[-1] - usual.x[0]):
        return None
    bottom = largest[:, across].argmax(axis=0)
    top = rows - largest[::-1, across].argmax(axis=0)
    x = low[0] + CELL * (across + 0.5)
    return _through(x, low[1] + CELL * bottom, low[1] + CELL * top, usual.behind)


def _through(
    x: Float64[Array, " N"],
    lower: Float64[Array, " N"],
    upper: Float64[Array, " N"],
    behind: float,
) -> Opening:
    """A smooth outline through measured edges, which meet in the middle of both ends."""
    corners = (lower[[0, -1]] + upper[[0, -1]]) / 2.0
    share = 0.5 - 0.5 * np.cos(np.linspace(0.0, np.pi, COLUMNS))
    places = x[0] + share * (x[-1] - x[0])
    line = np.interp(places, x[[0, -1]], corners)
    taper = np.maximum(1.0 - (2.0 * share - 1.0) ** 4, 1e-3)
    edges = []
    for edge in (upper, lower):
        height = (np.interp(places, x, edge) - line) / taper
        fit = np.polynomial.Polynomial.fit(places, height, DEGREE, w=taper)
        edges.append(line + taper * fit(places))
    return Opening(places, np.maximum(*edges), np.minimum(*edges), behind)


def _votes(
    shape: Avatar, pictures: MouthPictures, usual: Opening
) -> tuple[Float32[Array, "N 3"], Array]:
    """Canonical points that the pixels around the mouth show, and whether each is the inside."""
    assert pictures.label is not None
    shots = pictures.shots
    canonical = np.ascontiguousarray(shape.canonical.T)
    points, inside = [], []
    with Workers() as workers:
        poser = SurfacePoser(shape, workers)
        rasteriser = Rasteriser(shape.faces, shots.size, shots.size, workers)
        for t in range(len(shots)):
            posed = poser.pose(shots.expression[t], shots.pose[t])
            fragments = rasteriser.draw(posed.vertices, shots.image_matrix[t])
            drawn = fragments.triangle >= 0
            corners = canonical[shape.faces[fragments.triangle[drawn]]]
            shown = np.einsum("nk,nkc->nc", fragments.barycentrics[drawn], corners)
            front = shown[:, 2] > usual.behind
            points.append(shown[front])
            inside.append(pictures.label[t][drawn][front] == LABELS.index("mouth interior"))
    return np.concatenate(points), np.concatenate(inside)
