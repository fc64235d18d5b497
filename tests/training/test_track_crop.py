"""The square of a video: what it holds, its pixels, and its camera."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from imavatar_deploy.camera import Camera
from imavatar_deploy.errors import UsageError
from imavatar_deploy.training.tracking.crop import (
    Crop,
    FocalLength,
    choose_crops,
    crop_notes,
    focal_length,
)
from imavatar_deploy.training.tracking.prepare import FrameClock, frame_rate
from imavatar_deploy.training.tracking.survey import Survey


def survey_of(
    width: int, height: int, centre: tuple[float, float], face: float, spread: float = 0.0
) -> Survey:
    """Faces of one height whose middles are spread to both sides."""
    shift = np.linspace(-spread, spread, 9)[:, None] * [1, 0, 1, 0]
    x, y = centre
    box = [x - 0.95 * face, y - 1.05 * face, x + 0.95 * face, y + 1.2 * face]
    return Survey(
        frames=100,
        duration=4.0,
        width=width,
        height=height,
        times=np.arange(9.0),
        regions=np.array(box) + shift,
        faces=np.full(9, float(face)),
        looks=9,
        second_faces=np.zeros(0),
    )


FOCAL = FocalLength(1500.0, "default", "")


def test_the_square_holds_head_and_shoulders_of_all_frames() -> None:
    seen = survey_of(1920, 1080, (900, 500), 300, spread=100)
    (crop,) = choose_crops([seen], [FOCAL], 512)
    regions = seen.regions[1:-1]  # the outermost looks may be cut
    assert crop.left <= regions[:, 0].min() + 5
    assert crop.left + crop.side >= regions[:, 2].max() - 5
    assert crop.top <= regions[:, 1].min()
    assert crop.outside() == (0, 0, 0, 0)


def test_a_face_near_the_border_moves_the_square_into_the_picture() -> None:
    (crop,) = choose_crops([survey_of(1080, 1920, (950, 300), 300)], [FOCAL], 256)
    assert crop.left + crop.side == 1080
    assert crop.top == 0
    assert crop.outside() == (0, 0, 0, 0)


def test_a_face_larger_than_the_picture_is_padded_and_noted() -> None:
    seen = survey_of(640, 360, (320, 180), 300)
    (crop,) = choose_crops([seen], [FOCAL], 256)
    assert crop.side > 360
    assert crop.outside()[1] > 0
    assert crop.outside()[3] > 0
    assert any("leave room" in note for note in crop_notes(crop, seen, "v.mp4"))
    image = np.arange(360, dtype=np.uint8)[:, None, None] + np.zeros((360, 640, 3), np.uint8)
    assert (crop.apply(image)[0] == crop.apply(image)[1]).all()


def test_small_faces_are_noted() -> None:
    seen = survey_of(640, 360, (320, 180), 60)
    (crop,) = choose_crops([seen], [FOCAL], 256)
    assert "only 60 pixels high" in crop_notes(crop, seen, "v.mp4")[0]


@pytest.mark.parametrize("size", [64, 200, 300])
def test_pixels_and_intrinsics_of_the_square_agree(size: int) -> None:
    """A point of space lands in the square where the resized pixels show it."""
    crop = Crop(137, 41, 200, size, 640, 360, 700.0, "--focal")
    whole = Camera(
        np.column_stack([np.eye(3), [0.1, -0.2, -5.0]]).astype(np.float32),
        np.array([700 / 640, 700 / 360, 319.5 / 640, 179.5 / 360], dtype=np.float32),
    )
    part = Camera(whole.world_to_camera, crop.intrinsics())
    points = np.array([[0.3, 0.1, 0.2, 1], [-0.9, 0.4, 0, 1], [0.0, -0.5, 0.1, 1]], np.float32)
    pixels = points @ whole.image_matrix(640, 360).T
    moved = crop.points((pixels[:, :2] / pixels[:, 2:]).astype(np.float32))
    direct = points @ part.image_matrix(size, size).T
    np.testing.assert_allclose(moved, direct[:, :2] / direct[:, 2:], atol=2e-3)


def test_resized_pixels_lie_where_points_are_moved_to() -> None:
    crop = Crop(100, 50, 200, 100, 640, 360, 700.0, "--focal")
    columns = np.broadcast_to(np.arange(640, dtype=np.float32), (360, 640))
    image = np.clip(columns - 80, 0, 255).astype(np.uint8)
    resized = crop.apply(np.repeat(image[..., None], 3, axis=2))
    for column in (110.0, 180.0, 250.0):
        (where, _), *_ = crop.points(np.array([[column, 100.0]], dtype=np.float32))
        value = np.interp(where, np.arange(100), resized[10, :, 0].astype(float))
        assert abs(value + 80 - column) < 1.0


def test_videos_of_one_person_share_their_intrinsics() -> None:
    surveys = [
        survey_of(1920, 1080, (900, 520), 280),
        survey_of(1920, 1080, (1050, 500), 300),
        survey_of(1280, 720, (640, 350), 190),
    ]
    focals = [FOCAL, FOCAL, FocalLength(1000.0, "default", "")]
    crops = choose_crops(surveys, focals, 512)
    first = crops[0].intrinsics()
    for crop, seen in zip(crops, surveys, strict=True):
        np.testing.assert_allclose(crop.intrinsics(), first, atol=2e-3)
        assert crop.left <= seen.regions[0, 0]
        assert crop.left + crop.side >= seen.regions[0, 2] - 1


def test_focal_length_of_the_option_of_metadata_and_by_default() -> None:
    def reader(focal_35mm: float | None, width: int = 1080, height: int = 1920) -> Any:
        info = SimpleNamespace(width=width, height=height, focal_35mm=focal_35mm)
        return SimpleNamespace(info=info, path=SimpleNamespace(name="v.mp4"))

    assert focal_length(reader(26.0), 1234.0).pixels == 1234.0
    for impossible, field in ((5.0, "179"), (100_000.0, "1.1")):
        with pytest.raises(UsageError, match=f"a field of view of {field} degrees .* 1080 x 1920"):
            focal_length(reader(None), impossible)
    stated = focal_length(reader(43.2666), None)
    assert stated.source == "EXIF"
    assert stated.pixels == pytest.approx(np.hypot(1080, 1920), rel=1e-4)
    default = focal_length(reader(None), None)
    assert (default.pixels, default.source) == (1920, "default")
    assert "53 degrees" in default.note
    assert "--focal" in default.note
    cut_around_a_head = focal_length(reader(None, 720, 720), None)
    assert (cut_around_a_head.pixels, cut_around_a_head.source) == (3 * 720, "default")
    assert "19 degrees" in cut_around_a_head.note


# Which frames are kept


@pytest.mark.parametrize(("fps", "kept"), [(25.0, 75), (30.0, 90), (10.0, 30), (7.0, 21)])
def test_frames_next_to_the_ticks_are_kept(fps: float, kept: int) -> None:
    clock = FrameClock(fps, 30.0)
    times = [index / 30 for index in range(90) if clock.selects(index / 30)]
    assert abs(len(times) - kept) <= 1
    assert np.abs(np.diff(times) - 1 / fps).max() <= 1 / 30 + 1e-6


def test_a_gap_in_the_video_repeats_no_frame() -> None:
    clock = FrameClock(25.0, 20.0)
    times = [0.0, 0.04, 0.08, 0.5, 0.54, 0.58]
    assert [clock.selects(time) for time in times] == [True] * 6


def test_frame_rate_of_the_dataset() -> None:
    assert frame_rate(24.0, 10.0, fps=None, frames=None) == 24.0
    assert frame_rate(60.0, 10.0, fps=None, frames=None) == 25.0
    assert frame_rate(60.0, 10.0, fps=50.0, frames=None) == 50.0
    assert frame_rate(30.0, 20.0, fps=None, frames=101) == pytest.approx(5.0)
