"""USD's Python bindings, which the extra `scene` brings."""

from __future__ import annotations

from typing import Any

import numpy as np

from imavatar_deploy.arrays import Array, Shaped
from imavatar_deploy.optional import require

EXTRA = "scene"

MODULES = (
    "pxr.Usd",
    "pxr.UsdGeom",
    "pxr.UsdSkel",
    "pxr.UsdShade",
    "pxr.Sdf",
    "pxr.Gf",
    "pxr.Vt",
    "pxr.Tf",
)


class Library:
    """The modules of USD's Python bindings, by their names."""

    def __init__(self) -> None:
        modules = (require(module, extra=EXTRA) for module in MODULES)
        self.Usd: Any
        self.Usd, self.UsdGeom, self.UsdSkel, self.UsdShade, *rest = modules
        self.Sdf: Any
        self.Sdf, self.Gf, self.Vt, self.Tf = rest

    def vectors(self, values: Shaped[Array, "N 3"]) -> Any:
        """Convert vectors to an array of the library."""
        return self.Vt.Vec3fArray.FromNumpy(np.ascontiguousarray(values, dtype=np.float32))
