"""Read checkpoints in the published layout: a run folder, a `ModelParameters` folder or a bare `.pth`."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor

from imavatar_deploy.avatar_io import sha256
from imavatar_deploy.checks import ensure_shape
from imavatar_deploy.errors import InputError

from .implicit_avatar import ImplicitAvatar
from .official_head import COPIES, read_head
from .official_sizes import infer_sizes
from .runconf import read_runconf
from .weights import fill

KIND = "official IMavatar checkpoint"
FOLDER = "ModelParameters"
INPUTS = "InputParameters"
LATEST = "latest.pth"

OUR_NAMES = (
    (r"^geometry_network\.lin(\d+)", r"geometry.layers.\1"),
    (r"^deformer_network\.lin(\d+)", r"deformation.layers.\1"),
    (r"^deformer_network\.blendshapes", "deformation.blendshapes"),
    (r"^deformer_network\.skinning_linear", "deformation.skinning_hidden"),
    (r"^deformer_network\.skinning", "deformation.skinning"),
    (r"^rendering_network\.lin(\d+)", r"texture.layers.\1"),
    (r"^rendering_network\.condition_bottleneck", "texture.bottleneck"),
    (r"\.weight_g$", ".parametrizations.weight.original0"),
    (r"\.weight_v$", ".parametrizations.weight.original1"),
)
"""Published tensor names -> ours; the last two turn the old spelling of weight norm into the new one."""


def find_parameters(path: Path) -> Path:
    """The `.pth` file of a path in the published layout: the newest epoch of the one `ModelParameters` in it.

    Raises:
        InputError: nothing is there, or more than one run.
    """
    if path.is_file():
        return path
    folders = [path] if any(path.glob("*.pth")) else sorted(path.rglob(FOLDER))
    if len(folders) > 1:
        found = ", ".join(str(folder.relative_to(path)) for folder in folders)
        raise InputError(f"{path} holds {len(folders)} checkpoints; name one of {found}")
    files = sorted(folders[0].glob("*.pth"), key=_epoch) if folders else []
    if not files:
        raise InputError(
            f"{path} holds no checkpoint; expected our folder with checkpoint.json, a published run with "
            f"{FOLDER}/{LATEST}, or a .pth file"
        )
    return files[-1]


def read_official(file: Path, *, edition: str | None) -> ImplicitAvatar:
    """Read a published checkpoint; all it needs of FLAME is inside it.

    Raises:
        InputError: the file is damaged, foreign, or of another architecture.
    """
    stored = _unpickle(file)
    state = stored.get("model_state_dict")
    if not isinstance(state, dict) or not all(isinstance(tensor, Tensor) for tensor in state.values()):
        raise InputError(f"{file} has no model_state_dict of tensors; expected a checkpoint saved by IMavatar")
    head = read_head(state, file, edition=edition)
    networks = {_our_name(name): tensor for name, tensor in state.items() if not name.startswith(COPIES)}
    try:
        sizes = infer_sizes(networks)
    except (KeyError, ValueError) as error:
        raise InputError(f"{file} misses or distorts {error}; expected IMavatar's three networks") from error
    avatar = ImplicitAvatar(head, sizes, _provenance(file, stored))
    networks["geometry.latent"] = _latent(file, sizes.latent)
    fill(avatar, networks, file)
    return avatar


def _unpickle(file: Path) -> dict[str, Any]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what torch warns about is either read or refused in one sentence below
            stored = torch.load(file, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        foreign = re.search(r"GLOBAL ([\w.]+)", str(error))
        what = f"holds a foreign object, {foreign.group(1)}" if foreign else "is not made of tensors"
        raise InputError(f"{file} {what}; expected a checkpoint of plain tensors saved by IMavatar") from error
    except Exception as error:  # bytes that are no archive make the reader fail in any way at all
        raise InputError(f"{file} cannot be read as a PyTorch file; is it truncated? copy it again") from error
    if not isinstance(stored, dict):
        raise InputError(f"{file} holds a {type(stored).__name__}; expected a checkpoint saved by IMavatar")
    return stored


def _our_name(name: str) -> str:
    for pattern, replacement in OUR_NAMES:
        name = re.sub(pattern, replacement, name)
    return name


def _latent(file: Path, size: int) -> Tensor:
    """[L] code the published evaluation uses: the first training frame's."""
    if size == 0:
        return torch.zeros(0)
    inputs = file.parent.parent / INPUTS / file.name
    if not inputs.is_file():
        raise InputError(f"{file} was trained with latent codes, which are not beside it; expected {inputs}")
    stored = _unpickle(inputs).get("latent_codes_state_dict")
    codes = stored.get("weight") if isinstance(stored, dict) else None
    if not isinstance(codes, Tensor):
        raise InputError(f"{inputs} has no latent_codes_state_dict; expected the input parameters saved with {file}")
    ensure_shape(f"{inputs}: latent codes", codes, ("frames", size))
    return codes[0]


def _provenance(file: Path, stored: Mapping[str, Any]) -> dict[str, Any]:
    epoch = {"epoch": stored["epoch"]} if isinstance(stored.get("epoch"), int) else {}
    return {"kind": KIND, "file": file.name, "sha256": sha256(file), **epoch, **read_runconf(file)}


def _epoch(file: Path) -> float:
    """Sort key: `latest` after every number, anything else before."""
    if file.name == LATEST:
        return float("inf")
    return int(file.stem) if file.stem.isdecimal() else -1
