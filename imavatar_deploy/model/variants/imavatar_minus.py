"""IMavatar-: the same networks, trained with masks and colours only."""

from __future__ import annotations

from imavatar_deploy.model.implicit_avatar import ImplicitAvatar

from .row import VariantRow


class ImplicitAvatarMinus(ImplicitAvatar):
    """An implicit avatar that the head model's blendshapes and weights have not taught (IMavatar, table 1)."""

    name = "imavatar-minus"


ROW = VariantRow(
    ImplicitAvatarMinus.name, "the same networks from masks and colours only", ImplicitAvatarMinus, supervised=False
)
