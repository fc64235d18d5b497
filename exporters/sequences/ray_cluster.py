"""Ray: the frames of a bake spread over the machines of a cluster that all see the output folder at the same path."""

from __future__ import annotations

import socket
from typing import Any

from imavatar_deploy.errors import ImavatarError, UsageError
from imavatar_deploy.optional import require
from imavatar_deploy.progress import Advance

from .workers import Crew, FrameWork

AUTO = "auto"
"""The address of the cluster this machine belongs to."""

BATCH = 16
"""Frames a task: a worker makes itself ready, which takes as long as some frames, once for so many."""

RETRIES = 8
"""How often a task is given to another worker when its own is killed; what it had written is written again."""

PATIENCE = 5.0
"""Seconds for an address to answer; Ray itself would try for many minutes."""


def cluster(address: str) -> Crew:
    """A crew of all workers of a Ray cluster.

    Args:
        address: of the cluster, such as `head:6379` or `ray://head:10001`, or `auto`.

    Raises:
        MissingDependencyError: Ray is not installed.
        UsageError: there is no cluster.
    """
    ray = require("ray", extra="cluster")
    if not ray.is_initialized():
        try:
            _knock(address)
            ray.init(address=address, log_to_driver=False, logging_level="ERROR")
        except (OSError, ValueError, RuntimeError) as error:
            reason = str(error).splitlines()[0].rstrip(".")
            raise UsageError(
                f"there is no Ray cluster at {address!r} ({reason}); begin one: ray start --head"
            ) from error

    def crew(work: FrameWork, frames: list[int], advance: Advance) -> None:
        _spread(ray, work, frames, advance)

    return crew


def _knock(address: str) -> None:
    """Raise OSError where nobody listens, and ValueError where the address is none."""
    if address == AUTO:
        return
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():
        raise ValueError("it must be auto, HOST:PORT or ray://HOST:PORT")
    socket.create_connection((host, int(port)), timeout=PATIENCE).close()


def _spread(ray: Any, work: FrameWork, frames: list[int], advance: Advance) -> None:
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
            f"the Ray cluster lost the bake ({reason}); go on with --resume"
        ) from error
    finally:
        for left in running:
            ray.cancel(left)


def _bake(work: FrameWork, frames: list[int]) -> None:
    """What a worker does with a batch."""
    poser = work.poser()
    for index in frames:
        work.bake(index, poser)
