"""Parts of a surface far from the head model go; what is near, or a mesh that is far as a whole, stays."""

from __future__ import annotations

import numpy as np

from imavatar_deploy.exporters.stray_parts import without_strays
from imavatar_deploy.head_model import HeadModel
from imavatar_deploy.model.surface.mesh import Mesh

from ..shapes import closed_sphere


def ball(centre: tuple[float, float, float], size: float) -> Mesh:
    vertices, faces = closed_sphere(6, 8)
    return Mesh((size * vertices + np.array(centre)).astype(np.float32), faces)


def joined(*parts: Mesh) -> Mesh:
    starts = np.cumsum([0, *(len(part.vertices) for part in parts)])
    faces = [part.faces + start for part, start in zip(parts, starts, strict=False)]
    return Mesh(np.concatenate([part.vertices for part in parts]), np.concatenate(faces))


def test_specks_in_the_air_go_and_glasses_stay() -> None:
    head = HeadModel.load("openhead")
    face, glasses, speck = ball((0.0, 0.0, 0.0), 0.4), ball((0.1, 0.05, 0.47), 0.03), ball((0.0, -1.2, 0.0), 0.05)
    kept = without_strays(joined(face, glasses, speck), head)
    np.testing.assert_array_equal(kept.vertices, joined(face, glasses).vertices)
    assert len(without_strays(speck, head).faces) == len(speck.faces)
