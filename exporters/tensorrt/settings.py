"""TrtSettings: what TensorRT's engines may choose, and the options for it."""

from __future__ import annotations

from dataclasses import dataclass

from imavatar_deploy.console import rows_help
from imavatar_deploy.engines.flavours import COMPATIBILITY, FLAVOURS
from imavatar_deploy.errors import unknown_name
from imavatar_deploy.option_groups import OptionGroup

from ..format_option import FormatOption
from .precision import PRECISIONS

TARGET_HELP = rows_help({row.name: ", ".join(row.targets) for row in FLAVOURS.values() if row.targets})


@dataclass(frozen=True)
class TrtSettings:
    """What TensorRT's engines may choose.

    Raises:
        UsageError: a choice that does not exist.
    """

    flavour: str = "auto"
    """A row of `engines.flavours.FLAVOURS`, or `auto`."""
    precision: str = "auto"
    """A row of `precision.PRECISIONS`."""
    targets: tuple[str, ...] = ()
    """Architectures to build for, as `sm89`; the flavour's own when empty."""
    compatibility: str = "none"
    """A row of `engines.flavours.COMPATIBILITY`."""

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise unknown_name("precision", self.precision, PRECISIONS)
        if self.flavour not in (*FLAVOURS, "auto"):
            raise unknown_name("flavour of TensorRT", self.flavour, (*FLAVOURS, "auto"))
        if self.compatibility not in COMPATIBILITY:
            raise unknown_name("compatibility", self.compatibility, COMPATIBILITY)


def _settings(trt_flavour: str, trt_precision: str, trt_targets: str, trt_compatibility: str) -> TrtSettings:
    targets = tuple(filter(None, trt_targets.replace(" ", "").split(",")))
    return TrtSettings(trt_flavour, trt_precision, targets, trt_compatibility)


def _option(name: str, default: str, text: str, metavar: str | None = None) -> FormatOption:
    return FormatOption(name, formats=("trt",), default=default, help=text, metavar=metavar)


GROUP = OptionGroup(
    "trt",
    "TensorRT",
    (
        _option("--trt-flavour", "auto", f"Of TensorRT: auto, {', '.join(FLAVOURS)}."),
        _option("--trt-precision", "auto", f"Of engines. {rows_help(PRECISIONS)}."),
        _option(
            "--trt-targets",
            "",
            f"Architectures to build for. {TARGET_HELP}; tensorrt builds for the GPU at hand.",
            "SM,...",
        ),
        _option("--trt-compatibility", "none", f"Where plans run. {rows_help(COMPATIBILITY)}."),
    ),
    _settings,
)
