"""Checks of datasets in the published layout."""

from imavatar_deploy.dataset.face_dataset import FaceDataset, FrameObservation

from .check import check, inspect
from .findings import Finding

__all__ = ["FaceDataset", "Finding", "FrameObservation", "check", "inspect"]
