"""Preflight: the reason for each fact of a sidecar that rules out its plan."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from imavatar_deploy.trt.driver import Device
from imavatar_deploy.trt.preflight import preflight
from imavatar_deploy.trt.sidecar import Sidecar, plan_path, read_sidecar

from .conftest import GPU
from .fakes import FakeCuda

HOPPER = Device("NVIDIA H100", "sm90")
TURING = Device("NVIDIA T4", "sm75")


@pytest.mark.usefixtures("cuda")
class TestPreflight:
    def test_nothing_speaks_against_it(self, engine_folder: Path) -> None:
        assert preflight(engine_folder, read_sidecar(engine_folder, "texture"), GPU) is None

    @pytest.mark.parametrize(
        ("facts", "message"),
        [
            (
                {"flavour": "tensorrt-lite"},
                "built by 'tensorrt-lite', which this program does not know",
            ),
            ({"version": "10.9.0.34"}, "it was built by tensorrt 10.9.0.34, here is 11.4.0.106"),
            ({"version": "11.3.0.1"}, "it was built by tensorrt 11.3.0.1, here is 11.4.0.106"),
            (
                {"version": "11.5.0.1", "compatibility": "version"},
                "built by tensorrt 11.5.0.1, here is",
            ),
            (
                {"version": "10.9.0.1", "compatibility": "version"},
                "built by tensorrt 10.9.0.1, here is",
            ),
            ({"system": "windows-amd64"}, "it was built for windows-amd64, this is "),
            (
                {"targets": ("sm86", "sm120")},
                "it was built for sm86, sm120, NVIDIA RTX 4090 is sm89",
            ),
            ({"source_sha256": "0" * 64}, "texture.onnx is not the graph it was built of"),
            ({"plan_sha256": "0" * 64}, "its plan is missing or damaged"),
        ],
    )
    def test_says_what_speaks_against_it(
        self,
        engine_folder: Path,
        change: Callable[..., Sidecar],
        facts: dict[str, object],
        message: str,
    ) -> None:
        reason = preflight(engine_folder, change(**facts), GPU)
        assert reason is not None
        assert message in reason

    def test_compatibility_admits_what_it_promises(self, engine_folder: Path) -> None:
        sidecar = read_sidecar(engine_folder, "texture")
        assert (
            preflight(
                engine_folder, replace(sidecar, version="11.0.0.9", compatibility="version"), GPU
            )
            is None
        )
        hardware = replace(sidecar, targets=("sm86",), compatibility="hardware")
        assert preflight(engine_folder, hardware, HOPPER) is None
        assert preflight(engine_folder, hardware, TURING) is not None

    def test_a_missing_plan_or_library_is_said(
        self, engine_folder: Path, cuda: FakeCuda, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        sidecar = read_sidecar(engine_folder, "texture")
        plan_path(engine_folder, "texture").unlink()
        assert preflight(engine_folder, sidecar, GPU) == "its plan is missing or damaged"
        monkeypatch.setitem(sys.modules, "tensorrt", None)
        assert "pip install 'imavatar-deploy[trt]'" in str(preflight(engine_folder, sidecar, GPU))
