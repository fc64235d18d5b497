"""Invalid track files: one sentence for each, with the names of the file and the frame."""

from __future__ import annotations

import copy
import json
import math
from pathlib import Path
from typing import Any

import pytest

from imavatar_deploy.errors import InputError
from imavatar_deploy.tracks import read_track

GOOD: dict[str, Any] = {
    "frames": [
        {
            "world_mat": [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, -4]],
            "expression": [0.5] * 50,
            "pose": [0.1] * 15,
        }
        for _ in range(3)
    ],
    "intrinsics": [-3.0, 2.9, 0.51, 0.49],
}


def saved(folder: Path, document: Any) -> Path:
    path = folder / "flame_params.json"
    path.write_text(
        document if isinstance(document, str) else json.dumps(document), encoding="utf-8"
    )
    return path


def test_the_file_that_is_spoilt_below_is_sound(tmp_path: Path) -> None:
    assert len(read_track(saved(tmp_path, GOOD))) == 3


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


WRONG: dict[str, tuple[Any, str]] = {
    "49 expressions": (
        without(GOOD, "frames", 2, "expression", 0),
        "expression of frame 2 must have 50 values, got 49",
    ),
    "14 pose values": (
        without(GOOD, "frames", 0, "pose", 3),
        "pose of frame 0 must have 15 values, got 14",
    ),
    "NaN": (
        replaced(GOOD, math.nan, "frames", 1, "pose", 4),
        r"pose of frame 1 must be finite, got nan at index \[4\]",
    ),
    "beyond float32": (
        replaced(GOOD, 1e300, "frames", 1, "expression", 0),
        "expression of frame 1 must be finite",
    ),
    "a word": (
        replaced(GOOD, "wide", "frames", 1, "expression", 0),
        "expression of frame 1 must be numbers",
    ),
    "no list": (
        replaced(GOOD, 7, "frames", 1, "expression"),
        "frame 1 must have 'expression', a list of 50 numbers",
    ),
    "no expression": (without(GOOD, "frames", 1, "expression"), "frame 1 must have 'expression'"),
    "no pose": (without(GOOD, "frames", 2, "pose"), "frame 2 must have 'pose'"),
    "one world_mat missing": (
        without(GOOD, "frames", 1, "world_mat"),
        "frame 1 has no 'world_mat'",
    ),
    "world_mat 2 x 4": (
        without(GOOD, "frames", 1, "world_mat", 0),
        "world_mat of frame 1 must be 3 x 4",
    ),
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
def test_a_wrong_file_is_one_sentence_with_its_name(
    tmp_path: Path, document: Any, sentence: str
) -> None:
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


@pytest.mark.parametrize("source", ["nowhere.json", "tlak", "no/where"])
def test_an_absent_file_names_the_bundled_word(source: str) -> None:
    with pytest.raises(InputError, match="the word 'talk'"):
        read_track(source)


def test_an_unknown_suffix_lists_what_can_be_read(tmp_path: Path) -> None:
    path = tmp_path / "track.wav"
    path.write_bytes(b"RIFF")
    with pytest.raises(InputError, match=r"flame_params \(\.json"):
        read_track(path)
