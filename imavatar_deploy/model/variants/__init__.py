"""The table of variants: the paper's method and its baselines, one file each, in the order of its tables."""

from __future__ import annotations

from . import b_morph, c_net, d_net, fwd_skin, imavatar, imavatar_minus
from .row import VariantRow

VARIANTS: dict[str, VariantRow] = {
    module.ROW.name: module.ROW for module in (imavatar, imavatar_minus, c_net, d_net, b_morph, fwd_skin)
}
"""Name -> row."""

__all__ = ["VARIANTS", "VariantRow"]
