"""Students with random weights of a size that leaves no unit idle."""

from __future__ import annotations

import numpy as np

from imavatar_deploy.student import SHAPES, Student


def random_student(vertices: int, width: int, seed: int = 0) -> Student:
    rng = np.random.default_rng(seed)
    sizes = {"V": vertices, "H": width}

    def drawn(name: str) -> np.ndarray:
        shape = [sizes[size] if isinstance(size, str) else size for size in SHAPES[name]]
        spread = 1.0 if name == "features" or len(shape) == 1 else 1.5 / np.sqrt(shape[0])
        return (spread * rng.normal(size=shape)).astype(np.float32)

    return Student(**{name: drawn(name) for name in SHAPES})
