"""The pass over a video: pictures and measures, and the same result after an interruption."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from imavatar_deploy.head_fit.landmark_groups import LEFT_EYE, LIPS_OUTER, OVAL, RIGHT_EYE
from imavatar_deploy.training.tracking.crop import Crop
from imavatar_deploy.training.tracking.prepare import prepare
from imavatar_deploy.training.tracking.prepared_video import PreparedVideo, write_png
from imavatar_deploy.training.tracking.quality import judge
from imavatar_deploy.video.decode import VideoReader
from imavatar_deploy.vision import TrackedFace
from imavatar_deploy.vision.region import FaceRegion

from .test_track_decode import HEIGHT, WIDTH, write_video

CROP = Crop(16, 0, 96, 64, WIDTH, HEIGHT, 300.0, "--focal")
NO_FACE = (5, 6)


class Tracker:
    """Moves by a pixel a frame from where the face was, so that its state matters."""

    def __init__(self) -> None:
        self.place: float | None = None
        self.frames = 0

    def reset(self) -> None:
        self.place = None

    def follow(self, landmarks: Any) -> None:
        self.place = float(landmarks[0, 0])

    def track(self, image: Any) -> TrackedFace | None:
        # The pictures are brighter from frame to frame: 40, 50, ...
        index = round((float(image[32, 32, 0]) - 40) / 10)
        self.frames += 1
        if index in NO_FACE:
            self.place = None
            return None
        self.place = 20.0 if self.place is None else self.place + 1.0
        points = np.random.default_rng(0).uniform(0, 24, (478, 3)).astype(np.float32)
        points[:, 0] += np.float32(self.place) - points[0, 0]
        points[:, 1] += 20
        return TrackedFace(points, 0.9, FaceRegion(np.zeros(2), 1.0, 0.0))


class Detector:
    def detect(self, image: Any) -> list[Any]:
        return []


class Network:
    def read(self, image: Any, region: FaceRegion) -> tuple[Any, float]:
        return np.full((478, 3), region.side, dtype=np.float32), 1.0


class Interrupted(Exception):
    pass


def run(video: Path, folder: Path, *, stop: int | None = None, **options: Any) -> PreparedVideo:
    masks = 0

    def mask_of(frame: Any, image: Any) -> Any:
        nonlocal masks
        masks += 1
        if masks == stop:
            raise Interrupted
        return np.full(image.shape[:2], 0.75, dtype=np.float32)

    ticks = iter(range(0, 10000, 3))
    with VideoReader(video) as reader:
        return prepare(
            reader,
            CROP,
            folder,
            fps=25.0,
            tracker=Tracker(),  # type: ignore[arg-type]
            detector=Detector(),  # type: ignore[arg-type]
            network=Network(),  # type: ignore[arg-type]
            mask_of=mask_of,
            clock=lambda: float(next(ticks)),
            **options,
        )


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(tmp_path_factory.mktemp("video") / "v.mp4")


def test_frames_without_a_face_are_listed(video: Path, tmp_path: Path) -> None:
    prepared = run(video, tmp_path)
    assert [frame.index for frame in prepared.dropped] == list(NO_FACE)
    assert {frame.reason for frame in prepared.dropped} == {"no face"}
    assert prepared.source_frames.tolist() == [0, 1, 2, 3, 4, 7, 8, 9, 10, 11]
    assert prepared.image(0).shape == (64, 64, 3)
    assert (prepared.mask(0) == 191).all()
    np.testing.assert_allclose(prepared.mask_share, 1.0)


@pytest.mark.parametrize("stop", [2, 4, 6, 9])
def test_an_interrupted_pass_has_the_same_result(video: Path, tmp_path: Path, stop: int) -> None:
    whole = run(video, tmp_path / "whole")
    with pytest.raises(Interrupted):
        run(video, tmp_path / "cut", stop=stop)
    assert list((tmp_path / "cut" / "records").glob("*.npz")) or stop < 4
    resumed = run(video, tmp_path / "cut")
    for name, expected in vars(whole).items():
        actual = getattr(resumed, name)
        if isinstance(expected, np.ndarray):
            np.testing.assert_array_equal(actual, expected, err_msg=name)
    assert resumed.dropped == whole.dropped
    for kind in ("image", "mask"):
        for path in (tmp_path / "whole" / kind).iterdir():
            assert path.read_bytes() == (tmp_path / "cut" / kind / path.name).read_bytes()


def test_a_finished_pass_is_not_repeated(video: Path, tmp_path: Path) -> None:
    first = run(video, tmp_path)
    again = run(video, tmp_path, stop=1)  # would be interrupted by its first mask
    np.testing.assert_array_equal(first.landmarks, again.landmarks)


def test_a_damaged_part_is_computed_again(video: Path, tmp_path: Path) -> None:
    first = run(video, tmp_path)
    last = sorted((tmp_path / "records").glob("*.npz"))[-1]
    last.write_bytes(last.read_bytes()[:100])
    again = run(video, tmp_path)
    np.testing.assert_array_equal(first.landmarks, again.landmarks)


def test_repeated_pictures_are_dropped(tmp_path: Path) -> None:
    video = write_video(tmp_path / "v.mkv", codec="ffv1", pixels="bgr0", picks=[0, 1, 1, 1, 2, 3])
    prepared = run(video, tmp_path / "work")
    assert prepared.source_frames.tolist() == [0, 1, 4, 5]
    assert [(frame.index, frame.reason) for frame in prepared.dropped] == [
        (2, "repeated"),
        (3, "repeated"),
    ]


def test_ready_landmarks_are_moved_to_the_square(video: Path, tmp_path: Path) -> None:
    landmarks = np.random.default_rng(1).uniform(40, 80, (12, 68, 2)).astype(np.float32)
    landmarks[3] = np.nan
    prepared = run(video, tmp_path, landmarks=landmarks)
    assert [frame.index for frame in prepared.dropped] == [3]
    np.testing.assert_allclose(prepared.landmarks[0, :, :2], CROP.points(landmarks[0]))
    np.testing.assert_array_equal(prepared.landmarks[..., 2], 0)


# Which frames are dropped


def face_landmarks() -> np.ndarray:
    """Landmarks of a face that looks ahead: its outline, eyes and mouth, in 100 pixels."""
    points = np.random.default_rng(0).uniform(20, 80, (478, 3))
    angle = np.linspace(0, 2 * np.pi, len(OVAL), endpoint=False)
    points[list(OVAL), :2] = np.stack([50 + 50 * np.sin(angle), 50 - 60 * np.cos(angle)], axis=1)
    for group, middle in ((RIGHT_EYE, (30, 40)), (LEFT_EYE, (70, 40)), (LIPS_OUTER, (50, 80))):
        points[list(group), :2] = middle
    points[234], points[454] = (0, 50, 0), (100, 50, 0)
    return points


def frames(count: int) -> dict[str, Any]:
    generator = np.random.default_rng(0)
    face = generator.integers(60, 200, (24, 24, 3))
    noise = generator.integers(-4, 5, (count, 24, 24, 3))
    landmarks = np.repeat(face_landmarks()[None], count, axis=0)
    return {
        "landmarks": landmarks.astype(np.float32),
        "confidences": np.full(count, 0.95, dtype=np.float32),
        "sharpness": np.full(count, 100.0, dtype=np.float32),
        "patches": (face + noise).clip(0, 255).astype(np.uint8),
        "second_faces": np.zeros(count, dtype=bool),
        "unsteadiness": np.full(count, 0.008, dtype=np.float32),
    }


def test_good_frames_are_kept() -> None:
    assert judge(**frames(40)) == [""] * 40


@pytest.mark.parametrize("reason", ["blurred", "occluded", "unsteady", "turned away", "two faces"])
def test_reasons_to_drop_a_frame(reason: str) -> None:
    values = frames(40)
    if reason == "blurred":
        values["sharpness"][7] = 10.0
    elif reason == "occluded":
        values["patches"][7, 8:, :, :] = (30, 20, 200)
    elif reason == "unsteady":
        values["unsteadiness"][7] = 0.015
        reason = "occluded"
    elif reason == "turned away":
        values["landmarks"][7, 454] = (30, 50, -90)
    else:
        values["second_faces"][7] = True
    assert judge(**values) == [reason if index == 7 else "" for index in range(40)]


def turned(values: dict[str, Any], index: int, degrees: float) -> None:
    """Turn the head of one frame to the side."""
    depth = 100 * np.tan(np.radians(degrees))
    values["landmarks"][index, 454, 2] = depth


def test_the_background_beside_a_turned_head_does_not_cover_it() -> None:
    """The far side of the face is nearer to its eyes, and white is seen beyond it."""
    values = frames(40)
    for index in range(7, 11):
        outline = values["landmarks"][index, list(OVAL), 0]
        values["landmarks"][index, list(OVAL), 0] = np.minimum(outline, 78)
        turned(values, index, 30)
        values["patches"][index, :, 17:] = 255
    assert judge(**values) == [""] * 40
    values["patches"][8, 6:, 5:14] = (30, 20, 200)
    assert judge(**values) == ["occluded" if index == 8 else "" for index in range(40)]


def test_a_turn_that_was_measured_two_frames_ago_still_counts() -> None:
    values = frames(40)
    values["unsteadiness"][7:10] = 0.0165
    turned(values, 7, 30)
    assert judge(**values) == [""] * 40
    turned(values, 7, 0)
    assert judge(**values) == ["occluded" if index in (7, 8, 9) else "" for index in range(40)]


def test_a_turned_face_of_a_video_with_unsteady_landmarks_is_free() -> None:
    values = frames(40)
    values["unsteadiness"][:] = 0.0125
    values["unsteadiness"][7] = 0.0235
    turned(values, 7, 31)
    assert judge(**values) == [""] * 40
    turned(values, 7, 5)
    assert judge(**values) == ["occluded" if index == 7 else "" for index in range(40)]


def test_what_concerns_most_frames_drops_none() -> None:
    values = frames(40)
    values["second_faces"][:30] = True
    assert judge(**values) == [""] * 40


def test_a_picture_appears_complete_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that is killed here finds no picture the next time, and writes it again."""

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    picture = np.full((8, 8, 3), 7, dtype=np.uint8)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Path, "replace", interrupted)
        write_png(tmp_path / "1.png", picture)
    assert not (tmp_path / "1.png").exists()
    write_png(tmp_path / "1.png", picture)
    assert [path.name for path in tmp_path.iterdir()] == ["1.png"]
