"""Hop: one stage of the fidelity report, and the table of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from imavatar_deploy.avatar_io import AvatarFolder
from imavatar_deploy.conventions import CONDITION_SIZE
from imavatar_deploy.errors import MissingDependencyError
from imavatar_deploy.fidelity.draw import draw
from imavatar_deploy.fidelity.reference_frames import ReferenceFrames
from imavatar_deploy.fidelity.stage_metrics import FrameImages
from imavatar_deploy.onnx_session import open_session
from imavatar_deploy.student import has_student
from imavatar_deploy.trt.driver import probe_driver
from imavatar_deploy.trt.preflight import preflight
from imavatar_deploy.trt.session import EngineSession
from imavatar_deploy.trt.sidecar import Sidecar, plan_path, read_sidecars

from ..bake import Bake
from ..formats.format import ExportInput
from ..formats.onnx_modules import BakedTexture

# TorchSession: the baked texture network in torch behind the face of ONNX Runtime's session.


class _Value(NamedTuple):
    name: str
    shape: tuple[Any, ...]


class TorchSession:
    """What draws the hop `baked`: nothing has been exported yet, all else is the player's own path."""

    def __init__(self, subject: ExportInput) -> None:
        code = subject.bake.code
        self._network = BakedTexture(subject.source.texture, code.decode, code.mean)
        self._bake: Bake = subject.bake
        self._device = subject.source.canonical_pose.device

    def get_inputs(self) -> tuple[_Value, ...]:
        """As ONNX Runtime's."""
        code = self._bake.avatar.texture_code.shape[1]
        return (
            _Value("code", ("N", code)),
            _Value("normal", ("N", 3)),
            _Value("condition", (1, CONDITION_SIZE)),
        )

    def get_outputs(self) -> tuple[_Value, ...]:
        """As ONNX Runtime's."""
        return (_Value("rgb", ("N", 3)),)

    def run(
        self, names: Sequence[str] | None, feed: Mapping[str, NDArray[Any]]
    ) -> list[NDArray[Any]]:
        """As ONNX Runtime's."""
        arrays = [np.ascontiguousarray(feed[value.name]) for value in self.get_inputs()]
        given = [torch.from_numpy(array).to(self._device) for array in arrays]
        with torch.inference_mode():
            return [self._network(*given).cpu().numpy()]


TEXTURE, ANIMATE = "texture.onnx", "animate.onnx"

IMPLICIT = "implicit"
"""What the first stage is compared with."""


@dataclass(frozen=True)
class StageInput:
    """What hops are drawn from."""

    subject: ExportInput
    folder: AvatarFolder
    """What has been written so far, its arrays as they will be stored."""
    reference: ReferenceFrames


@dataclass(frozen=True)
class FidelityStage:
    """How one stage's pictures come about."""

    name: str
    after: tuple[str, ...]
    """What it is held against: the first of these hops that ran, or `implicit`."""
    draw: Callable[[StageInput], list[FrameImages]]
    obstacle: Callable[[StageInput], str] = lambda scene: ""
    """Why it cannot run; empty when it can."""
    advice: str = ""
    """The likely cause of a miss, and what to do."""


def _baked(scene: StageInput) -> list[FrameImages]:
    return draw(scene.folder, scene.reference, "pixel", session=TorchSession(scene.subject))


def _onnx(scene: StageInput) -> list[FrameImages]:
    """The graphs alone, where the format has them all."""
    path = scene.folder.path
    animate = open_session(path / ANIMATE) if (path / ANIMATE).is_file() else None
    return draw(
        scene.folder,
        scene.reference,
        "pixel",
        session=open_session(path / TEXTURE),
        animate=animate,
    )


def _no_graph(scene: StageInput) -> str:
    return "" if (scene.folder.path / TEXTURE).is_file() else f"no {TEXTURE} among these formats"


def _sidecar(path: Path) -> Sidecar | None:
    return next(
        (sidecar for sidecar in read_sidecars(path) if sidecar.graph == Path(TEXTURE).stem), None
    )


def _tensorrt(scene: StageInput) -> list[FrameImages]:
    path, sidecar = scene.folder.path, _sidecar(scene.folder.path)
    assert sidecar is not None  # `_no_engine` has looked
    with closing(EngineSession(plan_path(path, sidecar.graph).read_bytes(), sidecar)) as session:
        return draw(scene.folder, scene.reference, "pixel", session=session)


def _no_engine(scene: StageInput) -> str:
    sidecar = _sidecar(scene.folder.path)
    if sidecar is None:
        return "no engine among these formats"
    try:
        return preflight(scene.folder.path, sidecar, probe_driver().devices[0]) or ""
    except MissingDependencyError as error:
        return str(error).partition(";")[0]


def _student(scene: StageInput) -> list[FrameImages]:
    return draw(scene.folder, scene.reference, "student")


def _no_student(scene: StageInput) -> str:
    return "" if has_student(scene.folder) else "no student among these formats"


FIDELITY_STAGES = (
    FidelityStage(
        "baked",
        (IMPLICIT,),
        _baked,
        advice="A likely cause is a training whose surface grew outside its masks, or is still "
        "rough: train longer, or with another seed or preset",
    ),
    FidelityStage(
        "onnx",
        ("baked",),
        _onnx,
        _no_graph,
        advice="The graphs compute something else than the networks: try other versions of onnx "
        "and onnxruntime, and report it",
    ),
    FidelityStage(
        "tensorrt",
        ("onnx",),
        _tensorrt,
        _no_engine,
        advice="A likely cause is half precision: --trt-precision fp32",
    ),
    FidelityStage(
        "student",
        ("onnx", "baked"),
        _student,
        _no_student,
        advice="A likely cause is a student that was trained too little: more --student-steps or a "
        "wider --student, or --no-student",
    ),
)
"""Every stage, in order. What is judged in seconds comes before the student's training."""
