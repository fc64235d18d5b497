"""Query the NVIDIA driver through its C library.

TensorRT's own objects return None or crash where there is no driver.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from imavatar_deploy.errors import MissingDependencyError

LIBRARY = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"

MAJOR = 75
"""CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR (cuda.h)."""

MINOR = 76
"""CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR (cuda.h)."""

NAME_LENGTH = 256
"""Size of the buffer for a device's name, in bytes."""


@dataclass(frozen=True)
class Device:
    """One GPU."""

    name: str
    architecture: str
    """Compute capability without its point, such as `sm89`."""


@dataclass(frozen=True)
class NvidiaDriver:
    """The NVIDIA driver of this machine and its devices."""

    cuda: str
    """Newest version of CUDA that it supports, such as `13.0`."""
    devices: tuple[Device, ...]


def probe_driver(load: Callable[[str], Any] = ctypes.CDLL) -> NvidiaDriver:
    """Query the NVIDIA driver for its devices, without any other library.

    Args:
        load: loads a shared library.

    Raises:
        MissingDependencyError: there is no driver, it does not start, or it has no device.
    """
    try:
        cuda = load(LIBRARY)
    except OSError as error:
        raise MissingDependencyError(
            f"no NVIDIA driver is installed here ({LIBRARY} cannot be loaded); "
            "install it, or play on the CPU"
        ) from error
    _ensure_success(cuda.cuInit(0), "start (cuInit)")
    version = ctypes.c_int()
    count = ctypes.c_int()
    _ensure_success(cuda.cuDriverGetVersion(ctypes.byref(version)), "report its version")
    _ensure_success(cuda.cuDeviceGetCount(ctypes.byref(count)), "count its devices")
    if not count.value:
        raise MissingDependencyError(
            "the NVIDIA driver sees no device; check nvidia-smi and CUDA_VISIBLE_DEVICES"
        )
    devices = tuple(_device(cuda, index) for index in range(count.value))
    return NvidiaDriver(f"{version.value // 1000}.{version.value % 1000 // 10}", devices)


def _device(cuda: Any, index: int) -> Device:
    handle = ctypes.c_int()
    name = ctypes.create_string_buffer(NAME_LENGTH)
    _ensure_success(cuda.cuDeviceGet(ctypes.byref(handle), index), f"open device {index}")
    _ensure_success(cuda.cuDeviceGetName(name, NAME_LENGTH, handle), f"name device {index}")
    major, minor = (_attribute(cuda, attribute, handle) for attribute in (MAJOR, MINOR))
    return Device(name.value.decode(errors="replace"), f"sm{major}{minor}")


def _attribute(cuda: Any, attribute: int, handle: ctypes.c_int) -> int:
    value = ctypes.c_int()
    _ensure_success(
        cuda.cuDeviceGetAttribute(ctypes.byref(value), attribute, handle),
        "report its compute capability",
    )
    return value.value


def _ensure_success(code: int, action: str) -> None:
    if code:
        raise MissingDependencyError(
            f"the NVIDIA driver is there and cannot {action} (CUDA error {code}); "
            "check nvidia-smi, or play on the CPU"
        )
