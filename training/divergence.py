"""Watch: ends a run early, in a sentence, when it cannot succeed any more."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import nn

from imavatar_deploy.errors import QualityError


@dataclass
class DivergenceMonitor:
    """Looks at every step before it changes anything."""

    patience: int
    """Steps in a row that may miss the avatar altogether."""
    missed: int = 0

    def losses(self, terms: Mapping[str, float], total: float, step: int, frame: str) -> None:
        """Refuse a loss that is not finite.

        Args:
            terms: the unweighted terms.
            total: their weighted sum, which can overflow where no term does.

        Raises:
            QualityError: a term, or the sum, is NaN or infinite; each such term, the step and the
                frame are named.
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
                f"{' and '.join(damaged)} at step {step}, frame {frame}: training stopped before that "
                "step changed anything, and the last checkpoint is good; check this frame with "
                "imavatar-data check, or go on with a lower optimiser.learning_rate"
            )

    def gradients(
        self, parameters: Iterable[nn.Parameter], limit: float, step: int, frame: str
    ) -> float:
        """Refuse gradients that are not finite, and shorten them to `limit` if that is positive; returns their length.

        Raises:
            QualityError: a gradient is NaN or infinite.
        """
        norm = nn.utils.clip_grad_norm_(parameters, limit or math.inf)
        if not torch.isfinite(norm):
            raise QualityError(
                f"the gradient became {norm.item()} at step {step}, frame {frame}: training stopped before that step "
                "changed anything, and the last checkpoint is good; go on with a lower optimiser.learning_rate"
            )
        return norm.item()

    def surface(self, rays: int, wanted: int, step: int) -> None:
        """Count the steps in a row in which `wanted` foreground rays met nothing.

        Raises:
            QualityError: there were too many.
        """
        self.missed = self.missed + 1 if wanted and not rays else 0
        if self.missed >= self.patience:
            raise QualityError(vanished(step, self.missed))


def vanished(step: int, missed: int) -> str:
    """The sentence for a render that is empty."""
    since = (
        f"for {missed} steps no ray inside the masks has met it"
        if missed
        else "it has no surface any more"
    )
    return (
        f"the avatar has vanished at step {step}: {since}; check cameras and masks with imavatar-data check, or begin "
        "from the head model (without --no-warm-start)"
    )
