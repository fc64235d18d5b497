"""Parts of the mouth: the opening of the skin, what is built into it, and their colours."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from imavatar_deploy.arrays import Array, Float32, Int64
from imavatar_deploy.camera import Camera, front_camera
from imavatar_deploy.conventions import BONES, EXPRESSION_SIZE
from imavatar_deploy.exporters.bake import Bake, bake
from imavatar_deploy.exporters.fidelity.part_pixels import part_pixels
from imavatar_deploy.exporters.formats.onnx_modules import BakedTexture
from imavatar_deploy.exporters.parts import PARTS
from imavatar_deploy.exporters.parts.build import (
    EYE_BONES,
    MIN_BUDGET,
    OpenedSkin,
    open_skin,
    parts_obstacle,
)
from imavatar_deploy.exporters.parts.cut import open_along, refine_around
from imavatar_deploy.exporters.parts.eyes import RADIUS, EyeColours, eyeball, read_eye_colours
from imavatar_deploy.exporters.parts.opening import Opening
from imavatar_deploy.exporters.settings import ExportSettings
from imavatar_deploy.exporters.surface_colours import vertex_colours
from imavatar_deploy.fidelity.reference_frames import ReferenceFrames
from imavatar_deploy.fidelity.stage_metrics import FrameImages, measure_frames
from imavatar_deploy.head_model import HeadModel
from imavatar_deploy.kinematics import rotations, skinning_transforms
from imavatar_deploy.model import ImplicitAvatar, load_checkpoint
from imavatar_deploy.model.surface.extract import field_of
from imavatar_deploy.model.surface.field import Field
from imavatar_deploy.model.surface.mesh import Mesh
from imavatar_deploy.rendering.posing import pose_plainly, surface_normals

from .sample_mouth import CLOSED, MOUTH_BOX, NEUTRAL, front_patch, grid, opened_jaw


def flat_field() -> Field:
    return Field(lambda points: points[:, 2])


def flat_mesh() -> Mesh:
    places, faces = grid(24, 19)
    points = np.concatenate([0.5 * places - 0.25, np.zeros((len(places), 1))], axis=1)
    return Mesh(points, faces)


OUTLINE = Opening.through(
    np.float32([(-0.1, 0.01, 0), (-0.05, 0.04, 0), (0, 0.05, 0), (0.05, 0.04, 0), (0.1, 0.01, 0)]),
    np.float32(
        [(-0.1, 0.01, 0), (-0.05, -0.03, 0), (0, -0.04, 0), (0.05, -0.03, 0), (0.1, 0.01, 0)]
    ),
    0.1,
)


class TestOpening:
    def test_the_rim_lies_on_the_outline(self) -> None:
        mesh, rim, _ = open_along(flat_mesh(), OUTLINE)
        points = mesh.vertices[rim]
        assert np.abs(OUTLINE.signed(points)).max() < 1e-4
        assert OUTLINE.signed(mesh.vertices).min() > -1e-4
        x, y, _ = points.T
        area = 0.5 * abs((x * np.roll(y, -1) - y * np.roll(x, -1)).sum())
        expected = np.trapezoid(OUTLINE.upper - OUTLINE.lower, OUTLINE.x)
        assert area == pytest.approx(expected, rel=0.05)

    def test_the_mesh_stays_manifold_but_for_the_rim(self) -> None:
        before = flat_mesh()
        mesh, rim, _ = open_along(before, OUTLINE)
        assert len(set(rim.tolist())) == len(rim) > 20
        assert mesh.open_edges() == before.open_edges() + len(rim)

    def test_faces_around_it_become_fine(self) -> None:
        fine = refine_around(flat_mesh(), OUTLINE, flat_field(), None)
        mesh, rim, _ = open_along(fine, OUTLINE)
        points = mesh.vertices[rim]
        lengths = np.linalg.norm(points - np.roll(points, -1, axis=0), axis=1)
        assert lengths.max() < 0.012
        assert mesh.open_edges() == flat_mesh().open_edges() + len(rim)

    def test_a_budget_of_faces_is_kept(self) -> None:
        mesh = flat_mesh()
        assert len(refine_around(mesh, OUTLINE, flat_field(), len(mesh.faces) + 90).faces) <= (
            len(mesh.faces) + 90
        )

    def test_surface_behind_it_stays(self) -> None:
        mesh = flat_mesh()
        behind = Mesh(mesh.vertices - np.float32([0, 0, 0.5]), mesh.faces)
        opened, rim, _ = open_along(behind, OUTLINE)
        assert len(opened.faces) == len(mesh.faces)
        assert len(rim) == 0


@pytest.fixture(scope="module")
def avatar() -> ImplicitAvatar:
    return load_checkpoint("sample")


@pytest.fixture(scope="module")
def skin(avatar: ImplicitAvatar) -> OpenedSkin:
    field = field_of(avatar)
    opened = open_skin(front_patch(field, *MOUTH_BOX), avatar, field)
    assert opened is not None
    return opened


@pytest.fixture(scope="module")
def baked(avatar: ImplicitAvatar, skin: OpenedSkin) -> Bake:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("imavatar_deploy.exporters.parts.colours.STEPS", 120)
        return bake(avatar, skin.mesh, openings=skin)


def pixels_of_parts(bake: Bake, pose: Float32[Array, "15"], rim: Int64[Array, " R"]) -> int:
    """Pixels from the front that show parts, within the box of the rim and 16 pixels around it."""
    avatar = bake.avatar
    camera = front_camera(avatar, pose_plainly(avatar, NEUTRAL, CLOSED).vertices)
    frames = ReferenceFrames.blank(NEUTRAL[None], pose[None], camera, 256)
    only_parts = replace(bake, by_code=bake.parts > 0)
    mask = part_pixels(avatar, only_parts, frames)[0]
    points = pose_plainly(avatar, NEUTRAL, pose).vertices[rim]
    projected = np.pad(points, ((0, 0), (0, 1)), constant_values=1.0) @ frames.image_matrix[0].T
    places = projected[:, :2] / projected[:, 2:]
    (left, top), (right, bottom) = (
        np.rint(places.min(axis=0)).astype(int) - 16,
        np.rint(places.max(axis=0)).astype(int) + 16,
    )
    return int(mask[max(top, 0) : bottom, max(left, 0) : right].sum())


class TestMouth:
    def test_the_cavity_closes_the_rim(self, skin: OpenedSkin, baked: Bake) -> None:
        faces = baked.avatar.faces
        number = 1 + PARTS.index("mouth")
        kept = np.isin(baked.parts, (0, number))[faces].all(axis=1)
        whole = Mesh(baked.avatar.canonical.T, faces[kept])
        assert whole.open_edges() == skin.mesh.open_edges() - len(skin.rims["mouth"])
        assert len(skin.rims["mouth"]) > 30

    def test_closed_lips_cover_it_and_an_open_jaw_shows_it(
        self, skin: OpenedSkin, baked: Bake
    ) -> None:
        counts = [
            pixels_of_parts(baked, opened_jaw(angle), skin.rims["mouth"])
            for angle in (0.0, 0.1, 0.3)
        ]
        assert counts[0] < 0.02 * counts[2]
        assert counts[0] < counts[1] < counts[2]
        assert counts[2] > 500

    def test_teeth_follow_their_bone_alone(self, baked: Bake) -> None:
        strong = np.full(EXPRESSION_SIZE, 0.5, dtype=np.float32)
        rest = pose_plainly(baked.avatar, NEUTRAL, CLOSED).vertices
        moved = pose_plainly(baked.avatar, strong, opened_jaw(0.3)).vertices
        upper = baked.parts == 1 + PARTS.index("upper teeth")
        lower = baked.parts == 1 + PARTS.index("lower teeth")
        np.testing.assert_allclose(moved[upper], rest[upper], atol=1e-5)
        for points in (rest, moved):
            distance = np.linalg.norm(points[lower][:, None] - points[lower][None, :5], axis=2)
            np.testing.assert_allclose(
                distance,
                np.linalg.norm(rest[lower][:, None] - rest[lower][None, :5], axis=2),
                atol=1e-5,
            )
        assert np.abs(moved[lower] - rest[lower]).max() > 0.03

    def test_canonical_positions_are_those_of_the_canonical_pose(self, baked: Bake) -> None:
        posed = pose_plainly(baked.avatar, NEUTRAL, opened_jaw(0.2)).vertices
        np.testing.assert_allclose(posed, baked.avatar.canonical.T, atol=2e-4)

    def test_skin_away_from_the_rim_is_that_of_the_networks(
        self, avatar: ImplicitAvatar, skin: OpenedSkin, baked: Bake
    ) -> None:
        plain = bake(avatar, skin.mesh)
        same = np.flatnonzero(~skin.edge)
        assert 0 < skin.edge.sum() < 0.4 * len(skin.edge)
        for name in ("rest", "expression_basis", "skin_weights"):
            one, other = getattr(plain.avatar, name), getattr(baked.avatar, name)
            np.testing.assert_array_equal(other[..., : len(skin.edge)], one)
        difference = vertex_colours(avatar, baked)[same] - vertex_colours(avatar, plain)[same]
        assert np.abs(difference).max() < 1e-4

    def test_a_refinement_fits_the_mouth_and_the_skin(self, baked: Bake) -> None:
        assert (baked.parts > 0).any()
        assert not baked.filled[baked.parts > 0].any()

    def test_codes_give_teeth_their_colour(self, avatar: ImplicitAvatar, baked: Bake) -> None:
        network = BakedTexture(avatar.texture, baked.code.decode, baked.code.mean)
        teeth = baked.parts == 1 + PARTS.index("upper teeth")
        front = baked.avatar.canonical[2] > np.quantile(baked.avatar.canonical[2][teeth], 0.9)
        dark = (baked.parts == 1 + PARTS.index("mouth")) & (baked.avatar.canonical[2] < 0.25)
        normals = surface_normals(baked.avatar, pose_plainly(baked.avatar, NEUTRAL, CLOSED))
        colours = []
        for condition in (np.zeros((1, 53)), np.full((1, 53), 0.3)):
            inputs = (baked.code.code, normals, condition.astype(np.float32))
            with torch.inference_mode():
                colours.append(network(*(torch.from_numpy(each) for each in inputs)).numpy())
        white = colours[0][teeth & front & (colours[0][:, 2] > 0.4)]
        assert len(white) > 20
        assert np.median(white, axis=0).min() > 0.5
        assert np.median(colours[0][dark].max(axis=1)) < 0.3
        assert np.median(np.abs(colours[1] - colours[0])[teeth]) < 0.1

    def test_other_head_models_and_small_budgets_have_none(self, avatar: ImplicitAvatar) -> None:
        obstacle = partial(parts_obstacle, avatar.head)
        assert obstacle(ExportSettings(faces=MIN_BUDGET)) == ""
        assert obstacle(ExportSettings(faces=None)) == ""
        assert "--faces" in obstacle(ExportSettings(faces=MIN_BUDGET - 1))
        assert "leave" in obstacle(ExportSettings(parts="none"))
        plain = HeadModel(**{**vars(avatar.head), "vertex_groups": ()})
        assert "no teeth" in parts_obstacle(plain, ExportSettings())

    def test_a_surface_elsewhere_is_not_opened(self, avatar: ImplicitAvatar) -> None:
        assert open_skin(flat_mesh(), avatar, flat_field()) is None


class TestEyes:
    def test_an_eyeball_turns_about_its_joint(self, avatar: ImplicitAvatar) -> None:
        joints, basis = avatar.joints_rest, avatar.joint_basis
        for name, bone in EYE_BONES.items():
            number = BONES.index(bone)
            white = np.ones(3, dtype=np.float32)
            ball = eyeball(name, joints[number], basis[:, number], 6, EyeColours(white, white))
            expression = np.linspace(0, 0.5, EXPRESSION_SIZE, dtype=np.float32)
            pose = CLOSED.copy()
            pose[3 * number : 3 * number + 2] = (0.1, 0.4)
            moved = joints + np.einsum("e,ebc->bc", expression, basis)
            motion = skinning_transforms(pose, moved, 6)[number + 1]
            shaped = ball.rest + ball.expression @ expression
            posed = shaped @ motion[:3, :3].T + motion[:3, 3]
            offset = posed - moved[number]
            np.testing.assert_allclose(np.linalg.norm(offset, axis=1), RADIUS, atol=1e-5)
            gaze = offset[0] / RADIUS
            np.testing.assert_allclose(gaze, rotations(pose[3 * number :][:3])[0][:, 2], atol=1e-4)
            assert gaze[0] > 0.3
            np.testing.assert_array_equal(ball.weights[:, number + 1], 1.0)

    def test_lids_are_opened_and_the_eyeball_lies_behind_them(self, avatar: ImplicitAvatar) -> None:
        field = field_of(avatar)
        patch = front_patch(field, (0.04, -0.04), (0.19, 0.12))
        skin = open_skin(patch, avatar, field)
        assert skin is not None
        assert list(skin.rims) == ["left eye"]
        joint = avatar.joints_rest[BONES.index("eyeL")]
        rim = skin.mesh.vertices[skin.rims["left eye"]]
        assert skin.mesh.open_edges() == patch.open_edges() + len(rim)
        assert (np.linalg.norm(rim - joint, axis=1) > RADIUS - 0.002).all()

    def test_iris_and_sclera_have_the_colours_of_the_networks(self, avatar: ImplicitAvatar) -> None:
        patch = front_patch(field_of(avatar), (-0.2, -0.04), (0.2, 0.12))
        iris, sclera = read_eye_colours(patch, avatar)
        assert iris[0] > iris[1] > iris[2]
        assert iris.max() < 0.5 < sclera.min()


class TestFidelity:
    def test_pixels_of_parts_do_not_count(self) -> None:
        mask = np.ones((12, 12), dtype=np.bool_)
        normal = np.tile(np.float32([0, 0, 1]), (12, 12, 1))
        first = FrameImages(np.full((12, 12, 3), 0.5, np.float32), normal, mask)
        rgb = first.rgb.copy()
        rgb[:4] = 0.9
        second = FrameImages(rgb, normal, mask)
        out = np.zeros_like(mask)
        out[:4] = True
        counted = measure_frames([first], [second], [mask])
        left_out = measure_frames([first], [second], [mask], [out])
        for name in ("psnr", "mouth_psnr"):
            assert counted[name][0] < 15
            assert left_out[name][0] > 100

    def test_the_frames_keep_their_masks(self) -> None:
        camera = Camera(np.eye(3, 4, dtype=np.float32), np.ones(4, dtype=np.float32))
        blank = ReferenceFrames.blank(NEUTRAL[None], CLOSED[None], camera, 4)
        out = np.eye(4, dtype=np.bool_)
        frames = blank.leaving_out([out])
        np.testing.assert_array_equal(frames.left_out[0], out)
        assert not frames.mouths[0].any()
        assert not frames.pictures()[0].mask.any()
