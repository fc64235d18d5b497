"""Names that are kept for one release after they were renamed."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any

REMOVED_IN = "0.3"
"""The first version without the old names."""


def warn_renamed(old: str, new: str, stacklevel: int = 3) -> None:
    """Issue a `DeprecationWarning` that names what replaces `old`.

    Args:
        old: the dotted name that was used.
        new: the name to use instead.
        stacklevel: of `warnings.warn`; the default blames the caller of the caller.
    """
    message = f"{old} is now {new}; the old name is removed in version {REMOVED_IN}"
    warnings.warn(message, DeprecationWarning, stacklevel=stacklevel)


def renamed(module: str, names: Mapping[str, tuple[str, Any]]) -> Callable[[str], Any]:
    """A `__getattr__` for a module that answers to old names, with a warning.

    Args:
        module: `__name__` of the module.
        names: old name -> (new name, the object).
    """

    def getattr_of_module(name: str) -> Any:
        if name not in names:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        new, value = names[name]
        warn_renamed(f"{module}.{name}", new)
        return value

    return getattr_of_module
