"""VariantRow: what the table of variants says of each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from imavatar_deploy.head_model import HeadModel
from imavatar_deploy.model.sizes import NetworkSizes
from imavatar_deploy.model.variant import Variant


@dataclass(frozen=True)
class VariantRow:
    """One way to build and train a head avatar."""

    name: str
    summary: str
    """One line for `--help`."""
    build: Callable[[HeadModel, NetworkSizes, dict[str, Any]], Variant]
    """(head model, sizes, provenance) -> an untrained model."""
    supervised: bool
    """Whether the head model's pseudo ground truth trains it, beside masks and colours."""
