"""Frame times: how long the implicit renderer takes for given frames, as a process: JSON in, lines of JSON out.

    python -m imavatar_deploy.model.benchmark < order.json

The order: `checkpoint`, `tracers`, `devices`, `size` [width, height], `world_to_camera` [3, 4], `intrinsics` [4],
`frames` [{"expression", "pose"}], `threads`, and `seconds`, after which a tracer has had enough frames. The first line
tells of the checkpoint; then comes one line a frame, or one that says why a device has none. Errors end it.
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

WARM = (8, 8)
"""Pixels of the frame before the clock starts: what a tracer prepares once, and torch's own beginnings."""


class FrameTime(NamedTuple):
    """One frame."""

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
    """Render `frames` at `size` (width, height), at least the first, until `seconds` are used up."""
    begun = time.perf_counter()
    for frame in frames:
        started = time.perf_counter()
        image = render(
            model, frame, camera, size, tracer
        )  # comes back on the CPU, so a GPU has ended its work
        yield FrameTime(time.perf_counter() - started, int(image.mask.sum()))
        if time.perf_counter() - begun > seconds:
            return


def main() -> None:
    """Obey the order on stdin.

    Raises:
        InputError: the checkpoint cannot be read, or has no surface.
        UsageError: there is no such tracer, or it cannot trace this variant.
    """
    order = json.load(sys.stdin)
    for name in order["tracers"]:
        if name not in TRACERS:
            raise unknown_name("tracer", name, TRACERS)
    torch.set_num_threads(order["threads"])
    started = time.perf_counter()
    model = load_variant(order["checkpoint"])
    about = {"variant": model.name, "checkpoint_sha256": checkpoint_sha256(order["checkpoint"])}
    _say(torch=torch.__version__, seconds=time.perf_counter() - started, **about)
    for device in order["devices"]:
        for name in order["tracers"]:
            try:
                _time(model, TRACERS[name](), torch.device(device), order)
            except MissingDependencyError as error:
                _say(tracer=name, device=device, unavailable=str(error))


def _time(
    model: HeadAvatarModel, tracer: Tracer, device: torch.device, order: dict[str, Any]
) -> None:
    if device.type == "cuda" and not torch.cuda.is_available():
        raise MissingDependencyError("torch sees no GPU here")
    model = model.to(device)
    frames = [
        Frame(
            torch.tensor(frame["expression"], device=device),
            torch.tensor(frame["pose"], device=device),
        )
        for frame in order["frames"]
    ]
    camera, size = Camera(order["world_to_camera"], order["intrinsics"]), tuple(order["size"])
    started = time.perf_counter()
    render(model, frames[0], camera, WARM, tracer)
    preparation = time.perf_counter() - started
    for timed in frame_times(model, tracer, frames, camera, (size[0], size[1]), order["seconds"]):
        _say(tracer=tracer.name, device=device.type, preparation=preparation, **timed._asdict())


def _say(**facts: Any) -> None:
    print(json.dumps(facts), flush=True)


if __name__ == "__main__":
    main()
