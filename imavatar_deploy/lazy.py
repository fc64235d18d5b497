"""Packages whose public names are imported when they are first used."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def lazy_names(
    package: str, places: Mapping[str, str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """`__getattr__` and `__dir__` of a package whose names live in modules that need not be loaded.

    Importing the package stays fast and needs none of its optional dependencies; `help` and
    completion still list every name.

    Args:
        package: `__name__` of the package.
        places: public name -> module that defines it, relative to the package, such as `.export`;
            `.export:NAME` where it has another name there.

    Example:
        __getattr__, __dir__ = lazy_names(__name__, PLACES)
    """

    def getattr_of_package(name: str) -> Any:
        if name not in places:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module, _, original = places[name].partition(":")
        return getattr(import_module(module, package), original or name)

    def dir_of_package() -> list[str]:
        return sorted({*places, *vars(sys.modules[package])})

    return getattr_of_package, dir_of_package
