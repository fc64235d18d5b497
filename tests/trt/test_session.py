"""EngineSession on fakes: addresses, shapes, and the use of CUDA graphs."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from imavatar_deploy.errors import InputError, MissingDependencyError
from imavatar_deploy.onnx_session import open_session, run_graph
from imavatar_deploy.trt import flavours
from imavatar_deploy.trt.session import EngineSession
from imavatar_deploy.trt.sidecar import plan_path, read_sidecar
from imavatar_deploy.trt.verify import check_engines

from ..tiny_avatar import CODE
from .conftest import GPU
from .fakes import FakeCuda, FakeTensorrt


def some_inputs(count: int, seed: int = 0) -> dict[str, NDArray[np.float32]]:
    rng = np.random.default_rng(seed)
    shapes = {"code": (count, CODE), "normal": (count, 3), "condition": (1, 53)}
    return {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


def session_of(folder: Path) -> EngineSession:
    return EngineSession(plan_path(folder, "texture").read_bytes(), read_sidecar(folder, "texture"))


def test_computes_what_the_graph_does(engine_folder: Path, cuda: FakeCuda) -> None:
    session, truth = session_of(engine_folder), open_session(engine_folder / "texture.onnx")
    launched = []
    for seed, count in enumerate((40, 1, 3, 5, 40, 37, 7, 1)):
        inputs = some_inputs(count, seed)
        np.testing.assert_array_equal(
            run_graph(session, inputs)["rgb"], run_graph(truth, inputs)["rgb"]
        )
        launched.append(cuda.launched)
    assert launched == [0, 0, 1, 2, 2, 3, 3, 3], (
        "a CUDA graph from the second run of a size in a row, in steps of 5"
    )
    session.close()
    assert not cuda.memory


def test_a_runtime_that_captures_by_itself_is_told_to(
    engine_folder: Path, cuda: FakeCuda, monkeypatch: pytest.MonkeyPatch
) -> None:
    rtx = replace(flavours.FLAVOURS["tensorrt-rtx"], module="tensorrt")
    monkeypatch.setitem(flavours.FLAVOURS, "tensorrt", rtx)
    session = session_of(engine_folder)
    trt = sys.modules["tensorrt"]
    assert trt.strategies == [FakeTensorrt.CudaGraphStrategy.WHOLE_GRAPH_CAPTURE]
    for _ in range(3):
        run_graph(session, some_inputs(4))
    assert cuda.launched == 0


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (some_inputs(41), r"code must have shape \[-1, 8\] with 1 to 40 rows, got \[41, 8\]"),
        (some_inputs(0), "with 1 to 40 rows"),
        ({"code": some_inputs(2)["code"]}, "takes code, normal, condition, got code"),
        (
            {**some_inputs(2), "condition": np.zeros((2, 53), np.float32)},
            r"condition must have shape \[1, 53\]",
        ),
    ],
)
def test_refuses_what_the_profile_does(
    engine_folder: Path, cuda: FakeCuda, inputs: Any, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        session_of(engine_folder).run(None, inputs)


def test_a_plan_that_does_not_load_is_a_sentence(engine_folder: Path, cuda: FakeCuda) -> None:
    with pytest.raises(InputError, match="tensorrt cannot load the engine of texture"):
        EngineSession(b"", read_sidecar(engine_folder, "texture"))


@pytest.mark.parametrize(
    "fails", ["cudaSetDevice", "cudaMalloc", "cudaMemcpyAsync", "cudaStreamSynchronize"]
)
def test_a_device_that_refuses_is_a_sentence(
    engine_folder: Path, cuda: FakeCuda, fails: str
) -> None:
    cuda.fails = fails
    with pytest.raises(
        MissingDependencyError, match=rf"refused {fails} \(cudaErrorInsufficientDriver\)"
    ):
        session_of(engine_folder).run(None, some_inputs(2))


def test_an_engine_is_checked_where_there_is_a_device(
    engine_folder: Path, cuda: FakeCuda, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "imavatar_deploy.trt.verify.probe_driver", lambda: type("D", (), {"devices": (GPU,)})
    )
    (report,), why_not = check_engines(engine_folder)
    assert (report.subject, report.passed, why_not) == ("texture engine", True, {})
    assert not cuda.memory
