"""Backends: each row that can run here draws as the CPU does, and refuses other shadings."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from imavatar_deploy.avatar import Avatar
from imavatar_deploy.avatar_io import open_avatar, write_avatar
from imavatar_deploy.errors import InputError, UsageError
from imavatar_deploy.rendering.shading import AUTO, SHADINGS
from imavatar_deploy.runtime import Player
from imavatar_deploy.runtime.backends import BACKENDS, resolve_shading


def test_a_batch_is_its_frames(tiny_avatar_folder: Path) -> None:
    rng = np.random.default_rng(2)
    expressions = rng.random((3, 50))
    poses = 0.1 * rng.normal(size=(3, 15))
    with Player(tiny_avatar_folder, size=(40, 32)) as player:
        batch = player.render_batch(expressions, poses)
        one_by_one = [player.render(*frame) for frame in zip(expressions, poses, strict=True)]
        assert player.render_batch(expressions[:0], poses[:0]).shape == (0, 32, 40, 4)
        with pytest.raises(
            InputError,
            match=r"poses must have shape \[3, 15\], got \[2, 15\]; one for each expression",
        ):
            player.render_batch(expressions, poses[:2])
    np.testing.assert_array_equal(batch, one_by_one)


@pytest.mark.parametrize("backend", ["onnx-cuda", "tensorrt"])
def test_what_runs_the_network_elsewhere_draws_no_student(
    tiny_avatar_folder: Path, backend: str
) -> None:
    with pytest.raises(
        UsageError, match=f"--backend {backend} does not draw --shading student; .*vertex or pixel"
    ):
        Player(tiny_avatar_folder, backend=backend, shading="student")


@pytest.mark.parametrize("backend", BACKENDS)
def test_auto_is_what_the_backend_prefers_and_the_avatar_has(
    tiny_avatar_folder: Path, tmp_path: Path, avatar: Avatar, backend: str
) -> None:
    row = BACKENDS[backend]
    assert set(row.auto) <= set(row.shadings) <= set(SHADINGS)
    assert resolve_shading(AUTO, open_avatar(tiny_avatar_folder), backend) == row.auto[0]
    assert BACKENDS["cuda"].auto[0] == "pixel", "a GPU draws the truth"
    shutil.copy(tiny_avatar_folder / "student.safetensors", tmp_path)
    write_avatar(tmp_path, avatar, about={})
    without_graph = resolve_shading(AUTO, open_avatar(tmp_path), backend)
    assert without_graph == ("student" if "student" in row.auto else "vertex")
