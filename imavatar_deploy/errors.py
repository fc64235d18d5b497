"""The exceptions of imavatar-deploy: one tree, each branch with its exit code.

Exception
├── ImavatarError                what a user can mend; one sentence: what came, what was expected, what to do
│   ├── UsageError           2   unknown name, impossible argument, output that cannot be written
│   ├── QualityError         3   a result misses its parity or quality tolerance and is withheld
│   ├── BudgetError          4   a time or memory budget was exceeded
│   ├── MissingDependencyError 5 an optional package or device is not there
│   └── InputError           6   a file, array or stream that cannot be read or does not fit
│       └── EditionMismatchError 6   made for another head model
└── InternalError                our own bug, never the user's: keep the traceback, report it
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class ImavatarError(Exception):
    """Base of everything a user can mend; `exit_code` is what a command returns for it."""

    exit_code = 1


class UsageError(ImavatarError):
    """An argument that cannot be obeyed: an unknown name, a contradiction, an unwritable output."""

    exit_code = 2


class QualityError(ImavatarError):
    """A result that misses its tolerance; it is withheld and the evidence is kept."""

    exit_code = 3


class BudgetError(ImavatarError):
    """A time or memory budget that was exceeded."""

    exit_code = 4


class MissingDependencyError(ImavatarError):
    """An optional package, library or device that is needed and not there."""

    exit_code = 5


class InputError(ImavatarError):
    """A file, array or stream that cannot be read, or does not fit what it is used with."""

    exit_code = 6


class EditionMismatchError(InputError):
    """Parameters of one head-model edition given to a thing made for another."""


class InternalError(Exception):
    """A broken promise inside this package; please report it with its traceback."""


def unknown_name(kind: str, name: str, known: Iterable[str]) -> UsageError:
    """The error for a name outside a table: lists what exists and suggests the nearest, never guesses."""
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    return UsageError(f"unknown {kind} {name!r}: expected one of {', '.join(names)}{hint}")
