"""Workbench: makes the data, runs and reports that an experiment consists of, or finds them where they were made."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from imavatar_deploy.atomic import atomic_file, refuse_standard_output
from imavatar_deploy.errors import InputError, UsageError, unknown_name
from imavatar_deploy.model.checkpoint import load_variant
from imavatar_deploy.model.variants import VARIANTS
from imavatar_deploy.progress import Progress, silent

from ..dataset import FaceDataset
from ..evaluation.contact_sheet import Bytes, read_picture
from ..evaluation.from_run import ImplicitSource, chosen_device
from ..evaluation.metric import MASKINGS
from ..evaluation.report import MARKER, STRIPS, write_report
from ..evaluation.source import GroundTruth
from ..presets import preset
from ..run_training import train
from ..settings import TrainSettings
from ..synthetic import SUBJECTS, synthesise

# Plan: how large an experiment is to be and where it happens; the same for every experiment.


@dataclass(frozen=True)
class ExperimentPlan:
    """Sizes, lengths and choices of an experiment. Full size is the default preset's, on demand."""

    out: Path
    """Folder of everything: `data/`, `runs/`, `reports/` and the results. Work that is found there is used again."""
    base: TrainSettings = field(default_factory=lambda: preset("small"))
    """Settings that every training of the experiment starts from."""
    subjects: tuple[str, ...] = tuple(SUBJECTS)
    variants: tuple[str, ...] = ()
    """Rows of `VARIANTS`; all where none is named."""
    frames: int | None = None
    """Of each training set; the set's own number when None."""
    test_frames: int | None = None
    size: int = 256
    """Pixels a side of training and test images."""
    tracer: str = "raster"
    """That renders for evaluation."""
    device: str = "auto"
    seed: int = 0
    warm_start: bool | None = None
    """None leaves it to the experiment."""
    run: Path | None = None
    """An avatar trained already, for the experiments that only look at one."""
    subdivisions: int | None = None
    """How finely synthetic subjects are drawn; their own fineness when None."""
    progress: Progress = silent
    say: Callable[[str], None] = lambda text: None
    """Told of each training as it begins."""

    def __post_init__(self) -> None:
        refuse_standard_output(self.out)

    def settings(self, *, warm_start: bool = True, **changes: object) -> TrainSettings:
        """The base with an experiment's own changes.

        Args:
            warm_start: what the experiment would have, if the plan does not say.
        """
        wanted = warm_start if self.warm_start is None else self.warm_start
        return replace(self.base, seed=self.seed, warm_start=wanted, **changes)  # type: ignore[arg-type]


# Cell: the scores of one trained avatar on one test set, as its report keeps them.


@dataclass(frozen=True)
class Trial:
    """A report, read back."""

    folder: Path
    document: dict[str, Any]

    @classmethod
    def read(cls, folder: Path) -> Trial:
        """Raises InputError where the report cannot be read."""
        try:
            return cls(folder, json.loads((folder / MARKER).read_text(encoding="utf-8")))
        except (OSError, ValueError) as error:
            raise InputError(
                f"{folder / MARKER} cannot be read ({error}); remove the folder to measure anew"
            ) from error

    def mean(self, metric: str) -> float:
        """The mean of a metric over the test frames; NaN where it was not measured."""
        return float(self.document["metrics"][metric].get("mean", math.nan))

    def column(self, metric: str) -> list[float]:
        """One value per frame; NaN where it was not measured."""
        return [float(frame.get(metric, math.nan)) for frame in self.document["frames"]]

    def strip(self, index: int) -> Bytes:
        """[h, w, 3] truth, prediction, error and normals of one test frame."""
        return read_picture(sorted((self.folder / STRIPS).glob("*.png"))[index])


def mean_over(cells: list[Trial], metric: str) -> float:
    """The mean of the cells' means; NaN where one of them was not measured, lest a table hide it."""
    return fmean(cell.mean(metric) for cell in cells)


Corruption = Callable[[FaceDataset], FaceDataset]


class ExperimentRun:
    """Data, runs and reports of one plan, each made once: an interrupted experiment goes on where it was.

        data/SUBJECT-SET-FRAMESxSIZE/   synthetic sets        runs/CELL/      what `imavatar-train` writes
        runs/CELL.json                  what the run is of    reports/CELL/   what `imavatar-eval` writes

    Raises:
        UsageError: the plan names a subject or a variant that does not exist, or several subjects for one avatar.
        InputError: the avatar to look at cannot be read.
    """

    def __init__(self, plan: ExperimentPlan) -> None:
        self.plan = plan
        for kind, names, known in (
            ("subject", plan.subjects, SUBJECTS),
            ("variant", plan.variants, VARIANTS),
        ):
            for name in names:
                if name not in known:
                    raise unknown_name(kind, name, known)
        if plan.run is not None:
            load_variant(plan.run)  # before anything is drawn
            if len(plan.subjects) != 1:
                raise UsageError(
                    f"--run is one person's avatar: name one of --subjects, e.g. {next(iter(SUBJECTS))}"
                )

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
        folder = (
            self.out / "data" / f"{subject}-{which}-{frames or 'all'}x{plan.size}-seed{plan.seed}"
        )
        if not folder.exists():
            fineness = {} if plan.subdivisions is None else {"subdivisions": plan.subdivisions}
            choices: dict[str, Any] = {
                "frames": frames,
                "size": plan.size,
                "seed": plan.seed,
                **fineness,
            }
            synthesise(subject, folder, which=which, **choices, progress=plan.progress)
        return folder

    def dataset(self, subject: str, which: str) -> FaceDataset:
        """A synthetic set, opened."""
        return FaceDataset.open([self.video(subject, which)], size=self.plan.size)

    def trained(
        self, cell: str, subject: str, settings: TrainSettings, corruption: Corruption | None = None
    ) -> Path:
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
        about = {
            "subject": subject,
            "frames": plan.frames,
            "size": plan.size,
            **_flat(asdict(settings)),
        }
        if not _finished(note, about):
            plan.say(f"training {cell}")
            _write_json(note, {"about": about, "finished": False})
            dataset = self.dataset(subject, "train")
            begun = (folder / "config.toml").is_file()
            seen = corruption(dataset) if corruption else dataset
            train(
                seen,
                folder,
                settings,
                resume=begun,
                device=plan.device,
                progress=plan.progress,
                say=plan.say,
            )
            _write_json(note, {"about": about, "finished": True})
        return folder

    def scored(self, cell: str, run: Path, subject: str) -> Trial:
        """The scores of a run on the subject's test set of strong expressions: measured now, or read back."""
        plan, folder = self.plan, self.out / "reports" / cell
        about = {"test frames": plan.test_frames, "seed": plan.seed, "asked tracer": plan.tracer}
        if not (folder / MARKER).is_file():
            truth = self.dataset(subject, "test")
            source = self.source(run, truth, cell)
            write_report(
                folder,
                truth,
                source,
                MASKINGS["head"],
                facts=about,
                keep_frames=True,
                progress=plan.progress,
            )
        cell_found = Trial.read(folder)
        if not about.items() <= cell_found.document.items():
            raise UsageError(
                f"{folder} reports on other frames; choose another --out, or remove it to measure anew"
            )
        return cell_found

    def source(self, run: Path, truth: GroundTruth, title: str) -> ImplicitSource:
        """A run's implicit renders of the frames of `truth`."""
        model = load_variant(run).to(chosen_device(self.plan.device))
        return ImplicitSource(model, truth, title=title, tracer=self.plan.tracer)


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings as `group.name`, with what JSON gives back for tuples."""
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        inner = (
            _flat(value, f"{prefix}{name}.")
            if isinstance(value, Mapping)
            else {f"{prefix}{name}": value}
        )
        flat |= {
            key: list(entry) if isinstance(entry, tuple) else entry for key, entry in inner.items()
        }
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


# The avatar that pictures are made of: one that was trained already, or the cell of Table 2.


VARIANT = "imavatar"


def avatar_of(bench: ExperimentRun, subject: str) -> Path:
    """A run or checkpoint of a subject: the plan's own, else IMavatar as Table 2 trains it."""
    if bench.plan.run is not None:
        return bench.plan.run
    return bench.trained(f"{subject}-{VARIANT}", subject, bench.plan.settings(variant=VARIANT))


# Experiment: what one row of the table of experiments says.


@dataclass(frozen=True)
class Experiment:
    """One of the paper's experiments, owned by the file that runs it."""

    name: str
    place: str
    """Where the paper has it."""
    summary: str
    """One line for `--help`."""
    run: Callable[[ExperimentRun], list[Path]]
    """Does all of it, and returns what it wrote."""
