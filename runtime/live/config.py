"""LiveConfig: how a source's faces become the avatar's, and the driver that a source gets by it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from imavatar_deploy.arrays import Array, Float32
from imavatar_deploy.atomic import ensure_writable
from imavatar_deploy.avatar import Avatar
from imavatar_deploy.errors import ImavatarError, InputError, UsageError
from imavatar_deploy.retarget import Retarget, find_retarget

from ..sources import LiveSource, Source
from ..sources.observation import WEIGHTS
from .drivers import Alter, LiveDriver, TrackDriver
from .motion.calibration import read_neutral
from .motion.face_state import face_of
from .motion.pipeline import MotionPipeline, adjust
from .motion.playback import Smoothing
from .motion.settings import MotionSettings, read_adjustment


@dataclass(frozen=True)
class LiveConfig:
    """Options of a tracker's stream. The defaults are those of the command line.

    Raises:
        UsageError: a value of a wrong type. Ranges and names are checked by `open_driver`.
    """

    latency: float | None = None
    """Seconds between a face and its display; None: one frame of the source."""
    smoothing: Smoothing | None = field(default_factory=Smoothing)
    """The One-Euro filter; None: none."""
    dropout: str = "relax"
    """What is shown while no packets arrive: a row of `motion.DROPOUTS`, the table of
    `--on-loss`."""
    head: str = "on"
    """What the head's rotation does, a row of `motion.HEADS`."""
    calibrate: float | None = None
    """Seconds at the start that show the face at rest; None: no calibration."""
    neutral: Path | None = None
    """File of the face at rest. It is read where it exists and `calibrate` is None, else written by
    the calibration."""
    adjustments: tuple[str, ...] = ()
    """Gains and limits, see `motion.read_adjustment`."""
    map_file: str | None = None
    """Map to the avatar's head model, see `imavatar_deploy.retarget.find_retarget`."""
    any_edition: bool = False
    """Play codes of another head model as they are."""

    def __post_init__(self) -> None:
        for name in ("latency", "calibrate"):
            seconds = getattr(self, name)
            if seconds is not None and not isinstance(seconds, float | int):
                raise UsageError(f"{name} must be a number of seconds or None, got {seconds!r}")
        smoothing: Any = self.smoothing
        if smoothing is not None and not isinstance(smoothing, Smoothing):
            raise UsageError(f"smoothing must be a Smoothing or None, got {smoothing!r}")
        neutral: Any = self.neutral
        if neutral is not None and not isinstance(neutral, str | Path):
            raise UsageError(f"neutral must be a path or None, got {neutral!r}")
        object.__setattr__(self, "neutral", None if neutral is None else Path(neutral))
        adjustments: Any = self.adjustments
        if isinstance(adjustments, str):
            raise UsageError(
                f"adjustments must be a tuple of texts, as ({adjustments!r},), got a str"
            )

    def open_driver(self, source: Source | LiveSource, avatar: Avatar) -> LiveDriver | TrackDriver:
        """Return the driver of an avatar by a source.

        Raises:
            EditionMismatchError: the source is of another head model.
            InputError: the map or the neutral face cannot be read.
            UsageError: an adjustment cannot be read, or an option does not apply to a recording.
        """
        if isinstance(source, LiveSource):
            return self._live_driver(source, avatar)
        self._refuse_for_recordings()
        retarget = self._retarget(source.edition, avatar)
        notes = [
            *source.notes,
            *([] if source.edition in (None, avatar.edition) else [retarget.note]),
        ]
        return TrackDriver(source, self._alter(retarget, self._settings(avatar)), notes)

    def _refuse_for_recordings(self) -> None:
        """Reject options that apply to streams alone."""
        default = LiveConfig()
        names = {
            "latency": "--latency",
            "smoothing": "--smoothing",
            "dropout": "--on-loss",
            "calibrate": "--calibrate",
        }
        if refused := [
            option
            for name, option in names.items()
            if getattr(self, name) != getattr(default, name)
        ]:
            raise UsageError(
                f"{', '.join(refused)} applies to a tracker's stream, and a recording is played as "
                "it is; leave it out"
            )
        if self.neutral and not self.neutral.exists():
            raise InputError(
                f"there is no neutral face {str(self.neutral)!r}: a live run with --calibrate "
                "makes one"
            )

    def _live_driver(self, source: LiveSource, avatar: Avatar) -> LiveDriver:
        retargets, unsupported = self._retargets(source.vocabulary, avatar)
        settings = self._settings(avatar, source.fps, source.local_clock)
        motion = MotionPipeline(retargets, settings, source.inbox.counts)
        if self.calibrate is not None or (self.neutral and settings.neutral is None):
            motion.recalibrate()
            if self.neutral:
                ensure_writable(self.neutral)
        foreign = source.vocabulary not in (None, avatar.edition)
        notes = [source.listening, *(retarget.note for retarget in retargets.values() if foreign)]
        return LiveDriver(source, motion, unsupported, notes)

    def keep(self, driver: LiveDriver | TrackDriver) -> str:
        """Write the neutral face that a calibration measured, if any; return a line for the user.

        Raises:
            UsageError: the file cannot be written.
        """
        if not isinstance(driver, LiveDriver):
            return ""
        motion = driver.motion
        if motion.calibrating:
            seconds = self.calibrate or MotionSettings.calibration
            return (
                f"no face at rest was found: it takes {seconds:g} seconds of faces, and fewer came"
            )
        if motion.neutral is None:
            return ""
        if self.neutral is None:
            return "faces are relative to the face at rest; --neutral FILE stores it"
        if motion.neutral is motion.initial_neutral:
            return f"faces are relative to the face at rest in {self.neutral}"
        motion.neutral.write(self.neutral)
        return f"faces are relative to the face at rest, now stored in {self.neutral}"

    def _settings(
        self, avatar: Avatar, fps: float = MotionSettings.fps, local_clock: bool = False
    ) -> MotionSettings:
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
            local_clock=local_clock,
        )

    def _alter(self, retarget: Retarget, settings: MotionSettings) -> Alter:
        """The conversion of a recording's frames; without adjustments every bit stays as it is."""
        if not self.adjustments and settings.neutral is None and self.head == "on":
            return retarget

        def alter(
            expression: Float32[Array, " n"], pose: Float32[Array, "15"]
        ) -> tuple[Float32[Array, "50"], Float32[Array, "15"]]:
            own = adjust(face_of(*retarget(expression, pose)), settings, settings.neutral)
            limited = settings.adjustment.apply_limits(own.expression, own.pose())
            return limited[0].astype(np.float32), limited[1].astype(np.float32)

        return alter

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
        """Retargetings of each vocabulary of the stream, and the errors of those without one."""
        retargets: dict[str, Retarget] = {}
        unsupported: dict[str, ImavatarError] = {}
        for name in [vocabulary] if vocabulary else WEIGHTS:
            try:
                retargets[name] = self._retarget(name, avatar)
            except ImavatarError as error:
                unsupported[name] = error
        if not retargets:
            raise next(iter(unsupported.values()))
        return retargets, unsupported
