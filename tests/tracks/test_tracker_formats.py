"""Files of trackers: values are read back, and points project as in the tracker."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from imavatar_deploy.conventions import UNITS_PER_METRE
from imavatar_deploy.errors import InputError, UsageError
from imavatar_deploy.head_model import HeadModel
from imavatar_deploy.tracks import TRACK_FORMATS, FlameTrack, read_track, write_track

from .tracker_files import (
    CODES,
    FRAMES,
    HEIGHT,
    PIXELS,
    SIZES,
    WHOLE,
    WIDTH,
    WRITERS,
    Motion,
    cap4d_arrays,
    deca_code,
    metrical_frame,
    motion,
    vhap_arrays,
    write_motion,
    write_torch,
)

FILES = [
    (name, suffix)
    for name, row in TRACK_FORMATS.items()
    for suffix in row.suffixes
    if (name in CODES or name in WHOLE) and suffix in WRITERS
]
EDITIONS = {"vhap": "flame2023", "cap4d": "flame2023"}
NECK = {"pixel3dmm", "vhap", "flame-head-tracker"}
EYES = {"metrical-tracker", "pixel3dmm", "vhap", "flame-head-tracker"}
GLOBAL = {"vhap", "deca", "emoca", "smirk", "flame-head-tracker"}
POINT = np.array([0.02, -0.05, 0.09])


@pytest.fixture(scope="module")
def truth() -> Motion:
    return motion()


def test_every_format_is_tested() -> None:
    elsewhere = {"flame_params", "live-link-face", "arkit-json"}
    assert {name for name, _ in FILES} == set(TRACK_FORMATS) - elsewhere


@pytest.mark.parametrize(("name", "suffix"), FILES)
def test_numbers_are_read_back(tmp_path: Path, truth: Motion, name: str, suffix: str) -> None:
    track = read_track(write_motion(name, tmp_path / "files", truth, suffix))
    np.testing.assert_array_equal(track.expression, truth.expression[:, :50])
    np.testing.assert_array_equal(track.shape, truth.shape[: len(track.shape)])
    assert len(track.shape) >= 100
    zero = np.zeros((FRAMES, 3))
    eyes = truth.eyes if name in EYES else np.zeros((FRAMES, 6))
    if name == "cap4d":
        eyes = np.tile(truth.eyes[:, :3], 2)
    expected = [
        truth.turn if name in GLOBAL else zero,
        truth.neck if name in NECK else zero,
        truth.jaw,
        eyes,
    ]
    np.testing.assert_allclose(track.pose, np.concatenate(expected, axis=1), atol=1e-6)
    assert (track.edition, track.fps) == (EDITIONS.get(name, "flame2020"), 25.0)
    assert bool(track.cameras) == (name in PIXELS)


@pytest.mark.parametrize("name", PIXELS)
def test_a_point_projects_as_in_the_tracker(tmp_path: Path, truth: Motion, name: str) -> None:
    track = read_track(
        write_motion(name, tmp_path / "files", truth, TRACK_FORMATS[name].suffixes[0])
    )
    height, width = SIZES.get(name, (HEIGHT, WIDTH))
    for index, camera in enumerate(track.cameras):
        column, row, depth = camera.image_matrix(width, height) @ [*(UNITS_PER_METRE * POINT), 1.0]
        np.testing.assert_allclose(
            [column / depth, row / depth], PIXELS[name](truth, index, POINT), atol=2e-3
        )
        assert depth > 0


def test_a_head_projects_as_in_vhap(tmp_path: Path, truth: Motion) -> None:
    """VHAP poses about FLAME's joints, translates and projects."""
    openhead = HeadModel.load("openhead")
    track = read_track(write_motion("vhap", tmp_path / "files", truth, ".npz"))
    pose = np.concatenate([truth.turn, truth.neck, truth.jaw, truth.eyes], axis=1)
    for index in range(FRAMES):
        theirs = openhead.vertices(truth.expression[index, :50], pose[index])[::500]
        ours = (
            UNITS_PER_METRE * openhead.vertices(track.expression[index], track.pose[index])[::500]
        )
        pixels = (
            np.column_stack([ours, np.ones(len(ours))])
            @ track.cameras[index].image_matrix(WIDTH, HEIGHT).T
        )
        expected = [PIXELS["vhap"](truth, index, vertex) for vertex in theirs]
        np.testing.assert_allclose(pixels[:, :2] / pixels[:, 2:], expected, atol=5e-3)


def test_tensors_and_parameters_are_read_like_arrays(tmp_path: Path, truth: Motion) -> None:
    frame = metrical_frame(truth, 0)
    frame["flame"]["exp"] = torch.nn.Parameter(torch.from_numpy(frame["flame"]["exp"]))
    frame["flame"]["jaw"] = torch.from_numpy(np.tile(frame["flame"]["jaw"], (3, 1)))[1:2].double()
    frame["flame"]["shape"] = torch.from_numpy(np.repeat(truth.shape, 2))[None, ::2]
    frame["camera"]["fl"] = torch.tensor([[4.5]], dtype=torch.float16)
    plain = read_track(write_torch(tmp_path / "plain.frame", metrical_frame(truth, 0)))
    track = read_track(write_torch(tmp_path / "tensors.frame", frame))
    np.testing.assert_array_equal(track.expression, plain.expression)
    np.testing.assert_array_equal(track.pose, plain.pose)
    np.testing.assert_array_equal(track.shape, plain.shape)
    np.testing.assert_array_equal(track.cameras[0].intrinsics, plain.cameras[0].intrinsics)


def test_frames_are_in_numerical_order_and_gaps_are_noted(tmp_path: Path) -> None:
    truth = motion(4)
    for index, number in enumerate((9, 10, 100, 101)):
        write_torch(tmp_path / f"{number}.frame", metrical_frame(truth, index))
    track = read_track(tmp_path)
    assert track.names == ("9", "10", "100", "101")
    np.testing.assert_array_equal(track.expression, truth.expression[:, :50])
    assert any("89 frames are missing, the first after 10" in note for note in track.notes)
    (tmp_path / "100.frame").unlink()
    (tmp_path / "101.frame").unlink()
    assert not any("missing" in note for note in read_track(tmp_path).notes)


def test_lost_data_is_noted(tmp_path: Path, truth: Motion) -> None:
    notes = read_track(write_motion("metrical-tracker", tmp_path / "m", truth, ".frame")).notes
    share = np.linalg.norm(truth.expression[:, 50:]) / np.linalg.norm(truth.expression)
    assert any(f"expressions 51 to 100 are cut: {share:.0%}" in note for note in notes)
    assert any("eyelid" in note for note in notes)
    assert any("--turn-head" in note for note in notes)
    assert any(
        "crop" in note
        for note in read_track(write_motion("smirk", tmp_path / "s", truth, ".pt")).notes
    )


class TestPlacesOfFiles:
    @pytest.mark.parametrize("name", ["metrical-tracker", "pixel3dmm"])
    def test_the_output_folder_around_the_checkpoints(
        self, tmp_path: Path, truth: Motion, name: str
    ) -> None:
        write_motion(name, tmp_path / "me" / "checkpoint", truth, ".frame")
        (tmp_path / "me" / "mesh").mkdir()
        assert len(read_track(tmp_path / "me")) == FRAMES

    def test_a_dataset_folder(self, tmp_path: Path, truth: Motion) -> None:
        track = read_track(write_motion("deca", tmp_path / "codes", truth, ".npz"))
        write_track(track, tmp_path / "video" / "flame_params.json")
        np.testing.assert_allclose(read_track(tmp_path / "video").pose, track.pose, atol=1e-6)

    def test_gaussian_avatars_one_file_per_frame(self, tmp_path: Path, truth: Motion) -> None:
        arrays = vhap_arrays(truth)
        (tmp_path / "flame_param").mkdir()
        for index in range(FRAMES):
            keys = ("translation", "rotation", "neck_pose", "jaw_pose", "eyes_pose", "expr")
            frame = {key: arrays[key][[index]] for key in keys} | {"shape": arrays["shape"]}
            np.savez(tmp_path / "flame_param" / f"{index:05d}.npz", **frame)
        np.savez(tmp_path / "canonical_flame_param.npz", **frame)
        track = read_track(tmp_path)
        np.testing.assert_array_equal(track.pose[:, :3], truth.turn)
        assert (len(track), track.cameras) == (FRAMES, ())
        assert any("turns in place" in note for note in track.notes)

    def test_the_last_state_of_vhap_is_read(self, tmp_path: Path, truth: Motion) -> None:
        for epoch in (10, 20, 100):
            np.savez(
                tmp_path / f"tracked_flame_params_{epoch}.npz",
                **vhap_arrays(truth) | {"jaw_pose": np.full((FRAMES, 3), epoch / 1000, np.float32)},
            )
        track = read_track(tmp_path)
        assert len(track) == FRAMES
        assert track.pose[0, 6] == np.float32(0.1)
        assert any("tracked_flame_params_100.npz" in note for note in track.notes)

    def test_emocas_folder_per_frame(self, tmp_path: Path, truth: Motion) -> None:
        for index in range(FRAMES):
            folder = tmp_path / f"{index:06d}_00"
            folder.mkdir()
            for key in ("shape", "exp", "pose", "tex"):
                np.save(folder / f"{key}.npy", deca_code(truth, index)[key][0])
        track = read_track(tmp_path)
        np.testing.assert_array_equal(track.pose[:, 6:9], truth.jaw)
        np.testing.assert_array_equal(track.shape, truth.shape[:100])

    def test_a_folder_per_frame_with_one_file_of_its_name(
        self, tmp_path: Path, truth: Motion
    ) -> None:
        for index in range(FRAMES):
            (tmp_path / f"{index}").mkdir()
            WRITERS[".npy"](tmp_path / f"{index}" / f"{index}.npy", deca_code(truth, index))
        np.testing.assert_array_equal(read_track(tmp_path).expression, truth.expression[:, :50])

    @pytest.mark.parametrize("name", ["deca", "emoca", "smirk"])
    def test_a_whole_motion_in_one_file(self, tmp_path: Path, truth: Motion, name: str) -> None:
        frames = [CODES[name](truth, index) for index in range(FRAMES)]
        listed = read_track(WRITERS[".pkl"](tmp_path / "list.pkl", frames))
        joined = {key: np.concatenate([frame[key] for frame in frames]) for key in frames[0]}
        for suffix, write in WRITERS.items():
            if suffix in TRACK_FORMATS[name].suffixes:
                track = read_track(write(tmp_path / f"joined{suffix}", joined))
                np.testing.assert_array_equal(track.pose, listed.pose)
                np.testing.assert_array_equal(track.shape, listed.shape)

    def test_a_folder_without_known_files(self, tmp_path: Path) -> None:
        (tmp_path / "image").mkdir()
        (tmp_path / "1.png").write_bytes(b"")
        with pytest.raises(InputError, match="no known track format: expected flame_params"):
            read_track(tmp_path)


class TestEditions:
    def test_a_model_without_a_jaw_has_an_edition_of_its_own(
        self, tmp_path: Path, truth: Motion
    ) -> None:
        arrays = cap4d_arrays(truth)
        del arrays["jaw_rot"]
        np.savez(tmp_path / "fit.npz", **arrays)
        write_motion(
            "pixel3dmm", tmp_path / "me_nV1_FLAME23_uv2000" / "checkpoint", truth, ".frame"
        )
        for path in (tmp_path / "fit.npz", tmp_path / "me_nV1_FLAME23_uv2000"):
            track = read_track(path)
            assert track.edition == "flame2023-no-jaw"
            assert any("without a jaw" in note for note in track.notes)

    def test_the_edition_can_be_replaced(self, tmp_path: Path, truth: Motion) -> None:
        path = write_motion("vhap", tmp_path, truth, ".npz")
        assert read_track(path, edition="flame2020").edition == "flame2020"
        assert read_track("talk", edition="flame2019").edition == "flame2019"
        with pytest.raises(
            UsageError, match="unknown head-model edition 'flame2021'.*did you mean"
        ):
            read_track(path, edition="flame2021")


def with_value(content: dict[str, Any], key: str, value: Any) -> dict[str, Any]:
    return {name: part for name, part in content.items() if name != key} | (
        {} if value is None else {key: value}
    )


NOT_A_NUMBER = np.full((FRAMES, 3), np.nan, np.float32)
WRONG_VHAP: list[tuple[str, Any, str]] = [
    ("jaw_pose", None, r"wrong.npz lacks 'jaw_pose'; it holds .*rotation"),
    (
        "jaw_pose",
        np.zeros((FRAMES, 4)),
        r"jaw_pose of wrong.npz must have shape \[T, 3\], got \[3, 4\]",
    ),
    ("jaw_pose", NOT_A_NUMBER, r"jaw_pose of wrong.npz must be finite, got nan at index \[0, 0\]"),
    ("neck_pose", np.zeros((2, 3)), "neck_pose has 2 frames and rotation 3"),
    ("expr", np.zeros((0, 100)), "should hold 0"),
    ("shape", np.array([None]), "shape of wrong.npz is not a readable array .*objects"),
    ("focal_length", np.array([0.0]), "focal lengths must be positive"),
    ("focal_length", np.array([1e39]), "focal|lens"),
    ("image_size", np.array([0, 5]), "image_size of wrong.npz must be the height and width"),
    ("edition", np.array("smplx"), "edition must be one of"),
    ("fps", np.array([1.0, 2.0]), "fps of wrong.npz must be one number, got 2"),
]


@pytest.mark.parametrize(("key", "value", "sentence"), WRONG_VHAP)
def test_a_wrong_npz_is_one_sentence(
    tmp_path: Path, truth: Motion, key: str, value: Any, sentence: str
) -> None:
    path = tmp_path / "wrong.npz"
    np.savez(path, **with_value(vhap_arrays(truth), key, value))
    with pytest.raises(InputError, match=sentence) as caught:
        read_track(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


WRONG_FRAMES: list[tuple[str, str, Any, str]] = [
    ("flame", "jaw", None, "2.frame lacks 'jaw'"),
    ("flame", "jaw", np.zeros((1, 3)), r"jaw of 2.frame must have shape \[6\], got \[3\]"),
    ("flame", "jaw", np.zeros((1, 6)), "jaw of 2.frame is no rotation"),
    ("flame", "eyes", np.ones((1, 12)), "eyes of 2.frame is no rotation"),
    ("flame", "exp", np.full((1, 100), np.inf), "exp of 2.frame must be finite"),
    ("flame", "exp", np.zeros((1, 50)), "frame 2 has 50 expressions and frame 1 100"),
    ("flame", "exp", "smile", "exp of 2.frame is not a readable array .*expected numbers, got str"),
    ("camera", "fl", np.array([[-1.0]]), "focal lengths must be positive"),
    ("camera", "t", None, "2.frame lacks 't'"),
]


@pytest.mark.parametrize(("part", "key", "value", "sentence"), WRONG_FRAMES)
def test_a_wrong_frame_is_one_sentence(
    tmp_path: Path, truth: Motion, part: str, key: str, value: Any, sentence: str
) -> None:
    for index in range(2):
        frame = metrical_frame(truth, index)
        if index == 1:
            frame[part] = with_value(frame[part], key, value)
        write_torch(tmp_path / f"{index + 1}.frame", frame)
    with pytest.raises(InputError, match=sentence) as caught:
        read_track(tmp_path)
    assert str(tmp_path) in str(caught.value)


def test_frames_of_two_trackers_in_a_folder(tmp_path: Path, truth: Motion) -> None:
    shutil.copytree(
        write_motion("metrical-tracker", tmp_path / "a", truth, ".frame"), tmp_path / "b"
    )
    write_torch(tmp_path / "b" / "00007.frame", {"flame": {}})
    with pytest.raises(InputError, match="no known track format"):
        read_track(tmp_path / "b")


class TestWritingVhap:
    def test_the_arrays_of_vhap_are_written(self, tmp_path: Path, truth: Motion) -> None:
        track = read_track(write_motion("vhap", tmp_path, truth, ".npz"))
        write_track(track, tmp_path / "out.npz")
        with np.load(tmp_path / "out.npz", allow_pickle=False) as stored:
            for key, value in vhap_arrays(truth).items():
                if key not in ("static_offset", "image_size", "expr"):
                    near = (
                        np.isclose(stored[key], value, atol=1e-6)
                        if value.dtype.kind == "f"
                        else stored[key] == value
                    )
                    assert np.all(near), key
            np.testing.assert_array_equal(stored["expr"][:, :50], truth.expression[:, :50])
            height, width = stored["image_size"]
            assert height / width == pytest.approx(HEIGHT / WIDTH, rel=1e-3)
        again = read_track(tmp_path / "out.npz")
        for one, other in zip(again.cameras, track.cameras, strict=True):
            np.testing.assert_allclose(one.world_to_camera, other.world_to_camera, atol=1e-6)
            np.testing.assert_allclose(one.intrinsics, other.intrinsics, rtol=1e-3)

    def test_rotating_cameras_are_refused(self, tmp_path: Path, truth: Motion) -> None:
        track: FlameTrack = read_track(
            write_motion("metrical-tracker", tmp_path / "m", truth, ".frame")
        )
        with pytest.raises(
            UsageError, match="no cameras that turn: give --turn-head or --no-cameras"
        ):
            write_track(track, tmp_path / "out.npz")
        assert not (tmp_path / "out.npz").exists()


def test_rotations_of_every_size(tmp_path: Path, truth: Motion) -> None:
    """Half turns, tiny rotations and the identity agree with scipy."""
    turns = np.array(
        [[np.pi, 0, 0], [0, 3.1415, 0], [1e-9, 0, 0], [0, 0, 0], [2.0, -2.0, 0.5], [0, 0, -3.0]]
    )
    for index, turn in enumerate(turns):
        frame = metrical_frame(truth, 0)
        frame["flame"]["jaw"] = 1.7 * Rotation.from_rotvec(turn).as_matrix()[:2].reshape(1, 6)
        write_torch(tmp_path / f"{index}.frame", frame)
    read = Rotation.from_rotvec(read_track(tmp_path).pose[:, 6:9].astype(float))
    assert (read * Rotation.from_rotvec(turns).inv()).magnitude().max() < 1e-6
