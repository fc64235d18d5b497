"""The surface of any variant as it is in one frame: a mesh for each expression, which every baseline can give."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from imavatar_deploy.model.forward_avatar import ForwardVariant
from imavatar_deploy.model.frame import Frame
from imavatar_deploy.model.head_avatar import Variant
from imavatar_deploy.progress import Progress, silent

from .extract import extract
from .field import Field, chunks
from .mesh import Mesh


def posed_surface(
    model: Variant, frame: Frame, *, resolution: int = 128, progress: Progress = silent
) -> Mesh:
    """The deformed surface of `model` in `frame`, model units.

    A forward variant's canonical surface is extracted (with the frame's geometry code) and its vertices deformed: it
    keeps lips apart that touch. A backward variant's field is extracted where it is asked, in deformed space.

    Args:
        frame: on the model's device.
        resolution: cells a side of the cube around the bounding sphere, one of `extract.RESOLUTIONS`.
        progress: told of the points that are asked at each level.

    Raises:
        UsageError: the resolution is unknown.
        InputError: there is no surface.
    """
    field = Field(_signed_distance(model, frame), device=frame.expression.device)
    mesh = extract(field, resolution=resolution, progress=progress)
    return _deformed(model, mesh, frame) if isinstance(model, ForwardVariant) else mesh


def _signed_distance(model: Variant, frame: Frame) -> Callable[[Tensor], Tensor]:
    """Canonical for a forward variant, deformed for a backward one."""
    if isinstance(model, ForwardVariant):
        code = model.geometry_code(frame)
        return lambda points: model.geometry(points, code).sdf
    return lambda points: model.search(points, frame).sdf


@torch.no_grad()
def _deformed(model: ForwardVariant, canonical: Mesh, frame: Frame) -> Mesh:
    vertices = torch.from_numpy(canonical.vertices).to(frame.expression.device)
    moved = [
        model.deform(vertices[part], frame.expression, frame.pose) for part in chunks(len(vertices))
    ]
    return Mesh(torch.cat(moved).cpu().numpy(), canonical.faces)
