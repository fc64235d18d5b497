"""Initial weights of a run: a warm start, those of a checkpoint, or the paper's sphere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

import imavatar_deploy
from imavatar_deploy.consent import Consent
from imavatar_deploy.errors import InputError
from imavatar_deploy.head_model import HeadModel
from imavatar_deploy.model.checkpoint import load_variant
from imavatar_deploy.model.head_avatar import HeadAvatarModel
from imavatar_deploy.model.variants import VARIANTS

from ..settings import TrainSettings
from .fit_networks import shared_with_ghost, warm_start
from .head_surface import HeadSurface

SUBDIVISIONS = 1
"""Of the head model's mesh for the warm start; without any, flat triangles would be visible."""
SKIN = (0.78, 0.62, 0.54)
"""Colour of the warm start, which training from images replaces."""


def build_model(
    settings: TrainSettings, head: HeadModel, consent: Consent | None = None
) -> HeadAvatarModel:
    """Build the untrained model of a run; its geometry is a sphere."""
    torch.manual_seed(settings.seed)
    return VARIANTS[settings.variant].build(head, settings.networks, provenance(settings, consent))


def provenance(settings: TrainSettings, consent: Consent | None = None) -> dict[str, Any]:
    """Metadata of checkpoints: the program, the settings and the consent that made them."""
    return {
        "made by": f"imavatar-train {imavatar_deploy.__version__}",
        "settings": asdict(settings),
        **({"consent": consent.as_dict()} if consent else {}),
    }


def take_weights(model: HeadAvatarModel, checkpoint: Path | str) -> None:
    """Load the weights of a checkpoint into a model.

    Raises:
        InputError: the checkpoint is of another variant or of other network sizes.
    """
    source = load_variant(checkpoint)
    weights = source.state_dict()
    shapes = {name: tensor.shape for name, tensor in model.state_dict().items()}
    if shapes != {name: tensor.shape for name, tensor in weights.items()}:
        raise InputError(
            f"{checkpoint} is {source.name} with {source.sizes}, and the run wants {model.name} "
            f"with {model.sizes}: give the run the checkpoint's [networks] in a --config"
        )
    model.load_state_dict(weights)


def warm_up(
    model: HeadAvatarModel, settings: TrainSettings, snapshots: Path, say: Callable[[str], None]
) -> None:
    """Fit the model to the head model, in place; a later call continues from the snapshots.

    Args:
        snapshots: folder for the state of the fits.
        say: receives lines about the progress.
    """

    def report(name: str, step: int, steps: int, losses: dict[str, float]) -> None:
        if step == steps or step % max(1, steps // 5) == 0:
            terms = "  ".join(f"{term} {value:.4f}" for term, value in losses.items())
            say(f"warm start: {name} {step}/{steps}  {terms}")

    bare = HeadSurface.from_head(model.head, subdivisions=SUBDIVISIONS, colour=SKIN)
    subject = replace(bare, weights=shared_with_ghost(bare.weights))
    warm_start(model, subject, settings.fit, report=report, snapshots=snapshots)
