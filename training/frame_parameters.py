"""Per-frame inputs of training: pose, camera, expression and latent code, optimised or fixed."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from imavatar_deploy.arrays import Array, Float
from imavatar_deploy.camera import Camera
from imavatar_deploy.model.frame import Frame
from imavatar_deploy.tracks import FlameTrack

from .settings import InputSettings, Terms


class FrameParameters(nn.Module):
    """Poses, expressions, camera centres and latent codes, one row a training frame.

    Args:
        track: tracked values, with cameras.
        settings: which of the tracked values are trained.
        latent: length of the latent codes, 0 for none; codes are always trained.
        seed: seed of the codes' initial values, uniform in 0..1 as published.
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
        tracked = {"pose": track.pose, "expression": track.expression, "camera": centres}
        for name, value in tracked.items():
            self.register_buffer(f"tracked_{name}", _tensor(value), persistent=False)

    def forward(self, frame: int) -> tuple[Frame, Tensor]:
        """The inputs of a frame, and its camera centre `[3]` in model units."""
        latent = self.latent[frame] if self.latent.shape[1] else None
        return Frame(self.expression[frame], self.pose[frame], latent), self.camera[frame]

    def drift(self, frame: int) -> Terms:
        """Squared deviation of a frame's trained rows from the tracked values (supp., 1.2)."""
        terms = {}
        for name in ("expression", "pose", "camera"):
            values: Tensor = getattr(self, name)
            if values.requires_grad:
                change = values[frame] - self.get_buffer(f"tracked_{name}")[frame]
                terms[f"{name}_drift"] = change.square().sum()
        return terms

    def optimised_camera(self, camera: Camera, frame: int) -> Camera:
        """The frame's camera, moved to its optimised centre."""
        rotation = camera.world_to_camera[:, :3]
        centre = self.camera[frame].detach().cpu().numpy()
        return Camera(np.column_stack([rotation, -rotation @ centre]), camera.intrinsics)

    def trainable_parameters(self) -> list[nn.Parameter]:
        """The parameters that require gradients."""
        return [parameter for parameter in self.parameters() if parameter.requires_grad]


def sparsify_gradients(parameters: list[nn.Parameter]) -> None:
    """Make gradients sparse, so that sparse Adam updates only the rows of the step's frames."""
    for parameter in parameters:
        if parameter.grad is not None and not parameter.grad.is_sparse:
            parameter.grad = parameter.grad.to_sparse(1)


def _rows(values: Float[Array, "T _"], trained: bool) -> nn.Parameter:
    return nn.Parameter(_tensor(values), requires_grad=trained)


def _tensor(values: Float[Array, "T _"]) -> Tensor:
    return torch.from_numpy(np.array(values, dtype=np.float32))
