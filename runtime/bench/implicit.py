"""Implicit: the renderer that a bake replaces, on the same checkpoint and frames, in a process that may have torch."""

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

TRACERS = {
    "raster": "draws the surface first, half a second a frame at 64 x 64",
    "march": "searches along every ray as published, half a minute or minutes",
}
"""The table of `--tracers`: those of `imavatar_deploy.model.tracing`, which this room may not ask."""

FRAMES = 5
"""At the most; one of the marcher's is longer than the seconds that it is given."""

CHILD = """
import sys
sys.path[:] = filter(None, sys.path)  # a folder called torch where the bench is called is not the package
from imavatar_deploy.model.benchmark import main
main()
"""


@dataclass(frozen=True)
class ImplicitBenchJob:
    """What the implicit renderer is to do."""

    checkpoint: str
    tracers: Sequence[str]
    devices: Sequence[str]
    """`cpu`, `cuda`."""
    size: tuple[int, int]
    camera: Camera
    """Of square images."""
    frames: Sequence[FlameFrame]
    threads: int
    seconds: float
    """After which a tracer has had enough frames."""

    def text(self) -> str:
        """As the other process reads it."""
        camera = with_square_pixels(self.camera, *self.size)
        facts = {
            name: getattr(self, name)
            for name in ("checkpoint", "tracers", "devices", "size", "threads", "seconds")
        }
        frames = [
            {"expression": f.expression.tolist(), "pose": f.pose.tolist()} for f in self.frames
        ]
        seen = {
            "world_to_camera": camera.world_to_camera.tolist(),
            "intrinsics": camera.intrinsics.tolist(),
        }
        return json.dumps({**facts, **seen, "frames": frames})


@dataclass(frozen=True)
class ImplicitTimes:
    """What one tracer took on one device; `unavailable` says why it has no frames."""

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
    """Refuse one that is not there before everything else is timed.

    Raises:
        InputError: nothing is there.
    """
    if checkpoint != "sample" and not Path(checkpoint).exists():
        raise InputError(
            f"there is no checkpoint at {checkpoint}; --implicit takes a folder, a .pth file, or the word sample"
        )


def time_implicit(order: ImplicitBenchJob, advance: Callable[[int], None]) -> list[ImplicitTimes]:
    """One for every tracer and device, also for those that are lacking; `advance` counts frames."""
    lines, failure = _run(order, advance)
    about: dict[str, Any] = next((line for line in lines if "torch" in line), {})
    return [
        _gathered(
            tracer,
            device,
            [line for line in lines if _of(line) == (tracer, device)],
            about,
            failure,
        )
        for device in order.devices
        for tracer in order.tracers
    ]


def _of(line: dict[str, Any]) -> tuple[str | None, str | None]:
    return line.get("tracer"), line.get("device")


def _gathered(
    tracer: str, device: str, lines: list[dict[str, Any]], about: dict[str, Any], failure: str
) -> ImplicitTimes:
    frames = [line for line in lines if "seconds" in line]
    if not frames:
        said = next((line["unavailable"] for line in lines), failure)
        return ImplicitTimes(tracer, device, unavailable=said)
    return ImplicitTimes(
        tracer,
        device,
        [line["seconds"] for line in frames],
        frames[0]["covered"],
        frames[0]["preparation"],
        checkpoint_sha256=about["checkpoint_sha256"],
        torch=about["torch"],
    )


def _run(
    order: ImplicitBenchJob, advance: Callable[[int], None]
) -> tuple[list[dict[str, Any]], str]:
    """What the other process printed, and why it ended if not well."""
    lines = []
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as complaints,
        subprocess.Popen(
            [sys.executable, "-c", CHILD],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=complaints,
            text=True,
            env=_environment(),
        ) as process,
    ):
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(order.text())
            process.stdin.close()
            for line in process.stdout:
                lines.append(json.loads(line))
                advance(1)
        except BrokenPipeError:
            pass  # it ended before it had read its order; what it complained of is the reason
        except BaseException:
            process.kill()
            raise
        code = process.wait()
        complaints.seek(0)
        return lines, _reason(complaints.read(), code) if code else ""


def _environment() -> dict[str, str]:
    """This process' own, with the places it imports from; torch's threads do not spin while they wait."""
    places = os.pathsep.join(place for place in sys.path if place)
    return {**os.environ, "PYTHONPATH": places, "OMP_WAIT_POLICY": "PASSIVE"}


def _reason(complaints: str, code: int) -> str:
    """The sentence of the error at the end of a traceback."""
    said = [line.strip() for line in complaints.splitlines() if line.strip()]
    if not said:
        return f"the implicit renderer's process ended with code {code}"
    return re.sub(r"^[\w.]*(Error|Exception): ", "", said[-1])
