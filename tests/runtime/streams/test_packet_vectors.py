"""The test vectors in docs/packets: Python's decoder and the browser's agree with them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from imavatar_deploy.errors import InputError
from imavatar_deploy.runtime.streams import EDITION_CODES, decode

from ...processes import run_process, run_python

ROOT = Path(__file__).resolve().parents[3]
VECTORS = ROOT / "docs" / "packets"
PACKETS = json.loads((VECTORS / "packets.json").read_text(encoding="utf-8"))["packets"]
MOTION = json.loads((VECTORS / "motion.json").read_text(encoding="utf-8"))["steps"]
VIEWER = ROOT / "imavatar_deploy" / "viewer" / "viewer.js"

NODE = """
import { readFileSync } from "node:fs";
globalThis.HTMLElement = class {};
globalThis.customElements = { define() {}, get() {} };
globalThis.document = { querySelector: () => null };
const [viewer, packets, motion] = process.argv.slice(2);
const { decodePacket, faceOf, JitterBuffer, poseOf } = await import(viewer);
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
console.log(JSON.stringify({ decoded, played }));
"""
"""Runs the viewer's decoder and buffer; the page around them is left out."""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What viewer.js makes of both files."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not there: install Node.js 20 or newer")
    folder = tmp_path_factory.mktemp("node")
    script, viewer = folder / "run.mjs", folder / "viewer.mjs"
    script.write_text(NODE, encoding="utf-8")
    shutil.copyfile(VIEWER, viewer)
    files = [str(VECTORS / name) for name in ("packets.json", "motion.json")]
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
    for name in ("packets.json", "motion.json"):
        assert (tmp_path / name).read_bytes() == (VECTORS / name).read_bytes(), (
            f"run python tools/build_packet_vectors.py and commit {name}"
        )
