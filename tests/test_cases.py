"""Files of real layouts beside the checkout: each has the outcome that its README states."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result

from imavatar_deploy.errors import InputError
from imavatar_deploy.exporters.commands.export import export
from imavatar_deploy.retarget import read_map
from imavatar_deploy.retarget.arkit import ARKIT_NAMES
from imavatar_deploy.runtime import Player
from imavatar_deploy.runtime.commands.run import run
from imavatar_deploy.tracks import read_track
from imavatar_deploy.training.commands.data import data
from imavatar_deploy.training.commands.train import train

from .conftest import REFERENCE

CASES = REFERENCE.parent / "cases"

pytestmark = pytest.mark.skipif(
    not CASES.is_dir(), reason="the cases (../shared/cases) are not beside this checkout"
)


def call(command: Any, *arguments: object) -> Result:
    return CliRunner().invoke(command, [str(argument) for argument in arguments])


def play(*arguments: object) -> Result:
    return call(run, "sample", "--sink", "null", "--size", 32, *arguments)


def refused(result: Result, *words: str) -> None:
    assert result.exit_code == 6, result.output
    assert isinstance(result.exception, SystemExit)
    (line,) = result.stderr.strip().splitlines()
    assert all(word in line for word in words), line


def test_a_dictionary_of_frames_is_in_natural_order() -> None:
    folder = CASES / "a_dictionary_of_frames"
    track = read_track(folder / "code.json")
    stored = json.loads((folder / "code.json").read_text())
    keys = sorted(stored, key=int)
    assert keys != sorted(stored), "by text the order is another"
    expected = np.stack([np.ravel(stored[key]["exp"])[:50] for key in keys])
    np.testing.assert_allclose(track.expression, expected, atol=1e-6)
    pickled, archive = (read_track(folder / f"by_frame{suffix}") for suffix in (".pkl", ".pt"))
    np.testing.assert_array_equal(pickled.expression, archive.expression)
    np.testing.assert_array_equal(pickled.pose, archive.pose)


def test_an_animation_of_cap4d_has_no_shape(tmp_path: Path) -> None:
    source = CASES / "cap4d_animation_without_shape" / "fit.npz"
    result = call(data, "convert", source, tmp_path / "out.json")
    assert result.exit_code == 0, result.output
    track = read_track(tmp_path / "out.json")
    assert (len(track), track.fps, track.shape.any()) == (4, 24, False)


def test_rates_of_cap4d() -> None:
    folder = CASES / "cap4d_fps_in_file"
    assert read_track(folder / "fit24.npz").fps == 24
    images = read_track(folder / "fitimages.npz")
    assert images.fps == 25
    assert any("25 frames a second" in note for note in images.notes), images.notes


@pytest.mark.parametrize(
    "case",
    [
        "cap4d_no_jaw_codes_play_on_any_avatar/fit.npz",
        "published_flame_params_without_head_model/flame_params.json",
    ],
)
def test_codes_of_another_or_unknown_head_model_are_refused(case: str) -> None:
    refused(play("--source", CASES / case), "--any-edition")
    assert play("--source", CASES / case, "--any-edition").exit_code == 0


def test_faces_and_gaps_of_emoca() -> None:
    folder = CASES / "emoca_folder_frame_and_face_number"
    gap, faces = read_track(folder / "gap"), read_track(folder / "two_faces")
    assert len(gap) == 4
    assert any("2 frames" in note for note in gap.notes), gap.notes
    first = [np.load(folder / "two_faces" / f"00000{index}_000/exp.npy") for index in (1, 2, 3)]
    np.testing.assert_allclose(faces.expression, np.stack(first).reshape(3, -1)[:, :50], atol=1e-6)
    assert faces.notes


@pytest.mark.parametrize("name", ["shape_true_track.npy", "long_sentence_track.json"])
def test_tracks_that_ended_in_a_traceback(name: str) -> None:
    path = CASES / "files" / name
    result = play("--source", path)
    refused(result, name)
    assert len(result.stderr.replace(str(path), "")) < 1500  # the list of all formats


@pytest.mark.parametrize("name", ["shape_true_map.npy", "long_sentence_map.csv"])
def test_maps_that_ended_in_a_traceback(name: str) -> None:
    path = CASES / "files" / name
    with pytest.raises(InputError) as caught:
        read_map(path)
    assert len(str(caught.value).replace(str(path), "")) < 300


@pytest.mark.parametrize("name", ["deep.toml", "digits.toml"])
@pytest.mark.parametrize(("command", "option"), [(train, "--config"), (export, "--tolerances")])
def test_settings_that_ended_in_a_traceback(
    name: str, command: Callable[..., Any], option: str, tmp_path: Path
) -> None:
    path = CASES / "files" / name
    result = call(command, "sample", "--out", tmp_path / "out", option, path)
    refused(result, name)
    assert len(result.stderr.replace(str(path), "")) < 300


def test_a_hundred_expressions_are_cut() -> None:
    track = read_track(CASES / "flame_params_with_100_expressions" / "flame_params.json")
    assert track.expression.shape[1] == 50
    assert any("50" in note for note in track.notes)


def test_cameras_are_no_motion() -> None:
    path = CASES / "json_with_frames_of_another_kind" / "transforms.json"
    with pytest.raises(InputError, match="flame_param"):
        read_track(path)


def test_a_take_of_live_link_face_plays() -> None:
    track = read_track(CASES / "live_link_face_take" / "take.csv")
    assert track.fps == 60
    opened = track.expression if track.edition == "arkit52" else track.pose[:, 6]
    values = opened[:, ARKIT_NAMES.index("jawOpen")] if opened.ndim == 2 else opened
    assert values[-1] > values[0]
    result = play("--source", CASES / "live_link_face_take" / "take.csv")
    assert result.exit_code == 0, result.output


def test_a_sparse_map_keeps_jaw_eyes_head_and_neck(tmp_path: Path) -> None:
    source = CASES / "map_sparse_for_a_flame_track" / "codes.npz"
    result = call(data, "convert", source, tmp_path / "out.json", "--map", "sparse")
    assert result.exit_code == 0, result.output
    before, after = read_track(source), read_track(tmp_path / "out.json")
    np.testing.assert_allclose(after.pose, before.pose, atol=1e-6)
    assert not after.expression.any()
    assert play("--source", source, "--map", "sparse").exit_code == 0


def test_a_video_that_is_not_square_is_not_stretched(tmp_path: Path) -> None:
    """At the video's own shape the picture is the track's camera's; in a square it is fitted."""
    source = CASES / "non_square_video_is_stretched" / "tracked_flame_params.npz"
    covered = {}
    for size in ("360x640", "512"):
        sink = tmp_path / size / "%05d.png"
        arguments = ("--source", source, "--any-edition", "--size", size, "--antialias", "none")
        result = call(run, "sample", "--sink", sink, *arguments)
        assert result.exit_code == 0, result.output
        image = cv2.imread(str(tmp_path / size / "00001.png"), cv2.IMREAD_UNCHANGED)
        covered[size] = image[..., 3] > 0
    track = read_track(source)
    with Player("sample", size=(360, 640), antialias="none") as player:
        frame = track.frame(0)
        truth = player.render(frame.expression, frame.pose, frame.camera)[..., 3] > 0
    np.testing.assert_array_equal(covered["360x640"], truth)
    fitted = cv2.resize(covered["360x640"].astype(np.uint8), (288, 512)) > 0
    middle = covered["512"][:, 112:400]
    assert (fitted & middle).sum() / (fitted | middle).sum() > 0.97


def test_labels_of_another_size_are_no_error() -> None:
    result = call(data, "check", CASES / "semantic_512_beside_other_size" / "MVI_1810")
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize("name", ["codes.pkl", "codes.npy"])
def test_a_tensor_without_use_is_no_obstacle(name: str) -> None:
    assert len(read_track(CASES / "unneeded_tensor_blocks_a_pickle" / name)) == 4


def test_every_case_is_here() -> None:
    """`live` holds scripts: its senders are in tests/runtime (clocks, VMC, type tags)."""
    source = Path(__file__).read_text(encoding="utf-8")
    folders = {path.name for path in CASES.iterdir() if path.is_dir()} - {"live"}
    assert {name for name in folders if name not in source} == set()
    with Player("sample", size=16) as player:
        assert player.avatar.edition == "openhead"
