"""Runs `imavatar-create` on a clip and tabulates the time of every stage and the held-out figures.

    python benchmarks/create_run.py CLIP --out FOLDER [--minutes 15] [--report FILE.md]
                                    [--options "..."]

FOLDER receives the avatar, its work folder, the log and `measured.json`. The person in the clip
must have agreed to an avatar, as for the command itself.

Columns:

    wall        minutes from the first to the last line of the stage
    processor   minutes of user and system time of its processes, on all cores together
    load        mean of the system's one-minute load average during the stage; with nothing else
                running it is at most the number of cores that the stage uses

Minutes on a quiet machine lie between processor / cores and processor; a load well above the number
of cores means that other programs took part of the time. Processor times are read from `/proc`.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import subprocess
import sys
import threading
import time
from datetime import date
from pathlib import Path
from typing import Any

from imavatar_deploy.consent import OPTION
from imavatar_deploy.create.work import CreateFolder

STAGE_END = re.compile(r"\[\d+/\d+\] (\w+): [\d.]+ min")
"""Line that `imavatar-create` writes when a stage is done."""

TICKS = os.sysconf("SC_CLK_TCK")


def children_seconds(pid: int) -> float:
    """Return the processor time of the finished children of a process, seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[13]) + int(fields[14])) / TICKS


class LoadAverage:
    """Samples the load average every second in a thread."""

    def __init__(self) -> None:
        self._samples: list[float] = []
        self._done = threading.Event()
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while not self._done.wait(1.0):
            self._samples.append(os.getloadavg()[0])

    def take(self) -> float:
        """Return the mean since the last call."""
        samples = self._samples or [os.getloadavg()[0]]
        self._samples = []
        return sum(samples) / len(samples)

    def close(self) -> None:
        """End the thread."""
        self._done.set()


def run(clip: Path, folder: Path, minutes: float, options: str) -> dict[str, Any]:
    """Run the command and return what was measured."""
    command = [
        *(str(Path(sys.executable).with_name("imavatar-create")), str(clip), OPTION),
        *("--out", str(folder / "avatar"), "--minutes", f"{minutes:g}"),
        *shlex.split(options),
    ]
    folder.mkdir(parents=True, exist_ok=True)
    stages = []
    load = LoadAverage()
    begin = started = time.monotonic()
    used = 0.0
    with (
        (folder / "create.log").open("w") as log,
        subprocess.Popen(command, stdout=log, stderr=subprocess.PIPE, text=True) as process,
    ):
        assert process.stderr is not None
        for line in process.stderr:
            log.write(line)
            log.flush()
            end = STAGE_END.match(line)
            if end is None:
                continue
            now, total = time.monotonic(), children_seconds(process.pid)
            stages.append(
                {
                    "stage": end[1],
                    "wall": (now - started) / 60,
                    "processor": (total - used) / 60,
                    "load": load.take(),
                }
            )
            started, used = now, total
    load.close()
    if process.returncode:
        raise SystemExit(f"imavatar-create ended with {process.returncode}: {folder}/create.log")
    measured = {
        "command": shlex.join(["imavatar-create", clip.name, *command[2:]]),
        "total": (time.monotonic() - begin) / 60,
        "cores": len(os.sched_getaffinity(0)),
        "stages": stages,
    }
    (folder / "measured.json").write_text(json.dumps(measured, indent=2) + "\n")
    return measured


def table(measured: dict[str, Any], folder: Path) -> list[str]:
    """Return the report as lines of Markdown."""
    work = CreateFolder.open(folder / "avatar.work")
    expected = work.plan.get("expected", {})
    lines = [
        f"# From a clip to an avatar, {date.today().isoformat()}",
        "",
        f"`{measured['command']}`, {work.frames()} frames, {measured['cores']} cores",
        "",
        "| stage | planned | wall | processor | load |",
        "|---|---|---|---|---|",
    ]
    for row in measured["stages"]:
        plan = expected.get(row["stage"])
        planned = "" if plan is None else f"{plan:.1f}"
        lines.append(
            f"| {row['stage']} | {planned} | {row['wall']:.1f} | {row['processor']:.1f} "
            f"| {row['load']:.1f} |"
        )
    processor = sum(row["processor"] for row in measured["stages"])
    planned = sum(expected.values())
    lines += [
        f"| together | {planned:.1f} | {measured['total']:.1f} | {processor:.1f} | |",
        "",
        f"Preset {work.plan.get('preset')}, {work.plan.get('training')} minutes of training.",
        "",
        *_held_out(work.held_out / "report.json"),
    ]
    return lines


def _held_out(path: Path) -> list[str]:
    """Return the figures of frames that training has not used, one line each."""
    if not path.is_file():
        return ["No held-out figures."]
    metrics = json.loads(path.read_text())["metrics"]
    return [
        "| held-out frames | mean |",
        "|---|---|",
        *(
            f"| {name}{', ' + row['unit'] if row.get('unit') else ''} | {row['mean']:.4g} |"
            for name, row in metrics.items()
            if isinstance(row.get("mean"), (int, float))
        ),
    ]


def main() -> None:
    """Run and write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("clip", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=15.0)
    parser.add_argument("--report", type=Path)
    parser.add_argument("--options", default="", help="further options of imavatar-create")
    options = parser.parse_args()
    measured = run(options.clip, options.out, options.minutes, options.options)
    text = "\n".join(table(measured, options.out)) + "\n"
    print(text)
    if options.report is not None:
        options.report.write_text(text)


if __name__ == "__main__":
    main()
