"""write_glb: an avatar with colours as a GLB, optionally with a motion as a clip."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from imavatar_deploy.arrays import Array, Float32
from imavatar_deploy.atomic import atomic_file
from imavatar_deploy.avatar import Avatar
from imavatar_deploy.checks import ensure_shape
from imavatar_deploy.conventions import BONES
from imavatar_deploy.errors import UsageError
from imavatar_deploy.tracks import FlameTrack, check_edition

from ...skeleton import bone_rotations, local_translations
from .clip_weights import UnitWeights, within_unit_range
from .container import Container
from .document import MESH_NODE, GltfDocument, bone_node, build_container, head_bones
from .materials import Texture, file_mesh
from .morph_targets import (
    JAW_CORRECTIVE,
    MorphTarget,
    expression_targets,
    jaw_corrective,
    largest,
    strongest,
)
from .pose_correctives import Correctives, correctives
from .settings import GlbSettings

CLIP = "motion"
"""Name of the animation."""

Channel = tuple[int, str, Float32[Array, "..."]]
"""Node, property and values of an animation channel."""


def add_clip(
    container: Container,
    document: GltfDocument,
    track: FlameTrack,
    weights: Float32[Array, "T M"],
) -> None:
    """Add `track` as an animation: one channel for the weights, two for each bone.

    Joints that move with the expression become translations of the bones, exact at every frame.

    Args:
        container: the structure that is extended.
        document: its content.
        track: the motion.
        weights: of the document's targets in every frame, within 0..1.
    """
    rotations = bone_rotations(track.pose)
    joints = [
        local_translations(document.avatar, expression, pose)
        for expression, pose in zip(track.expression, track.pose, strict=True)
    ]
    translations = np.stack(joints)[:, -len(BONES) :].astype(np.float32)  # without the ghost bone
    channels: list[Channel] = [(MESH_NODE, "weights", weights.ravel())]
    for number, bone in enumerate(BONES):
        channels.append((bone_node(document, bone), "rotation", rotations[:, number]))
        channels.append((bone_node(document, bone), "translation", translations[:, number]))
    times = container.add((np.arange(len(track)) / track.fps).astype(np.float32), bounds=True)
    container.document["animations"] = [_animation(container, times, channels)]


def _animation(container: Container, times: int, channels: list[Channel]) -> dict[str, Any]:
    """The animation of channels that share the accessor of their times."""
    return {
        "name": CLIP,
        "samplers": [
            {
                "input": times,
                "output": container.add(np.ascontiguousarray(values)),
                "interpolation": "LINEAR",
            }
            for _, _, values in channels
        ],
        "channels": [
            {"sampler": number, "target": {"node": node, "path": path}}
            for number, (node, path, _) in enumerate(channels)
        ],
    }


@dataclass(frozen=True)
class GlbFacts:
    """Size and content of a written file, and its errors."""

    bytes: int
    vertices: int
    faces: int
    targets: tuple[str, ...]
    weight_lost: float
    """Largest sum of a vertex's skinning weights beyond four influences."""
    dropped_mm: dict[str, float] = field(default_factory=dict)
    """Targets beyond `max_targets`, with their largest displacements."""
    frames: int = 0
    corrective_error_mm: float = 0.0
    """Largest error of the pose correctives in any frame of the clip."""
    colour_morph_bytes: int = 0
    """Bytes of the colours of morph targets."""

    def as_dict(self) -> dict[str, Any]:
        """The facts as JSON values."""
        return asdict(self)


def write_glb(
    path: str | Path,
    avatar: Avatar,
    colours: Float32[Array, "_ 3"] | Texture,
    *,
    licence: Mapping[str, str],
    names: Sequence[str] | None = None,
    shapes: Sequence[MorphTarget] = (),
    colours_at: Mapping[str, Float32[Array, "V 3"]] | None = None,
    track: FlameTrack | None = None,
    settings: GlbSettings | None = None,
    synthetic_mark: bool = True,
) -> GlbFacts:
    """Write `avatar` as a GLB in metres, +Y up, facing +Z, atomically.

    The mesh is the neutral expression with the jaw closed. An engine may set the weights of the
    expressions, rotate the bones, and set `jawOpenCorrective` to the jaw's angle divided by
    0.4255 rad; `losses` measures the remaining errors.

    Args:
        path: the file to write.
        avatar: the baked avatar.
        colours: `[V, 3]` sRGB in 0..1, or a baked texture.
        licence: licence report (`manifest.licence_report`); its `conditions` also become the
            copyright of the file.
        names: of the expressions' targets; the avatar's expression names when None.
        shapes: targets in place of the expressions, which are then written with a motion only.
        colours_at: target's name -> colours `[V, 3]` at its full weight, for vertex colours that
            follow the expression.
        track: a motion that is added as a clip, with its pose correctives.
        settings: options; the defaults when None.
        synthetic_mark: whether the file carries the mark of `imavatar_deploy.marking`.

    Raises:
        UsageError: the path cannot be written, or the clip's correctives need more targets than
            `max_targets`.
        InputError: the colours do not fit the avatar.
        EditionMismatchError: the track was made for another head model.
    """
    settings = settings or GlbSettings()
    if not isinstance(colours, Texture):
        ensure_shape("colours", colours, (avatar.vertex_count, 3))
    names = tuple(names or avatar.expression_names)
    clip = None if track is None else _Clip.of(avatar, names, track)
    pose_targets = [jaw_corrective(avatar), *(clip.correctives.targets if clip else [])]
    expressions, dropped = _within(
        settings.max_targets,
        [*shapes, *(expression_targets(avatar, names) if clip or not shapes else [])],
        pose_targets,
        clip,
    )
    targets = [*expressions, *pose_targets]
    unit = clip.unit_weights(targets) if clip else None
    document = GltfDocument(
        avatar,
        colours,
        [*targets, *(unit.targets if unit else [])],
        head_bones(avatar),
        licence,
        synthetic_mark=synthetic_mark,
        lit=settings.lit,
        compression=settings.compression,
        target_normals=settings.stores_target_normals,
        colours_at=colours_at or {},
    )
    container = build_container(document)
    if track is not None and unit is not None:
        add_clip(container, document, track, unit.weights)
    with atomic_file(path) as partial:
        size = container.write(partial)
    source, faces = file_mesh(avatar, colours)
    return GlbFacts(
        bytes=size,
        vertices=len(source),
        faces=len(faces),
        targets=tuple(target.name for target in document.targets),
        weight_lost=strongest(avatar.skin_weights).lost,
        dropped_mm=dropped,
        frames=len(track) if track else 0,
        corrective_error_mm=clip.correctives.error_mm if clip else 0.0,
        colour_morph_bytes=container.colour_change_bytes,
    )


@dataclass(frozen=True)
class _Clip:
    """The weights of a motion, by the names of the targets."""

    correctives: Correctives
    weights: Mapping[str, Float32[Array, " T"]]

    @staticmethod
    def of(avatar: Avatar, names: Sequence[str], track: FlameTrack) -> _Clip:
        check_edition(track.edition, avatar.edition)
        pose = correctives(avatar, track.pose)
        weights = dict(zip(names, track.expression.T, strict=True)) | {JAW_CORRECTIVE: pose.jaw}
        corrective_names = [target.name for target in pose.targets]
        return _Clip(pose, weights | dict(zip(corrective_names, pose.weights.T, strict=True)))

    def unit_weights(self, targets: Sequence[MorphTarget]) -> UnitWeights:
        """The weights of some targets within 0..1, with the targets that this requires."""
        still = np.zeros(len(self.correctives.jaw), dtype=np.float32)
        columns = [self.weights.get(target.name, still) for target in targets]
        return within_unit_range(targets, np.stack(columns, axis=1))


def _within(
    limit: int | None,
    expressions: list[MorphTarget],
    pose_targets: list[MorphTarget],
    clip: _Clip | None,
) -> tuple[list[MorphTarget], dict[str, float]]:
    """Select the expressions that fit within `limit` targets besides those of the pose.

    Returns:
        These expressions, and the largest displacement (mm) of each of the others.
    """
    if limit is None:
        return expressions, {}

    def count(target: MorphTarget) -> int:
        """Number of the file's targets that a target needs."""
        return 1 + (len(clip.unit_weights([target]).targets) if clip else 0)

    required = sum(map(count, pose_targets))
    if limit < required:
        raise UsageError(
            f"the pose correctives need {required} morph targets, got a limit of {limit}; raise it"
        )
    return largest(expressions, limit - required, count)
