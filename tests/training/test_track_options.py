"""The options of `imavatar-data track`, each from the command line to its effect in the dataset."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import cv2
import numpy as np
import pytest
from click.testing import Result
from onnx import TensorProto, helper, numpy_helper, save

from imavatar_deploy.errors import EditionMismatchError
from imavatar_deploy.head_fit.ibug_landmarks import IBUG_LANDMARKS
from imavatar_deploy.head_model import HeadModel
from imavatar_deploy.tracks import read_track, write_track
from imavatar_deploy.training import FaceDataset
from imavatar_deploy.training.dataset.check import check
from imavatar_deploy.training.tracking.fit_videos import beside_occluded
from imavatar_deploy.training.tracking.result import TrackResult
from imavatar_deploy.training.tracking.track_video import read_person
from imavatar_deploy.training.tracking.work_folder import WORK
from imavatar_deploy.vision import FaceTracker

from ..processes import started
from .filmed import FRAMES, OPTIONS, SIDE, SIZE, call, encode, images_of, tracked
from .second_heads import shuffled, without_mouth_parts, write_head
from .spherical_video import spherical

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def dataset(filmed_run: tuple[Path, Result]) -> Path:
    out, result = filmed_run
    assert result.exit_code == 0, result.output
    return out


@pytest.fixture(scope="module")
def images(filmed_subject: Path) -> list[np.ndarray]:
    return images_of(filmed_subject)


def shape_of(folder: Path) -> np.ndarray:
    return np.asarray(read_track(folder / "flame_params.json").shape)


def offsets_of(folder: Path) -> np.ndarray:
    return TrackResult.load(folder).fit.offsets


def read_grey(path: Path) -> np.ndarray:
    return np.asarray(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE))


# Several videos, and the shape of an earlier one


@pytest.fixture(scope="module")
def several(
    filmed_clip: Path, images: list[np.ndarray], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    folder = tmp_path_factory.mktemp("several")
    # Nearer to the border, so that the squares of the two videos differ.
    again = encode([np.roll(image, 6, axis=1) for image in images[::-1]], folder / "me.mp4")
    return tracked(folder / "both", filmed_clip, again)


def test_videos_of_one_person_share_shape_and_camera(several: Path) -> None:
    names = sorted(path.name for path in several.iterdir())
    assert names == ["consent.json", "me", "me_2"]
    results = [TrackResult.load(several / name) for name in ("me", "me_2")]
    np.testing.assert_array_equal(results[0].fit.shape, results[1].fit.shape)
    np.testing.assert_array_equal(results[0].intrinsics, results[1].intrinsics)
    np.testing.assert_array_equal(results[0].fit.offsets, results[1].fit.offsets)
    assert np.abs(results[0].fit.offsets).max() > 0
    assert [str(finding) for finding in check([several], size=SIZE)] == []
    assert len(FaceDataset.open([several], size=SIZE)) == sum(map(len, results))


def test_the_shape_of_a_dataset_is_kept(dataset: Path, several: Path, tmp_path: Path) -> None:
    video = encode(images_of_dataset(dataset), tmp_path / "v.mp4")
    out = tracked(tmp_path / "out", video, "--shape-from", several)
    np.testing.assert_array_equal(shape_of(out), shape_of(several / "me"))
    np.testing.assert_array_equal(offsets_of(out), offsets_of(several / "me"))
    assert np.abs(shape_of(out) - shape_of(dataset)).max() > 1e-3


def images_of_dataset(folder: Path) -> list[np.ndarray]:
    return [
        np.ascontiguousarray(cv2.imread(str(folder / "image" / f"{k}.png"))[..., ::-1])
        for k in range(1, FRAMES + 1)
    ]


def test_the_shape_of_a_track_belongs_to_its_head_model(
    dataset: Path, openhead: HeadModel, tmp_path: Path
) -> None:
    path = dataset / "flame_params.json"
    np.testing.assert_array_equal(read_person(path, openhead).shape, shape_of(dataset))
    other = tmp_path / "other.json"
    write_track(replace(read_track(path), edition="flame2020"), other)
    with pytest.raises(EditionMismatchError, match="flame2020"):
        read_person(other, openhead)


# A start from another track


def test_a_fit_that_starts_from_its_own_result_stays_there(
    dataset: Path, filmed_clip: Path, tmp_path: Path
) -> None:
    out = tracked(tmp_path / "out", filmed_clip, "--init", dataset / "flame_params.json")
    first, second = TrackResult.load(dataset).fit, TrackResult.load(out).fit
    assert np.nanmean(second.errors) < 1.02 * np.nanmean(first.errors)
    np.testing.assert_allclose(second.pose[:, :3], first.pose[:, :3], atol=0.02)


def test_a_track_of_other_frames_is_no_start(filmed_clip: Path, tmp_path: Path) -> None:
    result = call(filmed_clip, "--out", tmp_path / "out", "--init", "talk", *OPTIONS)
    assert result.exit_code == 6
    assert "there is no file" in result.stderr
    path = tmp_path / "talk.json"
    write_track(read_track("talk"), path)
    result = call(filmed_clip, "--out", tmp_path / "out", "--init", path, *OPTIONS)
    assert result.exit_code == 6
    assert "has 250 frames" in result.stderr
    assert not (tmp_path / "out").exists()


# Another head model, and a track in another program's format


def test_a_head_model_of_flames_format(
    openhead: HeadModel, dataset: Path, filmed_clip: Path, tmp_path: Path
) -> None:
    """The second run starts from the first one's result in VHAP's format."""
    path = write_head(tmp_path / "flame.npz", shuffled(without_mouth_parts(openhead)))
    head = ("--head-model", path, "--edition", "flame2023")
    out = tracked(tmp_path / "out", filmed_clip, *head)
    model: dict[str, Any] = {"head_model": path, "edition": "flame2023"}
    assert [str(finding) for finding in check([out], size=SIZE, **model)] == []
    assert len(FaceDataset.open([out], size=SIZE, **model)) == FRAMES
    first, other = TrackResult.load(dataset).fit, TrackResult.load(out).fit
    assert np.nanmean(other.errors) < 1.2 * np.nanmean(first.errors)
    # The same person and the same motion.
    np.testing.assert_allclose(other.pose[:, :3], first.pose[:, :3], atol=0.05)

    motion = replace(read_track(out / "flame_params.json"), cameras=())
    write_track(motion, tmp_path / "vhap.npz")
    start = ("--init", tmp_path / "vhap.npz", "--shape-from", out)
    again = TrackResult.load(tracked(tmp_path / "again", filmed_clip, *head, *start)).fit
    np.testing.assert_allclose(again.shape, other.shape, atol=1e-6)  # six decimals in the file
    assert np.nanmean(again.errors) < 1.02 * np.nanmean(other.errors)


# Landmarks of the user

IBUG = (
    162, 234, 93, 58, 172, 136, 149, 148, 152, 377, 378, 365, 397, 288, 323, 454, 389, 71, 63, 105,
    66, 107, 336, 296, 334, 293, 301, 168, 197, 5, 4, 75, 97, 2, 326, 305, 33, 160, 158, 133, 153,
    144, 362, 385, 387, 263, 373, 380, 61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181, 78, 82,
    13, 312, 308, 317, 14, 87,
)  # fmt: skip
"""MediaPipe's landmarks next to iBUG's."""


@pytest.fixture(scope="module")
def landmarks(images: list[np.ndarray]) -> np.ndarray:
    with FaceTracker() as tracker:
        faces = [tracker.track(image) for image in images]
    return np.array([face.landmarks for face in faces if face is not None])


def test_landmarks_of_a_file_are_fitted(
    images: list[np.ndarray], landmarks: np.ndarray, tmp_path: Path
) -> None:
    rows: list[Any] = landmarks[:, :, :2].tolist() + landmarks[::-1, :, :2].tolist()
    rows[4] = None
    path = tmp_path / "points.json"
    path.write_text(json.dumps({"landmarks": rows}))
    video = encode([*images, *images[::-1]], tmp_path / "v.mp4")
    result = TrackResult.load(tracked(tmp_path / "out", video, "--landmarks", path))
    assert (4, "no face") in [(frame.index, frame.reason) for frame in result.dropped]
    # Square of the video -> square of the dataset: one scale and shift for all landmarks.
    given = np.array([rows[index] for index in result.source_frames]).reshape(-1, 2)
    kept = result.landmarks[..., :2].reshape(-1, 2)
    scale = np.ptp(kept, axis=0) / np.ptp(given, axis=0)
    assert scale[0] == pytest.approx(scale[1], rel=1e-4)
    assert scale[0] == pytest.approx(SIZE / (SIDE * shares(tmp_path / "out")), rel=1e-3)
    shifts = kept - given * scale
    np.testing.assert_allclose(shifts, shifts[:1].repeat(len(shifts), 0), atol=0.05)
    assert np.nanmean(result.fit.errors) < 0.02 * SIZE


def test_landmarks_of_ibug_are_fitted(
    filmed_clip: Path, landmarks: np.ndarray, tmp_path: Path
) -> None:
    path = tmp_path / "points.npz"
    np.savez(path, landmarks=landmarks[:, list(IBUG), :2])
    out = tracked(tmp_path / "out", filmed_clip, "--landmarks", path)
    result = TrackResult.load(out)
    assert result.landmarks.shape == (FRAMES, IBUG_LANDMARKS, 3)
    assert np.nanmean(result.fit.errors) < 0.03 * SIZE
    assert [str(finding) for finding in check([out], size=SIZE)] == []


# Masks and labels of the user


def test_ready_masks_and_labels_are_used(
    filmed_subject: Path, filmed_clip: Path, tmp_path: Path
) -> None:
    folders = ("--masks", filmed_subject / "mask", "--labels", filmed_subject / "semantic")
    out = tracked(tmp_path / "out", filmed_clip, *folders)
    crop_side = SIDE * shares(out)
    for k in (1, FRAMES):
        true = read_grey(filmed_subject / "mask" / f"{k}.png") > 127
        mask = read_grey(out / "mask" / f"{k}.png") > 127
        # The square may show less than the picture, never another scale.
        assert mask.sum() / SIZE**2 * crop_side**2 <= 1.05 * true.sum()
        labels = read_grey(out / "semantic" / f"{k}.png")
        truth = read_grey(filmed_subject / "semantic" / f"{k}.png")
        assert set(np.unique(labels)) <= set(np.unique(truth))
        assert not labels[~mask].any()


def shares(folder: Path) -> float:
    """Side of the square relative to that of the video's picture."""
    return 2.7 / float(TrackResult.load(folder).intrinsics[0])


def test_a_folder_that_lacks_a_frame_is_refused(
    filmed_subject: Path, filmed_clip: Path, tmp_path: Path
) -> None:
    for option, kind in (("--masks", "mask"), ("--labels", "semantic")):
        folder = Path(shutil.copytree(filmed_subject / kind, tmp_path / kind))
        (folder / "3.png").unlink()
        result = call(filmed_clip, "--out", tmp_path / "out", option, folder, *OPTIONS)
        assert result.exit_code == 6
        assert f"holds {FRAMES - 1} .png and the video has {FRAMES} frames" in result.stderr
        assert not (tmp_path / "out").exists()


def constant_network(path: Path, values: np.ndarray) -> Path:
    """Write a graph that returns values [C, S, S] for any picture of S x S pixels."""
    channels, side, _ = values.shape
    picture = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, side, side])
    result = helper.make_tensor_value_info("result", TensorProto.FLOAT, [1, channels, side, side])
    constants = [
        numpy_helper.from_array(np.zeros((channels, 3, 1, 1), dtype=np.float32), "weights"),
        numpy_helper.from_array(values[None].astype(np.float32), "values"),
    ]
    nodes = [
        helper.make_node("Conv", ["image", "weights"], ["nothing"]),
        helper.make_node("Add", ["nothing", "values"], ["result"]),
    ]
    graph = helper.make_graph(nodes, "constant", [picture], [result], constants)
    save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8),
        str(path),
    )
    return path


@pytest.fixture(scope="module")
def networks(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A matte that is white below the first quarter, and a parser: skin, hair at the left."""
    folder = tmp_path_factory.mktemp("networks")
    matte = np.zeros((1, 32, 32))
    matte[:, 8:] = 1
    scores = np.zeros((19, 32, 32))
    scores[1] = 0.5
    scores[17, :, :16] = 1
    return (
        constant_network(folder / "matte.onnx", matte),
        constant_network(folder / "parser.onnx", scores),
    )


def test_networks_of_the_user_are_used(
    filmed_clip: Path, networks: tuple[Path, Path], tmp_path: Path
) -> None:
    matte, parser = networks
    out = tracked(tmp_path / "out", filmed_clip, "--matte", matte, "--parser", parser)
    labels = read_grey(out / "semantic" / "1.png")
    assert not read_grey(out / "mask" / "1.png")[: SIZE // 4 - 4].any()
    assert (labels[SIZE // 2 :, : SIZE // 2 - 4] == 17).all()
    assert (labels[SIZE // 2 :, SIZE // 2 + 4 :] == 1).all()


@pytest.mark.parametrize(
    ("option", "which", "sentence"),
    [("--matte", 1, "returns 19 channels"), ("--parser", 0, "returns 1 classes")],
)
def test_a_network_of_another_kind_is_refused_before_the_work(
    filmed_clip: Path,
    networks: tuple[Path, Path],
    tmp_path: Path,
    option: str,
    which: int,
    sentence: str,
) -> None:
    result = call(filmed_clip, "--out", tmp_path / "out", option, networks[which], *OPTIONS)
    assert result.exit_code == 6
    assert sentence in result.stderr
    assert result.stderr.count("\n") == 1  # nothing else was said: no frame was read
    assert not (tmp_path / "out").exists()


# Killed


def test_a_killed_tracking_continues_with_the_same_bytes(
    dataset: Path, filmed_clip: Path, tmp_path: Path
) -> None:
    """The command is killed while it reads, when it has fitted, and while it writes labels."""
    out = tmp_path / "out"
    program = "from imavatar_deploy.training.commands.data import data; data()"
    command = [sys.executable, "-c", program, "track", str(filmed_clip), "--out", str(out)]
    command += [str(option) for option in OPTIONS]
    for signs in ("video_0/image/*.png", "video_0/fit.npz", "dataset/semantic/*.png"):
        with started(command) as child:
            while not any((out / WORK).glob(signs)) and child.process.poll() is None:
                time.sleep(0.002)
            assert child.process.poll() is None, child.stderr()
            os.kill(child.process.pid, signal.SIGKILL)
            child.process.wait(30)
        assert [path.name for path in out.iterdir()] == [WORK]
    (out / WORK / "dataset" / ".track.npz.partial-abc").mkdir()  # killed while it wrote this file
    with started(command) as child:
        end = child.finish()
    assert end.returncode == 0, end.stderr
    assert "continuing" in end.stderr
    reports = {"report.html", "track_report.json", "overlay.mp4"}
    assert {path.name for path in out.iterdir()} == {p.name for p in dataset.iterdir()} - reports
    for path in out.rglob("*"):
        if path.is_file() and path.name != "consent.json":
            assert path.read_bytes() == (dataset / path.relative_to(out)).read_bytes(), path


# Videos of another kind


def test_of_two_faces_one_is_followed_and_the_other_reported(
    images: list[np.ndarray], tmp_path: Path
) -> None:
    pairs = [
        np.concatenate([left, right[:, ::-1]], axis=1)
        for left, right in zip(images, images[::-1], strict=True)
    ]
    out = tracked(tmp_path / "out", encode(pairs, tmp_path / "two.mp4"))
    result = TrackResult.load(out)
    assert any("a second face is visible" in note for note in result.notes)
    assert len(result) == FRAMES
    middles = result.landmarks[:, :, 0].mean(axis=1)
    assert np.abs(np.diff(middles)).max() < 0.25 * SIZE  # the other face is a side further
    assert np.nanmean(result.fit.errors) < 0.02 * SIZE


def cartoon(index: int) -> np.ndarray:
    image = np.full((240, 320, 3), (255, 240, 200), dtype=np.uint8)
    column = 160 + index
    cv2.circle(image, (column, 120), 75, (255, 220, 150), -1)
    cv2.circle(image, (column, 120), 75, (0, 0, 0), 3)
    for eye in (column - 27, column + 27):
        cv2.ellipse(image, (eye, 100), (15, 20), 0, 0, 360, (255, 255, 255), -1)
        cv2.ellipse(image, (eye, 100), (15, 20), 0, 0, 360, (0, 0, 0), 2)
        cv2.circle(image, (eye, 103), 6, (0, 0, 0), -1)
    cv2.ellipse(image, (column, 143), (33, 17), 0, 0, 180, (0, 0, 0), 4)
    cv2.line(image, (column, 110), (column - 5, 130), (0, 0, 0), 3)
    return image


def sound(path: Path) -> Path:
    with av.open(str(path), "w") as file:
        stream: Any = file.add_stream("aac", rate=44100)
        frame = av.AudioFrame.from_ndarray(
            np.zeros((1, 44100), dtype=np.float32), format="fltp", layout="mono"
        )
        frame.sample_rate = 44100
        file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return path


def around(image: np.ndarray) -> np.ndarray:
    """The picture of a camera that sees all directions, twice as wide as high: a face ahead."""
    height, width = image.shape[:2]
    room = np.full((2 * height, 4 * width, 3), image[0, 0])
    room[height // 2 : height // 2 + height, width + width // 2 : 2 * width + width // 2] = image
    return room


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        ("cartoon", "shows a drawn face"),
        ("landscape", "shows no face"),
        ("photo", "is a photo"),
        ("five", "has only 5 frames"),
        ("still", "has 1 frame with a usable face (of the others: 13 repeated)"),
        ("sound", "holds sound and no pictures"),
        ("corrupt", "is not a video that can be read"),
        ("360 degrees", "is a 360-degree recording"),
    ],
)
def test_what_is_no_video_of_a_person_gets_a_sentence_and_leaves_nothing(
    images: list[np.ndarray], tmp_path: Path, kind: str, sentence: str
) -> None:
    path = tmp_path / "v.mp4"
    if kind == "cartoon":
        encode([cartoon(index) for index in range(20)], path)
    elif kind == "landscape":
        sky = np.linspace((90, 140, 220), (240, 200, 160), 96).astype(np.uint8)
        encode([np.roll(np.tile(sky[:, None], (1, 128, 1)), k, 0) for k in range(20)], path)
    elif kind == "photo":
        path = tmp_path / "v.jpg"
        cv2.imwrite(str(path), images[0][..., ::-1])
    elif kind == "five":
        encode(images[:5], path)
    elif kind == "still":
        encode([images[0]] * FRAMES, path)
    elif kind == "sound":
        sound(path)
    elif kind == "360 degrees":
        encode([around(image) for image in images], path)
        path.write_bytes(spherical(path.read_bytes()))
    else:
        path.write_bytes(np.random.default_rng(0).bytes(4096))
    result = call(path, "--out", tmp_path / "out", *OPTIONS)
    assert result.exit_code == 6, result.output
    lines = [line for line in result.stderr.splitlines() if not line.startswith("note:")]
    assert len(lines) == 1
    assert sentence in lines[0]
    assert not (tmp_path / "out").exists()


# Frames beside those in which a hand covers the face


def test_frames_beside_occluded_ones_that_fit_worse_are_taken_with_them() -> None:
    errors = np.array([1.0, 1.0, 1.5, 1.5, 1.5, 1.0, 1.0, 1.5, 1.0, 1.0, 1.0], dtype=np.float32)
    fit: Any = SimpleNamespace(errors=errors)
    frames = np.array([0, 1, 2, 3, 9, 10, 11, 12, 13, 14, 15])
    beside = beside_occluded(fit, frames, np.arange(4, 9), 256)
    assert np.flatnonzero(beside).tolist() == [2, 3, 4]  # not 7, which is apart
    nothing = np.zeros(0, dtype=np.int64)
    assert not beside_occluded(fit, frames, nothing, 256).any()
    assert not beside_occluded(fit, frames, np.array([20]), 256).any()
    # Where all is well fitted, the worse frames are as good as any.
    assert not beside_occluded(fit, frames, np.arange(4, 9), 1024).any()
