"""The Warp library, started without its banner, and the one way its kernels are compiled here."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar, cast

from imavatar_deploy.engines.driver import probe_driver
from imavatar_deploy.errors import MissingDependencyError
from imavatar_deploy.optional import require

Kernel = TypeVar("Kernel", bound=Callable[..., object])

MODULE = "imavatar_deploy"
"""All plain kernels are one module of Warp: a compilation costs seconds, whatever it holds."""


@contextmanager
def quietly(library: Any) -> Iterator[None]:
    """Warp reports what it compiles and loads as long as this does not hold; the user's own level comes back."""
    level = library.config.log_level
    library.config.log_level = library.LOG_ERROR
    try:
        yield
    finally:
        library.config.log_level = level


@contextmanager
def _driver_not_missed() -> Iterator[None]:
    """Where there is no driver, Warp's native code says so on the file behind `sys.stderr`: send it nowhere."""
    try:
        probe_driver()
    except MissingDependencyError:
        kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            os.close(nowhere)
    else:
        yield


def _started() -> Any:
    library = require("warp", extra="cuda")
    with quietly(library), _driver_not_missed():
        try:
            library.init()
        except OSError:  # nowhere to keep compiled kernels: a read-only home
            library.config.kernel_cache_dir = tempfile.mkdtemp(prefix="imavatar-warp-")
            atexit.register(shutil.rmtree, library.config.kernel_cache_dir, ignore_errors=True)
            library.init()
    # No fused products and sums: neighbours must agree on which side of their edge a pixel is, see `raster`.
    library.get_module(MODULE).options.update(enable_backward=False, fuse_fp=False)
    return library


wp = _started()
"""The library."""


def kernel(function: Kernel) -> Kernel:
    """A Warp kernel of `MODULE`; its arguments are annotated by `arrays`."""
    return cast(Kernel, wp.kernel(function, module=MODULE, enable_backward=False))


def inlined(function: Kernel) -> Kernel:
    """A function that kernels call."""
    return cast(Kernel, wp.func(function, module=MODULE))
