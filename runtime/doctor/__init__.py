"""The doctor: every part that an installation may have, tried for real, each in a process of its own."""

from .command import doctor

__all__ = ["doctor"]
