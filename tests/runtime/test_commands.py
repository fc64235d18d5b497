"""imavatar-run, imavatar-verify and imavatar-bench: results, messages and exit codes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result

from imavatar_deploy.avatar_io import open_avatar, write_avatar
from imavatar_deploy.camera import Camera
from imavatar_deploy.errors import InputError
from imavatar_deploy.fidelity.golden import read_golden, write_golden
from imavatar_deploy.runtime import Player
from imavatar_deploy.runtime.bench.command import bench
from imavatar_deploy.runtime.commands.run import run
from imavatar_deploy.runtime.commands.verify import verify
from imavatar_deploy.runtime.live.config import LiveConfig
from imavatar_deploy.runtime.live.play import PlayConfig, play
from imavatar_deploy.runtime.player import STAGES
from imavatar_deploy.runtime.sources import Source
from imavatar_deploy.student import STUDENT_FILE, Student, load_student, write_student
from imavatar_deploy.tracks import FlameFrame, FlameTrack, write_track

from ..tiny_avatar import tiny_avatar, write_texture


def call(command: Any, *arguments: object) -> Result:
    return CliRunner().invoke(command, [str(argument) for argument in arguments])


def refused(result: Result, code: int, message: str) -> None:
    """One sentence on stderr, nothing else, and the right exit code."""
    assert result.exit_code == code, result.output
    (sentence,) = result.stderr.strip().splitlines()
    assert message in sentence


@pytest.fixture
def track(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    path = tmp_path / "track.json"
    write_track(
        FlameTrack(
            rng.random((6, 50)), 0.1 * rng.normal(size=(6, 15)), fps=12.0, edition="openhead"
        ),
        path,
    )
    return path


def test_run_writes_every_sink(tiny_avatar_folder: Path, track: Path, tmp_path: Path) -> None:
    video = tmp_path / "out.mp4"
    frames = tmp_path / "frames" / "%03d.png"
    sinks = ("--sink", video, "--sink", frames, "--sink", "null")
    result = call(
        run, tiny_avatar_folder, "--source", track, *sinks, "--size", "64x48", "--frames", "1:"
    )
    assert result.exit_code == 0, result.output
    with av.open(str(video)) as container:
        assert len(list(container.decode(video=0))) == 5
        assert container.streams.video[0].average_rate == 12
    assert len(list(frames.parent.iterdir())) == 5
    for part in (
        "wrote",
        "5 frames",
        "5 images",
        "drew 5 frames at",
        "took",
        "next: imavatar-bench",
    ):
        assert part in result.stdout


def test_run_draws_what_the_player_draws(
    tiny_avatar_folder: Path, track: Path, tmp_path: Path
) -> None:
    look = ("--size", "40", "--shading", "pixel", "--background", "#204060")
    result = call(
        run,
        tiny_avatar_folder,
        "--source",
        track,
        "--sink",
        tmp_path / "%d.png",
        "--frames",
        "3:4",
        *look,
    )
    assert result.exit_code == 0, result.output
    frame = json.loads(track.read_text())["frames"][3]
    with Player(tiny_avatar_folder, size=40, shading="pixel", background="#204060") as player:
        expected = player.render(frame["expression"], frame["pose"])
    np.testing.assert_array_equal(
        cv2.imread(str(tmp_path / "1.png"), cv2.IMREAD_UNCHANGED)[..., [2, 1, 0, 3]], expected
    )


def test_run_looks_through_the_track_s_camera(tiny_avatar_folder: Path, tmp_path: Path) -> None:
    with Player(tiny_avatar_folder, size=32) as player:
        aside = Camera.looking_at([0.5, 0.0, 0.0], extent=3.0)
        still = np.zeros(50), np.zeros(15)
        tracked = player.render(*still, aside)
        front = player.render(*still)
    path = tmp_path / "aside.json"
    write_track(
        FlameTrack(still[0][None], still[1][None], cameras=(aside,), edition="openhead"), path
    )
    for camera, expected in (("track", tracked), ("front", front)):
        sink = tmp_path / f"{camera}%d.png"
        result = call(
            run,
            tiny_avatar_folder,
            "--source",
            path,
            "--sink",
            sink,
            "--size",
            "32",
            "--camera",
            camera,
        )
        assert result.exit_code == 0, result.output
        image = cv2.imread(str(tmp_path / f"{camera}1.png"), cv2.IMREAD_UNCHANGED)[
            ..., [2, 1, 0, 3]
        ]
        np.testing.assert_allclose(image.astype(int), expected, atol=1)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--sink", "out.mkv"), 2, "unknown sink 'out.mkv'"),
        (("--sink", "null", "--size", "huge"), 2, "--size must be like 512 or 640x480, got 'huge'"),
        (("--sink", "null", "--size", "0"), 2, "size must be between 1 and"),
        (("--sink", "out.mp4", "--size", "63"), 2, "even width and height"),
        (("--sink", "null", "--background", "mauve"), 2, "a background is '#rrggbb'"),
        (("--sink", "null", "--frames", "5"), 2, "--frames must be like 0:100"),
        (("--sink", "null", "--frames", "90:"), 2, "holds no frame"),
        (("--sink", "null", "--fps", "0"), 2, "--fps must be more than 0"),
        (("--sink", "null", "--source", "gopher://:9000"), 2, "unknown source 'gopher://:9000'"),
        (
            ("--sink", "null", "--source", "udp://:0", "--frames", "0:3"),
            2,
            "--frames, --loop and --recorded-fps apply to a recording",
        ),
        (("--sink", "null", "--loop"), 2, "--loop would never end"),
        (("--sink", "null", "--duration", "0s"), 2, "--duration must be more than 0"),
        (("--sink", "f/%05d.png", "--sink", "f/00001.png"), 2, "would write to"),
        (("--sink", "f/7.png", "--sink", "f/%d.png"), 2, "would write to"),
        (("--sink", "f/%d.png", "--sink", "f/%04d.png"), 2, "would write to"),
        (("--sink", "null", "--adjust", "jawOpne=1"), 2, "did you mean 'jawOpen'?"),
        (("--sink", "null", "--map", "absent.npz"), 6, "absent.npz"),
        (("--sink", "null", "--source", "absent.json"), 6, "no track file 'absent.json'"),
    ],
)
def test_run_refuses_in_one_sentence(
    tiny_avatar_folder: Path, track: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    arguments: tuple[str, ...], code: int, message: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    refused(call(run, tiny_avatar_folder, "--source", track, *arguments), code, message)
    assert [path.name for path in tmp_path.iterdir()] == ["track.json"]


def test_run_refuses_a_folder_that_is_none(tmp_path: Path) -> None:
    refused(call(run, tmp_path, "--sink", "null"), 6, "is not an avatar folder")


def test_run_refuses_a_nan_in_the_track(tiny_avatar_folder: Path, tmp_path: Path) -> None:
    frame = {"expression": [0.0] * 50, "pose": [float("nan")] + [0.0] * 14}
    (tmp_path / "nan.json").write_text(json.dumps({"frames": [frame]}), encoding="utf-8")
    source = ("--source", tmp_path / "nan.json", "--sink", tmp_path / "out.mp4")
    refused(call(run, tiny_avatar_folder, *source), 6, "must be finite")
    assert not (tmp_path / "out.mp4").exists()


def test_run_refuses_another_edition_unless_told(tiny_avatar_folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "flame.json"
    write_track(FlameTrack(np.zeros((1, 50)), np.zeros((1, 15)), edition="flame2020"), path)
    arguments = (tiny_avatar_folder, "--source", path, "--sink", "null", "--size", "16")
    refused(call(run, *arguments), 6, "--any-edition")
    assert call(run, *arguments, "--any-edition").exit_code == 0


def played(player: Player, frames: Iterable[FlameFrame], sinks: Sequence[str]) -> None:
    source = Source(frames, 25.0, "openhead", None)
    play(player, source, LiveConfig().open_driver(source, player.avatar), PlayConfig(sinks))


def test_source_that_fails_midway_leaves_nothing_behind(
    tiny_avatar_folder: Path, tmp_path: Path
) -> None:
    def frames() -> Any:
        yield FlameFrame(np.zeros(50), np.zeros(15))
        raise InputError("the tracker went away")

    sinks = [str(tmp_path / "out.mp4"), str(tmp_path / "%d.png")]
    with (
        Player(tiny_avatar_folder, size=16) as player,
        pytest.raises(InputError, match="went away"),
    ):
        played(player, frames(), sinks)
    assert not list(tmp_path.iterdir())


def test_source_without_frames_writes_nothing(tiny_avatar_folder: Path, tmp_path: Path) -> None:
    sinks = [str(tmp_path / "out.mp4"), str(tmp_path / "sheet.png")]
    with (
        Player(tiny_avatar_folder, size=16) as player,
        pytest.raises(InputError, match="without a single frame"),
    ):
        played(player, (), sinks)
    assert not list(tmp_path.iterdir())


def test_verify_passes_an_intact_folder(tiny_avatar_folder: Path) -> None:
    result = call(verify, tiny_avatar_folder)
    assert result.exit_code == 0, result.output
    for part in (
        "texture",
        "runtime",
        "vertices",
        "normals",
        "passed",
        "files intact",
        "next: imavatar-run",
    ):
        assert part in result.stdout


@pytest.mark.parametrize(
    "name",
    ["texture.onnx", "arrays.safetensors", "student.safetensors", "golden/golden.safetensors"],
)
def test_verify_finds_one_flipped_byte(own_avatar_folder: Path, name: str) -> None:
    path = own_avatar_folder / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    refused(call(verify, own_avatar_folder), 6, "was changed or damaged")


def rewrite(folder: Path) -> None:
    """Compute the hashes of a folder that was changed on purpose."""
    (folder / "avatar.json").unlink()
    write_avatar(folder, tiny_avatar(), about={})


@pytest.mark.parametrize(
    ("graph", "output"), [("texture", "rgb"), ("animate", "vertices"), ("animate", "normals")]
)
def test_verify_finds_a_changed_golden(own_avatar_folder: Path, graph: str, output: str) -> None:
    cases = read_golden(own_avatar_folder)
    changed = cases[graph].outputs[output].copy()
    changed.flat[0] += 0.01
    outputs = {**cases[graph].outputs, output: changed}
    cases[graph] = type(cases[graph])(cases[graph].inputs, outputs, cases[graph].tolerances)
    write_golden(own_avatar_folder, cases)
    rewrite(own_avatar_folder)
    subject = "runtime" if graph == "animate" else graph
    refused(call(verify, own_avatar_folder), 3, f"{subject}.{output} differs by 1.0")


def test_verify_finds_a_changed_graph(own_avatar_folder: Path) -> None:
    write_texture(own_avatar_folder / "texture.onnx", seed=4)
    rewrite(own_avatar_folder)
    refused(call(verify, own_avatar_folder), 3, "texture.rgb differs by")


@pytest.mark.parametrize(
    ("name", "subject"),
    [("features", "student loop.feature"), ("hidden_weight", "student loop.rgb")],
)
def test_verify_finds_a_changed_student(own_avatar_folder: Path, name: str, subject: str) -> None:
    student = load_student(own_avatar_folder / STUDENT_FILE)
    changed: dict[str, Any] = {**student.arrays(), name: 1.1 * student.arrays()[name]}
    write_student(own_avatar_folder, Student(**changed))
    rewrite(own_avatar_folder)
    refused(call(verify, own_avatar_folder), 3, f"{subject} differs by")


def test_verify_wants_the_golden_case_of_a_student(own_avatar_folder: Path) -> None:
    cases = read_golden(own_avatar_folder)
    shutil.rmtree(own_avatar_folder / "golden")
    write_golden(
        own_avatar_folder, {name: case for name, case in cases.items() if name != "student"}
    )
    rewrite(own_avatar_folder)
    refused(call(verify, own_avatar_folder), 6, "has no golden case of its student")


def test_bench_reports_every_stage(tiny_avatar_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "bench.json"
    result = call(
        bench, tiny_avatar_folder, "--size", "32", "--frames", "4", "--threads", "1", "--json", out
    )
    assert result.exit_code == 0, result.output
    for stage in (*STAGES, "total"):
        assert stage in result.stdout
    figures = json.loads(out.read_text(encoding="utf-8"))
    assert figures["schema_version"] == 1
    assert (figures["size"], figures["frames"], figures["shading"]) == ([32, 32], 4, "student")
    assert figures["faces"] == len(open_avatar(tiny_avatar_folder).avatar.faces)
    assert tuple(figures["milliseconds"]) == (*STAGES, "total")
    for times in figures["milliseconds"].values():
        assert 0 < times["p50"] <= times["p95"] <= times["p99"]
    assert figures["frames_per_second"] > 0
    assert figures["threads"]["count"] == 1
    assert figures["machine"]["cores"] >= 1
    assert {"numpy", "numba"} <= figures["machine"]["packages"].keys()


def test_bench_refuses_an_unwritable_report(tiny_avatar_folder: Path, tmp_path: Path) -> None:
    refused(
        call(bench, tiny_avatar_folder, "--size", "16", "--frames", "1", "--json", tmp_path),
        2,
        "is a folder",
    )


@pytest.mark.parametrize("command", [run, verify, bench], ids=lambda command: command.name)
def test_help_teaches_by_example(command: Any) -> None:
    text = call(command, "--help").stdout
    assert "Examples:" in text
    assert f"imavatar-{command.name} sample" in text


def test_run_explains_the_form_of_a_duration(tiny_avatar_folder: Path) -> None:
    result = call(run, tiny_avatar_folder, "--sink", "null", "--budget", "soon")
    assert result.exit_code == 2
    assert "a duration is like 16.7ms, 2s or 30min, got 'soon'" in result.stderr


@pytest.mark.parametrize(("budget", "code"), [("0.001ms", 4), ("10s", 0)])
def test_run_keeps_to_its_budget(
    tiny_avatar_folder: Path, track: Path, tmp_path: Path, budget: str, code: int
) -> None:
    out = tmp_path / "out.mp4"
    arguments = (
        "--source",
        track,
        "--sink",
        out,
        "--size",
        "16",
        "--budget",
        budget,
        "--duration",
        "0.3s",
    )
    result = call(run, tiny_avatar_folder, *arguments)
    assert result.exit_code == code, result.output
    assert ("and the budget 0.001 ms" in result.stderr) == bool(code)
    with av.open(str(out)) as container:  # it was drawn all the same
        assert len(list(container.decode(video=0))) == 4


@pytest.mark.parametrize(
    ("shading", "advice"),
    [
        ("student", "try a smaller --size, or, of a tracker's stream, --latency 0"),
        ("vertex", "try a smaller --size or --shading student, or, of"),
    ],
)
def test_the_fastest_shading_is_not_advised_again(
    shading: str, advice: str, tiny_avatar_folder: Path, track: Path
) -> None:
    arguments = ("--source", track, "--sink", "null", "--size", "16", "--shading", shading)
    result = call(run, tiny_avatar_folder, *arguments, "--budget", "0.001ms")
    refused(result, 4, advice)


def test_overwriting_removes_the_images_of_a_longer_earlier_run(
    tiny_avatar_folder: Path, track: Path, tmp_path: Path
) -> None:
    arguments = ("--source", track, "--sink", tmp_path / "%02d.png", "--size", "16")
    assert "removed" not in call(run, tiny_avatar_folder, *arguments).stdout
    (tmp_path / "007.png").touch()  # of another form, and not of a run
    result = call(run, tiny_avatar_folder, *arguments, "--frames", "0:2", "--overwrite")
    assert result.exit_code == 0, result.output
    assert "2 images" in result.stdout
    assert "; 4 more of an earlier run removed" in result.stdout
    assert sorted(path.name for path in tmp_path.glob("*.png")) == ["007.png", "01.png", "02.png"]


def test_images_may_share_a_folder_with_a_sheet(
    tiny_avatar_folder: Path, track: Path, tmp_path: Path
) -> None:
    names = ("%02d.png", "0001.png", "0.png")
    sinks = [part for name in names for part in ("--sink", tmp_path / name)]
    result = call(run, tiny_avatar_folder, "--source", track, *sinks, "--size", "16")
    assert result.exit_code == 0, result.output


def test_run_begins_again_until_it_is_over(
    tiny_avatar_folder: Path, track: Path, tmp_path: Path
) -> None:
    out = tmp_path / "%d.png"
    arguments = ("--source", track, "--sink", out, "--size", "16", "--loop", "--duration", "0.75s")
    result = call(run, tiny_avatar_folder, *arguments)
    assert result.exit_code == 0, result.output
    images = [
        cv2.imread(str(tmp_path / f"{index}.png"), cv2.IMREAD_UNCHANGED) for index in range(1, 10)
    ]
    assert len(list(tmp_path.glob("*.png"))) == 9  # six frames, and the first three again
    for first, again in zip(images[:3], images[6:], strict=True):
        np.testing.assert_array_equal(first, again)
