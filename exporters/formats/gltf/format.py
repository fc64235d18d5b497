"""GLB and VRM: one file each, which engines, browsers and VTuber programs open, and the proof of what it shows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.fidelity.parity import ParityReport
from imavatar_deploy.model import ImplicitAvatar
from imavatar_deploy.progress import Progress
from imavatar_deploy.tracks import check_edition

from ...atlas import bake_texture
from ...fidelity.reference_poses import reference_poses
from ...manifest import licence_report
from ...settings import ExportSettings
from ...surface_colours import vertex_colours
from ..format import ExportFormat, ExportInput
from .expected import write_proof
from .expected_subject import glb_proof, vrm_proof
from .glb import GlbFacts, write_glb
from .losses import GLB_LIMITS, VRM_LIMITS, Limited, losses_mm
from .materials import Texture
from .morph_targets import JAW_CORRECTIVE, open_jaw
from .verify import check_proof
from .vrm import write_vrm

Float = NDArray[np.float32]


def _write_glb(folder: Path, subject: ExportInput, progress: Progress) -> Mapping[str, Any]:
    look, coloured = _look(subject, progress), _colours_at(subject, JAW_CORRECTIVE, progress)
    track, avatar = subject.settings.track, subject.bake.avatar
    facts = write_glb(
        folder / "avatar.glb",
        avatar,
        look,
        licence=_licence(subject),
        colours_at=coloured,
        track=track,
        settings=subject.settings.glb,
    )
    write_proof(
        folder / "golden" / "glb.safetensors", glb_proof(subject, look, coloured, facts, track)
    )
    return {"glb": _told(subject, facts, GLB_LIMITS)}


def _write_vrm(folder: Path, subject: ExportInput, progress: Progress) -> Mapping[str, Any]:
    look, avatar = _look(subject, progress), subject.bake.avatar
    coloured = _colours_at(subject, "jawOpen", progress)
    facts = write_vrm(
        folder / "avatar.vrm",
        avatar,
        look,
        licence=_licence(subject),
        title="imavatar head",
        colours_at=coloured,
        settings=subject.settings.glb,
    )
    write_proof(folder / "golden" / "vrm.safetensors", vrm_proof(subject, look, coloured, facts))
    return {"vrm": _told(subject, facts, VRM_LIMITS)}


def _licence(subject: ExportInput) -> dict[str, str]:
    source = subject.source
    return licence_report(source.edition, source.provenance, subject.metadata["source_sha256"])


def _look(subject: ExportInput, progress: Progress) -> Float | Texture:
    if subject.settings.glb.colour == "texture":
        return bake_texture(
            subject.source, subject.bake, subject.settings.glb.texture_size, progress
        )
    return vertex_colours(subject.source, subject.bake)


def _colours_at(subject: ExportInput, of_jaw: str, progress: Progress) -> dict[str, Float]:
    """Target's name -> colours of the vertices at its full weight, where they were asked for."""
    if not subject.settings.glb.colour_morphs:
        return {}
    names, size = subject.bake.avatar.expression_names, subject.bake.avatar.expression_size
    with progress("colours of the targets", size + 1) as advance:
        found = {of_jaw: vertex_colours(subject.source, subject.bake, pose=open_jaw())}
        for name, expression in zip(names, np.eye(size, dtype=np.float32), strict=True):
            advance(1)
            found[name] = vertex_colours(subject.source, subject.bake, expression)
    return found


def _told(subject: ExportInput, facts: GlbFacts, limits: Mapping[str, Limited]) -> dict[str, Any]:
    """What the manifest says of a file."""
    poses = reference_poses(subject.source.edition)
    return {
        **facts.as_dict(),
        "losses_mm": losses_mm(subject.bake.avatar, limits, poses.expression, poses.pose),
    }


def same_edition(avatar: ImplicitAvatar, settings: ExportSettings) -> None:
    """Refuse a motion that was made for another head model."""
    if settings.track is not None:
        check_edition(settings.track.edition, avatar.edition)


def _check(kind: str) -> Callable[[Path], list[ParityReport]]:
    def check(folder: Path) -> list[ParityReport]:
        return [
            check_proof(kind, folder / f"avatar.{kind}", folder / "golden" / f"{kind}.safetensors")
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
        refuse=same_edition,
    )
    for name, description, write in (
        (
            "glb",
            "one file for engines and browsers: skin, named morph targets, colours, a clip",
            _write_glb,
        ),
        (
            "vrm",
            "VRM 1.0 for VTuber programs: the same with a humanoid and ARKit's 52 expressions",
            _write_vrm,
        ),
    )
)
