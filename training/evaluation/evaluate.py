"""Evaluation of a run, a baked avatar or another system's frames against a dataset, from Python."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from imavatar_deploy.dataset import FaceDataset
from imavatar_deploy.dataset.face_dataset import as_dataset
from imavatar_deploy.errors import unknown_name
from imavatar_deploy.progress import Progress, silent

from .interfaces import Options
from .metric import MASKINGS
from .perceptual import load_perceptual
from .report import EvaluationReport, write_report
from .source_table import SOURCES, source_kind

SIZE = 256
"""Side in pixels at which frames are compared where the dataset is given by its paths."""


def evaluate(
    source: str | Path,
    dataset: FaceDataset | str | Path | Sequence[str | Path],
    out: str | Path,
    *,
    kind: str | None = None,
    masking: str = "head",
    tracer: str = "raster",
    device: str = "auto",
    lpips_weights: str | Path | None = None,
    title: str | None = None,
    keep_frames: bool = False,
    overwrite: bool = False,
    progress: Progress = silent,
) -> EvaluationReport:
    """Measure predictions for every frame of a dataset, and write the report into `out`.

    `out` becomes a folder with `report.md`, `report.json` and `contact_sheet.png` (truth,
    prediction, error and normals of the worst, the median and the best frame).

    Args:
        source: what is evaluated: a run folder or checkpoint, rendered implicitly; an avatar folder
            or the word `sample`, drawn as `imavatar-run` draws it; or a folder of PNGs of any
            system, one for each frame, matched by name or by order. An alpha channel is the mask.
        dataset: the ground truth; its `size` is the size at which images are compared. The frames
            of a path or of several, see `FaceDataset.open`, are compared at 256 pixels.
        out: the folder to write.
        kind: `run`, `avatar` or `frames`; what the files show when None.
        masking: `head` (pixels inside either mask) or `published` (the hull of the landmarks).
        tracer: `raster` or `march`, for runs.
        device: `auto`, `cpu` or `cuda`, for runs.
        lpips_weights: state dict of AlexNet and of LPIPS's linear layers; LPIPS is not measured
            without it.
        title: name of the dataset in the report.
        keep_frames: keep a strip of every frame in `OUT/frames/`.
        overwrite: replace an earlier report.
        progress: shows how far it is.

    Returns:
        The report; `report.scores.mean("PSNR")` is one number (dB; the mean of the frames), None
        where a metric could not be measured; `report.scores.unmeasured` says why.

    Raises:
        UsageError: an unknown name, a dataset of another type, or `out` cannot be written or is in
            the way.
        InputError: a prediction is missing, has another size, or cannot be read.
        EditionMismatchError: the dataset was tracked with another head model.
        MissingDependencyError: a package or a device is not there.

    Example:
        >>> from imavatar_deploy.training import evaluate
        >>> report = evaluate("their_frames", "test", "report")
        >>> report.scores.mean("mask IoU")
    """
    if masking not in MASKINGS:
        raise unknown_name("masking", masking, MASKINGS)
    if kind is not None and kind not in SOURCES:
        raise unknown_name("kind of source", kind, SOURCES)
    dataset = as_dataset(dataset, SIZE)
    row = source_kind(str(source)) if kind is None else SOURCES[kind]
    perceptual = load_perceptual(Path(lpips_weights)) if lpips_weights else None
    with row.open(str(source), dataset, Options(tracer, device)) as predictions:
        return write_report(
            Path(out),
            dataset,
            predictions,
            MASKINGS[masking],
            facts={"dataset": title} if title else {},
            perceptual=perceptual,
            keep_frames=keep_frames,
            overwrite=overwrite,
            progress=progress,
        )
