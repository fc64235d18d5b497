"""Choices: what a user says about a stream's motion, and the performance that a source becomes by it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.atomic import ensure_writable
from imavatar_deploy.avatar import Avatar
from imavatar_deploy.errors import ImavatarError, InputError, UsageError
from imavatar_deploy.retarget import Retarget, find_retarget

from ..sources import LiveSource, Source
from ..sources.observation import WEIGHTS
from .drivers import Alter, LiveDriver, TrackDriver
from .motion.calibration import read_neutral
from .motion.face_state import face_of
from .motion.pipeline import MotionPipeline, adjusted
from .motion.playback import Smoothing
from .motion.settings import MotionSettings, read_adjustment

Float = NDArray[np.float32]


@dataclass(frozen=True)
class LiveConfig:
    """How a source's faces become this avatar's; the defaults are those of the command line."""

    latency: float | None = None
    """See `motion.settings.Settings`, as of `dropout`, `head`."""
    smoothing: Smoothing | None = field(default_factory=Smoothing)
    dropout: str = "relax"
    head: str = "on"
    calibrate: float | None = None
    """Seconds at the start that show the face at rest; None: it is not looked for."""
    neutral: Path | None = None
    """File of the face at rest: read where it is there and no other is looked for, written where one was found."""
    adjustments: tuple[str, ...] = ()
    """See `motion.adjust.read_adjustment`."""
    map_file: str | None = None
    """See `imavatar_deploy.retarget.find_retarget`, as of `any_edition`."""
    any_edition: bool = False

    def open_driver(self, source: Source | LiveSource, avatar: Avatar) -> LiveDriver | TrackDriver:
        """What an avatar does by this source.

        Raises:
            EditionMismatchError: the source speaks of another head model.
            InputError: the map or the neutral face cannot be read.
            UsageError: an adjustment that cannot be.
        """
        if isinstance(source, LiveSource):
            return self._streamed(source, avatar)
        self._refuse_for_recordings()
        retarget = self._retarget(source.edition, avatar)
        notes = [
            *source.notes,
            *([] if source.edition in (None, avatar.edition) else [retarget.note]),
        ]
        return TrackDriver(source, self._altered(retarget, self._settings(avatar)), notes)

    def _refuse_for_recordings(self) -> None:
        """A recording is played as it is; what is for streams alone would do nothing."""
        default = LiveConfig()
        names = {
            "latency": "--latency",
            "smoothing": "--smoothing",
            "dropout": "--on-loss",
            "calibrate": "--calibrate",
        }
        if given := [
            option
            for name, option in names.items()
            if getattr(self, name) != getattr(default, name)
        ]:
            raise UsageError(
                f"{', '.join(given)} is of a tracker's stream, and a recording is played as it is"
            )
        if self.neutral and not self.neutral.exists():
            raise InputError(
                f"there is no neutral face {str(self.neutral)!r}: a live run with --calibrate makes one"
            )

    def _streamed(self, source: LiveSource, avatar: Avatar) -> LiveDriver:
        known, refused = self._retargets(source.vocabulary, avatar)
        settings = self._settings(avatar, source.fps)
        motion = MotionPipeline(known, settings, source.inbox.counts)
        if self.calibrate is not None or (self.neutral and settings.neutral is None):
            motion.recalibrate()
            if self.neutral:
                ensure_writable(self.neutral)
        foreign = source.vocabulary not in (None, avatar.edition)
        notes = [source.listening, *(retarget.note for retarget in known.values() if foreign)]
        return LiveDriver(source, motion, refused, notes)

    def keep(self, performance: LiveDriver | TrackDriver) -> str:
        """Write the face at rest, where one was found and a file was named for it; a line that says so.

        Raises:
            UsageError: the file cannot be written.
        """
        if not isinstance(performance, LiveDriver):
            return ""
        motion = performance.motion
        if motion.calibrating:
            seconds = self.calibrate or MotionSettings.calibration
            return f"no face at rest was found: it takes {seconds:g} seconds of faces, which did not come"
        if motion.neutral is None:
            return ""
        if self.neutral is None:
            return "counted from the face at rest; --neutral FILE would keep it"
        if motion.neutral is motion.given:
            return f"counted from the face at rest of {self.neutral}"
        motion.neutral.write(self.neutral)
        return f"counted from the face at rest, now kept in {self.neutral}"

    def _settings(self, avatar: Avatar, fps: float = MotionSettings.fps) -> MotionSettings:
        known = self.neutral is not None and self.neutral.exists() and self.calibrate is None
        return MotionSettings(
            latency=self.latency,
            fps=fps,
            smoothing=self.smoothing,
            dropout=self.dropout,
            head=self.head,
            adjustment=read_adjustment(self.adjustments, avatar.expression_names),
            neutral=read_neutral(self.neutral) if known and self.neutral else None,
            calibration=self.calibrate or MotionSettings.calibration,
        )

    def _altered(self, retarget: Retarget, settings: MotionSettings) -> Alter:
        """What a recording goes through; one that is to be shown as it is keeps every bit."""
        if not self.adjustments and settings.neutral is None and self.head == "on":
            return retarget

        def altered(expression: Float, pose: Float) -> tuple[Float, Float]:
            own = adjusted(face_of(*retarget(expression, pose)), settings, settings.neutral)
            limited = settings.adjustment.limited(own.expression, own.pose())
            return limited[0].astype(np.float32), limited[1].astype(np.float32)

        return altered

    def _retarget(self, vocabulary: str | None, avatar: Avatar) -> Retarget:
        return find_retarget(
            vocabulary,
            avatar.edition,
            avatar.expression_names,
            map_file=self.map_file,
            any_edition=self.any_edition,
        )

    def _retargets(
        self, vocabulary: str | None, avatar: Avatar
    ) -> tuple[Mapping[str, Retarget], Mapping[str, ImavatarError]]:
        """How to understand each vocabulary that the stream may speak, and why some are not understood."""
        known: dict[str, Retarget] = {}
        refused: dict[str, ImavatarError] = {}
        for name in [vocabulary] if vocabulary else WEIGHTS:
            try:
                known[name] = self._retarget(name, avatar)
            except ImavatarError as error:
                refused[name] = error
        if not known:
            raise next(iter(refused.values()))
        return known, refused
