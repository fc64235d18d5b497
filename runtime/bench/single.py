"""Single: one combination, stage by stage, as JSON and in sentences."""

from __future__ import annotations

from typing import Any

from ..timing import INCLUDED, summarise
from .rounds import Timed
from .subject import Subject

SCHEMA_VERSION = 1
THREADS = (
    "one pool of {0} for animation and drawing and, but for the student, one of {0} for ONNX Runtime take turns; "
    "neither spins while it waits"
)


def single_report(timed: Timed, subject: Subject, machine: dict[str, Any]) -> dict[str, Any]:
    """JSON-ready; times in milliseconds."""
    row = timed.combination
    return {
        "schema_version": SCHEMA_VERSION,
        "avatar": row.avatar,
        "vertices": subject.vertices,
        "faces": subject.faces,
        "size": list(row.size),
        "shading": timed.shading,
        "frames": len(timed.totals),
        "milliseconds": summarise(timed.laps, timed.totals),
        "frames_per_second": round(len(timed.totals) / timed.seconds, 2),
        "included": INCLUDED,
        "threads": {"count": row.threads, "note": THREADS.format(row.threads)},
        "machine": machine,
        "backend": timed.note or row.backend,
    }


def single_lines(report: dict[str, Any]) -> tuple[str, str]:
    """What stands above the table, and below it."""
    about, (width, height) = report["machine"], report["size"]
    above = f"{report['avatar']}: {report['faces']:,} faces, {width} x {height}"
    rate = f"{report['frames_per_second']} frames a second over {report['frames']} frames: {report['included']}"
    threads, where = report["threads"]["note"], f"{about['processor']}, {about['cores']} cores"
    return (
        f"{above}, shading: {report['shading']}, {report['backend']}",
        f"{rate}\n{threads}; {where}, load {about['load_average']}",
    )
