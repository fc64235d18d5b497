"""Backends: every row that can run here draws what the CPU draws, and refuses in a sentence what it does not draw."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from imavatar_deploy.errors import InputError, UsageError
from imavatar_deploy.runtime import Player


def test_a_batch_is_its_frames(tiny_avatar_folder: Path) -> None:
    rng = np.random.default_rng(2)
    expressions, poses = rng.random((3, 50)), 0.1 * rng.normal(size=(3, 15))
    with Player(tiny_avatar_folder, size=(40, 32)) as player:
        batch = player.render_batch(expressions, poses)
        one_by_one = [player.render(*frame) for frame in zip(expressions, poses, strict=True)]
        assert player.render_batch(expressions[:0], poses[:0]).shape == (0, 32, 40, 4)
        with pytest.raises(
            InputError, match=r"poses must have shape \[3, 15\], got \[2, 15\]; one for each expression"
        ):
            player.render_batch(expressions, poses[:2])
    np.testing.assert_array_equal(batch, one_by_one)


@pytest.mark.parametrize("backend", ["onnx-cuda", "tensorrt"])
def test_what_runs_the_network_elsewhere_draws_no_student(tiny_avatar_folder: Path, backend: str) -> None:
    with pytest.raises(UsageError, match=f"--backend {backend} does not draw --shading student; .*vertex or pixel"):
        Player(tiny_avatar_folder, backend=backend, shading="student")
