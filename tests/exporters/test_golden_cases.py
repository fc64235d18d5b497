"""Golden cases: normals are compared where rounding does not change them."""

from __future__ import annotations

import numpy as np
import pytest

from imavatar_deploy.avatar_io import SAMPLE, open_avatar
from imavatar_deploy.exporters.bake import bake
from imavatar_deploy.exporters.fidelity import golden_cases
from imavatar_deploy.exporters.fidelity.golden_cases import (
    DETERMINED,
    NORMAL_TOLERANCES,
    TOLERANCE,
    _with_rounding,
)
from imavatar_deploy.exporters.mesh_cleanup import simplify
from imavatar_deploy.fidelity.golden import read_golden
from imavatar_deploy.fidelity.parity import Tolerance
from imavatar_deploy.fidelity.verify import check_runtime
from imavatar_deploy.model import ImplicitAvatar
from imavatar_deploy.model.surface.extract import extract, field_of
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


def test_the_tolerance_grows_where_rounding_turns_normals(
    avatar: ImplicitAvatar, monkeypatch: pytest.MonkeyPatch
) -> None:
    mesh = simplify(extract(field_of(avatar), resolution=64), 1000)
    baked = bake(avatar, mesh)
    monkeypatch.setattr(golden_cases, "ROUNDING", 1e-3)
    case = golden_cases.golden_cases(avatar, baked)["animate"]
    assert np.isfinite(case.outputs["normals"]).all()
    assert case.tolerances["normals"].absolute > 10 * TOLERANCE.absolute


def test_at_most_few_normals_are_left_out_for_their_storage(
    avatar: ImplicitAvatar, monkeypatch: pytest.MonkeyPatch
) -> None:
    mesh = simplify(extract(field_of(avatar), resolution=64), 1000)
    baked = bake(avatar, mesh)
    monkeypatch.setitem(NORMAL_TOLERANCES, "float16", Tolerance(1e-6))
    case = golden_cases.golden_cases(avatar, baked, storage="float16")["animate"]
    unknown = np.isnan(case.outputs["normals"]).any(axis=1)
    assert 0 < unknown.mean() <= 1.0 - DETERMINED + 1.0 / unknown.size
