"""Cell: the scores of one trained avatar on one test set, as its report keeps them."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from imavatar_deploy.errors import InputError

from ..evaluation.contact_sheet import Bytes, read_picture
from ..evaluation.report import MARKER, STRIPS


@dataclass(frozen=True)
class Cell:
    """A report, read back."""

    folder: Path
    document: dict[str, Any]

    @classmethod
    def read(cls, folder: Path) -> Cell:
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


def mean_over(cells: list[Cell], metric: str) -> float:
    """The mean of the cells' means; NaN where one of them was not measured, lest a table hide it."""
    return fmean(cell.mean(metric) for cell in cells)
