"""From a video to a playing avatar at small size: all stages, from the pictures alone."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from imavatar_deploy.avatar_io import open_avatar
from imavatar_deploy.consent import OPTION
from imavatar_deploy.create.stages import held_out_frames
from imavatar_deploy.create.work import CreateFolder
from imavatar_deploy.exporters.refine.held_out import held_out_rows
from imavatar_deploy.fidelity.held_out_frames import REFINED_SHEET
from imavatar_deploy.marking import COMMENT
from imavatar_deploy.training.synthetic import synthesise
from imavatar_deploy.video_file import open_video

from ..processes import run_process

FRAMES = 16
SIDE = 192

SMALL = """
threads = 1
[networks]
geometry_layers = [48, 48, 48]
geometry_skip = [2]
geometry_frequencies = 2
feature = 8
deformation_layers = [16, 16]
texture_layers = [16, 16]
texture_frequencies = 1
bottleneck = 4
[schedule]
pixels = 128
features = 0.0
colours_first = 0
shape_warm_up = 0
condition_noise = 0.0
validation_steps = 0
validation_frames = 1
validation_size = 32
[tracer]
refresh_steps = 10
resolution = 64
[fit]
samples = 4000
steps = 400
batch = 256
deformation_steps = 40
deformation_batch = 256
"""
"""Networks that train in a second; what they show is not tested."""

EXPORT = (
    "--resolution 64 --faces 2000 --student-steps 30 --proof-size 48 --allow-drift journey "
    "--refine-steps 60"
)

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video of a rendered person; nothing but its pictures is known of it."""
    folder = tmp_path_factory.mktemp("clip")
    synthesise("male1", folder / "truth", frames=FRAMES, size=SIDE, subdivisions=1)
    files = sorted((folder / "truth" / "image").glob("*.png"), key=lambda file: int(file.stem))
    video = folder / "film" / "me.mp4"
    with open_video(video, SIDE, SIDE, 25) as add_image:
        for file in files:
            add_image(np.ascontiguousarray(cv2.imread(str(file))[..., ::-1]))
    shutil.rmtree(folder / "truth")
    return video


def create(clip: Path, out: Path, *options: str) -> str:
    """Run the command; return what it wrote to the standard error."""
    config = out.with_suffix(".toml")
    config.write_text(SMALL)
    words = ["--steps", "4", "--size", str(SIDE), "--training-size", "48", "--export", EXPORT]
    command = Path(sys.executable).parent / "imavatar-create"
    words += ["--train", f"--config {config}", *options]
    result = run_process(
        [str(command), str(clip), "--out", str(out), *words],
        env=ENVIRONMENT,
        limit=280,
    )
    assert result.returncode == 0, result.stderr
    return result.stderr


def contradict_held_out_pictures(work: CreateFolder) -> None:
    """Make the pictures that a refinement is fitted to white, and those it holds out black."""
    used = work.frames() - held_out_frames(work.frames())
    held_out = held_out_rows(used)
    track = json.loads(work.tracks()[0].read_text(encoding="utf-8"))
    for row in range(used):
        name = Path(track["frames"][row]["file_path"]).name.removesuffix(".png")
        value = 0 if row in held_out else 255
        picture = np.full((SIDE, SIDE, 3), value, dtype=np.uint8)
        cv2.imwrite(str(work.dataset / "image" / f"{name}.png"), picture)


@pytest.mark.slow
def test_video_becomes_a_playing_avatar(clip: Path, tmp_path: Path) -> None:
    out = tmp_path / "me"
    shown = create(clip, out, OPTION)
    stages = ["track", "train", "export", "evaluate", "preview"]
    assert re.findall(r"^\[\d/5\] (\w+): to", shown, re.M) == stages
    assert "parity with the networks" not in shown, "the full report is in the log"
    assert "held-out frames (1), mean (worst): PSNR" in shown
    assert re.search(r"^minutes, actual of planned: track [\d.]+ of [\d.]+, train", shown, re.M)
    work = CreateFolder.open(tmp_path / "me.work")
    assert f"full report: {work.log('export')}" in shown
    assert "parity with the networks" in work.log("export").read_text()

    manifest = open_avatar(out).manifest
    assert (manifest["consent"]["how"], manifest["consent"]["videos"]) == ("option", ["me.mp4"])

    frames = work.frames()
    assert frames >= FRAMES // 2
    evaluation = json.loads((work.held_out / "report.json").read_text())
    assert len(evaluation["frames"]) == max(1, frames // 10)
    with av.open(str(work.preview)) as video:
        assert video.metadata["comment"] == COMMENT
        pictures = [frame.to_ndarray(format="rgb24") for frame in video.decode(video=0)]
    assert len(pictures) == frames
    assert pictures[0].std() > 10, "a head is drawn"

    page = work.report.read_text(encoding="utf-8")
    assert page.count("data:image/jpeg") >= 2
    assert page.index("<h2>Verdict</h2>") < page.index("<h2>Training frames")
    assert "dataset/report.html" in page
    for stage in stages:
        assert f"<td>{stage}</td>" in page

    assert "the student is refined on images: on " in shown
    assert open_avatar(out).manifest["fidelity"]["refinement"]["kept"] is True
    assert "<h2>Refinement on the frames of the training</h2>" in page
    assert (out / REFINED_SHEET).is_file()

    shown = create(clip, out)  # consent is not asked for again
    assert shown.count("done before") == len(stages)
    assert "$ " not in shown

    contradict_held_out_pictures(work)
    shutil.rmtree(out)
    shown = create(clip, out)
    assert "the refinement is not better and was left out; the student stays as it is" in shown
    assert open_avatar(out).manifest["fidelity"]["refinement"]["kept"] is False
    assert "was left out" in work.report.read_text(encoding="utf-8")
