"""Frames a second of imavatar-bake, by format and number of jobs, as one Markdown table.

    python benchmarks/bake_sequences.py [AVATAR] [--frames 250] [--jobs 1 2] [--out FOLDER]

Every row bakes the first frames of the bundled talk track into a new folder. Times include posing,
normals, colours where the row names them, formatting, every write to the disk, assembling one file,
and the neutral mesh beside a point cache. They do not include the start of the program and opening
the avatar. `per core` is frames a second of processor time over all threads, which does not depend
on the load of the machine; the other columns are in wall-clock time.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from imavatar_deploy.exporters.sequences.bake import bake_motion
from imavatar_deploy.exporters.sequences.format import SequenceFormat
from imavatar_deploy.exporters.sequences.formats import FORMATS
from imavatar_deploy.exporters.sequences.motion import Motion, open_motion
from imavatar_deploy.exporters.sequences.workers import thread_executor

COLOURED_FRAMES = 20
"""Frames of the rows with colours: the full texture network is slow for every vertex."""


def rate(
    motion: Motion, row: SequenceFormat, jobs: int, folder: Path
) -> tuple[float, float, float]:
    """Frames a second of wall-clock and of processor time, and megabytes a frame."""
    with tempfile.TemporaryDirectory(dir=folder) as out:
        wall_start = time.perf_counter()
        processor_start = time.process_time()
        bake_motion(motion, Path(out) / "bake", [row], executor=thread_executor(jobs))
        wall = time.perf_counter() - wall_start
        processor = time.process_time() - processor_start
        size = sum(path.stat().st_size for path in Path(out).rglob("*") if path.is_file())
    return len(motion) / wall, len(motion) / processor, size / len(motion) / 1e6


def line(motion: Motion, row: SequenceFormat, jobs: Sequence[int], folder: Path) -> str:
    runs = [rate(motion, row, count, folder) for count in jobs]
    name = f"{row.name}, colours" if motion.colour else row.name
    walls = " | ".join(f"{wall:.0f}" if wall >= 10 else f"{wall:.1f}" for wall, _, _ in runs)
    _, per_core, size = runs[0]
    return f"| {name} | {walls} | {per_core:.0f} | {size:.2f} MB |"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("avatar", nargs="?", default="sample")
    parser.add_argument("--frames", type=int, default=250)
    parser.add_argument("--jobs", type=int, nargs="+", default=[1, 2])
    parser.add_argument(
        "--out", type=Path, help="Folder on the disk to be measured.  [default: the system's]"
    )
    arguments = parser.parse_args()
    motion = open_motion(arguments.avatar, "talk", frames=slice(0, arguments.frames))
    coloured = replace(
        open_motion(arguments.avatar, "talk", frames=slice(0, COLOURED_FRAMES)), colour=True
    )
    print(
        f"{arguments.avatar}: {motion.avatar.vertex_count} vertices, "
        f"{len(motion.avatar.faces)} faces, {len(motion)} frames\n"
    )
    jobs = " | ".join(f"{count} jobs" for count in arguments.jobs)
    print(f"| format | {jobs} | per core | a frame |")
    print("|---" * (3 + len(arguments.jobs)) + "|")
    for row in FORMATS.values():
        # compile and load everything once
        rate(coloured if row.carries_colours else motion, row, 1, arguments.out)
        print(line(motion, row, arguments.jobs, arguments.out), flush=True)
        if row.carries_colours:
            print(line(coloured, row, arguments.jobs, arguments.out), flush=True)


if __name__ == "__main__":
    main()
