"""FidelityReport: what an export measured of an avatar, read from the manifest of its folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from imavatar_deploy.avatar_io import drift_note, open_avatar
from imavatar_deploy.errors import InputError, excerpt

from .parity import Difference, FidelityMetric, ParityReport, Tolerance
from .stage_metrics import StageReport


@dataclass(frozen=True)
class FidelityReport:
    """What an export measured: images stage by stage, and arrays graph by graph."""

    stages: tuple[StageReport, ...]
    """From the implicit render to the baked mesh, ONNX Runtime, TensorRT and the student; empty for
    avatars of formats that the player does not draw."""
    parity: tuple[ParityReport, ...]
    """Each graph, and the student, against the networks."""
    drift: str = ""
    """Which tolerances are missed and why the avatar was written all the same; empty for none."""
    surface: Mapping[str, Any] = field(default_factory=dict)
    """Measurements of the extraction and the bake; lengths in model units."""
    student: Mapping[str, Any] = field(default_factory=dict)
    """How the student was trained; empty where there is none."""
    refinement: Mapping[str, Any] = field(default_factory=dict)
    """The student before and after its refinement, on held-out images; empty without one."""
    losses_mm: Mapping[str, float] = field(default_factory=dict)
    """What the files cannot show by their format: the largest distance of a vertex, millimetres."""
    losses_rgb: Mapping[str, float] = field(default_factory=dict)
    """What the files cannot show of the colours: the mean error of a colour channel, 0..1."""
    notes: tuple[str, ...] = ()
    """Further remarks of the export, a sentence each."""

    @property
    def passed(self) -> bool:
        """True when nothing missed its tolerance."""
        return not self.problems()

    def problems(self) -> str:
        """Every miss in one sentence; empty when there is none."""
        reports: tuple[ParityReport | StageReport, ...] = (*self.parity, *self.stages)
        return "; ".join(filter(None, (report.problems() for report in reports)))

    def stage(self, name: str) -> StageReport | None:
        """The stage of this name (such as `baked` or `student`), or None."""
        return next((stage for stage in self.stages if stage.name == name), None)


def read_fidelity(avatar: str | Path) -> FidelityReport:
    """Read the fidelity report that an export left in an avatar folder.

    Args:
        avatar: an avatar folder, or the word `sample`. Its files are checked against their hashes.

    Returns:
        The report; angles are in degrees, PSNR in dB.

    Raises:
        InputError: the folder or its report cannot be read.

    Example:
        >>> from imavatar_deploy.fidelity import read_fidelity
        >>> read_fidelity("sample").stage("student").measures["psnr"]  # dB
        38.56662
    """
    folder = open_avatar(avatar)
    try:
        return fidelity_of(folder.manifest)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise InputError(
            f"{folder.path} has no usable fidelity report ({excerpt(repr(error))}); "
            "export the avatar again"
        ) from error


def fidelity_of(manifest: Mapping[str, Any]) -> FidelityReport:
    """The report in a manifest, as `ExportReport.as_dict` wrote it.

    Raises:
        KeyError, TypeError, AttributeError, ValueError: it is incomplete or malformed.
    """
    written = manifest["fidelity"]
    return FidelityReport(
        stages=tuple(map(_stage, written_stages(written))),
        parity=tuple(map(_parity, written["parity"])),
        drift=drift_note(manifest),
        surface=dict(written["surface"]),
        student=dict(written.get("student", {})),
        refinement=dict(written.get("refinement", {})),
        losses_mm=dict(written.get("losses_mm", {})),
        losses_rgb=dict(written.get("losses_rgb", {})),
        notes=tuple(written.get("notes", ())),
    )


def written_stages(fidelity: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the stages of a report as `ExportReport.as_dict` wrote it, by their present names.

    Until version 0.2 the list was called `waterfall`, and the name of a stage `hop`.

    Raises:
        KeyError, TypeError, ValueError: the report is malformed.
    """
    if "stages" in fidelity:
        return [dict(row) for row in fidelity["stages"]]
    return [
        {"stage": row["hop"], **{key: row[key] for key in row if key != "hop"}}
        for row in fidelity.get("waterfall", ())
    ]


def _stage(written: Mapping[str, Any]) -> StageReport:
    """Inverse of `StageReport.as_dict`."""
    return StageReport(
        written["stage"],
        written["from"],
        written["to"],
        dict(written.get("measures", {})),
        dict(written.get("limits", {})),
        written.get("not_run", ""),
        dict(written.get("worst_frames", {})),
    )


def _parity(written: Mapping[str, Any]) -> ParityReport:
    """Inverse of `ParityReport.as_dict`."""
    differences = tuple(
        Difference(
            name,
            tuple(row["shape"]),
            row["largest"],
            row["mean"],
            Tolerance(row["absolute"], row["relative"]),
            row.get("problem", ""),
        )
        for name, row in written["arrays"].items()
    )
    frames = tuple(
        FidelityMetric(
            name, row["frames"], row["psnr"], row["worst"], row["least"], row.get("problem", "")
        )
        for name, row in written.get("frames", {}).items()
    )
    return ParityReport(written["subject"], differences, frames)
