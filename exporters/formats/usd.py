"""The formats `usd` and `usdz`: the rigged head as UsdSkel, at rest or with a motion.

A scene is read back, skinned by USD and compared with the avatar's own posing: in frames of its
motion, and in the reference poses, which replace the motion while the scene is read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save

from imavatar_deploy.arrays import Array, Float32, Shaped
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
from ..sequences.usd_library import EXTRA, MODULES, Library
from ..sequences.usd_shapes import blend_shapes
from ..skeleton import NEUTRAL_EXPRESSION, REST_POSE, local_rotations, local_translations
from ..surface_colours import neutral_texture, vertex_colours
from .arkit_shapes import arkit_notes, arkit_poses, shape_targets
from .format import ExportFormat, ExportInput
from .gltf.expected_glb_and_vrm import SHAPE_STEP
from .gltf.format import check_inputs

KEYS = 5
"""Frames of the motion that are compared."""

POSITION_TOLERANCE = Tolerance(1e-4)
"""Of vertices, metres."""

Arrays = dict[str, Shaped[Array, "..."]]


# Check of a scene


def write_expected(path: Path, motion: Motion) -> None:
    """Write the vertices that the scene of a motion must show.

    Args:
        path: the file to write; `check_scene` reads it.
        motion: the avatar, its track and further blend shapes; some of these are compared at
            their full weight.
    """
    path.parent.mkdir(exist_ok=True)
    avatar = motion.avatar
    track = motion.track
    poses = reference_poses(avatar.edition)
    shapes = blend_shapes(avatar, track, motion.shapes)
    keys = np.unique(np.linspace(0, len(track) - 1, KEYS).astype(np.int64))
    frames = list(zip(poses.expression, poses.pose, strict=True))
    still = (NEUTRAL_EXPRESSION, REST_POSE)
    compared = [shape for shape in motion.shapes[::SHAPE_STEP] if shape.name in shapes.names]
    bones = [*frames, *[still] * len(compared)]
    rest = _metres(avatar, *still)
    shown = [rest + shape.offset.T / np.float32(UNITS_PER_METRE) for shape in compared]
    arrays: Arrays = {
        "keys": keys,
        "motion": np.stack(
            [_metres(avatar, track.expression[key], track.pose[key]) for key in keys]
        ),
        "rig": np.stack([*(_metres(avatar, *frame) for frame in frames), *shown]),
        "translations": np.stack([local_translations(avatar, *frame) for frame in bones]).astype(
            np.float32
        ),
        "rotations": np.stack([local_rotations(avatar, pose) for _, pose in bones]),
        "weights": np.stack(
            [
                *(shapes.pose_weights(*frame) for frame in frames),
                *(shapes.shape_weights(shape.name) for shape in compared),
            ]
        ),
    }
    path.write_bytes(save({name: np.ascontiguousarray(array) for name, array in arrays.items()}))


def _metres(
    avatar: Avatar, expression: Float32[Array, " E"], pose: Float32[Array, "15"]
) -> Float32[Array, "V 3"]:
    return pose_plainly(avatar, expression, pose).vertices / np.float32(UNITS_PER_METRE)


def check_scene(subject: str, path: Path, expected: Path) -> ParityReport:
    """Read the scene at `path` and compare it with the vertices in the file `expected`."""
    stored = load_file(expected)
    scene = _Scene(path)
    rows = range(len(stored["rig"]))
    computed = {
        "motion": np.stack([scene.skin_vertices(int(key)) for key in stored["keys"]]),
        "rig": np.stack([scene.skin_vertices(0, stored, row) for row in rows]),
    }
    return compare(
        subject,
        {name: stored[name] for name in computed},
        computed,
        dict.fromkeys(computed, POSITION_TOLERANCE),
    )


class _Scene:
    """A scene file. It is opened once; each frame is evaluated on a stage of its own."""

    def __init__(self, path: Path) -> None:
        self._library = Library()
        self._layer = self._library.Sdf.Layer.FindOrOpen(str(path))

    def skin_vertices(
        self, time: int, stored: Arrays | None = None, row: int = 0
    ) -> Float32[Array, "V 3"]:
        """Vertices at a time code, or in row `row` of stored poses; skinned by the library."""
        usd = self._library
        stage = usd.Usd.Stage.Open(self._layer)
        session = stage.GetSessionLayer()
        session.timeCodesPerSecond = stage.GetTimeCodesPerSecond()
        stage.SetEditTarget(session)
        if stored is not None:
            self._set_pose(stage, stored, row)
        interval = usd.Gf.Interval(time, time)
        usd.UsdSkel.BakeSkinning(usd.UsdSkel.Root(stage.GetDefaultPrim()), interval)
        mesh = usd.UsdGeom.Mesh(stage.GetPrimAtPath(f"/{NAME}/surface"))
        return np.array(mesh.GetPointsAttr().Get(time))

    def _set_pose(self, stage: Any, stored: Arrays, row: int) -> None:
        """Replace the motion of a stage by a stored pose."""
        arrays = self._library.Vt
        motion = self._library.UsdSkel.Animation(stage.GetPrimAtPath(f"/{NAME}/motion"))
        translations = arrays.Vec3fArray.FromNumpy(stored["translations"][row])
        rotations = arrays.QuatfArray.FromNumpy(stored["rotations"][row])
        weights = arrays.FloatArray.FromNumpy(stored["weights"][row])
        motion.GetTranslationsAttr().Set(translations, 0)
        motion.GetRotationsAttr().Set(rotations, 0)
        motion.GetBlendShapeWeightsAttr().Set(weights, 0)


# The formats


def _writer(name: str) -> Callable[[Path, ExportInput, Progress], Mapping[str, Any]]:
    scene = next(row for row in SCENES if row.name == name)

    def write(folder: Path, subject: ExportInput, progress: Progress) -> Mapping[str, Any]:
        assert scene.whole is not None
        motion = _motion(folder, subject)
        if subject.settings.usd.is_textured(name):
            size = subject.settings.usd.texture_size
            texture = neutral_texture(
                subject.source, subject.bake, size, progress, student=subject.colour_student
            )
            motion = replace(motion, texture=texture)
        path = folder / f"avatar{scene.suffix}"
        scene.whole(path, motion, _frames(motion))
        write_expected(folder / "golden" / f"{name}.safetensors", motion)
        return {
            name: {
                "bytes": path.stat().st_size,
                "frames": len(motion),
                "blend_shapes": len(
                    blend_shapes(motion.avatar, motion.track, motion.shapes).targets
                ),
            }
        }

    return write


def _motion(folder: Path, subject: ExportInput) -> Motion:
    """The motion of the settings, or one frame at rest."""
    source = subject.source
    still = FlameTrack(NEUTRAL_EXPRESSION[None], REST_POSE[None], edition=source.edition)
    manifest = {
        "head_model": source.edition,
        "source": {
            "sha256": subject.metadata["source_sha256"],
            "provenance": source.provenance,
        },
        "files": {},
    }
    avatar_folder = AvatarFolder(folder, subject.bake.avatar, manifest)
    return Motion(
        avatar_folder,
        subject.settings.track or still,
        synthetic_mark=subject.settings.synthetic_mark,
        neutral=vertex_colours(subject.source, subject.bake, student=subject.colour_student),
        textured=False,
        shapes=tuple(
            shape_targets(subject.bake.avatar, arkit_poses(subject.settings.arkit_map), source.head)
        ),
    )


def _frames(motion: Motion) -> Iterator[Channels]:
    """Vertices of every frame."""
    for frame in motion.track.frames():
        yield {"vertices": _metres(motion.avatar, frame.expression, frame.pose)}


def _shape_names(suffix: str) -> Callable[[Path], list[str]]:
    def names(folder: Path) -> list[str]:
        library = Library()
        stage = library.Usd.Stage.Open(str(folder / f"avatar{suffix}"))
        animation = library.UsdSkel.Animation(stage.GetPrimAtPath(f"/{NAME}/motion"))
        return list(animation.GetBlendShapesAttr().Get())

    return names


def _check(name: str, suffix: str) -> Callable[[Path], list[ParityReport]]:
    def check(folder: Path) -> list[ParityReport]:
        return [
            check_scene(name, folder / f"avatar{suffix}", folder / "golden" / f"{name}.safetensors")
        ]

    return check


ROWS = tuple(
    ExportFormat(
        row.name,
        f"the rigged head for film and XR: {row.description}",
        (*MODULES, "xatlas"),
        _writer(row.name),
        _check(row.name, row.suffix),
        extra=EXTRA,
        bakes_colours=True,
        refuse=check_inputs,
        notes=arkit_notes(_shape_names(row.suffix)),
        output=f"avatar{row.suffix}",
        folder_files=(),
    )
    for row in SCENES
)
