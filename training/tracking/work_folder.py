"""The work of an unfinished tracking, in a hidden folder of the dataset to be written.

OUT/.tracking/
    job.json     the videos, the settings, and what the first look at the videos has found
    video_0/     pictures, masks and records of the first video, see `prepare`
    dataset/     the finished parts of the dataset
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imavatar_deploy.atomic import refuse_standard_output, write_text
from imavatar_deploy.errors import UsageError

from .result import ABOUT_FILE

if TYPE_CHECKING:
    from .settings import TrackSettings

WORK = ".tracking"

JOB_FILE = "job.json"

VERSION = 1
"""Version of the work folder; another is begun anew."""

NOT_OF_THE_RESULT = ("overwrite", "report")
"""Settings that may change when work is continued."""


class WorkFolder:
    """The work folder of a dataset.

    Args:
        out: the dataset.
        videos: the video files.
        settings: the settings of the tracking.

    Raises:
        UsageError: `out` cannot be written, or holds something else.
    """

    def __init__(self, out: str | Path, videos: Sequence[Path], settings: TrackSettings) -> None:
        refuse_standard_output(out)
        self.out = Path(os.path.realpath(out))
        self.path = self.out / WORK
        self.continued = False
        self._made_out = not self.out.exists()
        self._refuse_obstacle(settings.overwrite)
        self._key = _key(videos, settings)
        self._job = self._stored_job()
        try:
            if self._job.get("key") == self._key:
                self.continued = True
            else:
                shutil.rmtree(self.path, ignore_errors=True)
                self.path.mkdir(parents=True)
                self._job = {"key": self._key}
                self._save()
            self.dataset.mkdir(exist_ok=True)
        except OSError as error:
            raise UsageError(
                f"{out} cannot be written ({error.strerror or error}); choose another place"
            ) from error

    @property
    def dataset(self) -> Path:
        """Folder of the finished parts."""
        return self.path / "dataset"

    def video(self, index: int) -> Path:
        """Folder of the frames of a video."""
        return self.path / f"video_{index}"

    def value(self, name: str) -> Any:
        """Return a stored value, or None."""
        return self._job.get(name)

    def store(self, name: str, value: Any) -> None:
        """Keep a JSON-ready value."""
        self._job[name] = value
        self._save()

    def discard(self) -> None:
        """Remove the work: its input cannot be used, so that nothing can be continued."""
        shutil.rmtree(self.path, ignore_errors=True)
        if self._made_out or self.continued:
            with suppress(OSError):  # an earlier dataset stays
                self.out.rmdir()

    def _save(self) -> None:
        write_text(self.path / JOB_FILE, json.dumps(self._job) + "\n")

    def _stored_job(self) -> dict[str, Any]:
        try:
            job = json.loads((self.path / JOB_FILE).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return job if isinstance(job, dict) else {}

    def _refuse_obstacle(self, overwrite: bool) -> None:
        """Refuse a folder with foreign content, and a finished dataset without `overwrite`."""
        if not self.out.exists():
            return
        if not self.out.is_dir():
            raise UsageError(
                f"{self.out} is a file, and a folder is to be written there; choose another name"
            )
        if self.path.is_dir() or not any(self.out.iterdir()):
            return
        if not (any(self.out.glob(ABOUT_FILE)) or any(self.out.glob(f"*/{ABOUT_FILE}"))):
            raise UsageError(
                f"{self.out} is a folder with other things in it (no {ABOUT_FILE} of an earlier "
                "tracking); choose another name"
            )
        if not overwrite:
            raise UsageError(
                f"{self.out} already holds a dataset; choose another name, or pass --overwrite to "
                "replace it"
            )


def _key(videos: Sequence[Path], settings: TrackSettings) -> dict[str, Any]:
    """What the result depends on, JSON-ready."""
    values: Mapping[str, Any] = asdict(settings)
    return {
        "version": VERSION,
        "videos": [_stamp(video) for video in videos],
        "settings": {
            name: _stamp(value) if isinstance(value, Path) else value
            for name, value in values.items()
            if name not in NOT_OF_THE_RESULT
        },
    }


def _stamp(path: Path) -> list[Any]:
    """Name, size and time of a file or folder."""
    try:
        about = path.stat()
    except OSError:
        return [str(path), 0, 0]
    return [str(path.resolve()), about.st_size, about.st_mtime_ns]
