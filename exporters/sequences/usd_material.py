"""Material of a USD scene: UsdPreviewSurface with the colours of the vertices or of an image."""

from __future__ import annotations

from typing import Any

import numpy as np

from imavatar_deploy.arrays import Array, Float32

from ..formats.gltf.materials import Texture
from .outputs import NAME
from .usd_library import Library

TEXTURE_FILE = f"{NAME}.png"
"""Name of the image in a package."""

PATH = f"/{NAME}/material"

ROUGHNESS = 1.0
"""Of the surface: the colours contain the highlights of the video."""


def add_material(
    library: Library, stage: Any, mesh: Any, texture: Texture | None, file: str
) -> None:
    """Define the material and bind a mesh to it.

    Args:
        library: the modules of USD.
        stage: the scene.
        mesh: the mesh, whose `displayColor` has the colours where there is no texture.
        texture: the image and its coordinates; None for the colours of the vertices.
        file: path of the image relative to the scene.
    """
    material = library.UsdShade.Material.Define(stage, PATH)
    surface = _shader(library, stage, "surface", "UsdPreviewSurface")
    types = library.Sdf.ValueTypeNames
    surface.CreateInput("roughness", types.Float).Set(ROUGHNESS)
    surface.CreateInput("metallic", types.Float).Set(0.0)
    colour = (
        _vertex_colours(library, stage)
        if texture is None
        else _image(library, stage, mesh, texture, file)
    )
    surface.CreateInput("diffuseColor", types.Color3f).ConnectToSource(colour)
    output = surface.CreateOutput("surface", types.Token)
    material.CreateSurfaceOutput().ConnectToSource(output)
    library.UsdShade.MaterialBindingAPI.Apply(mesh.GetPrim()).Bind(material)


def _shader(library: Library, stage: Any, name: str, identifier: str) -> Any:
    shader = library.UsdShade.Shader.Define(stage, f"{PATH}/{name}")
    shader.CreateIdAttr(identifier)
    return shader


def _reader(library: Library, stage: Any, name: str, kind: str, primvar: str) -> Any:
    """A shader that reads a primvar of the mesh."""
    shader = _shader(library, stage, name, f"UsdPrimvarReader_{kind}")
    shader.CreateInput("varname", library.Sdf.ValueTypeNames.String).Set(primvar)
    return shader


def _vertex_colours(library: Library, stage: Any) -> Any:
    """Output with the colours of the vertices."""
    reader = _reader(library, stage, "colours", "float3", "displayColor")
    return reader.CreateOutput("result", library.Sdf.ValueTypeNames.Float3)


def _image(library: Library, stage: Any, mesh: Any, texture: Texture, file: str) -> Any:
    """Output with the colours of an image, whose coordinates are added to the mesh."""
    types = library.Sdf.ValueTypeNames
    api = library.UsdGeom.PrimvarsAPI(mesh)
    coordinates = api.CreatePrimvar("st", types.TexCoord2fArray, library.UsdGeom.Tokens.faceVarying)
    coordinates.Set(library.Vt.Vec2fArray.FromNumpy(from_lower_left(texture.uv)))
    coordinates.SetIndices(
        library.Vt.IntArray.FromNumpy(np.ascontiguousarray(texture.faces.ravel()))
    )
    reader = _reader(library, stage, "coordinates", "float2", "st")
    image = _shader(library, stage, "image", "UsdUVTexture")
    image.CreateInput("file", types.Asset).Set(file)
    image.CreateInput("sourceColorSpace", types.Token).Set("sRGB")
    for axis in ("wrapS", "wrapT"):
        image.CreateInput(axis, types.Token).Set("clamp")
    image.CreateInput("st", types.Float2).ConnectToSource(
        reader.CreateOutput("result", types.Float2)
    )
    return image.CreateOutput("rgb", types.Float3)


def from_lower_left(uv: Float32[Array, "U 2"]) -> Float32[Array, "U 2"]:
    """Texture coordinates from the image's lower left corner, as USD has them."""
    return np.stack([uv[:, 0], 1 - uv[:, 1]], axis=1).astype(np.float32)
