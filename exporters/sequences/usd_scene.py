"""The stage of a USD scene: skeleton, blend shapes, mesh, and a time sample of all that moves for every frame."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.avatar import Avatar
from imavatar_deploy.conventions import BONES, POSE_FEATURE_SIZE, UNITS_PER_METRE
from imavatar_deploy.kinematics import pose_feature
from imavatar_deploy.optional import require

from .. import skeleton
from ..manifest import licence_of
from ..srgb import linear
from .motion import Motion
from .outputs import NAME
from .posing import Channels

# An avatar's bases as blend shapes: names, offsets, and the weight of each in a frame.


Float = NDArray[np.float32]


def blend_names(avatar: Avatar) -> list[str]:
    """[E + 36] identifiers: the expressions, then `pose_jaw_0` and the like for the entries of the pose feature."""
    expressions = [re.sub(r"\W", "_", name) for name in avatar.expression_names]
    each = POSE_FEATURE_SIZE // (len(BONES) - 1)
    names = [*expressions, *(f"pose_{bone}_{entry}" for bone in BONES[1:] for entry in range(each))]
    return [
        name if names.count(name) == 1 else f"{name}_{index}" for index, name in enumerate(names)
    ]


def blend_offsets(avatar: Avatar) -> Float:
    """[E + 36, V, 3] metres a unit of weight."""
    bases = np.concatenate([avatar.expression_basis, avatar.pose_basis]) / np.float32(
        UNITS_PER_METRE
    )
    return np.ascontiguousarray(bases.transpose(0, 2, 1))


def blend_weights(expression: Float, pose: Float) -> Float:
    """[E + 36] of a frame."""
    return np.concatenate([expression, pose_feature(pose)])


EXTRA = "scene"

MODULES = ("pxr.Usd", "pxr.UsdGeom", "pxr.UsdSkel", "pxr.Sdf", "pxr.Gf", "pxr.Vt", "pxr.Tf")

FLUSH = 64
"""Frames after which what is known is written to the file: memory holds no more colours than these."""


class Library:
    """The modules of the bindings by their own names."""

    def __init__(self) -> None:
        modules = (require(module, extra=EXTRA) for module in MODULES)
        self.Usd: Any
        self.Usd, self.UsdGeom, self.UsdSkel, self.Sdf, self.Gf, self.Vt, self.Tf = modules

    def vectors(self, values: NDArray[Any]) -> Any:
        """[N, 3] as an array of the library's."""
        return self.Vt.Vec3fArray.FromNumpy(np.ascontiguousarray(values, dtype=np.float32))


class UsdStage:
    """A stage with the head in it.

    /head             SkelRoot
    /head/skeleton    Skeleton, bound to /head/motion
    /head/motion      SkelAnimation
    /head/surface     Mesh, and its BlendShapes below it
    """

    def __init__(self, library: Library, stage: Any, take: Motion) -> None:
        self._library, self._stage, self._take = library, stage, take
        self._root = library.UsdSkel.Root.Define(stage, f"/{NAME}")
        self._motion = library.UsdSkel.Animation.Define(stage, f"/{NAME}/motion")
        self._mesh = library.UsdGeom.Mesh.Define(stage, f"/{NAME}/surface")
        names = skeleton.joint_names(take.avatar)
        above = skeleton.joint_parents(take.avatar)
        self._joints: list[str] = []
        for name, parent in zip(names, above, strict=True):
            self._joints.append(name if parent < 0 else f"{self._joints[parent]}/{name}")

    def describe(self) -> None:
        """Everything that does not move."""
        stage, take, geometry = self._stage, self._take, self._library.UsdGeom
        stage.GetRootLayer().customLayerData = {"licence": licence_of(take.folder.manifest)}
        stage.SetDefaultPrim(self._root.GetPrim())
        geometry.SetStageUpAxis(stage, geometry.Tokens.y)
        geometry.SetStageMetersPerUnit(stage, 1.0)
        stage.SetTimeCodesPerSecond(take.fps)
        stage.SetFramesPerSecond(take.fps)
        stage.SetStartTimeCode(0)
        stage.SetEndTimeCode(len(take) - 1)
        self._library.Usd.ModelAPI(self._root).SetKind("component")
        self._describe_skeleton()
        self._describe_mesh()
        self._describe_shapes()

    def _describe_skeleton(self) -> None:
        places, above = (
            skeleton.joints_at_rest(self._take.avatar),
            skeleton.joint_parents(self._take.avatar),
        )
        local = [
            place - (places[parent] if parent >= 0 else 0)
            for place, parent in zip(places, above, strict=True)
        ]
        bones = self._library.UsdSkel.Skeleton.Define(self._stage, f"/{NAME}/skeleton")
        bones.CreateJointsAttr(self._joints)
        bones.CreateBindTransformsAttr(self._translations(places))
        bones.CreateRestTransformsAttr(self._translations(local))
        binding = self._library.UsdSkel.BindingAPI.Apply(bones.GetPrim())
        binding.CreateAnimationSourceRel().SetTargets([self._motion.GetPath()])
        self._motion.CreateJointsAttr(self._joints)
        still = self._library.Gf.Vec3h(1, 1, 1)
        self._motion.CreateScalesAttr(self._library.Vt.Vec3hArray([still] * len(self._joints)))
        self._motion.CreateBlendShapesAttr(blend_names(self._take.avatar))

    def _translations(self, offsets: Iterable[NDArray[np.float64]]) -> Any:
        matrices = [
            self._library.Gf.Matrix4d().SetTranslate(self._library.Gf.Vec3d(*map(float, o)))
            for o in offsets
        ]
        return self._library.Vt.Matrix4dArray(matrices)

    def _describe_mesh(self) -> None:
        avatar, mesh = self._take.avatar, self._mesh
        integers = self._library.Vt.IntArray.FromNumpy
        mesh.CreatePointsAttr(self._library.vectors(avatar.rest.T / UNITS_PER_METRE))
        mesh.CreateFaceVertexIndicesAttr(integers(avatar.faces.ravel()))
        mesh.CreateFaceVertexCountsAttr(integers(np.full(len(avatar.faces), 3, dtype=np.int32)))
        mesh.CreateSubdivisionSchemeAttr(self._library.UsdGeom.Tokens.none)
        binding = self._library.UsdSkel.BindingAPI.Apply(mesh.GetPrim())
        binding.CreateSkeletonRel().SetTargets([f"/{NAME}/skeleton"])
        bones = avatar.bone_count
        indices = np.tile(np.arange(bones, dtype=np.int32), avatar.vertex_count)
        weights = np.ascontiguousarray(avatar.skin_weights.T).ravel()
        binding.CreateJointIndicesPrimvar(False, bones).Set(integers(indices))
        binding.CreateJointWeightsPrimvar(False, bones).Set(
            self._library.Vt.FloatArray.FromNumpy(weights)
        )
        binding.CreateGeomBindTransformAttr(self._library.Gf.Matrix4d(1))

    def _describe_shapes(self) -> None:
        names = blend_names(self._take.avatar)
        targets = []
        for name, offsets in zip(names, blend_offsets(self._take.avatar), strict=True):
            shape = self._library.UsdSkel.BlendShape.Define(
                self._stage, self._mesh.GetPath().AppendChild(name)
            )
            shape.CreateOffsetsAttr(self._library.vectors(offsets))
            targets.append(shape.GetPath())
        binding = self._library.UsdSkel.BindingAPI(self._mesh.GetPrim())
        binding.CreateBlendShapesAttr(names)
        binding.CreateBlendShapeTargetsRel().SetTargets(targets)

    def animate(self, frames: Iterable[Channels]) -> None:
        """A time sample for each frame of all that moves."""
        for index, frame in enumerate(frames):
            self._pose(index)
            box = np.stack([frame["vertices"].min(axis=0), frame["vertices"].max(axis=0)])
            for boundable in (self._root, self._mesh):
                boundable.CreateExtentAttr().Set(self._library.vectors(box), index)
            if "colours" in frame:
                colour = self._mesh.CreateDisplayColorPrimvar(self._library.UsdGeom.Tokens.vertex)
                colour.Set(self._library.vectors(linear(frame["colours"])), index)
                if index % FLUSH == FLUSH - 1:
                    self._stage.GetRootLayer().Save()

    def _pose(self, index: int) -> None:
        avatar, track, arrays = self._take.avatar, self._take.track, self._library.Vt
        expression, pose = track.expression[index], track.pose[index]
        translations = skeleton.local_translations(avatar, expression, pose)
        rotations = skeleton.local_rotations(avatar, pose)
        weights = blend_weights(expression, pose)
        self._motion.CreateTranslationsAttr().Set(self._library.vectors(translations), index)
        self._motion.CreateRotationsAttr().Set(arrays.QuatfArray.FromNumpy(rotations), index)
        self._motion.CreateBlendShapeWeightsAttr().Set(arrays.FloatArray.FromNumpy(weights), index)
