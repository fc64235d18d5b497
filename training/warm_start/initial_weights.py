"""Beginning: the model a run starts from: the head model's shape, a checkpoint's weights, or the paper's sphere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

import imavatar_deploy
from imavatar_deploy.errors import InputError
from imavatar_deploy.head_model import HeadModel
from imavatar_deploy.model.checkpoint import load_variant
from imavatar_deploy.model.head_avatar import HeadAvatarModel
from imavatar_deploy.model.variants import VARIANTS

from ..settings import TrainSettings
from .fits import shared_with_ghost, warm_start
from .head_surface import HeadSurface

SUBDIVISIONS = 1
"""Of the head model's mesh, which the warm start fits: flat triangles would show."""
SKIN = (0.78, 0.62, 0.54)
"""What colour the warm start leaves; any will do, images follow."""


def build_model(settings: TrainSettings, head: HeadModel) -> HeadAvatarModel:
    """The untrained model of a run."""
    torch.manual_seed(settings.seed)
    return VARIANTS[settings.variant].build(head, settings.networks, provenance(settings))


def provenance(settings: TrainSettings) -> dict[str, Any]:
    """What checkpoints say of where they come from."""
    return {
        "made by": f"imavatar-train {imavatar_deploy.__version__}",
        "settings": asdict(settings),
    }


def take_weights(model: HeadAvatarModel, checkpoint: Path | str) -> None:
    """Give the model the weights of a checkpoint.

    Raises:
        InputError: it is of another variant or of other sizes.
    """
    found = load_variant(checkpoint)
    ours, theirs = model.state_dict(), found.state_dict()
    shapes = {name: tensor.shape for name, tensor in ours.items()}
    if shapes != {name: tensor.shape for name, tensor in theirs.items()}:
        raise InputError(
            f"{checkpoint} is {found.name} with {found.sizes}, and the run wants {model.name} with {model.sizes}: "
            "give the run the checkpoint's [networks] in a --config"
        )
    model.load_state_dict(theirs)


def warm_up(
    model: HeadAvatarModel, settings: TrainSettings, snapshots: Path, say: Callable[[str], None]
) -> None:
    """Fit the model to the head model, in place; interrupted, it goes on from its snapshots."""

    def report(name: str, step: int, steps: int, losses: dict[str, float]) -> None:
        if step == steps or step % max(1, steps // 5) == 0:
            terms = "  ".join(f"{term} {value:.4f}" for term, value in losses.items())
            say(f"warm start: {name} {step}/{steps}  {terms}")

    bare = HeadSurface.from_head(model.head, subdivisions=SUBDIVISIONS, colour=SKIN)
    subject = replace(bare, weights=shared_with_ghost(bare.weights))
    warm_start(model, subject, settings.fit, report=report, snapshots=snapshots)
