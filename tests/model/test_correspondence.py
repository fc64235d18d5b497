"""Correspondence search: maps with known roots, and results of the official code."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from imavatar_deploy.model import ImplicitAvatar
from imavatar_deploy.model.correspondence import (
    IMAGE_TOLERANCE,
    broyden,
    full_precision,
    starting_bones,
    starts,
)
from imavatar_deploy.model.frame import Frame
from imavatar_deploy.model.implicit_diff import inverse

from .moving_sphere import calm, moving_sphere

pytestmark = pytest.mark.usefixtures("one_thread")

FrameTensors = tuple[torch.Tensor, torch.Tensor]
IDENTITY = torch.eye(3, 4)[None]


def bent(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Map points without folds, with all weight on one bone."""
    return x + 0.2 * torch.sin(2.0 * x.roll(1, dims=1)), torch.ones(len(x), 1)


def test_inverse(points: torch.Tensor) -> None:
    matrices = torch.eye(3) + 0.3 * torch.randn(
        64, 3, 3, generator=torch.Generator().manual_seed(3)
    )
    torch.testing.assert_close(inverse(matrices), torch.linalg.inv(matrices), atol=1e-5, rtol=1e-5)


def test_broyden_finds_the_roots_of_a_bent_space(points: torch.Tensor) -> None:
    targets = bent(points)[0]
    roots = broyden(bent, targets, targets, IDENTITY)
    assert (roots.residual < IMAGE_TOLERANCE).all()
    torch.testing.assert_close(roots.canonical, points, atol=1e-4, rtol=0)


def test_broyden_evaluates_active_searches_only(points: torch.Tensor) -> None:
    counts: list[int] = []

    def counted(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        counts.append(len(x))
        return bent(x)

    targets = bent(points)[0]
    start = torch.where(torch.arange(64)[:, None] < 32, points, targets)
    broyden(counted, start, targets, IDENTITY)
    assert counts[:2] == [64, 64], "every search takes a step"
    assert all(count <= 32 for count in counts[2:])
    assert len(counts) < 10


def test_the_residual_of_a_search_without_root_is_large(points: torch.Tensor) -> None:
    def flattened(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return x * torch.tensor([1.0, 1.0, 0.0]), torch.ones(len(x), 1)

    targets = points + torch.tensor([0.0, 0.0, 2.0])
    roots = broyden(flattened, points, targets, IDENTITY)
    assert (roots.residual > 0.1).all()


def test_starts_undo_a_bone(
    small: ImplicitAvatar, points: torch.Tensor, frame: FrameTensors
) -> None:
    transforms = small.transforms(*frame)
    bones = starting_bones(6)
    start = starts(points, transforms[bones], small.canonical_transforms[bones])
    assert bones == [0, 2, 3]
    torch.testing.assert_close(start[:, 0], points)  # the ghost bone never moves
    for column, bone in enumerate(bones):
        canonical, posed = (t[bone] for t in (small.canonical_transforms, transforms))
        rest = torch.linalg.solve(canonical[:, :3], (start[:, column] - canonical[:, 3]).T).T
        torch.testing.assert_close(rest @ posed[:, :3].T + posed[:, 3], points, atol=1e-5, rtol=0)


def test_without_ghost_bone_searches_start_from_the_root() -> None:
    assert starting_bones(5) == [0, 1, 2]


@pytest.mark.parametrize("sizes", [{}, {"bones": 5}, {"deformation_frequencies": 2}], ids=str)
@torch.no_grad()
def test_folded_map_is_deform(
    make_avatar: Callable[..., ImplicitAvatar],
    points: torch.Tensor,
    frame: FrameTensors,
    sizes: dict[str, int],
) -> None:
    avatar = make_avatar(**sizes)
    deformed, weights = avatar.forward_map(Frame(*frame))(points)
    torch.testing.assert_close(deformed, avatar.deform(points, *frame), atol=2e-6, rtol=1e-5)
    torch.testing.assert_close(weights, avatar.deformation(points).weights, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("precision", ["highest", "high", "medium"])
def test_search_multiplies_in_full_precision(precision: str) -> None:
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(precision)
    try:
        with pytest.raises(ZeroDivisionError), full_precision(torch.device("cpu")):
            assert torch.get_float32_matmul_precision() == "highest"
            assert not torch.backends.cuda.matmul.allow_tf32
            raise ZeroDivisionError
        assert torch.get_float32_matmul_precision() == precision
    finally:
        torch.set_float32_matmul_precision(before)


def test_search_multiplies_in_full_precision_with_the_newer_switch() -> None:
    switch = torch.backends.cuda.matmul
    before = switch.fp32_precision
    switch.fp32_precision = "tf32"
    try:
        with pytest.raises(ZeroDivisionError), full_precision(torch.device("cpu")):
            assert switch.fp32_precision == "ieee"
            raise ZeroDivisionError
        assert switch.fp32_precision == "tf32"
    finally:
        switch.fp32_precision = before


def test_search_ignores_autocast(points: torch.Tensor) -> None:
    avatar = moving_sphere()
    frame = calm()
    expected = avatar.find_canonical(points, frame)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        roots = avatar.find_canonical(points, frame)
    assert roots.sdf.dtype is torch.float32
    torch.testing.assert_close(roots, expected)


@pytest.mark.parametrize("frame", [0, 1, 2])
def test_official_search(official: ImplicitAvatar, reference: Path, frame: int) -> None:
    """Rounding decides whether points near the threshold converge: a few may differ."""
    with np.load(reference / "golden" / "d_correspondence.npz") as data:
        golden = {key: torch.from_numpy(data[key]) for key in data.files if data[key].ndim}
    drive = Frame(golden["expression"][frame], golden["pose"][frame])
    roots = official.find_canonical(golden[f"query_{frame}"], drive)
    both = roots.valid & golden[f"mask_{frame}"]
    assert (roots.valid != golden[f"mask_{frame}"]).sum() <= 3
    assert both.sum() > 3000
    torch.testing.assert_close(
        roots.canonical[both], golden[f"pnts_c_{frame}"][both], atol=1e-4, rtol=0
    )
    torch.testing.assert_close(roots.sdf[both], golden[f"sdf_{frame}"][both], atol=1e-4, rtol=0)


@pytest.mark.parametrize("frame", [0, 1, 2])
def test_official_search_from_each_start(
    official: ImplicitAvatar, reference: Path, frame: int
) -> None:
    with np.load(reference / "golden" / "d_correspondence.npz") as data:
        golden = {key: torch.from_numpy(data[key]) for key in data.files if data[key].ndim}
    drive = Frame(golden["expression"][frame], golden["pose"][frame])
    points = golden[f"query_{frame}"]
    bones = starting_bones(6)
    transforms = official.transforms(*drive[:2])
    start = starts(points, transforms[bones], official.canonical_transforms[bones])
    torch.testing.assert_close(start, golden[f"xc_init_{frame}"], atol=1e-5, rtol=0)
    targets = points[:, None].expand_as(start).reshape(-1, 3)
    with torch.no_grad():
        roots = broyden(official.forward_map(drive), start.reshape(-1, 3), targets, transforms)
    valid = roots.residual < IMAGE_TOLERANCE
    expected = golden[f"valid_ids_{frame}"].reshape(-1)
    # Where the forward map folds, rounding decides which of two roots a search finds.
    both = valid & expected
    apart = (roots.canonical - golden[f"xc_opt_{frame}"].reshape(-1, 3)).norm(dim=1)[both] > 1e-4
    assert (valid != expected).float().mean() < 0.005
    assert apart.float().mean() < 0.005
