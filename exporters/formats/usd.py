"""USD and USDZ: the rigged head as UsdSkel, at rest or with a motion, and the proof of what it shows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file, save

from imavatar_deploy.avatar import Avatar
from imavatar_deploy.avatar_io import AvatarFolder
from imavatar_deploy.conventions import UNITS_PER_METRE
from imavatar_deploy.fidelity.parity import ParityReport, Tolerance, compare
from imavatar_deploy.progress import Progress
from imavatar_deploy.rendering.posing import pose_plainly
from imavatar_deploy.tracks import FlameTrack

from ..fidelity.reference_poses import reference_poses
from ..sequences.motion import Motion
from ..sequences.outputs import NAME
from ..sequences.posing import Channels
from ..sequences.usd import ROWS as SCENES
from ..sequences.usd_scene import EXTRA, MODULES, Library, blend_names, blend_weights
from ..skeleton import AT_REST, NEUTRAL, local_rotations, local_translations
from ..surface_colours import vertex_colours
from .format import ExportFormat, ExportInput
from .gltf.format import same_edition

# A USD scene read back: moved by USD's own skinning and held against the avatar's own posing.
#
# Two things are compared: frames of the motion that is in the file, and the rig alone on the proof poses, which are put
# over that motion while it is read; so a head that stands still is proved, too.


Array = NDArray[Any]

KEYS = 5
"""Frames of the motion that are compared."""

METRES = Tolerance(1e-4)


def write_proof(path: Path, avatar: Avatar, track: FlameTrack) -> None:
    """Keep what a scene of this avatar and motion must show."""
    path.parent.mkdir(exist_ok=True)
    poses = reference_poses(avatar.edition)
    keys = np.unique(np.linspace(0, len(track) - 1, KEYS).astype(np.int64))
    frames = list(zip(poses.expression, poses.pose, strict=True))
    arrays: dict[str, Array] = {
        "keys": keys,
        "motion": np.stack(
            [_metres(avatar, track.expression[key], track.pose[key]) for key in keys]
        ),
        "rig": np.stack([_metres(avatar, *frame) for frame in frames]),
        "translations": np.stack([local_translations(avatar, *frame) for frame in frames]).astype(
            np.float32
        ),
        "rotations": np.stack([local_rotations(avatar, pose) for _, pose in frames]),
        "weights": np.stack([blend_weights(*frame) for frame in frames]),
    }
    path.write_bytes(save({name: np.ascontiguousarray(array) for name, array in arrays.items()}))


def _metres(avatar: Avatar, expression: Array, pose: Array) -> Array:
    return pose_plainly(avatar, expression, pose).vertices / np.float32(UNITS_PER_METRE)


def check_proof(subject: str, path: Path, proof: Path) -> ParityReport:
    """Read the scene at `path` back and hold it against its proof."""
    stored, scene = load_file(proof), _Scene(path)
    found = {
        "motion": np.stack([scene.skinned(int(key)) for key in stored["keys"]]),
        "rig": np.stack([scene.skinned(0, stored, number) for number in range(len(stored["rig"]))]),
    }
    return compare(
        subject, {name: stored[name] for name in found}, found, dict.fromkeys(found, METRES)
    )


class _Scene:
    """A file opened once, whose frames are asked for on stages of their own."""

    def __init__(self, path: Path) -> None:
        self._library = Library()
        self._layer = self._library.Sdf.Layer.FindOrOpen(str(path))

    def skinned(self, time: int, stored: dict[str, Array] | None = None, number: int = 0) -> Array:
        """[V, 3] the mesh at a time code, or in a stored pose; skinned by the library."""
        usd, stage = self._library, self._library.Usd.Stage.Open(self._layer)
        session = stage.GetSessionLayer()
        session.timeCodesPerSecond = stage.GetTimeCodesPerSecond()
        stage.SetEditTarget(session)
        if stored is not None:
            self._put(stage, stored, number)
        moment = usd.Gf.Interval(time, time)
        usd.UsdSkel.BakeSkinning(usd.UsdSkel.Root(stage.GetDefaultPrim()), moment)
        mesh = usd.UsdGeom.Mesh(stage.GetPrimAtPath(f"/{NAME}/surface"))
        return np.array(mesh.GetPointsAttr().Get(time))

    def _put(self, stage: Any, stored: dict[str, Array], number: int) -> None:
        """A stored pose over the motion of a stage."""
        arrays = self._library.Vt
        motion = self._library.UsdSkel.Animation(stage.GetPrimAtPath(f"/{NAME}/motion"))
        motion.GetTranslationsAttr().Set(
            arrays.Vec3fArray.FromNumpy(stored["translations"][number]), 0
        )
        motion.GetRotationsAttr().Set(arrays.QuatfArray.FromNumpy(stored["rotations"][number]), 0)
        motion.GetBlendShapeWeightsAttr().Set(
            arrays.FloatArray.FromNumpy(stored["weights"][number]), 0
        )


Float = NDArray[np.float32]


def _writer(name: str) -> Callable[[Path, ExportInput, Progress], Mapping[str, Any]]:
    scene = next(row for row in SCENES if row.name == name)

    def write(folder: Path, subject: ExportInput, progress: Progress) -> Mapping[str, Any]:
        assert scene.whole is not None
        take, path = _take(folder, subject), folder / f"avatar{scene.suffix}"
        scene.whole(path, take, _frames(subject, take))
        write_proof(folder / "golden" / f"{name}.safetensors", take.avatar, take.track)
        shapes = len(blend_names(take.avatar))
        return {name: {"bytes": path.stat().st_size, "frames": len(take), "blend_shapes": shapes}}

    return write


def _take(folder: Path, subject: ExportInput) -> Motion:
    """The subject's motion, or one frame at rest."""
    source, avatar = subject.source, subject.bake.avatar
    said = {"sha256": subject.metadata["source_sha256"], "provenance": source.provenance}
    still = FlameTrack(NEUTRAL[None], AT_REST[None], edition=source.edition)
    manifest = {"head_model": source.edition, "source": said, "files": {}}
    return Motion(
        AvatarFolder(folder, avatar, manifest), subject.settings.track or still, colour=True
    )


def _frames(subject: ExportInput, take: Motion) -> Iterator[Channels]:
    """Vertices of every frame; colours, those of the neutral face, in the first alone: a scene keeps them."""
    for index, frame in enumerate(take.track.frames()):
        moved = pose_plainly(take.avatar, frame.expression, frame.pose).vertices / np.float32(
            UNITS_PER_METRE
        )
        yield {"vertices": moved} | (
            {} if index else {"colours": vertex_colours(subject.source, subject.bake)}
        )


def _check(name: str, suffix: str) -> Callable[[Path], list[ParityReport]]:
    def check(folder: Path) -> list[ParityReport]:
        return [
            check_proof(name, folder / f"avatar{suffix}", folder / "golden" / f"{name}.safetensors")
        ]

    return check


ROWS = tuple(
    ExportFormat(
        row.name,
        f"the rigged head for film and XR: {row.description}",
        MODULES,
        _writer(row.name),
        _check(row.name, row.suffix),
        extra=EXTRA,
        refuse=same_edition,
    )
    for row in SCENES
)
