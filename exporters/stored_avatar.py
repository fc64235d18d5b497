"""StoredAvatar: an avatar folder in place of a checkpoint, for formats that need no networks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from imavatar_deploy.arrays import Array, Bool, Float32, Integer
from imavatar_deploy.avatar import Avatar
from imavatar_deploy.avatar_io import AvatarFolder
from imavatar_deploy.fidelity.held_out_frames import is_refined
from imavatar_deploy.head_model import HeadModel
from imavatar_deploy.rendering.texture_network import TEXTURE_GRAPH, TextureGraph
from imavatar_deploy.student import Student, has_student, read_student


@dataclass(frozen=True)
class StoredAvatar:
    """An avatar folder as the input of a format: both the source and its bake.

    It has the attributes of `ImplicitAvatar` and `Bake` that formats without networks use.
    """

    folder: AvatarFolder
    name: str = "imavatar"
    """Variant of the source; the only one that is baked."""

    @property
    def avatar(self) -> Avatar:
        """The baked avatar."""
        return self.folder.avatar

    @property
    def edition(self) -> str:
        """Edition of the head model."""
        return self.avatar.edition

    @property
    def expression_names(self) -> tuple[str, ...]:
        """Names of the expressions."""
        return self.avatar.expression_names

    @property
    def provenance(self) -> Mapping[str, Any]:
        """The checkpoint's record of its data, as the manifest repeats it."""
        return dict(self.folder.manifest.get("source", {}).get("provenance", {}))

    @property
    def digest(self) -> str:
        """SHA-256 of the checkpoint, as the manifest repeats it."""
        return str(self.folder.manifest.get("source", {}).get("sha256", "not known"))

    @property
    def head(self) -> HeadModel | None:
        """The head model: a folder holds none, for it may not be passed on."""
        return None

    @property
    def filled(self) -> Bool[Array, " V"]:
        """Vertices that no camera saw; none counts as one, since a folder does not record them."""
        return np.zeros(self.avatar.vertex_count, dtype=bool)

    @property
    def has_network(self) -> bool:
        """Whether the folder holds the texture network."""
        return TEXTURE_GRAPH in self.folder.manifest["files"]

    @cached_property
    def student(self) -> Student | None:
        """The student of the folder, if there is one."""
        return read_student(self.folder) if has_student(self.folder) else None

    @property
    def student_colours(self) -> bool:
        """Whether formats take the student's colours: it is refined, or there is no network."""
        return self.student is not None and (is_refined(self.folder) or not self.has_network)

    @cached_property
    def _network(self) -> TextureGraph:
        return TextureGraph(self.folder.file(TEXTURE_GRAPH), self.avatar, threads=0)

    def colours(
        self,
        corners: Integer[Array, "N K"],
        weights: Float32[Array, "N K"],
        normals: Float32[Array, "N 3"],
        condition: Float32[Array, "53"],
    ) -> Float32[Array, "N 3"]:
        """Colours of surface points by the texture network, sRGB in 0..1.

        Args:
            corners: the vertices around each point.
            weights: barycentric coordinates of each point.
            normals: unit normals of the deformed surface.
            condition: expression and jaw.
        """
        network, codes = self._network, self.avatar.texture_code

        def fill(start: int, stop: int) -> None:
            rows = slice(start, stop)
            np.einsum(
                "nk,nkc->nc", weights[rows], codes[corners[rows]], out=network.code[: stop - start]
            )
            network.normal[: stop - start] = normals[rows]

        return network.run(len(corners), fill, condition[None])
