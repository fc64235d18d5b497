"""Outputs to links, devices, pipes and standard output: they are written, not replaced."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from imavatar_deploy.atomic import (
    atomic_file,
    atomic_folder,
    ensure_writable,
    move_into_place,
    write_text,
)
from imavatar_deploy.errors import UsageError
from imavatar_deploy.exporters.commands.bake import bake
from imavatar_deploy.runtime.bench.command import bench
from imavatar_deploy.runtime.commands.run import run
from imavatar_deploy.training.run_folder import RunFolder
from imavatar_deploy.training.settings import TrainSettings

NULL = (1, 3)
FULL = (1, 7)
"""Major and minor numbers of devices on Linux, of which the tests create nodes."""


@pytest.fixture(autouse=True)
def system_devices_stay() -> Iterator[None]:
    yield
    for name in ("/dev/null", "/dev/full", "/dev/zero"):
        if os.path.lexists(name):
            assert stat.S_ISCHR(os.lstat(name).st_mode), f"{name} was replaced"


def device(path: Path, number: tuple[int, int]) -> Path:
    """Create a node of a device."""
    try:
        os.mknod(path, 0o600 | stat.S_IFCHR, os.makedev(*number))
        os.close(os.open(path, os.O_WRONLY))
    except (AttributeError, OSError) as error:
        pytest.skip(f"a device cannot be made here: {error}")
    return path


Write = Callable[[Path, str], None]


def put(out: Path, text: str) -> None:
    with atomic_file(out) as partial:
        assert partial.suffix == out.suffix
        partial.write_text(text, encoding="utf-8")


def put_text(out: Path, text: str) -> None:
    write_text(out, text)


def put_finished(out: Path, text: str) -> None:
    finished = out.parent / "finished"
    finished.write_text(text, encoding="utf-8")
    move_into_place(finished, out)
    assert not finished.exists()


@pytest.fixture(params=[put, put_text, put_finished])
def writing(request: pytest.FixtureRequest) -> Write:
    return request.param


class TestLinks:
    @pytest.mark.parametrize("there", [True, False])
    @pytest.mark.parametrize("relative", [True, False])
    def test_the_target_is_written(
        self,
        tmp_path: Path,
        writing: Write,
        there: bool,
        relative: bool,
    ) -> None:
        elsewhere = tmp_path / "elsewhere"
        here = tmp_path / "here"
        elsewhere.mkdir()
        here.mkdir()
        target = elsewhere / "real"
        link = here / "link.json"
        if there:
            target.write_text("old", encoding="utf-8")
        middle = here / "middle"
        middle.symlink_to(Path("../elsewhere/real") if relative else target)
        link.symlink_to("middle" if relative else middle)
        writing(link, "new")
        assert link.is_symlink()
        assert middle.is_symlink()
        assert target.read_text(encoding="utf-8") == "new"
        assert [path.name for path in elsewhere.iterdir()] == ["real"]
        assert sorted(path.name for path in here.iterdir()) == ["link.json", "middle"]

    def test_an_error_keeps_the_old_content(self, tmp_path: Path) -> None:
        (tmp_path / "real").write_text("old", encoding="utf-8")
        (tmp_path / "link").symlink_to("real")
        with pytest.raises(RuntimeError), atomic_file(tmp_path / "link") as partial:
            partial.write_text("half", encoding="utf-8")
            raise RuntimeError
        assert (tmp_path / "real").read_text(encoding="utf-8") == "old"
        assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "real"]

    def test_a_circle_is_refused(self, tmp_path: Path, writing: Write) -> None:
        (tmp_path / "a").symlink_to("b")
        (tmp_path / "b").symlink_to("a")
        with pytest.raises(UsageError, match="cannot be written"):
            writing(tmp_path / "a", "new")
        assert (tmp_path / "a").is_symlink()

    @pytest.mark.parametrize("there", [True, False])
    def test_a_folder_behind_a_link_is_written(self, tmp_path: Path, there: bool) -> None:
        real = tmp_path / "disk" / "real"
        link = tmp_path / "link"
        real.parent.mkdir()
        if there:
            real.mkdir()
            (real / "marker").touch()
        link.symlink_to(real)
        with atomic_folder(link, marker="marker", overwrite=True) as folder:
            (folder / "marker").write_text("new", encoding="utf-8")
        assert link.is_symlink()
        assert (real / "marker").read_text(encoding="utf-8") == "new"
        assert [path.name for path in real.parent.iterdir()] == ["real"]

    def test_sinks_follow_them(self, tiny_avatar_folder: Path, tmp_path: Path) -> None:
        names = ("take.mp4", "sheet.png", "1.png")
        (tmp_path / "disk").mkdir()
        for name in names:
            (tmp_path / name).symlink_to(tmp_path / "disk" / name)
        sinks = ("--sink", tmp_path / names[0], "--sink", tmp_path / names[1])
        arguments = (tiny_avatar_folder, *sinks, "--sink", tmp_path / "%d.png", "--size", "16")
        result = CliRunner().invoke(run, [*map(str, arguments), "--frames", "0:2"])
        assert result.exit_code == 0, result.output
        for name in names:
            assert (tmp_path / name).is_symlink()
            assert (tmp_path / "disk" / name).stat().st_size > 100
        assert not (tmp_path / "2.png").is_symlink()

    @pytest.mark.parametrize("there", [True, False])
    def test_a_run_behind_a_link_is_begun_anew(self, tmp_path: Path, there: bool) -> None:
        real = tmp_path / "disk" / "run"
        link = tmp_path / "link"
        link.symlink_to(real)
        if there:
            RunFolder(real).begin(TrainSettings())
            (real / "old").touch()
        RunFolder(link).begin(TrainSettings(), overwrite=True)
        assert link.is_symlink()
        assert [path.name for path in real.iterdir()] == ["config.toml"]


class TestWhatIsNoFile:
    def test_a_device_is_written_through(self, tmp_path: Path, writing: Write) -> None:
        null = device(tmp_path / "null.json", NULL)
        writing(null, "text")
        assert stat.S_ISCHR(null.lstat().st_mode)
        assert [path.name for path in tmp_path.iterdir()] == ["null.json"]

    def test_a_full_device_is_one_sentence(self, tmp_path: Path, writing: Write) -> None:
        full = device(tmp_path / "full", FULL)
        with pytest.raises(UsageError, match=r"full cannot be written \(No space left on device\)"):
            writing(full, "text")
        assert stat.S_ISCHR(full.lstat().st_mode)

    def test_a_pipe_is_written_through(self, tmp_path: Path, writing: Write) -> None:
        pipe = tmp_path / "pipe"
        read = []
        os.mkfifo(pipe)
        reader = threading.Thread(target=lambda: read.append(pipe.read_text("utf-8")), daemon=True)
        reader.start()
        writing(pipe, "text" * 50_000)
        reader.join(timeout=30)
        assert read == ["text" * 50_000]
        assert stat.S_ISFIFO(pipe.lstat().st_mode)

    def test_a_folder_is_refused(self, tmp_path: Path, writing: Write) -> None:
        (tmp_path / "folder").mkdir()
        with pytest.raises(UsageError, match="is a folder, and a file is to be written there"):
            writing(tmp_path / "folder", "text")
        with pytest.raises(UsageError, match="is a folder"):
            ensure_writable(tmp_path / "folder")

    def test_no_folder_takes_the_place_of_a_device(self, tmp_path: Path) -> None:
        null = device(tmp_path / "null", NULL)
        with pytest.raises(UsageError, match="is a file"), atomic_folder(null, marker="m"):
            pass
        assert stat.S_ISCHR(null.lstat().st_mode)

    def test_a_bench_s_report_finds_no_room(
        self,
        tiny_avatar_folder: Path,
        tmp_path: Path,
    ) -> None:
        full = device(tmp_path / "full", FULL)
        few = ("--size", "16", "--frames", "1", "--json", str(full))
        result = CliRunner().invoke(bench, [str(tiny_avatar_folder), *few])
        assert result.exit_code == 2
        assert result.stderr.count("\n") == 1
        assert "No space left on device" in result.stderr


OPEN_FILE = """
import sys
from imavatar_deploy.atomic import write_text
print("before")
write_text(sys.argv[1], "text\\n")
print("after")
"""


class TestStandardOutput:
    @pytest.mark.parametrize("out", ["-", "/proc/self/fd/1", "link"])
    @pytest.mark.parametrize("redirected", [False, True])
    def test_text_goes_there_in_order(self, tmp_path: Path, out: str, redirected: bool) -> None:
        if out != "-" and not Path("/proc/self/fd/1").exists():
            pytest.skip("this system has no /proc")
        if out == "link":
            (tmp_path / "link").symlink_to("/proc/self/fd/1")
        place = tmp_path / "printed"
        with place.open("w", encoding="utf-8") as file:
            done = subprocess.run(
                [sys.executable, "-c", OPEN_FILE, out],
                cwd=tmp_path,
                stdout=file if redirected else subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                check=False,
                timeout=60,
            )
        assert done.returncode == 0, done.stderr
        printed = place.read_text(encoding="utf-8") if redirected else done.stdout
        assert printed == "before\ntext\nafter\n"
        assert not (tmp_path / "-").exists()

    def test_a_bench_s_json_stands_there_alone(self, tiny_avatar_folder: Path) -> None:
        few = ("--size", "16", "--frames", "1", "--json", "-")
        result = CliRunner().invoke(bench, [str(tiny_avatar_folder), *few])
        assert result.exit_code == 0, result.output
        assert json.loads(result.stdout)["size"] == [16, 16]
        assert "frames a second" in result.stderr
        assert "next: imavatar-bench" in result.stderr

    def test_a_bench_s_markdown_stands_there_alone(self, tiny_avatar_folder: Path) -> None:
        few = ("--size", "16,24", "--frames", "1", "--seconds", "1s", "--md", "-")
        result = CliRunner().invoke(bench, [str(tiny_avatar_folder), *few])
        assert result.exit_code == 0, result.output
        assert result.stdout.startswith("Alike in all rows")
        assert "took" in result.stderr

    def test_two_reports_there_are_refused(self, tiny_avatar_folder: Path) -> None:
        result = CliRunner().invoke(bench, [str(tiny_avatar_folder), "--json", "-", "--md", "-"])
        assert result.exit_code == 2
        assert "standard output takes one of --json and --md" in result.stderr

    def test_folders_are_refused(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        arguments = ["sample", "--format", "obj", "--frames", "0:1", "--out", "-"]
        result = CliRunner().invoke(bake, arguments)
        assert result.exit_code == 2
        assert "standard output, where" in result.stderr
        with pytest.raises(UsageError, match="standard output, where"):
            RunFolder(Path("-")).begin(TrainSettings())
        assert not list(tmp_path.iterdir())

    def test_what_is_no_text_is_refused(
        self,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.chdir(tmp_path)
        for refused in (atomic_file("-"), atomic_file(Path("-")), atomic_folder("-", marker="m")):
            with pytest.raises(UsageError, match="standard output, where"), refused:
                pass
        with pytest.raises(UsageError, match="standard output, where"):
            ensure_writable("-")
        assert not list(tmp_path.iterdir())
