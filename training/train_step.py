"""TrainStep: one image's pixels in, every loss term out; the module that Fabric wraps for several processes."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from imavatar_deploy.model.frame import Frame, View
from imavatar_deploy.model.tracing.tracer import Traced, Tracer
from imavatar_deploy.model.variant import Variant

from .inputs import Inputs
from .loss_weights import LossWeights, Terms
from .losses import image_terms
from .pixels import Batch
from .pseudo_truth import PseudoTruth


class TrainStep(nn.Module):
    """A model with the inputs of every frame, traced and compared with images.

    Args:
        truth: None where only masks and colours supervise.
        mixed: see `image_terms`.
    """

    def __init__(
        self,
        model: Variant,
        inputs: Inputs,
        tracer: Tracer,
        weights: LossWeights,
        truth: PseudoTruth | None,
        mixed: bool = False,
    ) -> None:
        super().__init__()
        self.model, self.inputs, self.truth = model, inputs, truth
        self.tracer, self.weights, self.mixed = tracer, weights, mixed

    def forward(self, batch: Batch) -> tuple[Tensor, Terms, Tensor]:
        """The weighted loss, its terms, and how many rays met the avatar inside the mask."""
        frame, centre = self.inputs(batch.frame)
        view = View.of(batch.camera, batch.size, batch.pixels, centre=centre, device=batch.pixels.device)
        traced = self._trace(frame, view, batch.mask)
        with parametrize.cached():  # weight norm: once a step instead of once a call
            terms = image_terms(self.model, frame, view, traced, batch, self.weights, self.truth, self.mixed)
        terms |= self.inputs.drift(batch.frame)
        return self.weights.total(terms), terms, (traced.hit & batch.mask).sum()

    @torch.no_grad()
    def _trace(self, frame: Frame, view: View, foreground: Tensor) -> Traced:
        with parametrize.cached():
            return self.tracer.trace(self.model, frame, view, foreground=foreground)
