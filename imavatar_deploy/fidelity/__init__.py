"""Fidelity: how closely an avatar follows the networks it was baked from.

Read the report that an export leaves in the avatar folder, check the folder again on this machine,
or compare images and arrays of one's own:

    from imavatar_deploy.fidelity import psnr, read_fidelity, verify_avatar

    report = read_fidelity("sample")
    for stage in report.stages:  # baked, onnx, tensorrt, student
        print(stage.name, stage.measures.get("psnr"), stage.misses())
    print(verify_avatar("sample").passed)  # files, graphs and images, drawn again here

- `read_fidelity` returns a `FidelityReport`: what the export measured.
- `verify_avatar` returns a `VerificationReport`: the same checks, repeated. It needs onnxruntime
  and no torch.
- `StageReport`, `ParityReport`, `Difference` and `FidelityMetric` are their rows.

Images are float arrays `[H, W, 3]` in 0..1, masks are boolean `[H, W]`: `psnr`, `psnr_of`, `ssim`,
`l1`, `iou`, `normal_angle`, and `FrameImages` with `measure_frames` and `summary` for sequences:

    both = first_mask & second_mask
    psnr(first, second, both), ssim(first, second, both), iou(first_mask, second_mask)

Arrays are compared by names, shapes and `Tolerance` (`compare`), or in decibels (`compare_frames`):

    report = compare("mine", {"rgb": truth}, {"rgb": values}, {"rgb": Tolerance(1e-4)})
    report.passed, report.problems()
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from imavatar_deploy.lazy import lazy_names

if TYPE_CHECKING:
    from .image_metrics import IDENTICAL_PSNR, iou, l1, normal_angle, psnr, psnr_of, ssim
    from .parity import (
        Difference,
        FidelityMetric,
        ParityReport,
        Tolerance,
        compare,
        compare_frames,
    )
    from .report import FidelityReport, read_fidelity
    from .stage_metrics import FrameImages, StageReport, measure_frames, summary
    from .verify import VerificationReport, verify_avatar

__all__ = [
    "IDENTICAL_PSNR",
    "Difference",
    "FidelityMetric",
    "FidelityReport",
    "FrameImages",
    "ParityReport",
    "StageReport",
    "Tolerance",
    "VerificationReport",
    "compare",
    "compare_frames",
    "iou",
    "l1",
    "measure_frames",
    "normal_angle",
    "psnr",
    "psnr_of",
    "read_fidelity",
    "ssim",
    "summary",
    "verify_avatar",
]

PLACES = {
    **dict.fromkeys(
        ("IDENTICAL_PSNR", "iou", "l1", "normal_angle", "psnr", "psnr_of", "ssim"),
        ".image_metrics",
    ),
    **dict.fromkeys(
        ("Difference", "FidelityMetric", "ParityReport", "Tolerance", "compare", "compare_frames"),
        ".parity",
    ),
    **dict.fromkeys(("FidelityReport", "read_fidelity"), ".report"),
    **dict.fromkeys(("FrameImages", "StageReport", "measure_frames", "summary"), ".stage_metrics"),
    **dict.fromkeys(("VerificationReport", "verify_avatar"), ".verify"),
}

__getattr__, __dir__ = lazy_names(__name__, PLACES)
