"""GLB and VRM: one file each, which engines, browsers and VTuber programs open, and the proof of what it shows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.animation.animate import pose_plainly
from imavatar_deploy.conventions import POSE_SIZE, UNITS_PER_METRE
from imavatar_deploy.parity import ParityReport
from imavatar_deploy.progress import Progress
from imavatar_deploy.tracks import FlameTrack

from .atlas import bake_texture, surface_at
from .format import ExportFormat, Subject
from .gltf.limits import with_four_influences
from .gltf.look import Texture, corners
from .gltf.losses import losses_mm
from .gltf.proof import Pictured, Proof, check_proof, clip_frames, live_poses, write_proof
from .gltf.targets import open_jaw
from .gltf.vrm import write_vrm
from .gltf.vrm_body import STANDS_AT
from .gltf.write import GlbFacts, write_glb
from .golden_cases import FRAMES
from .manifest import licence_report
from .proof_poses import proof_poses
from .surface_colours import point_colours, vertex_colours

Float = NDArray[np.float32]

PLACES = 2000
"""Faces at whose centres a texture is compared with the network."""


def _write_glb(folder: Path, subject: Subject, progress: Progress) -> Mapping[str, Any]:
    look = _look(subject, progress)
    track, avatar = subject.track, subject.bake.avatar
    facts = write_glb(
        folder / "avatar.glb", avatar, look, licence=licence_report(subject), track=track, settings=subject.glb
    )
    write_proof(folder / "golden" / "glb.safetensors", _proof(subject, look, facts, track))
    return {"glb": _told(subject, facts)}


def _write_vrm(folder: Path, subject: Subject, progress: Progress) -> Mapping[str, Any]:
    look, avatar = _look(subject, progress), subject.bake.avatar
    licence = licence_report(subject)
    facts = write_vrm(folder / "avatar.vrm", avatar, look, licence=licence, title="imavatar head", settings=subject.glb)
    standing = _proof(subject, look, facts, None)
    raised = [_raised(picture) for picture in (*standing.poses, _opened(subject, look))]
    write_proof(folder / "golden" / "vrm.safetensors", Proof(raised, {}, standing.colours))
    return {"vrm": _told(subject, facts)}


def _look(subject: Subject, progress: Progress) -> Float | Texture:
    if subject.glb.colour == "texture":
        return bake_texture(subject.source, subject.bake, subject.glb.texture_size, progress)
    return vertex_colours(subject.source, subject.bake)


def _told(subject: Subject, facts: GlbFacts) -> dict[str, Any]:
    """What the manifest says of a file."""
    poses = proof_poses(subject.source.edition)
    return {**facts.as_dict(), "losses_mm": losses_mm(subject.bake.avatar, poses.expression, poses.pose)}


def _proof(subject: Subject, look: Float | Texture, facts: GlbFacts, track: FlameTrack | None) -> Proof:
    avatar, poses = subject.bake.avatar, proof_poses(subject.source.edition)
    source, _ = corners(avatar, look)
    frames = sorted({0, *(frame % len(poses.pose) for frame in FRAMES)})
    return Proof(
        live_poses(avatar, facts.targets, poses.expression[frames], poses.pose[frames], source),
        {} if track is None else clip_frames(avatar, facts.targets, track, source),
        _places(subject, look) if isinstance(look, Texture) else {"vertex": look},
    )


def _places(subject: Subject, texture: Texture) -> dict[str, Float]:
    """Centres of some faces: where in the image, and the network's colour."""
    count = len(texture.faces)
    some = np.linspace(0, count - 1, min(PLACES, count)).astype(np.intp)
    shares = np.full((len(some), 3), 1 / 3, dtype=np.float32)
    points, normals = surface_at(subject.bake, subject.bake.avatar.faces[some], shares)
    return {
        "uv": texture.uv[texture.faces[some]].mean(axis=1),
        "seen": point_colours(subject.source, points, normals),
    }


def _opened(subject: Subject, look: Float | Texture) -> Pictured:
    """VRM's jawOpen at full weight, every bone at rest."""
    avatar = subject.bake.avatar
    neutral = np.zeros(avatar.expression_size, dtype=np.float32)
    moved = pose_plainly(with_four_influences(avatar), neutral, open_jaw()).vertices
    vertices = moved[corners(avatar, look)[0]] / np.float32(UNITS_PER_METRE)
    return Pictured({"jawOpen": 1.0}, np.zeros(POSE_SIZE, dtype=np.float32), vertices)


def _raised(picture: Pictured) -> Pictured:
    return Pictured(picture.weights, picture.pose, picture.vertices + np.array([0, STANDS_AT, 0], dtype=np.float32))


def _check(kind: str) -> Callable[[Path], list[ParityReport]]:
    def check(folder: Path) -> list[ParityReport]:
        return [check_proof(kind, folder / f"avatar.{kind}", folder / "golden" / f"{kind}.safetensors")]

    return check


ROWS = tuple(
    ExportFormat(name, description, ("pygltflib", "xatlas"), write, _check(name), extra="gltf")
    for name, description, write in (
        ("glb", "one file for engines and browsers: skin, named morph targets, colours, a clip", _write_glb),
        ("vrm", "VRM 1.0 for VTuber programs: the same with a humanoid and ARKit's 52 expressions", _write_vrm),
    )
)
