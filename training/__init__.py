"""Training: datasets, the loop that trains an avatar from images, and its evaluation.

    from imavatar_deploy.training import FaceDataset, evaluate, preset, synthesise, train

    synthesise("male1", "data/train")  # or a tracked video of your own, in the published layout
    synthesise("male1", "data/test", which="test")
    run = train(FaceDataset.open("data/train"), "run", preset("tiny"), say=print)
    report = evaluate(run, FaceDataset.open("data/test"), "report")
    print(report.scores.mean("PSNR"), report.scores.mean("mask IoU"))

- Data: `FaceDataset.open(paths)` has frames as `FrameObservation`; `synthesise` draws a synthetic
  person.
- Training: `train(dataset, out, settings)` with `preset(name)`, a row of `PRESETS`;
  `RunFolder(out)` names the files of a run.
- Settings: `TrainSettings` holds `LossWeights`, `OptimiserSettings`, `InputSettings`, `Schedule`,
  `TracerSettings` and `WarmStartSettings`.
- Evaluation: `evaluate(source, dataset, out)` returns an `EvaluationReport` with `Scores`;
  `METRICS` has every metric by name.

The names are imported when they are first used. Training needs `pip install
'imavatar-deploy[train]'`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from imavatar_deploy.lazy import lazy_names

if TYPE_CHECKING:
    from imavatar_deploy.dataset import FaceDataset, FrameObservation

    from .evaluation.evaluate import evaluate
    from .evaluation.measure import Scores
    from .evaluation.metrics import METRICS
    from .evaluation.report import EvaluationReport
    from .presets import PRESETS, preset
    from .run_folder import RunFolder
    from .run_training import train
    from .settings import (
        InputSettings,
        LossWeights,
        OptimiserSettings,
        Schedule,
        TracerSettings,
        TrainSettings,
    )
    from .synthetic.synthesise import synthesise
    from .warm_start.fit_networks import WarmStartSettings

__all__ = [
    "METRICS",
    "PRESETS",
    "EvaluationReport",
    "FaceDataset",
    "FrameObservation",
    "InputSettings",
    "LossWeights",
    "OptimiserSettings",
    "RunFolder",
    "Schedule",
    "Scores",
    "TracerSettings",
    "TrainSettings",
    "WarmStartSettings",
    "evaluate",
    "preset",
    "synthesise",
    "train",
]

PLACES = {
    "METRICS": ".evaluation.metrics",
    "PRESETS": ".presets",
    "EvaluationReport": ".evaluation.report",
    "FaceDataset": ".dataset",
    "FrameObservation": ".dataset",
    "InputSettings": ".settings",
    "LossWeights": ".settings",
    "OptimiserSettings": ".settings",
    "RunFolder": ".run_folder",
    "Schedule": ".settings",
    "Scores": ".evaluation.measure",
    "TracerSettings": ".settings",
    "TrainSettings": ".settings",
    "WarmStartSettings": ".warm_start.fit_networks",
    "evaluate": ".evaluation.evaluate",
    "preset": ".presets",
    "synthesise": ".synthetic.synthesise",
    "train": ".run_training",
}

__getattr__, __dir__ = lazy_names(__name__, PLACES)
