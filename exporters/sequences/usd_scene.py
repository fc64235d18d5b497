"""UsdStage: a USD scene with skeleton, blend shapes and mesh, and a time sample for every frame."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from imavatar_deploy.arrays import Array, Float64
from imavatar_deploy.conventions import UNITS_PER_METRE
from imavatar_deploy.marking import extras

from .. import skeleton
from ..formats.gltf.container import DENSE_SHARE
from ..formats.gltf.materials import Texture
from ..formats.gltf.morph_targets import MorphTarget
from ..manifest import licence_of
from ..srgb import linear
from .motion import Motion
from .outputs import NAME
from .posing import Channels
from .usd_library import Library
from .usd_material import TEXTURE_FILE, add_material
from .usd_shapes import blend_shapes

FLUSH = 64
"""Frames after which the layer is saved, so that memory holds the colours of no more frames."""


class UsdStage:
    """A stage with the head of a motion.

    /head             SkelRoot
    /head/skeleton    Skeleton, bound to /head/motion
    /head/motion      SkelAnimation
    /head/surface     Mesh, and its BlendShapes below it
    /head/material    Material, bound to the mesh

    Args:
        library: the modules of USD.
        stage: an empty stage.
        motion: the avatar and its track.
        texture: an image with the colours; None for those of the vertices.
        texture_file: path of the image relative to the scene.
    """

    def __init__(
        self,
        library: Library,
        stage: Any,
        motion: Motion,
        texture: Texture | None = None,
        texture_file: str = TEXTURE_FILE,
    ) -> None:
        self._library = library
        self._stage = stage
        self._motion = motion
        self._texture = texture
        self._texture_file = texture_file
        self._shapes = blend_shapes(motion.avatar, motion.track, motion.shapes)
        self._root = library.UsdSkel.Root.Define(stage, f"/{NAME}")
        self._animation = library.UsdSkel.Animation.Define(stage, f"/{NAME}/motion")
        self._mesh = library.UsdGeom.Mesh.Define(stage, f"/{NAME}/surface")
        names = skeleton.joint_names(motion.avatar)
        parents = skeleton.joint_parents(motion.avatar)
        self._joints: list[str] = []
        for name, parent in zip(names, parents, strict=True):
            self._joints.append(name if parent < 0 else f"{self._joints[parent]}/{name}")

    def describe(self) -> None:
        """Write everything that does not depend on time."""
        stage = self._stage
        motion = self._motion
        geometry = self._library.UsdGeom
        stage.GetRootLayer().customLayerData = {
            "licence": licence_of(motion.folder.manifest),
            **extras(motion.synthetic_mark),
        }
        stage.SetDefaultPrim(self._root.GetPrim())
        geometry.SetStageUpAxis(stage, geometry.Tokens.y)
        geometry.SetStageMetersPerUnit(stage, 1.0)
        stage.SetTimeCodesPerSecond(motion.fps)
        stage.SetFramesPerSecond(motion.fps)
        stage.SetStartTimeCode(0)
        stage.SetEndTimeCode(len(motion) - 1)
        self._library.Usd.ModelAPI(self._root).SetKind("component")
        self._describe_skeleton()
        self._describe_mesh()
        self._describe_shapes()
        add_material(
            self._library, self._stage, self._mesh, self._texture, f"./{self._texture_file}"
        )

    def _describe_skeleton(self) -> None:
        positions = skeleton.joints_at_rest(self._motion.avatar)
        parents = skeleton.joint_parents(self._motion.avatar)
        local = [
            position - (positions[parent] if parent >= 0 else 0)
            for position, parent in zip(positions, parents, strict=True)
        ]
        bones = self._library.UsdSkel.Skeleton.Define(self._stage, f"/{NAME}/skeleton")
        bones.CreateJointsAttr(self._joints)
        bones.CreateBindTransformsAttr(self._translations(positions))
        bones.CreateRestTransformsAttr(self._translations(local))
        binding = self._library.UsdSkel.BindingAPI.Apply(bones.GetPrim())
        binding.CreateAnimationSourceRel().SetTargets([self._animation.GetPath()])
        self._animation.CreateJointsAttr(self._joints)
        unit = self._library.Gf.Vec3h(1, 1, 1)
        self._animation.CreateScalesAttr(self._library.Vt.Vec3hArray([unit] * len(self._joints)))
        self._animation.CreateBlendShapesAttr(self._shapes.names)

    def _translations(self, offsets: Iterable[Float64[Array, "3"]]) -> Any:
        matrices = [
            self._library.Gf.Matrix4d().SetTranslate(self._library.Gf.Vec3d(*map(float, o)))
            for o in offsets
        ]
        return self._library.Vt.Matrix4dArray(matrices)

    def _describe_mesh(self) -> None:
        avatar = self._motion.avatar
        mesh = self._mesh
        integers = self._library.Vt.IntArray.FromNumpy
        mesh.CreatePointsAttr(self._library.vectors(avatar.rest.T / UNITS_PER_METRE))
        mesh.CreateFaceVertexIndicesAttr(integers(avatar.faces.ravel()))
        mesh.CreateFaceVertexCountsAttr(integers(np.full(len(avatar.faces), 3, dtype=np.int32)))
        mesh.CreateSubdivisionSchemeAttr(self._library.UsdGeom.Tokens.none)
        mesh.CreateNormalsAttr(self._library.vectors(skeleton.rest_normals(avatar)))
        mesh.SetNormalsInterpolation(self._library.UsdGeom.Tokens.vertex)
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
        paths = [self._add_shape(target) for target in self._shapes.targets]
        binding = self._library.UsdSkel.BindingAPI(self._mesh.GetPrim())
        binding.CreateBlendShapesAttr(self._shapes.names)
        binding.CreateBlendShapeTargetsRel().SetTargets(paths)

    def _add_shape(self, target: MorphTarget) -> Any:
        """Define a blend shape, with the moved vertices alone where they are few."""
        shape = self._library.UsdSkel.BlendShape.Define(
            self._stage, self._mesh.GetPath().AppendChild(target.name)
        )
        offsets = target.without_small_offsets().T / np.float32(UNITS_PER_METRE)
        moved = np.flatnonzero(offsets.any(axis=1)).astype(np.int32)
        if len(moved) < DENSE_SHARE * len(offsets):
            shape.CreatePointIndicesAttr(self._library.Vt.IntArray.FromNumpy(moved))
            offsets = offsets[moved]
        shape.CreateOffsetsAttr(self._library.vectors(offsets))
        return shape.GetPath()

    def animate(self, frames: Iterable[Channels]) -> None:
        """Write a time sample of pose, extent and moving colours for each frame."""
        if self._motion.colour is not True and self._motion.neutral is not None:
            self._colour().Set(self._library.vectors(linear(self._motion.neutral)))
        for index, frame in enumerate(frames):
            self._pose(index)
            box = np.stack([frame["vertices"].min(axis=0), frame["vertices"].max(axis=0)])
            for boundable in (self._root, self._mesh):
                boundable.CreateExtentAttr().Set(self._library.vectors(box), index)
            if "colours" in frame:
                self._colour().Set(self._library.vectors(linear(frame["colours"])), index)
                if index % FLUSH == FLUSH - 1:
                    self._stage.GetRootLayer().Save()

    def _colour(self) -> Any:
        """The colours of the vertices, linear."""
        return self._mesh.CreateDisplayColorPrimvar(self._library.UsdGeom.Tokens.vertex)

    def _pose(self, index: int) -> None:
        avatar = self._motion.avatar
        arrays = self._library.Vt
        expression = self._motion.track.expression[index]
        pose = self._motion.track.pose[index]
        translations = skeleton.local_translations(avatar, expression, pose)
        rotations = skeleton.local_rotations(avatar, pose)
        weights = np.ascontiguousarray(self._shapes.weights[index])
        animation = self._animation
        animation.CreateTranslationsAttr().Set(self._library.vectors(translations), index)
        animation.CreateRotationsAttr().Set(arrays.QuatfArray.FromNumpy(rotations), index)
        animation.CreateBlendShapeWeightsAttr().Set(arrays.FloatArray.FromNumpy(weights), index)
