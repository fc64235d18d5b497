"""Datasets: videos in the published layout as frames of ground truth, decoded when asked for, and their checks."""

from .check import check, inspect
from .face_dataset import FaceDataset, FrameObservation
from .findings import Finding

__all__ = ["FaceDataset", "Finding", "FrameObservation", "check", "inspect"]
