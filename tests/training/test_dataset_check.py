"""Checks of a dataset: no findings for a sound one, and one with its file for every defect."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from imavatar_deploy.dataset.labels import LABELS
from imavatar_deploy.errors import UsageError
from imavatar_deploy.head_model import HeadModel
from imavatar_deploy.training.dataset import Finding, check, inspect
from imavatar_deploy.training.dataset.consistency import swap_partner
from imavatar_deploy.training.dataset.findings import summary_lines
from imavatar_deploy.training.dataset.frame_summary import FrameSummary

from .drawn_video import SIDE, edit, write_picture, write_video

FRAMES = 32
KINDS = ("image", "mask", "semantic", "normal", "depth")


@pytest.fixture(scope="module")
def original(openhead: HeadModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_video(tmp_path_factory.mktemp("original") / "video", openhead, FRAMES)


@pytest.fixture
def video(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "video", copy_function=shutil.os.link))  # type: ignore[attr-defined]


def sentences(video: Path, **options: Any) -> list[str]:
    return [str(finding) for finding in check([video], size=SIDE, **options)]


def swap(video: Path, one: int, other: int, kinds: tuple[str, ...] = KINDS) -> None:
    for kind in kinds:
        first, second, aside = (video / kind / f"{name}.png" for name in (one, other, "aside"))
        first.rename(aside)
        second.rename(first)
        aside.rename(second)


def test_a_good_video_has_no_findings(video: Path) -> None:
    outcome = inspect([video], size=SIDE)
    assert outcome.findings == []
    (report,) = outcome.videos
    assert (report.name, report.frames, report.readable, report.side) == (
        "video",
        FRAMES,
        FRAMES,
        str(SIDE),
    )
    assert report.kinds == KINDS
    assert report.labels == ("background", "skin", "nose", "cloth", "hair")
    assert report.jaw == "0 .. 11°"


def test_labels_and_landmarks_are_optional(video: Path) -> None:
    shutil.rmtree(video / "semantic")
    edit(video, lambda document: [frame.pop("flame_keypoints") for frame in document["frames"]])
    assert sentences(video) == []


def test_the_noise_of_a_tracker_is_consistent(video: Path) -> None:
    """Noise of 0.025 rad, the least of the paper's pose noise (supplementary, Table 4)."""
    noise = 0.025 * np.random.default_rng(0).standard_normal((FRAMES, 15))

    def shake(document: Any) -> None:
        for entry, offset in zip(document["frames"], noise, strict=True):
            entry["pose"] = (np.array(entry["pose"]) + offset).tolist()

    edit(video, shake)
    assert sentences(video) == []


def test_swapped_frames_are_found_with_their_partner(video: Path) -> None:
    swap(video, 10, 30)
    first, second = sentences(video)
    assert "mask/10.png does not fit the pose of its frame" in first
    assert "30.png would: are frames swapped" in first
    assert "mask/30.png" in second
    assert "10.png would" in second


def test_a_closing_mouth_is_no_swapped_frame(video: Path) -> None:
    """The mouth is wide open but for the last two frames, while the head is nearly still."""
    for name in range(1, FRAMES + 1):
        path = video / "semantic" / f"{name}.png"
        labels = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        nose = np.argwhere(labels == LABELS.index("nose"))
        low, middle = int(nose[:, 0].max()), int(nose[:, 1].mean())
        height = SIDE // 8 if name <= FRAMES - 2 else 1
        wide = SIDE // 8
        labels[low + 2 : low + 2 + height, middle - wide : middle + wide] = LABELS.index(
            "mouth interior"
        )
        path.unlink()  # a link to the original
        cv2.imwrite(str(path), labels)
    assert sentences(video) == []


def summary(row: float, posed: float = 0.5) -> FrameSummary:
    """A frame with the centre of the face in a row, and the head posed in another."""
    measures = [np.full(5, value, dtype=np.float32) for value in (row, posed)]
    return FrameSummary(
        frame=0,
        digest=b"",
        thumb=np.zeros((24, 24), np.float32),
        labels=np.zeros(19, np.int64),
        area=0.3,
        measured=measures[0],
        posed=measures[1],
        inside=1.0,
        in_picture=1.0,
        behind=False,
    )


@pytest.mark.parametrize(
    ("row", "other", "partner"),
    [
        (0.6, 0.5, 9),  # the other mask fits
        (0.53, 0.52, None),  # masks that differ by less than their noise
        (0.58, 0.545, None),  # both masks fit badly
    ],
)
def test_a_swapped_frame_fits_clearly_better_and_differs(
    row: float, other: float, partner: int | None
) -> None:
    summaries = [*(summary(0.5) for _ in range(8)), summary(row), summary(other)]
    assert swap_partner(summaries, 8, [8, 9]) == partner


@pytest.mark.parametrize("kinds", [("image",), ("image", "mask")])
def test_swapped_pictures_are_found_without_labels(video: Path, kinds: tuple[str, ...]) -> None:
    shutil.rmtree(video / "semantic")
    swap(video, 10, 30, kinds)
    lines = sentences(video)
    for name in ("10.png", "30.png"):
        assert any(name in line for line in lines)
    assert all("are frames swapped" in line for line in lines)


@pytest.mark.parametrize(("steps", "word"), [(1, "1 frame later"), (-3, "3 frames earlier")])
def test_shifted_frames_are_found(video: Path, steps: int, word: str) -> None:
    """Pictures are renumbered by `steps`: picture k becomes that of frame k + steps."""
    order = np.roll(np.arange(1, FRAMES + 1), -steps)
    for kind in KINDS:
        folder = video / kind
        folder.rename(video / "old")
        folder.mkdir()
        for new, old in enumerate(order, start=1):
            (video / "old" / f"{old}.png").rename(folder / f"{new}.png")
        (video / "old").rmdir()
    (sentence,) = sentences(video)
    assert "image is shifted against flame_params.json" in sentence
    assert word in sentence


def without(kind: str) -> Callable[[Path], None]:
    return lambda video: (video / kind / "7.png").unlink()


def cut(video: Path) -> None:
    file = video / "image/7.png"
    data = file.read_bytes()
    file.unlink()
    file.write_bytes(data[:-40])


def replaced(name: str, value: Any) -> Callable[[Path], None]:
    def change(video: Path) -> None:
        (video / name).unlink()
        write_picture(video / name, value)

    return change


def copied(video: Path) -> None:
    (video / "image/27.png").unlink()
    shutil.copy(video / "image/7.png", video / "image/27.png")


def still(video: Path) -> None:
    """Frame 8 repeats frame 7, pictures and pose."""
    for kind in KINDS:
        (video / kind / "8.png").unlink()
        shutil.copy(video / kind / "7.png", video / kind / "8.png")
    edit(
        video,
        lambda d: d["frames"][7].update(
            expression=d["frames"][6]["expression"], pose=d["frames"][6]["pose"]
        ),
    )


def frame(**values: Any) -> Callable[[Path], None]:
    return lambda video: edit(video, lambda document: document["frames"][6].update(values))


def every_frame(**values: Any) -> Callable[[Path], None]:
    return lambda video: edit(
        video, lambda document: [entry.update(values) for entry in document["frames"]]
    )


def whole(**values: Any) -> Callable[[Path], None]:
    return lambda video: edit(video, lambda document: document.update(values))


def camera(z: float, x: float = 0.0) -> list[list[float]]:
    return [[1, 0, 0, x], [0, 1, 0, 0.1], [0, 0, 1, z]]


EMPTY = np.zeros((SIDE, SIDE), dtype=np.uint8)
NARROW = np.zeros((SIDE, 60, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("spoil", "severity", "words"),
    [
        pytest.param(
            without("mask"),
            "error",
            "mask/7.png is missing: every frame needs its mask",
            id="no mask",
        ),
        pytest.param(without("image"), "error", "image/7.png is missing", id="no image"),
        pytest.param(without("semantic"), "error", "semantic/7.png is missing", id="no labels"),
        pytest.param(
            cut, "error", "image/7.png is not a readable picture: it is cut short", id="cut short"
        ),
        pytest.param(
            replaced("mask/7.png", EMPTY), "error", "mask/7.png is empty", id="empty mask"
        ),
        pytest.param(
            replaced("mask/7.png", EMPTY[:-2]),
            "error",
            "mask/7.png must be square, got 64 x 62 pixels",
            id="other shape",
        ),
        pytest.param(
            replaced("image/7.png", NARROW),
            "error",
            "image/7.png must be square",
            id="narrow",
        ),
        pytest.param(
            copied,
            "error",
            "27.png is the same picture as 7.png, but their poses differ",
            id="copy",
        ),
        pytest.param(
            still,
            "warning",
            "8.png is the same picture as 7.png: the frame counts twice",
            id="still",
        ),
        pytest.param(
            frame(pose=[0.0] * 14),
            "error",
            "pose of frame 6 must have 15 values, got 14",
            id="short pose",
        ),
        pytest.param(
            frame(pose=[None] + [0.0] * 14), "error", "pose of frame 6 must be", id="not finite"
        ),
        pytest.param(
            frame(world_mat=camera(-0.5)),
            "error",
            "camera of frame 7 is 0.5 model units",
            id="inside",
        ),
        pytest.param(
            every_frame(world_mat=camera(4)),
            "error",
            "head of frame 7 is behind its camera",
            id="behind",
        ),
        pytest.param(
            frame(world_mat=camera(-4, 5)),
            "error",
            "image/7.png shows 0% of the head",
            id="out of picture",
        ),
        pytest.param(
            frame(world_mat=camera(-4, 0.3)),
            "error",
            "mask/7.png does not fit the pose",
            id="misplaced",
        ),
        pytest.param(
            whole(intrinsics=[-4.5, 4.5, 0.7, 0.5]),
            "error",
            "check intrinsics, crop",
            id="wrong focus",
        ),
        pytest.param(
            frame(file_path="./image/6"), "error", "lists image/6.png 2 times", id="listed twice"
        ),
        pytest.param(
            frame(pose=[0.0] * 6 + [1.2] + [0.0] * 8),
            "warning",
            "jaw of frame 7 is turned by 69",
            id="jaw",
        ),
        pytest.param(
            whole(frames=[]), "error", "flame_params.json: frames must be a list", id="no frames"
        ),
        pytest.param(
            whole(head_model="flame2020"),
            "warning",
            "poses were not compared with masks",
            id="no head",
        ),
        pytest.param(
            replaced("mask/7.png", EMPTY + 255),
            "warning",
            "mask/7.png covers the whole picture",
            id="full mask",
        ),
    ],
)
def test_every_defect_is_a_sentence_with_its_file(
    video: Path, spoil: Callable[[Path], None], severity: str, words: str
) -> None:
    spoil(video)
    lines = sentences(video)
    assert any(line.startswith(severity) and words in line for line in lines), lines


def test_pictures_that_are_not_tracked_are_a_warning(video: Path) -> None:
    edit(video, lambda document: document.update(frames=document["frames"][:-3]))
    (line,) = sentences(video)
    assert line.startswith("warning: ")
    assert "image holds 3 pictures (30.png is one) that flame_params.json does not list" in line


def test_videos_are_checked_on_after_one_that_cannot_be_read(video: Path, tmp_path: Path) -> None:
    shutil.copytree(video, tmp_path / "all/good")
    shutil.copytree(video, tmp_path / "all/bad")
    (tmp_path / "all/bad/flame_params.json").write_text("{")
    outcome = inspect([tmp_path / "all"], size=SIDE)
    assert [report.name for report in outcome.videos] == ["good"]
    assert len(outcome.errors) == 1
    with pytest.raises(UsageError):
        check([tmp_path / "all"], videos=["none"])


def test_labels_of_only_some_videos_are_a_warning(video: Path, tmp_path: Path) -> None:
    for name in ("first", "second"):
        shutil.copytree(video, tmp_path / "all" / name)
    shutil.rmtree(tmp_path / "all/second/semantic")
    (finding,) = check([tmp_path / "all"], size=SIDE)
    assert str(finding).startswith("warning: ")
    assert "second/semantic is missing while other videos have labels" in str(finding)


def test_a_wrong_path_is_a_finding(tmp_path: Path) -> None:
    (finding,) = check([tmp_path / "none"])
    assert "there is no dataset folder" in str(finding)


def test_many_findings_of_one_kind_are_counted() -> None:
    findings = [
        Finding("warning", "mask", "odd"),
        *(Finding("error", "picture", f"{n} is gone") for n in range(5)),
    ]
    assert summary_lines(findings, most=2) == [
        "error: 0 is gone",
        "error: 1 is gone",
        "error: and 3 more like these",
        "warning: odd",
    ]
