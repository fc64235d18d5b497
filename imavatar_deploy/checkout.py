"""Imports of the rooms from a checkout: `imavatar_deploy.runtime` is the folder `runtime/` there.

The root folders of a checkout get their package names when the package is built, see
`pyproject.toml`. Python started in the checkout's root imports the folder `imavatar_deploy/` from
there, and not what is installed; without this module it would find no rooms in that folder, or the
rooms of another checkout.
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
    """Finds the rooms, and nothing else, in the root of a checkout.

    The root on the package's `__path__` would find them, too, and every other folder there:
    `imavatar_deploy.tests`, and `imavatar_deploy.imavatar_deploy`, a second copy of each module.
    """

    def __init__(self, root: Path) -> None:
        self._root = root

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The specification of `imavatar_deploy.ROOM`; None for any other module."""
        package, _, name = fullname.rpartition(".")
        if package != "imavatar_deploy" or name not in ROOMS:
            return None
        return PathFinder.find_spec(fullname, [str(self._root)], target)


def add_rooms(root: Path) -> None:
    """Import the rooms from `root` where that is a checkout; an installed package holds its own."""
    sources = ("pyproject.toml", *(f"{room}/__init__.py" for room in ROOMS))
    if all((root / source).is_file() for source in sources):
        # Before the finder of an editable install, which may be that of another checkout.
        sys.meta_path.insert(0, RoomFinder(root))
