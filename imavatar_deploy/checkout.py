"""Import the rooms from a checkout: `imavatar_deploy.runtime` is its folder `runtime/`.

The root folders of a checkout get their package names when the package is built (see
`pyproject.toml`). Python started in the root of a checkout imports `imavatar_deploy/` from there
and not from the installed package. Without this module it finds no rooms in that folder, or those
of another checkout.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType

ROOMS = ("exporters", "runtime", "training")


class RoomFinder(MetaPathFinder):
    """Finds the rooms, and no other module, in the root of a checkout.

    Adding the root to the package's `__path__` would expose every other folder, too:
    `imavatar_deploy.tests`, and `imavatar_deploy.imavatar_deploy`, a second copy of each module.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the specification of `imavatar_deploy.ROOM`; None for any other module."""
        package, _, name = fullname.rpartition(".")
        if package != "imavatar_deploy" or name not in ROOMS:
            return None
        return PathFinder.find_spec(fullname, [str(self._root)], target)


def add_rooms(root: Path) -> None:
    """Import the rooms from `root` if it is a checkout; an installed package holds its own."""
    sources = ("pyproject.toml", *(f"{room}/__init__.py" for room in ROOMS))
    if all((root / source).is_file() for source in sources):
        # Comes before the finder of an editable install, which may belong to another checkout.
        sys.meta_path.insert(0, RoomFinder(root))
