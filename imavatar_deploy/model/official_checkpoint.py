"""Read checkpoints in the published layout: a run folder, a `ModelParameters` folder or a bare `.pth`."""

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
from numpy.typing import NDArray
from torch import Tensor

from imavatar_deploy.avatar_io import sha256
from imavatar_deploy.checks import Dimension, ensure_shape
from imavatar_deploy.conventions import BONES, EXPRESSION_SIZE, POSE_FEATURE_SIZE, UNITS_PER_METRE
from imavatar_deploy.errors import InputError
from imavatar_deploy.head_model import HeadModel

from .checkpoint_folder import fill
from .implicit_avatar import ImplicitAvatar
from .layers import DIMENSIONS
from .sizes import NetworkSizes

# The head model inside an official checkpoint: FLAME x 4 with the subject's shape, as our `HeadModel` in metres.


COPIES = ("FLAMEServer.", "deformer_network.FLAMEServer.")
"""The published model holds its head model twice."""

SHAPE_SIZE = 100
"""Identity directions in front of the expressions in `shapedirs`; they are already in the template."""

TENSORS: dict[str, tuple[Dimension, ...]] = {
    "v_template": ("V", 3),
    "faces_tensor": ("F", 3),
    "shapedirs": ("V", 3, SHAPE_SIZE + EXPRESSION_SIZE),
    "posedirs": (POSE_FEATURE_SIZE, "3V"),
    "J_regressor": (len(BONES), "V"),
    "lbs_weights": ("V", len(BONES)),
}
"""What we take of it, and its shape."""

EDITION_BY_VERTICES = {5023: "flame2020", 5094: "openhead"}
"""The published code requires FLAME 2020; other FLAMEs have as many vertices, so a caller may say otherwise."""


def read_head(state: Mapping[str, Tensor], source: Path, *, edition: str | None) -> HeadModel:
    """The subject's head model.

    Raises:
        InputError: a tensor is missing or has another shape, the two copies differ, or the edition cannot be told.
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
    flame = {name: _agreed(state, name, source) for name in TENSORS}
    sizes: dict[str, int] = {}
    for name, shape in TENSORS.items():
        known = [sizes.get(size, size) if isinstance(size, str) else size for size in shape]
        sizes |= ensure_shape(f"{source}: FLAMEServer.{name}", flame[name], known)
        sizes["3V"] = 3 * sizes["V"]
    return flame


def _agreed(state: Mapping[str, Tensor], name: str, source: Path) -> Tensor:
    copies = [state[prefix + name] for prefix in COPIES if prefix + name in state]
    if not copies:
        raise InputError(
            f"{source} misses {COPIES[0]}{name}; expected an IMavatar checkpoint with its head model"
        )
    if not torch.equal(copies[0], copies[-1]):
        raise InputError(
            f"{source} holds two different head models ({name} differs); it was not saved by IMavatar"
        )
    return copies[0]


def _metres(tensor: Tensor) -> NDArray[np.float32]:
    return np.ascontiguousarray(tensor.float().numpy() / UNITS_PER_METRE, dtype=np.float32)


def _edition(vertices: int, source: Path) -> str:
    if vertices not in EDITION_BY_VERTICES:
        raise InputError(
            f"{source} has a head model of {vertices} vertices that is not known; say its edition"
        )
    return EDITION_BY_VERTICES[vertices]


def _with_names(head: HeadModel) -> HeadModel:
    """OpenHead's expressions and vertices have names, and the same topology is the same head."""
    if head.edition != "openhead":
        return head
    bundled = HeadModel.load("openhead")
    if not np.array_equal(bundled.faces, head.faces):
        return head
    return replace(
        head, expression_names=bundled.expression_names, vertex_groups=bundled.vertex_groups
    )


# Read the networks' sizes off the shapes of their tensors, whatever the configuration said.


LATENT_SIZE = 32
"""The published code's one length of a per-frame latent code."""


class Layer(NamedTuple):
    """Shape of one linear layer."""

    outputs: int
    inputs: int


def infer_sizes(state: Mapping[str, Tensor]) -> NetworkSizes:
    """The `NetworkSizes` that fit a state dict (in our names) of the published networks.

    An encoded point is an odd multiple of three long, and no such number is left after subtracting 32 from another:
    the input's length tells whether there is a latent code. Shapes that fit nothing surface in `weights.fill`.

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


# Read the few lines of an official run's `runconf.conf` that its tensors cannot tell.


FILE_NAME = "runconf.conf"

REFUSED = {"multires_view": "0", "use_freq_band": "False"}
"""Options that change what the same tensors mean, and the only value we reproduce."""


def read_runconf(file: Path) -> dict[str, str]:
    """Subject and method of the run that `file` (a `.pth` in the official layout) belongs to; empty without a conf.

    The conf is HOCON with two lines of git state appended, which HOCON readers refuse; looking for single
    `key = value` lines needs neither to be understood.

    Raises:
        InputError: the run used an option that changes the networks beyond their shapes.
    """
    for folder in list(file.resolve().parents)[:3]:
        conf = folder / FILE_NAME
        if conf.is_file():
            text = conf.read_text(encoding="utf-8", errors="replace")
            _refuse_variants(conf, text)
            found = {"subject": _value(text, "subject_name"), "method": _value(text, "methodname")}
            return {name: value for name, value in found.items() if value}
    return {}


def _refuse_variants(conf: Path, text: str) -> None:
    for key, wanted in REFUSED.items():
        value = _value(text, key)
        if value and value.lower() != wanted.lower():
            raise InputError(
                f"{conf} sets {key} = {value}; only runs with {key} = {wanted} can be read"
            )


def _value(text: str, key: str) -> str:
    match = re.search(rf"^\s*{key}\s*[=:]\s*\"?([^\s\"#,]+)", text, re.MULTILINE)
    return match.group(1) if match else ""


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
            warnings.simplefilter(
                "ignore"
            )  # what torch warns about is either read or refused in one sentence below
            stored = torch.load(file, map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        foreign = re.search(r"GLOBAL ([\w.]+)", str(error))
        what = (
            f"holds a foreign object, {foreign.group(1)}" if foreign else "is not made of tensors"
        )
        raise InputError(
            f"{file} {what}; expected a checkpoint of plain tensors saved by IMavatar"
        ) from error
    except Exception as error:  # bytes that are no archive make the reader fail in any way at all
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
    """[L] code the published evaluation uses: the first training frame's."""
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
            f"{inputs} has no latent_codes_state_dict; expected the input parameters saved with {file}"
        )
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
