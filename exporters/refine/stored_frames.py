"""The held-out frames that an avatar folder keeps, in the size of its fidelity report."""

from __future__ import annotations

import cv2
import numpy as np

from imavatar_deploy.avatar import Avatar
from imavatar_deploy.fidelity.held_out_frames import HeldOutFrames
from imavatar_deploy.fidelity.reference_frames import MASK
from imavatar_deploy.fidelity.reference_frames import MOUTH as MOUTH_BIT
from imavatar_deploy.progress import Progress

from .raster_frames import MOUTH, FaceRegions, RasterFrames, Shots, resized_matrix

STORED = 8
"""Number of held-out frames in an avatar folder; 0.15 MB of 96 x 96 pixels."""

OPAQUE = 0.5
"""Share of a reduced pixel that the mask must cover."""


def stored_frames(
    avatar: Avatar, shots: Shots, regions: FaceRegions, size: int, progress: Progress
) -> HeldOutFrames:
    """Reduce some of the held-out frames.

    Args:
        avatar: the baked avatar, which locates the mouth.
        shots: the held-out frames.
        regions: the mouth region.
        size: side of the reduced pictures, pixels.
        progress: shows how far the work is.
    """
    rows = np.unique(np.linspace(0, len(shots) - 1, min(STORED, len(shots))).astype(np.int64))
    small = _reduced(shots.select(rows), size)
    frames = RasterFrames.draw(avatar, small, regions, progress)
    bits = MASK * small.mask.astype(np.uint8)
    for t, of_frame in enumerate(bits):
        pixels = frames.rows(t)
        mouth = frames.place[pixels[(frames.region[pixels] & MOUTH) > 0]]
        of_frame.reshape(-1)[mouth] |= MOUTH_BIT
    return HeldOutFrames(small.expression, small.pose, small.image_matrix, small.image, bits)


def _reduced(shots: Shots, size: int) -> Shots:
    """Shrink pictures and masks to `size` pixels; colours are means over the mask's pixels."""
    scale = size / shots.size
    images = np.full((len(shots), size, size, 3), 255, dtype=np.uint8)
    masks = np.zeros((len(shots), size, size), dtype=np.bool_)
    for t in range(len(shots)):
        weight = shots.mask[t].astype(np.float32)
        total = cv2.resize(
            shots.image[t] * weight[..., None], (size, size), interpolation=cv2.INTER_AREA
        )
        cover = cv2.resize(weight, (size, size), interpolation=cv2.INTER_AREA)
        masks[t] = cover > OPAQUE
        colours = total / np.maximum(cover, 1e-6)[..., None]
        images[t][masks[t]] = np.rint(colours[masks[t]])
    scaled = shots.image_matrix.copy()
    scaled[:, :2] *= np.float32(scale)
    return Shots(shots.expression, shots.pose, resized_matrix(scaled, scale), images, masks)
