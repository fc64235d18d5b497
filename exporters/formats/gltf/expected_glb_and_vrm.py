"""Expected content of a GLB and a VRM, by the avatar's posing and the full texture network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from imavatar_deploy.arrays import Array, Float32, Integer
from imavatar_deploy.conventions import UNITS_PER_METRE
from imavatar_deploy.rendering.posing import pose_plainly
from imavatar_deploy.tracks import FlameTrack

from ...fidelity.golden_cases import FRAMES
from ...fidelity.reference_poses import reference_poses
from ...skeleton import NEUTRAL_EXPRESSION, REST_POSE
from ...srgb import as_shown
from ...surface_colours import neutral_colours_at
from ..arkit_shapes import arkit_poses, shape_targets
from ..format import ExportInput
from .expected import ExpectedFrame, ExpectedGlb, clip_frames, live_poses
from .glb import GlbFacts
from .materials import Texture, colour_change, file_mesh
from .morph_targets import open_jaw, with_four_influences
from .talkinghead import MIXES, arkit_targets
from .vrm_rig import HEAD_HEIGHT

Material = Float32[Array, "V 3"] | Texture
"""Vertex colours, sRGB, or a texture."""

TARGET_STEP = 10
"""Colours of every tenth target are compared."""

SHAPE_STEP = 3
"""Every third of ARKit's shapes of a map is compared."""

TEXTURE_POINTS = 2000
"""Faces at whose centres a texture is compared with the network."""


def expected_glb(
    subject: ExportInput,
    material: Material,
    colours_at: Mapping[str, Float32[Array, "V 3"]],
    facts: GlbFacts,
    track: FlameTrack | None = None,
) -> ExpectedGlb:
    """Expected frames when an engine drives a GLB, frames of its clip, and colours.

    Args:
        subject: the exported avatar.
        material: vertex colours or texture of the file.
        colours_at: target's name -> colours `[V, 3]` at its full weight.
        facts: of the written file.
        track: the motion of its clip.
    """
    avatar = subject.bake.avatar
    poses = reference_poses(subject.source.edition)
    source, _ = file_mesh(avatar, material)
    frames = sorted({0, *(frame % len(poses.pose) for frame in FRAMES)})
    driven = live_poses(avatar, facts.targets, poses.expression[frames], poses.pose[frames], source)
    return ExpectedGlb(
        [*driven, *_shape_frames(subject, source, facts)],
        {} if track is None else clip_frames(avatar, facts.targets, track, source),
        _texture_points(subject, material)
        if isinstance(material, Texture)
        else {"vertex": material},
        {
            name: _shown_at(material, colours_at[name])[source]
            for name in facts.targets[::TARGET_STEP]
            if name in colours_at
        },
    )


def _shown_at(material: Material, colours: Float32[Array, "V 3"]) -> Float32[Array, "V 3"]:
    """COLOR_0 at the full weight of a target, sRGB: that of an image is a factor."""
    if not isinstance(material, Texture):
        return colours
    factor = 1.0 + colour_change(material, colours)[:, :3]
    return np.asarray(as_shown(factor), dtype=np.float32)


def expected_vrm(
    subject: ExportInput,
    material: Material,
    colours_at: Mapping[str, Float32[Array, "V 3"]],
    facts: GlbFacts,
) -> ExpectedGlb:
    """Expectation of a VRM, which is raised by its body and opens the jaw by an expression."""
    head = expected_glb(subject, material, colours_at, facts)
    frames = [*head.poses]
    if subject.settings.arkit_map is None:
        frames.append(_jaw_opened_by_expression(subject, material))
    turned = subject.settings.glb.vrm.version == "0"
    return replace(head, poses=[_stand(frame, turned) for frame in frames])


def expected_talkinghead(
    subject: ExportInput,
    material: Material,
    colours_at: Mapping[str, Float32[Array, "V 3"]],
    facts: GlbFacts,
) -> ExpectedGlb:
    """Expectation of the profile `talkinghead`: poses of the bones, and every mixture of shapes.

    The eyeLook shapes turn the eyeballs, which the avatar's expressions do not.
    """
    avatar = subject.bake.avatar
    names = tuple(name for name in facts.targets if not name.startswith("eyeLook"))
    head = expected_glb(subject, material, colours_at, replace(facts, targets=names))
    source, _ = file_mesh(avatar, material)
    limited = with_four_influences(avatar)
    rest = pose_plainly(limited, NEUTRAL_EXPRESSION, REST_POSE).vertices
    poses = arkit_poses(subject.settings.arkit_map)
    shapes = {
        target.name: target.offset
        for target in arkit_targets(avatar, shape_targets(limited, poses, subject.source.head))
    }
    mixtures = []
    for name, mix in MIXES.items():
        moved = rest + sum(np.float32(weight) * shapes[shape].T for shape, weight in mix.items())
        vertices = moved[source] / np.float32(UNITS_PER_METRE)
        mixtures.append(ExpectedFrame({name: 1.0}, REST_POSE, vertices.astype(np.float32)))
    frames = [*head.poses, *mixtures]
    if subject.settings.arkit_map is None:
        frames.append(_jaw_opened_by_expression(subject, material))
    return replace(head, poses=[_stand(frame, False) for frame in frames])


def _shape_frames(
    subject: ExportInput, source: Integer[Array, " U"], facts: GlbFacts
) -> list[ExpectedFrame]:
    """Each of ARKit's shapes of a map at its full weight, with every bone at rest."""
    avatar = with_four_influences(subject.bake.avatar)
    rest = pose_plainly(avatar, NEUTRAL_EXPRESSION, REST_POSE).vertices
    shapes = shape_targets(avatar, arkit_poses(subject.settings.arkit_map), subject.source.head)
    return [
        ExpectedFrame(
            {shape.name: 1.0},
            REST_POSE,
            (rest + shape.offset.T)[source] / np.float32(UNITS_PER_METRE),
        )
        for shape in shapes[::SHAPE_STEP]
        if shape.name in facts.targets
    ]


def _texture_points(subject: ExportInput, texture: Texture) -> dict[str, Float32[Array, "N _"]]:
    """Texture coordinates of the centres of some faces, and the colours to be seen there."""
    count = len(texture.faces)
    some = np.linspace(0, count - 1, min(TEXTURE_POINTS, count)).astype(np.intp)
    weights = np.full((len(some), 3), 1 / 3, dtype=np.float32)
    corners = subject.bake.avatar.faces[some]
    colours = neutral_colours_at(
        subject.source, subject.bake, corners, weights, student=subject.colour_student
    )
    return {"uv": texture.uv[texture.faces[some]].mean(axis=1), "seen": colours}


def _jaw_opened_by_expression(subject: ExportInput, material: Material) -> ExpectedFrame:
    """VRM's jawOpen at full weight, with every bone at rest."""
    avatar = subject.bake.avatar
    posed = pose_plainly(with_four_influences(avatar), NEUTRAL_EXPRESSION, open_jaw()).vertices
    vertices = posed[file_mesh(avatar, material)[0]] / np.float32(UNITS_PER_METRE)
    return ExpectedFrame({"jawOpen": 1.0}, REST_POSE, vertices)


def _stand(frame: ExpectedFrame, turned: bool) -> ExpectedFrame:
    """A frame at the height of a standing person, who faces along -Z if turned."""
    offset = np.array([0, HEAD_HEIGHT, 0], dtype=np.float32)
    half_turn = np.array([-1, 1, -1] if turned else [1, 1, 1], dtype=np.float32)
    pose = (frame.pose.reshape(-1, 3) * half_turn).ravel()
    return ExpectedFrame(frame.weights, pose, frame.vertices * half_turn + offset)
