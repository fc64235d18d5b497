"""The table of variants: the paper's method and its baselines, one file each, in the order of its tables."""

from __future__ import annotations

from imavatar_deploy.model.head_avatar import VariantRow

from . import b_morph, c_net, d_net, fwd_skin, imavatar

VARIANTS: dict[str, VariantRow] = {
    row.name: row
    for row in (imavatar.ROW, imavatar.MINUS_ROW, c_net.ROW, d_net.ROW, b_morph.ROW, fwd_skin.ROW)
}
"""Name -> row."""

__all__ = ["VARIANTS", "VariantRow"]
