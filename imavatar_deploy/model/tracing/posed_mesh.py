"""PosedMesh: the canonical surface as it stands in one frame, drawn: a first guess of what each pixel sees."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from imavatar_deploy.camera import Camera
from imavatar_deploy.model.forward import ForwardVariant
from imavatar_deploy.model.frame import Frame, View
from imavatar_deploy.rendering.workers import Workers

from .canonical_surface import CanonicalSurface

NOWHERE = 0.0
"""Nearness (1 / distance along the camera's axis) of a pixel that shows nothing."""


class Guess(NamedTuple):
    """What N pixels show of the mesh."""

    canonical: Tensor  # [N, 3]
    deformed: Tensor  # [N, 3]
    shown: Tensor  # [N] bool: the pixel shows the mesh; the rest means nothing where it does not


class PosedMesh:
    """`surface` as `model` poses it in `frame`, drawn into the whole image of `view`."""

    def __init__(
        self, surface: CanonicalSurface, model: ForwardVariant, frame: Frame, view: View, workers: Workers
    ) -> None:
        device = view.directions.device
        self._canonical, self._deformed = surface.vertices, surface.posed(model, frame)
        rasteriser = surface.rasteriser(view.size, workers)
        fragments = rasteriser.draw(self._deformed.cpu().numpy(), _camera(view).image_matrix(*view.size))
        self._width, self._height = view.size
        triangle = torch.from_numpy(fragments.triangle).to(device).reshape(-1).long()
        self._shown = triangle >= 0
        self._corners = surface.faces[triangle.clamp(min=0)]  # [H W, 3]
        self._shares = torch.from_numpy(fragments.barycentrics).to(device).reshape(-1, 3)
        self._nearness = self._seen_nearness(view)

    def _seen_nearness(self, view: View) -> Tensor:
        """[H, W] 1 / distance along the camera's axis."""
        axis = torch.from_numpy(view.camera.world_to_camera[2, :3]).to(self._deformed)
        depth = (self._deformed - view.origin.detach()) @ -axis
        nearness = (self._shares / depth[self._corners]).sum(dim=1)
        return torch.where(self._shown, nearness, NOWHERE).reshape(self._height, self._width)

    def at(self, pixels: Tensor) -> Guess:
        """What pixels see, by number `[N]` row by row."""
        corners, shares = self._corners[pixels], self._shares[pixels, :, None]
        canonical, deformed = ((each[corners] * shares).sum(dim=1) for each in (self._canonical, self._deformed))
        return Guess(canonical, deformed, self._shown[pixels])

    def outline_near(self, pixels: Tensor, radius: int, jump: float) -> tuple[Tensor, Tensor]:
        """The pixel `[N]` that shows the nearest surface within `radius` of each, and whether that one is elsewhere.

        Elsewhere `[N]`: nearer to the camera than what the pixel itself shows by `jump` (model units), or the pixel
        shows nothing.
        """
        nearness, index = torch.nn.functional.max_pool2d(
            self._nearness[None, None], 2 * radius + 1, stride=1, padding=radius, return_indices=True
        )
        front, own = nearness.reshape(-1)[pixels], self._nearness.reshape(-1)[pixels]
        # 1 / own > 1 / front + jump, free of divisions by NOWHERE
        elsewhere = (front > NOWHERE) & (front > own * (1.0 + jump * front))
        return index.reshape(-1)[pixels], elsewhere

    def number(self, pixels: Tensor) -> Tensor:
        """[N] number, row by row, of pixels `[N, 2]` given by column and row."""
        return pixels[:, 1].long() * self._width + pixels[:, 0].long()

    def nearest_outline(self, pixels: Tensor) -> Tensor | None:
        """[N] the pixel of the mesh's outline next to each pixel; None when the image shows nothing of the mesh."""
        shown = self._shown.reshape(1, 1, self._height, self._width).float()
        # A pixel of the outline shows the mesh and has one beside it that does not; so has the border of the image.
        inside = -torch.nn.functional.max_pool2d(-torch.nn.functional.pad(shown, (1, 1, 1, 1)), 3, stride=1)
        outline = ((shown - inside) > 0.0).reshape(-1).nonzero()[:, 0]
        if not len(outline):
            return None
        found = [
            torch.cdist(self._place(some), self._place(outline)).argmin(dim=1) for some in torch.split(pixels, 2048)
        ]
        return outline[torch.cat(found)]

    def _place(self, pixels: Tensor) -> Tensor:
        return torch.stack([pixels % self._width, pixels // self._width], dim=1).float()


def _camera(view: View) -> Camera:
    """The view's camera, standing where the rays start: training moves it."""
    rotation = view.camera.world_to_camera[:, :3]
    translation = -rotation @ view.origin.detach().cpu().numpy()
    return replace(view.camera, world_to_camera=np.column_stack([rotation, translation]))
