"""The flavours of TensorRT: one builds for named architectures anywhere, the other for the GPU it is built on."""

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
"""What else a plan may run on."""


@dataclass(frozen=True)
class Flavour:
    """One TensorRT: what to import, and where its API goes its own way."""

    name: str
    module: str
    package: str
    extra: str
    builds_without_device: bool
    targets: tuple[str, ...]
    """Architectures that may be named, empty when it builds for the GPU at hand."""
    standard_targets: tuple[str, ...]
    compatibilities: tuple[str, ...]
    configure: Callable[[Any, Any, tuple[str, ...], str], None]
    """(module, builder config, targets, compatibility): say so to the builder."""
    open_context: Callable[[Any, Any], Any]
    """(module, engine) -> an execution context."""
    captures_graphs: bool
    """Whether its runtime captures CUDA graphs itself."""
    timing_cache: bool
    """Whether it times kernels on the GPU; the other compiles on the user's, and a timing cache would ask for one."""

    @property
    def install(self) -> str:
        """The line that brings it."""
        return f"pip install 'imavatar-deploy[{self.extra}]'"

    def load(self) -> Any:
        """Its module.

        Raises:
            MissingDependencyError: it is not installed, or its libraries cannot be loaded.
        """
        return require(self.module, extra=self.extra)

    def targets_here(self, wanted: tuple[str, ...]) -> tuple[str, ...]:
        """The architectures that an engine built now is for.

        Raises:
            UsageError: an architecture that this flavour cannot be told.
            MissingDependencyError: it builds for the GPU at hand, and there is none.
        """
        if not self.targets:
            if wanted:
                raise UsageError(
                    f"{self.name} builds for the GPU it runs on, got --trt-targets {','.join(wanted)}; leave it out"
                )
            return tuple(sorted({device.architecture for device in probe_driver().devices[:1]}))
        for target in wanted:
            if target not in self.targets:
                raise unknown_name(f"architecture of {self.name}", target, self.targets)
        return wanted or self.standard_targets

    def check_compatibility(self, wanted: str) -> None:
        """Refuse what this flavour cannot promise.

        Raises:
            UsageError: see above.
        """
        if wanted not in COMPATIBILITY:
            raise unknown_name("compatibility", wanted, COMPATIBILITY)
        if wanted not in self.compatibilities:
            raise UsageError(
                f"{self.name} builds no plans of compatibility {wanted!r}, only {', '.join(self.compatibilities)}"
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
            standard_targets=(
                "sm80",
                "sm86",
                "sm89",
                "sm120",
                "sm121",
            ),  # Turing multiplies no float32 matrices
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
"""Every flavour by name; the order is that in which they are looked for without a GPU."""


def find_flavour(name: str = "auto") -> Flavour:
    """The flavour of this name, or for `auto` the one that is installed; `tensorrt` first where there is a GPU.

    Raises:
        UsageError: there is no such flavour.
        MissingDependencyError: it, or any, is not installed.
    """
    if name == "auto":
        return _installed()
    if name not in FLAVOURS:
        raise unknown_name("flavour of TensorRT", name, [*FLAVOURS, "auto"])
    FLAVOURS[name].load()
    return FLAVOURS[name]


def _installed() -> Flavour:
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
