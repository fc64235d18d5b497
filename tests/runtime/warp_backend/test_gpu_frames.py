"""benchmarks/gpu_frames.py on Warp's CPU device: it runs, and its lower bounds are right."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

pytest.importorskip("warp", reason="pip install 'imavatar-deploy[cuda]'")

import gpu_frames


def test_it_measures_every_shading(layered_folder: Path) -> None:
    how = (
        "--backend",
        "warp",
        "--size",
        "24",
        "--timed",
        "3",
        "--frames",
        "20",
        "--tflops",
        "0.01",
        "--gbps",
        "10",
    )
    result = CliRunner().invoke(gpu_frames.main, [str(layered_folder), *how])
    assert result.exit_code == 0, result.output
    for line in (
        "24², pixel",
        "24², vertex",
        "24², student",
        "times the floor",
        "waiting after each",
        "20 in batches of 32",
        "GFLOP",
    ):
        assert line in result.output


def test_floors_by_hand() -> None:
    """The load of the design's estimate: four layers of 512, 100,000 pixels."""
    flops = 2 * (70 * 512 + 3 * 512 * 512 + 512 * 3)
    load = gpu_frames.Load(25_000, 50_000, 512 * 512, 100_000, flops, 67, 6, 86)
    assert load.flops == pytest.approx(164.76e9, rel=1e-3)
    assert load.bytes["animate"] == 25_000 * (4 * 3 * 87 + 24 + 36)
    lines = list(gpu_frames.report(load, np.full(10, 1e-3), (989.0, 3350.0)))
    assert "arithmetic 0.1666 ms" in lines[-2]
    assert lines[-1] == f"p50 is {1 / 0.16658:.1f} times the floor"
    assert "give --tflops and --gbps" in list(gpu_frames.report(load, np.full(10, 1e-3), None))[-1]


def test_peaks_are_found_by_name() -> None:
    assert gpu_frames.peak_of("Warp 1.19.0 on NVIDIA H100 80GB HBM3", None, None) == (989, 3350)
    assert gpu_frames.peak_of("Warp 1.19.0 on NVIDIA H100 PCIe", None, None) == (756, 2000)
    assert gpu_frames.peak_of("Warp 1.19.0 on CPU", None, None) is None
    assert gpu_frames.peak_of("Warp 1.19.0 on CPU", 0.1, 20.0) == (0.1, 20.0)
