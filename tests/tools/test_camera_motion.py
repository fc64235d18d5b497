"""Smoothing and neutral face of the web page's camera, compared with those of the player."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from imavatar_deploy.arrays import Array, Float64
from imavatar_deploy.kinematics import quaternions
from imavatar_deploy.runtime.live.motion.calibration import median_face
from imavatar_deploy.runtime.live.motion.face_state import Face, face_of
from imavatar_deploy.runtime.live.motion.pipeline import AUTO_LATENCY_SHARE
from imavatar_deploy.runtime.live.motion.playback import OneEuro, Smoothing

from ..processes import run_process

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "imavatar_deploy" / "viewer" / "source" / "face_motion.ts"
ESBUILD = ROOT / "tools" / "viewer" / "node_modules" / ".bin" / "esbuild"

PROGRAM = """
import { readFileSync } from "node:fs";
import { NeutralFace, Smoothing } from "./face_motion.mjs";
const { faces, interval } = JSON.parse(readFileSync(process.argv[2], "utf-8"));
const smoothing = new Smoothing();
const neutral = new NeutralFace();
neutral.calibrate();
const smooth = faces.map((face, index) => smoothing.step(face, 10 + index * interval));
const relative = faces.map((face, index) => neutral.relative(face, 10 + index * interval));
const lost = [0.5, 1.9, 6].map((pause) =>
  smoothing.step(undefined, 10 + (faces.length - 1) * interval + pause));
console.log(JSON.stringify({ smooth, relative, lost }));
"""

COUNT = 45
INTERVAL = 1 / 30


def faces() -> list[Face]:
    """A face that moves, with the noise of a tracker."""
    random = np.random.default_rng(3)
    times = np.arange(COUNT) * INTERVAL
    expression = 0.3 + 0.3 * np.sin(np.outer(times, np.linspace(1, 12, 50)))
    pose = 0.4 * np.sin(np.outer(times, np.linspace(1, 9, 15)))
    expression += 0.02 * random.standard_normal(expression.shape)
    pose += 0.01 * random.standard_normal(pose.shape)
    return [face_of(*row) for row in zip(expression, pose, strict=True)]


def as_json(face: Face) -> dict[str, Any]:
    return {"expression": face.expression.tolist(), "turns": face.turns.tolist()}


def difference(face: dict[str, Any], reference: Face) -> Float64[Array, "65"]:
    return reference.minus(Face(np.array(face["expression"]), np.array(face["turns"])))


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the page's program makes of the faces."""
    if shutil.which("node") is None or not ESBUILD.exists():
        pytest.skip("needs node, and the compilers that tools/build_viewer.py installs")
    folder = tmp_path_factory.mktemp("motion")
    flags = ("--bundle", "--format=esm", f"--outfile={folder / 'face_motion.mjs'}")
    result = run_process([str(ESBUILD), str(SOURCE), *flags])
    assert result.returncode == 0, result.stderr
    request = {"faces": [as_json(face) for face in faces()], "interval": INTERVAL}
    (folder / "request.json").write_text(json.dumps(request))
    (folder / "program.mjs").write_text(PROGRAM)
    result = run_process(["node", str(folder / "program.mjs"), str(folder / "request.json")])
    assert result.returncode == 0, result.stderr
    return dict(json.loads(result.stdout))


def test_faces_are_smoothed_as_by_the_player(answers: dict[str, Any]) -> None:
    smoothing = Smoothing()
    euro = OneEuro(smoothing)
    floor = smoothing.floor_of(AUTO_LATENCY_SHARE * INTERVAL)
    before = shown = faces()[0]
    for face, answer in zip(faces()[1:], answers["smooth"][1:], strict=True):
        shown = shown.plus(euro.step(face.minus(before), face.minus(shown), INTERVAL, floor))
        before = face
        assert np.abs(difference(answer, shown)).max() < 1e-9
    assert np.abs(face.minus(shown)).max() > 0.02, "the filter does something"


def test_the_neutral_face_is_the_median_of_a_second(answers: dict[str, Any]) -> None:
    collected = 1 + round(1 / INTERVAL)
    neutral = median_face(faces()[:collected])
    for index, (face, answer) in enumerate(zip(faces(), answers["relative"], strict=True)):
        expected = face if index < collected - 1 else neutral.subtract_from(face)
        assert np.abs(difference(answer, expected)).max() < 1e-6  # the neutral face is float32


def test_without_a_face_the_head_holds_and_returns_to_neutral(answers: dict[str, Any]) -> None:
    last = answers["smooth"][-1]
    assert answers["lost"][0] == answers["lost"][1] == last
    end = answers["lost"][2]
    assert np.abs(end["expression"]).max() < 1e-3
    assert np.abs(np.array(end["turns"]) - quaternions(np.zeros(15))).max() < 1e-3
