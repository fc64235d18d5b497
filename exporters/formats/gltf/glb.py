"""write_glb: an avatar and its colours as a GLB, with a motion as a clip where one is given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.atomic import atomic_file
from imavatar_deploy.avatar import Avatar
from imavatar_deploy.checks import ensure_shape
from imavatar_deploy.conventions import BONES
from imavatar_deploy.errors import UsageError
from imavatar_deploy.tracks import FlameTrack, check_edition

from ...skeleton import bone_rotations, local_translations
from .container import Container
from .document import MESH_NODE, GltfDocument, bone_node, figure_document, head_bones
from .materials import Texture, corners
from .morph_targets import MorphTarget, expression_targets, jaw_corrective, largest, strongest
from .pose_correctives import Correctives, correctives
from .settings import GlbSettings

# A clip as a glTF animation: one sampler and channel for the weights, two for each bone.
#
# Joints that follow the expression become translations of the bones, exact at every frame.


Float = NDArray[np.float32]

CLIP = "motion"
"""The animation's name."""


def add_clip(
    container: Container,
    figure: GltfDocument,
    track: FlameTrack,
    motion: Correctives,
    expressions: list[int],
) -> None:
    """Add `track` to a figure's document.

    Args:
        motion: the correctives of its poses; their targets are the figure's last.
        expressions: which coefficients the figure's first targets are.
    """
    weights = np.concatenate(
        [track.expression[:, expressions], motion.jaw[:, None], motion.weights], axis=1
    )
    rotations, frames = bone_rotations(track.pose), zip(track.expression, track.pose, strict=True)
    places = [local_translations(figure.avatar, *frame) for frame in frames]
    translations = np.stack(places)[:, -len(BONES) :].astype(np.float32)  # the ghost stays
    channels: list[tuple[int, str, Float]] = [
        (MESH_NODE, "weights", weights.astype(np.float32).ravel())
    ]
    for number, bone in enumerate(BONES):
        channels.append((bone_node(figure, bone), "rotation", rotations[:, number]))
        channels.append((bone_node(figure, bone), "translation", translations[:, number]))
    times = container.add((np.arange(len(track)) / track.fps).astype(np.float32), bounds=True)
    container.document["animations"] = [_animation(container, times, channels)]


def _animation(
    container: Container, times: int, channels: list[tuple[int, str, Float]]
) -> dict[str, Any]:
    """The animation of (node, what of it, values) channels that share their times."""
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
            {"sampler": number, "target": {"node": node, "path": what}}
            for number, (node, what, _) in enumerate(channels)
        ],
    }


@dataclass(frozen=True)
class GlbFacts:
    """What was written, and what it lost; JSON-ready by `as_dict`."""

    bytes: int
    vertices: int
    faces: int
    targets: tuple[str, ...]
    weight_lost: float
    """Largest skinning weight of a vertex that did not fit into four influences."""
    dropped_mm: dict[str, float] = field(default_factory=dict)
    """Targets beyond `max_targets`, and how far each would have moved the mesh."""
    frames: int = 0
    corrective_error_mm: float = 0.0
    """Farthest from the true pose correctives in any frame of the clip."""

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def write_glb(
    path: str | Path,
    avatar: Avatar,
    colours: Float | Texture,
    *,
    licence: Mapping[str, str],
    names: Sequence[str] | None = None,
    colours_at: Mapping[str, Float] | None = None,
    track: FlameTrack | None = None,
    settings: GlbSettings | None = None,
) -> GlbFacts:
    """Write `avatar` as a GLB in metres, +Y up, facing +Z; the file appears whole or not at all.

    The mesh is the neutral expression with the jaw closed. An engine may set the weights of the expressions, turn the
    bones, and set `jawOpenCorrective` to the jaw's angle over 0.4255 rad; see `losses` for what it then misses.

    Args:
        colours: `[V, 3]` sRGB in 0..1, or a baked texture.
        licence: what the file says of itself; `conditions` also becomes its copyright line.
        names: of the expressions' targets; the avatar's own when left out.
        colours_at: target's name -> colours `[V, 3]` at its full weight, for vertex colours that follow the expression.
        track: a motion to bake in as a clip, pose correctives included.

    Raises:
        UsageError: the path cannot be written, or the clip alone needs more targets than `max_targets`.
        InputError: the colours do not fit the avatar.
        EditionMismatchError: the track was made for another head model.
    """
    settings = settings or GlbSettings()
    if not isinstance(colours, Texture):
        ensure_shape("colours", colours, (avatar.vertex_count, 3))
    motion = None if track is None else _correctives(avatar, track)
    baked = [jaw_corrective(avatar), *(motion.targets if motion else [])]
    names = tuple(names or avatar.expression_names)
    kept, dropped = _within(settings.max_targets, expression_targets(avatar, names), baked)
    figure = GltfDocument(
        avatar,
        colours,
        [*kept, *baked],
        head_bones(avatar),
        licence,
        target_normals=settings.target_normals,
        colours_at=colours_at or {},
    )
    container = figure_document(figure)
    if track is not None and motion is not None:
        add_clip(container, figure, track, motion, [names.index(target.name) for target in kept])
    with atomic_file(path) as partial:
        size = container.write(partial)
    source, faces = corners(avatar, colours)
    return GlbFacts(
        bytes=size,
        vertices=len(source),
        faces=len(faces),
        targets=tuple(target.name for target in figure.targets),
        weight_lost=strongest(avatar.skin_weights).lost,
        dropped_mm=dropped,
        frames=len(track) if track else 0,
        corrective_error_mm=motion.error_mm if motion else 0.0,
    )


def _correctives(avatar: Avatar, track: FlameTrack) -> Correctives:
    check_edition(track.edition, avatar.edition)
    return correctives(avatar, track.pose)


def _within(
    limit: int | None, expressions: list[MorphTarget], baked: list[MorphTarget]
) -> tuple[list[MorphTarget], dict[str, float]]:
    """The expressions that a limit leaves room for beside the correctives, and what the others would move (mm)."""
    if limit is None:
        return expressions, {}
    if limit < len(baked):
        raise UsageError(
            f"the pose correctives need {len(baked)} morph targets, got a limit of {limit}; raise it"
        )
    return largest(expressions, limit - len(baked))
