"""Workbench: makes the data, runs and reports that an experiment consists of, or finds them where they were made."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from imavatar_deploy.atomic import atomic_file
from imavatar_deploy.errors import UsageError, unknown_name
from imavatar_deploy.model.checkpoint import load_variant
from imavatar_deploy.model.variants import VARIANTS

from ..dataset import FaceDataset
from ..evaluation.from_run import ImplicitSource, chosen_device
from ..evaluation.ground_truth import GroundTruth
from ..evaluation.masking import MASKINGS
from ..evaluation.report import MARKER, write_report
from ..loop import train
from ..settings import Settings
from ..synthetic import SUBJECTS, synthesise
from .cell import Cell
from .plan import Plan

Corruption = Callable[[FaceDataset], FaceDataset]


class Workbench:
    """Data, runs and reports of one plan, each made once: an interrupted experiment goes on where it was.

        data/SUBJECT-SET-FRAMESxSIZE/   synthetic sets        runs/CELL/      what `imavatar-train` writes
        runs/CELL.json                  what the run is of    reports/CELL/   what `imavatar-eval` writes

    Raises:
        UsageError: the plan names a subject or a variant that does not exist, or several subjects for one avatar.
        InputError: the avatar to look at cannot be read.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        for kind, names, known in (("subject", plan.subjects, SUBJECTS), ("variant", plan.variants, VARIANTS)):
            for name in names:
                if name not in known:
                    raise unknown_name(kind, name, known)
        if plan.run is not None:
            load_variant(plan.run)  # before anything is drawn
            if len(plan.subjects) != 1:
                raise UsageError(f"--run is one person's avatar: name one of --subjects, e.g. {next(iter(SUBJECTS))}")

    @property
    def out(self) -> Path:
        """Where results go."""
        return self.plan.out

    @property
    def variants(self) -> tuple[str, ...]:
        """The rows of `VARIANTS` that take part."""
        return self.plan.variants or tuple(VARIANTS)

    def video(self, subject: str, which: str) -> Path:
        """The folder of a synthetic set, drawn now if it is not there."""
        plan = self.plan
        frames = plan.test_frames if which == "test" else plan.frames
        folder = self.out / "data" / f"{subject}-{which}-{frames or 'all'}x{plan.size}-seed{plan.seed}"
        if not folder.exists():
            fineness = {} if plan.subdivisions is None else {"subdivisions": plan.subdivisions}
            choices: dict[str, Any] = {"frames": frames, "size": plan.size, "seed": plan.seed, **fineness}
            synthesise(subject, folder, which=which, **choices, progress=plan.progress)
        return folder

    def dataset(self, subject: str, which: str) -> FaceDataset:
        """A synthetic set, opened."""
        return FaceDataset.open([self.video(subject, which)], size=self.plan.size)

    def trained(self, cell: str, subject: str, settings: Settings, corruption: Corruption | None = None) -> Path:
        """The run folder of a cell: trained now, gone on with, or found finished.

        Args:
            cell: a name for it, unique for what it is.
            corruption: what is done to the training set first; the cell's name must tell.

        Raises:
            UsageError: a run of this name was made with other settings or data.
            QualityError: training failed.
        """
        folder, note = self.out / "runs" / cell, self.out / "runs" / f"{cell}.json"
        plan = self.plan
        about = {"subject": subject, "frames": plan.frames, "size": plan.size, **_flat(asdict(settings))}
        if not _finished(note, about):
            plan.say(f"training {cell}")
            _write_json(note, {"about": about, "finished": False})
            dataset = self.dataset(subject, "train")
            begun = (folder / "config.toml").is_file()
            seen = corruption(dataset) if corruption else dataset
            train(seen, folder, settings, resume=begun, device=plan.device, progress=plan.progress, say=plan.say)
            _write_json(note, {"about": about, "finished": True})
        return folder

    def scored(self, cell: str, run: Path, subject: str) -> Cell:
        """The scores of a run on the subject's test set of strong expressions: measured now, or read back."""
        plan, folder = self.plan, self.out / "reports" / cell
        about = {"test frames": plan.test_frames, "seed": plan.seed, "asked tracer": plan.tracer}
        if not (folder / MARKER).is_file():
            truth = self.dataset(subject, "test")
            source = self.source(run, truth, cell)
            write_report(folder, truth, source, MASKINGS["head"], facts=about, keep_frames=True, progress=plan.progress)
        cell_found = Cell.read(folder)
        if not about.items() <= cell_found.document.items():
            raise UsageError(f"{folder} reports on other frames; choose another --out, or remove it to measure anew")
        return cell_found

    def source(self, run: Path, truth: GroundTruth, title: str) -> ImplicitSource:
        """A run's implicit renders of the frames of `truth`."""
        model = load_variant(run).to(chosen_device(self.plan.device))
        return ImplicitSource(model, truth, title=title, tracer=self.plan.tracer)


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings as `group.name`, with what JSON gives back for tuples."""
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        inner = _flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {f"{prefix}{name}": value}
        flat |= {key: list(entry) if isinstance(entry, tuple) else entry for key, entry in inner.items()}
    return flat


def _finished(note: Path, about: Mapping[str, Any]) -> bool:
    """Whether the run that a note tells of is done.

    Raises:
        UsageError: it is not the run that is wanted.
    """
    if not note.is_file():
        return False
    known: dict[str, Any] = json.loads(note.read_text(encoding="utf-8"))
    for name, value in about.items():
        if known["about"].get(name) != value:
            raise UsageError(
                f"{note.with_suffix('')} was trained with {name} = {known['about'].get(name)}, not {value}; choose "
                "another --out, or remove it and its .json to train anew"
            )
    return bool(known["finished"])


def _write_json(path: Path, document: Any) -> None:
    with atomic_file(path) as partial:
        partial.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
