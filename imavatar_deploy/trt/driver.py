"""The NVIDIA driver, asked directly: TensorRT's own objects answer None or crash where there is none."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from imavatar_deploy.errors import MissingDependencyError

LIBRARY = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
MAJOR, MINOR = 75, 76
"""CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and _MINOR (cuda.h)."""
NAME_LENGTH = 256


@dataclass(frozen=True)
class Device:
    """One GPU."""

    name: str
    architecture: str
    """`sm89` and the like: the compute capability without its point."""


@dataclass(frozen=True)
class NvidiaDriver:
    """What the driver says."""

    cuda: str
    """The newest CUDA it serves, as `13.0`."""
    devices: tuple[Device, ...]


def probe_driver(load: Callable[[str], Any] = ctypes.CDLL) -> NvidiaDriver:
    """Ask the NVIDIA driver for its devices; loads nothing else.

    Raises:
        MissingDependencyError: there is no driver, it does not start, or it has no device.
    """
    try:
        cuda = load(LIBRARY)
    except OSError as error:
        raise MissingDependencyError(
            f"no NVIDIA driver is installed here ({LIBRARY} cannot be loaded); install it, or play on the CPU"
        ) from error
    _must(cuda.cuInit(0), "start (cuInit)")
    version, count = ctypes.c_int(), ctypes.c_int()
    _must(cuda.cuDriverGetVersion(ctypes.byref(version)), "tell its version")
    _must(cuda.cuDeviceGetCount(ctypes.byref(count)), "count its devices")
    if not count.value:
        raise MissingDependencyError(
            "the NVIDIA driver sees no device; check nvidia-smi and CUDA_VISIBLE_DEVICES"
        )
    devices = tuple(_device(cuda, index) for index in range(count.value))
    return NvidiaDriver(f"{version.value // 1000}.{version.value % 1000 // 10}", devices)


def _device(cuda: Any, index: int) -> Device:
    handle, name = ctypes.c_int(), ctypes.create_string_buffer(NAME_LENGTH)
    _must(cuda.cuDeviceGet(ctypes.byref(handle), index), f"open device {index}")
    _must(cuda.cuDeviceGetName(name, NAME_LENGTH, handle), f"name device {index}")
    major, minor = (_attribute(cuda, attribute, handle) for attribute in (MAJOR, MINOR))
    return Device(name.value.decode(errors="replace"), f"sm{major}{minor}")


def _attribute(cuda: Any, attribute: int, handle: ctypes.c_int) -> int:
    value = ctypes.c_int()
    _must(
        cuda.cuDeviceGetAttribute(ctypes.byref(value), attribute, handle),
        "tell its compute capability",
    )
    return value.value


def _must(code: int, what: str) -> None:
    if code:
        raise MissingDependencyError(
            f"the NVIDIA driver is there and cannot {what} (CUDA error {code}); check nvidia-smi, or play on the CPU"
        )
