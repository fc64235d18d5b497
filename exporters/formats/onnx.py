"""The formats `onnx` and `player`: ONNX graphs with golden data to check them.

`onnx` writes the graphs texture, deformation, animate and student, `player` only the first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from imavatar_deploy.conventions import CONDITION_SIZE, POSE_SIZE
from imavatar_deploy.fidelity.golden import check_golden, write_golden
from imavatar_deploy.progress import Progress

from ..fidelity.golden_cases import golden_cases
from ..student.format import add_student, student_graph
from .format import ExportFormat, ExportInput
from .onnx_export import Graph, write_graph
from .onnx_modules import AnimatedMesh, BakedTexture, PlainDeformation

POSE = "[N, 15] axis-angle of global, neck, jaw, eyeL, eyeR; radians"


def _texture(subject: ExportInput) -> Graph:
    code = subject.network_bake.code
    return Graph(
        BakedTexture(subject.networks.texture, code.decode, code.mean),
        (torch.zeros(2, len(code.decode)), torch.zeros(2, 3), torch.zeros(1, CONDITION_SIZE)),
        {
            "code": f"[N, {len(code.decode)}] texture_code of a vertex, "
            "or interpolated between vertices",
            "normal": "[N, 3] unit normal of the deformed surface, model space",
            "condition": "[1, 53] expression and the jaw's axis-angle (radians), "
            "one for all points",
        },
        {"rgb": "[N, 3] colour in 0..1"},
    )


def _deformation(subject: ExportInput) -> Graph:
    return Graph(
        PlainDeformation(subject.networks.deformation),
        (torch.zeros(2, 3),),
        {"points": "[N, 3] canonical points, model units"},
        {
            "expression": "[N, 3, E] displacement per unit of expression, model units",
            "pose": "[N, 36, 3] displacement per unit of pose feature, model units",
            "weights": "[N, J] skinning weights, rows sum to one, ghost bone first when J = 6",
        },
    )


def _animate(subject: ExportInput) -> Graph:
    avatar = subject.bake.avatar
    return Graph(
        AnimatedMesh(avatar),
        (torch.zeros(2, avatar.expression_size), torch.zeros(2, POSE_SIZE)),
        {"expression": f"[N, {avatar.expression_size}] coefficients of N frames", "pose": POSE},
        {
            "vertices": "[N, 3, V] deformed vertices, model units",
            "normals": "[N, 3, V] unit vertex normals, weighted by the area of the faces around",
        },
    )


GRAPHS = {
    "texture": _texture,
    "deformation": _deformation,
    "animate": _animate,
    "student": student_graph,
}


def _writer(*names: str) -> Callable[[Path, ExportInput, Progress], Mapping[str, Any]]:
    """Return a function that writes the named graphs and golden data.

    The golden data always includes that of the animation.
    """

    def write(folder: Path, subject: ExportInput, progress: Progress) -> Mapping[str, Any]:
        facts = _write_graphs(folder, subject, names, progress)
        cases = golden_cases(
            subject.networks, subject.network_bake, storage=subject.settings.storage
        )
        write_golden(folder, {name: cases[name] for name in sorted({*names, "animate"})})
        return facts

    return write


def _write_graphs(
    folder: Path,
    subject: ExportInput,
    names: Sequence[str],
    progress: Progress,
) -> dict[str, Any]:
    facts = {}
    with progress("exporting graphs", len(names)) as advance:
        for name in names:
            graph = GRAPHS[name](subject)
            opset = subject.settings.opset
            write_graph(graph, folder / f"{name}.onnx", {"graph": name, **subject.metadata}, opset)
            facts[name] = {
                "opset": opset,
                "inputs": dict(graph.inputs),
                "outputs": dict(graph.outputs),
            }
            advance(1)
    return facts


def _write_student_graph(
    folder: Path,
    subject: ExportInput,
    progress: Progress,
) -> Mapping[str, Any]:
    add_student(folder, subject, progress)
    return _write_graphs(folder, subject, ("student",), progress)


ONNX_FILES = tuple(f"{name}.onnx" for name in ("texture", "deformation", "animate"))
"""Files of the format `onnx` that engines and the repository of a server are made of."""

ROWS = tuple(
    ExportFormat(
        name,
        description,
        ("onnx", "onnxscript", "onnxruntime"),
        _writer(*graphs),
        check_golden,
        playable=True,
        takes_student=True,
        write_student=write_student,
    )
    for name, description, graphs, write_student in (
        (
            "onnx",
            "graphs for ONNX Runtime and every platform that reads ONNX",
            ("texture", "deformation", "animate"),
            _write_student_graph,
        ),
        (
            "player",
            "the smallest folder that plays in every shading: its own arrays and texture.onnx",
            ("texture",),
            add_student,
        ),
    )
)
