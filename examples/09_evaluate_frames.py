"""Evaluate the frames of any system against a dataset.

Shows `evaluate`. "Any system" is here the bundled sample, drawn into PNGs: one image a frame, named
as the dataset's, the alpha channel as the mask. A run or an avatar folder in place of the images is
rendered and measured with the same metrics.

    python examples/09_evaluate_frames.py [FOLDER]

Needs: pip install 'imavatar-deploy[cpu,train]'. Writes 09_test/ (the dataset), 09_frames/,
09_report/ (report.md, report.json, contact_sheet.png).
"""

import sys
from pathlib import Path

import cv2

from imavatar_deploy.runtime import Player
from imavatar_deploy.training import FaceDataset, evaluate, synthesise

OUT = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "out"
if OUT.is_file() or sys.argv[-1].startswith("-"):
    sys.exit(__doc__)
SIZE = 128

frames = OUT / "09_frames"
frames.mkdir(parents=True, exist_ok=True)
synthesise(
    "male1", OUT / "09_test", which="test", frames=3, size=SIZE, subdivisions=0, overwrite=True
)
dataset = FaceDataset.open(OUT / "09_test", size=SIZE)

with Player("sample", size=SIZE) as player:
    for frame in dataset.track.frames():
        image = player.render(frame.expression, frame.pose, frame.camera)  # RGBA
        cv2.imwrite(str(frames / f"{frame.name}.png"), cv2.cvtColor(image, cv2.COLOR_RGBA2BGRA))

report = evaluate(frames, dataset, OUT / "09_report", overwrite=True)
for name in report.scores.values:
    summary = report.scores.summary(name)
    print(f"{name}: mean {summary.mean:.4g}, worst {summary.worst:.4g} in {summary.worst_frame}")
for name, reason in report.scores.unmeasured.items():
    print(f"{name}: not measured, {reason}")
