"""FieldSurface: surface, normals and colours of any variant in any frame, from its networks.

Of a forward variant the canonical surface is extracted and its vertices are deformed; it is
extracted once if the geometry does not depend on the frame. Of a backward variant the surface is
extracted in deformed space for every frame.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from imavatar_deploy.arrays import Array, Float32
from imavatar_deploy.camera import Camera
from imavatar_deploy.conventions import BOUNDING_RADIUS
from imavatar_deploy.model import Frame, HeadAvatarModel, RayBundle
from imavatar_deploy.model.forward_avatar import ForwardAvatarModel
from imavatar_deploy.model.surface import Field, Mesh
from imavatar_deploy.model.surface.field import chunks
from imavatar_deploy.progress import Progress, silent

from ..bust import bounded_field
from ..mesh_cleanup import (
    Cleaned,
    HeadPoints,
    Part,
    canonical_points,
    extract_surface,
    polish,
    posed_points,
    simplify,
)
from ..seen_bounds import bust_bounds
from ..settings import ExportSettings


@dataclass(frozen=True)
class ColouredMesh:
    """A posed surface with normals and colours, model units."""

    mesh: Mesh
    normals: Float32[Array, "V 3"]  # unit, of the field
    colours: Float32[Array, "V 3"]  # in 0..1
    strays: tuple[Part, ...] = ()
    """Stray parts that are left out."""


class FieldSurface:
    """Extracts the surface of one model, frame by frame.

    Args:
        model: the avatar, of any variant.
        settings: resolution, face budget and treatment of stray parts.
        progress: shows how far the work is.
    """

    def __init__(
        self, model: HeadAvatarModel, settings: ExportSettings, progress: Progress = silent
    ) -> None:
        self._model = model
        self._settings = settings
        self._progress = progress
        self._canonical: Cleaned | None = None
        self._bounds = bust_bounds(model, settings, progress)

    def __call__(self, frame: Frame) -> ColouredMesh:
        """Return the surface in `frame`.

        Raises:
            InputError: the field has no surface.
        """
        if isinstance(self._model, ForwardAvatarModel):
            canonical = self._canonical_mesh(self._model, frame)
            points = torch.from_numpy(canonical.mesh.vertices)
            deformed = _deform(self._model, points, frame)
            mesh = Mesh(deformed.numpy(), canonical.mesh.faces)
            strays = canonical.strays
        else:
            # The signed distance of a backward variant depends on the deformed point alone.
            field = Field(lambda x: self._model.sdf_at(x, x, frame))
            head = posed_points(self._model.head, frame.expression.numpy(), frame.pose.numpy())
            cleaned = self._extract(field, head)
            mesh = cleaned.mesh
            strays = cleaned.strays
            deformed = torch.from_numpy(mesh.vertices)
            points = self._model.find_canonical(deformed, frame).canonical
        normals, colours = self._appearance(points, deformed, frame)
        return ColouredMesh(mesh, normals, colours, strays)

    def _canonical_mesh(self, model: ForwardAvatarModel, frame: Frame) -> Cleaned:
        code = model.geometry_code(frame)
        head = canonical_points(model.head)
        if code is not None:
            return self._extract(Field(lambda x: model.geometry(x, code).sdf), head)
        if self._canonical is None:
            self._canonical = self._extract(Field(lambda x: model.geometry(x, None).sdf), head)
        return self._canonical

    def _extract(self, field: Field, head: HeadPoints) -> Cleaned:
        """The polished and simplified surface of a field, and its stray parts.

        Args:
            field: the signed distance field.
            head: the head model in the field's space.
        """
        settings = self._settings
        field = bounded_field(field, self._bounds)
        cleaned = extract_surface(field, head, settings, self._progress)
        mesh, _ = polish(cleaned.mesh, field, progress=self._progress)
        return replace(cleaned, mesh=simplify(mesh, settings.faces) if settings.faces else mesh)

    @torch.no_grad()
    def _appearance(
        self, canonical: Tensor, deformed: Tensor, frame: Frame
    ) -> tuple[Float32[Array, "V 3"], Float32[Array, "V 3"]]:
        """Normals and colours at surface points `[V, 3]`, evaluated as for points that rays hit."""
        normals = torch.zeros_like(deformed)
        colours = torch.zeros_like(deformed)
        with self._progress("normals and colours", len(deformed)) as advance:
            for part in chunks(len(deformed)):
                points = self._model.attach_gradients(
                    canonical[part], deformed[part], _rays_through(deformed[part]), frame
                )
                normals[part] = points.normal
                colours[part] = self._model.colour(points, frame)
                advance(part.stop - part.start)
        return normals.numpy(), colours.numpy()


@torch.no_grad()
def _deform(model: ForwardAvatarModel, points: Tensor, frame: Frame) -> Tensor:
    return torch.cat(
        [model.deform(points[part], frame.expression, frame.pose) for part in chunks(len(points))]
    )


def _rays_through(points: Tensor) -> RayBundle:
    """One ray through each of the points `[N, 3]`, from a camera in front of the head."""
    camera = Camera.looking_at(np.zeros(3), distance=4 * BOUNDING_RADIUS)
    origin = torch.from_numpy(camera.centre)
    directions = torch.nn.functional.normalize(points - origin, dim=1)
    return RayBundle(
        camera, (1, 1), torch.zeros(len(points), 2, dtype=torch.long), origin, directions
    )
