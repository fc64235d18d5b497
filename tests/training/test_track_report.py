"""The report of a track: a valid page on its own, the same figures as JSON, and overlays."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from imavatar_deploy.errors import InputError, UsageError
from imavatar_deploy.head_fit import landmark_points
from imavatar_deploy.head_fit.landmark_groups import LEFT_IRIS, RIGHT_IRIS
from imavatar_deploy.head_model import HeadModel
from imavatar_deploy.training.synthetic import synthesise
from imavatar_deploy.training.synthetic.people import SUBJECTS
from imavatar_deploy.training.tracking.charts import Mark, Series, TimeAxis, line_chart, nice_ticks
from imavatar_deploy.training.tracking.overlay import (
    HeadProjector,
    _open_irises,
    draw_overlay,
    head_projector,
    moved_points,
    point_errors,
    write_overlay,
)
from imavatar_deploy.training.tracking.report import JSON_NAME, write_report
from imavatar_deploy.training.tracking.result import TrackResult

from .track_results import SIZE, good_result, refitted, rendered_result, with_drops

HEAD = HeadModel.load("openhead")
FRAMES = 30
VOID = {"meta", "img", "br", "link", "input", "hr"}


@pytest.fixture(scope="module")
def tracked(tmp_path_factory: pytest.TempPathFactory) -> TrackResult:
    """A rendered subject, tracked without errors but for noise on its landmarks."""
    folder = tmp_path_factory.mktemp("rendered") / "male1"
    synthesise("male1", folder, frames=FRAMES, size=SIZE, subdivisions=0)
    return rendered_result(folder, SUBJECTS["male1"].shape)


@pytest.fixture(scope="module")
def page(tracked: TrackResult, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    result = replace(with_drops(tracked, "occluded", 2.0, 10), video="<b>me</b> & you.mp4")
    write_report(
        result,
        path,
        head=HEAD,
        settings={"Size": SIZE},
        command="imavatar-data track me.mp4 --out me",
        consent="The person in the video",
    )
    return path


class Page(HTMLParser):
    """Checks that tags are balanced; keeps ids, links, sources and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.references: list[str] = []
        self.images: list[dict[str, str | None]] = []
        self.tags: list[str] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        assert len(values) == len(attrs), f"an attribute of <{tag}> is given twice"
        self.tags.append(tag)
        self.ids += [value for name, value in attrs if name == "id" and value]
        self.references += [
            value
            for name, value in attrs
            if value
            and (name in ("href", "src", "srcset", "data") or "url(" in value or "://" in value)
        ]
        self.references += [
            f"#{value}" for name, value in attrs if name == "aria-labelledby" and value
        ]
        if tag == "img":
            self.images.append(values)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


@pytest.fixture(scope="module")
def parsed(page: Path) -> Page:
    return Page(page.read_text(encoding="utf-8"))


# The page


def test_page_stands_alone(page: Path, parsed: Page) -> None:
    text = page.read_text(encoding="utf-8")
    assert [
        link for link in parsed.references if not link.startswith(("#", "data:image/jpeg;base64,"))
    ] == []
    assert "http" not in text
    assert "@import" not in text
    assert "url(" not in text
    assert "script" not in parsed.tags


def test_ids_are_unique_and_links_lead_to_them(parsed: Page) -> None:
    assert len(parsed.ids) == len(set(parsed.ids))
    anchors = {link[1:] for link in parsed.references if link.startswith("#")}
    assert len(anchors) >= 6
    assert anchors <= set(parsed.ids)


def test_names_from_outside_are_text(parsed: Page) -> None:
    assert "Track report: <b>me</b> & you.mp4" in parsed.text
    assert "b" not in parsed.tags


def test_page_can_be_heard(page: Path, parsed: Page) -> None:
    assert len(parsed.images) == 3 * (8 + 6)
    assert all(image["alt"] for image in parsed.images)
    svgs = re.findall(r"<svg[^>]*>", page.read_text(encoding="utf-8"))
    assert len(svgs) == 9
    assert all('role="img"' in svg and re.search(r'aria-label="\w', svg) for svg in svgs)
    assert parsed.tags.count("h1") == 1
    assert parsed.tags.count("main") == 1


def test_page_states_what_it_knows(parsed: Page) -> None:
    for text in (
        "imavatar-data track me.mp4 --out me",
        "The person in the video",
        "openhead",
        "EXIF",
        "Something, such as a hand, is before the face at 0:02",
        "Film again",
        "Only 30 frames can be used",
        "30 of 40",
        "mouth interior",
    ):
        assert text in parsed.text, text
    assert "$" not in parsed.text


def test_report_is_the_same_every_time(tracked: TrackResult, tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_report(tracked, tmp_path / name / "report.html", head=HEAD)
    for file in ("report.html", JSON_NAME):
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_report_of_500_frames_is_small(tracked: TrackResult, tmp_path: Path) -> None:
    """Pictures of noise at 512, which JPEG compresses worst of all."""
    folder = tmp_path / "noise"
    rng = np.random.default_rng(0)
    for kind in ("image", "mask", "semantic"):
        (folder / kind).mkdir(parents=True)
        shape = (512, 512, 3) if kind == "image" else (512, 512)
        noise = rng.integers(0, 19, shape).astype(np.uint8)
        cv2.imwrite(str(folder / kind / "1.png"), noise if kind == "semantic" else 13 * noise)
    result = good_result(500)
    result = replace(
        result, folder=folder, size=512, names=("1",) * 500, landmarks=4 * result.landmarks
    )
    write_report(result, tmp_path / "report.html", head=HEAD)
    assert 0.5e6 < (tmp_path / "report.html").stat().st_size < 3e6


def test_report_without_pictures(tracked: TrackResult, tmp_path: Path) -> None:
    missing = replace(tracked, folder=tmp_path)
    write_report(missing, tmp_path / "report.html", head=HEAD, images=False)
    parsed = Page((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert parsed.images == []
    with pytest.raises(InputError, match=r"image/\d+\.png is missing"):
        write_report(missing, tmp_path / "report.html", head=HEAD)


def test_report_without_masks_and_labels(tracked: TrackResult, tmp_path: Path) -> None:
    (tmp_path / "image").symlink_to(tracked.folder / "image")
    write_report(replace(tracked, folder=tmp_path), tmp_path / "report.html", head=HEAD)
    parsed = Page((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert len(parsed.images) == 8 + 6
    assert "mouth interior" not in parsed.text


def test_report_of_one_frame(tmp_path: Path) -> None:
    result = with_drops(good_result(1), "no face", 1.0, 50)
    summary = write_report(result, tmp_path / "report.html", head=HEAD, images=False)
    assert summary.verdict.word == "film again"
    parsed = Page((tmp_path / "report.html").read_text(encoding="utf-8"))
    assert "There is no face in the picture at 0:01-0:02" in parsed.text


def test_report_of_another_head_model(tracked: TrackResult, tmp_path: Path) -> None:
    result = replace(tracked, edition="flame2020")
    write_report(result, tmp_path / "report.html")
    text = Page((tmp_path / "report.html").read_text(encoding="utf-8")).text
    assert "The expression codes of flame2020 have no names" in text


# JSON


def test_json_holds_the_figures(page: Path) -> None:
    document = json.loads((page.parent / JSON_NAME).read_text(encoding="utf-8"))
    assert (document["format"], document["version"]) == ("imavatar track report", 1)
    assert document["verdict"] == "film again"
    codes = {item["code"]: item for item in document["advice"]}
    assert codes["occluded"]["spans"] == [[2.0, 2.36]]
    assert codes["short"]["measured"] == FRAMES
    assert document["frames"]["kept_share"] == 0.75
    assert sum(map(sum, document["head_poses"]["frames"])) == FRAMES
    assert len(document["expressions"]) == 12
    assert 0.5 < document["reprojection"]["mean"] < 1.5
    assert document["facts"]["Consent"] == "The person in the video"


def test_json_has_no_numbers_that_json_lacks(tmp_path: Path) -> None:
    result = good_result()
    errors = np.full(len(result), np.nan, dtype=np.float32)
    write_report(refitted(result, errors=errors), tmp_path / "r.html", head=HEAD, images=False)
    text = (tmp_path / JSON_NAME).read_text(encoding="utf-8")

    def refuse(name: str) -> None:
        raise AssertionError(name)

    json.loads(text, parse_constant=refuse)


# Overlays


def test_fitted_head_lies_on_the_subject(tracked: TrackResult) -> None:
    """The true fit: landmarks within noise, and the outline of the face within the mask."""
    projector = HeadProjector(tracked, HEAD)
    for index in (0, 11, 23):
        head = projector.project(index)
        assert head.landmarks is not None
        apart = np.linalg.norm(head.landmarks - tracked.landmarks[index, :, :2], axis=1)
        assert apart.mean() < 0.35
        mask = cv2.imread(str(tracked.folder / "mask" / f"{tracked.names[index]}.png"), 0) > 127
        filled = np.zeros((SIZE, SIZE), dtype=np.uint8)
        cv2.drawContours(filled, head.outline(SIZE), -1, 1, cv2.FILLED)
        both = (filled > 0) & mask
        assert both.sum() / (filled > 0).sum() > 0.95


def test_outline_leaves_out_the_border_of_the_picture(tracked: TrackResult) -> None:
    head = HeadProjector(tracked, HEAD).project(0)
    (contour,) = head.outline(SIZE)
    inside = contour[((contour >= 0) & (contour < SIZE)).all(axis=(1, 2))]
    on_border = (inside == SIZE - 1).any(axis=2).mean()
    assert on_border < 0.1
    assert contour.max() >= SIZE


def test_colours_of_landmarks_show_their_errors() -> None:
    picture = np.zeros((64, 64, 3), dtype=np.uint8)
    points = np.float32([[16, 32], [48, 32], [np.nan, np.nan]])
    errors = np.float32([0.0, 9.0, np.nan])
    drawn = draw_overlay(picture, None, points, errors, wire=False)
    good, poor = drawn[32, 16].astype(int), drawn[32, 48].astype(int)
    assert good[1] > good[0] + 50
    assert poor[0] > poor[1] + 50
    assert not picture.any()


def test_part_of_a_picture_keeps_pixel_centres() -> None:
    """The centre of a square of 4 pixels is that of its single pixel at a quarter of the size."""
    points = np.float32([[9.5, 13.5]])
    moved = moved_points(points, np.array([8.0, 8.0]), 0.25)
    assert moved.tolist() == [[0.0, 1.0]]


def test_errors_of_other_landmarks_set_no_colours() -> None:
    result = good_result(4)
    of_68 = np.zeros((4, 68), dtype=np.float32)
    offsets = np.zeros((3, 68, 3), dtype=np.float32)
    other = refitted(result, point_errors=of_68, weights=of_68, offsets=offsets)
    assert point_errors(other, 0) is None
    assert point_errors(result, 0) == pytest.approx(0.3 * 512 / SIZE)


def test_no_head_is_drawn_with_another_edition() -> None:
    assert head_projector(replace(good_result(4), edition="flame2020"), None) is None


def frames_of(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        assert float(container.streams.video[0].average_rate) == pytest.approx(25.0)
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def test_overlay_video_has_every_frame(tracked: TrackResult, tmp_path: Path) -> None:
    result = replace(tracked, fps=25.0)
    write_overlay(result, tmp_path / "overlay.mp4", head=HEAD)
    frames = frames_of(tmp_path / "overlay.mp4")
    assert len(frames) == FRAMES
    assert frames[0].shape == (SIZE, SIZE, 3)
    for index in (0, 15, 29):
        picture = cv2.imread(str(result.image_path(index)))[..., ::-1].astype(float)
        points = np.round(result.landmarks[index, :, :2]).astype(int).clip(0, SIZE - 1)
        change = np.abs(frames[index] - picture).mean(axis=2)
        at_landmarks = change[points[:, 1], points[:, 0]].mean()
        assert at_landmarks > 3 * np.median(change[: SIZE // 4, SIZE // 2 :]) + 10


def test_overlay_video_of_an_odd_size(tracked: TrackResult, tmp_path: Path) -> None:
    folder = tmp_path / "odd"
    (folder / "image").mkdir(parents=True)
    cv2.imwrite(str(folder / "image" / "1.png"), np.full((65, 65, 3), 128, dtype=np.uint8))
    result = replace(good_result(2), folder=folder, size=65, names=("1", "1"))
    write_overlay(result, tmp_path / "overlay.mp4", head=HEAD)
    assert frames_of(tmp_path / "overlay.mp4")[0].shape == (64, 64, 3)


def test_overlay_that_cannot_be_written(tracked: TrackResult, tmp_path: Path) -> None:
    (tmp_path / "overlay.mp4").mkdir()
    with pytest.raises(UsageError, match="is a folder"):
        write_overlay(tracked, tmp_path / "overlay.mp4", head=HEAD)


# Charts


def test_lines_are_interrupted_where_frames_are_missing() -> None:
    times = np.array([0.0, 0.04, 0.08, 1.0, 1.04])
    axis = TimeAxis(times, 25.0, (Mark((0.12, 0.96), "no face"),))
    values = np.array([1.0, 2.0, np.nan, 3.0, 4.0])
    text = line_chart("x", "Yaw", "degrees", axis, [Series("yaw", values)])
    (line,) = re.findall(r'class="line s0" d="([^"]*)"', text)
    assert re.sub(r"[^ML]", "", line) == "MLML"
    assert "<title>no face</title>" in text
    assert "yaw 1.0 to 4.0, median 2.5" in text


def test_chart_of_one_value() -> None:
    axis = TimeAxis(np.array([0.0]), 25.0)
    assert "nan" not in line_chart("x", "Jaw", "", axis, [Series("jaw", np.array([2.0]))])


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0.0, 1.0, [0.0, 0.25, 0.5, 0.75, 1.0]),
        (-31.0, 28.0, [-40.0, -20.0, 0.0, 20.0, 40.0]),
        (0.0, 5.2, [0.0, 2.0, 4.0, 6.0]),
    ],
)
def test_ticks_are_round(low: float, high: float, ticks: list[float]) -> None:
    assert nice_ticks(low, high) == ticks


def test_the_irises_of_closed_eyes_are_not_drawn() -> None:
    points = landmark_points(HEAD).positions(HEAD.template, HEAD.faces)
    landmarks = (400 * points[:, :2] * [1, -1]).astype(np.float32)
    assert [iris[0] for iris in _open_irises(landmarks)] == [LEFT_IRIS[1], RIGHT_IRIS[1]]
    landmarks[386] = landmarks[374]  # the left upper lid on the lower one
    assert [iris[0] for iris in _open_irises(landmarks)] == [RIGHT_IRIS[1]]
