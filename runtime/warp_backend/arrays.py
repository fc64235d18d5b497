"""Types of the kernels' arguments: numpy's for a type checker, Warp's own for Warp."""

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
    Bytes = NDArray[np.uint8]
    Bytes2 = NDArray[np.uint8]
    Half = Any
    Float = Any
    Double = Any
    Vec3 = Any
    Vec3d = Any
    Vec4d = Any
    Vec4i = Any
else:
    Floats = wp.array(dtype=wp.float32)
    Floats2 = wp.array2d(dtype=wp.float32)
    Doubles2 = wp.array2d(dtype=wp.float64)
    Halves2 = wp.array2d(dtype=wp.float16)
    Ints = wp.array(dtype=wp.int32)
    Ints2 = wp.array2d(dtype=wp.int32)
    Keys = wp.array(dtype=wp.uint64)
    Bytes = wp.array(dtype=wp.uint8)
    Bytes2 = wp.array2d(dtype=wp.uint8)
    Half = wp.float16
    Float = wp.float32
    Double = wp.float64
    Vec3 = wp.vec3
    Vec3d = wp.vec3d
    Vec4d = wp.vec4d
    Vec4i = wp.vec4i
