"""Golden cases: normals are compared where rounding does not change them."""

from __future__ import annotations

import numpy as np

from imavatar_deploy.avatar_io import SAMPLE, open_avatar
from imavatar_deploy.exporters.fidelity.golden_cases import (
    NORMAL_TOLERANCES,
    TOLERANCE,
    _with_rounding,
)
from imavatar_deploy.fidelity.golden import read_golden
from imavatar_deploy.fidelity.verify import check_runtime
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


def test_a_sound_avatar_is_compared_everywhere(exported: Exported) -> None:
    case = read_golden(exported.folder)["animate"]
    assert case.tolerances["normals"] == case.tolerances["vertices"] == TOLERANCE
    assert np.isfinite(case.outputs["normals"]).all()


def test_normals_that_half_precision_turns_are_not_compared() -> None:
    """On the bundled sample they are folds of the mouth, fewer than one of a hundred."""
    folder = open_avatar(SAMPLE)
    case = read_golden(folder.path)["animate"]
    unknown = np.isnan(case.outputs["normals"])
    assert case.tolerances["normals"] == NORMAL_TOLERANCES["float16"]
    assert 0 < unknown.mean() < 0.01
    assert np.isfinite(case.outputs["vertices"]).all()
    assert check_runtime(folder).passed
