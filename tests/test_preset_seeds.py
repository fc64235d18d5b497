"""The benchmark of a preset's seeds: finished runs are not repeated, failed ones have a row."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import preset_seeds
import pytest


def row(subject: str, seed: int, *, export: int = 0) -> dict[str, Any]:
    return {
        "subject": subject,
        "seed": seed,
        "preset": "tiny",
        "minutes": 4.25,
        "means": {"PSNR": 25.1, "mask IoU": 0.987, "RGB L1": 0.015, "normal cosine": 0.957},
        "worst": {"PSNR": 24.3, "mask IoU": 0.985},
        "lobe": 0.032,
        "warnings": ["the head is deformed"],
        "export": export,
        "student": seed == 0,
        "baked": {"psnr": 41.0, "worst_iou": 0.9916},
    }


def test_an_interrupted_benchmark_makes_the_missing_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    runs: list[str] = []

    def measure_run(
        out: Path, subject: str, seed: int, preset: str, student: bool
    ) -> dict[str, Any]:
        assert student == (seed < 1)
        runs.append(f"{subject}-{seed}")
        if len(runs) == 2:
            raise KeyboardInterrupt
        return row(subject, seed, export=3 if subject == "male2" else 0)

    monkeypatch.setattr(preset_seeds, "measure_run", measure_run)
    words = ["--out", str(tmp_path), "--subjects", "male1", "male2", "--seeds", "2"]
    monkeypatch.setattr(sys, "argv", ["preset_seeds.py", *words, "--full-exports", "1"])
    with pytest.raises(KeyboardInterrupt):
        preset_seeds.main()
    preset_seeds.main()
    assert runs == ["male1-0", "male2-0", "male2-0", "male1-1", "male2-1"]
    assert json.loads((tmp_path / "male1-0.json").read_text(encoding="utf-8"))["seed"] == 0
    lines = (tmp_path / "table.md").read_text(encoding="utf-8").splitlines()
    assert capsys.readouterr().out.splitlines()[:-1] == lines
    assert len(lines) == 6
    assert {len(line.split("|")) for line in lines} == {len(preset_seeds.HEADINGS) + 2}
    assert "male1, seed 0 | 4.2 | 25.10 (24.30) | 0.9870 (0.9850)" in lines[2]
    assert "3.20 | 1 | 41.0, 0.9916 | written, with student" in lines[2]
    assert "withheld, no student" in lines[5]


def test_a_training_that_failed_is_a_row() -> None:
    failed = {"subject": "male1", "seed": 3, "preset": "tiny", "minutes": 1.0, "train": 3}
    assert "male1, seed 3 | 1.0 | training ended with code 3" in preset_seeds.table([failed])
