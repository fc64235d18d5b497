"""Messages: lines on stderr, and numbers of bytes as text; without the libraries of the console."""

from __future__ import annotations

import sys
from contextlib import suppress


def tell(text: str) -> None:
    """Write a line on stderr; a log that cannot be written, on a full disk, is no error."""
    with suppress(OSError):
        print(text, file=sys.stderr, flush=True)


def human_bytes(count: int) -> str:
    """`12.3 MB` and the like."""
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{count / 1e3:.1f} kB"
