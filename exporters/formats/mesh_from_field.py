"""FieldSurface: the surface of any variant in any frame, from the networks themselves: vertices, normals, colours.

A forward variant's canonical surface is extracted and its vertices deformed; where the geometry is the same in every
frame, once for all. A backward variant's field is extracted where it is asked, in deformed space, for every frame.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from imavatar_deploy.camera import Camera
from imavatar_deploy.conventions import BOUNDING_RADIUS
from imavatar_deploy.model import Frame, HeadAvatarModel, RayBundle
from imavatar_deploy.model.forward_avatar import ForwardAvatarModel
from imavatar_deploy.model.surface import Field, Mesh
from imavatar_deploy.model.surface.field import chunks
from imavatar_deploy.progress import Advance, Progress, silent

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
from ..settings import ExportSettings

Float = NDArray[np.float32]


@dataclass(frozen=True)
class ColouredMesh:
    """A posed surface, model units."""

    mesh: Mesh
    normals: Float  # [V, 3] unit, of the field
    colours: Float  # [V, 3] in 0..1
    strays: tuple[Part, ...] = ()
    """The loose pieces that were left out."""


class FieldSurface:
    """Makes the surface of one model, frame by frame."""

    def __init__(
        self, model: HeadAvatarModel, settings: ExportSettings, progress: Progress = silent
    ) -> None:
        self._model, self._settings, self._progress = model, settings, progress
        self._canonical: Cleaned | None = None

    def __call__(self, frame: Frame) -> ColouredMesh:
        """The surface in `frame`.

        Raises:
            InputError: there is no surface.
        """
        if isinstance(self._model, ForwardAvatarModel):
            canonical = self._canonical_mesh(self._model, frame)
            points = torch.from_numpy(canonical.mesh.vertices)
            deformed = _deformed(self._model, points, frame)
            mesh, strays = Mesh(deformed.numpy(), canonical.mesh.faces), canonical.strays
        else:
            # A backward variant's distance at a deformed point, which is all that this method asks for.
            field = Field(lambda x: self._model.sdf_at(x, x, frame))
            head = posed_points(self._model.head, frame.expression.numpy(), frame.pose.numpy())
            cleaned = self._extracted(field, head)
            mesh, strays = cleaned.mesh, cleaned.strays
            deformed = torch.from_numpy(mesh.vertices)
            points = self._model.find_canonical(deformed, frame).canonical
        return ColouredMesh(mesh, *self._looks(points, deformed, frame), strays)

    def _canonical_mesh(self, model: ForwardAvatarModel, frame: Frame) -> Cleaned:
        code, head = model.geometry_code(frame), canonical_points(model.head)
        if code is not None:
            return self._extracted(Field(lambda x: model.geometry(x, code).sdf), head)
        if self._canonical is None:
            self._canonical = self._extracted(Field(lambda x: model.geometry(x, None).sdf), head)
        return self._canonical

    def _extracted(self, field: Field, head: HeadPoints) -> Cleaned:
        """The surface of a field, polished and simplified, and what was left out of it.

        Args:
            head: the head model in the field's space.
        """
        settings = self._settings
        cleaned = extract_surface(field, head, settings, self._progress)
        mesh, _ = polish(cleaned.mesh, field, progress=self._progress)
        return replace(cleaned, mesh=simplify(mesh, settings.faces) if settings.faces else mesh)

    @torch.no_grad()
    def _looks(self, canonical: Tensor, deformed: Tensor, frame: Frame) -> tuple[Float, Float]:
        """Normals and colours of surface points `[V, 3]`, asked as a renderer asks for those that its rays hit."""
        normals, colours = torch.zeros_like(deformed), torch.zeros_like(deformed)
        with self._progress("normals and colours", len(deformed)) as advance:
            for part in chunks(len(deformed)):
                points = self._model.attach_gradients(
                    canonical[part], deformed[part], _towards(deformed[part]), frame
                )
                normals[part], colours[part] = points.normal, self._model.colour(points, frame)
                _tell(advance, part)
        return normals.numpy(), colours.numpy()


def _tell(advance: Advance, part: slice) -> None:
    advance(part.stop - part.start)


@torch.no_grad()
def _deformed(model: ForwardAvatarModel, points: Tensor, frame: Frame) -> Tensor:
    return torch.cat(
        [model.deform(points[part], frame.expression, frame.pose) for part in chunks(len(points))]
    )


def _towards(points: Tensor) -> RayBundle:
    """A view with one ray through each of the points `[N, 3]`, from in front of the head."""
    camera = Camera.looking_at(np.zeros(3), distance=4 * BOUNDING_RADIUS)
    origin = torch.from_numpy(camera.centre)
    directions = torch.nn.functional.normalize(points - origin, dim=1)
    return RayBundle(
        camera, (1, 1), torch.zeros(len(points), 2, dtype=torch.long), origin, directions
    )
