"""Build a TensorRT plan from an ONNX graph.

The network is strongly typed: the graph's casts determine the precision.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from imavatar_deploy.errors import InputError, UsageError

from .flavours import Flavour


@dataclass(frozen=True)
class Profile:
    """Number N of points or frames that an engine accepts in a run."""

    least: int
    """Smallest N."""
    usual: int
    """N for which the kernels are tuned."""
    most: int
    """Largest N."""


@dataclass(frozen=True)
class EngineTensor:
    """An input or output of an engine."""

    name: str
    dtype: str
    """numpy's name of the element type."""
    shape: tuple[int, ...]
    """-1 stands for N."""


@dataclass(frozen=True)
class EngineSpec:
    """Settings of a build; with the graph and the version of TensorRT they determine the plan."""

    profile: Profile
    targets: tuple[str, ...]
    """Architectures, such as `sm89`."""
    compatibility: str = "none"
    """A key of `flavours.COMPATIBILITY`."""


@dataclass(frozen=True)
class BuiltEngine:
    """A plan with its inputs and outputs."""

    plan: bytes
    inputs: tuple[EngineTensor, ...]
    outputs: tuple[EngineTensor, ...]
    version: str
    """Version of TensorRT."""
    timing: bytes | None = None
    """Timing cache including the measurements of this build, if the flavour has one."""


def build_engine(
    flavour: Flavour, graph: bytes, spec: EngineSpec, *, timing: bytes = b""
) -> BuiltEngine:
    """Build a plan of an ONNX graph.

    The graph must be valid: the parser accepts arbitrary bytes as an empty network. TF32, which is
    on by default, is off: it keeps no more digits than float16, and the parts of the graph that are
    float32 need more.

    Args:
        graph: serialised ONNX model.
        timing: contents of a timing cache, for a flavour that has one.

    Raises:
        InputError: TensorRT cannot read the graph.
        UsageError: the engine cannot be built with these settings.
        MissingDependencyError: the flavour is not installed.
    """
    trt = flavour.load()
    log = log_of(trt)
    log.errors.clear()
    builder = trt.Builder(log)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    _parse(trt, log, network, graph)
    config = builder.create_builder_config()
    config.clear_flag(trt.BuilderFlag.TF32)
    flavour.configure(trt, config, spec.targets, spec.compatibility)
    if flavour.timing_cache:
        config.set_timing_cache(config.create_timing_cache(timing), True)
    config.add_optimization_profile(_profile(builder, network, spec.profile))
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        targets = ", ".join(spec.targets)
        raise UsageError(
            f"{flavour.name} cannot build this engine for {targets}: {log.first_error()}"
        )
    measured = bytes(config.get_timing_cache().serialize()) if flavour.timing_cache else None
    return BuiltEngine(bytes(plan), *_tensors(trt, network), trt.__version__, measured)


def _parse(trt: Any, log: Any, network: Any, graph: bytes) -> None:
    parser = trt.OnnxParser(network, log)
    if parser.parse(graph) and network.num_inputs:
        return
    errors = [parser.get_error(index) for index in range(parser.num_errors)]
    reasons = [" ".join(filter(None, (error.node_operator(), error.desc()))) for error in errors]
    reason = reasons[0] if reasons else "it holds no network"
    raise InputError(f"TensorRT cannot read this ONNX graph ({reason}); export it again")


def _profile(builder: Any, network: Any, profile: Profile) -> Any:
    optimisation_profile = builder.create_optimization_profile()
    counts = (profile.least, profile.usual, profile.most)
    for index in range(network.num_inputs):
        tensor = network.get_input(index)
        if -1 in tuple(tensor.shape):
            shapes = ([count if d == -1 else d for d in tensor.shape] for count in counts)
            optimisation_profile.set_shape(tensor.name, *shapes)
    return optimisation_profile


def _tensors(trt: Any, network: Any) -> tuple[tuple[EngineTensor, ...], tuple[EngineTensor, ...]]:
    inputs = [network.get_input(index) for index in range(network.num_inputs)]
    outputs = [network.get_output(index) for index in range(network.num_outputs)]
    return _describe(trt, inputs), _describe(trt, outputs)


def _describe(trt: Any, tensors: list[Any]) -> tuple[EngineTensor, ...]:
    return tuple(
        EngineTensor(t.name, trt.nptype(t.dtype).__name__, tuple(map(int, t.shape)))
        for t in tensors
    )


@cache
def log_of(trt: Any) -> Any:
    """Return the logger of a TensorRT module, which uses the first that it gets and no other."""

    class Log(trt.ILogger):  # type: ignore[misc]
        """Stores error messages and drops all others."""

        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            """Store an error message; TensorRT calls this."""
            if severity <= trt.ILogger.Severity.ERROR:
                self.errors.append(message)

        def first_error(self) -> str:
            """Return the first line of the first error."""
            return self.errors[0].splitlines()[0] if self.errors else "no reason given"

    return Log()
