"""The head model inside an official checkpoint: FLAME x 4 with the subject's shape, as our `HeadModel` in metres."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from imavatar_deploy.checks import Dimension, ensure_shape
from imavatar_deploy.conventions import BONES, EXPRESSION_SIZE, POSE_FEATURE_SIZE, UNITS_PER_METRE
from imavatar_deploy.errors import InputError
from imavatar_deploy.head_model import Float, HeadModel

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
        raise InputError(f"{source} misses {COPIES[0]}{name}; expected an IMavatar checkpoint with its head model")
    if not torch.equal(copies[0], copies[-1]):
        raise InputError(f"{source} holds two different head models ({name} differs); it was not saved by IMavatar")
    return copies[0]


def _metres(tensor: Tensor) -> Float:
    return np.ascontiguousarray(tensor.float().numpy() / UNITS_PER_METRE, dtype=np.float32)


def _edition(vertices: int, source: Path) -> str:
    if vertices not in EDITION_BY_VERTICES:
        raise InputError(f"{source} has a head model of {vertices} vertices that is not known; say its edition")
    return EDITION_BY_VERTICES[vertices]


def _with_names(head: HeadModel) -> HeadModel:
    """OpenHead's expressions and vertices have names, and the same topology is the same head."""
    if head.edition != "openhead":
        return head
    bundled = HeadModel.load("openhead")
    if not np.array_equal(bundled.faces, head.faces):
        return head
    return replace(head, expression_names=bundled.expression_names, vertex_groups=bundled.vertex_groups)
