"""The formats `glb` and `vrm`: one file each for engines, browsers and VTuber programs.

Each file is checked against an expectation that is stored in the folder `golden`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from imavatar_deploy.arrays import Array, Float32
from imavatar_deploy.errors import UsageError
from imavatar_deploy.fidelity.parity import ParityReport
from imavatar_deploy.progress import Progress
from imavatar_deploy.tracks import check_edition

from ...fidelity.reference_poses import reference_poses
from ...manifest import licence_report
from ...settings import ExportSettings
from ...surface_colours import neutral_texture, vertex_colours
from ..arkit_shapes import arkit_notes, arkit_poses, check_map, require_arkit, shape_targets
from ..format import ExportFormat, ExportInput, Source
from .colour_morphs import SeenColours, TargetColours, colour_losses, target_colours
from .expected import write_expected
from .expected_glb_and_vrm import expected_glb, expected_talkinghead, expected_vrm
from .glb import GlbFacts, write_glb
from .losses import GLB_LIMITS, VRM_LIMITS, LimitedPosing, losses_mm
from .materials import Texture
from .morph_targets import JAW_CORRECTIVE, JAW_OPENING, MorphTarget, with_four_influences
from .reader import GlbPlayback
from .talkinghead import write_talkinghead
from .verify import check_file
from .vrm import read_picture, write_vrm


def _write_glb(folder: Path, subject: ExportInput, progress: Progress) -> Mapping[str, Any]:
    if subject.settings.glb.profile == "talkinghead":
        return _write_talkinghead(folder, subject, progress)
    colours = _seen_colours(subject)
    material = _material(colours, progress)
    colours_at = target_colours(colours, JAW_CORRECTIVE, progress)
    shapes = _shapes(subject)
    track = subject.settings.track
    facts = write_glb(
        folder / "avatar.glb",
        subject.bake.avatar,
        material,
        licence=_licence(subject),
        shapes=shapes,
        colours_at=colours_at,
        track=track,
        settings=subject.settings.glb,
        synthetic_mark=subject.settings.synthetic_mark,
    )
    write_expected(
        folder / "golden" / "glb.safetensors",
        expected_glb(subject, material, colours_at, facts, track),
    )
    losses = _colour_losses(colours, colours_at, facts, JAW_CORRECTIVE, progress)
    return {"glb": _manifest_entry(subject, facts, GLB_LIMITS) | losses}


def _write_talkinghead(folder: Path, subject: ExportInput, progress: Progress) -> Mapping[str, Any]:
    colours = _seen_colours(subject)
    material = _material(colours, progress)
    colours_at = target_colours(colours, JAW_OPENING, progress)
    facts = write_talkinghead(
        folder / "avatar.glb",
        subject.bake.avatar,
        material,
        licence=_licence(subject),
        shapes=_shapes(subject),
        colours_at=colours_at,
        settings=subject.settings.glb,
        synthetic_mark=subject.settings.synthetic_mark,
    )
    write_expected(
        folder / "golden" / "glb.safetensors",
        expected_talkinghead(subject, material, colours_at, facts),
    )
    losses = _colour_losses(colours, colours_at, facts, JAW_OPENING, progress)
    profile = {"profile": "talkinghead"}
    return {"glb": _manifest_entry(subject, facts, VRM_LIMITS) | losses | profile}


def _write_vrm(folder: Path, subject: ExportInput, progress: Progress) -> Mapping[str, Any]:
    colours = _seen_colours(subject)
    material = _material(colours, progress)
    colours_at = target_colours(colours, JAW_OPENING, progress)
    facts = write_vrm(
        folder / "avatar.vrm",
        subject.bake.avatar,
        material,
        licence=_licence(subject),
        title=subject.settings.glb.vrm.title,
        shapes=_shapes(subject),
        colours_at=colours_at,
        settings=subject.settings.glb,
        synthetic_mark=subject.settings.synthetic_mark,
    )
    write_expected(
        folder / "golden" / "vrm.safetensors", expected_vrm(subject, material, colours_at, facts)
    )
    losses = _colour_losses(colours, colours_at, facts, JAW_OPENING, progress)
    return {"vrm": _manifest_entry(subject, facts, VRM_LIMITS) | losses}


def _shapes(subject: ExportInput) -> list[MorphTarget]:
    """ARKit's shapes by the map of the settings, if there is one."""
    poses = arkit_poses(subject.settings.arkit_map)
    return shape_targets(with_four_influences(subject.bake.avatar), poses, subject.source.head)


def _licence(subject: ExportInput) -> dict[str, str]:
    source = subject.source
    return licence_report(source.edition, source.provenance, subject.metadata["source_sha256"])


def _seen_colours(subject: ExportInput) -> SeenColours:
    neutral = vertex_colours(subject.source, subject.bake, student=subject.colour_student)
    return SeenColours(subject, neutral)


def _material(colours: SeenColours, progress: Progress) -> Float32[Array, "V 3"] | Texture:
    subject = colours.subject
    if subject.settings.glb.colour == "texture":
        texture = neutral_texture(
            subject.source,
            subject.bake,
            subject.settings.glb.texture_size,
            progress,
            student=subject.colour_student,
        )
        return replace(texture, neutral=colours.neutral)
    return colours.neutral


def _colour_losses(
    colours: SeenColours,
    colours_at: TargetColours,
    facts: GlbFacts,
    jaw_target: str,
    progress: Progress,
) -> dict[str, dict[str, float]]:
    """Entry of the manifest: what the file loses of the colours."""
    stored = {name: colours_at[name] for name in facts.targets if name in colours_at}
    return {"losses_rgb": colour_losses(colours, stored, jaw_target, progress)}


def _manifest_entry(
    subject: ExportInput, facts: GlbFacts, limits: Mapping[str, LimitedPosing]
) -> dict[str, Any]:
    poses = reference_poses(subject.source.edition)
    return {
        **facts.as_dict(),
        "losses_mm": losses_mm(subject.bake.avatar, limits, poses.expression, poses.pose),
    }


def check_inputs(avatar: Source, settings: ExportSettings) -> None:
    """Raise an error if the track or the map of the settings does not fit the avatar.

    Raises:
        EditionMismatchError: the track or the map was made for another head model.
        UsageError, InputError: as `check_map`.
    """
    check_map(avatar, settings)
    if settings.track is not None:
        check_edition(settings.track.edition, avatar.edition)


def _check_vrm_inputs(avatar: Source, settings: ExportSettings) -> None:
    require_arkit(avatar, settings)
    if settings.glb.vrm.thumbnail is not None:
        read_picture(settings.glb.vrm.thumbnail)
    check_inputs(avatar, settings)


def _check_glb_inputs(avatar: Source, settings: ExportSettings) -> None:
    if settings.glb.profile != "plain":
        require_arkit(avatar, settings)
        if settings.track is not None and "glb" in settings.formats:
            raise UsageError(
                f"a GLB of the profile {settings.glb.profile} holds no motion; leave the track "
                "(--track) out"
            )
    check_inputs(avatar, settings)


def _target_names(folder: Path) -> list[str]:
    """Names of the morph targets of the GLB in an avatar folder."""
    return GlbPlayback(folder / "avatar.glb").names


def _check(kind: str) -> Callable[[Path], list[ParityReport]]:
    def check(folder: Path) -> list[ParityReport]:
        return [
            check_file(kind, folder / f"avatar.{kind}", folder / "golden" / f"{kind}.safetensors")
        ]

    return check


ROWS = tuple(
    ExportFormat(
        name,
        description,
        ("pygltflib", "xatlas"),
        write,
        _check(name),
        extra="gltf",
        bakes_colours=True,
        refuse=refuse,
        notes=notes,
        output=f"avatar.{name}",
        folder_files=(),
    )
    for name, description, write, refuse, notes in (
        (
            "glb",
            "one file for engines and browsers: skin, named morph targets, colours, a clip",
            _write_glb,
            _check_glb_inputs,
            arkit_notes(_target_names),
        ),
        (
            "vrm",
            "VRM 1.0 for VTuber programs: the same with a humanoid and ARKit's 52 expressions, "
            "which a FLAME avatar gets by --map",
            _write_vrm,
            _check_vrm_inputs,
            lambda folder: [],
        ),
    )
)
