"""The implicit renderer beside the official code's own renders of the same checkpoint, frame by frame.

    python benchmarks/implicit_frames.py REFERENCE [TRACER]

REFERENCE is the folder of data that the official code computed (its checkpoint and the goldens `f_render_*.npz`);
TRACER one of `imavatar_deploy.model.tracing.TRACERS`, `march` (the paper's) unless told. Printed for each frame: PSNR
inside the common mask, mask IoU, median normal angle, hits of ours and theirs, the seconds that either needs, and the
processor's seconds of ours.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from imavatar_deploy.camera import Camera
from imavatar_deploy.image_quality import iou, normal_angle, psnr
from imavatar_deploy.model import ImplicitAvatar, load_checkpoint
from imavatar_deploy.model.frame import Frame
from imavatar_deploy.model.render import render
from imavatar_deploy.model.tracing import TRACERS, Tracer

RUN_FOLDER = "experiments/openhead/IMavatar/train0/train"


@dataclass(frozen=True)
class ImplicitFidelity:
    """How one implicit frame compares with the official render of it."""

    frame: str
    psnr: float  # dB inside the common mask
    iou: float
    normal_angle: float  # median, degrees
    hits: int
    official_hits: int
    seconds: float
    cpu_seconds: float  # of all threads together
    official_seconds: float


def measure(avatar: ImplicitAvatar, golden: Path, tracer: Tracer) -> ImplicitFidelity:
    """Render the golden's frame and compare."""
    data = np.load(golden)
    size = int(data["img_res"])
    fx, fy, cx, cy = (data["intrinsics"][index] / size for index in ((0, 0), (1, 1), (0, 2), (1, 2)))
    camera = Camera(np.linalg.inv(data["cam_pose"])[:3], np.array([abs(fx), fy, cx, cy]))
    frame = Frame(torch.from_numpy(data["expression"]), torch.from_numpy(data["flame_pose"]))
    begun, used = time.perf_counter(), time.process_time()
    image = render(avatar, frame, camera, (size, size), tracer)
    seconds, used = time.perf_counter() - begun, time.process_time() - used
    mask = data["network_object_mask"].reshape(size, size)
    common = mask & image.mask
    return ImplicitFidelity(
        golden.stem.removeprefix("f_render_"),
        psnr(image.rgb, (data["rgb_values"].reshape(size, size, 3) + 1.0) / 2.0, common),
        iou(image.mask, mask),
        float(np.median(normal_angle(image.normal, data["normal_values"].reshape(size, size, 3), common))),
        int(image.mask.sum()),
        int(mask.sum()),
        seconds,
        used,
        float(data["seconds"]),
    )


def main(reference: Path, tracer: str = "march") -> None:
    avatar = load_checkpoint(reference / RUN_FOLDER)
    print(f"tracer {tracer}, {torch.get_num_threads()} threads; the official code had 2")
    print("| frame | PSNR (common mask) | mask IoU | median normal angle | hits | theirs | ours | CPU | official |")
    print("|---|---|---|---|---|---|---|---|---|")
    for golden in sorted((reference / "golden").glob("f_render_*.npz")):
        row = measure(avatar, golden, TRACERS[tracer]())
        print(
            f"| {row.frame} | {row.psnr:.1f} dB | {row.iou:.4f} | {row.normal_angle:.4f}° | {row.hits} "
            f"| {row.official_hits} | {row.seconds:.1f} s | {row.cpu_seconds:.1f} s | {row.official_seconds:.1f} s |",
            flush=True,
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:3])
