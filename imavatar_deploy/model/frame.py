"""Frame and View: what drives an avatar in one image, and which pixels of that image are looked at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from imavatar_deploy.camera import Camera


class Frame(NamedTuple):
    """What drives the avatar; training may let gradients reach every part of it."""

    expression: Tensor  # [E]
    pose: Tensor  # [15] axis-angle, radians
    latent: Tensor | None = None  # [L] per-frame code of the geometry network; its own when None


@dataclass(frozen=True)
class RayBundle:
    """Some pixels of an image, as rays `origin + t directions` in model space."""

    camera: Camera
    size: tuple[int, int]
    """Width and height of the whole image."""
    pixels: Tensor
    """[N, 2] integer column and row."""
    origin: Tensor
    """[3] the camera's centre, model units; carries a gradient where training optimises it."""
    directions: Tensor
    """[N, 3] unit, pointing away from the camera; without gradient."""

    @classmethod
    def of(
        cls,
        camera: Camera,
        size: tuple[int, int],
        pixels: Tensor | None = None,
        *,
        centre: Tensor | None = None,
        device: torch.device | str = "cpu",
    ) -> RayBundle:
        """The rays of `pixels`, or of the whole image row by row.

        Args:
            centre: `[3]` where the camera stands instead, e.g. an optimised position; its rotation stays.
        """
        width, height = size
        if pixels is None:
            rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
            pixels = torch.stack([columns.reshape(-1), rows.reshape(-1)], dim=1)
        fx, fy, cx, cy = (
            camera.intrinsics * np.array([width, height, width, height], dtype=np.float32)
        ).tolist()
        pixels = pixels.to(device)
        column, row = pixels.to(torch.float32).unbind(dim=1)
        # Camera convention: column = cx - fx x / z, row = cy + fy y / z, and z = -1 in front.
        seen = torch.stack([(column - cx) / fx, (cy - row) / fy, -torch.ones_like(column)], dim=1)
        directions = seen @ torch.from_numpy(camera.world_to_camera[:, :3]).to(device)
        origin = torch.from_numpy(camera.centre).to(device) if centre is None else centre
        return cls(camera, size, pixels, origin, torch.nn.functional.normalize(directions, dim=1))

    def __len__(self) -> int:
        return len(self.pixels)

    def select(self, which: Tensor) -> RayBundle:
        """Only some of the pixels, by mask `[N]` or indices."""
        return RayBundle(
            self.camera, self.size, self.pixels[which], self.origin, self.directions[which]
        )

    def at(self, distance: Tensor) -> Tensor:
        """[N, 3] the points `distance` `[N]` along the rays."""
        return self.origin + distance[:, None] * self.directions
