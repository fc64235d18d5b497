"""The order of a slot's calls: no image is read or overwritten too early.

A stand-in for Warp records the calls. It uses no GPU; the order within a stream is CUDA's.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("warp", reason="pip install 'imavatar-deploy[cuda]'")

from imavatar_deploy.runtime.warp_backend import frame_slots as slots
from imavatar_deploy.runtime.warp_backend.frame_slots import Slot
from imavatar_deploy.runtime.warp_backend.renderer import WarpRenderer

GPU = SimpleNamespace(is_cuda=True)


class Recorder:
    """Stand-in for the functions of Warp that a slot uses; events are numbered."""

    float32 = np.float32
    uint8 = np.uint8

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.made = 0

    def zeros(self, shape: Any, dtype: Any, device: Any, pinned: bool = False) -> Any:
        assert pinned == (device == "cpu"), (
            "a host array that is not pinned would make every copy wait"
        )
        return SimpleNamespace(numpy=lambda: np.zeros(shape, dtype), device=device)

    def Event(self, device: Any) -> str:
        self.made += 1
        return f"event{self.made}"

    @contextmanager
    def ScopedStream(self, stream: Any) -> Iterator[None]:
        yield

    @contextmanager
    def ScopedCapture(self, device: Any, stream: Any) -> Iterator[Any]:
        self.calls.append("capture")
        yield SimpleNamespace(graph=f"graph{self.made // 2}")
        self.calls.append("captured")

    def copy(self, target: Any, source: Any, stream: Any = None) -> None:
        way = "down" if target.device == "cpu" else "up"
        self.calls.append(f"{stream.name if stream else 'current'}: copy {way}")

    def capture_launch(self, graph: str, stream: Any) -> None:
        self.calls.append(f"{stream.name}: {graph}")

    def synchronize_event(self, event: str) -> None:
        self.calls.append(f"host: wait for {event}")

    def stream(self, name: str) -> Any:
        return SimpleNamespace(
            name=name,
            record_event=lambda event: self.calls.append(f"{name}: record {event}"),
            wait_event=lambda event: self.calls.append(f"{name}: wait for {event}"),
        )


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    recorder = Recorder()
    monkeypatch.setattr(slots, "wp", recorder)
    return recorder


class Inputs(list[float]):
    device = GPU


def two_slots(recorder: Recorder) -> list[Slot]:
    streams = recorder.stream("drawing"), recorder.stream("copying")

    def stages(image: Any) -> None:
        recorder.calls.append("kernels")

    return [Slot(stages, Inputs([0.0] * 8), 4, *streams) for _ in range(2)]


def drawn(slot: int) -> list[str]:
    """The calls of one launch, in order."""
    done = f"event{2 * slot - 1}"
    there = f"event{2 * slot}"
    return [
        f"drawing: graph{slot}",
        f"drawing: record {done}",
        f"copying: wait for {done}",
        "copying: copy down",
        f"copying: record {there}",
    ]


def test_the_graph_holds_the_upload_and_the_kernels(recorder: Recorder) -> None:
    two_slots(recorder)
    assert recorder.calls == ["capture", "current: copy up", "kernels", "captured"] * 2


def test_a_batch_waits_for_an_image_before_its_slot_is_used_again(recorder: Recorder) -> None:
    renderer = WarpRenderer.__new__(WarpRenderer)
    renderer._slots = two_slots(recorder)
    renderer._size = (2, 2)
    renderer._stream = recorder.stream("drawing")
    recorder.calls.clear()
    frames: list[int] = []

    def write_input(slot: Slot, expression: Any, *_: Any) -> None:
        recorder.calls.append(f"host: frame {int(expression[0])}")
        frames.append(renderer._slots.index(slot))

    renderer._write_input = write_input  # type: ignore[method-assign]
    expressions = np.arange(4, dtype=np.float32)[:, None]
    poses = np.zeros((4, 15), dtype=np.float32)
    images = renderer.render_batch(expressions, poses, np.zeros((3, 4), dtype=np.float32))
    assert images.shape == (4, 2, 2, 4)
    assert frames == [0, 1, 0, 1]
    assert recorder.calls == [
        "host: frame 0",
        *drawn(1),
        "host: frame 1",
        *drawn(2),
        "host: wait for event2",
        "host: frame 2",
        *drawn(1),
        "host: wait for event4",
        "host: frame 3",
        *drawn(2),
        "host: wait for event2",
        "host: wait for event4",
    ]
