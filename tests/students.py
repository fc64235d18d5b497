"""Students with random weights, scaled so that every unit is active for some inputs."""

from __future__ import annotations

import numpy as np

from imavatar_deploy.student import SHAPES, Student


def random_student(vertices: int, width: int, seed: int = 0) -> Student:
    rng = np.random.default_rng(seed)
    sizes = {"V": vertices, "H": width}

    def random_array(name: str) -> np.ndarray:
        shape = [sizes[size] if isinstance(size, str) else size for size in SHAPES[name]]
        spread = 1.0 if name == "features" or len(shape) == 1 else 1.5 / np.sqrt(shape[0])
        return (spread * rng.normal(size=shape)).astype(np.float32)

    return Student(**{name: random_array(name) for name in SHAPES})
