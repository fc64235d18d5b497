"""imavatar-bench: combinations, rows that cannot run here, tables and JSON."""

from __future__ import annotations

import json
import math
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from imavatar_deploy.errors import ImavatarError, MissingDependencyError
from imavatar_deploy.rendering.shading import SHADINGS
from imavatar_deploy.runtime.backends import BACKENDS
from imavatar_deploy.runtime.bench import measure
from imavatar_deploy.runtime.bench.combination import (
    IN_TURN,
    SIDE_BY_SIDE,
    TOGETHER,
    BenchAxes,
    Combination,
    combinations,
)
from imavatar_deploy.runtime.bench.command import bench
from imavatar_deploy.runtime.bench.measure import Timed, TimingPlan, Unavailable, time_all
from imavatar_deploy.runtime.bench.reports import COLUMNS, briefly
from imavatar_deploy.runtime.bench.results import add_ratios, growths
from imavatar_deploy.runtime.player import STAGES
from imavatar_deploy.tracks import FlameFrame, read_track

from ..tiny_avatar import tiny_avatar, write_tiny_folder


def call(*arguments: object) -> Result:
    return CliRunner(env={"COLUMNS": "220"}).invoke(
        bench, [str(argument) for argument in arguments]
    )


def compared(folder: Path, out: Path, *options: object) -> tuple[Result, list[dict[str, Any]]]:
    result = call(
        folder, "--frames", "2", "--size", "16", "--threads", "1", "--json", out, *options
    )
    assert result.exit_code == 0, result.output
    return result, json.loads(out.read_text(encoding="utf-8"))["rows"]


@pytest.fixture
def motion() -> list[FlameFrame]:
    return list(read_track("talk").frames())[:4]


class TestComparison:
    def test_every_combination_is_a_row(self, tiny_avatar_folder: Path, tmp_path: Path) -> None:
        out = tmp_path / "bench.json"
        options = ("--size", "16,24x32", "--shading", ",".join(SHADINGS), "--threads", "1,2")
        result, rows = compared(tiny_avatar_folder, out, *options)
        timed = {(tuple(row["size"]), row["shading"], row["threads"]) for row in rows}
        assert timed == {
            (size, shading, threads)
            for size in ((16, 16), (24, 32))
            for shading in SHADINGS
            for threads in (1, 2)
        }
        for row in rows:
            assert tuple(row["milliseconds"]) == (*STAGES, "total")
            assert row["frames"] == 2
            assert row["frames_per_second"] > 0
            assert 0 < row["covered_pixels"] < math.prod(row["size"])
            assert row["faces"] == len(tiny_avatar().faces)
        assert min(row["times_slower"] for row in rows) == 1.0
        for text in (
            "16²",
            "24x32",
            "student 2x16",
            "x slower",
            "alike in all rows",
            "took",
            "next: imavatar-",
        ):
            assert text in result.stdout

    def test_report_has_the_machine_and_its_load(
        self, tiny_avatar_folder: Path, tmp_path: Path
    ) -> None:
        out = tmp_path / "bench.json"
        compared(tiny_avatar_folder, out, "--shading", "vertex,pixel")
        report = json.loads(out.read_text(encoding="utf-8"))
        assert report["schema_version"] == 2
        assert {
            "processor",
            "cores",
            "gpu",
            "packages",
            "load_average",
            "load_average_before",
        } <= set(report["machine"])
        assert "parameters in" in report["included"]

    def test_levels_of_detail_are_avatars(self, tiny_avatar_folder: Path, tmp_path: Path) -> None:
        other = write_tiny_folder(tmp_path / "other[bold]")  # which is no markup
        result, rows = compared(tiny_avatar_folder, tmp_path / "bench.json", other)
        assert [row["avatar"] for row in rows] == [str(tiny_avatar_folder), str(other)]
        assert {row["student_width"] for row in rows} == {16}
        assert str(other) in result.stdout

    def test_avatars_at_once(self, tiny_avatar_folder: Path, tmp_path: Path) -> None:
        ways = ("--avatars", "1,3", "--together", ",".join(TOGETHER))
        _, rows = compared(tiny_avatar_folder, tmp_path / "bench.json", *ways)
        assert [(row["avatars"], row["together"], row["frames"]) for row in rows] == [
            (1, "", 2),
            (3, SIDE_BY_SIDE, 6),
            (3, IN_TURN, 6),
        ]
        for row in rows:
            assert row["frames_per_second_each"] == pytest.approx(
                row["frames_per_second"] / row["avatars"], abs=0.01
            )

    def test_markdown_holds_the_same_figures(
        self, tiny_avatar_folder: Path, tmp_path: Path
    ) -> None:
        md = tmp_path / "bench.md"
        _, rows = compared(
            tiny_avatar_folder, tmp_path / "b.json", "--shading", "student,pixel", "--md", md
        )
        head, _, *lines = [
            line for line in md.read_text(encoding="utf-8").splitlines() if line.startswith("|")
        ]
        names = [cell.strip() for cell in head.strip("|").split("|")]
        slower = [line.strip("| ").split("|")[names.index("x slower")].strip() for line in lines]
        assert [float(cell) for cell in slower] == pytest.approx(
            [row["times_slower"] for row in rows], rel=0.01
        )
        assert {*STAGES, "p50 ms", "frames/s"} <= set(names)

    def test_narrow_terminal_leaves_the_stages_out(self, tiny_avatar_folder: Path) -> None:
        arguments = [str(tiny_avatar_folder), "--frames", "2", "--size", "16,24", "--threads", "1"]
        result = CliRunner(env={"COLUMNS": "64"}).invoke(bench, arguments)
        assert result.exit_code == 0, result.output
        assert "animate" not in result.stdout
        assert "the stages do not fit here" in result.stdout
        assert max(map(len, result.stdout.partition("alike")[0].splitlines())) <= 64


class TestWhatCannotRun:
    @pytest.fixture(autouse=True)
    def _no_tensorrt(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """On a machine with or without TensorRT."""

        def opened(*arguments: Any, real: Any = measure.Player, **options: Any) -> Any:
            if options["backend"] == "tensorrt":
                raise MissingDependencyError(
                    "there is no TensorRT here (no module named it); do without"
                )
            return real(*arguments, **options)

        monkeypatch.setattr(measure, "Player", opened)

    def test_is_a_row_with_its_reason(self, tiny_avatar_folder: Path, tmp_path: Path) -> None:
        options = ("--shading", "vertex", "--backend", "cpu,tensorrt")
        result, (timed, lacking) = compared(tiny_avatar_folder, tmp_path / "bench.json", *options)
        assert "milliseconds" in timed
        assert "milliseconds" not in lacking
        assert (
            lacking["unavailable"] == "there is no TensorRT here (no module named it); do without"
        )
        assert "(1) not here: there is no TensorRT here\n" in result.stdout

    @pytest.mark.parametrize("sizes", ["16", "16,24"])
    def test_is_an_error_where_nothing_else_ran(self, tiny_avatar_folder: Path, sizes: str) -> None:
        options = ("--frames", "1", "--shading", "vertex", "--backend", "tensorrt", "--size", sizes)
        result = call(tiny_avatar_folder, *options)
        assert result.exit_code == 5
        (sentence,) = result.stderr.strip().splitlines()
        assert "there is no TensorRT here" in sentence

    def test_one_that_breaks_midway_spoils_no_other(
        self, tiny_avatar_folder: Path, motion: list[FlameFrame], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def play(
            self: measure.PlayerGroup,
            frames: Any,
            seconds: float,
            real: Any = measure.PlayerGroup.play,
        ) -> measure.Timing:
            if self._combination.shading == "pixel":
                raise ImavatarError("the device went away")
            take: measure.Timing = real(self, frames, seconds)
            return take

        monkeypatch.setattr(measure.PlayerGroup, "play", play)
        rows = [
            Combination(str(tiny_avatar_folder), (8, 8), shading, "cpu", 1)
            for shading in ("pixel", "vertex")
        ]
        broken, timed = time_all(rows, motion, TimingPlan(4, rounds=2), lambda count: None)
        assert isinstance(broken, Unavailable)
        assert isinstance(timed, Timed)
        assert len(timed.totals) == 4

    @pytest.mark.parametrize(
        ("sentence", "words"),
        [
            (
                "no driver is installed here (libcuda.so.1 cannot be loaded); install it",
                "no driver is installed here",
            ),
            ("this onnxruntime has no CUDA: pip install 'x[gpu]'", "this onnxruntime has no CUDA"),
            ("torch sees no GPU here", "torch sees no GPU here"),
        ],
    )
    def test_reasons_are_told_briefly(self, sentence: str, words: str) -> None:
        assert briefly(sentence) == words


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (("--size", "16,huge"), 2, "--size must be like 512 or 640x480, got 'huge'"),
        (("--size", "0"), 2, "size must be between 1 and"),
        (("--shading", "vertex,pixle"), 2, "unknown shading 'pixle'"),
        (("--backend", "gpu"), 2, "unknown backend 'gpu'"),
        (("--threads", "0"), 2, "--threads must be like 2 or 1,2,4"),
        (("--avatars", "1,"), 2, "--avatars must be like 2 or 1,2,4"),
        (("--together", "both"), 2, "unknown way to play together 'both'"),
        (("--tracers", "sphere"), 2, "unknown tracer 'sphere'"),
        (("--implicit", "absent"), 6, "there is no checkpoint at absent"),
        (("absent",), 6, "is not an avatar folder"),
    ],
)
def test_bad_option_is_one_sentence(
    tiny_avatar_folder: Path, options: tuple[str, ...], code: int, message: str
) -> None:
    result = call(tiny_avatar_folder, "--frames", "1", *options)
    assert result.exit_code == code, result.output
    (sentence,) = result.stderr.strip().splitlines()
    assert message in sentence


class TestRounds:
    def test_frames_are_shared_out_and_taken_in_turn(
        self, tiny_avatar_folder: Path, motion: list[FlameFrame], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        calls: list[tuple[str, int]] = []

        def play(self: measure.PlayerGroup, frames: Any, seconds: float) -> measure.Timing:
            calls.append((self._combination.shading, len(frames)))
            return measure.Timing([1.0] * len(frames), 1.0)

        monkeypatch.setattr(measure.PlayerGroup, "play", play)
        rows = [
            Combination(str(tiny_avatar_folder), (8, 8), shading, "cpu", 1)
            for shading in ("student", "vertex")
        ]
        time_all(rows, motion, TimingPlan(7, rounds=3), lambda count: None)
        counted = [
            (name, count)
            for name, count in calls
            if count not in (measure.WARM_UP_FRAMES, measure.REWARM_FRAMES)
        ]
        assert counted == [(name, count) for count in (2, 2, 3) for name in ("student", "vertex")]

    def test_frames_fewer_than_rounds(self) -> None:
        assert TimingPlan(2, rounds=5).counts() == [1, 1]

    def test_slow_one_ends_when_its_time_is_up(
        self, tiny_avatar_folder: Path, motion: list[FlameFrame]
    ) -> None:
        row = Combination(
            str(tiny_avatar_folder), (8, 8), "vertex", "cpu", 1, avatars=2, together=IN_TURN
        )
        (timed,) = time_all(
            [row], motion, TimingPlan(40, seconds=1e-9, rounds=2), lambda count: None
        )
        assert isinstance(timed, Timed)
        assert len(timed.totals) == 4, "one frame of both avatars in each of two rounds"

    def test_no_more_players_than_may_be_open(
        self, tiny_avatar_folder: Path, motion: list[FlameFrame], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(measure, "PLAYER_LIMIT", 3)
        rows = [
            Combination(str(tiny_avatar_folder), (8, 8), "student", "cpu", 1, count)
            for count in (1, 2, 3, 4, 1)
        ]
        assert [[row.avatars for row in some] for some in measure._batches(rows)] == [
            [1, 2],
            [3],
            [4],
            [1],
        ]


def test_closing_a_cast_ends_what_it_plays(
    tiny_avatar_folder: Path, motion: list[FlameFrame], monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = Event()
    render = measure.Player.render

    def rendered(*arguments: Any) -> Any:
        begun.set()
        return render(*arguments)

    monkeypatch.setattr(measure.Player, "render", rendered)
    with ThreadPoolExecutor(1) as pool:
        playing = measure.PlayerGroup(
            Combination(str(tiny_avatar_folder), (8, 8), "student", "cpu", 1), "rebuild"
        )
        take = pool.submit(playing.play, motion * 100_000, math.inf)
        assert begun.wait(60)
        playing.close()
        assert 1 <= len(take.result(60).totals) < 400_000


class TestCombination:
    def test_cores_are_split_among_those_that_draw_at_once(self) -> None:
        def row(avatars: int, together: str) -> Combination:
            return Combination("a", (8, 8), "student", "cpu", 4, avatars, together)

        assert [row(avatars, SIDE_BY_SIDE).threads_each for avatars in (1, 2, 3, 8)] == [4, 2, 1, 1]
        assert [row(avatars, IN_TURN).threads_each for avatars in (1, 2, 3, 8)] == [4, 4, 4, 4]

    def test_alone_there_is_one_way_to_play(self) -> None:
        axes = BenchAxes(
            ["a"], [(8, 8)], ["student"], list(BACKENDS), [1], [1, 2], [IN_TURN, SIDE_BY_SIDE]
        )
        rows = combinations(axes)
        assert len(set(rows)) == len(rows) == 3 * len(BACKENDS)


def made_row(**facts: Any) -> dict[str, Any]:
    row = {
        "kind": "baked",
        "avatar": "a",
        "size": [8, 8],
        "shading": "vertex",
        "antialias": "edges",
        "backend": "cpu",
        "threads": 1,
        "avatars": 1,
        "together": "",
        "student_width": None,
        "vertices": 1000,
        "covered_pixels": 10,
    }
    return row | {"milliseconds": {"total": {"p50": 1.0}}} | facts


def ms(value: float) -> dict[str, Any]:
    return {"total": {"p50": value}}


class TestGrowth:
    def test_line_through_sizes_and_levels_of_detail(self) -> None:
        pixels = np.array([1e3, 4e3, 1.6e4])
        sizes = [
            made_row(
                size=[side, side], covered_pixels=covered, milliseconds=ms(2.0 + 50e-6 * covered)
            )
            for side, covered in zip((32, 64, 128), pixels, strict=True)
        ]
        details = [
            made_row(
                avatar=name, shading="pixel", vertices=count, milliseconds=ms(1.0 + 0.8e-4 * count)
            )
            for name, count in (("x", 2_500), ("y", 10_000), ("z", 50_000))
        ]
        by_pixels, by_vertices = growths([*sizes, *details])
        assert by_pixels["slope_ms"] == pytest.approx(50.0)  # ms a million pixels: ns a pixel
        assert by_pixels["rest_ms"] == pytest.approx(2.0)
        assert by_vertices["slope_ms"] == pytest.approx(0.8)
        assert by_vertices["worst"] < 1e-6
        assert re.search(r"1\.00 ms \+ 0\.80 ms for every 10,000 vertices", by_vertices["said"])

    def test_two_points_are_no_line(self) -> None:
        assert growths([made_row(covered_pixels=count) for count in (10, 20)]) == []

    def test_rows_that_differ_otherwise_are_not_mixed(self) -> None:
        rows = [made_row(covered_pixels=count, threads=count) for count in (1, 2, 3)]
        assert growths(rows) == []


def test_ratio_is_to_the_quickest_of_the_same_size() -> None:
    rows = [
        made_row(milliseconds=ms(2.0)),
        made_row(milliseconds=ms(6.0), avatars=4, together=SIDE_BY_SIDE),
        made_row(size=[16, 16], milliseconds=ms(4.0)),
        made_row(kind="implicit", milliseconds=ms(3000.0)),
        {key: value for key, value in made_row().items() if key != "milliseconds"},
    ]
    add_ratios(rows)
    assert [row.get("times_slower") for row in rows] == [1.33, 1.0, 1.0, 2000.0, None]


def test_every_column_has_its_own_head() -> None:
    heads = [column.head for column in COLUMNS]
    assert len(set(heads)) == len(heads)
