"""Divergence checks: end a run whose losses or gradients are not finite or whose avatar is gone."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import nn

from imavatar_deploy.errors import QualityError


@dataclass
class DivergenceMonitor:
    """Checks every training step before the optimisers change the networks."""

    patience: int
    """Consecutive steps without a ray that hits the avatar after which the run ends."""
    missed: int = 0
    """Consecutive steps without such a ray up to now."""

    def losses(self, terms: Mapping[str, float], total: float, step: int, frame: str) -> None:
        """Check that the losses of a step are finite.

        Args:
            terms: the unweighted terms.
            total: their weighted sum, which can overflow where no term does.

        Raises:
            QualityError: a term or the sum is NaN or infinite. The message names each such term,
                the step and the frame.
        """
        damaged = [
            f"the {name} loss became {value}"
            for name, value in terms.items()
            if not math.isfinite(value)
        ]
        if not damaged and not math.isfinite(total):
            damaged = [f"the weighted sum of the losses became {total}"]
        if damaged:
            raise QualityError(
                f"{' and '.join(damaged)} at step {step}, frame {frame}: training stopped before "
                "that step changed anything, and the last checkpoint is good; check this frame "
                "with imavatar-data check, or resume with a lower optimiser.learning_rate"
            )

    def gradients(
        self, parameters: Iterable[nn.Parameter], limit: float, step: int, frame: str
    ) -> float:
        """Check that the gradients are finite and clip their norm to `limit` if it is positive.

        Returns:
            The norm of the gradients before clipping.

        Raises:
            QualityError: a gradient is NaN or infinite.
        """
        norm = nn.utils.clip_grad_norm_(parameters, limit or math.inf)
        if not torch.isfinite(norm):
            raise QualityError(
                f"the gradient became {norm.item()} at step {step}, frame {frame}: training "
                "stopped before that step changed anything, and the last checkpoint is good; "
                "resume with a lower optimiser.learning_rate"
            )
        return norm.item()

    def surface(self, hits: int, foreground: int, step: int) -> None:
        """Count the consecutive steps in which no foreground ray hits the surface.

        Args:
            hits: foreground rays that hit the surface.
            foreground: rays inside the mask.

        Raises:
            QualityError: the count reaches `patience`.
        """
        self.missed = self.missed + 1 if foreground and not hits else 0
        if self.missed >= self.patience:
            raise QualityError(vanished_message(step, self.missed))


def vanished_message(step: int, missed: int) -> str:
    """The error message for an avatar without a visible surface.

    Args:
        missed: consecutive steps without a hit; 0 where the surface cannot be extracted.
    """
    since = (
        f"for {missed} steps no ray inside the masks has hit it"
        if missed
        else "it has no surface any more"
    )
    return (
        f"the avatar has vanished at step {step}: {since}; check cameras and masks with "
        "imavatar-data check, or start from the head model (without --no-warm-start)"
    )
