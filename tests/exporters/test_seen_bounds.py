"""The cut of the bust follows the pictures: nothing that they show is cut."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from imavatar_deploy.arrays import Array, Bool
from imavatar_deploy.avatar import Avatar
from imavatar_deploy.camera import Camera
from imavatar_deploy.exporters.bake import shape_of
from imavatar_deploy.exporters.bust import NO_BOUNDS, Bounds, picture_bounds
from imavatar_deploy.exporters.export import bake_surface
from imavatar_deploy.exporters.mesh_cleanup import canonical_points
from imavatar_deploy.exporters.report import ExportReport
from imavatar_deploy.exporters.seen_bounds import (
    SEEN_MARGIN,
    bust_bounds,
    bust_notes,
    seen_bounds,
)
from imavatar_deploy.exporters.settings import ExportSettings
from imavatar_deploy.exporters.unseen import MAX_VIEWS, TrainingViews, views_of
from imavatar_deploy.exporters.unseen_options import UnseenSettings
from imavatar_deploy.fidelity import iou
from imavatar_deploy.head_model import HeadModel
from imavatar_deploy.model import ImplicitAvatar
from imavatar_deploy.model.surface.extract import extract, field_of
from imavatar_deploy.model.surface.mesh import Mesh
from imavatar_deploy.rendering.posing import pose_plainly
from imavatar_deploy.rendering.rasteriser import Rasteriser
from imavatar_deploy.rendering.workers import Workers
from imavatar_deploy.tracks import FlameTrack, read_track
from imavatar_deploy.training.synthetic.synthesise import INTRINSICS, WORLD_MAT

from ..shapes import closed_sphere
from ..tiny_avatar import tiny_avatar

ALL_OF_IT = Camera.looking_at(np.zeros(3), extent=4.0)
UPPER = Camera.looking_at([0.0, 0.4, 0.0], extent=1.0)
"""Shows the avatars of these tests from the middle up."""


def views(*cameras: Camera) -> TrainingViews:
    count = len(cameras)
    return TrainingViews(
        np.zeros((count, 50), np.float32), np.zeros((count, 15), np.float32), cameras
    )


def mask(avatar: Avatar, camera: Camera, size: int = 96) -> Bool[Array, "H W"]:
    """Pixels of the avatar at rest."""
    vertices = pose_plainly(avatar, np.zeros(50, np.float32), np.zeros(15, np.float32)).vertices
    with Workers() as workers:
        drawn = Rasteriser(avatar.faces, size, size, workers).draw(
            vertices, camera.image_matrix(size, size)
        )
        return np.asarray(drawn.triangle >= 0)


def seen_of(cameras: tuple[Camera, ...]) -> FlameTrack:
    """A track of frames at rest with these cameras."""
    talk = read_track("talk").select(slice(0, len(cameras)))
    still = replace(talk, expression=np.zeros_like(talk.expression), pose=np.zeros_like(talk.pose))
    return replace(still, cameras=cameras)


class TestSeenBounds:
    def test_a_view_of_all_of_it_cuts_nothing(self) -> None:
        avatar = tiny_avatar(24, 32)
        bounds = seen_bounds(avatar, views(ALL_OF_IT))
        assert bounds.beyond(avatar.canonical.T).max() < 0
        assert not bounds.flat(avatar.canonical.T).any()

    def test_the_cut_lies_along_the_edge_of_the_picture(self) -> None:
        """Of a single camera it is the plane through its lower edge, a little farther out."""
        avatar = tiny_avatar(48, 64)
        bounds = seen_bounds(avatar, views(UPPER))
        bottom = bounds.planes[2]
        edge = np.array(
            [[0, 0.4 - 0.5 * distance / 4.0, 4.0 - distance] for distance in (3.5, 5.0)]
        )
        beyond = edge @ bottom.normal - bottom.offset
        np.testing.assert_allclose(beyond, -SEEN_MARGIN, atol=2e-3)
        assert (bounds.beyond(avatar.canonical.T) > 0).mean() > 0.1

    def test_the_view_that_shows_most_decides(self) -> None:
        avatar = tiny_avatar(24, 32)
        both = seen_bounds(avatar, views(UPPER, ALL_OF_IT, UPPER))
        assert both.beyond(avatar.canonical.T).max() < 0

    def test_sides_of_which_cameras_disagree_have_upright_planes_alone(self) -> None:
        around = [
            Camera.looking_at(np.zeros(3), extent=1.0, yaw=yaw) for yaw in (0, 1.57, 3.14, 4.71)
        ]
        planes = seen_bounds(tiny_avatar(), views(*around)).planes
        normals = [(0, -1, 0), (-1, 0, 0), (1, 0, 0), (0, -1, 0)]
        np.testing.assert_allclose([plane.normal for plane in planes], normals, atol=1e-3)

    def test_no_view_of_it_gives_no_bounds(self) -> None:
        away = Camera.looking_at([0.0, 9.0, 0.0], extent=1.0)
        assert seen_bounds(tiny_avatar(), views(away)) == NO_BOUNDS


class TestOfAnExport:
    def test_a_single_frame_of_a_long_video_counts(self, avatar: ImplicitAvatar) -> None:
        """It is none of the `MAX_VIEWS` frames at equal distances."""
        count = MAX_VIEWS + 40
        track = seen_of((UPPER,) * count)
        wide = replace(track, cameras=(*(UPPER,) * 5, ALL_OF_IT, *(UPPER,) * (count - 6)))
        shape = shape_of(avatar, extract(field_of(avatar), resolution=64))
        assert all(camera is UPPER for camera in views_of([wide], shape).cameras)
        narrow_bounds, wide_bounds = (
            bust_bounds(avatar, ExportSettings(unseen=UnseenSettings(seen_from=(each,))))
            for each in (track, wide)
        )
        assert wide_bounds.planes[2].offset > narrow_bounds.planes[2].offset + 0.1

    def test_what_the_pictures_show_stays(self, avatar: ImplicitAvatar) -> None:
        settings = ExportSettings(resolution=64, faces=2000)
        track = seen_of((UPPER,))
        cut, whole = (
            bake_surface(avatar, replace(settings, unseen=unseen), ExportReport())
            for unseen in (
                UnseenSettings(seen_from=(track,)),
                UnseenSettings(seen_from=(track,), cut_bust=False),
            )
        )
        assert len(cut.bounds.planes) == 6
        assert whole.bounds == NO_BOUNDS
        seen = [mask(each.avatar, UPPER) for each in (cut, whole)]
        assert iou(*seen) > 0.99  # two decimations of one surface
        below = [mask(each.avatar, ALL_OF_IT) for each in (cut, whole)]
        assert below[0].sum() < 0.9 * below[1].sum()

    def test_the_assumed_cut_lies_below_the_pictures_of_the_sample(self) -> None:
        head = canonical_points(HeadModel.load("openhead"))
        bounds = picture_bounds(head)
        camera = Camera.from_dataset(WORLD_MAT, INTRINSICS)
        nearest = float(camera.centre[2] - head.points[:, 2].max())
        matrix = camera.image_matrix(1, 1)
        left, right, bottom = (plane.offset for plane in bounds.planes)
        edges = np.array([[-left, right, 0, 0], [0, 0, -bottom, 0]])
        depth = np.full(4, camera.centre[2] - nearest)
        column, row, w = matrix @ np.stack([*edges, depth, np.ones(4)])
        assert column[0] / w[0] < 0
        assert column[1] / w[1] > 1
        assert row[2] / w[2] > 1

    @pytest.mark.parametrize("keep", [True, False])
    def test_the_cut_is_reported(self, avatar: ImplicitAvatar, keep: bool) -> None:
        report = ExportReport()
        unseen = UnseenSettings(seen_from=(seen_of((UPPER,)),), cut_bust=not keep)
        bake_surface(avatar, ExportSettings(resolution=64, faces=2000, unseen=unseen), report)
        notes = [note for note in report.notes if note.startswith("cut the bust flat")]
        assert len(notes) == (0 if keep else 1)
        assert keep or "the pictures of --seen-from end; --keep-bust" in notes[0]

    def test_the_note_says_what_was_assumed(self) -> None:
        shape = Mesh(*closed_sphere(24, 32))
        (note,) = bust_notes(shape, Bounds.upright(-2, 2, -1), UnseenSettings())
        assert "assumed" in note
        assert "--seen-from states" in note
        assert bust_notes(shape, Bounds.upright(-2, 2, -2), UnseenSettings()) == []
