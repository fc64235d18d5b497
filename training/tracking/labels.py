"""Labels of every pixel without a parsing network: the ids of the published data.

Brows, eyes, nose, lips and mouth are polygons of landmarks. All else is skin, hair or clothes, by
the colours of the video and by where a pixel lies on the fitted head. The colours are learnt from
places that are sure: skin inside the face, hair above the forehead, clothes below the neck.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from imavatar_deploy.arrays import Array, Bool, Float32, UInt8
from imavatar_deploy.dataset.labels import LABELS
from imavatar_deploy.head_fit.landmark_groups import (
    LEFT_BROW,
    LEFT_EYE,
    LIPS_INNER,
    LIPS_OUTER,
    RIGHT_BROW,
    RIGHT_EYE,
)

from .head_regions import CLOTHES, FACE, LEFT_EAR, NECK, NOTHING, RIGHT_EAR, SCALP, DrawnHead
from .quality import face_height, face_mask, oval

NOSE_OUTLINE = (
    168,
    122,
    196,
    236,
    198,
    209,
    129,
    64,
    98,
    97,
    2,
    326,
    327,
    294,
    358,
    429,
    420,
    456,
    419,
    351,
)
"""Bridge, the right side down to the wing, the underside, and back on the left."""

HALF = 10
"""Corners of the mouth in `LIPS_OUTER` and `LIPS_INNER`: at 0 and at HALF."""

IBUG_PARTS: dict[str, Sequence[int]] = {
    "nose": (27, 31, 32, 33, 34, 35),
    "right brow": range(17, 22),
    "left brow": range(22, 27),
    "right eye": range(36, 42),
    "left eye": range(42, 48),
    "upper lip": (48, 49, 50, 51, 52, 53, 54, 64, 63, 62, 61, 60),
    "lower lip": (54, 55, 56, 57, 58, 59, 48, 60, 67, 66, 65, 64),
    "mouth interior": range(60, 68),
}
"""Polygons of the 68 landmarks."""

PARTS: dict[str, Sequence[int]] = {
    "nose": NOSE_OUTLINE,
    "right brow": RIGHT_BROW,
    "left brow": LEFT_BROW,
    "right eye": RIGHT_EYE,
    "left eye": LEFT_EYE,
    "upper lip": (*LIPS_OUTER[HALF:], LIPS_OUTER[0], LIPS_INNER[0], *LIPS_INNER[: HALF - 1 : -1]),
    "lower lip": (*LIPS_OUTER[: HALF + 1], *LIPS_INNER[HALF::-1]),
    "mouth interior": LIPS_INNER,
}
"""Polygons of the 478 landmarks, drawn in this order."""

BINS = 24
"""Bins of a colour histogram along each axis of Lab."""

LAB_SMOOTHING = 1.2
"""Standard deviation in bins by which histograms are smoothed."""

SKIN, HAIR, CLOTH = range(3)

PRIORS: dict[str, tuple[float, float, float]] = {
    "face": (1.0, 0.0, 0.0),
    "forehead": (0.75, 0.25, 0.0),
    "side of the face": (0.6, 0.38, 0.02),
    "jaw": (0.94, 0.05, 0.01),
    "scalp": (0.15, 0.85, 0.0),
    "ear": (0.55, 0.45, 0.0),
    "neck": (0.85, 0.06, 0.09),
    "clothes": (0.06, 0.14, 0.8),
    "beside the head": (0.01, 0.98, 0.01),
    "below the chin": (0.03, 0.47, 0.5),
    "shoulders": (0.02, 0.13, 0.85),
}
"""Probabilities of skin, hair and clothes by place, before colours are looked at."""

SMOOTH = 5
"""Side of the window over which the evidence of pixels is averaged, at 512 pixels."""

ALIKE = 0.25
"""Share of the pixels of hair or clothes that are not skin-coloured, below which skin cannot be
told from them by colour; above the face there is then no hair."""

SHOULDER_RISE = 0.35
"""Height above the chin, in heights of the face, that shoulders and collars reach. Hair that does
not begin above it is clothes: a black shirt below black hair has the colour of hair."""

LOOSE_HAIR = 0.02
"""Smallest share of all hair in one piece below the chin that is hair and not a shadow."""


def polygons(points: Float32[Array, "L D"]) -> dict[str, Float32[Array, "_ 2"]]:
    """Polygons of the parts of a face, in the order in which they are drawn."""
    parts = PARTS if len(points) > 68 else IBUG_PARTS
    return {name: points[list(indices), :2] for name, indices in parts.items()}


# Colours


@dataclass(frozen=True, eq=False)
class ColourModel:
    """Probability of every colour in skin, hair and clothes of one video."""

    log_likelihood: Float32[Array, "3 B B B"]
    has_hair: bool
    """Whether the hair differs from the skin."""

    def evidence(self, image: UInt8[Array, "S S 3"]) -> Float32[Array, "3 S S"]:
        """Log-likelihood of every pixel's colour."""
        a, b, c = _bins(image)
        return self.log_likelihood[:, a, b, c]


def _bins(image: UInt8[Array, "S S 3"]) -> tuple[Array, Array, Array]:
    lab = cv2.cvtColor(image, cv2.COLOR_RGB2LAB).astype(np.int32)
    lightness = lab[..., 0] * BINS // 256
    # The chroma of skin, hair and most clothes is within 64 of the middle.
    chroma = ((lab[..., 1:] - 64) * BINS // 128).clip(0, BINS - 1)
    return lightness, chroma[..., 0], chroma[..., 1]


class ColourCounter:
    """Counts the colours of places that are sure, over some frames of a video."""

    def __init__(self) -> None:
        self._counts = np.zeros((3, BINS, BINS, BINS), dtype=np.float64)

    def add(
        self,
        image: UInt8[Array, "S S 3"],
        mask: Bool[Array, "S S"],
        points: Float32[Array, "L D"],
        head: DrawnHead,
    ) -> None:
        """Count the sure places of one frame."""
        bins = _bins(image)
        for index, seeds in enumerate(_seeds(mask, points, head)):
            if seeds.any():
                np.add.at(self._counts[index], tuple(axis[seeds] for axis in bins), 1.0)

    def model(self) -> ColourModel:
        """Return the colour model."""
        smooth = np.stack([_smoothed(counts) for counts in self._counts])
        total = smooth.reshape(3, -1).sum(axis=1)
        uniform = 1.0 / BINS**3
        probability = np.where(
            total[:, None, None, None] > 0,
            smooth / np.maximum(total, 1.0)[:, None, None, None],
            uniform,
        )
        # Above a high forehead and in a wide collar there is skin, too: colours that skin has more
        # often are not those of hair and clothes.
        own = {}
        for kind in (HAIR, CLOTH):
            rest = np.where(probability[SKIN] > probability[kind], 0.0, probability[kind])
            own[kind] = float(rest.sum()) if total[kind] > 0 else 0.0
            if own[kind] > ALIKE:
                probability[kind] = rest / own[kind]
        likelihood = np.log(0.98 * probability + 0.02 * uniform).astype(np.float32)
        return ColourModel(likelihood, own[HAIR] > ALIKE)


def _smoothed(counts: Array) -> Array:
    radius = 3
    kernel = np.exp(-0.5 * (np.arange(-radius, radius + 1) / LAB_SMOOTHING) ** 2)
    kernel /= kernel.sum()
    for axis in range(3):
        counts = np.apply_along_axis(np.convolve, axis, counts, kernel, mode="same")
    return counts


def _seeds(
    mask: Bool[Array, "S S"], points: Float32[Array, "L D"], head: DrawnHead
) -> list[Bool[Array, "S S"]]:
    """Sure places of skin, hair and clothes."""
    size = len(mask)
    face = face_height(points)
    skin = _eroded(face_mask(points, size, size), 0.06 * face)
    for polygon in polygons(points).values():
        cv2.fillPoly(skin, [np.round(polygon).astype(np.int32)], 0)
    brow_row, chin_row = _rows(points)
    rows = np.arange(size)[:, None]
    skin = (skin > 0) & mask & (rows > brow_row)
    inner = _eroded(mask, 0.02 * face) > 0
    outline = oval(points)
    middle = outline[:, 0].mean()
    columns = np.arange(size)[None]
    above = rows < outline[:, 1].min() - 0.06 * face
    hair = inner & above & (np.abs(columns - middle) < 0.45 * face) & (head.regions != FACE)
    cloth = inner & (head.regions == CLOTHES) & (rows > chin_row + 0.3 * face)
    return [skin, hair, cloth]


def _eroded(mask: Bool[Array, "S S"], radius: float) -> UInt8[Array, "S S"]:
    side = 2 * max(1, round(radius)) + 1
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    return np.asarray(cv2.erode(mask.astype(np.uint8), kernel, borderValue=1))


def _rows(points: Float32[Array, "L D"]) -> tuple[float, float]:
    """Rows of the brows and of the chin."""
    parts = polygons(points)
    brows = np.concatenate([parts["left brow"], parts["right brow"]])
    return float(brows[:, 1].min()), float(oval(points)[:, 1].max())


# Labels


def label_image(
    image: UInt8[Array, "S S 3"],
    mask: Bool[Array, "S S"],
    points: Float32[Array, "L D"],
    head: DrawnHead,
    colours: ColourModel,
) -> UInt8[Array, "S S"]:
    """Label every pixel of a frame.

    Args:
        image: the picture.
        mask: pixels that show the person.
        points: landmarks, pixels.
        head: the fitted head in this frame.
        colours: colours of the video.
    """
    size = len(mask)
    places = _places(points, head)
    table = np.array(list(PRIORS.values()), dtype=np.float32)
    if not colours.has_hair:
        table = table * np.array([1.0, 0.02, 1.0], dtype=np.float32) + 1e-6
    score = np.log(table.T + 1e-6)[:, places] + colours.evidence(image)
    window = max(1, round(SMOOTH * size / 512)) | 1
    score = np.stack([cv2.blur(channel, (window, window)) for channel in score])
    kind = score.argmax(axis=0)
    kind[places == _place("face")] = SKIN
    shadow = _loose_hair(
        (kind == HAIR) & mask, _rows(points)[1] - SHOULDER_RISE * face_height(points)
    )
    kind[shadow] = np.where(score[SKIN] > score[CLOTH], SKIN, CLOTH)[shadow]
    return _assembled(kind, mask, points, head)


def _loose_hair(hair: Bool[Array, "S S"], highest_row: float) -> Bool[Array, "S S"]:
    """Pieces of hair that begin below a row, and small ones: clothes and shadows of the collar."""
    _, pieces, stats, _ = cv2.connectedComponentsWithStats(hair.astype(np.uint8))
    area = stats[:, cv2.CC_STAT_AREA]
    small = area < LOOSE_HAIR * max(int(hair.sum()), 1)
    low = stats[:, cv2.CC_STAT_TOP] > highest_row
    loose = small | low
    loose[0] = False
    return np.asarray(loose[pieces])


def _place(name: str) -> int:
    return list(PRIORS).index(name)


def _places(points: Float32[Array, "L D"], head: DrawnHead) -> UInt8[Array, "S S"]:
    """Index into `PRIORS` of every pixel."""
    size = len(head.regions)
    face = face_height(points)
    brow_row, chin_row = _rows(points)
    rows = np.arange(size)[:, None]
    columns = np.arange(size)[None]
    beside = head.regions == NOTHING
    middle = oval(points)[:, 0].mean()
    aside = np.abs(columns - middle) - 0.45 * face
    places = np.full((size, size), _place("beside the head"), dtype=np.uint8)
    places[beside & (rows > chin_row)] = _place("below the chin")
    low = rows - chin_row > 0.55 * face - 0.25 * aside
    outward = (aside > 0.3 * face) & (rows > chin_row - 0.3 * face)
    places[beside & (low | outward)] = _place("shoulders")
    for region, name in (
        (FACE, "side of the face"),
        (SCALP, "scalp"),
        (LEFT_EAR, "ear"),
        (RIGHT_EAR, "ear"),
        (NECK, "neck"),
        (CLOTHES, "clothes"),
    ):
        places[head.regions == region] = _place(name)
    mouth_row = polygons(points)["upper lip"][:, 1].min()
    places[(head.regions == FACE) & (rows > mouth_row)] = _place("jaw")
    inside = face_mask(points, size, size)
    places[inside & (rows <= brow_row)] = _place("forehead")
    places[inside & (rows > brow_row)] = _place("face")
    return places


def _assembled(
    kind: Array, mask: Bool[Array, "S S"], points: Float32[Array, "L D"], head: DrawnHead
) -> UInt8[Array, "S S"]:
    size = len(mask)
    labels = np.full((size, size), LABELS.index("skin"), dtype=np.uint8)
    inside = face_mask(points, size, size)
    _, chin_row = _rows(points)
    below = np.arange(size)[:, None] > chin_row - 0.1 * face_height(points)
    neck = (head.regions == NECK) | (head.regions == CLOTHES)
    neck |= (head.regions == NOTHING) & below
    labels[neck & ~inside] = LABELS.index("neck")
    labels[(head.regions == LEFT_EAR) & ~inside] = LABELS.index("left ear")
    labels[(head.regions == RIGHT_EAR) & ~inside] = LABELS.index("right ear")
    labels[kind == HAIR] = LABELS.index("hair")
    labels[kind == CLOTH] = LABELS.index("cloth")
    labels = np.asarray(cv2.medianBlur(labels, 5), dtype=np.uint8)
    for name, polygon in polygons(points).items():
        cv2.fillPoly(labels, [np.round(polygon).astype(np.int32)], LABELS.index(name))
    labels[~mask] = LABELS.index("background")
    return np.asarray(labels)
