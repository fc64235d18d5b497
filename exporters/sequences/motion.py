"""Motion: an avatar with the track it plays, the input of a bake."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from imavatar_deploy.arrays import Array, Float32
from imavatar_deploy.avatar import Avatar
from imavatar_deploy.avatar_io import MANIFEST, AvatarFolder, open_avatar, sha256
from imavatar_deploy.errors import InputError
from imavatar_deploy.tracks import FlameTrack, check_edition, read_track
from imavatar_deploy.tracks.edit import retimed

from ..formats.gltf.materials import Texture
from ..formats.gltf.morph_targets import MorphTarget

COLOUR_NAMES = {None: "of the neutral face", True: "of every frame", False: "none"}
"""Value of `Motion.colour` -> what it means."""


@dataclass(frozen=True)
class Motion:
    """A motion of T frames for one avatar.

    Raises:
        InputError: avatar and track differ in the number of expressions.
    """

    folder: AvatarFolder
    track: FlameTrack
    colour: bool | None = None
    """Colours of the vertices: None for those of the neutral face, True for those of every frame
    in formats that can hold them, False for none."""
    synthetic_mark: bool = True
    """Whether files carry the machine-readable mark of `imavatar_deploy.marking`."""
    neutral: Float32[Array, "V 3"] | None = None
    """Colours of the neutral face, sRGB (`neutral_colours.with_neutral_colours`)."""
    texture: Texture | None = None
    """An image with the colours, for USD."""
    textured: bool = True
    """Whether a USDZ package without colours of every frame gets an image."""
    shapes: tuple[MorphTarget, ...] = ()
    """Further blend shapes of a USD scene, which the motion does not use."""

    def __post_init__(self) -> None:
        expected = self.avatar.expression_size
        size = self.track.expression.shape[1]
        if expected != size:
            raise InputError(
                f"the avatar has {expected} expressions and the motion {size}; "
                "export the avatar again"
            )

    def __len__(self) -> int:
        return len(self.track)

    @property
    def coloured(self) -> bool:
        """Whether the vertices have colours."""
        return self.colour is True or self.neutral is not None

    @property
    def avatar(self) -> Avatar:
        """The baked avatar, in model units."""
        return self.folder.avatar

    @property
    def fps(self) -> float:
        """Frames a second."""
        return self.track.fps

    def identity(self) -> dict[str, object]:
        """All that the baked bytes depend on, as JSON values."""
        digest = hashlib.sha256(self.track.expression.tobytes() + self.track.pose.tobytes())
        return {
            "avatar": sha256(self.folder.path / MANIFEST),
            "motion": digest.hexdigest(),
            "frames": len(self),
            "fps": self.fps,
            "colour": COLOUR_NAMES[self.colour],
            "synthetic_mark": self.synthetic_mark,
        }


def open_motion(
    avatar: str | Path,
    track: str | Path,
    *,
    frames: slice | None = None,
    fps: float | None = None,
    colour: bool | None = None,
    any_edition: bool = False,
    synthetic_mark: bool = True,
) -> Motion:
    """Open an avatar folder and a track.

    Args:
        avatar: the folder, or the word `sample`.
        track: a file or folder, or the word `talk`.
        frames: frames of the track to use, before it is retimed; all when None.
        fps: frames a second to bake; the track's rate when None.
        colour: None for the colours of the neutral face, True for those of every frame in formats
            that can hold them, False for none.
        any_edition: accept a track that was made for another head model.
        synthetic_mark: whether files carry the mark of `imavatar_deploy.marking`.

    Raises:
        UsageError: the slice selects no frames, or the rate is not positive.
        InputError: avatar or track cannot be read, or they do not fit together.
    """
    selection = read_track(track).select(frames or slice(None))
    folder = open_avatar(avatar)
    if not any_edition:
        check_edition(selection.edition, folder.avatar.edition, option="--any-edition")
    selection = selection if fps is None else retimed(selection, fps)
    return Motion(folder, selection, colour, synthetic_mark)
