"""`virtualcam`: the head as a camera that meeting and streaming programs can choose; transparency becomes white."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from imavatar_deploy.errors import MissingDependencyError
from imavatar_deploy.optional import require

from .backgrounds import over, white
from .sink import Image, Sink, SinkFormat, Stream

DEVICES = (
    "on Linux install v4l2loopback-dkms and run `sudo modprobe v4l2loopback`; on Windows and macOS install OBS Studio "
    "and start its virtual camera once"
)


@contextmanager
def _open(target: str, stream: Stream) -> Iterator[Sink]:
    device, ground, count = target.partition(":")[2], white(stream), 0
    with _camera(device or None, stream) as camera:

        def write(image: Image) -> None:
            nonlocal count
            count += 1
            _send(camera, over(image, ground))

        yield Sink(
            write,
            report=lambda: f"virtual camera: {count} frames sent",
            greeting=f"virtual camera: choose {camera.device} in the program that is to show it",
        )


def _camera(device: str | None, stream: Stream) -> Any:
    """An open camera of `pyvirtualcam`, for RGB."""
    library = require("pyvirtualcam", extra="live")
    try:
        return library.Camera(
            stream.width, stream.height, stream.fps, fmt=library.PixelFormat.RGB, device=device
        )
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise MissingDependencyError(
            f"no virtual camera could be opened ({reason}): {DEVICES}"
        ) from error


def _send(camera: Any, image: Image) -> None:
    """One frame, at once: the library's own waiting for the next is left out, as the run keeps the time."""
    try:
        camera.send(image)
    except RuntimeError as error:
        raise MissingDependencyError(
            f"the virtual camera takes no more frames ({error}); is it still there?"
        ) from error


FORMAT = SinkFormat(
    name="virtual_camera",
    pattern="virtualcam",
    description="a camera for other programs; virtualcam:/dev/video2 chooses one of several",
    matches=lambda target: target == "virtualcam" or target.startswith("virtualcam:"),
    open=_open,
    watched=True,
)
