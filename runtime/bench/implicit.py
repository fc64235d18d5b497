"""Timing of the implicit renderer on the same frames, in a process of its own with torch."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imavatar_deploy.camera import Camera, with_square_pixels
from imavatar_deploy.errors import InputError
from imavatar_deploy.tracks import FlameFrame

FRAME_LIMIT = 5
"""Largest number of frames; a single one of the marcher exceeds the time limit."""

CHILD = """
import sys
sys.path[:] = filter(None, sys.path)  # no import of a folder called torch in the working folder
from imavatar_deploy.model.benchmark import main
main()
"""


@dataclass(frozen=True)
class ImplicitBenchJob:
    """A job for the implicit renderer's process."""

    checkpoint: str
    tracers: Sequence[str]
    devices: Sequence[str]
    """`cpu`, `cuda`."""
    size: tuple[int, int]
    camera: Camera
    """Camera for square images."""
    frames: Sequence[FlameFrame]
    threads: int
    seconds: float
    """Time limit of each tracer."""

    def text(self) -> str:
        """The job as JSON, which the process reads from its standard input."""
        camera = with_square_pixels(self.camera, *self.size)
        facts = {
            name: getattr(self, name)
            for name in ("checkpoint", "tracers", "devices", "size", "threads", "seconds")
        }
        frames = [
            {"expression": f.expression.tolist(), "pose": f.pose.tolist()} for f in self.frames
        ]
        view = {
            "world_to_camera": camera.world_to_camera.tolist(),
            "intrinsics": camera.intrinsics.tolist(),
        }
        return json.dumps({**facts, **view, "frames": frames})


@dataclass(frozen=True)
class ImplicitTimes:
    """Times of one tracer on one device; `unavailable` says why it has no frames."""

    tracer: str
    device: str
    seconds: Sequence[float] = ()
    covered: int = 0
    """Pixels of a frame that show the avatar."""
    preparation: float = 0.0
    """Seconds before the first frame, once for a checkpoint."""
    unavailable: str = ""
    checkpoint_sha256: str = ""
    torch: str = ""


def check_checkpoint(checkpoint: str) -> None:
    """Check that a checkpoint exists, before everything else is timed.

    Raises:
        InputError: it does not exist.
    """
    if checkpoint != "sample" and not Path(checkpoint).exists():
        raise InputError(
            f"there is no checkpoint at {checkpoint}; --implicit takes a folder, a .pth file, or "
            "the word sample"
        )


def time_implicit(job: ImplicitBenchJob, advance: Callable[[int], None]) -> list[ImplicitTimes]:
    """Run a job; return times for every tracer and device, even those without frames.

    Args:
        advance: counts frames.
    """
    lines, failure = _run(job, advance)
    about: dict[str, Any] = next((line for line in lines if "torch" in line), {})
    return [
        _times(
            tracer,
            device,
            [line for line in lines if _of(line) == (tracer, device)],
            about,
            failure,
        )
        for device in job.devices
        for tracer in job.tracers
    ]


def _of(line: dict[str, Any]) -> tuple[str | None, str | None]:
    return line.get("tracer"), line.get("device")


def _times(
    tracer: str, device: str, lines: list[dict[str, Any]], about: dict[str, Any], failure: str
) -> ImplicitTimes:
    frames = [line for line in lines if "seconds" in line]
    if not frames:
        reason = next((line["unavailable"] for line in lines), failure)
        return ImplicitTimes(tracer, device, unavailable=reason)
    return ImplicitTimes(
        tracer,
        device,
        [line["seconds"] for line in frames],
        frames[0]["covered"],
        frames[0]["preparation"],
        checkpoint_sha256=about["checkpoint_sha256"],
        torch=about["torch"],
    )


def _run(job: ImplicitBenchJob, advance: Callable[[int], None]) -> tuple[list[dict[str, Any]], str]:
    """The lines that the process printed, and the reason of its failure, or an empty string."""
    lines = []
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as stderr,
        subprocess.Popen(
            [sys.executable, "-c", CHILD],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            env=_environment(),
        ) as process,
    ):
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(job.text())
            process.stdin.close()
            for line in process.stdout:
                lines.append(json.loads(line))
                advance(1)
        except BrokenPipeError:
            pass  # it ended before it had read its job; its stderr has the reason
        except BaseException:
            process.kill()
            raise
        code = process.wait()
        stderr.seek(0)
        return lines, _reason(stderr.read(), code) if code else ""


def _environment() -> dict[str, str]:
    """The environment of this process and its import path; torch's threads do not spin."""
    path = os.pathsep.join(folder for folder in sys.path if folder)
    return {**os.environ, "PYTHONPATH": path, "OMP_WAIT_POLICY": "PASSIVE"}


def _reason(stderr: str, code: int) -> str:
    """The message of the error at the end of a traceback."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    if not lines:
        return f"the implicit renderer's process ended with code {code}"
    return re.sub(r"^[\w.]*(Error|Exception): ", "", lines[-1])
