"""Training quality by minutes: both tracers, with and without the warm start, on one machine.

    python benchmarks/training_curves.py DATASET --out FOLDER [--minutes 5] [--preset tiny]

Writes FOLDER/curves.png and FOLDER/curves.json, and prints a table. Minutes include the warm start,
the extraction of the surface and validation. All runs have the same time, over which the learning
rate falls. Validation renders small frames of the dataset with the run's tracer.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from matplotlib import pyplot

from imavatar_deploy.atomic import atomic_file, write_text
from imavatar_deploy.training import train
from imavatar_deploy.training.dataset import FaceDataset
from imavatar_deploy.training.presets import preset
from imavatar_deploy.training.settings import TrainSettings

RUNS = [(tracer, warm) for tracer in ("raster", "march") for warm in (True, False)]
VALIDATION_STEPS = {"raster": 40, "march": 4}
COLOURS_FIRST = {"raster": 100, "march": 8}
"""Steps that take about the same time with each tracer."""


def run_name(tracer: str, warm: bool) -> str:
    return f"{tracer}, {'warm start' if warm else 'sphere'}"


def settings(base: TrainSettings, tracer: str, warm: bool, minutes: float) -> TrainSettings:
    schedule = replace(
        base.schedule,
        minutes=minutes,
        steps=0,
        validation_steps=VALIDATION_STEPS[tracer],
        colours_first=COLOURS_FIRST[tracer],
        validation_frames=2,
        validation_size=64 if tracer == "raster" else 32,
    )
    return replace(
        base, schedule=schedule, warm_start=warm, tracer=replace(base.tracer, name=tracer)
    )


def measure_run(dataset: FaceDataset, folder: Path, options: TrainSettings) -> dict[str, Any]:
    """Train; returns minutes of preparation, steps a second, and quality over time."""
    started = time.monotonic()
    train(dataset, folder, options, overwrite=True, say=lambda line: None)
    whole = time.monotonic() - started
    steps = [
        json.loads(line)
        for line in (folder / "losses.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    rows = [
        json.loads(line)
        for line in (folder / "validation.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    preparation = whole / 60.0 - rows[-1]["minutes"]
    return {
        "preparation_minutes": preparation,
        "steps": len(steps),
        "steps_per_second": len(steps) / steps[-1]["seconds"],
        "quality": [{**row, "minutes": row["minutes"] + preparation} for row in rows],
    }


def draw(results: dict[str, dict[str, Any]], path: Path) -> None:
    figure, axes = pyplot.subplots(1, 2, figsize=(11, 4), layout="constrained")
    for axis, name, label in zip(
        axes, ("iou", "psnr"), ("mask IoU", "PSNR of the image, dB"), strict=True
    ):
        for run, result in results.items():
            minutes = [row["minutes"] for row in result["quality"]]
            values = [row[name] for row in result["quality"]]
            axis.plot(
                minutes,
                values,
                marker=".",
                label=f"{run} ({result['steps_per_second']:.2g} steps/s)",
            )
        axis.set_xlabel("minutes, preparation included")
        axis.set_ylabel(label)
        axis.grid(alpha=0.3)
    axes[0].legend()
    with atomic_file(path) as partial:
        figure.savefig(partial, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--preset", default="tiny")
    parser.add_argument(
        "--tracer", help="run this tracer alone; results of the other in FOLDER are kept"
    )
    arguments = parser.parse_args()
    dataset = FaceDataset.open([arguments.dataset])
    base = preset(arguments.preset)
    log = arguments.out / "curves.json"
    results: dict[str, dict[str, Any]] = (
        json.loads(log.read_text(encoding="utf-8")) if arguments.tracer else {}
    )
    print("| run | preparation, min | steps | steps/s | IoU | PSNR |\n|---|---|---|---|---|---|")
    for tracer, warm in RUNS:
        if arguments.tracer not in (None, tracer):
            continue
        name = run_name(tracer, warm)
        options = settings(base, tracer, warm, arguments.minutes)
        result = measure_run(dataset, arguments.out / f"{tracer}-{warm}", options)
        results[name] = result
        last = result["quality"][-1]
        print(
            f"| {name} | {result['preparation_minutes']:.1f} | {result['steps']} "
            f"| {result['steps_per_second']:.2f} | {last['iou']:.3f} | {last['psnr']:.1f} |",
            flush=True,
        )
        write_text(log, json.dumps(results, indent=1) + "\n")
        draw(results, arguments.out / "curves.png")


if __name__ == "__main__":
    main()
