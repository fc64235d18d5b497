"""The exceptions of imavatar-deploy: one tree, each branch with its exit code.

Exception
├── ImavatarError                an error that the user can correct
│   ├── UsageError           2   unknown name, impossible argument, output that cannot be written
│   ├── QualityError         3   a result misses its parity or quality tolerance and is withheld
│   ├── BudgetError          4   a time or memory budget was exceeded
│   ├── MissingDependencyError 5 an optional package or device is missing
│   └── InputError           6   a file, array or stream that cannot be read or does not fit
│       └── EditionMismatchError 6   made for another head model
└── InternalError                a bug in this package: keep the traceback and report it

The message of an ImavatarError is one sentence: what was wrong, what is expected, what to do.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class ImavatarError(Exception):
    """Base class of errors that the user can correct; a command returns its `exit_code`."""

    exit_code = 1


class UsageError(ImavatarError):
    """An invalid argument: an unknown name, a contradiction, an output that cannot be written."""

    exit_code = 2


class QualityError(ImavatarError):
    """A result that misses its tolerance: it is withheld, and images of the failure are kept."""

    exit_code = 3


class BudgetError(ImavatarError):
    """A time or memory budget was exceeded."""

    exit_code = 4


class MissingDependencyError(ImavatarError):
    """A required package, library or device is missing."""

    exit_code = 5


class InputError(ImavatarError):
    """A file, array or stream cannot be read, or does not fit what it is used with."""

    exit_code = 6


class EditionMismatchError(InputError):
    """Parameters of one head-model edition are used with data of another."""


class InternalError(Exception):
    """A bug in this package; please report it with its traceback."""


EXCERPT_CHARACTERS = 120
"""Largest number of characters of a file, a packet or an argument in a message."""


def excerpt(value: object, limit: int = EXCERPT_CHARACTERS) -> str:
    """Return foreign content as one short line for a message; its end is cut with `...`.

    Args:
        value: text, a name, or an exception whose message may repeat content.
        limit: largest number of characters.
    """
    text = " ".join(str(value)[: 4 * limit].split())
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


def unknown_name(kind: str, name: str, known: Iterable[str]) -> UsageError:
    """Return the error for a name outside a table, with the valid names and the nearest of them.

    Args:
        kind: what the name stands for.
        name: the name that does not exist.
        known: the valid names.
    """
    names = sorted(known)
    shown = repr(excerpt(name)) if isinstance(name, str) else excerpt(repr(name))
    close = difflib.get_close_matches(excerpt(name), names, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    return UsageError(f"unknown {kind} {shown}: expected one of {', '.join(names)}{hint}")
