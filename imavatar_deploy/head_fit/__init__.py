"""Fitting a head model to the landmarks of images, on numpy alone.

`landmark_points` tells where on a head model's surface each landmark of the face lies.
"""

from __future__ import annotations

from .correspondences import LANDMARKS, LandmarkPoints, landmark_points, landmark_points_68

__all__ = ["LANDMARKS", "LandmarkPoints", "landmark_points", "landmark_points_68"]
