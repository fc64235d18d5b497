"""The implicit renderer beside the official code's renders of the same checkpoint, per frame.

    python benchmarks/implicit_frames.py REFERENCE [TRACER]

REFERENCE is the folder of data from the official code: its checkpoint and the goldens
`f_render_*.npz`. TRACER is a key of `imavatar_deploy.model.tracing.TRACERS`, by default `march`,
the paper's. Columns: PSNR inside the common mask, mask IoU, median normal angle, hits of both, the
seconds of both, and the processor time of this renderer.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import torch
from official_goldens import RUN_FOLDER, Fidelity, official_frames

from imavatar_deploy.model import load_checkpoint
from imavatar_deploy.model.frame import Frame
from imavatar_deploy.model.render import render
from imavatar_deploy.model.tracing import TRACERS


def main(reference: Path, tracer: str = "march") -> None:
    avatar = load_checkpoint(reference / RUN_FOLDER)
    print(f"tracer {tracer}, {torch.get_num_threads()} threads; the official code had 2")
    print(
        "| frame | PSNR (common mask) | mask IoU | median normal angle | hits | theirs | ours "
        "| CPU | official |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for official in official_frames(reference):
        frame = Frame(torch.from_numpy(official.expression), torch.from_numpy(official.pose))
        wall_start = time.perf_counter()
        processor_start = time.process_time()
        image = render(
            avatar, frame, official.camera, (official.size, official.size), TRACERS[tracer]()
        )
        wall = time.perf_counter() - wall_start
        processor = time.process_time() - processor_start
        row = Fidelity.of(official, image.rgb, image.normal, image.mask)
        print(
            f"| {official.name} | {row.psnr:.1f} dB | {row.iou:.4f} | {row.normal_angle:.4f}° "
            f"| {image.mask.sum()} | {official.mask.sum()} | {wall:.1f} s | {processor:.1f} s "
            f"| {official.seconds:.1f} s |",
            flush=True,
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:3])
