"""OpenHead's shape: the average adult, cut at the shoulders, and the principal axes of identity."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from makehuman import TARGETS, Folder, read_base_mesh, read_target, target_names
from numpy.typing import NDArray

Float = NDArray[np.float64]
Integers = NDArray[np.int64]

ORIGIN = np.array([0.0, 0.725, 0.045])
"""The origin in coordinates of the base mesh (m): between the ears."""

CUT_HEIGHT = -0.213
"""Lower end of the body (m): below the collar bones, so that an image shows shoulders."""

PARTS = (
    "body",
    "helper-tongue",
    "helper-l-eye",
    "helper-r-eye",
    "helper-lower-teeth",
    "helper-upper-teeth",
)

ADULTS = [
    f"{TARGETS}/macrodetails/{people}-{sex}-young"
    for people in ("african", "asian", "caucasian")
    for sex in ("female", "male")
]
BUILDS = [
    f"{TARGETS}/macrodetails/universal-{sex}-young-averagemuscle-averageweight"
    for sex in ("female", "male")
]

IDENTITY_FOLDERS = ("head", "nose", "mouth", "chin", "cheek", "eyes", "ears", "forehead")
NOT_IDENTITY = ("head-age", "head-trans", "forehead-nubian")
"""Targets without a part in the shape: age is not modelled, head-trans moves the head off its neck,
and nubian repeats forehead-trans."""

OPPOSITES = {
    "decr": "incr",
    "down": "up",
    "in": "out",
    "backward": "forward",
    "concave": "convex",
    "compress": "uncompress",
}
"""End of a target's name -> end of its opposite."""

TARGET_SIGMA = 0.15
"""Standard deviation of each identity target: at weight 1 MakeHuman's targets are caricatures."""

IDENTITY_SIGNS = "--+--++++-+-++-+++---+---+---+"
"""Signs of the principal axes, which are arbitrary: these keep the meaning of shape codes of the
first OpenHead."""


@dataclass(frozen=True)
class Head:
    """The part of the base mesh above the shoulders, in the average shape."""

    data: Folder  # of MakeHuman's files
    kept: Integers  # [V] indices into the base mesh, ascending
    base_size: int  # vertices of the base mesh
    template: Float  # [V, 3]
    faces: Integers  # [F, 3]
    groups: NDArray[np.str_]  # [V]

    def target(self, name: str) -> Float:
        """Return the displacement [V, 3] of a target."""
        return read_target(self.data, name, self.base_size)[self.kept]

    def part(self, name: str) -> NDArray[np.bool_]:
        """Return a mask [V] of the vertices that belong to a part."""
        return np.asarray(self.groups == name)


def average_adult(data: Folder) -> Head:
    """Return the mean of six young adults of average build, cut at the shoulders.

    Quads are split along one diagonal.
    """
    mesh = read_base_mesh(data)
    size = len(mesh.vertices)
    adults = sum(read_target(data, name, size) for name in ADULTS) / len(ADULTS)
    builds = sum(read_target(data, name, size) for name in BUILDS) / len(BUILDS)
    vertices = mesh.vertices + adults + builds - ORIGIN

    part_of = np.full(size, "", dtype=mesh.quad_groups.dtype)
    for part in PARTS:
        part_of[mesh.quads[mesh.quad_groups == part]] = part
    keep = np.isin(part_of, PARTS) & ((part_of != "body") | (vertices[:, 1] > CUT_HEIGHT))
    quads = mesh.quads[np.isin(mesh.quad_groups, PARTS) & keep[mesh.quads].all(axis=1)]
    renumbered = (np.cumsum(keep) - 1)[quads]
    faces = renumbered[:, [0, 1, 2, 0, 2, 3]].reshape(-1, 3)
    return Head(
        data, np.flatnonzero(keep), size, vertices[keep], faces, part_of[keep].astype("U18")
    )


def identity_targets(head: Head) -> tuple[list[str], Float]:
    """Return the names and directions [V, 3, n] of identity.

    Opposite targets are one direction, and both sides of the face move together. The overall head
    shapes count on their own, too: heads differ more in shape than in any single feature.
    """
    names: list[str] = []
    directions: list[Float] = []
    for folder in IDENTITY_FOLDERS:
        for name in target_names(head.data, folder):
            if name.startswith(("r-", *NOT_IDENTITY)):
                continue
            stem, _, end = name.rpartition("-")
            if end in OPPOSITES:
                positive = both_sides(head, folder, f"{stem}-{OPPOSITES[end]}")
                negative = both_sides(head, folder, name)
                names.append(f"{folder}/{stem}")
                directions.append((positive - negative) / 2)
            elif folder == "head":
                names.append(f"{folder}/{name}")
                directions.append(both_sides(head, folder, name))
    return names, np.stack(directions, axis=-1)


def both_sides(head: Head, folder: str, name: str) -> Float:
    """Return a target, plus its mirror image if it is a left one."""
    left = head.target(f"{TARGETS}/{folder}/{name}")
    return left + head.target(f"{TARGETS}/{folder}/r-{name[2:]}") if name.startswith("l-") else left


def identity_basis(directions: Float) -> Float:
    """Return the first principal axes of the identity targets, [V, 3, 30].

    One unit is one standard deviation.
    """
    axes, spread, mixture = np.linalg.svd(
        directions.reshape(-1, directions.shape[-1]), full_matrices=False
    )
    count = len(IDENTITY_SIGNS)
    strongest = np.take_along_axis(
        mixture[:count], np.abs(mixture[:count]).argmax(axis=1)[:, None], axis=1
    )[:, 0]
    signs = np.sign(strongest) * [1.0 if sign == "+" else -1.0 for sign in IDENTITY_SIGNS]
    basis = axes[:, :count] * spread[:count] * signs * TARGET_SIGMA
    # Rounding to 2^-24 m removes the last bits, in which LAPACKs differ, and compresses better.
    rounded: Float = np.round(basis * 2.0**24) / 2.0**24
    return rounded.reshape(*directions.shape[:2], count)
