"""The implicit renderer in the bench: its process, its figures, messages where it cannot run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from imavatar_deploy.camera import Camera
from imavatar_deploy.conventions import TRACER_SUMMARIES
from imavatar_deploy.head_model import HeadModel
from imavatar_deploy.runtime.bench.command import bench
from imavatar_deploy.runtime.bench.implicit import (
    ImplicitBenchJob,
    ImplicitTimes,
    time_implicit,
)
from imavatar_deploy.tracks import read_track


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory, one_thread: None) -> Path:
    """A checkpoint of small networks: a sphere."""
    import torch

    from imavatar_deploy.model import ImplicitAvatar, NetworkSizes, save_checkpoint

    torch.manual_seed(5)
    small = NetworkSizes(
        geometry_layers=(32,) * 3,
        geometry_skip=(),
        feature=8,
        deformation_layers=(16,),
        texture_layers=(16,),
    )
    folder = tmp_path_factory.mktemp("checkpoint") / "small"
    save_checkpoint(ImplicitAvatar(HeadModel.load("openhead"), small), folder)
    return folder


def job_of(
    checkpoint: Path | str, tracers: Sequence[str] = tuple(TRACER_SUMMARIES)
) -> ImplicitBenchJob:
    frames = list(read_track("talk").frames())[:2]
    camera = Camera.looking_at([0.0, 0.0, 0.0])
    return ImplicitBenchJob(
        str(checkpoint), tracers, ["cpu"], (12, 8), camera, frames, threads=1, seconds=1e-9
    )


def test_bench_shows_it_in_the_same_table(
    tiny_avatar_folder: Path, checkpoint: Path, tmp_path: Path
) -> None:
    out = tmp_path / "bench.json"
    options = (
        "--implicit",
        checkpoint,
        "--implicit-size",
        12,
        "--frames",
        2,
        "--size",
        16,
        "--json",
        out,
    )
    arguments = [str(part) for part in (tiny_avatar_folder, *options, "--threads", 1)]
    result = CliRunner(env={"COLUMNS": "220"}).invoke(bench, arguments)
    assert result.exit_code == 0, result.output
    baked, twin, *implicit = json.loads(out.read_text(encoding="utf-8"))["rows"]
    assert (baked["size"], twin["size"]) == ([16, 16], [12, 12])
    assert [row["shading"] for row in implicit] == [
        f"implicit, {name}" for name in TRACER_SUMMARIES
    ]
    for row in implicit:
        assert row["size"] == [12, 12]
        assert row["frames"] in (1, 2)
        assert 0 < row["covered_pixels"] < 144
        slower = row["milliseconds"]["total"]["p50"] / twin["milliseconds"]["total"]["p50"]
        assert row["times_slower"] == pytest.approx(slower, rel=0.01)
        assert "ms a pixel" in row["note"]
        assert row["preparation_seconds"] > 0
    assert "implicit, march: at 16², as long a pixel would be" in result.stdout
    assert "next: imavatar-run" in result.stdout


def test_missing_torch_is_a_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "__init__.py").write_text(
        "raise ModuleNotFoundError(\"No module named 'torch'\")\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    (times,) = time_implicit(job_of("sample", ["raster"]), lambda count: None)
    assert times == ImplicitTimes("raster", "cpu", unavailable=times.unavailable)
    assert times.unavailable.startswith("torch is needed here and could not be imported")
    assert "pip install 'imavatar-deploy[export]'" in times.unavailable


def test_checkpoint_that_cannot_be_read_is_a_row(tmp_path: Path) -> None:
    (tmp_path / "latest.pth").write_bytes(b"no checkpoint")
    (times,) = time_implicit(job_of(tmp_path / "latest.pth", ["raster"]), lambda count: None)
    assert "latest.pth" in times.unavailable
    assert not times.seconds


class TestTheProcess:
    """The child's function in this process."""

    def test_it_knows_the_tracers_that_the_runtime_names(self) -> None:
        from imavatar_deploy.model.tracing import TRACERS

        assert {name: row.summary for name, row in TRACERS.items()} == TRACER_SUMMARIES
        assert list(TRACER_SUMMARIES) == list(TRACERS)

    def test_one_frame_at_least_and_one_line_each(
        self, checkpoint: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        import io

        from imavatar_deploy.model.benchmark import main

        for seconds, count in ((1e-9, 1), (60.0, 2)):
            job = replace(job_of(checkpoint, ["raster"]), seconds=seconds)
            monkeypatch.setattr("sys.stdin", io.StringIO(job.text()))
            main()
            about, *frames = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
            assert about["variant"] == "imavatar"
            assert len(frames) == count
            assert all(frame["seconds"] > 0 and 0 < frame["covered"] < 12 * 8 for frame in frames)
