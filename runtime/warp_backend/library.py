"""The Warp library, started on first use and without its banner, and how its kernels are declared.

Importing this module loads nothing. Modules that declare kernels import `wp` from here, which loads
Warp but does not start it; `start` does, when the first device is opened.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar, cast

from imavatar_deploy.errors import MissingDependencyError
from imavatar_deploy.optional import require
from imavatar_deploy.trt.driver import probe_driver

Kernel = TypeVar("Kernel", bound=Callable[..., object])

MODULE = "imavatar_deploy"
"""Warp's module of all plain kernels: the compilation of a module takes seconds, whatever its
size."""


@contextmanager
def quietly(library: Any) -> Iterator[None]:
    """Suppress Warp's reports of what it compiles and loads during a `with` block."""
    level = library.config.log_level
    library.config.log_level = library.LOG_ERROR
    try:
        yield
    finally:
        library.config.log_level = level


@contextmanager
def _no_driver_warning() -> Iterator[None]:
    """Discard the warning of Warp's native code on file descriptor 2 where there is no driver."""
    try:
        probe_driver()
    except MissingDependencyError:
        original = os.dup(2)
        devnull = os.open(os.devnull, os.O_WRONLY)
        os.dup2(devnull, 2)
        try:
            yield
        finally:
            os.dup2(original, 2)
            os.close(original)
            os.close(devnull)
    else:
        yield


if TYPE_CHECKING:
    wp: Any
    """The library."""

_STARTING = threading.Lock()


@cache
def _loaded() -> Any:
    library = require("warp", extra="cuda")
    # No fused products and sums: neighbours must agree on which side of their edge a pixel is,
    # see `rasteriser`.
    library.get_module(MODULE).options.update(enable_backward=False, fuse_fp=False)
    return library


def __getattr__(name: str) -> Any:
    """`wp`, loaded by its first import from here."""
    if name != "wp":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return _loaded()


@cache
def _started() -> Any:
    library = _loaded()
    with quietly(library), _no_driver_warning():
        try:
            library.init()
        except OSError:  # a read-only home: no place for compiled kernels
            library.config.kernel_cache_dir = tempfile.mkdtemp(prefix="imavatar-warp-")
            atexit.register(shutil.rmtree, library.config.kernel_cache_dir, ignore_errors=True)
            library.init()
    return library


def start() -> Any:
    """Start Warp, once in a process, and return it; any thread may call this.

    Raises:
        MissingDependencyError: Warp cannot be imported.
    """
    with _STARTING:
        return _started()


def kernel(function: Kernel) -> Kernel:
    """Declare a Warp kernel of `MODULE`; its arguments are annotated by `arrays`."""
    return cast(Kernel, _loaded().kernel(function, module=MODULE, enable_backward=False))


def device_function(function: Kernel) -> Kernel:
    """Declare a function that kernels call."""
    return cast(Kernel, _loaded().func(function, module=MODULE))
