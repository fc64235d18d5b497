"""IMavatar: the paper's own method."""

from __future__ import annotations

from imavatar_deploy.model.implicit_avatar import ImplicitAvatar

from .row import VariantRow

ROW = VariantRow(
    ImplicitAvatar.name,
    "the paper's own, blendshapes, correctives and weights in canonical space",
    ImplicitAvatar,
    supervised=True,
)
