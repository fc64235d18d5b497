"""The table of metrics: adding a metric is adding a row."""

from __future__ import annotations

from .landmark_error import EXPRESSION
from .metric import Metric
from .normals import NORMAL_COSINE
from .overlap import MASK_IOU, RGB_L1
from .perceptual import LPIPS
from .photometric import L1, PSNR, SSIM

METRICS: dict[str, Metric] = {
    row.name: row for row in (PSNR, SSIM, LPIPS, L1, MASK_IOU, RGB_L1, NORMAL_COSINE, EXPRESSION)
}
"""Every metric by name, in the order of the report."""
