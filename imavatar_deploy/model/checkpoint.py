"""Checkpoints: save ours, load ours or the published layout, recognised by what is on disk."""

from __future__ import annotations

from pathlib import Path

import imavatar_deploy
from imavatar_deploy.avatar_io import sha256
from imavatar_deploy.errors import InputError

from .checkpoint_folder import DESCRIPTION, TENSORS, read_folder, write_folder
from .head_avatar import HeadAvatarModel
from .implicit_avatar import ImplicitAvatar
from .official_checkpoint import find_parameters, read_official

SAMPLE = Path(imavatar_deploy.__file__).parent / "assets" / "sample_checkpoint"

RUN_CHECKPOINT = "checkpoint"
"""Where a training run's folder keeps its checkpoint."""


def save_checkpoint(
    model: HeadAvatarModel, folder: str | Path, *, half: bool = False, overwrite: bool = False
) -> None:
    """Write a checkpoint folder, whole or not at all; the same model gives the same bytes.

    Args:
        half: store networks and blendshapes in half precision; they are still loaded as float32.
        overwrite: replace a checkpoint that is already there.

    Raises:
        UsageError: `folder` cannot be written, or is in the way.
    """
    write_folder(model, Path(folder), half=half, overwrite=overwrite)


def load_variant(path: str | Path, *, edition: str | None = None) -> HeadAvatarModel:
    """Read the networks and head model of any variant, in evaluation mode, on the CPU, as float32.

    Args:
        path: a folder written by `save_checkpoint`; the folder of a training run; a run folder, `ModelParameters`
            folder or `.pth` in the published layout; or the word `sample`.
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


def load_checkpoint(path: str | Path, *, edition: str | None = None) -> ImplicitAvatar:
    """`load_variant` for what needs the paper's own networks, as baking and exporting do.

    Raises:
        InputError: as `load_variant`, or the checkpoint is another variant's.
        EditionMismatchError: as `load_variant`.
    """
    model = load_variant(path, edition=edition)
    if not isinstance(model, ImplicitAvatar):
        raise InputError(
            f"{path} is of variant {model.name}, whose surface cannot be baked once for every expression; render or "
            "evaluate it, or take its meshes expression by expression (imavatar-export --format mesh --from-field)"
        )
    return model


def checkpoint_sha256(path: str | Path) -> str:
    """SHA-256 of the file that holds the tensors of the checkpoint at `path`, as `load_checkpoint` would find it."""
    source = _resolve(path)
    return sha256(source / TENSORS if (source / DESCRIPTION).is_file() else find_parameters(source))


def _resolve(path: str | Path) -> Path:
    source = SAMPLE if str(path) == "sample" else Path(path)
    if not source.exists():
        raise InputError(
            f"there is no checkpoint at {source}; expected a folder, a .pth file, or the word sample"
        )
    of_run = source / RUN_CHECKPOINT
    return of_run if (of_run / DESCRIPTION).is_file() else source
