"""The one way to import an optional dependency: `require("onnxruntime", extra="cpu")`."""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from typing import Any

from imavatar_deploy.errors import MissingDependencyError


def require(module: str, *, extra: str) -> Any:
    """Import `module`, or raise one sentence with the `pip install` line that brings it.

    A shared library that fails to load (`OSError`) counts as missing: the package is there and unusable.

    Raises:
        MissingDependencyError: the module cannot be imported or one of its libraries cannot be loaded.
    """
    try:
        return importlib.import_module(module)
    except (ImportError, OSError) as error:
        raise MissingDependencyError(
            f"{module} is needed here and could not be imported ({error}): pip install 'imavatar-deploy[{extra}]'"
        ) from error


def require_all(modules: Iterable[str], *, extra: str) -> None:
    """Import every module, so that a command ends before its work, and not in the middle of it.

    Raises:
        MissingDependencyError: as `require`, for the first that cannot be imported.
    """
    for module in modules:
        require(module, extra=extra)
