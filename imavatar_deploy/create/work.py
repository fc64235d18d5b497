"""The work folder of `imavatar-create`: which stages are done, for which inputs.

OUT.work/
    create.json   settings of the request, the plan, and a record of every stage
    dataset/      of `imavatar-data track`
    run/          of `imavatar-train`
    held_out/     of `imavatar-eval`
    logs/         what every stage printed, such as the full report of the export
    preview.mp4, preview.png, report.html
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from imavatar_deploy.atomic import write_text
from imavatar_deploy.errors import InputError, excerpt

STATE = "create.json"

VERSION = 1

TRACK_FILE = "flame_params.json"
"""Name of the track in every video of a dataset."""


@dataclass
class StageRecord:
    """What is known of a stage's last run."""

    key: str
    """Digest of the inputs and settings of the stage and of those before it."""
    command: list[str]
    """As it was run last."""
    finished: bool = False
    seconds: float = 0.0
    """Wall time of all runs with this key, interrupted ones included."""


@dataclass
class CreateFolder:
    """Paths of the work folder, and the records of its stages."""

    path: Path
    stages: dict[str, StageRecord] = field(default_factory=dict)
    plan: dict[str, Any] = field(default_factory=dict)
    """Preset and minutes of training, kept for a training that is resumed, and the planned minutes
    of every stage (`expected`)."""
    consent: dict[str, Any] = field(default_factory=dict)
    """The statement for the videos of the last run."""
    videos: list[dict[str, Any]] = field(default_factory=list)
    """Fingerprint of each of these videos."""

    @property
    def dataset(self) -> Path:
        """The dataset."""
        return self.path / "dataset"

    @property
    def run(self) -> Path:
        """The training run."""
        return self.path / "run"

    @property
    def held_out(self) -> Path:
        """The evaluation on frames that training has not used."""
        return self.path / "held_out"

    def log(self, stage: str) -> Path:
        """What a stage printed on the standard output."""
        return self.path / "logs" / f"{stage}.txt"

    @property
    def preview(self) -> Path:
        """The clip of the avatar."""
        return self.path / "preview.mp4"

    @property
    def sheet(self) -> Path:
        """The contact sheet of the avatar."""
        return self.path / "preview.png"

    @property
    def report(self) -> Path:
        """The page about all stages."""
        return self.path / "report.html"

    @classmethod
    def open(cls, path: Path) -> CreateFolder:
        """Read the state of a work folder; a missing folder is an empty one.

        Raises:
            InputError: the state cannot be read.
        """
        file = path / STATE
        if not file.is_file():
            return cls(path)
        try:
            state = json.loads(file.read_text(encoding="utf-8"))
            if state["version"] != VERSION:
                raise ValueError(f"version {state['version']}")
            stages = {name: StageRecord(**record) for name, record in state["stages"].items()}
            return cls(
                path, stages, dict(state["plan"]), dict(state["consent"]), list(state["videos"])
            )
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(
                f"{file} is not the state of an earlier imavatar-create "
                f"({excerpt(repr(error))}); remove the "
                "folder to begin again"
            ) from error

    def save(self) -> None:
        """Write the state.

        Raises:
            UsageError: it cannot be written.
        """
        state = {
            "version": VERSION,
            "plan": self.plan,
            "consent": self.consent,
            "videos": self.videos,
            "stages": {name: asdict(record) for name, record in self.stages.items()},
        }
        write_text(self.path / STATE, json.dumps(state, indent=2) + "\n")

    def minutes(self) -> dict[str, float]:
        """Stage -> minutes of its last run."""
        return {name: record.seconds / 60.0 for name, record in self.stages.items()}

    def tracks(self) -> list[Path]:
        """The tracks of the dataset: of the one video, or of every video by name."""
        own = self.dataset / TRACK_FILE
        return [own] if own.is_file() else sorted(self.dataset.glob(f"*/{TRACK_FILE}"))

    def frames(self) -> int:
        """Number of frames of the dataset.

        Raises:
            InputError: the dataset has no readable track.
        """
        try:
            counts = [
                len(json.loads(track.read_text(encoding="utf-8"))["frames"])
                for track in self.tracks()
            ]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{self.dataset} cannot be read ({excerpt(repr(error))}); track again"
            ) from error
        if not sum(counts):
            raise InputError(f"{self.dataset} has no frames; track again")
        return sum(counts)


def fingerprint(video: Path) -> dict[str, Any]:
    """What identifies a file: path, size and time of its last change."""
    status = video.stat()
    return {"path": str(video.resolve()), "bytes": status.st_size, "changed": status.st_mtime_ns}


def digest(*values: Any) -> str:
    """Digest of JSON-ready values."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:16]


def chained(names: Sequence[str], settings: Sequence[Any]) -> dict[str, str]:
    """Stage -> key; a key depends on the settings of the stage and on the key before it."""
    keys: dict[str, str] = {}
    key = ""
    for name, values in zip(names, settings, strict=True):
        key = digest(key, name, values)
        keys[name] = key
    return keys
