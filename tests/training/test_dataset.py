"""`FaceDataset`: forms of the published layout, sizes, conventions, and errors of bad data."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from imavatar_deploy.consent import record_consent, require_consent
from imavatar_deploy.conventions import UNITS_PER_METRE
from imavatar_deploy.dataset.face_dataset import ByteCache
from imavatar_deploy.dataset.images import FramePixels
from imavatar_deploy.errors import EditionMismatchError, ImavatarError, InputError, UsageError
from imavatar_deploy.head_model import HeadModel
from imavatar_deploy.training.dataset import FaceDataset
from imavatar_deploy.training.warm_start.initial_weights import provenance

from .disc_dataset import SETTINGS
from .drawn_video import INTRINSICS, SIDE, edit, write_picture, write_video

FRAMES = 6


@pytest.fixture(scope="module")
def original(openhead: HeadModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(tmp_path_factory.mktemp("original") / "video", openhead, FRAMES)


@pytest.fixture
def video(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "video"))


def test_a_frame_is_what_its_files_hold(video: Path) -> None:
    data = FaceDataset.open([video], size=SIDE)
    observed = data.observation(2)
    raw = cv2.imread(str(video / "image/3.png"))[..., ::-1]
    assert (observed.name, observed.video, len(data), data.size) == ("3", "video", FRAMES, SIDE)
    assert np.array_equal(observed.mask, cv2.imread(str(video / "mask/3.png"), 0) > 127)
    np.testing.assert_allclose(observed.image[observed.mask], raw[observed.mask] / 255, atol=1e-6)
    assert (observed.image[~observed.mask] == 1).all()
    assert data.semantic_known
    assert set(np.unique(observed.semantic)) == {0, 1, 10, 16, 17}


def test_normals_and_depth_are_those_of_the_drawn_surface(video: Path) -> None:
    data = FaceDataset.open([video], size=SIDE)
    observed, camera = data.observation(0), data.track.cameras[0]
    assert observed.normal is not None
    assert observed.depth is not None
    np.testing.assert_allclose(
        np.linalg.norm(observed.normal[observed.mask], axis=-1), 1, atol=1e-5
    )
    assert (observed.normal[~observed.mask] == 0).all()
    assert np.median(observed.normal[observed.mask][:, 2]) > 0.3, (
        "they face the camera, which looks along -z"
    )
    row, column = SIDE // 2, SIDE // 2
    point = np.array([0, 0, -observed.depth[row, column]]) - camera.world_to_camera[:, 3]
    vertices = UNITS_PER_METRE * data.head.vertices(data.track.expression[0], data.track.pose[0])
    assert np.linalg.norm(vertices - point, axis=1).min() < 0.05


def test_landmarks_land_on_the_head(video: Path) -> None:
    data = FaceDataset.open([video], size=SIDE)
    observed = data.observation(1)
    assert observed.keypoints is not None
    matrix = data.track.cameras[1].image_matrix(SIDE, SIDE)
    vertices = UNITS_PER_METRE * data.head.vertices(data.track.expression[1], data.track.pose[1])
    column, row, w = matrix @ np.vstack([vertices[:1400:20].T, np.ones(70)])
    np.testing.assert_allclose(
        observed.keypoints, np.stack([column / w, row / w], axis=1), atol=1e-3
    )
    assert observed.bbox == tuple(
        int(value) for value in (*observed.keypoints.min(axis=0), *observed.keypoints.max(axis=0))
    )


def test_landmarks_are_optional(video: Path) -> None:
    edit(
        video,
        lambda document: [
            frame.pop("bbox") and frame.pop("flame_keypoints") for frame in document["frames"]
        ],
    )
    observed = FaceDataset.open([video], size=SIDE).observation(0)
    assert observed.bbox is None
    assert observed.keypoints is None


def test_resizing_averages_colours_and_keeps_labels(video: Path) -> None:
    full, half = FaceDataset.open([video], size=SIDE), FaceDataset.open([video], size=SIDE // 2)
    whole, small = full.observation(0), half.observation(0)
    inside = whole.mask.reshape(SIDE // 2, 2, SIDE // 2, 2).all(axis=(1, 3))
    averaged = whole.image.reshape(SIDE // 2, 2, SIDE // 2, 2, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(small.image[inside], averaged[inside], atol=1e-5)
    assert small.mask[inside].all()
    assert set(np.unique(small.semantic)) <= set(np.unique(whole.semantic))
    assert small.normal is not None
    np.testing.assert_allclose(np.linalg.norm(small.normal[small.mask], axis=-1), 1, atol=1e-5)


@pytest.mark.parametrize("size", [SIDE, SIDE // 2, 3 * SIDE // 4, 2 * SIDE])
def test_a_resized_picture_is_where_its_camera_and_its_landmarks_are(
    video: Path, size: int
) -> None:
    """A spot around the projection of a point is found at the projection of the point."""
    whole = FaceDataset.open([video], size=SIDE)
    point = np.array([0.3, -0.2, 0.1, 1.0])
    column, row, w = whole.track.cameras[0].image_matrix(SIDE, SIDE) @ point
    at = np.array([column / w, row / w])
    rows, columns = np.mgrid[:SIDE, :SIDE]
    spot = 255 * np.exp(-((columns - at[0]) ** 2 + (rows - at[1]) ** 2) / (2 * 4.0**2))
    write_picture(video / "image/1.png", np.repeat(spot[..., None], 3, axis=2).astype(np.uint8))
    write_picture(video / "mask/1.png", np.full((SIDE, SIDE), 255, dtype=np.uint8))

    def place_landmarks(document: dict[str, Any]) -> None:
        document["frames"][0]["flame_keypoints"] = [(at / (SIDE / 2) - 1).tolist()] * 70

    edit(video, place_landmarks)
    data = FaceDataset.open([video], size=size)
    observed = data.observation(0)
    weight = observed.image[..., 0]
    rows, columns = np.mgrid[:size, :size]
    centre = [(columns * weight).sum() / weight.sum(), (rows * weight).sum() / weight.sum()]
    column, row, w = data.track.cameras[0].image_matrix(size, size) @ point
    np.testing.assert_allclose(centre, [column / w, row / w], atol=0.03)
    assert observed.keypoints is not None
    np.testing.assert_allclose(observed.keypoints[0], centre, atol=0.03)


def test_masks_and_labels_may_be_of_another_size(video: Path) -> None:
    """The published face parser writes 512 x 512, whatever the image."""
    expected = FaceDataset.open([video], size=SIDE).observation(2)
    for kind in ("mask", "semantic"):
        path = video / kind / "3.png"
        picture = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        write_picture(path, picture.repeat(3, axis=0).repeat(3, axis=1))
    frame = FaceDataset.open([video], size=SIDE).observation(2)
    np.testing.assert_array_equal(frame.semantic, expected.semantic)
    assert (frame.mask != expected.mask).mean() < 0.01


def test_old_intrinsics_in_pixels_mean_the_same_camera(video: Path) -> None:
    new = FaceDataset.open([video], size=SIDE).track.cameras[0]
    edit(video, lambda document: document.update(intrinsics=[value * 512 for value in INTRINSICS]))
    old = FaceDataset.open([video], size=SIDE).track.cameras[0]
    np.testing.assert_allclose(old.intrinsics, new.intrinsics, atol=1e-6)


@pytest.fixture
def subject_folder(video: Path, tmp_path: Path) -> Path:
    """`anna/anna/first` and `anna/anna/second`, as published."""
    inner = tmp_path / "anna" / "anna"
    inner.mkdir(parents=True)
    shutil.copytree(video, inner / "first")
    shutil.copytree(video, inner / "second")
    return inner.parent


def test_every_level_of_the_published_folders_opens(subject_folder: Path) -> None:
    for path in (subject_folder, subject_folder / "anna"):
        data = FaceDataset.open([path], size=SIDE)
        assert len(data) == 2 * FRAMES
        assert [data.observation(index).video for index in (0, FRAMES)] == ["first", "second"]
        assert len(data.track.cameras) == len(data.track) == 2 * FRAMES


def test_videos_are_chosen_by_name(subject_folder: Path) -> None:
    data = FaceDataset.open([subject_folder], size=SIDE, videos=["second"])
    assert {data.observation(index).video for index in range(len(data))} == {"second"}
    with pytest.raises(UsageError, match="did you mean 'second'"):
        FaceDataset.open([subject_folder], videos=["secnd"])


def test_a_slice_takes_frames_of_all_videos_and_keeps_the_tempo(subject_folder: Path) -> None:
    data = FaceDataset.open([subject_folder], size=SIDE, frames=slice(1, None, 4))
    assert [data.observation(index).name for index in range(len(data))] == ["2", "6", "4"]
    assert data.track.names == ("2", "6", "4")
    assert data.track.fps == 25 / 4


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            lambda d: d.update(shape_params=[1.0]),
            r"shape_params of .*second.* and of .*first.* differ in number",
        ),
        (
            lambda d: d.update(shape_params=[0.5] + [0] * 99),
            "shape_params of .* differ by up to 0.5",
        ),
        (
            lambda d: d.update(intrinsics=[-2.7, 2.6, 0.5, 0.5]),
            "intrinsics of .* differ by up to 0.1",
        ),
    ],
)
def test_videos_that_do_not_belong_together_are_refused(
    subject_folder: Path, change: object, sentence: str
) -> None:
    edit(subject_folder / "anna/second", change)
    with pytest.raises(InputError, match=sentence):
        FaceDataset.open([subject_folder])


def test_rounding_is_no_difference(subject_folder: Path) -> None:
    edit(subject_folder / "anna/second", lambda d: d.update(intrinsics=[-2.6000001, 2.6, 0.5, 0.5]))
    assert len(FaceDataset.open([subject_folder])) == 2 * FRAMES


def test_labels_count_only_where_every_video_has_them(subject_folder: Path) -> None:
    shutil.rmtree(subject_folder / "anna/second/semantic")
    data = FaceDataset.open([subject_folder], size=SIDE)
    assert not data.semantic_known
    assert data.observation(0).semantic is None


def test_consent_counts_only_where_every_video_has_it(subject_folder: Path) -> None:
    consent = require_consent(["me.mp4"], True)
    assert FaceDataset.open(subject_folder).consent is None
    first, second = (subject_folder / "anna" / name for name in ("first", "second"))
    record_consent(first, consent)
    assert FaceDataset.open(subject_folder).consent is None
    record_consent(second, consent)
    assert FaceDataset.open(subject_folder).consent == consent


def test_checkpoints_have_the_consent() -> None:
    consent = require_consent(["me.mp4"], True)
    assert provenance(SETTINGS, consent)["consent"] == consent.as_dict()
    assert "consent" not in provenance(SETTINGS)


def test_the_subjects_shape_is_in_the_heads_template(video: Path, openhead: HeadModel) -> None:
    edit(video, lambda document: document.update(shape_params=[1.5] + [0] * 99))
    head = FaceDataset.open([video]).head
    np.testing.assert_allclose(
        head.template, openhead.template + 1.5 * openhead.shape_basis[:, :, 0], atol=1e-6
    )


def test_a_head_model_that_is_not_bundled_must_be_given(video: Path) -> None:
    edit(video, lambda document: document.pop("head_model"))
    with pytest.raises(
        InputError,
        match=r"flame_params.json was tracked with a head model it does not name.*"
        r"head_model \(--head-model",
    ):
        _ = FaceDataset.open([video]).head
    assert FaceDataset.open([video], head_model="openhead").head.edition == "openhead"


def test_another_head_model_than_the_tracked_one_is_refused(video: Path) -> None:
    edit(video, lambda document: document.update(head_model="flame2020"))
    with pytest.raises(EditionMismatchError):
        _ = FaceDataset.open([video], head_model="openhead").head


BLACK: dict[str, tuple[tuple[int, int], type]] = {
    "narrow mask": ((SIDE, SIDE // 2), np.uint8),
    "small depth": ((SIDE // 2, SIDE // 2), np.uint16),
    "empty mask": ((SIDE, SIDE), np.uint8),
}
"""Size and type of a black picture in place of another."""


def damage_by(kind: str, video: Path) -> None:
    file = video / "image/3.png"
    if kind == "cut":
        file.write_bytes(file.read_bytes()[:-500])
    elif kind == "flipped":
        data = bytearray(file.read_bytes())
        data[len(data) // 2] ^= 255
        file.write_bytes(data)
    elif kind == "empty":
        file.write_bytes(b"")
    elif kind == "text":
        file.write_text("not found")
    elif kind == "narrow":
        write_picture(file, np.zeros((SIDE, SIDE - 1, 3), dtype=np.uint8))
    elif kind in BLACK:
        write_picture(video / kind.split()[1] / "3.png", np.zeros(*BLACK[kind]))
    elif kind == "coloured labels":
        write_picture(video / "semantic/3.png", np.full((SIDE, SIDE, 3), 200, dtype=np.uint8))
    elif kind == "shallow normals":
        write_picture(video / "normal/3.png", np.full((SIDE, SIDE, 3), 200, dtype=np.uint8))


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        ("cut", r"image/3\.png is not a readable picture: it is cut short"),
        ("flipped", r"image/3\.png is not a readable picture: a checksum in it is wrong"),
        ("empty", r"image/3\.png is not a readable picture: it is empty"),
        ("text", r"image/3\.png is not a readable picture: it cannot be decoded"),
        ("narrow", r"image/3\.png must be square, got 63 x 64 pixels"),
        ("narrow mask", r"mask/3\.png must be square, got 32 x 64 pixels"),
        (
            "small depth",
            r"depth/3\.png must have the size of its image, got 32 x 32 pixels beside 64 x 64",
        ),
        ("empty mask", r"mask/3\.png is empty"),
        ("coloured labels", r"semantic/3\.png must hold label ids 0\.\.18, got 200"),
        ("shallow normals", r"normal/3\.png must have 3 channels of 16 bits"),
    ],
)
def test_a_damaged_picture_is_named_in_a_sentence(video: Path, kind: str, sentence: str) -> None:
    damage_by(kind, video)
    data = FaceDataset.open([video], size=SIDE)
    data.observation(1)
    with pytest.raises(InputError, match=sentence):
        data.observation(2)


@pytest.mark.parametrize("name", ["3.jpg", "3.JPEG"])
def test_a_picture_of_another_format_is_named(video: Path, name: str) -> None:
    (video / "image" / "3.png").rename(video / "image" / name)
    with pytest.raises(InputError, match=rf"3\.png is missing: .*convert {name} and the like to"):
        FaceDataset.open([video])


@pytest.mark.parametrize("kind", ["image", "mask", "semantic"])
def test_a_missing_picture_is_reported_when_the_dataset_is_opened(video: Path, kind: str) -> None:
    (video / kind / "3.png").unlink()
    (video / kind / "5.png").unlink()
    with pytest.raises(InputError, match=rf"{kind}/3\.png is missing \(and 1 more\)"):
        FaceDataset.open([video])
    assert len(FaceDataset.open([video], frames=slice(0, 2))) == 2, (
        "frames that are not chosen may be incomplete"
    )


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            lambda d: d["frames"][1]["pose"].pop(),
            r"flame_params.json: pose of frame 1 must have 15 values, got 14",
        ),
        (
            lambda d: d["frames"][1]["expression"].__setitem__(0, float("nan")),
            "flame_params.json: .*must be finite",
        ),
        (
            lambda d: d["frames"][1]["flame_keypoints"].pop(),
            r"flame_keypoints of frame 1 must have shape \[70, 2\]",
        ),
        (
            lambda d: [frame.pop("world_mat") for frame in d["frames"]],
            "flame_params.json has no 'world_mat'",
        ),
        (
            lambda d: d.update(frames=[]),
            "flame_params.json: frames must be a list with at least one frame",
        ),
        (lambda d: d.pop("frames"), "flame_params.json has no 'frames'"),
    ],
)
def test_a_broken_track_is_reported_with_its_file(
    video: Path, change: object, sentence: str
) -> None:
    edit(video, change)
    with pytest.raises(InputError, match=sentence):
        FaceDataset.open([video])


def test_a_wrong_path_is_explained(tmp_path: Path, video: Path) -> None:
    for path, sentence in (
        (tmp_path / "none", "there is no dataset folder"),
        (video / "image", "holds no video"),
    ):
        with pytest.raises(InputError, match=sentence):
            FaceDataset.open([path])
    with pytest.raises(UsageError, match="size must be between"):
        FaceDataset.open([video], size=0)


@pytest.mark.parametrize("change", [lambda t: t[: len(t) // 2], lambda t: "[]", lambda t: "\x00"])
def test_no_bytes_of_a_track_escape_as_a_traceback(video: Path, change: object) -> None:
    path = video / "flame_params.json"
    path.write_text(change(path.read_text()))  # type: ignore[operator]
    with pytest.raises(ImavatarError, match=re.escape(str(path))):
        FaceDataset.open([video])


def pixels_of(size: int) -> FramePixels:
    return FramePixels(
        np.zeros((size, size, 3), np.uint8), np.ones((size, size), bool), None, None, None
    )


def test_the_cache_holds_the_latest_within_its_budget() -> None:
    cache, loads = ByteCache(budget=2 * pixels_of(10).bytes), []

    def load(key: int) -> FramePixels:
        loads.append(key)
        return pixels_of(10)

    for key in (0, 1, 0, 2, 0, 1):
        cache.get(key, lambda key=key: load(key))
    assert loads == [0, 1, 2, 1], "0 was used last when 2 needed room"
    assert cache.bytes == 2 * pixels_of(10).bytes


def test_a_frame_is_decoded_once_and_on_demand(video: Path) -> None:
    data = FaceDataset.open([video], size=SIDE)
    first = data.observation(0)
    shutil.rmtree(video / "image")
    assert np.array_equal(data.observation(0).image, first.image)
    with pytest.raises(InputError, match="image/2.png is missing"):
        data.observation(1)


def test_the_reference_track_opens_as_a_video(reference: Path, tmp_path: Path) -> None:
    """The track of the reference data has the published schema; its pictures are missing."""
    source = json.loads((reference / "talk/flame_params.json").read_text())
    folder = tmp_path / "talk"
    for kind in ("image", "mask"):
        write_picture(folder / kind / "1.png", np.full((8, 8), 255, dtype=np.uint8))
    (folder / "flame_params.json").write_text(json.dumps(source))
    assert len(FaceDataset.open([folder], frames=slice(0, 1), size=8)) == 1
    with pytest.raises(InputError, match=r"image/2\.png is missing \(and 297 more\)"):
        FaceDataset.open([folder])
