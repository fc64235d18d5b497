"""Take: an avatar, the motion it is to play and how often a second: all that a bake is made from."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from imavatar_deploy.avatar import Avatar
from imavatar_deploy.avatar_io import MANIFEST, AvatarFolder, open_avatar, sha256
from imavatar_deploy.errors import InputError
from imavatar_deploy.tracks import FlameTrack, check_edition, read_track
from imavatar_deploy.tracks.edit import retimed


@dataclass(frozen=True)
class Motion:
    """A motion of T frames for one avatar.

    Raises:
        InputError: the avatar has another number of expressions than a motion.
    """

    folder: AvatarFolder
    track: FlameTrack
    colour: bool = False
    """Whether every vertex is given its colour in every frame, where a format can carry it."""

    def __post_init__(self) -> None:
        asked, given = self.avatar.expression_size, self.track.expression.shape[1]
        if asked != given:
            raise InputError(
                f"the avatar has {asked} expressions and a motion {given}; export the avatar again"
            )

    def __len__(self) -> int:
        return len(self.track)

    @property
    def avatar(self) -> Avatar:
        """The baked avatar, in model units."""
        return self.folder.avatar

    @property
    def fps(self) -> float:
        """Frames a second."""
        return self.track.fps

    def identity(self) -> dict[str, object]:
        """What the result depends on, ready for JSON; two takes with one identity bake to the same bytes."""
        motion = hashlib.sha256(self.track.expression.tobytes() + self.track.pose.tobytes())
        return {
            "avatar": sha256(self.folder.path / MANIFEST),
            "motion": motion.hexdigest(),
            "frames": len(self),
            "fps": self.fps,
            "colour": self.colour,
        }


def open_take(
    avatar: str | Path,
    track: str | Path,
    *,
    frames: slice | None = None,
    fps: float | None = None,
    colour: bool = False,
    any_edition: bool = False,
) -> Motion:
    """Open an avatar folder (or `sample`) and a track file (or `talk`).

    Args:
        frames: which frames of the track, before it is retimed.
        fps: frames a second to bake; the track's own when None.
        any_edition: bake a motion made for another head model all the same.

    Raises:
        UsageError: a slice without frames, or an impossible rate.
        InputError: one of them cannot be read, or they do not fit.
    """
    motion = read_track(track).select(frames or slice(None))
    folder = open_avatar(avatar)
    if not any_edition:
        check_edition(motion.edition, folder.avatar.edition)
    return Motion(folder, motion if fps is None else retimed(motion, fps), colour)
