"""The rotated square around a face: its rules and its map to a crop."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from imavatar_deploy.arrays import Array, Float

EYE_CORNERS = (33, 263)
"""Landmarks whose line gives the roll: the outer corners of the right and of the left eye."""
MARGIN = 1.5
"""Side of a region divided by the size of the face, as in MediaPipe's graphs: the face may move
between two frames of a video."""


@dataclass(frozen=True, eq=False)
class FaceRegion:
    """A rotated square around a face.

    Attributes:
        centre: column and row.
        side: in pixels.
        angle: roll in radians, from the image's rows to the line from the right to the left eye;
            positive where the left eye is lower.
    """

    centre: Float[Array, "2"]
    side: float
    angle: float

    @classmethod
    def of_landmarks(cls, landmarks: Float[Array, "L _"]) -> FaceRegion:
        """Return the region in which to look for a face whose landmarks are known.

        The rule is that of MediaPipe's face_landmarks_detector_graph.cc: the rectangle around all
        landmarks, its longer side times 1.5, the roll from the outer corners of the eyes. The
        rectangle is that along the roll here, and that along the image's axes there, which are the
        same for an upright face; a rolled one keeps its size in the crop.
        """
        points = np.asarray(landmarks[:, :2], np.float64)
        right, left = points[list(EYE_CORNERS)]
        angle = float(np.arctan2(left[1] - right[1], left[0] - right[0]))
        turned = points @ rotation(angle)
        low, high = turned.min(axis=0), turned.max(axis=0)
        centre = rotation(angle) @ ((low + high) / 2)
        return cls(centre, MARGIN * float((high - low).max()), angle)

    def matrix(self, size: int) -> Float[Array, "2 3"]:
        """Return the affine map from pixels of a crop of `size` pixels to pixels of the image."""
        turn = rotation(self.angle) * (self.side / size)
        return np.hstack([turn, (self.centre - turn @ np.full(2, (size - 1) / 2))[:, None]])

    def corners(self) -> Float[Array, "4 2"]:
        """Return the corners, clockwise from the top left of the upright face."""
        unit = np.array([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]])
        return self.centre + self.side * unit @ rotation(self.angle).T


def rotation(angle: float) -> Float[Array, "2 2"]:
    """Return the rotation of (column, row), clockwise as the image is seen."""
    cosine, sine = np.cos(angle), np.sin(angle)
    return np.array([[cosine, -sine], [sine, cosine]])
