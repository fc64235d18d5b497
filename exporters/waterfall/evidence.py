"""Evidence: reference, candidate and difference of a missed hop's worst frame, as images."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from imavatar_deploy.proof.measures import worst_frame
from imavatar_deploy.proof.picture import Picture

FOLDER = "waterfall"
LOUDER = 8.0
"""A difference is shown this many times as large: 1/32 of the range becomes a quarter."""


def write_evidence(folder: Path, hop: str, reference: list[Picture], candidate: list[Picture]) -> None:
    """Write `HOP_reference.png`, `HOP_candidate.png` and `HOP_difference.png` into the subfolder `FOLDER`."""
    frame = worst_frame(reference, candidate)
    a, b = reference[frame].rgb, candidate[frame].rgb
    (folder / FOLDER).mkdir(exist_ok=True)
    for name, image in (("reference", a), ("candidate", b), ("difference", LOUDER * np.abs(a - b))):
        data = np.rint(255.0 * np.clip(image, 0, 1)).astype(np.uint8)[..., ::-1]
        (folder / FOLDER / f"{hop}_{name}.png").write_bytes(cv2.imencode(".png", data)[1].tobytes())
