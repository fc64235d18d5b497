"""Frame and RayBundle: the parameters of one frame, and pixels of its image as rays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from imavatar_deploy.camera import Camera


class Frame(NamedTuple):
    """Parameters that drive the avatar in one frame; training may optimise all of them."""

    expression: Tensor  # [E]
    pose: Tensor  # [15] axis-angle, radians
    latent: Tensor | None = None  # [L] code of the geometry network; None for the network's own


@dataclass(frozen=True)
class RayBundle:
    """Pixels of an image as rays `origin + t * directions` in model space."""

    camera: Camera
    size: tuple[int, int]
    """Width and height of the whole image."""
    pixels: Tensor
    """[N, 2] integer column and row."""
    origin: Tensor
    """[3] centre of the camera, model units; has a gradient where training optimises it."""
    directions: Tensor
    """[N, 3] unit vectors away from the camera, without gradients."""

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
        """Return the rays of `pixels`, by default those of the whole image row by row.

        Args:
            camera: intrinsics and pose.
            size: width and height of the whole image.
            pixels: `[N, 2]` integer column and row.
            centre: `[3]` replaces the centre of the camera, for instance by an optimised position;
                the rotation remains.
            device: device of the rays.
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
        local = torch.stack([(column - cx) / fx, (cy - row) / fy, -torch.ones_like(column)], dim=1)
        directions = local @ torch.from_numpy(camera.world_to_camera[:, :3]).to(device)
        origin = torch.from_numpy(camera.centre).to(device) if centre is None else centre
        return cls(camera, size, pixels, origin, torch.nn.functional.normalize(directions, dim=1))

    def __len__(self) -> int:
        return len(self.pixels)

    def select(self, which: Tensor) -> RayBundle:
        """Return the rays of some of the pixels, by mask `[N]` or indices."""
        return RayBundle(
            self.camera, self.size, self.pixels[which], self.origin, self.directions[which]
        )

    def at(self, distance: Tensor) -> Tensor:
        """Return the points `[N, 3]` at `distance` `[N]` along the rays."""
        return self.origin + distance[:, None] * self.directions
