"""An ONNX graph -> a TensorRT plan: strongly typed, so that precision is what the graph's casts say."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

from imavatar_deploy.errors import InputError, UsageError

from .flavours import Flavour


@dataclass(frozen=True)
class Profile:
    """How many points or frames N an engine takes: at least, usually, at most."""

    least: int
    usual: int
    most: int


@dataclass(frozen=True)
class EngineTensor:
    """An input or output: name, numpy's name of its type, shape with -1 where it is free."""

    name: str
    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class EngineSpec:
    """What decides, with the graph and the flavour's version, what a plan is."""

    profile: Profile
    targets: tuple[str, ...]
    compatibility: str = "none"


@dataclass(frozen=True)
class BuiltEngine:
    """A plan and what the builder's own network says of it."""

    plan: bytes
    inputs: tuple[EngineTensor, ...]
    outputs: tuple[EngineTensor, ...]
    version: str
    timing: bytes | None = None
    """The timing cache with what this build measured, where the flavour has one."""


def build_engine(
    flavour: Flavour, graph: bytes, order: EngineSpec, *, timing: bytes = b""
) -> BuiltEngine:
    """Build a plan of the ONNX `graph`, which must be a sound one: the parser takes rubbish for an empty network.

    TF32 is off: it is on by default and keeps no more digits than float16, and what stays float32 here needs them.

    Args:
        timing: contents of a timing cache, for a flavour that has one.

    Raises:
        InputError: TensorRT cannot read the graph.
        UsageError: it cannot be built as ordered.
        MissingDependencyError: this flavour is not installed.
    """
    trt = flavour.load()
    log = log_of(trt)
    log.said.clear()
    builder = trt.Builder(log)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    _parse(trt, log, network, graph)
    config = builder.create_builder_config()
    config.clear_flag(trt.BuilderFlag.TF32)
    flavour.configure(trt, config, order.targets, order.compatibility)
    if flavour.timing_cache:
        config.set_timing_cache(config.create_timing_cache(timing), True)
    config.add_optimization_profile(_profile(builder, network, order.profile))
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise UsageError(
            f"{flavour.name} cannot build this engine for {', '.join(order.targets)}: {log.reason()}"
        )
    measured = bytes(config.get_timing_cache().serialize()) if flavour.timing_cache else None
    return BuiltEngine(bytes(plan), *_tensors(trt, network), trt.__version__, measured)


def _parse(trt: Any, log: Any, network: Any, graph: bytes) -> None:
    parser = trt.OnnxParser(network, log)
    if parser.parse(graph) and network.num_inputs:
        return
    errors = [parser.get_error(index) for index in range(parser.num_errors)]
    reasons = [" ".join(filter(None, (error.node_operator(), error.desc()))) for error in errors]
    raise InputError(
        f"TensorRT cannot read this ONNX graph ({(reasons or ['it holds no network'])[0]}); export it again"
    )


def _profile(builder: Any, network: Any, profile: Profile) -> Any:
    made = builder.create_optimization_profile()
    for index in range(network.num_inputs):
        given = network.get_input(index)
        if -1 in tuple(given.shape):
            sizes = (profile.least, profile.usual, profile.most)
            made.set_shape(
                given.name, *([count if d == -1 else d for d in given.shape] for count in sizes)
            )
    return made


def _tensors(trt: Any, network: Any) -> tuple[tuple[EngineTensor, ...], tuple[EngineTensor, ...]]:
    inputs = [network.get_input(index) for index in range(network.num_inputs)]
    outputs = [network.get_output(index) for index in range(network.num_outputs)]
    return _described(trt, inputs), _described(trt, outputs)


def _described(trt: Any, tensors: list[Any]) -> tuple[EngineTensor, ...]:
    return tuple(
        EngineTensor(t.name, trt.nptype(t.dtype).__name__, tuple(map(int, t.shape)))
        for t in tensors
    )


@cache
def log_of(trt: Any) -> Any:
    """One log for a module's whole life: TensorRT keeps the first that it is given and ignores the others."""

    class Log(trt.ILogger):  # type: ignore[misc]
        """Keeps errors, forgets the rest."""

        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.said: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            """Called by TensorRT."""
            if severity <= trt.ILogger.Severity.ERROR:
                self.said.append(message)

        def reason(self) -> str:
            """The first error, as one line."""
            return self.said[0].splitlines()[0] if self.said else "it does not say why"

    return Log()
