"""Flavours of TensorRT and their differences.

`tensorrt-rtx` builds for named architectures, also without a GPU; `tensorrt` builds for the GPU of
this machine.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from imavatar_deploy.errors import MissingDependencyError, UsageError, unknown_name
from imavatar_deploy.optional import require

from .driver import probe_driver

COMPATIBILITY = {
    "none": "the version, and the architectures, that it is built with",
    "version": "newer versions of TensorRT, too",
    "hardware": "every GPU since Ampere (sm80)",
}
"""Compatibility level of a plan -> what it runs on besides."""


@dataclass(frozen=True)
class Flavour:
    """One flavour of TensorRT: how to import it, and where its API differs."""

    name: str
    module: str
    """Name of the Python module."""
    package: str
    """Name in the package index."""
    extra: str
    """Extra of this package that installs it."""
    builds_without_device: bool
    targets: tuple[str, ...]
    """Architectures that can be named; empty if it builds for the GPU of this machine."""
    standard_targets: tuple[str, ...]
    """Architectures that it builds for by default."""
    compatibilities: tuple[str, ...]
    """Supported keys of `COMPATIBILITY`."""
    configure: Callable[[Any, Any, tuple[str, ...], str], None]
    """(module, builder config, targets, compatibility): configure the builder."""
    open_context: Callable[[Any, Any], Any]
    """(module, engine) -> execution context."""
    captures_graphs: bool
    """Whether its runtime captures CUDA graphs itself."""
    timing_cache: bool
    """Whether a build times kernels on the GPU. TensorRT-RTX compiles kernels on the user's GPU; a
    timing cache would require one for the build."""

    @property
    def install(self) -> str:
        """Command that installs it."""
        return f"pip install 'imavatar-deploy[{self.extra}]'"

    def load(self) -> Any:
        """Import and return its module.

        Raises:
            MissingDependencyError: it is not installed, or its libraries cannot be loaded.
        """
        return require(self.module, extra=self.extra)

    def targets_here(self, requested: tuple[str, ...]) -> tuple[str, ...]:
        """Return the architectures that an engine built on this machine is for.

        Args:
            requested: architectures; empty for the default.

        Raises:
            UsageError: this flavour cannot build for a requested architecture.
            MissingDependencyError: it builds for the GPU of this machine, and there is none.
        """
        if not self.targets:
            if requested:
                raise UsageError(
                    f"{self.name} builds for the GPU it runs on, "
                    f"got --trt-targets {','.join(requested)}; leave it out"
                )
            return tuple(sorted({device.architecture for device in probe_driver().devices[:1]}))
        for target in requested:
            if target not in self.targets:
                raise unknown_name(f"architecture of {self.name}", target, self.targets)
        return requested or self.standard_targets

    def check_compatibility(self, requested: str) -> None:
        """Check that this flavour supports a compatibility level.

        Raises:
            UsageError: the level does not exist, or this flavour does not support it.
        """
        if requested not in COMPATIBILITY:
            raise unknown_name("compatibility", requested, COMPATIBILITY)
        if requested not in self.compatibilities:
            raise UsageError(
                f"{self.name} builds no plans of compatibility {requested!r}, "
                f"only {', '.join(self.compatibilities)}"
            )


def _configure_rtx(trt: Any, config: Any, targets: tuple[str, ...], compatibility: str) -> None:
    config.num_compute_capabilities = len(targets)
    for index, target in enumerate(targets):
        config.set_compute_capability(getattr(trt.ComputeCapability, target.upper()), index)


def _configure_tensorrt(
    trt: Any, config: Any, targets: tuple[str, ...], compatibility: str
) -> None:
    if compatibility == "version":
        config.set_flag(trt.BuilderFlag.VERSION_COMPATIBLE)
    if compatibility == "hardware":
        config.hardware_compatibility_level = trt.HardwareCompatibilityLevel.AMPERE_PLUS


def _context_rtx(trt: Any, engine: Any) -> Any:
    runtime = engine.create_runtime_config()
    runtime.cuda_graph_strategy = trt.CudaGraphStrategy.WHOLE_GRAPH_CAPTURE
    return engine.create_execution_context(runtime)


def _context_tensorrt(trt: Any, engine: Any) -> Any:
    return engine.create_execution_context()


FLAVOURS = {
    row.name: row
    for row in (
        Flavour(
            name="tensorrt-rtx",
            module="tensorrt_rtx",
            package="tensorrt-rtx-cu13",
            extra="trt-rtx",
            builds_without_device=True,
            targets=("sm75", "sm80", "sm86", "sm89", "sm120", "sm121"),
            # Turing (sm75) has no float32 matrix multiplication.
            standard_targets=("sm80", "sm86", "sm89", "sm120", "sm121"),
            compatibilities=("none",),
            configure=_configure_rtx,
            open_context=_context_rtx,
            captures_graphs=True,
            timing_cache=False,
        ),
        Flavour(
            name="tensorrt",
            module="tensorrt",
            package="tensorrt",
            extra="trt",
            builds_without_device=False,
            targets=(),
            standard_targets=(),
            compatibilities=tuple(COMPATIBILITY),
            configure=_configure_tensorrt,
            open_context=_context_tensorrt,
            captures_graphs=False,
            timing_cache=True,
        ),
    )
}
"""Flavours by name, in the order in which they are preferred without a GPU."""


def find_flavour(name: str = "auto") -> Flavour:
    """Return the flavour of a name; for `auto`, one that is installed.

    On a machine with a GPU, `auto` prefers `tensorrt`.

    Raises:
        UsageError: there is no such flavour.
        MissingDependencyError: the flavour, or for `auto` every flavour, is not installed.
    """
    if name == "auto":
        return _find_installed()
    if name not in FLAVOURS:
        raise unknown_name("flavour of TensorRT", name, [*FLAVOURS, "auto"])
    FLAVOURS[name].load()
    return FLAVOURS[name]


def _find_installed() -> Flavour:
    rows = list(FLAVOURS.values())
    if _has_device():
        rows.reverse()
    for row in rows:
        try:
            row.load()
        except MissingDependencyError:
            continue
        return row
    lines = " or ".join(f"{row.install} ({row.name})" for row in rows)
    raise MissingDependencyError(f"no flavour of TensorRT can be imported: {lines}")


def _has_device() -> bool:
    try:
        probe_driver()
    except MissingDependencyError:
        return False
    return True
