"""Ray: distribute the frames of a bake over the machines of a cluster.

All machines must have the output folder at the same path.
"""

from __future__ import annotations

import socket
from typing import Any

from imavatar_deploy.errors import ImavatarError, UsageError
from imavatar_deploy.optional import require
from imavatar_deploy.progress import Advance

from .workers import FrameExecutor, FrameWork

AUTO = "auto"
"""The address of the cluster that this machine belongs to."""

BATCH = 16
"""Frames a task. The start of a task takes as long as some frames."""

RETRIES = 8
"""Number of times a task is repeated by another worker when its worker is killed."""

CONNECT_TIMEOUT = 5.0
"""Seconds to connect to an address; Ray itself tries for many minutes."""


def ray_executor(address: str) -> FrameExecutor:
    """An executor on all workers of a Ray cluster.

    Args:
        address: of the cluster, such as `head:6379` or `ray://head:10001`, or `auto`.

    Raises:
        MissingDependencyError: Ray is not installed.
        UsageError: there is no cluster at the address.
    """
    ray = require("ray", extra="cluster")
    if not ray.is_initialized():
        try:
            _check_address(address)
            ray.init(address=address, log_to_driver=False, logging_level="ERROR")
        except (OSError, ValueError, RuntimeError) as error:
            reason = str(error).splitlines()[0].rstrip(".")
            raise UsageError(
                f"there is no Ray cluster at {address!r} ({reason}); start one: ray start --head"
            ) from error

    def execute(work: FrameWork, frames: list[int], advance: Advance) -> None:
        _distribute(ray, work, frames, advance)

    return execute


def _check_address(address: str) -> None:
    """Connect to an address.

    Raises:
        OSError: the connection fails.
        ValueError: the address is malformed.
    """
    if address == AUTO:
        return
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():
        raise ValueError("it must be auto, HOST:PORT or ray://HOST:PORT")
    socket.create_connection((host, int(port)), timeout=CONNECT_TIMEOUT).close()


def _distribute(ray: Any, work: FrameWork, frames: list[int], advance: Advance) -> None:
    batches = [frames[start : start + BATCH] for start in range(0, len(frames), BATCH)]
    task = ray.remote(max_retries=RETRIES, num_cpus=1)(_bake)
    shared = ray.put(work)
    running = {task.remote(shared, batch): len(batch) for batch in batches}
    try:
        while running:
            (done,), _ = ray.wait(list(running), num_returns=1)
            ray.get(done)
            advance(running.pop(done))
    except ray.exceptions.RayTaskError as error:
        raise error.cause if isinstance(error.cause, ImavatarError | OSError) else error from None
    except ray.exceptions.RayError as error:
        reason = str(error).splitlines()[0]
        raise UsageError(
            f"the Ray cluster failed during the bake ({reason}); continue with resume=True "
            "(--resume)"
        ) from error
    finally:
        for remaining in running:
            ray.cancel(remaining)


def _bake(work: FrameWork, frames: list[int]) -> None:
    """Bake a batch of frames on a worker."""
    poser = work.poser()
    for index in frames:
        work.bake(index, poser)
