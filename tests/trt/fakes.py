"""A GPU of host memory and a TensorRT that answers as the real one does: engines run as far as a device's border.

`FakeCuda` is `cuda.bindings.runtime` with the host's memory for the device's: copies go where their addresses say, and
what is asked of a stream while it captures is kept and not done. `FakeTensorrt` "runs" a plan, which is an ONNX graph,
by reading and writing those addresses.
"""

from __future__ import annotations

import ctypes
import enum
from collections.abc import Callable
from typing import Any

import numpy as np
import onnxruntime


class CudaError(enum.IntEnum):
    cudaSuccess = 0
    cudaErrorMemoryAllocation = 2
    cudaErrorInsufficientDriver = 35


class FakeCuda:
    """What `EngineSession` asks of the CUDA runtime."""

    class cudaMemcpyKind(enum.IntEnum):
        cudaMemcpyHostToDevice = 1
        cudaMemcpyDeviceToHost = 2

    class cudaStreamCaptureMode(enum.IntEnum):
        cudaStreamCaptureModeThreadLocal = 1

    def __init__(self, fails: str = "") -> None:
        self.fails = fails
        self.memory: dict[int, Any] = {}
        self.capturing: list[Callable[[], None]] | None = None
        self.launched = 0

    def __getattribute__(self, name: str) -> Any:
        if name.startswith("cuda") and name == super().__getattribute__("fails"):
            return lambda *arguments: (CudaError.cudaErrorInsufficientDriver, None)
        return super().__getattribute__(name)

    def cudaSetDevice(self, index: int) -> tuple[CudaError]:
        return (CudaError.cudaSuccess,)

    def cudaStreamCreate(self) -> tuple[CudaError, int]:
        return CudaError.cudaSuccess, 7

    def cudaMalloc(self, size: int) -> tuple[CudaError, int]:
        block = ctypes.create_string_buffer(max(size, 1))
        self.memory[ctypes.addressof(block)] = block
        return CudaError.cudaSuccess, ctypes.addressof(block)

    def cudaFree(self, address: int) -> tuple[CudaError]:
        del self.memory[address]
        return (CudaError.cudaSuccess,)

    def cudaMemcpyAsync(
        self, to: int, source: int, size: int, kind: Any, stream: int
    ) -> tuple[CudaError]:
        device = to if kind == self.cudaMemcpyKind.cudaMemcpyHostToDevice else source
        assert size <= len(self.memory[device]), "beyond what was allocated"
        assert self.capturing is None
        ctypes.memmove(to, source, size)
        return (CudaError.cudaSuccess,)

    def cudaStreamSynchronize(self, stream: int) -> tuple[CudaError]:
        return (CudaError.cudaSuccess,)

    def cudaStreamBeginCapture(self, stream: int, mode: Any) -> tuple[CudaError]:
        self.capturing = []
        return (CudaError.cudaSuccess,)

    def cudaStreamEndCapture(self, stream: int) -> tuple[CudaError, Any]:
        captured, self.capturing = self.capturing, None
        return CudaError.cudaSuccess, captured

    def cudaGraphInstantiate(self, graph: Any, flags: int) -> tuple[CudaError, Any]:
        return CudaError.cudaSuccess, graph

    def cudaGraphLaunch(self, graph: Any, stream: int) -> tuple[CudaError]:
        self.launched += 1
        for work in graph:
            work()
        return (CudaError.cudaSuccess,)


class FakeTensorrt:
    """The module `tensorrt` with what loading and running a plan needs."""

    __version__ = "11.4.0.106"

    class ILogger:
        pass

    class CudaGraphStrategy(enum.Enum):
        WHOLE_GRAPH_CAPTURE = 1

    def __init__(self, cuda: FakeCuda) -> None:
        self.cuda = cuda
        self.strategies: list[Any] = []

    def Runtime(self, log: Any) -> Any:
        return self

    def deserialize_cuda_engine(self, plan: bytes) -> Any:
        """None for what it cannot load, as the real one, which raises nothing."""
        return FakeEngine(self, plan) if len(plan) > 100 else None


class FakeEngine:
    def __init__(self, trt: FakeTensorrt, plan: bytes) -> None:
        self.trt, self.plan = trt, plan

    def create_runtime_config(self) -> Any:
        return self

    def create_execution_context(self, config: Any = None) -> Any:
        if config is not None:
            self.trt.strategies.append(self.cuda_graph_strategy)  # type: ignore[attr-defined]
        return FakeContext(self.trt.cuda, self.plan)


class FakeContext:
    """Runs the graph on what lies at the addresses."""

    def __init__(self, cuda: FakeCuda, plan: bytes) -> None:
        self.cuda = cuda
        self.session = onnxruntime.InferenceSession(plan, providers=["CPUExecutionProvider"])
        self.addresses: dict[str, int] = {}
        self.shapes: dict[str, tuple[int, ...]] = {}

    def set_tensor_address(self, name: str, address: int) -> bool:
        self.addresses[name] = address
        return True

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        self.shapes[name] = shape
        return True

    def execute_async_v3(self, stream: int) -> bool:
        if self.cuda.capturing is not None:
            shapes = dict(self.shapes)
            self.cuda.capturing.append(lambda: self._run(shapes))
        else:
            self._run(self.shapes)
        return True

    def _run(self, shapes: dict[str, tuple[int, ...]]) -> None:
        given = {name: self._array(name, shape) for name, shape in shapes.items()}
        (rgb,) = self.session.run(None, given)
        ctypes.memmove(self.addresses["rgb"], np.ascontiguousarray(rgb).ctypes.data, rgb.nbytes)

    def _array(self, name: str, shape: tuple[int, ...]) -> Any:
        size = int(np.prod(shape))
        return (
            np.ctypeslib.as_array((ctypes.c_float * size).from_address(self.addresses[name]))
            .reshape(shape)
            .copy()
        )
