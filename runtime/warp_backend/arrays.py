"""Types of the kernels' arguments: to a type checker they are numpy's, to Warp its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .library import wp

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]
    Floats2 = NDArray[np.float32]
    Doubles2 = NDArray[np.float64]
    Halves2 = NDArray[np.float16]
    Ints = NDArray[np.int32]
    Ints2 = NDArray[np.int32]
    Keys = NDArray[np.uint64]
    Bytes2 = NDArray[np.uint8]
    Half = Any
    Float = Any
    Double = Any
    Vec3 = Any
    Vec4d = Any
    Vec4i = Any
else:
    Floats, Floats2 = wp.array(dtype=wp.float32), wp.array2d(dtype=wp.float32)
    Doubles2 = wp.array2d(dtype=wp.float64)
    Halves2 = wp.array2d(dtype=wp.float16)
    Ints, Ints2 = wp.array(dtype=wp.int32), wp.array2d(dtype=wp.int32)
    Keys = wp.array(dtype=wp.uint64)
    Bytes2 = wp.array2d(dtype=wp.uint8)
    Half, Float, Double = wp.float16, wp.float32, wp.float64
    Vec3, Vec4d, Vec4i = wp.vec3, wp.vec4d, wp.vec4i
