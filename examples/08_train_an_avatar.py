"""Train an avatar from a video.

Shows `synthesise`, `FaceDataset`, `train` and the files of a run. Everything is tiny, so that the
example takes less than a minute and the result is a blurred face; `preset("tiny")` as it is takes
four minutes at 256 pixels and gives the quality of the README. For a video of your own, give
`FaceDataset.open` its folder: image/, mask/, flame_params.json.

    python examples/08_train_an_avatar.py [FOLDER]

Needs: pip install 'imavatar-deploy[cpu,train]'. Writes 08_video/ (the dataset), 08_run/ (the run,
with checkpoint/ for the exporter) and 08_preview.png: avatar, truth, normals.
"""

import shutil
import sys
from dataclasses import replace
from pathlib import Path

from imavatar_deploy.training import FaceDataset, RunFolder, preset, synthesise, train

OUT = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "out"
if OUT.is_file() or sys.argv[-1].startswith("-"):
    sys.exit(__doc__)

OUT.mkdir(parents=True, exist_ok=True)
synthesise("male1", OUT / "08_video", frames=6, size=96, subdivisions=0, overwrite=True)
dataset = FaceDataset.open(OUT / "08_video", size=96)

tiny = preset("tiny")
settings = replace(
    tiny,
    schedule=replace(
        tiny.schedule,
        steps=60,  # an image each
        pixels=256,
        colours_first=60,  # the shape stays that of the warm start
        validation_steps=0,
        validation_frames=1,
        validation_size=96,
    ),
    optimiser=replace(tiny.optimiser, texture_factor=10.0),  # colours in few steps
    tracer=replace(tiny.tracer, resolution=64, refresh_steps=1000),
    fit=replace(tiny.fit, samples=20_000, steps=300, deformation_steps=60),  # the warm start
)
run = RunFolder(train(dataset, OUT / "08_run", settings, overwrite=True, say=print))

last = run.validations()[-1]
print(f"step {last['step']}: PSNR {last['psnr']:.1f} dB, mask IoU {last['iou']:.3f}")
pictures = sorted(run.validation.glob("*.png"))
shutil.copyfile(pictures[-1], OUT / "08_preview.png")
