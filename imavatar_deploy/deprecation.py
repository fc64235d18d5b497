"""Deprecated names: warnings, and module attributes that remain for one release after a rename."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any

REMOVED_IN = "0.3"
"""The first version without the old names."""


def warn_renamed(old: str, new: str, stacklevel: int = 3) -> None:
    """Issue a `DeprecationWarning` that names the replacement of `old`.

    Args:
        old: the dotted name that was used.
        new: the name to use instead.
        stacklevel: passed to `warnings.warn`; the default reports the caller of the caller.
    """
    message = f"{old} is now {new}; the old name is removed in version {REMOVED_IN}"
    warnings.warn(message, DeprecationWarning, stacklevel=stacklevel)


def renamed(module: str, names: Mapping[str, tuple[str, Any]]) -> Callable[[str], Any]:
    """Return a `__getattr__` for a module that resolves old names and warns.

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
