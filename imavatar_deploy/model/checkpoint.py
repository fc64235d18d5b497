"""Checkpoints: save ours, load ours or the published layout, recognised by what is on disk."""

from __future__ import annotations

from pathlib import Path

import imavatar_deploy
from imavatar_deploy.avatar_io import sha256
from imavatar_deploy.errors import InputError

from .checkpoint_folder import DESCRIPTION, TENSORS, read_folder, write_folder
from .implicit_avatar import ImplicitAvatar
from .official import find_parameters, read_official

SAMPLE = Path(imavatar_deploy.__file__).parent / "assets" / "sample_checkpoint"


def save_checkpoint(avatar: ImplicitAvatar, folder: str | Path, *, half: bool = False, overwrite: bool = False) -> None:
    """Write a checkpoint folder, whole or not at all; the same avatar gives the same bytes.

    Args:
        half: store networks and blendshapes in half precision; they are still loaded as float32.
        overwrite: replace a checkpoint that is already there.

    Raises:
        UsageError: `folder` cannot be written, or is in the way.
    """
    write_folder(avatar, Path(folder), half=half, overwrite=overwrite)


def load_checkpoint(path: str | Path, *, edition: str | None = None) -> ImplicitAvatar:
    """Read an avatar's networks and head model, in evaluation mode, on the CPU, as float32.

    Args:
        path: a folder written by `save_checkpoint`; a run folder, `ModelParameters` folder or `.pth` in the published
            layout; or the word `sample`.
        edition: what head model a published checkpoint was trained with (see `conventions.EDITIONS`), where its
            vertex count does not tell or tells wrong.

    Raises:
        InputError: nothing is there, or it is damaged, foreign, or of another architecture.
        EditionMismatchError: a checkpoint of ours was made for another head model than `edition`.
    """
    source = _resolve(path)
    if (source / DESCRIPTION).is_file():
        return read_folder(source, edition=edition).eval()
    return read_official(find_parameters(source), edition=edition).eval()


def checkpoint_sha256(path: str | Path) -> str:
    """SHA-256 of the file that holds the tensors of the checkpoint at `path`, as `load_checkpoint` would find it."""
    source = _resolve(path)
    return sha256(source / TENSORS if (source / DESCRIPTION).is_file() else find_parameters(source))


def _resolve(path: str | Path) -> Path:
    source = SAMPLE if str(path) == "sample" else Path(path)
    if not source.exists():
        raise InputError(f"there is no checkpoint at {source}; expected a folder, a .pth file, or the word sample")
    return source
