"""Videos of a face in the published layout: pictures, masks, labels and the track of each frame."""

from .face_dataset import FaceDataset, FrameObservation

__all__ = ["FaceDataset", "FrameObservation"]
