"""Import of optional dependencies: `require("onnxruntime", extra="cpu")`."""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from typing import Any

from imavatar_deploy.errors import MissingDependencyError


def require(module: str, *, extra: str) -> Any:
    """Import and return an optional module.

    A shared library that fails to load (`OSError`) counts as missing: the package is installed and
    cannot be used.

    Args:
        module: dotted name of the module.
        extra: the extra of this package that installs it, for the error message.

    Raises:
        MissingDependencyError: the module cannot be imported, or one of its libraries cannot be
            loaded; the message holds the `pip install` line.
    """
    try:
        return importlib.import_module(module)
    except (ImportError, OSError) as error:
        raise MissingDependencyError(
            f"{module} is needed here and could not be imported ({error}): "
            f"pip install 'imavatar-deploy[{extra}]'"
        ) from error


def require_all(modules: Iterable[str], *, extra: str) -> None:
    """Import every module, so that a command fails before its work and not in the middle of it.

    Raises:
        MissingDependencyError: as `require`, for the first module that cannot be imported.
    """
    for module in modules:
        require(module, extra=extra)
