"""FidelityStage: one stage of the fidelity report; and the table of stages."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from imavatar_deploy.arrays import Array, Shaped
from imavatar_deploy.avatar_io import AvatarFolder
from imavatar_deploy.conventions import CONDITION_SIZE
from imavatar_deploy.errors import MissingDependencyError
from imavatar_deploy.fidelity.draw import draw
from imavatar_deploy.fidelity.reference_frames import ReferenceFrames
from imavatar_deploy.fidelity.stage_metrics import BROWSER, REFINED, FrameImages
from imavatar_deploy.onnx_session import open_session
from imavatar_deploy.student import has_student
from imavatar_deploy.trt.driver import probe_driver
from imavatar_deploy.trt.preflight import preflight
from imavatar_deploy.trt.session import EngineSession
from imavatar_deploy.trt.sidecar import Sidecar, plan_path, read_sidecars

from ..bake import Bake
from ..formats.format import ExportInput
from ..formats.onnx_modules import BakedTexture
from ..formats.web.frames import browser_obstacle, draw_in_browser

TEXTURE = "texture.onnx"
WEB = "web"
ANIMATE = "animate.onnx"

STUDENT = "student"
"""Name of the stage that draws the student, distilled or refined, in the folder."""

IMPLICIT = "implicit"
"""Name of the reference of the first stage."""


class _Value(NamedTuple):
    name: str
    shape: tuple[Any, ...]


class TorchSession:
    """The baked texture network in torch, with the interface of an ONNX Runtime session.

    It renders the stage `baked`, before a graph is exported; all else is the player's renderer.
    """

    def __init__(self, subject: ExportInput) -> None:
        code = subject.network_bake.code
        self._network = BakedTexture(subject.networks.texture, code.decode, code.mean)
        self._bake: Bake = subject.network_bake
        self._device = subject.networks.canonical_pose.device

    def get_inputs(self) -> tuple[_Value, ...]:
        """Names and shapes of the inputs, as ONNX Runtime returns them."""
        code = self._bake.avatar.texture_code.shape[1]
        return (
            _Value("code", ("N", code)),
            _Value("normal", ("N", 3)),
            _Value("condition", (1, CONDITION_SIZE)),
        )

    def get_outputs(self) -> tuple[_Value, ...]:
        """Names and shapes of the outputs, as ONNX Runtime returns them."""
        return (_Value("rgb", ("N", 3)),)

    def run(
        self, names: Sequence[str] | None, feed: Mapping[str, Shaped[Array, "..."]]
    ) -> list[Shaped[Array, "..."]]:
        """Run the network on named inputs."""
        arrays = [np.ascontiguousarray(feed[value.name]) for value in self.get_inputs()]
        inputs = [torch.from_numpy(array).to(self._device) for array in arrays]
        with torch.inference_mode():
            return [self._network(*inputs).cpu().numpy()]


@dataclass(frozen=True)
class StageInput:
    """What the images of a stage are rendered from."""

    subject: ExportInput
    folder: AvatarFolder
    """The files written so far, with the arrays as they will be stored."""
    reference: ReferenceFrames


@dataclass(frozen=True)
class FidelityStage:
    """One stage of the fidelity report: how its images are rendered and compared."""

    name: str
    after: tuple[str, ...]
    """Its reference: the first of these stages that ran, or `implicit`."""
    draw: Callable[[StageInput], list[FrameImages]]
    """Renders the reference frames."""
    obstacle: Callable[[StageInput], str] = lambda inputs: ""
    """Why the stage cannot run; empty when it can."""
    advice: str = ""
    """The likely cause of a miss, and what to do."""


def _draw_baked(inputs: StageInput) -> list[FrameImages]:
    return draw(inputs.folder, inputs.reference, "pixel", session=TorchSession(inputs.subject))


def _onnx(inputs: StageInput) -> list[FrameImages]:
    """Images from the graphs; without an animation graph, the player's own posing is used."""
    path = inputs.folder.path
    animate = open_session(path / ANIMATE) if (path / ANIMATE).is_file() else None
    return draw(
        inputs.folder,
        inputs.reference,
        "pixel",
        session=open_session(path / TEXTURE),
        animate=animate,
    )


def _no_graph(inputs: StageInput) -> str:
    return "" if (inputs.folder.path / TEXTURE).is_file() else f"no {TEXTURE} among these formats"


def _sidecar(path: Path) -> Sidecar | None:
    return next(
        (sidecar for sidecar in read_sidecars(path) if sidecar.graph == Path(TEXTURE).stem), None
    )


def _tensorrt(inputs: StageInput) -> list[FrameImages]:
    path = inputs.folder.path
    sidecar = _sidecar(path)
    assert sidecar is not None  # checked by `_no_engine`
    with closing(EngineSession(plan_path(path, sidecar.graph).read_bytes(), sidecar)) as session:
        return draw(inputs.folder, inputs.reference, "pixel", session=session)


def _no_engine(inputs: StageInput) -> str:
    sidecar = _sidecar(inputs.folder.path)
    if sidecar is None:
        return "no engine among these formats"
    try:
        return preflight(inputs.folder.path, sidecar, probe_driver().devices[0]) or ""
    except MissingDependencyError as error:
        return str(error).partition(";")[0]


def _student(inputs: StageInput) -> list[FrameImages]:
    return draw(inputs.folder, inputs.reference, "student")


def _no_student(inputs: StageInput) -> str:
    return "" if has_student(inputs.folder) else "no student among these formats"


def _browser(inputs: StageInput) -> list[FrameImages]:
    return draw_in_browser(inputs.folder.path / WEB, inputs.reference)


def _no_browser(inputs: StageInput) -> str:
    return browser_obstacle()


FIDELITY_STAGES = (
    FidelityStage(
        "baked",
        (IMPLICIT,),
        _draw_baked,
        advice="A likely cause is training whose surface grew outside its masks, or is still "
        "rough: train longer, or with another seed or preset",
    ),
    FidelityStage(
        "onnx",
        ("baked",),
        _onnx,
        _no_graph,
        advice="The graphs do not compute what the networks compute: try other versions of onnx "
        "and onnxruntime, and report the problem",
    ),
    FidelityStage(
        "tensorrt",
        ("onnx",),
        _tensorrt,
        _no_engine,
        advice="A likely cause is half precision: trt.precision='fp32' (--trt-precision fp32)",
    ),
    FidelityStage(
        STUDENT,
        ("onnx", "baked"),
        _student,
        _no_student,
        advice="A likely cause is a student with too little training: raise student.steps "
        "(--student-steps), widen student.width (--student), or leave it out with student=None "
        "(--no-student)",
    ),
)
"""The stages of every export, in order. Stages that take seconds come before the student's
training."""

FORMAT_STAGES = (
    FidelityStage(
        BROWSER,
        (REFINED, STUDENT),
        _browser,
        _no_browser,
        advice="The page does not draw what the player draws: try another version of the browser, "
        "and report the problem",
    ),
)
"""The stages of single formats, which `ExportFormat.stage` names."""
