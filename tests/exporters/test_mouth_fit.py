"""The mouth is learned from pictures: the edges of the lips, places and colours of its parts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from imavatar_deploy.arrays import Array, Float32, UInt8
from imavatar_deploy.avatar import Avatar
from imavatar_deploy.camera import front_camera
from imavatar_deploy.conventions import EXPRESSION_SIZE
from imavatar_deploy.dataset.labels import LABELS
from imavatar_deploy.exporters.bake import bake, shape_of
from imavatar_deploy.exporters.parts.build import OpenedSkin, open_skin
from imavatar_deploy.exporters.parts.colours import usual_palette
from imavatar_deploy.exporters.parts.fit_mouth import PLACED, MouthFit, fit_mouth
from imavatar_deploy.exporters.parts.opening import Opening
from imavatar_deploy.exporters.parts.part_mesh import PartMesh, part_number
from imavatar_deploy.exporters.parts.pictures import (
    CLOSED_FRAMES,
    MIN_FRAMES,
    OPEN_FRAMES,
    MouthPictures,
    labelled_outline,
    mouth_rows,
)
from imavatar_deploy.exporters.refine.held_out import held_out_rows, split_frames
from imavatar_deploy.exporters.refine.raster_frames import Shots
from imavatar_deploy.model import ImplicitAvatar, load_checkpoint
from imavatar_deploy.model.surface.extract import field_of
from imavatar_deploy.model.surface.field import Field
from imavatar_deploy.model.surface.mesh import Mesh
from imavatar_deploy.rendering.posing import pose_plainly
from imavatar_deploy.rendering.rasteriser import Rasteriser
from imavatar_deploy.rendering.workers import Workers

from .sample_mouth import CLOSED, MOUTH_BOX, NEUTRAL, front_patch, opened_jaw

SIZE = 192
SKIN_COLOUR = np.float32([0.6, 0.45, 0.35])
MM = 250.0  # a model unit in millimetres

SHIFT = {
    "upper teeth": np.float32([0.004, -0.008, 0.004]),
    "lower teeth": np.float32([-0.004, -0.004, 0.008]),
    "tongue": np.float32([0.0, 0.012, -0.008]),
}
"""Displacements of the subject's parts from their usual places, model units."""


@pytest.fixture(scope="module")
def avatar() -> ImplicitAvatar:
    return load_checkpoint("sample")


@pytest.fixture(scope="module")
def field(avatar: ImplicitAvatar) -> Field:
    return field_of(avatar)


@pytest.fixture(scope="module")
def patch(field: Field) -> Mesh:
    return front_patch(field, *MOUTH_BOX)


def views(shape: Avatar, jaws: Float32[Array, " T"]) -> MouthPictures:
    """White frames with a jaw each, the head turned left and right."""
    camera = front_camera(shape, pose_plainly(shape, NEUTRAL, CLOSED).vertices)
    poses = np.stack([opened_jaw(float(jaw)) for jaw in jaws])
    poses[:, 1] = np.linspace(-0.4, 0.4, len(jaws))
    count = len(jaws)
    shots = Shots(
        np.zeros((count, EXPRESSION_SIZE), np.float32),
        poses,
        np.tile(camera.image_matrix(SIZE, SIZE), (count, 1, 1)),
        np.full((count, SIZE, SIZE, 3), 255, np.uint8),
        np.ones((count, SIZE, SIZE), np.bool_),
    )
    return MouthPictures(shots, None)


def with_image(pictures: MouthPictures, image: UInt8[Array, "T S S 3"]) -> MouthPictures:
    return replace(pictures, shots=replace(pictures.shots, image=image))


def drawn(
    avatar: Avatar, values: Float32[Array, "V K"], pictures: MouthPictures, background: float
) -> Float32[Array, "T S S K"]:
    """Values of the vertices in every frame."""
    out = np.full((len(pictures), SIZE, SIZE, values.shape[1]), background, np.float32)
    with Workers() as workers:
        rasteriser = Rasteriser(avatar.faces, SIZE, SIZE, workers)
        for t in range(len(pictures)):
            posed = pose_plainly(avatar, pictures.shots.expression[t], pictures.shots.pose[t])
            fragments = rasteriser.draw(posed.vertices, pictures.shots.image_matrix[t])
            shown = fragments.triangle >= 0
            corners = avatar.faces[fragments.triangle[shown]]
            weights = fragments.barycentrics[shown]
            out[t][shown] = np.einsum("nk,nkc->nc", weights, values[corners])
    return out


class TestRows:
    def test_wide_and_closed_mouths_are_read_and_held_out_frames_are_not(self) -> None:
        poses = np.stack([opened_jaw(jaw) for jaw in np.linspace(0.0, 0.3, 200)])
        rows = mouth_rows(poses, split_frames(200, 256)[0])
        assert len(rows) == OPEN_FRAMES + CLOSED_FRAMES
        assert not set(rows.tolist()) & set(held_out_rows(200).tolist())
        jaw = poses[rows, 6]
        assert (jaw < 0.02).sum() == CLOSED_FRAMES
        assert np.sort(jaw)[CLOSED_FRAMES:].min() > 0.2

    def test_a_mouth_that_hardly_opens_teaches_nothing(self) -> None:
        poses = np.stack([opened_jaw(jaw) for jaw in np.linspace(0.0, 0.04, 100)])
        poses[: MIN_FRAMES - 1, 6] = 0.2
        assert len(mouth_rows(poses, np.arange(100))) == 0


@pytest.fixture(scope="module")
def shape(avatar: ImplicitAvatar, patch: Mesh) -> Avatar:
    return shape_of(avatar, patch)


@pytest.fixture(scope="module")
def usual() -> Opening:
    return lens(-0.005, 0.03, 0.04)


def lens(middle: float, above: float, below: float) -> Opening:
    """An outline of two arcs over the corners of the sample's mouth."""
    share = np.linspace(-1.0, 1.0, 41)
    arc = 1.0 - share**2
    return Opening(middle + 0.065 * share, -0.243 + above * arc, -0.243 - below * arc, 0.2)


class TestOutline:
    def labels(
        self, shape: Avatar, pictures: MouthPictures, outline: Opening
    ) -> UInt8[Array, "T S S"]:
        canonical = np.ascontiguousarray(shape.canonical.T)
        points = drawn(shape, canonical, pictures, 9.0)
        inside = outline.signed(points.reshape(-1, 3)) < 0.0
        label = np.where(inside, LABELS.index("mouth interior"), LABELS.index("upper lip"))
        return label.reshape(points.shape[:3]).astype(np.uint8)

    def test_it_is_where_the_labels_are_and_not_where_the_head_model_is(
        self, shape: Avatar, usual: Opening
    ) -> None:
        true = lens(-0.009, 0.018, 0.032)
        pictures = views(shape, np.linspace(0.06, 0.25, 20).astype(np.float32))
        pictures = replace(pictures, label=self.labels(shape, pictures, true))
        learned = labelled_outline(shape, pictures, usual)
        assert learned is not None
        middle = np.linspace(-0.055, 0.04, 30)
        for one, other in ((learned.upper, true.upper), (learned.lower, true.lower)):
            error = np.interp(middle, learned.x, one) - np.interp(middle, true.x, other)
            assert MM * np.abs(error).max() < 0.6
        assert MM * abs(learned.x[0] - true.x[0]) < 1.5
        assert MM * abs(learned.x[-1] - true.x[-1]) < 1.5

    def test_without_labels_or_without_a_labelled_mouth_there_is_none(
        self, shape: Avatar, usual: Opening
    ) -> None:
        pictures = views(shape, np.full(8, 0.2, np.float32))
        assert labelled_outline(shape, pictures, usual) is None
        blank = np.full((8, SIZE, SIZE), LABELS.index("skin"), np.uint8)
        assert labelled_outline(shape, replace(pictures, label=blank), usual) is None

    def test_the_skin_is_opened_along_it(
        self, avatar: ImplicitAvatar, patch: Mesh, field: Field
    ) -> None:
        def narrower(mesh: Mesh, usual: Opening) -> Opening:
            assert mesh is patch
            return replace(usual, x=0.8 * usual.x)

        skins = [open_skin(patch, avatar, field, "mouth", each) for each in (None, narrower)]
        width = []
        for skin in skins:
            assert skin is not None
            width.append(np.ptp(skin.mesh.vertices[skin.rims["mouth"], 0]))
        assert width[1] == pytest.approx(0.8 * width[0], rel=0.02)


@pytest.fixture(scope="module")
def scene(avatar: ImplicitAvatar, patch: Mesh, field: Field) -> tuple[Avatar, PartMesh]:
    skin: OpenedSkin | None = open_skin(patch, avatar, field, "mouth")
    assert skin is not None
    seen: list[tuple[Avatar, PartMesh]] = []

    def record(shape: Avatar, parts: PartMesh) -> PartMesh:
        seen.append((shape, parts))
        return parts

    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr("imavatar_deploy.exporters.parts.colours.STEPS", 1)
        bake(avatar, skin.mesh, openings=skin, fit=record)
    return seen[0]


@pytest.fixture(scope="module")
def pictures(scene: tuple[Avatar, PartMesh]) -> MouthPictures:
    shape, parts = scene
    palette = usual_palette()
    warm = np.float32([1.0, 0.7, 0.6])
    palette = replace(palette, front=palette.front * warm, back=palette.back * warm)
    rest = shape.rest.copy()
    count = shape.vertex_count - len(parts.part)
    for name, shift in SHIFT.items():
        rest[:, count:][:, parts.part == part_number(name)] += shift[:, None]
    colour = parts.painted(palette).colour
    share = parts.skin_share[:, None]
    colour = share * SKIN_COLOUR + (1.0 - share) * colour
    colours = np.concatenate([np.tile(SKIN_COLOUR, (count, 1)), colour])
    jaws = np.concatenate([np.linspace(0.1, 0.3, 14), np.zeros(2)]).astype(np.float32)
    blank = views(shape, jaws)
    image = drawn(replace(shape, rest=rest), colours.astype(np.float32), blank, 1.0)
    return with_image(blank, np.rint(255.0 * image).astype(np.uint8))


@pytest.fixture(scope="module")
def fitted(scene: tuple[Avatar, PartMesh], pictures: MouthPictures) -> MouthFit:
    return fit_mouth(*scene, pictures)


class TestParts:
    """Parts are found again that pictures show in other places and colours than the usual ones."""

    def test_places_are_those_of_the_pictures(self, fitted: MouthFit) -> None:
        for name in PLACED:
            shift = np.float64(fitted.facts["displacement_mm"][name])
            np.testing.assert_allclose(shift, MM * SHIFT[name], atol=1.0, err_msg=name)

    def test_colours_are_those_of_the_pictures(
        self, fitted: MouthFit, scene: tuple[Avatar, PartMesh]
    ) -> None:
        assert fitted.facts["kept"]
        assert fitted.facts["l1_fitted"] < 0.25 * fitted.facts["l1_usual"]
        tongue = scene[1].part == part_number("tongue")
        change = fitted.parts.colour[tongue] / scene[1].colour[tongue]
        np.testing.assert_allclose(np.median(change, axis=0), [1.0, 0.7, 0.6], atol=0.05)

    def test_the_parts_stay_whole(self, fitted: MouthFit, scene: tuple[Avatar, PartMesh]) -> None:
        _, parts = scene
        for name in PLACED:
            moved = (fitted.parts.rest - parts.rest)[parts.part == part_number(name)]
            np.testing.assert_allclose(moved, np.tile(moved[:1], (len(moved), 1)), atol=1e-6)
        cavity = parts.part == part_number("mouth")
        np.testing.assert_array_equal(fitted.parts.rest[cavity], parts.rest[cavity])

    def test_a_fit_that_is_worse_elsewhere_is_left_out(
        self, scene: tuple[Avatar, PartMesh], pictures: MouthPictures
    ) -> None:
        image = pictures.shots.image.copy()
        image[::2] = 255 - image[::2] // 2  # every second frame is fitted to
        fit = fit_mouth(*scene, with_image(pictures, image))
        assert not fit.facts["kept"]
        assert fit.parts is scene[1]
        assert "keeps its usual place" in fit.note
