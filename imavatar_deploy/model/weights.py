"""Put weights that were read from a file into a model: names, then shapes, then values, the first misfit named."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from imavatar_deploy.checks import ensure_shape
from imavatar_deploy.errors import InputError

from .variant import Variant


def fill(model: Variant, state: Mapping[str, Tensor], source: Path) -> None:
    """Load `state` into the model's networks.

    Raises:
        InputError: a tensor is missing, foreign, of another shape, or not finite; `source` is named in the sentence.
    """
    expected = model.state_dict()
    for verb, names in (("misses", expected.keys() - state.keys()), ("has a foreign", state.keys() - expected.keys())):
        if names:
            others = f" and {len(names) - 1} others" if len(names) > 1 else ""
            raise InputError(f"{source} {verb} tensor {min(names)}{others}; expected the networks of {model.name}")
    for name, tensor in state.items():
        ensure_shape(f"{source}: tensor {name}", tensor, tuple(expected[name].shape), "is it another architecture?")
        if not torch.isfinite(tensor).all():
            raise InputError(f"{source}: tensor {name} holds NaN or infinity; use a checkpoint of an earlier epoch")
    model.load_state_dict({name: tensor.float() for name, tensor in state.items()})
