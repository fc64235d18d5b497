"""`virtualcam`: a camera device that shows the head; transparency becomes white."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from imavatar_deploy.errors import MissingDependencyError
from imavatar_deploy.optional import require

from .backgrounds import over, white
from .sink import Image, Sink, SinkFormat, Stream

REMEDIES = (
    "on Linux install v4l2loopback-dkms and run `sudo modprobe v4l2loopback`; on Windows and macOS "
    "install OBS Studio and start its virtual camera once"
)
"""Remedies where there is no virtual camera."""


@contextmanager
def _open(target: str, stream: Stream) -> Iterator[Sink]:
    device = target.partition(":")[2]
    background = white(stream)
    count = 0
    with _camera(device or None, stream) as camera:

        def write(image: Image) -> None:
            nonlocal count
            count += 1
            _send(camera, over(image, background))

        yield Sink(
            write,
            report=lambda: f"virtual camera: {count} frames sent",
            greeting=f"virtual camera: choose {camera.device} in your meeting or streaming program",
        )


def _camera(device: str | None, stream: Stream) -> Any:
    """Open a camera of `pyvirtualcam` for RGB."""
    library = require("pyvirtualcam", extra="live")
    try:
        return library.Camera(
            stream.width, stream.height, stream.fps, fmt=library.PixelFormat.RGB, device=device
        )
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise MissingDependencyError(
            f"no virtual camera could be opened ({reason}): {REMEDIES}"
        ) from error


def _send(camera: Any, image: Image) -> None:
    """Send one frame at once, without the library's wait for the next: the run keeps the time."""
    try:
        camera.send(image)
    except RuntimeError as error:
        raise MissingDependencyError(
            f"the virtual camera accepts no more frames ({error}); check that it still exists"
        ) from error


FORMAT = SinkFormat(
    name="virtual_camera",
    pattern="virtualcam",
    description="a camera for other programs; virtualcam:/dev/video2 chooses one of several",
    matches=lambda target: target == "virtualcam" or target.startswith("virtualcam:"),
    open=_open,
    watched=True,
)
