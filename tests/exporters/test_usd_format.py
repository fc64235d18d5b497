"""`imavatar-export --format usd,usdz` on small networks: validation, licence, refusal of damage."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from pxr import Usd, UsdGeom, UsdValidation

from imavatar_deploy.avatar_io import open_avatar
from imavatar_deploy.errors import QualityError
from imavatar_deploy.exporters.export import export_avatar
from imavatar_deploy.exporters.sequences import usd_shapes
from imavatar_deploy.exporters.settings import ExportSettings
from imavatar_deploy.tracks import read_track

from .test_glb_format import SMALL, Exported

FRAMES = {"usd": 1, "usdz": 20}
"""At rest, and with a motion."""


@pytest.fixture(scope="module", params=FRAMES)
def scene(
    request: pytest.FixtureRequest, checkpoint: Path, tmp_path_factory: pytest.TempPathFactory
) -> Exported:
    out = tmp_path_factory.mktemp("scene") / "head"
    track = read_track("talk").select(slice(40, 60)) if FRAMES[request.param] > 1 else None
    return Exported(
        out,
        export_avatar(
            checkpoint, out, ExportSettings(formats=(request.param,), track=track, **SMALL)
        ),
    )


def stage_of(scene: Exported) -> Usd.Stage:
    return Usd.Stage.Open(str(next(scene.folder.glob("avatar.usd*"))))


def test_scene_is_compared_with_the_avatars_posing(scene: Exported) -> None:
    (report,) = scene.report.parity
    assert report.passed
    assert {row.name for row in report.differences} == {"motion", "rig"}
    assert all(row.tolerance.absolute == 1e-4 for row in report.differences)
    assert [row.shape[0] for row in report.differences if row.name == "motion"] == [
        min(5, FRAMES[report.subject])
    ]


def test_official_validation_finds_nothing(scene: Exported) -> None:
    validators = UsdValidation.ValidationRegistry().GetOrLoadAllValidators()
    errors = UsdValidation.ValidationContext(validators).Validate(stage_of(scene))
    assert [error.GetMessage() for error in errors] == []


def test_scene_has_colours_frames_and_a_licence(scene: Exported) -> None:
    stage, folder = stage_of(scene), open_avatar(scene.folder)
    assert dict(stage.GetRootLayer().customLayerData["licence"]) == folder.manifest["licences"]
    ((name, facts),) = folder.manifest["graphs"].items()
    assert facts["frames"] == FRAMES[name] == stage.GetEndTimeCode() + 1
    colours = np.array(
        UsdGeom.Mesh(stage.GetPrimAtPath("/head/surface")).GetDisplayColorPrimvar().Get(0)
    )
    assert colours.shape == (folder.avatar.vertex_count, 3)
    assert np.ptp(colours, axis=0).min() > 0.01


def test_an_avatar_with_a_wrong_scene_is_withheld(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offsets = usd_shapes.blend_offsets
    monkeypatch.setattr(usd_shapes, "blend_offsets", lambda avatar: 1.1 * offsets(avatar))
    with pytest.raises(QualityError, match=r"usd\.rig differs by"):
        export_avatar(checkpoint, tmp_path / "head", ExportSettings(formats=("usd",), **SMALL))
    report = json.loads((tmp_path / "head.rejected" / "report.json").read_text())
    assert not report["parity"][0]["passed"]
