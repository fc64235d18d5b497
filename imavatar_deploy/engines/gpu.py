"""A stream of work on the GPU: memory, copies and captured graphs, through NVIDIA's own bindings of the CUDA runtime.

Nothing here could be run where it was written: there was no device. Its tests put the host's memory in the device's
place.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.errors import MissingDependencyError
from imavatar_deploy.optional import require

Array = NDArray[Any]


class Gpu:
    """One stream on the first device.

    Raises:
        MissingDependencyError: cuda-bindings is not installed, or the device refuses.
    """

    def __init__(self) -> None:
        self._cuda = require("cuda.bindings.runtime", extra="trt-rtx")
        self._call("cudaSetDevice", 0)
        self.stream = self._call("cudaStreamCreate")
        self._memory: list[Any] = []

    def allocate(self, size: int) -> int:
        """Address of `size` bytes on the device, kept until `close`."""
        address = self._call("cudaMalloc", size)
        self._memory.append(address)
        return int(address)

    def put(self, array: Array, address: int) -> None:
        """Copy a contiguous array to the device."""
        kind = self._cuda.cudaMemcpyKind.cudaMemcpyHostToDevice
        self._call("cudaMemcpyAsync", address, array.ctypes.data, array.nbytes, kind, self.stream)

    def get(self, address: int, shape: tuple[int, ...], dtype: str) -> Array:
        """Copy an array from the device; `wait` before reading it."""
        array = np.zeros(shape, dtype=dtype)
        kind = self._cuda.cudaMemcpyKind.cudaMemcpyDeviceToHost
        self._call("cudaMemcpyAsync", array.ctypes.data, address, array.nbytes, kind, self.stream)
        return array

    def wait(self) -> None:
        """Until everything asked of the stream is done."""
        self._call("cudaStreamSynchronize", self.stream)

    def capture(self, work: Callable[[], None]) -> Any:
        """What `work` asks of the stream, as a graph to `launch` as often as wanted."""
        mode = self._cuda.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        self._call("cudaStreamBeginCapture", self.stream, mode)
        try:
            work()
        finally:
            graph = self._call("cudaStreamEndCapture", self.stream)
        return self._call("cudaGraphInstantiate", graph, 0)

    def launch(self, graph: Any) -> None:
        """Run a captured graph."""
        self._call("cudaGraphLaunch", graph, self.stream)

    def close(self) -> None:
        """Give the memory back."""
        while self._memory:
            self._call("cudaFree", self._memory.pop())

    def _call(self, name: str, *arguments: Any) -> Any:
        error, *answer = getattr(self._cuda, name)(*arguments)
        if int(error):
            raise MissingDependencyError(
                f"the GPU refused {name} ({getattr(error, 'name', error)}); run imavatar-doctor, or play on the CPU"
            )
        return answer[0] if answer else None
