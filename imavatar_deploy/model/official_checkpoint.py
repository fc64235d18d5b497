"""Read checkpoints in the published layout: run folders, `ModelParameters` folders, `.pth` files.

The tensors give the sizes of the networks and the head model of the subject. `runconf.conf`, where
present, gives the names of subject and method.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from imavatar_deploy.arrays import Array, Float32
from imavatar_deploy.avatar_io import sha256
from imavatar_deploy.checks import Dimension, ensure_shape
from imavatar_deploy.conventions import BONES, EXPRESSION_SIZE, POSE_FEATURE_SIZE, UNITS_PER_METRE
from imavatar_deploy.errors import InputError
from imavatar_deploy.head_model import HeadModel

from .checkpoint_folder import fill
from .implicit_avatar import ImplicitAvatar
from .layers import DIMENSIONS
from .sizes import NetworkSizes

# The head model: FLAME x 4 with the subject's shape


COPIES = ("FLAMEServer.", "deformer_network.FLAMEServer.")
"""Prefixes of the two copies of the head model in a published checkpoint."""

SHAPE_SIZE = 100
"""Identity directions before the expressions in `shapedirs`; the template includes them."""

TENSORS: dict[str, tuple[Dimension, ...]] = {
    "v_template": ("V", 3),
    "faces_tensor": ("F", 3),
    "shapedirs": ("V", 3, SHAPE_SIZE + EXPRESSION_SIZE),
    "posedirs": (POSE_FEATURE_SIZE, "3V"),
    "J_regressor": (len(BONES), "V"),
    "lbs_weights": ("V", len(BONES)),
}
"""The tensors that are read, and their shapes."""

EDITION_BY_VERTICES = {5023: "flame2020", 5094: "openhead"}
"""Default edition by number of vertices.

All FLAME editions have 5,023 vertices; the published code requires FLAME 2020.
"""


def read_head(state: Mapping[str, Tensor], source: Path, *, edition: str | None) -> HeadModel:
    """Read the subject's head model, in metres.

    Raises:
        InputError: a tensor is missing or has another shape, the two copies differ, or the edition
            cannot be inferred.
    """
    flame = _tensors(state, source)
    vertices = len(flame["v_template"])
    head = HeadModel(
        template=_metres(flame["v_template"]),
        faces=flame["faces_tensor"].numpy().astype(np.int32),
        shape_basis=np.zeros((vertices, 3, 0), dtype=np.float32),
        expression_basis=_metres(flame["shapedirs"][:, :, SHAPE_SIZE:]),
        pose_basis=_metres(flame["posedirs"].T.reshape(vertices, 3, POSE_FEATURE_SIZE)),
        joint_regressor=flame["J_regressor"].float().numpy(),
        weights=flame["lbs_weights"].float().numpy(),
        edition=edition or _edition(vertices, source),
        expression_names=tuple(f"expression_{index:02d}" for index in range(EXPRESSION_SIZE)),
    )
    return _with_names(head)


def _tensors(state: Mapping[str, Tensor], source: Path) -> dict[str, Tensor]:
    flame = {name: _equal_copies(state, name, source) for name in TENSORS}
    sizes: dict[str, int] = {}
    for name, shape in TENSORS.items():
        known = [sizes.get(size, size) if isinstance(size, str) else size for size in shape]
        sizes |= ensure_shape(f"{source}: FLAMEServer.{name}", flame[name], known)
        sizes["3V"] = 3 * sizes["V"]
    return flame


def _equal_copies(state: Mapping[str, Tensor], name: str, source: Path) -> Tensor:
    """Return a tensor of the head model after comparing its copies."""
    copies = [state[prefix + name] for prefix in COPIES if prefix + name in state]
    if not copies:
        raise InputError(
            f"{source} misses {COPIES[0]}{name}; expected an IMavatar checkpoint with its head "
            "model"
        )
    if not torch.equal(copies[0], copies[-1]):
        raise InputError(
            f"{source} holds two different head models ({name} differs); "
            "it was not saved by IMavatar"
        )
    return copies[0]


def _metres(tensor: Tensor) -> Float32[Array, "..."]:
    return np.ascontiguousarray(tensor.float().numpy() / UNITS_PER_METRE, dtype=np.float32)


def _edition(vertices: int, source: Path) -> str:
    if vertices not in EDITION_BY_VERTICES:
        raise InputError(
            f"{source} has a head model of {vertices} vertices that is not known; give its edition"
        )
    return EDITION_BY_VERTICES[vertices]


def _with_names(head: HeadModel) -> HeadModel:
    """Add the names of expressions and vertex groups to a head with the faces of OpenHead."""
    if head.edition != "openhead":
        return head
    bundled = HeadModel.load("openhead")
    if not np.array_equal(bundled.faces, head.faces):
        return head
    return replace(
        head, expression_names=bundled.expression_names, vertex_groups=bundled.vertex_groups
    )


# Sizes of the networks


LATENT_SIZE = 32
"""Length of the per-frame latent code in the published code."""


class Layer(NamedTuple):
    """Shape of one linear layer."""

    outputs: int
    inputs: int


def infer_sizes(state: Mapping[str, Tensor]) -> NetworkSizes:
    """Infer the sizes of the networks from the shapes in a state dict with this package's names.

    The length of an encoded point is an odd multiple of three. It differs from every other such
    number plus 32, so the length of the input shows whether it includes a latent code. Inconsistent
    shapes are reported by `fill`.

    Raises:
        KeyError: a network is missing.
        InputError: the shapes give impossible sizes.
    """
    geometry = _layers(state, "geometry")
    deformation = _layers(state, "deformation")
    texture = _layers(state, "texture")
    latent = 0 if (geometry[0].inputs - DIMENSIONS) % (2 * DIMENSIONS) == 0 else LATENT_SIZE
    bottleneck, condition = state["texture.bottleneck.weight"].shape
    feature = geometry[-1].outputs - 1
    return NetworkSizes(
        geometry_layers=tuple(layer.inputs for layer in geometry[1:]),
        geometry_skip=tuple(
            i for i in range(1, len(geometry)) if geometry[i].inputs != geometry[i - 1].outputs
        ),
        geometry_frequencies=_frequencies(geometry[0].inputs - latent),
        feature=feature,
        latent=latent,
        deformation_layers=tuple(layer.outputs for layer in deformation),
        deformation_frequencies=_frequencies(deformation[0].inputs),
        expressions=len(state["deformation.blendshapes.bias"]) // DIMENSIONS - POSE_FEATURE_SIZE,
        bones=len(state["deformation.skinning.bias"]),
        texture_layers=tuple(layer.outputs for layer in texture[:-1]),
        texture_frequencies=_frequencies(texture[0].inputs - DIMENSIONS - bottleneck - feature),
        bottleneck=bottleneck,
        condition=condition,
    )


def _layers(state: Mapping[str, Tensor], network: str) -> list[Layer]:
    name = f"{network}.layers.{{}}.parametrizations.weight.original1"
    shapes = [state[name.format(0)].shape]
    while name.format(len(shapes)) in state:
        shapes.append(state[name.format(len(shapes))].shape)
    return [Layer(outputs, inputs) for outputs, inputs in shapes]


def _frequencies(encoded: int) -> int:
    return (encoded - DIMENSIONS) // (2 * DIMENSIONS)


# The configuration of a run


FILE_NAME = "runconf.conf"

SUPPORTED_OPTIONS = {"multires_view": "0", "use_freq_band": "False"}
"""Options that change the meaning of the tensors, with their only supported value."""


def read_runconf(file: Path) -> dict[str, str]:
    """Return subject and method of the run of a `.pth` file; empty without `runconf.conf`.

    The file is HOCON followed by two lines of git state, which HOCON readers refuse. Therefore
    single `key = value` lines are searched.

    Raises:
        InputError: the run used an option that changes the networks beyond their shapes.
    """
    for folder in list(file.resolve().parents)[:3]:
        conf = folder / FILE_NAME
        if conf.is_file():
            text = conf.read_text(encoding="utf-8", errors="replace")
            _refuse_variants(conf, text)
            names = {"subject": _value(text, "subject_name"), "method": _value(text, "methodname")}
            return {key: name for key, name in names.items() if name}
    return {}


def _refuse_variants(conf: Path, text: str) -> None:
    for key, supported in SUPPORTED_OPTIONS.items():
        value = _value(text, key)
        if value and value.lower() != supported.lower():
            raise InputError(
                f"{conf} sets {key} = {value}; only runs with {key} = {supported} can be read"
            )


def _value(text: str, key: str) -> str:
    """Return the value of a `key = value` line; empty without such a line."""
    match = re.search(rf"^\s*{key}\s*[=:]\s*\"?([^\s\"#,]+)", text, re.MULTILINE)
    return match.group(1) if match else ""


# The checkpoint


KIND = "official IMavatar checkpoint"

FOLDER = "ModelParameters"

INPUTS = "InputParameters"

LATEST_FILE = "latest.pth"

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
"""Patterns of published tensor names and their replacements.

The last two rename the tensors of PyTorch's old weight normalisation to those of its new one.
"""


def find_parameters(path: Path) -> Path:
    """Return the `.pth` file of the latest epoch in a path of the published layout.

    Raises:
        InputError: the path has no checkpoint, or more than one run.
    """
    if path.is_file():
        return path
    folders = [path] if any(path.glob("*.pth")) else sorted(path.rglob(FOLDER))
    if len(folders) > 1:
        names = ", ".join(str(folder.relative_to(path)) for folder in folders)
        raise InputError(f"{path} holds {len(folders)} checkpoints; name one of {names}")
    files = sorted(folders[0].glob("*.pth"), key=_epoch) if folders else []
    if not files:
        raise InputError(
            f"{path} holds no checkpoint; expected our folder with checkpoint.json, "
            f"a published run with {FOLDER}/{LATEST_FILE}, or a .pth file"
        )
    return files[-1]


def read_official(file: Path, *, edition: str | None) -> ImplicitAvatar:
    """Read a published checkpoint, which includes its head model.

    Raises:
        InputError: the file is damaged, of another kind, or has another architecture.
    """
    stored = _unpickle(file)
    state = stored.get("model_state_dict")
    if not isinstance(state, dict) or not all(
        isinstance(tensor, Tensor) for tensor in state.values()
    ):
        raise InputError(
            f"{file} has no model_state_dict of tensors; expected a checkpoint saved by IMavatar"
        )
    head = read_head(state, file, edition=edition)
    networks = {
        _our_name(name): tensor for name, tensor in state.items() if not name.startswith(COPIES)
    }
    try:
        sizes = infer_sizes(networks)
    except (KeyError, ValueError) as error:
        raise InputError(
            f"{file} misses or distorts {error}; expected IMavatar's three networks"
        ) from error
    avatar = ImplicitAvatar(head, sizes, _provenance(file, stored))
    networks["geometry.latent"] = _latent(file, sizes.latent)
    fill(avatar, networks, file)
    return avatar


def _unpickle(file: Path) -> dict[str, Any]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an unreadable file raises an error below
            stored = torch.load(file, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        foreign = re.search(r"GLOBAL ([\w.]+)", str(error))
        what = (
            f"holds a foreign object, {foreign.group(1)}" if foreign else "is not made of tensors"
        )
        raise InputError(
            f"{file} {what}; expected a checkpoint of plain tensors saved by IMavatar"
        ) from error
    except Exception as error:  # torch raises various types for a file that is no archive
        raise InputError(
            f"{file} cannot be read as a PyTorch file; is it truncated? copy it again"
        ) from error
    if not isinstance(stored, dict):
        raise InputError(
            f"{file} holds a {type(stored).__name__}; expected a checkpoint saved by IMavatar"
        )
    return stored


def _our_name(name: str) -> str:
    for pattern, replacement in OUR_NAMES:
        name = re.sub(pattern, replacement, name)
    return name


def _latent(file: Path, size: int) -> Tensor:
    """Return the latent code `[L]` of the first training frame (published evaluation)."""
    if size == 0:
        return torch.zeros(0)
    inputs = file.parent.parent / INPUTS / file.name
    if not inputs.is_file():
        raise InputError(
            f"{file} was trained with latent codes, which are not beside it; expected {inputs}"
        )
    stored = _unpickle(inputs).get("latent_codes_state_dict")
    codes = stored.get("weight") if isinstance(stored, dict) else None
    if not isinstance(codes, Tensor):
        raise InputError(
            f"{inputs} has no latent_codes_state_dict; expected the input parameters saved with "
            f"{file}"
        )
    ensure_shape(f"{inputs}: latent codes", codes, ("frames", size))
    return codes[0]


def _provenance(file: Path, stored: Mapping[str, Any]) -> dict[str, Any]:
    epoch = {"epoch": stored["epoch"]} if isinstance(stored.get("epoch"), int) else {}
    return {"kind": KIND, "file": file.name, "sha256": sha256(file), **epoch, **read_runconf(file)}


def _epoch(file: Path) -> float:
    """Return a sort key: numbers in order, `latest` after them, other names before."""
    if file.name == LATEST_FILE:
        return float("inf")
    return int(file.stem) if file.stem.isdecimal() else -1
