"""A baked avatar: its frames are drawn by the installed `imavatar-run`, the program that users run."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from imavatar_deploy.avatar_io import MANIFEST, open_avatar
from imavatar_deploy.errors import ImavatarError, InputError, MissingDependencyError
from imavatar_deploy.tracks import check_edition, write_track

from .carried_landmarks import BakedLandmarks, canonical_landmarks, project
from .case import Points
from .from_frames import FrameFolder
from .ground_truth import GroundTruth
from .source import Options, PredictionSource, SourceKind

PROGRAM = "imavatar-run"
BUNDLED = "sample"


def _matches(path: str) -> bool:
    return path == BUNDLED or (Path(path) / MANIFEST).is_file()


@contextmanager
def _open(path: str, truth: GroundTruth, options: Options) -> Iterator[PredictionSource]:
    avatar = open_avatar(path).avatar
    check_edition(truth.track.edition, avatar.edition)
    with tempfile.TemporaryDirectory() as scratch:
        frames = draw(path, truth, Path(scratch))
        yield FrameFolder(f"the baked avatar {path}", frames, f"drawn by {PROGRAM}", _landmarks(path, truth))


def draw(avatar: str, truth: GroundTruth, scratch: Path) -> list[Path]:
    """One transparent PNG per frame of `truth`, through its cameras, written into `scratch` by the runtime.

    Raises:
        MissingDependencyError: the program is not installed beside this one.
        InputError: it failed; the message is its own.
    """
    track = scratch / "flame_params.json"
    write_track(truth.track, track)
    arguments = [avatar, "--source", str(track), "--sink", str(scratch / "%05d.png"), "--size", str(truth.size)]
    # Another process, because a room never imports another; what is measured is then what users get.
    done = subprocess.run([_program(), *arguments, "--background", "transparent"], capture_output=True, text=True)
    if done.returncode:
        raise InputError(f"{PROGRAM} could not draw {avatar}: {done.stderr.strip() or done.stdout.strip()}")
    return sorted(scratch.glob("*.png"))


def _program() -> str:
    found = shutil.which(str(Path(sys.executable).parent / PROGRAM)) or shutil.which(PROGRAM)
    if found is None:
        raise MissingDependencyError(
            f"{PROGRAM} is not installed beside {sys.executable}, and it draws baked avatars: "
            "pip install 'imavatar-deploy[cpu]'"
        )
    return found


def _landmarks(path: str, truth: GroundTruth) -> list[Points] | None:
    try:
        points = canonical_landmarks(truth.head)
    except ImavatarError:  # a head model whose landmarks nobody knows; the report says so
        return None
    baked = BakedLandmarks(open_avatar(path).avatar, points)
    track = truth.track
    return [
        project(baked.posed(track.expression[index], track.pose[index]), track.cameras[index], truth.size)
        for index in range(len(track))
    ]


KIND = SourceKind(
    name="avatar",
    description="an avatar folder made by imavatar-export, drawn by imavatar-run; or the word `sample`",
    matches=_matches,
    open=_open,
)
