"""ExperimentPlan, ExperimentRun and Trial: an experiment's data, trainings and reports.

What an experiment's folder already holds is used again.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from imavatar_deploy.atomic import atomic_file, refuse_standard_output
from imavatar_deploy.dataset import FaceDataset
from imavatar_deploy.errors import InputError, UsageError, unknown_name
from imavatar_deploy.model.checkpoint import load_variant
from imavatar_deploy.model.variants import VARIANTS
from imavatar_deploy.progress import Progress, silent

from ..evaluation.contact_sheet import Bytes, read_picture
from ..evaluation.from_run import ImplicitSource, chosen_device
from ..evaluation.interfaces import GroundTruth
from ..evaluation.metric import MASKINGS
from ..evaluation.report import MARKER, STRIPS, write_report
from ..presets import preset
from ..run_training import train
from ..settings import TrainSettings
from ..synthetic import SUBJECTS, synthesise

VARIANT = "imavatar"
"""The variant of figures that show one avatar."""

Corruption = Callable[[FaceDataset], FaceDataset]
"""Makes a corrupted view of a training set."""


@dataclass(frozen=True)
class ExperimentPlan:
    """Sizes, lengths and choices of an experiment, the same for every row of the table."""

    out: Path
    """Folder of `data/`, `runs/`, `reports/` and the results; what it holds is used again."""
    base: TrainSettings = field(default_factory=lambda: preset("small"))
    """Settings that every training of the experiment starts from."""
    subjects: tuple[str, ...] = tuple(SUBJECTS)
    variants: tuple[str, ...] = ()
    """Keys of `VARIANTS`; empty for all."""
    frames: int | None = None
    """Frames of each training set; None for the set's own number."""
    test_frames: int | None = None
    """Frames of each test set; None for the set's own number."""
    size: int = 256
    """Pixels a side of training and test images."""
    tracer: str = "raster"
    """Tracer of the evaluation."""
    device: str = "auto"
    seed: int = 0
    warm_start: bool | None = None
    """None for the choice of the experiment."""
    run: Path | None = None
    """A trained avatar, for the experiments that show one."""
    finished_only: bool = False
    """Use the trials that `out` holds, finished and measured; train and measure nothing."""
    subdivisions: int | None = None
    """Subdivisions of synthetic subjects; None for their default."""
    progress: Progress = silent
    say: Callable[[str], None] = lambda text: None
    """Receives a line at the start of each training, and the lines of the training itself."""

    def __post_init__(self) -> None:
        refuse_standard_output(self.out)

    def settings(self, *, warm_start: bool = True, **changes: object) -> TrainSettings:
        """Return the base settings with the changes of an experiment.

        Args:
            warm_start: the choice of the experiment, if the plan has none.
            changes: other fields of `TrainSettings`.
        """
        start = warm_start if self.warm_start is None else self.warm_start
        return replace(self.base, seed=self.seed, warm_start=start, **changes)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Trial:
    """The scores of one trained avatar on one test set, as its report states them."""

    folder: Path
    document: dict[str, Any]

    @classmethod
    def read(cls, folder: Path) -> Trial:
        """Read the report in a folder.

        Raises:
            InputError: the report cannot be read.
        """
        try:
            return cls(folder, json.loads((folder / MARKER).read_text(encoding="utf-8")))
        except (OSError, ValueError) as error:
            raise InputError(
                f"{folder / MARKER} cannot be read ({error}); remove the folder to measure anew"
            ) from error

    def mean(self, metric: str) -> float:
        """Mean of a metric over the test frames; NaN where it was not measured."""
        return float(self.document["metrics"][metric].get("mean", math.nan))

    def column(self, metric: str) -> list[float]:
        """Values of a metric, one per frame; NaN where it was not measured."""
        return [float(frame.get(metric, math.nan)) for frame in self.document["frames"]]

    def strip(self, index: int) -> Bytes:
        """Picture `[h, w, 3]` of truth, prediction, error and normals of one test frame."""
        return read_picture(sorted((self.folder / STRIPS).glob("*.png"))[index])


def mean_over(trials: Collection[Trial], metric: str) -> float:
    """Mean of the trials' means; NaN if there is none, or one did not measure the metric."""
    return fmean(trial.mean(metric) for trial in trials) if trials else math.nan


class ExperimentRun:
    """Makes the data, runs and reports of a plan, each once; a later call continues the work.

        data/SUBJECT-SET-FRAMESxSIZE-seedSEED/   a synthetic set
        runs/TRIAL/                              the output of `imavatar-train`
        runs/TRIAL.json                          the settings of the run, and whether it is finished
        reports/TRIAL/                           the output of `imavatar-eval`

    Raises:
        UsageError: the plan names a subject or a variant that does not exist, or several subjects
            for one avatar.
        InputError: the plan's avatar cannot be read.
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
                    "--run is one person's avatar: name one of --subjects, "
                    f"e.g. {next(iter(SUBJECTS))}"
                )

    @property
    def out(self) -> Path:
        """Folder of the results."""
        return self.plan.out

    @property
    def variants(self) -> tuple[str, ...]:
        """Keys of `VARIANTS` to compare."""
        return self.plan.variants or tuple(VARIANTS)

    def video(self, subject: str, which: str) -> Path:
        """Return the folder of a synthetic set, which is rendered if it does not exist."""
        plan = self.plan
        frames = plan.test_frames if which == "test" else plan.frames
        folder = (
            self.out / "data" / f"{subject}-{which}-{frames or 'all'}x{plan.size}-seed{plan.seed}"
        )
        if not folder.exists():
            options: dict[str, Any] = {"frames": frames, "size": plan.size, "seed": plan.seed}
            if plan.subdivisions is not None:
                options["subdivisions"] = plan.subdivisions
            synthesise(subject, folder, which=which, **options, progress=plan.progress)
        return folder

    def dataset(self, subject: str, which: str) -> FaceDataset:
        """Open a synthetic set."""
        return FaceDataset.open([self.video(subject, which)], size=self.plan.size)

    def trained_run(
        self, name: str, subject: str, settings: TrainSettings, corruption: Corruption | None = None
    ) -> Path:
        """Return the run folder of a trial; train it, or continue its training, where necessary.

        Args:
            name: of the trial, unique for its settings and data.
            corruption: changes the training set; the name of the trial must identify it.

        Raises:
            UsageError: a run of this name was made with other settings or data.
            QualityError: training failed.
        """
        folder = self.out / "runs" / name
        note = self._note(name)
        about = self._about(subject, settings)
        plan = self.plan
        if not _is_finished(note, about):
            plan.say(f"training {name}")
            _write_json(note, {"about": about, "finished": False})
            dataset = self.dataset(subject, "train")
            train(
                corruption(dataset) if corruption else dataset,
                folder,
                settings,
                resume=(folder / "config.toml").is_file(),
                device=plan.device,
                progress=plan.progress,
                say=plan.say,
            )
            _write_json(note, {"about": about, "finished": True})
        return folder

    def finished_run(self, name: str, subject: str, settings: TrainSettings) -> Path | None:
        """Return the run folder of a trial if its training is finished, else None.

        Raises:
            UsageError: a run of this name was made with other settings or data.
        """
        finished = _is_finished(self._note(name), self._about(subject, settings))
        return self.out / "runs" / name if finished else None

    def trained_trial(
        self, name: str, subject: str, settings: TrainSettings, corruption: Corruption | None = None
    ) -> Trial | None:
        """Train and measure a trial where necessary, as `trained_run` and `trial` do.

        None if the plan is of finished trials only and this is not one.
        """
        if self.plan.finished_only:
            run = self.finished_run(name, subject, settings)
            if run is None or not (self._report(name) / MARKER).is_file():
                return None
        else:
            run = self.trained_run(name, subject, settings, corruption)
        return self.trial(name, run, subject)

    def trial(self, name: str, run: Path, subject: str) -> Trial:
        """Return the scores of a run on the subject's test set, measured where necessary.

        Args:
            name: of the trial.

        Raises:
            UsageError: a report of this name was made with other frames, seed or tracer.
            InputError: the report cannot be read.
        """
        plan = self.plan
        folder = self._report(name)
        about = {"test frames": plan.test_frames, "seed": plan.seed, "asked tracer": plan.tracer}
        if not (folder / MARKER).is_file():
            truth = self.dataset(subject, "test")
            source = self.source(run, truth, name)
            write_report(
                folder,
                truth,
                source,
                MASKINGS["head"],
                facts=about,
                keep_frames=True,
                progress=plan.progress,
            )
        trial = Trial.read(folder)
        if not about.items() <= trial.document.items():
            raise UsageError(
                f"{folder} was measured with other test frames, seed or tracer; choose another "
                "--out, or remove it to measure anew"
            )
        return trial

    def _note(self, name: str) -> Path:
        return self.out / "runs" / f"{name}.json"

    def _report(self, name: str) -> Path:
        return self.out / "reports" / name

    def _about(self, subject: str, settings: TrainSettings) -> dict[str, Any]:
        """Settings and data of a run, as its note states them."""
        data = {"subject": subject, "frames": self.plan.frames, "size": self.plan.size}
        return data | _flat(asdict(settings))

    def source(self, run: Path, truth: GroundTruth, title: str) -> ImplicitSource:
        """Return a source of a run's implicit renders of the frames of `truth`."""
        model = load_variant(run).to(chosen_device(self.plan.device))
        return ImplicitSource(model, truth, title=title, tracer=self.plan.tracer)


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Flatten nested settings to `group.name`; tuples become lists, as JSON reads them."""
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = list(value) if isinstance(value, tuple) else value
    return flat


def _is_finished(note: Path, about: Mapping[str, Any]) -> bool:
    """Whether the run that a note describes is finished.

    A setting that the note lacks is newer than the run, which has its default.

    Raises:
        UsageError: it was made with other settings or data.
    """
    if not note.is_file():
        return False
    known: dict[str, Any] = json.loads(note.read_text(encoding="utf-8"))
    defaults = _flat(asdict(TrainSettings()))
    for name, value in about.items():
        earlier = known["about"].get(name, defaults.get(name))
        if earlier != value:
            raise UsageError(
                f"{note.with_suffix('')} was trained with {name} = {earlier}, "
                f"not {value}; choose another --out, or remove it and its .json to train anew"
            )
    return bool(known["finished"])


def _write_json(path: Path, document: Any) -> None:
    with atomic_file(path) as partial:
        partial.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")


def avatars(experiment: ExperimentRun) -> dict[str, Path]:
    """Return the plan's avatar, or those of its subjects as Table 2 trains them, by subject.

    Raises:
        UsageError: the plan is of finished trials only, and there is none.
    """
    plan = experiment.plan
    if plan.run is not None:
        return dict.fromkeys(plan.subjects, plan.run)
    runs: dict[str, Path] = {}
    for subject in plan.subjects:
        trial = (f"{subject}-{VARIANT}", subject, plan.settings(variant=VARIANT))
        run = experiment.finished_run(*trial)
        if run is None and not plan.finished_only:
            run = experiment.trained_run(*trial)
        if run is not None:
            runs[subject] = run
    if not runs:
        raise nothing_finished(plan)
    return runs


def nothing_finished(plan: ExperimentPlan) -> UsageError:
    """Return the error of an experiment on finished trials only, of which there is none."""
    return UsageError(
        f"{plan.out} holds no finished trial of this experiment; run it without --finished-only"
    )


@dataclass(frozen=True)
class Experiment:
    """One row of the table of experiments."""

    name: str
    place: str
    """Table, figure or section of the paper."""
    summary: str
    """One line for `--help`."""
    run: Callable[[ExperimentRun], list[Path]]
    """Runs the experiment and returns the files it wrote."""
