"""Datasets in the published layout: frames of ground truth, decoded on demand, and their checks."""

from .check import check, inspect
from .face_dataset import FaceDataset, FrameObservation
from .findings import Finding

__all__ = ["FaceDataset", "Finding", "FrameObservation", "check", "inspect"]
