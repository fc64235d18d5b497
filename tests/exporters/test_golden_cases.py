"""Golden cases: the tolerance of normals, which grows only where rounding changes them."""

from __future__ import annotations

import numpy as np

from imavatar_deploy.exporters.fidelity.golden_cases import TOLERANCE, _with_rounding
from imavatar_deploy.fidelity.golden import read_golden
from imavatar_deploy.model.surface.mesh import Mesh

from ..shapes import closed_sphere
from .conftest import Exported


def normal_change(mesh: Mesh) -> float:
    return float(np.abs(_with_rounding(mesh).vertex_normals() - mesh.vertex_normals()).max())


def test_rounding_changes_normals_only_where_faces_cancel() -> None:
    sphere = Mesh(*closed_sphere(12, 16))
    edge = np.array(
        [[0, 0, 0], [0.01, 0, 0], [0.005, 0.01, 2e-5], [0.005, 0.01, -2e-5]], dtype=np.float32
    )
    plate = Mesh(edge, np.array([[0, 1, 2], [1, 0, 3]], dtype=np.int32))
    assert normal_change(sphere) < 1e-5
    assert normal_change(plate) > 1e-3


def test_a_sound_avatar_has_the_default_tolerance(exported: Exported) -> None:
    tolerances = read_golden(exported.folder)["animate"].tolerances
    assert tolerances["normals"] == tolerances["vertices"] == TOLERANCE
