"""The method of the IMavatar paper, and the same without supervision by the head model."""

from __future__ import annotations

from imavatar_deploy.model.head_avatar import VariantRow
from imavatar_deploy.model.implicit_avatar import ImplicitAvatar

ROW = VariantRow(
    ImplicitAvatar.name,
    "the paper's own, blendshapes, correctives and weights in canonical space",
    ImplicitAvatar,
    supervised=True,
)


# IMavatar-


class ImplicitAvatarMinus(ImplicitAvatar):
    """An `ImplicitAvatar` trained without pseudo ground truth: IMavatar- of table 1."""

    name = "imavatar-minus"


MINUS_ROW = VariantRow(
    ImplicitAvatarMinus.name,
    "the same networks from masks and colours only",
    ImplicitAvatarMinus,
    supervised=False,
)
