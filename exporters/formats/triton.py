"""Triton: a model repository of the graphs for NVIDIA's inference server, with configuration and warm-up data.

Start it with `tritonserver --model-repository AVATAR/triton`. Every graph is also there as an engine where `--format
trt` built one with the flavour that the server has.
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

FOLDER = "triton"
SERVED_FLAVOUR = "tensorrt"

TYPES = {"tensor(float)": ("TYPE_FP32", "<f4"), "tensor(float16)": ("TYPE_FP16", "<f2")}
"""ONNX Runtime's name of a type -> Triton's, and the bytes of its warm-up data."""


@dataclass(frozen=True)
class Model:
    """One folder of the repository."""

    name: str
    backend: str
    file: Path
    """What is served, in the avatar folder."""
    graph: Path
    """The ONNX graph that tells what goes in and out."""


def _models(folder: Path) -> list[Model]:
    graphs = {
        name: folder / f"{name}.onnx"
        for name in read_golden(folder)
        if (folder / f"{name}.onnx").is_file()
    }
    served = [s.graph for s in read_sidecars(folder) if s.flavour == SERVED_FLAVOUR]
    return [
        *(Model(name, "onnxruntime", graph, graph) for name, graph in graphs.items()),
        *(
            Model(f"{name}_tensorrt", "tensorrt", plan_path(folder, name), graphs[name])
            for name in served
        ),
    ]


def _write(folder: Path, subject: ExportInput, progress: Progress) -> Mapping[str, Any]:
    models, cases = _models(folder), read_golden(folder)
    with progress("filling the repository", len(models)) as advance:
        for model in models:
            write_model(folder / FOLDER, model, cases[model.graph.stem])
            advance(1)
    return {"triton": {"models": [model.name for model in models]}}


def write_model(repository: Path, model: Model, case: GoldenCase) -> None:
    """Write `NAME/config.pbtxt`, `NAME/1/model.*` and `NAME/warmup/*` into a repository."""
    place, session = repository / model.name, open_session(model.graph)
    for part in ("1", "warmup"):
        (place / part).mkdir(parents=True)
    shutil.copyfile(model.file, place / "1" / f"model{model.file.suffix}")
    for given in session.get_inputs():
        data = np.ascontiguousarray(case.inputs[given.name], dtype=_type(given)[1])
        (place / "warmup" / given.name).write_bytes(data.tobytes())
    (place / "config.pbtxt").write_text(_config(model, session, case), encoding="utf-8")


def _config(model: Model, session: Any, case: GoldenCase) -> str:
    """The configuration. No batch axis of the server's own: N is the first axis of most tensors, not of all."""
    lines = [f'name: "{model.name}"', f'backend: "{model.backend}"', "max_batch_size: 0"]
    lines += [f"input {_tensor(given)}" for given in session.get_inputs()]
    lines += [f"output {_tensor(made)}" for made in session.get_outputs()]
    lines += ["model_warmup {", '  name: "golden"', "  batch_size: 1"]
    for given in session.get_inputs():
        size = ", ".join(map(str, case.inputs[given.name].shape))
        told = f'data_type: {_type(given)[0]} dims: [ {size} ] input_data_file: "{given.name}"'
        lines.append(f'  inputs {{ key: "{given.name}" value {{ {told} }} }}')
    return "\n".join([*lines, "}"]) + "\n"


def _tensor(value: Any) -> str:
    dims = ", ".join(str(size) if isinstance(size, int) else "-1" for size in value.shape)
    return f'{{ name: "{value.name}" data_type: {_type(value)[0]} dims: [ {dims} ] }}'


def _type(value: Any) -> tuple[str, str]:
    if value.type not in TYPES:
        raise InternalError(f"{value.name} is a {value.type}, which has no row in TYPES")
    return TYPES[value.type]


def _check(folder: Path) -> list[ParityReport]:
    """Each graph of the repository on its own warm-up data, as the server would run it on start."""
    return [_report(folder / FOLDER / name, case) for name, case in read_golden(folder).items()]


def _report(place: Path, case: GoldenCase) -> ParityReport:
    session = open_session(place / "1" / "model.onnx")
    inputs = {
        given.name: np.fromfile(place / "warmup" / given.name, dtype=_type(given)[1]).reshape(
            case.inputs[given.name].shape
        )
        for given in session.get_inputs()
    }
    return compare(
        f"triton {place.name}", case.outputs, run_graph(session, inputs), case.tolerances
    )


ROWS = (
    ExportFormat(
        name="triton",
        description="a model repository for NVIDIA's Triton server: graphs, configuration, warm-up data",
        modules=("onnxruntime",),
        write=_write,
        check=_check,
        after=("onnx",),
        after_student=True,
        notes=lambda folder: [
            "the graphs of triton/ were run here in ONNX Runtime, on their warm-up data; no server was"
        ],
    ),
)
