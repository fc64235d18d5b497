"""The driver probe with fake libraries that follow cuda.h."""

from __future__ import annotations

import ctypes
from typing import Any

import pytest

from imavatar_deploy.errors import MissingDependencyError
from imavatar_deploy.trt.driver import Device, NvidiaDriver, probe_driver

NO_DEVICE = 100  # CUDA_ERROR_NO_DEVICE
SYSTEM_DRIVER_MISMATCH = 803


class FakeCuda:
    """A fake libcuda with some devices."""

    def __init__(self, *devices: tuple[str, int, int], start: int = 0) -> None:
        self.devices = devices
        self.start = start

    def cuInit(self, flags: int) -> int:
        assert flags == 0
        return self.start

    def cuDriverGetVersion(self, version: Any) -> int:
        version._obj.value = 13010
        return 0

    def cuDeviceGetCount(self, count: Any) -> int:
        count._obj.value = len(self.devices)
        return 0

    def cuDeviceGet(self, handle: Any, index: int) -> int:
        handle._obj.value = index
        return 0

    def cuDeviceGetName(self, name: Any, length: int, handle: ctypes.c_int) -> int:
        name.value = self.devices[handle.value][0].encode()[: length - 1]
        return 0

    def cuDeviceGetAttribute(self, value: Any, attribute: int, handle: ctypes.c_int) -> int:
        value._obj.value = self.devices[handle.value][attribute - 74]
        return 0


def test_tells_every_device() -> None:
    cuda = FakeCuda(("NVIDIA RTX 4090", 8, 9), ("NVIDIA RTX 5090", 12, 0))
    expected = (Device("NVIDIA RTX 4090", "sm89"), Device("NVIDIA RTX 5090", "sm120"))
    assert probe_driver(lambda name: cuda) == NvidiaDriver("13.1", expected)


def missing(name: str) -> Any:
    raise OSError(f"{name}: cannot open shared object file: No such file or directory")


@pytest.mark.parametrize(
    ("load", "message"),
    [
        (missing, "no NVIDIA driver is installed here"),
        (lambda name: FakeCuda(start=NO_DEVICE), r"cannot start \(cuInit\) \(CUDA error 100\)"),
        (lambda name: FakeCuda(start=SYSTEM_DRIVER_MISMATCH), r"CUDA error 803"),
        (lambda name: FakeCuda(), "sees no device"),
    ],
)
def test_says_in_a_sentence_what_is_wrong(load: Any, message: str) -> None:
    with pytest.raises(MissingDependencyError, match=message):
        probe_driver(load)
