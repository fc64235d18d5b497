"""The format `trt`: a TensorRT engine of each graph, with a sidecar, checked against golden data.

The graph of every engine runs on the CPU, and the engine itself where its device is present.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from imavatar_deploy.fidelity.golden import GoldenCase, read_golden
from imavatar_deploy.fidelity.parity import ParityReport, compare
from imavatar_deploy.onnx_session import open_session, run_graph
from imavatar_deploy.progress import Progress
from imavatar_deploy.trt.build import BuiltEngine, EngineSpec, Profile, build_engine
from imavatar_deploy.trt.flavours import Flavour, find_flavour
from imavatar_deploy.trt.sidecar import (
    FOLDER,
    Sidecar,
    read_sidecars,
    read_timing,
    system_here,
    write_engine,
    write_sidecar,
    write_timing,
)
from imavatar_deploy.trt.verify import check_engines, output_tolerances

from ..settings import ExportSettings
from .format import ExportFormat, ExportInput
from .onnx import ONNX_FILES
from .tensorrt_precision import Choice, choose, limits

GRAPHS = ("texture", "deformation", "animate")

MAX_FRAMES = 8
"""Largest number of frames of the animation in one call."""


def profile(graph: str, vertices: int) -> Profile:
    """Smallest, typical and largest number of points or frames in one call of a graph.

    Args:
        graph: its name.
        vertices: V, of the avatar.
    """
    return {
        "texture": Profile(1, max(1, vertices // 2), vertices),  # half of the vertices face away
        "deformation": Profile(1, vertices, vertices),
        "animate": Profile(1, 1, MAX_FRAMES),
    }[graph]


def _ready(settings: ExportSettings) -> None:
    flavour = find_flavour(settings.trt.flavour)
    flavour.check_compatibility(settings.trt.compatibility)
    flavour.targets_here(settings.trt.targets)


def _write(folder: Path, subject: ExportInput, progress: Progress) -> Mapping[str, Any]:
    settings = subject.settings
    flavour = find_flavour(settings.trt.flavour)
    cases = read_golden(folder)
    targets = flavour.targets_here(settings.trt.targets)
    facts = {}
    with progress("building engines", len(GRAPHS)) as advance:
        for name in GRAPHS:
            spec = EngineSpec(
                profile(name, subject.bake.avatar.vertex_count), targets, settings.trt.compatibility
            )
            sidecar = write_one(folder, name, cases[name], flavour, spec, settings.trt.precision)
            facts[name] = {
                "flavour": sidecar.flavour,
                "version": sidecar.version,
                "precision": sidecar.precision,
            }
            advance(1)
    return {"engines": facts}


def write_one(
    folder: Path, name: str, case: GoldenCase, flavour: Flavour, spec: EngineSpec, precision: str
) -> Sidecar:
    """Build the engine of `NAME.onnx` in `folder`.

    Writes `engines/NAME.plan`, its sidecar, and the graph where it has casts.

    Args:
        folder: the avatar folder.
        name: of the graph.
        case: its golden data.
        flavour: of TensorRT.
        spec: profile, targets and compatibility.
        precision: a row of `tensorrt_precision.PRECISIONS`.

    Raises:
        InputError: the graph is damaged.
        UsageError: an engine cannot be built to this specification.
    """
    choice = choose(name, (folder / f"{name}.onnx").read_bytes(), case, precision)
    built = build_engine(flavour, choice.graph, spec, timing=read_timing(flavour))
    write_timing(flavour, built.timing)
    sidecar = _sidecar(name, case, flavour, spec, choice, built)
    write_engine(folder, built, sidecar)
    if choice.precision == "fp16":
        (folder / sidecar.source).write_bytes(choice.graph)
    return sidecar


def _sidecar(
    name: str,
    case: GoldenCase,
    flavour: Flavour,
    spec: EngineSpec,
    choice: Choice,
    built: BuiltEngine,
) -> Sidecar:
    half = choice.half.differences if choice.half else ()
    return Sidecar(
        graph=name,
        flavour=flavour.name,
        version=built.version,
        system=system_here(),
        targets=spec.targets,
        compatibility=spec.compatibility,
        precision=choice.precision,
        profile=spec.profile,
        source=f"{FOLDER}/{name}.fp16.onnx" if choice.precision == "fp16" else f"{name}.onnx",
        source_sha256=hashlib.sha256(choice.graph).hexdigest(),
        plan_sha256=hashlib.sha256(built.plan).hexdigest(),
        plan_bytes=len(built.plan),
        inputs=built.inputs,
        outputs=built.outputs,
        limits={
            output: limit.absolute for output, limit in limits(name, case, choice.precision).items()
        },
        half_drift={row.name: row.largest if np.isfinite(row.largest) else None for row in half},
        executed="",
    )


def _check(folder: Path) -> list[ParityReport]:
    """Check each engine's graph on this CPU, and the engine itself where its device is present."""
    cases = read_golden(folder)
    reports, reasons = check_engines(folder)
    for sidecar in read_sidecars(folder):
        case = cases[sidecar.graph]
        session = open_session(folder / sidecar.source)
        label = f"{sidecar.graph} {sidecar.precision}, cpu"
        reports.append(
            compare(
                label, case.outputs, run_graph(session, case.inputs), output_tolerances(sidecar)
            )
        )
        reason = reasons.get(sidecar.graph)
        write_sidecar(
            folder,
            replace(sidecar, executed=f"not run: {reason}" if reason else "run here, compared"),
        )
    return reports


def _notes(folder: Path) -> list[str]:
    return [
        f"engines/{s.graph}.plan ({s.precision}, {s.flavour}): {s.executed}"
        for s in read_sidecars(folder)
    ]


ROWS = (
    ExportFormat(
        name="trt",
        description="TensorRT engines of the three graphs, with sidecars",
        modules=("onnx", "onnxruntime"),
        write=_write,
        check=_check,
        after=("onnx",),
        beyond="tensorrt-rtx, or tensorrt and its GPU",
        ready=_ready,
        notes=_notes,
        output=FOLDER,
        folder_files=ONNX_FILES,
    ),
)
