"""Verification of an avatar folder against its golden data, on any machine and without torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from imavatar_deploy.avatar_io import AvatarFolder, drift_note, open_avatar
from imavatar_deploy.errors import InputError
from imavatar_deploy.rendering.cpu_renderer import PosedSurface, SurfacePoser
from imavatar_deploy.rendering.student_shading import student_colours
from imavatar_deploy.rendering.workers import Workers
from imavatar_deploy.student import has_student, read_student
from imavatar_deploy.trt.verify import check_engines

from .draw import compare_shadings
from .golden import check_golden, golden_rows, read_golden
from .parity import ParityReport, Tolerance, compare
from .stage_metrics import StageReport


@dataclass(frozen=True)
class VerificationReport:
    """What `verify_avatar` measured."""

    path: Path
    """The avatar folder."""
    files: int
    """How many files are listed in the manifest; all of them are intact."""
    parity: tuple[ParityReport, ...]
    """Each graph, the renderer's own posing and its own student, against the golden data."""
    stages: tuple[StageReport, ...]
    """Images drawn here against the implicit renders in the folder; empty where it has none."""
    engines_not_run: Mapping[str, str]
    """Graph -> why its TensorRT engine cannot run on this machine."""
    drift: str = ""
    """Which tolerances the export was allowed to miss, and why; empty for none."""

    @property
    def checks(self) -> tuple[ParityReport | StageReport, ...]:
        """Everything that was compared."""
        return (*self.parity, *self.stages)

    @property
    def passed(self) -> bool:
        """True when every check is within its tolerance."""
        return not self.problems()

    def missed(self) -> int:
        """How many checks are not within their tolerances."""
        return sum(bool(check.problems()) for check in self.checks)

    def problems(self) -> str:
        """Every miss in one sentence; empty when there is none."""
        return "; ".join(filter(None, (check.problems() for check in self.checks)))


def verify_avatar(avatar: str | Path) -> VerificationReport:
    """Check an avatar folder as `imavatar-verify` does: files, graphs, posing, student and images.

    A miss is reported, not raised: ask `passed` or `problems()`.

    Args:
        avatar: an avatar folder, or the word `sample`.

    Returns:
        The report. PSNR is in dB, angles in degrees; arrays are in the units of the graphs (model
        units, colours in 0..1).

    Raises:
        InputError: a file is missing, damaged or foreign, or the golden data cannot be read.
        MissingDependencyError: the folder has graphs, and onnxruntime is not installed.

    Example:
        >>> from imavatar_deploy.fidelity import verify_avatar
        >>> verify_avatar("sample").passed
        True
    """
    folder = open_avatar(avatar)
    engines, not_run = check_engines(folder.path)
    return VerificationReport(
        path=folder.path,
        files=len(folder.manifest["files"]),
        parity=(
            *check_golden(folder.path),
            check_runtime(folder),
            *check_student(folder),
            *engines,
        ),
        stages=tuple(compare_shadings(folder)),
        engines_not_run=not_run,
        drift=drift_note(folder.manifest),
    )


def check_runtime(folder: AvatarFolder) -> ParityReport:
    """Compare the renderer's own posing and normals with the golden case of `animate.onnx`.

    Raises:
        InputError: the folder has no usable golden case of that name.
    """
    case = read_golden(folder.path).get("animate")
    if case is None or case.inputs.keys() != {"expression", "pose"}:
        raise InputError(f"{folder.path} has no golden case of animate; export the avatar again")
    avatar = folder.avatar
    with Workers() as workers:
        poser = SurfacePoser(avatar, workers)
        frames = [
            [array.T.copy() for array in poser(expression, pose)]
            for expression, pose in zip(case.inputs["expression"], case.inputs["pose"], strict=True)
        ]
    arrays = map(np.stack, zip(*frames, strict=True))
    outputs = dict(zip(PosedSurface._fields, arrays, strict=True))
    return compare("runtime", case.outputs, outputs, case.tolerances)


def check_student(folder: AvatarFolder) -> list[ParityReport]:
    """Compare the student's features and the renderer's own pixel loop with their golden case.

    Raises:
        InputError: the folder has a student and no usable golden case of it, or the reverse.
    """
    case = read_golden(folder.path).get("student")
    if case is None and not has_student(folder):
        return []
    if case is None or case.inputs.keys() != {"feature", "normal", "condition"}:
        raise InputError(
            f"{folder.path} has no golden case of its student; export the avatar again"
        )
    student = read_student(folder)
    outputs = {"feature": student.features[golden_rows(len(student.features))]}
    feature, normal, condition = (case.inputs[name] for name in ("feature", "normal", "condition"))
    with Workers() as workers:
        outputs["rgb"] = student_colours(student, feature, normal, condition, workers)
    reference = {"feature": case.inputs["feature"], **case.outputs}
    tolerances = {"feature": Tolerance(0.0), **case.tolerances}
    return [compare("student loop", reference, outputs, tolerances)]
