"""Fixtures: a tiny avatar folder with an engine of its texture network, and a fake GPU."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from imavatar_deploy.avatar_io import sha256, write_avatar
from imavatar_deploy.trt.build import BuiltEngine, EngineTensor, Profile
from imavatar_deploy.trt.driver import Device
from imavatar_deploy.trt.sidecar import (
    Sidecar,
    read_sidecar,
    system_here,
    write_engine,
    write_sidecar,
)

from ..tiny_avatar import CODE, tiny_avatar
from .fakes import FakeCuda, FakeTensorrt

GPU = Device("NVIDIA RTX 4090", "sm89")


@pytest.fixture
def engine_folder(own_avatar_folder: Path) -> Path:
    """A folder for one test; its plan is the ONNX graph, which `FakeTensorrt` runs."""
    write_texture_engine(own_avatar_folder)
    return own_avatar_folder


def write_texture_engine(folder: Path) -> Sidecar:
    graph = folder / "texture.onnx"
    tensors = (("code", (-1, CODE)), ("normal", (-1, 3)), ("condition", (1, 53)))
    sidecar = Sidecar(
        graph="texture",
        flavour="tensorrt",
        version=FakeTensorrt.__version__,
        system=system_here(),
        targets=("sm89",),
        compatibility="none",
        precision="fp32",
        profile=Profile(1, 16, 40),
        source="texture.onnx",
        source_sha256=sha256(graph),
        plan_sha256=sha256(graph),
        plan_bytes=graph.stat().st_size,
        inputs=tuple(EngineTensor(name, "float32", shape) for name, shape in tensors),
        outputs=(EngineTensor("rgb", "float32", (-1, 3)),),
        limits={"rgb": 1e-5},
        half_drift={},
        executed="not run: a test",
    )
    write_engine(folder, BuiltEngine(graph.read_bytes(), (), (), ""), sidecar)
    seal(folder)
    return sidecar


def seal(folder: Path) -> None:
    """Write the manifest again, with the hashes of the files, as an export does last."""
    (folder / "avatar.json").unlink()
    write_avatar(folder, tiny_avatar(), about={})


@pytest.fixture
def change(engine_folder: Path) -> Callable[..., Sidecar]:
    """A function that changes fields of the sidecar."""

    def changed(**facts: object) -> Sidecar:
        sidecar = replace(read_sidecar(engine_folder, "texture"), **facts)  # type: ignore[arg-type]
        write_sidecar(engine_folder, sidecar)
        seal(engine_folder)
        return sidecar

    return changed


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> FakeCuda:
    """Fakes of both modules."""
    fake = FakeCuda()
    for name, module in (
        ("cuda", types.ModuleType("cuda")),
        ("cuda.bindings", types.ModuleType("cuda.bindings")),
        ("cuda.bindings.runtime", fake),
        ("tensorrt", FakeTensorrt(fake)),
    ):
        monkeypatch.setitem(sys.modules, name, module)  # type: ignore[arg-type]
    return fake
