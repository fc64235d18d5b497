"""Golden cases: what they allow normals, and that only rounding earns more."""

from __future__ import annotations

import numpy as np

from imavatar_deploy.exporters.fidelity.golden_cases import TOLERANCE, _nudged
from imavatar_deploy.fidelity.golden import read_golden
from imavatar_deploy.model.surface.mesh import Mesh

from ..shapes import closed_sphere
from .conftest import Exported


def turned(mesh: Mesh) -> float:
    return float(np.abs(_nudged(mesh).vertex_normals() - mesh.vertex_normals()).max())


def test_rounding_turns_normals_only_where_faces_cancel() -> None:
    sphere = Mesh(*closed_sphere(12, 16))
    edge = np.array(
        [[0, 0, 0], [0.01, 0, 0], [0.005, 0.01, 2e-5], [0.005, 0.01, -2e-5]], dtype=np.float32
    )
    plate = Mesh(edge, np.array([[0, 1, 2], [1, 0, 3]], dtype=np.int32))
    assert turned(sphere) < 1e-5
    assert turned(plate) > 1e-3


def test_a_sound_avatar_is_held_to_the_usual_tolerance(exported: Exported) -> None:
    tolerances = read_golden(exported.folder)["animate"].tolerances
    assert tolerances["normals"] == tolerances["vertices"] == TOLERANCE
