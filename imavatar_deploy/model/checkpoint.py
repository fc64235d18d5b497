"""Save and load checkpoints; both this package's and the published layout can be loaded."""

from __future__ import annotations

from pathlib import Path

from imavatar_deploy.avatar_io import sha256
from imavatar_deploy.errors import InputError

from .checkpoint_folder import DESCRIPTION, TENSORS, read_folder, write_folder
from .head_avatar import HeadAvatarModel
from .implicit_avatar import ImplicitAvatar
from .official_checkpoint import find_parameters, read_official

SAMPLE = Path(__file__).parents[1] / "assets" / "sample_checkpoint"
"""The bundled checkpoint, which the word `sample` names."""

RUN_CHECKPOINT = "checkpoint"
"""Folder of the checkpoint in the folder of a training run."""


def save_checkpoint(
    model: HeadAvatarModel, folder: str | Path, *, half: bool = False, overwrite: bool = False
) -> None:
    """Write a checkpoint folder atomically; equal models give equal bytes.

    Args:
        model: any variant.
        folder: the folder to write.
        half: store networks and blendshapes in half precision; they are loaded as float32.
        overwrite: replace an existing checkpoint.

    Raises:
        UsageError: `folder` cannot be written, or exists and may not be replaced.
    """
    write_folder(model, Path(folder), half=half, overwrite=overwrite)


def load_variant(path: str | Path, *, edition: str | None = None) -> HeadAvatarModel:
    """Load a model of any variant on the CPU, as float32 and in evaluation mode.

    Args:
        path: a folder written by `save_checkpoint`; the folder of a training run; a run folder,
            `ModelParameters` folder or `.pth` file in the published layout; or the word `sample`.
        edition: head model of a published checkpoint (see `conventions.EDITIONS`), by default
            inferred from its number of vertices.

    Raises:
        InputError: the checkpoint does not exist, is damaged, or has another architecture.
        EditionMismatchError: a checkpoint of this package has another head model than `edition`.
    """
    source = _resolve(path)
    if (source / DESCRIPTION).is_file():
        return read_folder(source, edition=edition).eval()
    return read_official(find_parameters(source), edition=edition).eval()


def load_checkpoint(path: str | Path, *, edition: str | None = None) -> ImplicitAvatar:
    """Load a checkpoint of `ImplicitAvatar`, which baking and exporting require.

    Raises:
        InputError: as `load_variant`, or the checkpoint is of another variant.
        EditionMismatchError: as `load_variant`.
    """
    model = load_variant(path, edition=edition)
    if not isinstance(model, ImplicitAvatar):
        raise InputError(
            f"{path} is of variant {model.name}, whose surface cannot be baked once for every "
            "expression; render or evaluate it, or take its meshes expression by expression "
            "(imavatar-export --format mesh --from-field)"
        )
    return model


def checkpoint_sha256(path: str | Path) -> str:
    """Return the SHA-256 of the tensor file that `load_checkpoint` reads for this path."""
    source = _resolve(path)
    return sha256(source / TENSORS if (source / DESCRIPTION).is_file() else find_parameters(source))


def _resolve(path: str | Path) -> Path:
    source = SAMPLE if str(path) == "sample" else Path(path)
    if not source.exists():
        raise InputError(
            f"there is no checkpoint at {source}; expected a folder, a .pth file, "
            "or the word sample"
        )
    in_run = source / RUN_CHECKPOINT
    return in_run if (in_run / DESCRIPTION).is_file() else source
