"""Array types whose annotations state element type and shape: `Float32[Array, "V 3"]`.

The names are those of jaxtyping (https://docs.kidger.site/jaxtyping). A letter is the size of an axis,
the same in every argument and in the result of one function; `...` is any number of axes, `_` an axis
of any size. A single letter is written with a leading space, `Float32[Array, " V"]`, so that linters
do not take it for a forward reference. The letters are those of `imavatar_deploy.conventions`.

Annotations cost nothing at run time. The tests check every call against them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Bool, Float, Float32, Float64, Int, Int32, Int64, Integer, Shaped, UInt8

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]
else:
    Array = np.ndarray

__all__ = [
    "Array",
    "Bool",
    "Float",
    "Float32",
    "Float64",
    "Int",
    "Int32",
    "Int64",
    "Integer",
    "Shaped",
    "UInt8",
]
