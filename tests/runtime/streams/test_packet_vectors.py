"""The test vectors in docs/packets: Python's decoder and the browser's agree with them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from imavatar_deploy.camera import Camera
from imavatar_deploy.errors import InputError
from imavatar_deploy.runtime.streams import EDITION_CODES, decode
from imavatar_deploy.runtime.streams.camera_message import decode_camera, encode_camera

from ...processes import run_process, run_python

ROOT = Path(__file__).resolve().parents[3]
VECTORS = ROOT / "docs" / "packets"
PACKETS = json.loads((VECTORS / "packets.json").read_text(encoding="utf-8"))["packets"]
MOTION = json.loads((VECTORS / "motion.json").read_text(encoding="utf-8"))["steps"]
CAMERAS = json.loads((VECTORS / "cameras.json").read_text(encoding="utf-8"))
VIEWER = ROOT / "imavatar_deploy" / "viewer" / "viewer.js"

NODE = """
import { readFileSync } from "node:fs";
globalThis.HTMLElement = class {};
globalThis.customElements = { define() {}, get() {} };
globalThis.document = { querySelector: () => null };
const [viewer, packets, motion, cameras] = process.argv.slice(2);
const viewerModule = await import(viewer);
const { CameraBuffer, decodeCamera, decodePacket, faceOf, JitterBuffer, poseOf } = viewerModule;
const decoded = JSON.parse(readFileSync(packets)).packets.map(({ hex }) => {
  try {
    const { edition, sequence, time, weights, pose } = decodePacket(Buffer.from(hex, "hex"));
    return { edition, sequence, time, weights: [...weights], pose: [...pose] };
  } catch (error) {
    return { refused: error.message };
  }
});
const buffer = new JitterBuffer();
const played = JSON.parse(readFileSync(motion)).steps.map((step) => {
  if ("insert" in step) {
    const expression = [...step.expression, ...new Array(47).fill(0)];
    return buffer.insert(step.insert, faceOf(expression, step.pose), step.shown, step.interval);
  }
  const face = buffer.read(step.read);
  return { expression: face.expression, pose: poseOf(face) };
});
const named = (view) =>
  view && { world_to_camera: view.worldToCamera, intrinsics: view.intrinsics };
const { messages, steps } = JSON.parse(readFileSync(cameras));
const views = messages.map(({ text }) => {
  try {
    const view = decodeCamera(text);
    return view === undefined ? "ignored" : named(view);
  } catch (error) {
    return { refused: error.message };
  }
});
const track = new CameraBuffer();
const seen = steps.map(({ packet, camera, read }) => {
  if (packet === undefined) return named(track.read(read));
  const { world_to_camera: worldToCamera, intrinsics } = camera ?? {};
  track.add(packet, camera && { worldToCamera, intrinsics });
  return null;
});
console.log(JSON.stringify({ decoded, played, views, seen }));
"""
"""Runs the viewer's decoder and buffer; the page around them is left out."""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What viewer.js makes of the files."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not there: install Node.js 20 or newer")
    folder = tmp_path_factory.mktemp("node")
    script, viewer = folder / "run.mjs", folder / "viewer.mjs"
    script.write_text(NODE, encoding="utf-8")
    shutil.copyfile(VIEWER, viewer)
    files = [str(VECTORS / f"{name}.json") for name in ("packets", "motion", "cameras")]
    result = run_process([node, str(script), viewer.as_uri(), *files], limit=60)
    assert result.returncode == 0, result.stderr
    return dict(json.loads(result.stdout))


def test_there_are_packets_of_every_edition_and_bad_ones() -> None:
    editions = {row["expected"]["edition"] for row in PACKETS if row["expected"] != "refused"}
    assert editions == set(EDITION_CODES)
    assert sum(row["expected"] == "refused" for row in PACKETS) >= 25


@pytest.mark.parametrize("row", PACKETS, ids=lambda row: row["name"])
def test_python_decodes_them(row: dict[str, Any]) -> None:
    data = bytes.fromhex(row["hex"])
    if row["expected"] == "refused":
        with pytest.raises(InputError):
            decode(data)
        return
    packet = decode(data)
    assert {
        "edition": packet.edition,
        "sequence": packet.sequence,
        "time": packet.time,
        "weights": packet.weights.tolist(),
        "pose": packet.pose.tolist(),
    } == row["expected"]


def test_the_browser_decodes_them_to_the_last_bit(browser: dict[str, Any]) -> None:
    for row, decoded in zip(PACKETS, browser["decoded"], strict=True):
        if row["expected"] == "refused":
            assert decoded["refused"].endswith("."), row["name"]
        else:
            assert decoded == row["expected"], row["name"]


def test_the_browser_plays_as_the_jitter_buffer_does(browser: dict[str, Any]) -> None:
    outcomes = set()
    for step, played in zip(MOTION, browser["played"], strict=True):
        if "insert" in step:
            assert played == step["expected"], step
            outcomes.add(played)
            continue
        expected = step["expected"]
        np.testing.assert_allclose(played["expression"][:3], expected["expression"], atol=1e-9)
        np.testing.assert_allclose(played["pose"], expected["pose"], atol=1e-9)
        assert not any(played["expression"][3:])
    assert outcomes == {"", "repeated", "late"}


def assert_same_camera(camera: Any, expected: Any, tolerance: float) -> None:
    if expected is None:
        assert camera is None
        return
    for name in ("world_to_camera", "intrinsics"):
        np.testing.assert_allclose(camera[name], expected[name], rtol=0, atol=tolerance)


@pytest.mark.parametrize("row", CAMERAS["messages"], ids=lambda row: row["name"])
def test_python_reads_messages_of_cameras(row: dict[str, Any]) -> None:
    if row["expected"] in ("refused", "ignored"):
        with pytest.raises(InputError if row["expected"] == "refused" else KeyError):
            decode_camera(row["text"])
        return
    camera = decode_camera(row["text"])
    assert_same_camera(
        camera
        and {
            "world_to_camera": camera.world_to_camera.ravel(),
            "intrinsics": camera.intrinsics,
        },
        row["expected"],
        0.0,
    )


def test_a_message_returns_every_number_of_a_camera() -> None:
    camera = Camera.looking_at([0.1, 0.2, 0.3], distance=4.2, extent=1.9, yaw=0.3)
    back = decode_camera(encode_camera(camera))
    assert back is not None
    np.testing.assert_array_equal(back.world_to_camera, camera.world_to_camera)
    np.testing.assert_array_equal(back.intrinsics, camera.intrinsics)
    assert decode_camera(encode_camera(None)) is None


def test_the_browser_reads_messages_of_cameras(browser: dict[str, Any]) -> None:
    kinds = set()
    for row, view in zip(CAMERAS["messages"], browser["views"], strict=True):
        if row["expected"] == "refused":
            assert view["refused"].endswith("."), row["name"]
        elif row["expected"] == "ignored":
            assert view == "ignored", row["name"]
        else:
            assert_same_camera(view, row["expected"], 1e-7)
        kinds.add(row["expected"] if isinstance(row["expected"], str) else "read")
    assert kinds == {"refused", "ignored", "read"}


def test_the_browser_looks_through_the_cameras_of_packets(browser: dict[str, Any]) -> None:
    for step, view in zip(CAMERAS["steps"], browser["seen"], strict=True):
        if "read" in step:
            assert_same_camera(view, step["expected"], 1e-6)


def test_the_committed_vectors_are_what_their_script_writes(tmp_path: Path) -> None:
    script = ROOT / "tools" / "build_packet_vectors.py"
    result = run_python(
        "import runpy, sys; sys.argv[1:] = sys.argv[2:]; "
        f"runpy.run_path({str(script)!r}, run_name='__main__')",
        "-",
        "--out",
        str(tmp_path),
    )
    assert result.returncode == 0, result.stderr
    for name in ("packets.json", "motion.json", "cameras.json"):
        assert (tmp_path / name).read_bytes() == (VECTORS / name).read_bytes(), (
            f"run python tools/build_packet_vectors.py and commit {name}"
        )
