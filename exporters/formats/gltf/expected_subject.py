"""What the GLB and the VRM of a subject must show, by the avatar's own posing and the whole texture network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.conventions import UNITS_PER_METRE
from imavatar_deploy.rendering.posing import pose_plainly
from imavatar_deploy.tracks import FlameTrack

from ...atlas import surface_at
from ...fidelity.golden_cases import FRAMES
from ...fidelity.reference_poses import reference_poses
from ...skeleton import AT_REST, NEUTRAL
from ...surface_colours import point_colours
from ..format import ExportInput
from .expected import ExpectedFrame, ExpectedGlb, clip_frames, live_poses
from .glb import GlbFacts
from .materials import Texture, corners
from .morph_targets import open_jaw, with_four_influences
from .vrm_rig import STANDS_AT

Float = NDArray[np.float32]

TARGETS_APART = 10
"""Of the targets' colours, every tenth's are kept."""

PLACES = 2000
"""Faces at whose centres a texture is compared with the network."""


def glb_proof(
    subject: ExportInput,
    look: Float | Texture,
    coloured: Mapping[str, Float],
    facts: GlbFacts,
    track: FlameTrack | None = None,
) -> ExpectedGlb:
    """What a GLB shows when an engine drives it, some frames of its clip, and its colours.

    Args:
        coloured: target's name -> colours `[V, 3]` at its full weight.
    """
    avatar, poses = subject.bake.avatar, reference_poses(subject.source.edition)
    source, _ = corners(avatar, look)
    frames = sorted({0, *(frame % len(poses.pose) for frame in FRAMES)})
    return ExpectedGlb(
        live_poses(avatar, facts.targets, poses.expression[frames], poses.pose[frames], source),
        {} if track is None else clip_frames(avatar, facts.targets, track, source),
        _places(subject, look) if isinstance(look, Texture) else {"vertex": look},
        {name: coloured[name] for name in facts.targets[::TARGETS_APART] if name in coloured},
    )


def vrm_proof(
    subject: ExportInput, look: Float | Texture, coloured: Mapping[str, Float], facts: GlbFacts
) -> ExpectedGlb:
    """The same of a VRM, which stands higher and opens its jaw by an expression."""
    low = glb_proof(subject, look, coloured, facts)
    return replace(
        low, poses=[_raised(picture) for picture in (*low.poses, _opened(subject, look))]
    )


def _places(subject: ExportInput, texture: Texture) -> dict[str, Float]:
    """Centres of some faces: where in the image, and the network's colour."""
    count = len(texture.faces)
    some = np.linspace(0, count - 1, min(PLACES, count)).astype(np.intp)
    shares = np.full((len(some), 3), 1 / 3, dtype=np.float32)
    points, normals = surface_at(subject.bake, subject.bake.avatar.faces[some], shares)
    return {
        "uv": texture.uv[texture.faces[some]].mean(axis=1),
        "seen": point_colours(subject.source, points, normals),
    }


def _opened(subject: ExportInput, look: Float | Texture) -> ExpectedFrame:
    """VRM's jawOpen at full weight, every bone at rest."""
    avatar = subject.bake.avatar
    moved = pose_plainly(with_four_influences(avatar), NEUTRAL, open_jaw()).vertices
    vertices = moved[corners(avatar, look)[0]] / np.float32(UNITS_PER_METRE)
    return ExpectedFrame({"jawOpen": 1.0}, AT_REST, vertices)


def _raised(picture: ExpectedFrame) -> ExpectedFrame:
    return ExpectedFrame(
        picture.weights,
        picture.pose,
        picture.vertices + np.array([0, STANDS_AT, 0], dtype=np.float32),
    )
