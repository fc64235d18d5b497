"""Inputs: what drives each training frame (pose, camera, expression, latent code), improved while training."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from imavatar_deploy.camera import Camera
from imavatar_deploy.model.frame import Frame
from imavatar_deploy.tracks import FlameTrack

from .settings import InputSettings, Terms


class FrameParameters(nn.Module):
    """One row per training frame of everything that drives the avatar; those rows that `settings` names are trained.

    Args:
        track: what the tracker found, with cameras.
        latent: length of the per-frame codes, 0 for none; where there are some they are trained.
        seed: of the codes' initial values, uniform in 0..1 as published.
    """

    def __init__(
        self, track: FlameTrack, settings: InputSettings, latent: int = 0, seed: int = 0
    ) -> None:
        super().__init__()
        codes = np.random.default_rng((seed, 1)).uniform(size=(len(track), latent))
        centres = np.stack([camera.centre for camera in track.cameras])
        self.pose = _rows(track.pose, settings.pose)
        self.expression = _rows(track.expression, settings.expression)
        self.camera = _rows(centres, settings.camera)
        self.latent = _rows(codes, latent > 0)
        for name, value in (
            ("pose", track.pose),
            ("expression", track.expression),
            ("camera", centres),
        ):
            self.register_buffer(f"tracked_{name}", _tensor(value), persistent=False)

    def forward(self, frame: int) -> tuple[Frame, Tensor]:
        """What drives a frame, and `[3]` where its camera stands."""
        latent = self.latent[frame] if self.latent.shape[1] else None
        return Frame(self.expression[frame], self.pose[frame], latent), self.camera[frame]

    def drift(self, frame: int) -> Terms:
        """Squared deviation of a frame's trained rows from the tracked ones (supplementary, 1.2)."""
        names = [
            name for name in ("expression", "pose", "camera") if getattr(self, name).requires_grad
        ]
        return {
            f"{name}_drift": (
                getattr(self, name)[frame] - self.get_buffer(f"tracked_{name}")[frame]
            )
            .square()
            .sum()
            for name in names
        }

    def placed(self, camera: Camera, frame: int) -> Camera:
        """The frame's camera where it stands by now."""
        rotation = camera.world_to_camera[:, :3]
        centre = self.camera[frame].detach().cpu().numpy()
        return Camera(np.column_stack([rotation, -rotation @ centre]), camera.intrinsics)

    def trained(self) -> list[nn.Parameter]:
        """The rows that are trained."""
        return [parameter for parameter in self.parameters() if parameter.requires_grad]


def only_seen_rows(parameters: list[nn.Parameter]) -> None:
    """Make gradients sparse: the rows of frames that a step has not seen keep their momentum to themselves."""
    for parameter in parameters:
        if parameter.grad is not None and not parameter.grad.is_sparse:
            parameter.grad = parameter.grad.to_sparse(1)


def _rows(values: NDArray[np.floating], trained: bool) -> nn.Parameter:
    return nn.Parameter(_tensor(values), requires_grad=trained)


def _tensor(values: NDArray[np.floating]) -> Tensor:
    return torch.from_numpy(np.array(values, dtype=np.float32))
