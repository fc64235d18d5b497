"""Refinement of a distilled student on the images of a dataset.

The texture network, and with it the distilled student, has the blur of its training. The same
student, of the same size, is therefore fitted to the pictures themselves. A share of the frames is
held out: they decide when to stop and whether the result is better than the distilled student.
"""

from __future__ import annotations

import copy
import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from imavatar_deploy.arrays import Array, Bool, UInt8
from imavatar_deploy.avatar import Avatar
from imavatar_deploy.conventions import BONES
from imavatar_deploy.dataset import FaceDataset
from imavatar_deploy.errors import InputError
from imavatar_deploy.fidelity.held_out_frames import HeldOutFrames
from imavatar_deploy.model import ImplicitAvatar
from imavatar_deploy.progress import Progress, silent
from imavatar_deploy.student import Student
from imavatar_deploy.tracks import check_edition

from ..fidelity.implicit_reference import RADIUS, mouth_centre
from .fit_colours import ColourFit
from .frame_poses import FramePoses
from .held_out import MIN_FRAMES, ImageError, measure, split_frames
from .options import RefineSettings
from .raster_frames import FaceRegions, RasterFrames, Shots
from .refinable_student import RefinableStudent
from .sheet import comparison_sheet
from .stored_frames import stored_frames

EYE_RADIUS = 0.1
"""Radius of an eye region around the centre of an eyeball, model units (25 mm): lids and brow."""

MIN_AGREEMENT = 0.5
"""Smallest intersection over union of a frame's mask and surface; other frames are left out."""

MIN_SIGHT_SHARE = 0.1
"""Share of the frames that must show a vertex away from outlines for its features to be fitted.

The few pixels of other vertices, such as behind the ears, left stains of the background there.
"""

CHECKS = 6
"""How often the held-out frames are measured."""

POSE_ROUNDS = (1 / 6, 1 / 3, 1 / 2)
"""Shares of the steps after which the poses of the frames are refined."""

HELD_OUT_POSE_STEPS = 3
"""Steps in which the poses of the held-out frames are refined, for the second measurement."""


@dataclass(frozen=True)
class RefineResult:
    """A refined student and what was measured."""

    student: Student
    """The refined student, whether it is better or not."""
    better: bool
    """Whether it is better than the distilled one on the held-out frames."""
    facts: dict[str, Any]
    """JSON-ready: frames, steps, seconds, and measurements on the held-out frames."""
    note: str
    """The result in a sentence."""
    held_out: HeldOutFrames
    """Some of the held-out frames, in the size of the fidelity report."""
    sheet: UInt8[Array, "H W 3"]
    """Held-out frames: the picture, the distilled and the refined student."""


def open_pictures(settings: RefineSettings, edition: str) -> FaceDataset:
    """Open the dataset of a refinement, and check it before the long work.

    Raises:
        InputError: the dataset cannot be read, or has too few frames.
        EditionMismatchError: it was tracked with another head model than the avatar's.
    """
    paths = list(settings.dataset)
    dataset = FaceDataset.open(paths, size=settings.size, frames=settings.frames)
    check_edition(dataset.track.edition, edition)
    if len(dataset) < MIN_FRAMES:
        raise InputError(
            f"a refinement needs {MIN_FRAMES} frames or more, {paths[0]} has {len(dataset)}: add "
            "frames, or leave --refine out"
        )
    native = dataset.picture_size
    if native < settings.size:
        return FaceDataset.open(paths, size=native, frames=settings.frames)
    return dataset


def refine_student(
    source: ImplicitAvatar,
    avatar: Avatar,
    student: Student,
    settings: RefineSettings,
    *,
    stored_size: int,
    held: Bool[Array, " V"] | None = None,
    progress: Progress = silent,
) -> RefineResult:
    """Fit a distilled student to the pictures of a dataset.

    Args:
        source: the implicit avatar.
        avatar: its baked avatar.
        student: the distilled student.
        settings: dataset, steps and so on.
        stored_size: side in pixels of the held-out frames that the avatar folder keeps.
        held: vertices whose features stay as they are distilled: those that are filled, whose
            colours continue the surface around them; none by default.
        progress: shows how far the work is.

    Raises:
        InputError: the dataset cannot be read or shows another subject.
        EditionMismatchError: it was tracked with another head model.
    """
    start = time.perf_counter()
    dataset = open_pictures(settings, source.edition)
    training, held_out = split_frames(len(dataset), dataset.size)
    regions = FaceRegions(
        mouth_centre(source.head), RADIUS, avatar.joints_rest[BONES.index("eyeL") :], EYE_RADIUS
    )
    work = _Refinement(avatar, regions, settings, held, progress)
    size = dataset.size
    loaded = [Shots.load(dataset, rows, progress) for rows in (held_out, training)]
    del dataset  # its cache holds up to 1 GB of decoded pictures
    (held_shots, held_frames), (shots, frames) = map(work.draw, loaded)
    del loaded
    distilled = measure(RefinableStudent(student), held_frames)
    refined, error = work.fit(RefinableStudent(student), shots, frames, held_frames)
    better = error.is_better_than(distilled)
    facts: dict[str, Any] = {
        "frames": len(shots),
        "held_out_frames": len(held_shots),
        "frames_left_out": len(training) + len(held_out) - len(shots) - len(held_shots),
        "picture_size": size,
        "steps": settings.steps,
        "seed": settings.seed,
        "kept": better,
        "distilled": _rounded(distilled),
        "refined": _rounded(error),
    }
    if settings.poses:
        posed = work.with_own_poses(refined, held_shots, held_frames)
        facts["distilled_with_refined_poses"] = _rounded(measure(RefinableStudent(student), posed))
        facts["refined_with_refined_poses"] = _rounded(measure(refined, posed))
    facts["seconds"] = round(time.perf_counter() - start, 1)
    return RefineResult(
        refined.to_student(),
        better,
        facts,
        _note(distilled, error, len(held_shots), better),
        stored_frames(avatar, held_shots, regions, stored_size, progress),
        comparison_sheet(
            held_shots, [(RefinableStudent(student), held_frames), (refined, held_frames)]
        ),
    )


@dataclass(frozen=True)
class _Refinement:
    """What the parts of one refinement share."""

    avatar: Avatar
    regions: FaceRegions
    settings: RefineSettings
    held: Bool[Array, " V"] | None
    progress: Progress

    def draw(self, shots: Shots) -> tuple[Shots, RasterFrames]:
        """Draw the surface in the frames; leave out those in which it is not where the mask is.

        Raises:
            InputError: no frame is left.
        """
        frames = RasterFrames.draw(self.avatar, shots, self.regions, self.progress)
        usable = frames.agreement >= MIN_AGREEMENT
        if not usable.any():
            raise InputError(
                "the avatar's surface and the masks of the dataset nowhere agree (at most "
                f"{100 * frames.agreement.max(initial=0):.0f} % of their pixels): give --refine "
                "the dataset that the avatar was trained on"
            )
        if usable.all():
            return shots, frames
        shots = shots.select(np.flatnonzero(usable))
        return shots, RasterFrames.draw(self.avatar, shots, self.regions, self.progress)

    def fit(
        self,
        student: RefinableStudent,
        shots: Shots,
        frames: RasterFrames,
        held_out: RasterFrames,
    ) -> tuple[RefinableStudent, ImageError]:
        """Fit the student; return its best state on the held-out frames, and its error there."""
        steps = self.settings.steps
        held = frames.sight_shares(self.avatar.vertex_count) < MIN_SIGHT_SHARE
        if self.held is not None:
            held |= self.held
        fit = ColourFit(student, steps, self.settings.seed, held=held)
        poses = FramePoses(self.avatar, shots)
        rounds = {int(share * steps) for share in POSE_ROUNDS} if self.settings.poses else set()
        checks = {round(steps * (check + 1) / CHECKS) for check in range(CHECKS)}
        best: tuple[RefinableStudent, ImageError] | None = None
        with self.progress("refining the student", steps) as advance:
            for step in range(1, steps + 1):
                fit.step(frames)
                advance(1)
                if step in checks:
                    error = measure(student, held_out)
                    if best is None or error.l1 < best[1].l1:
                        best = copy.deepcopy(student), error
                if step in rounds:
                    poses.step(student, frames, silent)
                    frames = RasterFrames.draw(self.avatar, poses.shots, self.regions, silent)
        assert best is not None  # the last step is a check
        return best

    def with_own_poses(
        self, student: RefinableStudent, shots: Shots, frames: RasterFrames
    ) -> RasterFrames:
        """Refine the poses of frames with a finished student; return the surface drawn in them."""
        poses = FramePoses(self.avatar, shots)
        for _ in range(HELD_OUT_POSE_STEPS):
            poses.step(student, frames, self.progress)
            frames = RasterFrames.draw(self.avatar, poses.shots, self.regions, silent)
        return frames


def _rounded(error: ImageError) -> dict[str, float | None]:
    """JSON-ready values; None where a region is not in view."""
    return {
        name: None if np.isnan(value) else round(value, 5)
        for name, value in error._asdict().items()
    }


def _note(distilled: ImageError, refined: ImageError, frames: int, better: bool) -> str:
    change = (
        f"on {frames} held-out frames its L1 is {refined.l1:.4f} instead of {distilled.l1:.4f} and "
        f"its PSNR {refined.psnr:.1f} dB instead of {distilled.psnr:.1f} dB"
    )
    if better:
        return f"the student is refined on images: {change}"
    return (
        f"the refinement is not better and was left out; the student stays as it is distilled: "
        f"{change}. Too few frames and an inexact tracking are likely causes"
    )
