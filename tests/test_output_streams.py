"""Commands on ASCII terminals, and with pipes whose reader ends."""

from __future__ import annotations

import io
import os
import stat
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from imavatar_deploy.cli.output_streams import OutputStream, tolerant_streams

RUN = "imavatar_deploy.runtime.commands:imavatar_run"
VERIFY = "imavatar_deploy.runtime.commands:imavatar_verify"
BENCH = "imavatar_deploy.runtime.commands:imavatar_bench"
DOCTOR = "imavatar_deploy.runtime.doctor:imavatar_doctor"
EXPORT = "imavatar_deploy.exporters.commands:imavatar_export"
DATA = "imavatar_deploy.training.commands:imavatar_data"

ASCII = (
    {"PYTHONIOENCODING": "ascii"},
    {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
)
FEW = ("--frames", "1", "--seconds", "1s", "--threads", "1")


def started(
    command: str,
    arguments: Sequence[str | bytes],
    *,
    stdout: int = subprocess.PIPE,
    stderr: int = subprocess.PIPE,
    environment: dict[str, str] | None = None,
) -> subprocess.CompletedProcess[bytes]:
    module, name = command.split(":")
    code = f"import sys; sys.argv[0] = 'imavatar-x'; from {module} import {name}; {name}()"
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONIOENCODING"}
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        stdout=stdout,
        stderr=stderr,
        env=clean | (environment or {}),
        check=False,
        timeout=300,
    )


BY_VARIABLE, BY_LOCALE = ASCII


@pytest.mark.parametrize(
    ("command", "arguments", "environment"),
    [
        (VERIFY, ["sample"], BY_LOCALE),
        (BENCH, ["sample", "--size", "16", *FEW], BY_LOCALE),
        (BENCH, ["sample", "--size", "16,24", *FEW], BY_VARIABLE),
        (DOCTOR, ["--part", "python"], BY_VARIABLE),
        (DOCTOR, ["--part", "python"], BY_LOCALE),
        (EXPORT, ["--list"], BY_VARIABLE),
        (DATA, ["convert", "--help"], BY_LOCALE),
    ],
    ids=[
        "verify",
        "bench",
        "bench of two",
        "doctor, Python's variable",
        "doctor, locale",
        "export --list",
        "help",
    ],
)
def test_ascii_is_enough(command: str, arguments: list[str], environment: dict[str, str]) -> None:
    done = started(command, arguments, environment=environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout.decode("ascii")
    assert b"Error" not in done.stderr


def test_a_name_that_is_no_text_is_shown_as_it_is(tiny_avatar_folder: Path, tmp_path: Path) -> None:
    sink = os.fsencode(tmp_path) + b"/\xff%d.png"
    arguments = [str(tiny_avatar_folder), "--sink", sink, "--size", "16", "--frames", "0:2"]
    try:
        done = started(RUN, arguments, environment={"PYTHONIOENCODING": "ascii"})
    except OSError as error:
        pytest.skip(f"this system has no such names: {error}")
    assert done.returncode == 0, done.stderr
    assert b"wrote " + sink.replace(b"%d", b"1") + b" ... \xff2.png (2 images" in done.stdout


@contextmanager
def unread() -> Iterator[int]:
    """Return the writing end of a pipe whose reader is closed."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        yield writer
    finally:
        os.close(writer)


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        (VERIFY, ["sample"]),
        (VERIFY, ["--help"]),
        (BENCH, ["sample", "--size", "16,24", *FEW]),
        (BENCH, ["sample", "--size", "16", *FEW, "--json", "-"]),
        (BENCH, ["sample", "--size", "16", *FEW, "--json", "/dev/stdout"]),
        (EXPORT, ["--list"]),
        (DATA, ["--help"]),
    ],
    ids=["verify", "help", "bench", "json", "json by name", "export --list", "help of a group"],
)
def test_a_reader_that_ends_early_ends_nothing(command: str, arguments: list[str]) -> None:
    with unread() as pipe:
        done = started(command, arguments, stdout=pipe)
    assert done.returncode == 0, done.stderr
    if "-" in arguments:  # stdout holds the JSON alone, messages go to stderr
        assert b"took" in done.stderr
    else:
        assert done.stderr == b""


def test_the_work_goes_on_without_a_reader(tiny_avatar_folder: Path, tmp_path: Path) -> None:
    sink = tmp_path / "take.mp4"
    arguments = [str(tiny_avatar_folder), "--sink", str(sink), "--size", "16", "--frames", "0:9"]
    with unread() as pipe:
        done = started(RUN, [*arguments, "--stats"], stdout=pipe, stderr=pipe)
    assert done.returncode == 0
    assert sink.is_file()


def test_the_verdict_stays(own_avatar_folder: Path) -> None:
    damaged = own_avatar_folder / "texture.onnx"
    damaged.write_bytes(damaged.read_bytes() + b"x")
    with unread() as pipe:
        done = started(VERIFY, [str(own_avatar_folder)], stdout=pipe)
        assert done.returncode == 6
        assert done.stderr.count(b"\n") == 1
        assert started(VERIFY, [str(own_avatar_folder)], stderr=pipe).returncode == 6


def test_a_full_disk_behind_the_output_is_one_sentence(tmp_path: Path) -> None:
    full = tmp_path / "full"
    try:
        os.mknod(full, 0o600 | stat.S_IFCHR, os.makedev(1, 7))
        opened = os.open(full, os.O_WRONLY)
    except (AttributeError, OSError) as error:
        pytest.skip(f"a device cannot be made here: {error}")
    try:
        done = started(VERIFY, ["sample"], stdout=opened)
    finally:
        os.close(opened)
    assert done.returncode == 2
    assert done.stderr.count(b"\n") == 1
    assert b"no room left" in done.stderr


@pytest.mark.parametrize("closed", ["1", "2"])
def test_a_closed_stream_is_no_error(closed: str) -> None:
    """Standard output is closed, as by `>&-` in a shell."""
    module, name = VERIFY.split(":")
    code = f"from {module} import {name}; {name}()"
    command = f'exec "$0" -c "$1" sample {closed}>&-'
    done = subprocess.run(
        ["/bin/sh", "-c", command, sys.executable, code],
        capture_output=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr


def test_the_streams_come_back() -> None:
    before = sys.stdout, sys.stderr
    with tolerant_streams():
        inner = sys.stdout
        assert isinstance(inner, OutputStream)
        with tolerant_streams():
            assert sys.stdout is inner
    assert (sys.stdout, sys.stderr) == before


def test_characters_of_the_messages_have_their_like_in_ascii() -> None:
    into = io.BytesIO()
    written = io.TextIOWrapper(into, encoding="ascii")
    OutputStream(written).write("32² … 0.5° of “a” → ü")
    written.flush()
    assert into.getvalue() == b'32^2 ... 0.5 deg of "a" -> ?'
