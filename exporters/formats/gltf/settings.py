"""GlbSettings: options of GLB and VRM."""

from __future__ import annotations

from dataclasses import dataclass

from imavatar_deploy.errors import UsageError, unknown_name

COLOURS = {
    "vertex": "of each vertex, in the file's COLOR_0",
    "texture": "a baked image, unwrapped by xatlas, with the network's colour in every texel",
}
"""How the colours are stored."""

MATERIALS = {
    "unlit": "shows the colours as they are, with the light of the video (KHR_materials_unlit)",
    "lit": "is lit by the scene, with normals of every morph target; for programs that do not "
    "support unlit materials",
}
"""How the surface reacts to light."""

TEXTURE_SIZES = (256, 512, 1024, 2048, 4096)


@dataclass(frozen=True)
class GlbSettings:
    """Options of GLB and VRM.

    Raises:
        UsageError: an option has an invalid value, or two options exclude each other.
    """

    colour: str = "vertex"
    """A row of `COLOURS`."""
    texture_size: int = 1024
    """Texels a side."""
    colour_morphs: bool = False
    """Vertex colours that follow the expression and the jaw, as COLOR_0 of every morph target."""
    max_targets: int | None = None
    """Largest number of morph targets, for engines that limit it.

    Targets with the largest displacements stay.
    """
    target_normals: bool = False
    """Store normals of morph targets. They double the file, and unlit materials ignore them.

    A lit material stores them in any case.
    """
    author: str = "unknown"
    """Author that a VRM names."""
    material: str = "unlit"
    """A row of `MATERIALS`."""

    @property
    def lit(self) -> bool:
        """Whether the scene lights the material."""
        return self.material == "lit"

    @property
    def stores_target_normals(self) -> bool:
        """Whether the normals of morph targets are stored."""
        return self.lit or self.target_normals

    def __post_init__(self) -> None:
        if self.colour not in COLOURS:
            raise unknown_name("colour of a GLB", self.colour, COLOURS)
        if self.material not in MATERIALS:
            raise unknown_name("material of a GLB", self.material, MATERIALS)
        if self.texture_size not in TEXTURE_SIZES:
            choices = ", ".join(map(str, TEXTURE_SIZES))
            raise UsageError(
                f"the texture's size must be one of {choices}, got {self.texture_size}"
            )
        if self.max_targets is not None and self.max_targets < 1:
            raise UsageError(
                f"a GLB's morph targets must be at least 1, got a limit of {self.max_targets}"
            )
        if self.colour_morphs and self.colour == "texture":
            raise UsageError(
                "a texture cannot follow the expression; use colour morphs with vertex colours"
            )
        if not self.author:
            raise UsageError("a VRM must name an author, got an empty name")
