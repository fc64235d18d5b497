"""The checkpoint format of this package, a folder of two files.

networks.safetensors   state of the networks and arrays of the head model (`head.…`)
checkpoint.json        schema version, variant, sizes, canonical pose, edition, names,
                       provenance, SHA-256 of the tensor file
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from imavatar_deploy.atomic import atomic_folder
from imavatar_deploy.avatar import canonical_pose
from imavatar_deploy.avatar_io import sha256
from imavatar_deploy.checks import as_float32, ensure_shape
from imavatar_deploy.conventions import EDITIONS, POSE_SIZE
from imavatar_deploy.errors import EditionMismatchError, InputError, excerpt
from imavatar_deploy.head_model import SHAPES, HeadModel

from .head_avatar import HeadAvatarModel
from .sizes import NetworkSizes
from .variants import VARIANTS

SCHEMA_VERSION = 1

DESCRIPTION = "checkpoint.json"

TENSORS = "networks.safetensors"

UNNAMED_VARIANT = "imavatar"
"""Variant of checkpoints without one, which are older than the other variants."""

HEAD = "head."
"""Prefix of the arrays of the head model."""

HALF_TENSORS = re.compile(r"^(geometry|texture)\..*\.original1$")
"""Tensors of the networks that may be stored in half precision.

These are the large ones, except those of the deformation network: its softmax has a factor of
twenty, which also multiplies rounding errors.
"""

HALF_HEAD_ARRAYS = ("shape_basis", "expression_basis", "pose_basis")
"""Arrays of the head model that may be stored in half precision; positions and weights may not."""


# Weights of a model


def fill(model: HeadAvatarModel, state: Mapping[str, Tensor], source: Path) -> None:
    """Load `state` into the model's networks.

    Raises:
        InputError: a tensor is missing, unexpected, of another shape, or not finite. The message
            names `source` and the first such tensor.
    """
    expected = model.state_dict()
    for verb, names in (
        ("misses", expected.keys() - state.keys()),
        ("has a foreign", state.keys() - expected.keys()),
    ):
        if names:
            others = f" and {len(names) - 1} others" if len(names) > 1 else ""
            raise InputError(
                f"{source} {verb} tensor {min(names)}{others}; expected the networks of "
                f"{model.name}"
            )
    for name, tensor in state.items():
        ensure_shape(
            f"{source}: tensor {name}",
            tensor,
            tuple(expected[name].shape),
            "is it another architecture?",
        )
        if not torch.isfinite(tensor).all():
            raise InputError(
                f"{source}: tensor {name} holds NaN or infinity; use a checkpoint of an earlier "
                "epoch"
            )
    model.load_state_dict({name: tensor.float() for name, tensor in state.items()})


# The folder


def write_folder(model: HeadAvatarModel, folder: Path, *, half: bool, overwrite: bool) -> None:
    """Write a checkpoint atomically; equal models give equal bytes."""
    with atomic_folder(folder, marker=DESCRIPTION, overwrite=overwrite) as partial:
        (partial / TENSORS).write_bytes(save(_tensors(model, half)))
        description = {
            "schema_version": SCHEMA_VERSION,
            "variant": model.name,
            "sizes": asdict(model.sizes),
            "canonical_pose": canonical_pose().tolist(),
            "head_model": model.head.edition,
            "expression_names": list(model.head.expression_names),
            "vertex_groups": sorted(set(model.head.vertex_groups)),
            "provenance": model.provenance,
            "files": {TENSORS: {"sha256": sha256(partial / TENSORS)}},
        }
        (partial / DESCRIPTION).write_text(
            json.dumps(description, indent=2) + "\n", encoding="utf-8"
        )


def read_folder(folder: Path, *, edition: str | None) -> HeadAvatarModel:
    """Read a checkpoint folder.

    Raises:
        InputError: the checkpoint is damaged, of a newer version, of an unknown variant, or has
            tensors of other names or shapes.
        EditionMismatchError: its head model is of another edition than `edition`.
    """
    description = _read_description(folder)
    if edition not in (None, description["head_model"]):
        raise EditionMismatchError(
            f"{folder} was made for {description['head_model']}, not for {edition}"
        )
    if not np.allclose(description["canonical_pose"], canonical_pose()):
        raise InputError(
            f"{folder} has canonical pose {description['canonical_pose'].tolist()}; "
            "expected a jaw opened by 0.2"
        )
    tensors = _read_tensors(folder / TENSORS, description["files"][TENSORS]["sha256"])
    head = _read_head(tensors, description, folder)
    model = VARIANTS[description["variant"]].build(
        head, description["sizes"], description["provenance"]
    )
    fill(
        model,
        {name: tensor for name, tensor in tensors.items() if not name.startswith(HEAD)},
        folder / TENSORS,
    )
    return model


def _tensors(model: HeadAvatarModel, half: bool) -> dict[str, Tensor]:
    """Return the tensors of networks and head model by name, on the CPU, contiguous."""
    head = {name: torch.tensor(np.ascontiguousarray(getattr(model.head, name))) for name in SHAPES}
    groups = model.head.vertex_groups
    index_of = {name: index for index, name in enumerate(sorted(set(groups)))}
    head["vertex_group"] = torch.tensor([index_of[name] for name in groups], dtype=torch.int32)
    networks = {
        name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()
    }
    if half:
        networks = {
            name: tensor.half() if HALF_TENSORS.search(name) else tensor
            for name, tensor in networks.items()
        }
        head |= {name: head[name].half() for name in HALF_HEAD_ARRAYS}
    return networks | {HEAD + name: tensor for name, tensor in head.items()}


def _read_description(folder: Path) -> dict[str, Any]:
    path = folder / DESCRIPTION
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        if stored["schema_version"] != SCHEMA_VERSION:
            raise InputError(
                f"{path} has schema version {stored['schema_version']}, this program reads "
                f"{SCHEMA_VERSION}"
            )
        variant = str(stored.get("variant", UNNAMED_VARIANT))
        if variant not in VARIANTS:
            raise InputError(
                f"{path} is of variant {variant}, this program knows {', '.join(VARIANTS)}; "
                "update it"
            )
        if stored["head_model"] not in EDITIONS:
            raise InputError(
                f"{path} is of head model {stored['head_model']!r}; expected one of "
                f"{', '.join(EDITIONS)}"
            )
        sizes: dict[str, Any] = {
            name: tuple(size) if isinstance(size, list) else size
            for name, size in stored["sizes"].items()
        }
        return {
            "variant": variant,
            "sizes": NetworkSizes(**sizes),
            "canonical_pose": as_float32("canonical_pose", stored["canonical_pose"], (POSE_SIZE,)),
            "head_model": str(stored["head_model"]),
            "expression_names": tuple(map(str, stored["expression_names"])),
            "vertex_groups": list(map(str, stored["vertex_groups"])),
            "provenance": dict(stored["provenance"]),
            "files": {TENSORS: {"sha256": str(stored["files"][TENSORS]["sha256"])}},
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(
            f"{path} does not describe a checkpoint ({excerpt(repr(error))}); "
            "save the checkpoint again"
        ) from error


def _read_tensors(path: Path, expected: str) -> dict[str, Tensor]:
    if not path.is_file():
        raise InputError(f"{path} is missing; copy the checkpoint folder whole")
    if sha256(path) != expected:
        raise InputError(
            f"{path} was changed or damaged: its SHA-256 is not the one in {DESCRIPTION}; "
            "copy it again"
        )
    try:
        return dict(load_file(path))
    except (SafetensorError, OSError) as error:
        raise InputError(
            f"{path} is not a safetensors file ({error}); save the checkpoint again"
        ) from error


def _read_head(tensors: dict[str, Tensor], description: dict[str, Any], folder: Path) -> HeadModel:
    missing = [name for name in (*SHAPES, "vertex_group") if HEAD + name not in tensors]
    if missing:
        raise InputError(f"{folder / TENSORS} misses {HEAD}{missing[0]}; save the checkpoint again")
    arrays: dict[str, Any] = {name: tensors[HEAD + name].numpy() for name in SHAPES}
    arrays |= {name: arrays[name].astype(np.float32) for name in HALF_HEAD_ARRAYS}
    head = HeadModel(
        **arrays,
        edition=description["head_model"],
        expression_names=description["expression_names"],
    )
    names = description["vertex_groups"]
    groups = tensors[HEAD + "vertex_group"]
    if len(groups) and not 0 <= int(groups.min()) <= int(groups.max()) < len(names):
        raise InputError(
            f"{folder / TENSORS} names groups that {DESCRIPTION} does not; "
            "save the checkpoint again"
        )
    return replace(head, vertex_groups=tuple(names[index] for index in groups.tolist()))
