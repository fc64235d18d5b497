"""The table of model variants: the paper's method and its baselines, in the order of its tables."""

from __future__ import annotations

from imavatar_deploy.model.head_avatar import VariantRow

from . import baselines, fwd_skin, hyper_nerf, imavatar

VARIANTS: dict[str, VariantRow] = {
    row.name: row
    for row in (
        imavatar.ROW,
        imavatar.MINUS_ROW,
        baselines.C_NET,
        baselines.D_NET,
        baselines.B_MORPH,
        fwd_skin.ROW,
        hyper_nerf.ROW,
    )
}
"""Variants by name."""

__all__ = ["VARIANTS", "VariantRow"]
