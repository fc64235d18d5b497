"""Fakes of the CUDA runtime and of TensorRT, which run engines without a GPU.

`FakeCuda` is `cuda.bindings.runtime` with host memory in place of device memory: copies go to their
addresses, and work on a stream that captures is stored and not run. The plan of `FakeTensorrt` is
an ONNX graph, which it runs on those addresses.
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
    """The part of the CUDA runtime that `EngineSession` uses."""

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
        captured = self.capturing
        self.capturing = None
        return CudaError.cudaSuccess, captured

    def cudaGraphInstantiate(self, graph: Any, flags: int) -> tuple[CudaError, Any]:
        return CudaError.cudaSuccess, graph

    def cudaGraphLaunch(self, graph: Any, stream: int) -> tuple[CudaError]:
        self.launched += 1
        for work in graph:
            work()
        return (CudaError.cudaSuccess,)


class FakeTensorrt:
    """The part of the module `tensorrt` that loads and runs a plan."""

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
        """Return None for a plan that it cannot load, as TensorRT does."""
        return FakeEngine(self, plan) if len(plan) > 100 else None


class FakeEngine:
    def __init__(self, trt: FakeTensorrt, plan: bytes) -> None:
        self.trt = trt
        self.plan = plan

    def create_runtime_config(self) -> Any:
        return self

    def create_execution_context(self, config: Any = None) -> Any:
        if config is not None:
            self.trt.strategies.append(self.cuda_graph_strategy)  # type: ignore[attr-defined]
        return FakeContext(self.trt.cuda, self.plan)


class FakeContext:
    """Runs the graph on the arrays at the addresses."""

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
        inputs = {name: self._array(name, shape) for name, shape in shapes.items()}
        (rgb,) = self.session.run(None, inputs)
        ctypes.memmove(self.addresses["rgb"], np.ascontiguousarray(rgb).ctypes.data, rgb.nbytes)

    def _array(self, name: str, shape: tuple[int, ...]) -> Any:
        size = int(np.prod(shape))
        return (
            np.ctypeslib.as_array((ctypes.c_float * size).from_address(self.addresses[name]))
            .reshape(shape)
            .copy()
        )
