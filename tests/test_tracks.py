"""Tracks: the published file, round trips over the table of formats, and the classes."""

from __future__ import annotations

import json
import math
from dataclasses import replace
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
from imavatar_deploy.tracks import (
    TRACK_FORMATS,
    FlameFrame,
    FlameTrack,
    check_edition,
    read_track,
    write_track,
)
from imavatar_deploy.tracks.flame_params import DECIMALS
from imavatar_deploy.tracks.vhap import SHAPE_COUNT

WRITTEN = [row for row in TRACK_FORMATS.values() if row.write]


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
    """A document in the published schema, with keys that are not used."""
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
    path.write_text(
        document if isinstance(document, str) else json.dumps(document), encoding="utf-8"
    )
    return path


# Reading


def test_the_reference_track_is_read_as_it_stands(reference: Path) -> None:
    path = reference / "talk" / "flame_params.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    track = read_track(path)
    assert len(track) == len(document["frames"]) == 150
    np.testing.assert_array_equal(
        track.pose, np.array([frame["pose"] for frame in document["frames"]], np.float32)
    )
    np.testing.assert_array_equal(
        track.expression,
        np.array([frame["expression"] for frame in document["frames"]], np.float32),
    )
    np.testing.assert_array_equal(
        track.cameras[7].world_to_camera, np.array(document["frames"][7]["world_mat"], np.float32)
    )
    np.testing.assert_allclose(track.cameras[7].intrinsics, [3.0, 2.95, 0.51, 0.495], rtol=1e-7)
    assert (track.edition, track.fps, track.names[:2], track.shape.shape) == (
        None,
        25.0,
        ("1", "2"),
        (100,),
    )


def test_both_spellings_of_intrinsics_mean_the_same(tmp_path: Path) -> None:
    document = published_document()
    modern = read_track(saved(tmp_path, document))
    document["intrinsics"] = [512 * value for value in document["intrinsics"]]
    legacy = read_track(saved(tmp_path, document))
    np.testing.assert_allclose(
        legacy.cameras[0].intrinsics, modern.cameras[0].intrinsics, rtol=1e-6
    )


def test_our_own_keys_are_read_and_strange_ones_skipped(tmp_path: Path) -> None:
    track = read_track(
        saved(
            tmp_path,
            published_document() | {"head_model": "flame2023", "fps": 50, "weather": "mild"},
        )
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


# Round trips


@pytest.mark.parametrize("row", WRITTEN, ids=lambda row: row.name)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_every_format_that_writes_reads_back_the_same(
    tmp_path_factory: Any, row: Any, data: st.DataObject
) -> None:
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
    assert len(back.shape) in (len(track.shape), SHAPE_COUNT)  # VHAP's is of one size
    back = replace(back, shape=back.shape[: len(track.shape)])
    for name in ("expression", "pose", "shape"):
        np.testing.assert_allclose(
            getattr(back, name), getattr(track, name), rtol=1e-6, atol=0.5 * 10.0**-DECIMALS
        )
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


def test_an_earlier_file_survives_a_write_that_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
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


# The classes


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
    "expression size": (
        {"expression": np.zeros((6, 49))},
        r"expression of frame 0 must have shape \[50\], got \[49\]",
    ),
    "pose rank": ({"pose": np.zeros(15)}, "pose of frame 0"),
    "infinite": ({"pose": np.full((6, POSE_SIZE), np.inf)}, "pose of frame 0 must be finite"),
    "poses missing": ({"pose": np.zeros((5, POSE_SIZE))}, "6 expressions and 5 poses"),
    "cameras missing": ({"cameras": made_track(5).cameras}, "6 expressions and 5 cameras"),
    "names missing": ({"names": ("a",)}, "6 expressions and 1 names"),
    "no frame": (
        {"expression": np.zeros((0, 50)), "pose": np.zeros((0, 15)), "cameras": ()},
        "at least one frame",
    ),
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


def test_editions_must_agree() -> None:
    check_edition("openhead", "openhead")
    with pytest.raises(
        EditionMismatchError,
        match=r"does not name the head model .* flame2020: state it with .* --edition NAME$",
    ):
        check_edition(None, "flame2020")
    with pytest.raises(EditionMismatchError, match="or accept it with --any-edition$"):
        check_edition(None, "flame2020", option="--any-edition")
    with pytest.raises(EditionMismatchError, match=r"flame2020 .* flame2023") as caught:
        check_edition("flame2020", "flame2023")
    assert caught.value.exit_code == 6
    assert str(caught.value).endswith("use a track of the avatar's edition")
    with pytest.raises(EditionMismatchError, match="or accept this one with --any-edition$"):
        check_edition("flame2020", "flame2023", option="--any-edition")
