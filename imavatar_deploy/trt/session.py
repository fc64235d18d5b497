"""EngineSession: run a TensorRT plan with the interface of an ONNX Runtime session.

`CudaMemory` manages its memory, copies and captured graphs through NVIDIA's bindings of the CUDA
runtime. It was written without a GPU; the tests replace CUDA and TensorRT by fake modules.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from imavatar_deploy.arrays import Array
from imavatar_deploy.errors import InputError, MissingDependencyError
from imavatar_deploy.optional import require

from .build import EngineTensor, log_of
from .flavours import FLAVOURS
from .sidecar import Sidecar

SIZE_COUNT = 8
"""Number of sizes to which N is rounded up, so that frames with about as many points share a size
and its CUDA graph. The rows beyond N are undefined, and their results are not read."""


class CudaMemory:
    """Memory and a stream on the first device.

    Raises:
        MissingDependencyError: cuda-bindings is not installed, or a CUDA call fails.
    """

    def __init__(self) -> None:
        self._cuda = require("cuda.bindings.runtime", extra="trt-rtx")
        self._call("cudaSetDevice", 0)
        self.stream = self._call("cudaStreamCreate")
        self._memory: list[Any] = []

    def allocate(self, size: int) -> int:
        """Allocate `size` bytes on the device until `close`, and return their address."""
        address = self._call("cudaMalloc", size)
        self._memory.append(address)
        return int(address)

    def put(self, array: Array, address: int) -> None:
        """Copy a contiguous array to the device."""
        kind = self._cuda.cudaMemcpyKind.cudaMemcpyHostToDevice
        self._call("cudaMemcpyAsync", address, array.ctypes.data, array.nbytes, kind, self.stream)

    def get(self, address: int, shape: tuple[int, ...], dtype: str) -> Array:
        """Copy an array from the device; call `wait` before reading it."""
        array = np.zeros(shape, dtype=dtype)
        kind = self._cuda.cudaMemcpyKind.cudaMemcpyDeviceToHost
        self._call("cudaMemcpyAsync", array.ctypes.data, address, array.nbytes, kind, self.stream)
        return array

    def wait(self) -> None:
        """Wait until all work of the stream is done."""
        self._call("cudaStreamSynchronize", self.stream)

    def capture(self, work: Callable[[], None]) -> Any:
        """Capture what `work` enqueues on the stream, and return it as a graph for `launch`."""
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
        """Free the memory."""
        while self._memory:
            self._call("cudaFree", self._memory.pop())

    def _call(self, name: str, *arguments: Any) -> Any:
        error, *result = getattr(self._cuda, name)(*arguments)
        if int(error):
            raise MissingDependencyError(
                f"the GPU refused {name} ({getattr(error, 'name', error)}); "
                "run imavatar-doctor, or play on the CPU"
            )
        return result[0] if result else None


class EngineSession:
    """A plan that is loaded on the GPU; call `preflight` first.

    Raises:
        InputError: TensorRT cannot load the plan.
        MissingDependencyError: a CUDA call fails.
    """

    def __init__(self, plan: bytes, sidecar: Sidecar, gpu: CudaMemory | None = None) -> None:
        self.sidecar = sidecar
        self._flavour = FLAVOURS[sidecar.flavour]
        self.most = sidecar.profile.most
        """Largest number of points or frames in a run."""
        trt = self._flavour.load()
        self._runtime = trt.Runtime(log_of(trt))
        self._engine = self._runtime.deserialize_cuda_engine(plan)
        if self._engine is None:
            raise InputError(
                f"{sidecar.flavour} cannot load the engine of {sidecar.graph} "
                f"({log_of(trt).first_error()}); export it again, or use --engine-policy rebuild"
            )
        self._context = self._flavour.open_context(trt, self._engine)
        self._gpu = gpu or CudaMemory()
        self._address = {
            t.name: self._gpu.allocate(self._size(t)) for t in (*sidecar.inputs, *sidecar.outputs)
        }
        for name, address in self._address.items():
            self._context.set_tensor_address(name, address)
        self._last = 0
        """N of the last run, rounded up."""
        self._graph: Any = None
        """CUDA graph of runs of that size, once captured."""

    def get_inputs(self) -> tuple[EngineTensor, ...]:
        """Return the inputs, with `.name` and `.shape` as in ONNX Runtime."""
        return self.sidecar.inputs

    def get_outputs(self) -> tuple[EngineTensor, ...]:
        """Return the outputs, with `.name` and `.shape` as in ONNX Runtime."""
        return self.sidecar.outputs

    def get_providers(self) -> list[str]:
        """Return the flavour's name in the place of ONNX Runtime's execution providers."""
        return [self.sidecar.flavour]

    def run(self, names: Sequence[str] | None, feed: Mapping[str, Array]) -> list[Array]:
        """Return the outputs `names`, or all outputs, for the inputs `feed`.

        Raises:
            InputError: an input is missing or unknown, or its shape is outside the engine's
                profile.
        """
        self._check(feed)
        count = max((len(feed[t.name]) for t in self.sidecar.inputs if t.shape[0] == -1), default=1)
        padded = self._round_up(count)
        for tensor in self.sidecar.inputs:
            self._put(tensor, np.ascontiguousarray(feed[tensor.name], dtype=tensor.dtype), padded)
        self._execute(padded)
        outputs = [t for t in self.sidecar.outputs if names is None or t.name in names]
        results = {t.name: self._get(t, count) for t in outputs}
        self._gpu.wait()
        return [results[name] for name in names or results]

    def close(self) -> None:
        """Free the GPU's memory."""
        self._gpu.close()

    def _check(self, feed: Mapping[str, Array]) -> None:
        if feed.keys() != {tensor.name for tensor in self.sidecar.inputs}:
            names = ", ".join(tensor.name for tensor in self.sidecar.inputs)
            raise InputError(
                f"the engine of {self.sidecar.graph} takes {names}, got {', '.join(feed)}"
            )
        least = self.sidecar.profile.least
        for tensor in self.sidecar.inputs:
            shape = feed[tensor.name].shape
            fits = len(shape) == len(tensor.shape) and all(
                least <= size <= self.most if expected == -1 else size == expected
                for size, expected in zip(shape, tensor.shape, strict=True)
            )
            if not fits:
                raise InputError(
                    f"{tensor.name} must have shape {list(tensor.shape)} "
                    f"with {least} to {self.most} rows, got {list(shape)}; "
                    "run the rows in smaller batches"
                )

    def _round_up(self, count: int) -> int:
        step = -(-self.most // SIZE_COUNT)
        return min(self.most, -(-count // step) * step)

    def _put(self, tensor: EngineTensor, array: Array, padded: int) -> None:
        shape = tuple(padded if size == -1 else size for size in tensor.shape)
        if not self._context.set_input_shape(tensor.name, shape):
            raise InputError(
                f"the engine of {self.sidecar.graph} takes no {tensor.name} of shape {list(shape)}"
            )
        self._gpu.put(array, self._address[tensor.name])
        self._gpu.wait()  # the copy could outlive `array` otherwise

    def _execute(self, padded: int) -> None:
        """Run the engine, as a CUDA graph from the second run of the same size in a row on.

        The first run of a size initialises the context.
        """
        if self._flavour.captures_graphs or padded != self._last:
            self._last = padded
            self._graph = None
            return self._enqueue()
        if self._graph is None:
            self._graph = self._gpu.capture(self._enqueue)
        return self._gpu.launch(self._graph)

    def _enqueue(self) -> None:
        if not self._context.execute_async_v3(int(self._gpu.stream)):
            trt = self._flavour.load()
            raise InputError(
                f"the engine of {self.sidecar.graph} failed ({log_of(trt).first_error()}); "
                "run imavatar-doctor"
            )

    def _get(self, output: EngineTensor, count: int) -> Array:
        shape = tuple(count if size == -1 else size for size in output.shape)
        return self._gpu.get(self._address[output.name], shape, output.dtype)

    def _size(self, tensor: EngineTensor) -> int:
        counts = [self.most if size == -1 else size for size in tensor.shape]
        return int(np.prod(counts)) * np.dtype(tensor.dtype).itemsize
