"""PosedMesh: the canonical surface as it stands in one frame, drawn: a first guess of what each pixel sees."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from imavatar_deploy.camera import Camera
from imavatar_deploy.errors import InputError
from imavatar_deploy.model.deformation import Deformation
from imavatar_deploy.model.forward_avatar import ForwardAvatarModel
from imavatar_deploy.model.frame import Frame, RayBundle
from imavatar_deploy.model.implicit_avatar import ImplicitAvatar
from imavatar_deploy.model.surface.extract import PADDING
from imavatar_deploy.model.surface.field import Field
from imavatar_deploy.model.surface.lattice import marching_cubes, sample_near_surface
from imavatar_deploy.model.surface.mesh import Mesh, keep_components
from imavatar_deploy.progress import silent
from imavatar_deploy.rendering.rasteriser import Rasteriser
from imavatar_deploy.rendering.workers import Workers

# CanonicalSurface: the mesh a raster tracer starts from, with what the model says of its vertices.


COARSE = 32
"""Cells a side that are all looked at."""

THOROUGH = 64
"""Beyond, the surface is only followed: on the reference head, 83,000 points instead of 220,000 for the same mesh."""


def quick_mesh(field: Field, resolution: int) -> Mesh:
    """The visible part of the zero surface of `field`; `surface.extract` finds the same, with more care.

    Raises:
        InputError: the field has no surface.
    """
    half = PADDING * field.radius
    lattice = sample_near_surface(
        field, coarse=COARSE, fine=resolution, half=half, progress=silent, thorough=THOROUGH
    )
    if not len(lattice.cells):
        raise InputError(
            "the geometry network has no surface inside the bounding sphere; was it trained?"
        )
    return keep_components(marching_cubes(lattice))


class _Rested(NamedTuple):
    """Vertices at rest, and how they move: what posing needs of an avatar's network."""

    rest: Tensor  # [V, 3]
    deformation: Deformation


class CanonicalSurface:
    """A mesh on the zero level set of `model` in canonical space.

    Blendshapes, correctives and weights of the vertices are kept: posing is then one product and one skinning, an
    eighth of the time of asking the network (7 ms for 18,000 vertices on one core). They age with the network until the
    next refresh; so does the mesh, and both only give starts.
    """

    def __init__(self, mesh: Mesh, model: ForwardAvatarModel) -> None:
        self.vertices = torch.from_numpy(mesh.vertices).to(model.canonical_transforms)
        self.faces = torch.from_numpy(mesh.faces).to(self.vertices.device).long()
        self._mesh = mesh
        self._rested = _rested(model, self.vertices) if isinstance(model, ImplicitAvatar) else None
        self._rasterisers: dict[tuple[int, int], Rasteriser] = {}

    def posed(self, model: ForwardAvatarModel, frame: Frame) -> Tensor:
        """[V, 3] the vertices in `frame`."""
        if self._rested is not None and isinstance(model, ImplicitAvatar):
            return model.pose_rest(*self._rested, frame.expression, frame.pose)
        return model.forward_map(frame)(self.vertices)[0]

    def rasteriser(self, size: tuple[int, int], workers: Workers) -> Rasteriser:
        """What draws this mesh into images of `size` (width, height); one a size is kept."""
        if size not in self._rasterisers:
            self._rasterisers[size] = Rasteriser(self._mesh.faces, *size, workers)
        return self._rasterisers[size]


def _rested(avatar: ImplicitAvatar, vertices: Tensor) -> _Rested:
    deformation = avatar.deformation(vertices)
    return _Rested(avatar.rest(vertices, deformation), deformation)


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
        self,
        surface: CanonicalSurface,
        model: ForwardAvatarModel,
        frame: Frame,
        view: RayBundle,
        workers: Workers,
    ) -> None:
        device = view.directions.device
        self._canonical, self._deformed = surface.vertices, surface.posed(model, frame)
        rasteriser = surface.rasteriser(view.size, workers)
        fragments = rasteriser.draw(
            self._deformed.cpu().numpy(), _camera(view).image_matrix(*view.size)
        )
        self._width, self._height = view.size
        triangle = torch.from_numpy(fragments.triangle).to(device).reshape(-1).long()
        self._shown = triangle >= 0
        self._corners = surface.faces[triangle.clamp(min=0)]  # [H W, 3]
        self._shares = torch.from_numpy(fragments.barycentrics).to(device).reshape(-1, 3)
        self._nearness = self._seen_nearness(view)

    def _seen_nearness(self, view: RayBundle) -> Tensor:
        """[H, W] 1 / distance along the camera's axis."""
        axis = torch.from_numpy(view.camera.world_to_camera[2, :3]).to(self._deformed)
        depth = (self._deformed - view.origin.detach()) @ -axis
        nearness = (self._shares / depth[self._corners]).sum(dim=1)
        return torch.where(self._shown, nearness, NOWHERE).reshape(self._height, self._width)

    def at(self, pixels: Tensor) -> Guess:
        """What pixels see, by number `[N]` row by row."""
        corners, shares = self._corners[pixels], self._shares[pixels, :, None]
        canonical, deformed = (
            (each[corners] * shares).sum(dim=1) for each in (self._canonical, self._deformed)
        )
        return Guess(canonical, deformed, self._shown[pixels])

    def outline_near(self, pixels: Tensor, radius: int, jump: float) -> tuple[Tensor, Tensor]:
        """The pixel `[N]` that shows the nearest surface within `radius` of each, and whether that one is elsewhere.

        Elsewhere `[N]`: nearer to the camera than what the pixel itself shows by `jump` (model units), or the pixel
        shows nothing.
        """
        nearness, index = torch.nn.functional.max_pool2d(
            self._nearness[None, None],
            2 * radius + 1,
            stride=1,
            padding=radius,
            return_indices=True,
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
        inside = -torch.nn.functional.max_pool2d(
            -torch.nn.functional.pad(shown, (1, 1, 1, 1)), 3, stride=1
        )
        outline = ((shown - inside) > 0.0).reshape(-1).nonzero()[:, 0]
        if not len(outline):
            return None
        found = [
            torch.cdist(self._place(some), self._place(outline)).argmin(dim=1)
            for some in torch.split(pixels, 2048)
        ]
        return outline[torch.cat(found)]

    def _place(self, pixels: Tensor) -> Tensor:
        return torch.stack([pixels % self._width, pixels // self._width], dim=1).float()


def _camera(view: RayBundle) -> Camera:
    """The view's camera, standing where the rays start: training moves it."""
    rotation = view.camera.world_to_camera[:, :3]
    translation = -rotation @ view.origin.detach().cpu().numpy()
    return replace(view.camera, world_to_camera=np.column_stack([rotation, translation]))
