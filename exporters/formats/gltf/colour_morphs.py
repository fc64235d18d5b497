"""Colours that follow the expression: those of every morph target, and what a file loses of them.

A file adds the changes of its targets in linear light, or multiplies its image by them. Factors of
an image end at 0 and 2. `colour_losses` measures what remains: the
changes of several targets need not add up, programs without colour morphs show the neutral face's
colours, and the light, which the colours contain, turns with the head.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from imavatar_deploy.arrays import Array, Float, Float32, Integer
from imavatar_deploy.conventions import JAW
from imavatar_deploy.progress import Progress

from ...fidelity.reference_poses import reference_poses
from ...skeleton import NEUTRAL_EXPRESSION, REST_POSE
from ...srgb import as_shown, linear
from ...surface_colours import vertex_colours
from ..arkit_shapes import arkit_poses
from ..format import ExportInput
from .losses import jaw_weight
from .materials import colour_factor, colour_offset
from .morph_targets import open_jaw

TargetColours = Mapping[str, Float32[Array, "V 3"]]
"""Target's name -> sRGB colours at its full weight."""

VISIBLE_CHANGE = 4 / 255
"""Change of a colour channel that is visible."""

VISIBLE_SHARE = 0.005
"""Share of the seen vertices that must change visibly: about that of an eyelid."""


@dataclass(frozen=True)
class SeenColours:
    """Colours of the vertices that a camera saw; the others keep those of the neutral face."""

    subject: ExportInput
    neutral: Float32[Array, "V 3"]
    """sRGB colours of the neutral face."""

    @property
    def seen(self) -> Integer[Array, " S"]:
        """Indices of the seen vertices."""
        return np.flatnonzero(~self.subject.bake.filled)

    def at(
        self,
        expression: Float32[Array, " E"] = NEUTRAL_EXPRESSION,
        pose: Float32[Array, "15"] = REST_POSE,
    ) -> Float32[Array, "V 3"]:
        """Colours for an expression and a pose, sRGB."""
        subject, seen = self.subject, self.seen
        colours = self.neutral.copy()
        if len(seen):
            colours[seen] = vertex_colours(
                subject.source,
                subject.bake,
                expression,
                pose,
                vertices=seen,
                student=subject.colour_student,
            )
        return colours

    def changes_visibly(self, colours: Float32[Array, "V 3"]) -> bool:
        """Whether VISIBLE_SHARE of the seen vertices change by VISIBLE_CHANGE in a channel."""
        change = np.abs(colours - self.neutral).max(axis=1)[self.seen]
        return bool(np.mean(change >= VISIBLE_CHANGE) >= VISIBLE_SHARE) if len(change) else False


def target_colours(
    colours: SeenColours, jaw_target: str, progress: Progress
) -> dict[str, Float32[Array, "V 3"]]:
    """Colours of the targets of a GLB or VRM; empty where the file has the neutral ones alone.

    Args:
        colours: of the exported avatar.
        jaw_target: name of the target of the open jaw.
        progress: shows how far the work is.
    """
    subject = colours.subject
    settings = subject.settings.glb
    if settings.colour_morphs is False:
        return {}
    avatar = subject.bake.avatar
    shapes = arkit_poses(subject.settings.arkit_map)
    faces = [(named.name, named.expression, named.pose) for named in shapes]
    if not shapes or subject.settings.track is not None:
        basis = np.eye(avatar.expression_size, dtype=np.float32)
        names = avatar.expression_names
        faces += [(name, row, REST_POSE) for name, row in zip(names, basis, strict=True)]
    targets = {jaw_target: colours.at(pose=open_jaw())}
    with progress("colours of the targets", len(faces)) as advance:
        for name, expression, pose in faces:
            targets[name] = colours.at(expression, pose)
            advance(1)
    if settings.colour_morphs is None and not any(map(colours.changes_visibly, targets.values())):
        return {}
    return targets


def colour_losses(
    colours: SeenColours, colours_at: TargetColours, jaw_target: str, progress: Progress
) -> dict[str, float]:
    """Mean error of a colour channel (0..1) for each limit of a file's colours.

    It is the mean over the seen vertices and the reference poses.

    Args:
        colours: of the exported avatar.
        colours_at: of the targets in the file.
        jaw_target: name of the target of the open jaw.
        progress: shows how far the work is.
    """
    subject, seen = colours.subject, colours.seen
    if not len(seen):
        return {}
    names = subject.bake.avatar.expression_names
    neutral = colours.neutral[seen]
    factors = subject.settings.glb.colour == "texture"
    change = colour_factor if factors else colour_offset
    changes = {name: change(neutral, target[seen])[:, :3] for name, target in colours_at.items()}
    poses = reference_poses(subject.source.edition)
    errors: dict[str, list[float]] = {}

    def add(limit: str, a: Float[Array, "S 3"], b: Float[Array, "S 3"]) -> None:
        errors.setdefault(limit, []).append(float(np.abs(a - b).mean()))

    with progress("losses of colours", len(poses.pose)) as advance:
        for expression, pose in zip(poses.expression, poses.pose, strict=True):
            still = pose.copy()
            still[: JAW.start] = 0.0
            straight = colours.at(expression, still)[seen]
            add("colours of the neutral face alone", straight, neutral)
            if not changes.keys().isdisjoint(names):
                weights = dict(zip(names, expression.tolist(), strict=True))
                weights[jaw_target] = jaw_weight(pose)
                total = np.zeros_like(neutral)
                for name in changes.keys() & weights.keys():
                    total += np.float32(weights[name]) * changes[name]
                light = linear(neutral) * (1.0 + total) if factors else linear(neutral) + total
                add("colour changes that add up", straight, as_shown(np.clip(light, 0.0, 1.0)))
            add("light that turns with the head", straight, colours.at(expression, pose)[seen])
            advance(1)
    return {limit: float(np.mean(each)) for limit, each in errors.items()}
