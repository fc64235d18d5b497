"""EngineSession: a plan on the GPU behind the face of ONNX Runtime's session, so that whoever runs graphs runs it.

Nothing here could be run on a device where it was written; its tests run it against modules that answer as the real
ones do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.errors import InputError, MissingDependencyError
from imavatar_deploy.optional import require

from .build import EngineTensor, log_of
from .flavours import FLAVOURS
from .sidecar import Sidecar

# A stream of work on the GPU: memory, copies and captured graphs, through NVIDIA's own bindings of the CUDA runtime.
#
# Nothing here could be run where it was written: there was no device. Its tests put the host's memory in the device's
# place.


Array = NDArray[Any]


class CudaMemory:
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


STEPS = 8
"""A run's N is rounded up to so many sizes, so that neighbouring frames, which see about as many points, share one and
with it a CUDA graph. The rows beyond N hold whatever lay there, and what comes of them is not read."""


class EngineSession:
    """A plan, ready to run; ask `preflight` first.

    Raises:
        InputError: the plan cannot be loaded in spite of it.
        MissingDependencyError: the device refuses.
    """

    def __init__(self, plan: bytes, sidecar: Sidecar, gpu: CudaMemory | None = None) -> None:
        self.sidecar, self._flavour = sidecar, FLAVOURS[sidecar.flavour]
        self.most = sidecar.profile.most
        """Points or frames a run takes at most."""
        trt = self._flavour.load()
        self._runtime = trt.Runtime(log_of(trt))
        self._engine = self._runtime.deserialize_cuda_engine(plan)
        if self._engine is None:
            raise InputError(
                f"{sidecar.flavour} cannot load the engine of {sidecar.graph} ({log_of(trt).reason()}); "
                "export it again, or use --engine-policy rebuild"
            )
        self._context = self._flavour.open_context(trt, self._engine)
        self._gpu = gpu or CudaMemory()
        self._address = {
            t.name: self._gpu.allocate(self._size(t)) for t in (*sidecar.inputs, *sidecar.outputs)
        }
        for name, address in self._address.items():
            self._context.set_tensor_address(name, address)
        self._last, self._graph = (
            0,
            None,
        )  # the N of the last run, and its CUDA graph if there is one

    def get_inputs(self) -> tuple[EngineTensor, ...]:
        """As ONNX Runtime's: `.name` and `.shape`."""
        return self.sidecar.inputs

    def get_outputs(self) -> tuple[EngineTensor, ...]:
        """As ONNX Runtime's."""
        return self.sidecar.outputs

    def get_providers(self) -> list[str]:
        """As ONNX Runtime's: what computes."""
        return [self.sidecar.flavour]

    def run(self, names: Sequence[str] | None, feed: Mapping[str, Array]) -> list[Array]:
        """Outputs `names`, or all of them, for these inputs.

        Raises:
            InputError: an input is missing, too many, or of a shape outside the engine's profile.
        """
        self._check(feed)
        count = max((len(feed[t.name]) for t in self.sidecar.inputs if t.shape[0] == -1), default=1)
        padded = self._rounded(count)
        for given in self.sidecar.inputs:
            self._put(given, np.ascontiguousarray(feed[given.name], dtype=given.dtype), padded)
        self._execute(padded)
        wanted = [t for t in self.sidecar.outputs if names is None or t.name in names]
        results = {t.name: self._get(t, count) for t in wanted}
        self._gpu.wait()
        return [results[name] for name in names or results]

    def close(self) -> None:
        """Give the GPU's memory back."""
        self._gpu.close()

    def _check(self, feed: Mapping[str, Array]) -> None:
        if feed.keys() != {given.name for given in self.sidecar.inputs}:
            names = ", ".join(given.name for given in self.sidecar.inputs)
            raise InputError(
                f"the engine of {self.sidecar.graph} takes {names}, got {', '.join(feed)}"
            )
        least = self.sidecar.profile.least
        for given in self.sidecar.inputs:
            shape = feed[given.name].shape
            fits = len(shape) == len(given.shape) and all(
                least <= size <= self.most if free == -1 else size == free
                for size, free in zip(shape, given.shape, strict=True)
            )
            if not fits:
                raise InputError(
                    f"{given.name} must have shape {list(given.shape)} with {least} to {self.most} rows, "
                    f"got {list(shape)}; ask for fewer at once"
                )

    def _rounded(self, count: int) -> int:
        step = -(-self.most // STEPS)
        return min(self.most, -(-count // step) * step)

    def _put(self, given: EngineTensor, array: Array, padded: int) -> None:
        shape = tuple(padded if size == -1 else size for size in given.shape)
        if not self._context.set_input_shape(given.name, shape):
            raise InputError(
                f"the engine of {self.sidecar.graph} takes no {given.name} of shape {list(shape)}"
            )
        self._gpu.put(array, self._address[given.name])
        self._gpu.wait()  # the copy may outlive `array` otherwise

    def _execute(self, padded: int) -> None:
        """Run, as a CUDA graph from the second run of the same size in a row: the first one settles the context."""
        if self._flavour.captures_graphs or padded != self._last:
            self._last, self._graph = padded, None
            return self._enqueue()
        if self._graph is None:
            self._graph = self._gpu.capture(self._enqueue)
        return self._gpu.launch(self._graph)

    def _enqueue(self) -> None:
        if not self._context.execute_async_v3(int(self._gpu.stream)):
            trt = self._flavour.load()
            raise InputError(
                f"the engine of {self.sidecar.graph} failed ({log_of(trt).reason()}); run imavatar-doctor"
            )

    def _get(self, output: EngineTensor, count: int) -> Array:
        shape = tuple(count if size == -1 else size for size in output.shape)
        return self._gpu.get(self._address[output.name], shape, output.dtype)

    def _size(self, tensor: EngineTensor) -> int:
        counts = [self.most if size == -1 else size for size in tensor.shape]
        return int(np.prod(counts)) * np.dtype(tensor.dtype).itemsize
