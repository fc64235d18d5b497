"""Plan: how large an experiment is to be and where it happens; the same for every experiment."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from imavatar_deploy.atomic import refuse_standard_output
from imavatar_deploy.progress import Progress, silent

from ..presets import preset
from ..settings import Settings
from ..synthetic import SUBJECTS


@dataclass(frozen=True)
class Plan:
    """Sizes, lengths and choices of an experiment. Full size is the default preset's, on demand."""

    out: Path
    """Folder of everything: `data/`, `runs/`, `reports/` and the results. Work that is found there is used again."""
    base: Settings = field(default_factory=lambda: preset("small"))
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

    def settings(self, *, warm_start: bool = True, **changes: object) -> Settings:
        """The base with an experiment's own changes.

        Args:
            warm_start: what the experiment would have, if the plan does not say.
        """
        wanted = warm_start if self.warm_start is None else self.warm_start
        return replace(self.base, seed=self.seed, warm_start=wanted, **changes)  # type: ignore[arg-type]
