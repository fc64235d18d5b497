"""The format `triton`: a model repository for NVIDIA's Triton Inference Server.

It holds every graph with its configuration and warm-up data, and the engines that `--format trt`
built with the server's flavour of TensorRT. Start the server with
`tritonserver --model-repository AVATAR/triton`.

The server collects requests to a graph whose tensors all begin with the same axis N, of frames or
of points: N is then the batch axis, and requests look as they do without it. A graph with an input
that all of its points share, such as texture's condition, cannot be batched.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from imavatar_deploy.errors import InternalError
from imavatar_deploy.fidelity.golden import GoldenCase, read_golden
from imavatar_deploy.fidelity.parity import ParityReport, compare
from imavatar_deploy.onnx_session import open_session, run_graph
from imavatar_deploy.progress import Progress
from imavatar_deploy.trt.sidecar import plan_path, read_sidecars

from .format import ExportFormat, ExportInput
from .onnx import ONNX_FILES

FOLDER = "triton"
SERVED_FLAVOUR = "tensorrt"

TYPES = {"tensor(float)": ("TYPE_FP32", "<f4"), "tensor(float16)": ("TYPE_FP16", "<f2")}
"""ONNX Runtime's name of a type -> Triton's name, and numpy's type of the warm-up data."""


LARGEST_BATCH = {"animate": 64}
"""Largest N of a graph in ONNX Runtime, over all collected requests."""

MANY = 1 << 20
"""Largest N of other graphs, whose N are points."""

WARM_UP_REQUESTS = 4
"""Requests of N = 1 that a server collects into one batch when it starts."""

CHECKED_BATCHES = (1, 4)
"""Sizes at which a batched graph is run here."""


@dataclass(frozen=True)
class Model:
    """One folder of the repository."""

    name: str
    backend: str
    file: Path
    """The served file, in the avatar folder."""
    graph: Path
    """The ONNX graph with its inputs and outputs."""
    largest_batch: int
    """Largest N, where N is a batch axis."""


def _models(folder: Path) -> list[Model]:
    graphs = {
        name: folder / f"{name}.onnx"
        for name in read_golden(folder)
        if (folder / f"{name}.onnx").is_file()
    }
    served = [sidecar for sidecar in read_sidecars(folder) if sidecar.flavour == SERVED_FLAVOUR]
    return [
        *(
            Model(name, "onnxruntime", graph, graph, LARGEST_BATCH.get(name, MANY))
            for name, graph in graphs.items()
        ),
        *(
            Model(
                f"{sidecar.graph}_tensorrt",
                "tensorrt",
                plan_path(folder, sidecar.graph),
                graphs[sidecar.graph],
                sidecar.profile.most,
            )
            for sidecar in served
        ),
    ]


def _write(folder: Path, subject: ExportInput, progress: Progress) -> Mapping[str, Any]:
    models = _models(folder)
    cases = read_golden(folder)
    with progress("writing the repository", len(models)) as advance:
        for model in models:
            write_model(folder / FOLDER, model, cases[model.graph.stem])
            advance(1)
    return {"triton": {"models": [model.name for model in models]}}


def write_model(repository: Path, model: Model, case: GoldenCase) -> None:
    """Write `NAME/config.pbtxt`, `NAME/1/model.*` and `NAME/warmup/*` into a repository."""
    directory = repository / model.name
    session = open_session(model.graph)
    for part in ("1", "warmup"):
        (directory / part).mkdir(parents=True)
    shutil.copyfile(model.file, directory / "1" / f"model{model.file.suffix}")
    for tensor in session.get_inputs():
        data = np.ascontiguousarray(case.inputs[tensor.name], dtype=_type(tensor)[1])
        (directory / "warmup" / tensor.name).write_bytes(data.tobytes())
    (directory / "config.pbtxt").write_text(_config(model, session, case), encoding="utf-8")


def has_batch_axis(session: Any) -> bool:
    """Whether every input and output of a graph begins with the same axis of any size."""
    tensors = [*session.get_inputs(), *session.get_outputs()]
    first = {tensor.shape[0] if tensor.shape else None for tensor in tensors}
    return len(first) == 1 and isinstance(first.pop(), str)


def _config(model: Model, session: Any, case: GoldenCase) -> str:
    """Text of config.pbtxt; sizes leave out the batch axis where there is one."""
    batched = has_batch_axis(session)
    lines = [
        f'name: "{model.name}"',
        f'backend: "{model.backend}"',
        f"max_batch_size: {model.largest_batch if batched else 0}",
        *(["dynamic_batching { }"] if batched else []),
    ]
    lines += [f"input {_tensor(tensor, batched)}" for tensor in session.get_inputs()]
    lines += [f"output {_tensor(tensor, batched)}" for tensor in session.get_outputs()]
    requests = min(WARM_UP_REQUESTS, model.largest_batch) if batched else 1
    lines += ["model_warmup {", '  name: "golden"', f"  batch_size: {requests}"]
    for tensor in session.get_inputs():
        size = ", ".join(map(str, case.inputs[tensor.name].shape[batched:]))
        value = f'data_type: {_type(tensor)[0]} dims: [ {size} ] input_data_file: "{tensor.name}"'
        lines.append(f'  inputs {{ key: "{tensor.name}" value {{ {value} }} }}')
    return "\n".join([*lines, "}"]) + "\n"


def _tensor(value: Any, batched: bool) -> str:
    dims = ", ".join(str(size) if isinstance(size, int) else "-1" for size in value.shape[batched:])
    return f'{{ name: "{value.name}" data_type: {_type(value)[0]} dims: [ {dims} ] }}'


def _type(value: Any) -> tuple[str, str]:
    if value.type not in TYPES:
        raise InternalError(f"{value.name} has the type {value.type}, which has no row in TYPES")
    return TYPES[value.type]


def _check(folder: Path) -> list[ParityReport]:
    """Run each graph of the repository on its warm-up data, and batched graphs in two sizes."""
    return [
        report
        for name, case in read_golden(folder).items()
        for report in _reports(folder / FOLDER / name, case)
    ]


def _reports(directory: Path, case: GoldenCase) -> list[ParityReport]:
    session = open_session(directory / "1" / "model.onnx")
    inputs = {
        tensor.name: np.fromfile(
            directory / "warmup" / tensor.name, dtype=_type(tensor)[1]
        ).reshape(case.inputs[tensor.name].shape)
        for tensor in session.get_inputs()
    }
    name = f"triton {directory.name}"
    reports = [compare(name, case.outputs, run_graph(session, inputs), case.tolerances)]
    for size in CHECKED_BATCHES if has_batch_axis(session) else ():
        outputs = run_graph(session, _first(inputs, size))
        reports.append(
            compare(
                f"{name}, batch of {size}", _first(case.outputs, size), outputs, case.tolerances
            )
        )
    return reports


def _first(tensors: Mapping[str, Any], size: int) -> dict[str, Any]:
    """Return the first rows of tensors, and these again where there are fewer."""
    return {name: np.resize(tensor, (size, *tensor.shape[1:])) for name, tensor in tensors.items()}


ROWS = (
    ExportFormat(
        name="triton",
        description="a model repository for NVIDIA's Triton server: "
        "graphs, configuration, warm-up data",
        modules=("onnxruntime",),
        write=_write,
        check=_check,
        after=("onnx",),
        after_student=True,
        notes=lambda folder: [
            "the graphs of triton/ were run here in ONNX Runtime, on their warm-up data; "
            "no server was"
        ],
        output=FOLDER,
        folder_files=ONNX_FILES,
    ),
)
