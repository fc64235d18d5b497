"""Tracks: the published file, our own, round trips over the whole table, one sentence for every wrong file."""

from __future__ import annotations

import copy
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from imavatar_deploy.camera import Camera
from imavatar_deploy.conventions import EDITIONS, EXPRESSION_SIZE, POSE_SIZE
from imavatar_deploy.errors import EditionMismatchError, InputError, UsageError
from imavatar_deploy.tracks import TRACK_FORMATS, FlameFrame, FlameTrack, check_edition, read_track, write_track
from imavatar_deploy.tracks.flame_params import DECIMALS

WRITTEN = [row for row in TRACK_FORMATS.values() if row.write]
JAW_X = 6


def made_track(frames: int = 6, **changes: Any) -> FlameTrack:
    rng = np.random.default_rng(3)
    view = Camera.looking_at(np.zeros(3))
    fields: dict[str, Any] = {
        "expression": rng.uniform(0, 1, (frames, EXPRESSION_SIZE)).astype(np.float32),
        "pose": rng.normal(0, 0.2, (frames, POSE_SIZE)).astype(np.float32),
        "cameras": (view,) * frames,
        "fps": 30.0,
        "edition": "flame2020",
        "shape": rng.normal(0, 1, 100).astype(np.float32),
    }
    return FlameTrack(**(fields | changes))


def published_document(frames: int = 3) -> dict[str, Any]:
    """The schema as published, with keys that we do not use."""
    return {
        "frames": [
            {
                "file_path": f"./image/{index + 1}",
                "world_mat": [[1, 0, 0, 0.1], [0, 1, 0, 0.2], [0, 0, 1, -4]],
                "expression": [0.01 * index] * EXPRESSION_SIZE,
                "pose": [0.02] * POSE_SIZE,
                "bbox": [-0.5, -0.5, 0.5, 0.5],
                "flame_keypoints": [[0.0, 0.0]] * 70,
            }
            for index in range(frames)
        ],
        "intrinsics": [-3.0, 2.9, 0.51, 0.49],
        "shape_params": [0.5] * 100,
    }


def saved(folder: Path, document: Any) -> Path:
    path = folder / "flame_params.json"
    path.write_text(document if isinstance(document, str) else json.dumps(document), encoding="utf-8")
    return path


# --- reading ---------------------------------------------------------------------------------------------------------


def test_the_reference_track_is_read_as_it_stands(reference: Path) -> None:
    path = reference / "talk" / "flame_params.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    track = read_track(path)
    assert len(track) == len(document["frames"]) == 150
    np.testing.assert_array_equal(track.pose, np.array([frame["pose"] for frame in document["frames"]], np.float32))
    np.testing.assert_array_equal(
        track.expression, np.array([frame["expression"] for frame in document["frames"]], np.float32)
    )
    np.testing.assert_array_equal(
        track.cameras[7].world_to_camera, np.array(document["frames"][7]["world_mat"], np.float32)
    )
    np.testing.assert_allclose(track.cameras[7].intrinsics, [3.0, 2.95, 0.51, 0.495], rtol=1e-7)
    assert (track.edition, track.fps, track.names[:2], track.shape.shape) == (None, 25.0, ("1", "2"), (100,))


def test_both_spellings_of_intrinsics_mean_the_same(tmp_path: Path) -> None:
    document = published_document()
    modern = read_track(saved(tmp_path, document))
    document["intrinsics"] = [512 * value for value in document["intrinsics"]]
    legacy = read_track(saved(tmp_path, document))
    np.testing.assert_allclose(legacy.cameras[0].intrinsics, modern.cameras[0].intrinsics, rtol=1e-6)


def test_our_own_keys_are_read_and_strange_ones_skipped(tmp_path: Path) -> None:
    track = read_track(
        saved(tmp_path, published_document() | {"head_model": "flame2023", "fps": 50, "weather": "mild"})
    )
    assert (track.edition, track.fps) == ("flame2023", 50.0)


def test_a_motion_may_come_without_cameras(tmp_path: Path) -> None:
    document = published_document()
    for frame in document["frames"]:
        del frame["world_mat"]
    del document["intrinsics"]
    track = read_track(saved(tmp_path, document))
    assert track.cameras == ()
    assert track.frame(0).camera is None


def test_names_lose_their_folders(tmp_path: Path) -> None:
    document = published_document()
    document["frames"][0]["file_path"] = "../../etc/cron"
    del document["frames"][2]["file_path"]
    assert read_track(saved(tmp_path, document)).names == ("cron", "2", "3")


# --- the bundled track -----------------------------------------------------------------------------------------------


def test_the_bundled_track_shows_what_it_should() -> None:
    talk = read_track("talk")
    assert talk.edition == "openhead"
    assert 8.0 <= len(talk) / talk.fps <= 12.0
    assert len(talk.cameras) == len(talk)
    assert talk.expression.min() >= 0.0
    assert talk.expression.max() == 1.0  # full blinks, and nothing beyond a full shape
    assert 0.3 <= talk.pose[:, JAW_X].max() <= 0.4
    assert talk.pose[:, JAW_X].min() >= 0.0
    assert talk.pose[:, 4].min() < -0.4  # turns its head to both sides
    assert talk.pose[:, 4].max() > 0.4


def test_the_bundled_track_loops_and_never_freezes() -> None:
    talk = read_track("talk")
    values = np.column_stack([talk.expression, talk.pose])
    steps = np.abs(np.diff(np.vstack([values, values[:1]]), axis=0)).max(axis=1)
    assert steps[-1] < np.median(steps)
    assert steps.min() > 5e-4


# --- round trips -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("row", WRITTEN, ids=lambda row: row.name)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_every_format_that_writes_reads_back_the_same(tmp_path_factory: Any, row: Any, data: st.DataObject) -> None:
    frames = data.draw(st.integers(1, 4))
    finite = st.floats(-8, 8, width=32)
    track = made_track(
        frames,
        expression=data.draw(arrays(np.float32, (frames, EXPRESSION_SIZE), elements=finite)),
        pose=data.draw(arrays(np.float32, (frames, POSE_SIZE), elements=finite)),
        cameras=data.draw(st.sampled_from([(), made_track(frames).cameras])),
        fps=data.draw(st.sampled_from([23.976, 25.0, 60.0])),
        edition=data.draw(st.sampled_from([None, *EDITIONS])),
        shape=data.draw(st.sampled_from([np.zeros(0, np.float32), made_track().shape])),
    )
    path = tmp_path_factory.mktemp("tracks") / f"track{row.suffixes[0]}"
    write_track(track, path)
    back = read_track(path)
    assert [item.name for item in path.parent.iterdir()] == [path.name]
    assert (back.fps, back.edition, back.names) == (track.fps, track.edition, track.names)
    for name in ("expression", "pose", "shape"):
        np.testing.assert_allclose(getattr(back, name), getattr(track, name), rtol=1e-6, atol=0.5 * 10.0**-DECIMALS)
    assert len(back.cameras) == len(track.cameras)
    for one, other in zip(back.cameras, track.cameras, strict=True):
        np.testing.assert_allclose(one.image_matrix(64, 48), other.image_matrix(64, 48), atol=1e-3)


def test_a_written_file_has_the_published_keys(tmp_path: Path) -> None:
    path = tmp_path / "flame_params.json"
    write_track(made_track(), path)
    document = json.loads(path.read_text(encoding="utf-8"))
    assert document["intrinsics"][0] < 0 < document["intrinsics"][1]
    assert {"file_path", "world_mat", "expression", "pose"} <= set(document["frames"][0])
    assert document["frames"][0]["file_path"] == "./image/1"


def test_cameras_with_different_lenses_cannot_be_written(tmp_path: Path) -> None:
    cameras = (Camera.looking_at(np.zeros(3)), Camera.looking_at(np.zeros(3), extent=1.0))
    with pytest.raises(UsageError, match="frame 1 differ"):
        write_track(made_track(2, cameras=cameras), tmp_path / "x.json")
    assert list(tmp_path.iterdir()) == []


def test_an_earlier_file_survives_a_write_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.json"
    write_track(made_track(), path)
    before = path.read_bytes()

    def fail_halfway(self: Path, text: str, **_: Any) -> None:
        self.write_bytes(text[:100].encode())
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", fail_halfway)
    with pytest.raises(UsageError, match="No space left"):
        write_track(made_track(2), path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_path_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UsageError, match="cannot be written"):
        write_track(made_track(), tmp_path / "file" / "x.json")


def test_an_unknown_suffix_lists_the_formats(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="flame_params"):
        write_track(made_track(), tmp_path / "x.wav")


# --- wrong files -----------------------------------------------------------------------------------------------------


def without(document: dict[str, Any], *path: Any) -> dict[str, Any]:
    changed = copy.deepcopy(document)
    place: Any = changed
    for key in path[:-1]:
        place = place[key]
    del place[path[-1]]
    return changed


def replaced(document: dict[str, Any], value: Any, *path: Any) -> dict[str, Any]:
    changed = copy.deepcopy(document)
    place: Any = changed
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return changed


GOOD = published_document()
WRONG: dict[str, tuple[Any, str]] = {
    "49 expressions": (
        without(GOOD, "frames", 2, "expression", 0),
        "expression of frame 2 must have 50 values, got 49",
    ),
    "14 pose values": (without(GOOD, "frames", 0, "pose", 3), "pose of frame 0 must have 15 values, got 14"),
    "NaN": (
        replaced(GOOD, math.nan, "frames", 1, "pose", 4),
        r"pose of frame 1 must be finite, got nan at index \[4\]",
    ),
    "beyond float32": (replaced(GOOD, 1e300, "frames", 1, "expression", 0), "expression of frame 1 must be finite"),
    "a word": (replaced(GOOD, "wide", "frames", 1, "expression", 0), "expression of frame 1 must be numbers"),
    "no list": (replaced(GOOD, 7, "frames", 1, "expression"), "frame 1 must have 'expression', a list of 50 numbers"),
    "no expression": (without(GOOD, "frames", 1, "expression"), "frame 1 must have 'expression'"),
    "no pose": (without(GOOD, "frames", 2, "pose"), "frame 2 must have 'pose'"),
    "one world_mat missing": (without(GOOD, "frames", 1, "world_mat"), "frame 1 has no 'world_mat'"),
    "world_mat 2 x 4": (without(GOOD, "frames", 1, "world_mat", 0), "world_mat of frame 1 must be 3 x 4"),
    "no intrinsics": (without(GOOD, "intrinsics"), "'intrinsics'"),
    "zero focal length": (replaced(GOOD, 0, "intrinsics", 1), "focal lengths must be positive"),
    "no frame": (GOOD | {"frames": []}, "at least one frame"),
    "frames not a list": (GOOD | {"frames": {"a": 1}}, "at least one frame"),
    "a frame not an object": (replaced(GOOD, 3, "frames", 1), "frame 1 must be an object"),
    "unknown edition": (GOOD | {"head_model": "flame1999"}, "edition must be one of flame2017"),
    "no speed": (GOOD | {"fps": 0}, "fps must be positive"),
    "speed a word": (GOOD | {"fps": "fast"}, "fps must be a number"),
    "shape of words": (GOOD | {"shape_params": ["round"]}, "shape_params must be numbers"),
    "cut short": (json.dumps(GOOD)[:-200], "not readable as JSON"),
    "not JSON": ("frame,jaw\n1,0.2\n", "not readable as JSON"),
    "empty": ("", "not readable as JSON"),
    "JSON of something else": ({"avatar": 1}, "no known track format: expected flame_params"),
    "JSON but a list": ([1, 2], "no known track format: expected flame_params"),
}


@pytest.mark.parametrize(("document", "sentence"), WRONG.values(), ids=WRONG.keys())
def test_a_wrong_file_is_one_sentence_with_its_name(tmp_path: Path, document: Any, sentence: str) -> None:
    path = saved(tmp_path, document)
    with pytest.raises(InputError, match=sentence) as caught:
        read_track(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 6


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(b"\xff\xfe\x00\x93NUMPY")
    with pytest.raises(InputError, match="not readable as JSON"):
        read_track(path)


@pytest.mark.parametrize("source", ["nowhere.json", "tlak", "."])
def test_an_absent_file_names_the_bundled_word(source: str) -> None:
    with pytest.raises(InputError, match="the word 'talk'"):
        read_track(source)


def test_an_unknown_suffix_lists_what_can_be_read(tmp_path: Path) -> None:
    path = tmp_path / "track.wav"
    path.write_bytes(b"RIFF")
    with pytest.raises(InputError, match=r"flame_params \(\.json"):
        read_track(path)


# --- the classes -----------------------------------------------------------------------------------------------------


def test_frames_carry_camera_time_and_name() -> None:
    track = made_track(3, fps=10.0, names=("a", "b", "c"))
    frames = list(track.frames())
    assert [frame.name for frame in frames] == ["a", "b", "c"]
    np.testing.assert_allclose([frame.timestamp for frame in frames], [0.0, 0.1, 0.2])
    assert frames[1].camera is track.cameras[1]
    np.testing.assert_array_equal(frames[2].pose, track.pose[2])


def test_select_keeps_the_speed_of_the_motion() -> None:
    track = made_track(10, fps=30.0)
    part = track.select(slice(2, 9, 3))
    assert part.names == ("3", "6", "9")
    assert part.fps == 10.0
    np.testing.assert_array_equal(part.expression, track.expression[[2, 5, 8]])
    assert len(part.cameras) == 3
    assert track.select(slice(None, None, -1)).names[0] == "10"


@pytest.mark.parametrize("empty", [slice(20, 30), slice(3, 3), slice(0, 5, 0)])
def test_select_refuses_nothing(empty: slice) -> None:
    with pytest.raises(UsageError, match=r"holds no frame of this track, which has 6"):
        made_track(6).select(empty)


BROKEN_TRACKS: dict[str, tuple[dict[str, Any], str]] = {
    "expression size": ({"expression": np.zeros((6, 49))}, r"expression of frame 0 must have shape \[50\], got \[49\]"),
    "pose rank": ({"pose": np.zeros(15)}, "pose of frame 0"),
    "infinite": ({"pose": np.full((6, POSE_SIZE), np.inf)}, "pose of frame 0 must be finite"),
    "poses missing": ({"pose": np.zeros((5, POSE_SIZE))}, "6 expressions and 5 poses"),
    "cameras missing": ({"cameras": made_track(5).cameras}, "6 expressions and 5 cameras"),
    "names missing": ({"names": ("a",)}, "6 expressions and 1 names"),
    "no frame": ({"expression": np.zeros((0, 50)), "pose": np.zeros((0, 15)), "cameras": ()}, "at least one frame"),
    "edition": ({"edition": "smplx"}, "edition must be one of"),
    "fps": ({"fps": math.nan}, "fps must be positive"),
    "shape": ({"shape": np.zeros((1, 100))}, r"shape must have shape \[S\]"),
}


@pytest.mark.parametrize(("changes", "sentence"), BROKEN_TRACKS.values(), ids=BROKEN_TRACKS.keys())
def test_a_broken_track_cannot_exist(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        made_track(6, **changes)


def test_a_broken_frame_cannot_exist() -> None:
    with pytest.raises(InputError, match=r"frame pose must have shape \[15\], got \[6\]"):
        FlameFrame(expression=np.zeros(50, np.float32), pose=np.zeros(6, np.float32))
    with pytest.raises(InputError, match="frame expression must be finite"):
        FlameFrame(expression=np.full(50, np.nan, np.float32), pose=np.zeros(15, np.float32))


def test_editions_must_agree_where_the_track_says() -> None:
    check_edition("openhead", "openhead")
    check_edition(None, "flame2020")
    with pytest.raises(EditionMismatchError, match=r"flame2020 .* flame2023.*--any-edition") as caught:
        check_edition("flame2020", "flame2023")
    assert caught.value.exit_code == 6
