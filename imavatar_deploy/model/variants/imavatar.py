"""IMavatar: the paper's own method."""

from __future__ import annotations

from imavatar_deploy.model.head_avatar import VariantRow
from imavatar_deploy.model.implicit_avatar import ImplicitAvatar

ROW = VariantRow(
    ImplicitAvatar.name,
    "the paper's own, blendshapes, correctives and weights in canonical space",
    ImplicitAvatar,
    supervised=True,
)


# IMavatar-: the same networks, trained with masks and colours only.


class ImplicitAvatarMinus(ImplicitAvatar):
    """An implicit avatar that the head model's blendshapes and weights have not taught (IMavatar, table 1)."""

    name = "imavatar-minus"


MINUS_ROW = VariantRow(
    ImplicitAvatarMinus.name,
    "the same networks from masks and colours only",
    ImplicitAvatarMinus,
    supervised=False,
)
