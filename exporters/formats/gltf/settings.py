"""GlbSettings: options of GLB and VRM."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from imavatar_deploy.errors import UsageError, unknown_name

from .compression import COMPRESSIONS

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

PROFILES = {
    "plain": "is for engines, with the head's own bones and a clip",
    "talkinghead": "is for TalkingHead and programs of Ready Player Me's avatars: Mixamo's bones, "
    "ARKit's 52 shapes and Oculus' 15 visemes",
}
"""Skeleton and morph targets of a GLB."""

TEXTURE_SIZES = (256, 512, 1024, 2048, 4096)


VRM_VERSIONS = {
    "1": "VRM 1.0",
    "0": "VRM 0.x, the only one that VSeeFace reads",
}
"""Versions of VRM."""

USERS = {
    "onlyAuthor": "the author alone",
    "onlySeparatelyLicensedPerson": "people with a licence of their own",
    "everyone": "everyone",
}
"""Who may perform with the avatar, in the words of VRM 1.0."""

COMMERCIAL = {
    "personalNonProfit": "no commercial use",
    "personalProfit": "commercial use by a person",
    "corporation": "commercial use by anyone",
}
"""Commercial use, in the words of VRM 1.0."""

MODIFICATION = {
    "prohibited": "none",
    "allowModification": "without passing it on",
    "allowModificationRedistribution": "also to pass it on",
}
"""Changes of the avatar, in the words of VRM 1.0."""


@dataclass(frozen=True)
class VrmSettings:
    """Options of VRM: its version, and what it says of itself. Permissions are strict by default.

    Raises:
        UsageError: an option has an invalid value.
    """

    version: str = "1"
    """A row of `VRM_VERSIONS`."""
    title: str = "imavatar head"
    """Name of the avatar."""
    thumbnail: Path | None = None
    """A PNG or JPEG picture of the avatar."""
    users: str = "onlyAuthor"
    """A row of `USERS`."""
    commercial: str = "personalNonProfit"
    """A row of `COMMERCIAL`."""
    redistribution: bool = False
    """Whether the file may be passed on."""
    modification: str = "prohibited"
    """A row of `MODIFICATION`."""

    def __post_init__(self) -> None:
        for name, value, table in (
            ("version of VRM", self.version, VRM_VERSIONS),
            ("group of users of a VRM", self.users, USERS),
            ("commercial use of a VRM", self.commercial, COMMERCIAL),
            ("modification of a VRM", self.modification, MODIFICATION),
        ):
            if value not in table:
                raise unknown_name(name, value, table)
        if not self.title:
            raise UsageError("a VRM must have a title, got an empty one")


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
    colour_morphs: bool | None = None
    """Colours that follow the expression and the jaw, as COLOR_0 of every morph target.

    They are added to vertex colours, and multiply a texture.

    None stores them where a target changes the colours visibly (`colour_morphs.is_visible`).
    """
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
    compression: str = "none"
    """A row of `compression.COMPRESSIONS`, for GLB alone."""
    vrm: VrmSettings = field(default_factory=VrmSettings)
    """Options of VRM."""
    profile: str = "plain"
    """A row of `PROFILES`, for GLB alone."""

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
        if self.compression not in COMPRESSIONS:
            raise unknown_name("compression of a GLB", self.compression, COMPRESSIONS)
        if self.material not in MATERIALS:
            raise unknown_name("material of a GLB", self.material, MATERIALS)
        if self.profile not in PROFILES:
            raise unknown_name("profile of a GLB", self.profile, PROFILES)
        if self.profile != "plain" and self.max_targets is not None:
            raise UsageError(
                f"the profile {self.profile} needs all of its morph targets; leave max_targets "
                "(--max-targets) out"
            )
        if self.texture_size not in TEXTURE_SIZES:
            choices = ", ".join(map(str, TEXTURE_SIZES))
            raise UsageError(
                f"the texture's size must be one of {choices}, got {self.texture_size}"
            )
        if self.max_targets is not None and self.max_targets < 1:
            raise UsageError(
                f"a GLB's morph targets must be at least 1, got a limit of {self.max_targets}"
            )
        if not self.author:
            raise UsageError("a VRM must name an author, got an empty name")
