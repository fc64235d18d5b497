"""kill -9 at any moment, then --resume: the same bytes as of an uninterrupted bake."""

from __future__ import annotations

from pathlib import Path

from imavatar_deploy.exporters.sequences.formats import FORMATS

from ..processes import run_python
from .test_sequences import tree

KILLED_AT_EVERY_MOMENT = '''
import os, signal, sys
from pathlib import Path
from click.testing import CliRunner
from imavatar_deploy.exporters.commands.bake import bake
from imavatar_deploy.exporters.sequences.formats import ready_formats

avatar, folder, formats, stride = sys.argv[1], Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])
EVENTS = {"open", "os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.scandir"}


def run(out, *more, formats=formats):
    arguments = [avatar, "--format", formats, "--frames", "0:3", "--out", str(out)]
    arguments += ["--jobs", "2", *more]
    result = CliRunner().invoke(bake, arguments)
    assert result.exit_code == 0, (result.output, result.exception)


def killed(out, moment):
    """Whether a bake that is killed on its n-th access to `out` ends by SIGKILL."""
    child = os.fork()
    if child == 0:
        left = [moment or float("inf")]

        def watch(event, arguments):
            if event in EVENTS and str(out) in str(arguments[0]):
                left[0] -= 1
                if left[0] <= 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(watch)
        run(out, "--resume")
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    assert os.WIFSIGNALED(status) or status == 0, status
    return os.WIFSIGNALED(status)


ready_formats(formats.split(","))  # import and compile once, before the forks
run(folder / "warm", formats="obj")
assert not killed(folder / "unbroken", None)
moment = 1
while killed(folder / f"killed-{moment}", moment):
    if killed(folder / f"killed-{moment}", moment + 1):  # again while it is resumed
        assert not killed(folder / f"killed-{moment}", None)
    moment += stride
'''


def resumed_bakes(avatar: Path, folder: Path, formats: str, stride: int) -> list[Path]:
    """Folder of an uninterrupted bake, then those of bakes that were killed twice and resumed."""
    result = run_python(
        KILLED_AT_EVERY_MOMENT, str(avatar), str(folder), formats, str(stride), limit=900
    )
    assert result.returncode == 0, result.stderr
    return [folder / "unbroken", *sorted(folder.glob("killed-*"))]


def test_killed_at_any_moment_and_resumed_gives_the_same_bytes(
    tiny_avatar_folder: Path, tmp_path: Path
) -> None:
    unbroken, *killed = resumed_bakes(tiny_avatar_folder, tmp_path, ",".join(FORMATS), 11)
    assert len(killed) > 7
    for folder in killed:
        assert tree(folder) == tree(unbroken), folder.name
