"""imavatar-deploy: implicit morphable head avatars, trained, baked once and played in real time.

    import numpy as np
    from imavatar_deploy.runtime import Player

    with Player("sample", size=512) as player:  # an avatar folder, or the bundled sample
        image = player.render(np.zeros(50), np.zeros(15))  # [512, 512, 4] uint8, RGBA

Packages; `help("imavatar_deploy.NAME")` shows the names in each, with examples:

    runtime      `Player`; `run_live`, `listen` for trackers; `sources`, `sinks`, `streams` inside
    tracks       motions: read, write, edit, and the formats of many trackers
    fidelity     how closely an avatar follows its networks; image metrics; `verify_avatar`
    exporters    `export_avatar` from a checkpoint; `bake_sequences` for other programs
    training     `train` from a video, `evaluate` against a dataset, `synthesise` one
    model        the networks and checkpoints, in torch
    retarget     maps between ARKit's shapes and the expressions of head models
    video        `VideoReader`: upright frames of any video file, with their times
    vision       faces in images: `FaceTracker`, 478 landmarks, blendshapes, `PersonMask`
    head_fit     head models fitted to landmarks: `FrameFitter` live, `fit_sequence` for videos

`runtime`, `tracks`, `fidelity`, `retarget`, `video`, `vision` and `head_fit` need neither torch nor
a GPU. The names below are those that several packages share:

    open_avatar(path)      -> AvatarFolder with `Avatar`, the arrays of a baked head
    read_track(path)       -> FlameTrack, a motion of FlameFrame
    load_checkpoint(path)  -> model.ImplicitAvatar, the networks (needs torch)
    HeadModel.load(path)   FLAME or the bundled OpenHead; Camera: intrinsics and pose
    ImavatarError          base of every error that the user can mend; see imavatar_deploy.errors

The scripts in the folder examples/ of the repository show each of them at work.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from imavatar_deploy.avatar import Avatar
from imavatar_deploy.avatar_io import AvatarFolder, open_avatar
from imavatar_deploy.camera import Camera
from imavatar_deploy.checkout import add_rooms
from imavatar_deploy.errors import ImavatarError
from imavatar_deploy.head_model import HeadModel
from imavatar_deploy.tracks import FlameFrame, FlameTrack, read_track

if TYPE_CHECKING:
    from imavatar_deploy.model import ImplicitAvatar

add_rooms(Path(__file__).absolute().parents[1])

__version__ = version("imavatar-deploy")

__all__ = [
    "Avatar",
    "AvatarFolder",
    "Camera",
    "FlameFrame",
    "FlameTrack",
    "HeadModel",
    "ImavatarError",
    "__version__",
    "load_checkpoint",
    "open_avatar",
    "read_track",
]


def load_checkpoint(path: str | Path, *, edition: str | None = None) -> ImplicitAvatar:
    """Read the networks and the head model of a checkpoint, on the CPU, as float32.

    torch is imported when this is called. `imavatar_deploy.model.load_variant` also reads the
    paper's baselines.

    Args:
        path: a checkpoint folder, the folder of a training run, an IMavatar run folder or `.pth` in
            the published layout, or the word `sample`. Nothing in the file is run.
        edition: head model of a published checkpoint (`flame2020`, for example), where its file
            does not tell.

    Returns:
        The model in evaluation mode. Its points are in canonical space, model units (4 a metre).

    Raises:
        InputError: nothing is there, or it is damaged, foreign or of another variant.
        EditionMismatchError: the checkpoint was made for another head model than `edition`.
        MissingDependencyError: torch is not installed.

    Example:
        >>> avatar = load_checkpoint("sample")
        >>> sdf, feature = avatar.geometry(torch.zeros(1, 3))  # [1], [1, 256]
    """
    model: ImplicitAvatar = import_module("imavatar_deploy.model").load_checkpoint(
        path, edition=edition
    )
    return model
