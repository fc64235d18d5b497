"""FormatOption: an option that only some formats obey."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click


class FormatOption(click.Option):
    """An option that only some formats obey.

    Args:
        formats: their names.
    """

    def __init__(self, *names: str, formats: Sequence[str], **chosen: Any) -> None:
        super().__init__(names, show_default=bool(chosen.get("default")), **chosen)
        self.formats = tuple(formats)
