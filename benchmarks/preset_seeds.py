"""Reliability of a preset: trains, evaluates and exports several subjects with several seeds.

    python benchmarks/preset_seeds.py --out FOLDER [--preset tiny] [--seeds 5] [--full-exports 2]

Each run follows the README: synth, train with exact tracking, evaluate on strong expressions that
training does not see, export. Every finished run leaves FOLDER/SUBJECT-SEED.json and is not
repeated, so that an interrupted benchmark continues. FOLDER/table.md holds the table.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import torch

from imavatar_deploy.fidelity.report import written_stages
from imavatar_deploy.model.checkpoint import load_variant
from imavatar_deploy.model.tracing import TRACERS
from imavatar_deploy.training.dataset import FaceDataset
from imavatar_deploy.training.frame_parameters import FrameParameters
from imavatar_deploy.training.settings import InputSettings
from imavatar_deploy.training.validation import validate

SUBJECTS = ("male1", "male2", "female1", "female2")
TIME_LIMIT = 3600.0
"""Longest time of one command, seconds."""
METRICS = ("PSNR", "mask IoU", "RGB L1", "normal cosine")
HEADINGS = (
    "run",
    "minutes",
    "PSNR, dB (worst)",
    "mask IoU (worst)",
    "RGB L1",
    "normal cosine",
    "lobe, % of skin",
    "warnings",
    "baked: PSNR, worst IoU",
    "export",
)


def command(name: str, *arguments: str | Path) -> int:
    """Run one of the package's commands on one thread, and return its exit code."""
    words = [str(Path(sys.executable).parent / name), *(str(argument) for argument in arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(words, env=environment, timeout=TIME_LIMIT, check=False).returncode


def measure_run(out: Path, subject: str, seed: int, preset: str, student: bool) -> dict[str, Any]:
    """Make one run, from its dataset to its export, and return its results."""
    data = out / "data" / subject
    work = out / "runs" / f"{subject}-{seed}"
    for which, extra in (("train", ()), ("test", ("--test",))):
        if not (data / which).exists():
            command("imavatar-data", "synth", "--subject", subject, "--out", data / which, *extra)
    start = time.monotonic()
    arguments = ("--preset", preset, "--seed", str(seed), "--exact-tracking", "--overwrite")
    train_code = command("imavatar-train", data / "train", "--out", work, *arguments)
    minutes = (time.monotonic() - start) / 60.0
    row: dict[str, Any] = {"subject": subject, "seed": seed, "preset": preset, "minutes": minutes}
    if train_code:
        return row | {"train": train_code}
    report = out / "reports" / work.name
    avatar = out / "avatars" / work.name
    command("imavatar-eval", work, "--data", data / "test", "--out", report, "--overwrite")
    frames = json.loads((report / "report.json").read_text(encoding="utf-8"))["frames"]
    last = json.loads((work / "validation.jsonl").read_text(encoding="utf-8").splitlines()[-1])
    formats = ("--format", "onnx") if student else ("--format", "player", "--no-student")
    export_code = command("imavatar-export", work, "--out", avatar, "--overwrite", *formats)
    return row | {
        "means": {name: fmean(frame[name] for frame in frames) for name in METRICS},
        "worst": {name: min(frame[name] for frame in frames) for name in ("PSNR", "mask IoU")},
        "lobe": largest_lobe_of_test(work, data / "test"),
        "warnings": last.get("warnings", []),
        "export": export_code,
        "student": student,
        "baked": baked_measures(avatar),
    }


def largest_lobe_of_test(run: Path, test: Path) -> float:
    """Share of the skin that stands in front of the head model, in the worst test frame."""
    dataset = FaceDataset.open([test])
    model = load_variant(run).eval()
    inputs = FrameParameters(dataset.track, InputSettings(pose=False, camera=False))
    frames = list(range(len(dataset)))
    return validate(model, inputs, dataset, frames, 128, TRACERS["raster"]()).lobe


def baked_measures(avatar: Path) -> dict[str, float]:
    """Metrics of the baked mesh in the fidelity report of an export, written or withheld."""
    manifest = avatar / "avatar.json"
    if manifest.is_file():
        written = json.loads(manifest.read_text(encoding="utf-8"))["fidelity"]
    else:
        report = avatar.with_name(f"{avatar.name}.rejected") / "report.json"
        written = json.loads(report.read_text(encoding="utf-8"))
    stages = written_stages(written)
    return next(stage["measures"] for stage in stages if stage["stage"] == "baked")


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Format the results as a Markdown table, one row per run."""
    lines = [f"| {' | '.join(HEADINGS)} |", f"|{'---|' * len(HEADINGS)}"]
    for row in rows:
        name = f"{row['subject']}, seed {row['seed']}"
        if "train" in row:
            lines.append(
                f"| {name} | {row['minutes']:.1f} | training ended with code {row['train']} |"
            )
            continue
        means = row["means"]
        worst = row["worst"]
        baked = row["baked"]
        student = "with student" if row["student"] else "no student"
        cells = (
            name,
            f"{row['minutes']:.1f}",
            f"{means['PSNR']:.2f} ({worst['PSNR']:.2f})",
            f"{means['mask IoU']:.4f} ({worst['mask IoU']:.4f})",
            f"{means['RGB L1']:.4f}",
            f"{means['normal cosine']:.4f}",
            f"{100.0 * row['lobe']:.2f}",
            str(len(row["warnings"])),
            f"{baked['psnr']:.1f}, {baked['worst_iou']:.4f}",
            f"{'written' if row['export'] == 0 else 'withheld'}, {student}",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Make the missing runs, and write the table after every run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--preset", default="tiny")
    parser.add_argument("--subjects", nargs="+", default=SUBJECTS, choices=SUBJECTS)
    parser.add_argument("--seeds", type=int, default=5, help="number of seeds, from 0")
    parser.add_argument(
        "--full-exports",
        type=int,
        default=2,
        help="number of seeds whose avatars are exported with a student; others have none",
    )
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    arguments.out.mkdir(parents=True, exist_ok=True)
    rows = []
    for seed in range(arguments.seeds):
        for subject in arguments.subjects:
            result = arguments.out / f"{subject}-{seed}.json"
            if not result.exists():
                student = seed < arguments.full_exports
                row = measure_run(arguments.out, subject, seed, arguments.preset, student)
                result.write_text(json.dumps(row, indent=1) + "\n", encoding="utf-8")
            rows.append(json.loads(result.read_text(encoding="utf-8")))
            (arguments.out / "table.md").write_text(table(rows), encoding="utf-8")
    print(table(rows))


if __name__ == "__main__":
    main()
