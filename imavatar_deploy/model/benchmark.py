"""Measure the frame times of the implicit renderer in a process of its own.

    python -m imavatar_deploy.model.benchmark < job.json

The job is a JSON object: `checkpoint`, `tracers`, `devices`, `size` [width, height],
`world_to_camera` [3, 4], `intrinsics` [4], `frames` [{"expression", "pose"}], `threads`, and
`seconds`, the time limit of each tracer. The output is one JSON object per line. The first
describes the checkpoint. Each of the others is one frame, or says why a device is unavailable.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch

from imavatar_deploy.camera import Camera
from imavatar_deploy.errors import MissingDependencyError, unknown_name

from .checkpoint import checkpoint_sha256, load_variant
from .frame import Frame
from .head_avatar import HeadAvatarModel
from .render import render
from .tracing import TRACERS, Tracer

WARM_UP_SIZE = (8, 8)
"""Width and height of an untimed frame, in which tracer and torch do their one-time preparation."""


class FrameTime(NamedTuple):
    """Time of one frame."""

    seconds: float
    covered: int
    """Pixels that show the avatar."""


def frame_times(
    model: HeadAvatarModel,
    tracer: Tracer,
    frames: Sequence[Frame],
    camera: Camera,
    size: tuple[int, int],
    seconds: float,
) -> Iterator[FrameTime]:
    """Render frames until `seconds` have passed, at least one; `size` is width and height."""
    start = time.perf_counter()
    for frame in frames:
        frame_start = time.perf_counter()
        # The image is on the CPU: the work of a GPU has ended.
        image = render(model, frame, camera, size, tracer)
        yield FrameTime(time.perf_counter() - frame_start, int(image.mask.sum()))
        if time.perf_counter() - start > seconds:
            return


def main() -> None:
    """Run the job on the standard input.

    Raises:
        InputError: the checkpoint cannot be read, or has no surface.
        UsageError: a tracer is unknown, or cannot trace this variant.
    """
    job = json.load(sys.stdin)
    for name in job["tracers"]:
        if name not in TRACERS:
            raise unknown_name("tracer", name, TRACERS)
    torch.set_num_threads(job["threads"])
    start = time.perf_counter()
    model = load_variant(job["checkpoint"])
    about = {"variant": model.name, "checkpoint_sha256": checkpoint_sha256(job["checkpoint"])}
    _print_record(torch=torch.__version__, seconds=time.perf_counter() - start, **about)
    for device in job["devices"]:
        for name in job["tracers"]:
            try:
                _time(model, TRACERS[name](), torch.device(device), job)
            except MissingDependencyError as error:
                _print_record(tracer=name, device=device, unavailable=str(error))


def _time(
    model: HeadAvatarModel, tracer: Tracer, device: torch.device, job: dict[str, Any]
) -> None:
    if device.type == "cuda" and not torch.cuda.is_available():
        raise MissingDependencyError("torch sees no GPU here")
    model = model.to(device)
    frames = [
        Frame(
            torch.tensor(frame["expression"], device=device),
            torch.tensor(frame["pose"], device=device),
        )
        for frame in job["frames"]
    ]
    camera = Camera(job["world_to_camera"], job["intrinsics"])
    width, height = job["size"]
    start = time.perf_counter()
    render(model, frames[0], camera, WARM_UP_SIZE, tracer)
    preparation = time.perf_counter() - start
    for timed in frame_times(model, tracer, frames, camera, (width, height), job["seconds"]):
        _print_record(
            tracer=tracer.name, device=device.type, preparation=preparation, **timed._asdict()
        )


def _print_record(**record: Any) -> None:
    print(json.dumps(record), flush=True)


if __name__ == "__main__":
    main()
