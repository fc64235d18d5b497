"""`Disc`: a dataset without files, small enough to train on in a test, and settings for it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from imavatar_deploy.camera import Camera
from imavatar_deploy.consent import Consent
from imavatar_deploy.head_model import HeadModel
from imavatar_deploy.model.sizes import NetworkSizes
from imavatar_deploy.tracks import FlameTrack
from imavatar_deploy.training.dataset import FrameObservation
from imavatar_deploy.training.settings import (
    OptimiserSettings,
    Schedule,
    TracerSettings,
    TrainSettings,
)

SIZE = 24
FRAMES = 5
SETTINGS = TrainSettings(
    networks=NetworkSizes(
        geometry_layers=(48,) * 3,
        geometry_skip=(2,),
        geometry_frequencies=2,
        feature=8,
        deformation_layers=(16, 16),
        texture_layers=(16, 16),
        texture_frequencies=1,
        bottleneck=4,
    ),
    warm_start=False,
    optimiser=OptimiserSettings(learning_rate=2e-3, matrix_rate=2e-3, input_rate=1e-3, clip=1.0),
    schedule=Schedule(
        steps=7, pixels=96, validation_steps=0, validation_frames=1, validation_size=SIZE
    ),
    tracer=TracerSettings(refresh_steps=3, resolution=64),
)


@dataclass
class Disc:
    """A green disc in front of a moving camera, with the interface of `FaceDataset`."""

    head: HeadModel
    mask_radius: float = 7.0
    count: int = FRAMES
    size: int = SIZE
    consent: Consent | None = None

    def __post_init__(self) -> None:
        rng = np.random.default_rng(0)
        cameras = tuple(Camera.looking_at(rng.normal(0, 0.02, 3)) for _ in range(self.count))
        pose = rng.normal(0, 0.05, (self.count, 15))
        self.track = FlameTrack(
            rng.uniform(0, 0.3, (self.count, 50)), pose, cameras, edition="openhead"
        )

    def __len__(self) -> int:
        return self.count

    def observation(self, index: int) -> FrameObservation:
        row, column = np.mgrid[: self.size, : self.size] - self.size / 2
        mask = row**2 + column**2 < self.mask_radius**2
        image = np.where(mask[..., None], np.array([0.2, 0.7, 0.3]), 1.0).astype(np.float32)
        semantic = np.where(mask, 1, 0).astype(np.uint8)
        return FrameObservation(str(index), "disc", image, mask, semantic, None, None, None, None)
