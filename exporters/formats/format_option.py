"""FormatOption: a command-line option that applies to some formats only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click


class FormatOption(click.Option):
    """A command-line option that applies to some formats only.

    Args:
        names: of the option.
        formats: names of the formats; empty for an option that applies to all.
        attributes: further arguments of `click.Option`.
    """

    def __init__(self, *names: str, formats: Sequence[str], **attributes: Any) -> None:
        super().__init__(names, show_default=bool(attributes.get("default")), **attributes)
        self.formats = tuple(formats)
