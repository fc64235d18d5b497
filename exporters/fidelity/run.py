"""FidelityRun: render and measure the stages of one export, each as soon as its files exist."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any

import numpy as np

from imavatar_deploy.avatar_io import AvatarFolder, as_stored
from imavatar_deploy.fidelity.draw import draw, draw_held_out, held_out_report
from imavatar_deploy.fidelity.held_out_frames import HeldOutFrames, write_held_out
from imavatar_deploy.fidelity.reference_frames import MASK, ReferenceFrames, write_reference
from imavatar_deploy.fidelity.stage_metrics import (
    REFINED,
    WORST_PREFIX,
    FrameImages,
    StageReport,
    Values,
    measure_frames,
    row_of,
    summary,
    value_with_unit,
    worst_first,
    write_tolerances,
)
from imavatar_deploy.progress import Progress
from imavatar_deploy.student import STUDENT_FILE

from ..formats.format import ExportInput
from ..formats.report.format import NAME as REPORT
from ..formats.report.page import COLUMNS, Gallery, HeldOutImages, write_gallery
from ..manifest import licence_report
from .failure_images import Failure, write_failures
from .implicit_reference import ImplicitRenderer, frame_names
from .part_pixels import part_pixels
from .pose_pictures import PosePictures
from .stages import (
    FIDELITY_STAGES,
    FORMAT_STAGES,
    IMPLICIT,
    STUDENT,
    TEXTURE,
    FidelityStage,
    StageInput,
)

BETTER = ("psnr",)
"""Metrics in which a refined student must reach the distilled one on the held-out images."""

Limits = Mapping[str, Mapping[str, float]]
Step = Callable[[str], AbstractContextManager[None]]
"""Announces and times a step, as `ExportReport.step`."""

FAILURE_SIZE = 256
"""Pixels a side of the failure images."""

FAILURE_FRAMES = 3
"""Failure images of a stage. An implicit render takes 5 s on two cores."""


def is_playable(folder: Path) -> bool:
    """Whether the player can render the files in `folder`; it cannot render meshes or scenes."""
    return (folder / TEXTURE).is_file() or (folder / STUDENT_FILE).is_file()


class FidelityRun:
    """Compares the stages of one export, in the order of `FIDELITY_STAGES`.

    The implicit renders, the limits and failure images of every miss are written to `folder`.

    Args:
        folder: the avatar folder that is being written.
        subject: the avatar to export.
        limits: stage -> metric -> limit.
        step: announces and times a step.
        progress: shows how far long work is.
        name: of the avatar, for the page of the format `report`.
    """

    def __init__(
        self,
        folder: Path,
        subject: ExportInput,
        limits: Limits,
        step: Step,
        progress: Progress,
        name: str = "",
    ) -> None:
        self._folder = folder
        self._name = name
        self._limits = limits
        self._step = step
        self._progress = progress
        self._implicit = ImplicitRenderer(
            subject.networks, subject.settings, subject.network_bake.bounds
        )
        with step("implicit renders"):
            avatar = _as_written(folder, subject).avatar
            reference = self._implicit.reference(avatar, progress)
            self._reference = reference.leaving_out(
                part_pixels(avatar, subject.network_bake, reference)
            )
        self._poses: PosePictures | None = None
        if REPORT in subject.settings.formats:
            self._poses = PosePictures(subject, avatar)
        self._names = frame_names(subject.source.edition)
        self._images = {IMPLICIT: self._reference.pictures()}
        self._reports: dict[str, StageReport] = {}
        self._held_out: HeldOutFrames | None = None
        self._held_out_images: dict[str, list[FrameImages]] = {}
        self._failures: list[Failure] = []
        write_reference(folder, self._reference)
        write_tolerances(folder, limits)

    def notes(self) -> list[str]:
        """A sentence about the pixels that the comparison with the implicit avatar leaves out."""
        counts = [int(mask.sum()) for mask in self._reference.left_out]
        shown = sum(int((frame & MASK > 0).sum()) for frame in self._reference.regions)
        if not sum(counts):
            return []
        return [
            f"the comparison with the implicit avatar leaves out {sum(counts):,} pixels of "
            f"{shown:,}, which show the parts of mouth and eyes: the implicit one has no such parts"
        ]

    def compare(self, name: str, subject: ExportInput) -> StageReport:
        """Render and measure one stage; later stages may be compared with its images."""
        report = self._reports[name] = self._compare(name, subject)
        if self._poses is not None and name in self._images and name in COLUMNS:
            with self._step(f"compare {name}"):
                self._draw_poses(self._poses, name, subject)
        return report

    def _draw_poses(self, poses: PosePictures, name: str, subject: ExportInput) -> None:
        """Draw the named poses by a stage that has drawn the reference frames."""
        stage = _stage(STUDENT if name == REFINED else name)
        assert stage is not None  # the names are those of the tables
        inputs = StageInput(subject, _as_written(self._folder, subject), self._reference)
        poses.draw(name, lambda frames: stage.draw(replace(inputs, reference=frames)))

    def write_page(self, subject: ExportInput) -> None:
        """Write the page of the format `report` with the images of every stage so far."""
        if REPORT not in subject.settings.formats:
            return
        avatar, source = subject.bake.avatar, subject.source
        licence = licence_report(
            source.edition, source.provenance, subject.metadata["source_sha256"]
        )
        facts = {
            "Surface": f"{len(avatar.faces):,} faces, {avatar.vertex_count:,} vertices",
            "Head model": licence["head_model"],
            "Licence": licence["conditions"],
            "Use": licence["use"],
            "Data": licence["data"],
            "Source": f"checkpoint with the SHA-256 {licence['source_sha256']}",
            "Made with": subject.metadata["producer"],
        }
        if self._poses is not None:
            with self._step("implicit renders of the named poses"):
                self._poses.draw(
                    IMPLICIT, lambda frames: self._implicit.pictures(frames, self._progress)
                )
        held_out = self._held_out
        gallery = Gallery(
            self._name,
            facts,
            self._names,
            self._images,
            self._reports,
            self._reference.left_out,
            HeldOutImages(held_out.pictures(), self._held_out_images) if held_out else None,
            self._poses.gallery() if self._poses is not None else None,
        )
        with self._step("page of the report"):
            write_gallery(self._folder, gallery, synthetic_mark=subject.settings.synthetic_mark)

    def _compare(self, name: str, subject: ExportInput) -> StageReport:
        stage = _stage(name)
        assert stage is not None  # the names are those of the tables
        inputs = StageInput(subject, _as_written(self._folder, subject), self._reference)
        start = next((name for name in stage.after if name in self._images), stage.after[-1])
        if reason := stage.obstacle(inputs):
            return StageReport(name, start, name, not_run=reason)
        with self._step(f"compare {name}"):
            self._images[name] = stage.draw(inputs)
            values = measure_frames(
                self._images[start],
                self._images[name],
                self._reference.mouths,
                self._reference.left_out if start == IMPLICIT else None,
            )
            report = StageReport(name, start, name, summary(values), self._limits.get(name, {}))
        if not report.misses():
            return report
        with self._step("failure images"):
            self._write_failures(report, stage, inputs, values)
        worst = {miss: worst_first(miss, values)[0] for miss in report.misses()}
        return replace(report, frames={miss: self._names[frame] for miss, frame in worst.items()})

    def hold_out(self, frames: HeldOutFrames, subject: ExportInput) -> None:
        """Set the reference of a refined student, and what the distilled one reaches as its limit.

        Args:
            frames: held-out images; they and the limits are written to the folder.
            subject: the avatar with the distilled student, whose files are in the folder.
        """
        with self._step("compare held-out images"):
            drawn = draw_held_out(_as_written(self._folder, subject), frames)
            distilled = held_out_report(frames, drawn, {})
        self._held_out_images[STUDENT] = drawn
        limits = {name: distilled.measures[name] for name in BETTER}
        self._held_out = frames
        self._limits = {**self._limits, REFINED: {**limits, **self._limits.get(REFINED, {})}}
        write_held_out(self._folder, frames)
        write_tolerances(self._folder, self._limits)

    def compare_refined(self, subject: ExportInput) -> StageReport:
        """Compare the refined student in the folder with the images of `hold_out`."""
        assert self._held_out is not None  # set by `hold_out`
        with self._step("compare held-out images"):
            folder = _as_written(self._folder, subject)
            self._images[REFINED] = draw(folder, self._reference, "student")
            drawn = self._held_out_images[REFINED] = draw_held_out(folder, self._held_out)
            report = held_out_report(self._held_out, drawn, self._limits[REFINED])
            if self._poses is not None:
                self._draw_poses(self._poses, REFINED, subject)
        self._reports[REFINED] = report
        return report

    def _write_failures(
        self,
        report: StageReport,
        stage: FidelityStage,
        inputs: StageInput,
        values: Mapping[str, Values],
    ) -> None:
        """Render the worst frames of a stage again, at least `FAILURE_SIZE` pixels wide."""
        frames = _worst_frames(report.misses(), values)
        views = ReferenceFrames.blank(
            self._reference.expression[frames],
            self._reference.pose[frames],
            self._reference.camera,
            max(FAILURE_SIZE, self._reference.size),
        )
        large = replace(inputs, reference=views)
        before = _stage(STUDENT if report.start == REFINED else report.start)
        reference = before.draw(large) if before else self._implicit.pictures(views, self._progress)
        for frame, first, second in zip(frames, reference, stage.draw(large), strict=True):
            self._failures.append(
                Failure(
                    stage=stage.name,
                    frame=self._names[frame],
                    message=_measurements(report, values, frame),
                    start=report.start,
                    end=report.end,
                    reference=first,
                    export=second,
                    normals=any("normal" in miss for miss in report.misses()),
                )
            )
        write_failures(self._folder, self._failures)


def _stage(name: str) -> FidelityStage | None:
    """The stage of a name; None for one that no table has, such as `implicit`."""
    stages = (*FIDELITY_STAGES, *FORMAT_STAGES)
    return next((stage for stage in stages if stage.name == name), None)


def _worst_frames(misses: list[str], values: Mapping[str, Values]) -> list[int]:
    """At most `FAILURE_FRAMES`: the worst of each missed metric, then the second worst of each."""
    ranks = zip_longest(*(worst_first(miss, values) for miss in misses))
    frames = dict.fromkeys(frame for frame in chain(*ranks) if frame is not None)
    return list(frames)[:FAILURE_FRAMES]


def _measurements(report: StageReport, values: Mapping[str, Values], frame: int) -> str:
    """Values of the missed metrics in one frame, as text."""
    missed = dict.fromkeys(miss.removeprefix(WORST_PREFIX) for miss in report.misses())
    of_frame = {name: values[name][frame] for name in missed if not np.isnan(values[name][frame])}
    return ", ".join(
        f"{row_of(name).title} {value_with_unit(name, of_frame[name])}" for name in of_frame
    )


def _as_written(folder: Path, subject: ExportInput) -> AvatarFolder:
    """The avatar folder as a player would open it now, with arrays in their stored precision."""
    files: dict[str, Any] = {
        path.relative_to(folder).as_posix(): {} for path in folder.rglob("*") if path.is_file()
    }
    return AvatarFolder(
        folder, as_stored(subject.bake.avatar, subject.settings.storage), {"files": files}
    )
