"""Datasets: videos in the published layout as frames of ground truth, decoded when asked for."""

from .face_dataset import FaceDataset
from .observation import Observation

__all__ = ["FaceDataset", "Observation"]
