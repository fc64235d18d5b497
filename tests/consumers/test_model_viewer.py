"""The USDZ that model-viewer makes of a GLB, for its button "view in your space" on iPhones.

What is absent is skipped, as in `test_consumers`.
"""

from __future__ import annotations

import base64
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from imavatar_deploy.arrays import Array, Float32, Integer
from imavatar_deploy.avatar import Avatar
from imavatar_deploy.conventions import UNITS_PER_METRE
from imavatar_deploy.exporters.atlas import bake_texture
from imavatar_deploy.exporters.formats.gltf.glb import write_glb
from imavatar_deploy.exporters.formats.gltf.materials import Texture
from imavatar_deploy.exporters.formats.gltf.settings import GlbSettings

from ..exporters.test_gltf import LICENCE
from ..tiny_avatar import tiny_avatar
from .page import run_page

pytest.importorskip("pxr", reason="usd-core, of the extra scene, is not installed")
from pxr import Usd, UsdGeom, UsdShade


@pytest.fixture(scope="module")
def head() -> Avatar:
    return tiny_avatar(24, 32)


def colours_of(head: Avatar, kind: str) -> Float32[Array, "V 3"] | Texture:
    """Grey colours, of the vertices or as an image."""
    grey = np.full((head.vertex_count, 3), 0.5, dtype=np.float32)
    if kind == "vertex":
        return grey

    def grey_at(
        corners: Integer[Array, "N 3"], weights: Float32[Array, "N 3"]
    ) -> Float32[Array, "N 3"]:
        return np.full((len(corners), 3), 0.5, dtype=np.float32)

    return replace(bake_texture(head, grey_at, 256), neutral=grey)


def usdz_of(path: Path, folder: Path) -> Path:
    """The file that model-viewer makes of a GLB."""
    request = {"file": "a.glb"}
    content: str = run_page(
        "@google/model-viewer",
        "model_viewer_page.mjs",
        request,
        {"a.glb": path},
        folder / "profile",
    )
    made = folder / "made.usdz"
    made.write_bytes(base64.b64decode(content))
    return made


@pytest.mark.parametrize("kind", ["vertex", "texture"])
def test_a_lit_glb_gives_a_mesh_with_a_material(kind: str, head: Avatar, tmp_path: Path) -> None:
    path = tmp_path / "a.glb"
    settings = GlbSettings(material="lit")
    write_glb(path, head, colours_of(head, kind), licence=LICENCE, settings=settings)
    stage = Usd.Stage.Open(str(usdz_of(path, tmp_path)))
    meshes = [UsdGeom.Mesh(prim) for prim in stage.Traverse() if prim.IsA(UsdGeom.Mesh)]
    assert len(meshes) == 1
    points = np.asarray(meshes[0].GetPointsAttr().Get())
    rest = head.rest.T / UNITS_PER_METRE
    assert np.allclose(np.ptp(points, axis=0), np.ptp(rest, axis=0), atol=1e-4), "metres"
    material, _ = UsdShade.MaterialBindingAPI(meshes[0]).ComputeBoundMaterial()
    assert material, "the mesh has a material"
    shaders = [UsdShade.Shader(prim) for prim in stage.Traverse() if prim.IsA(UsdShade.Shader)]
    names = {shader.GetIdAttr().Get() for shader in shaders}
    assert "UsdPreviewSurface" in names
    assert ("UsdUVTexture" in names) == (kind == "texture")
