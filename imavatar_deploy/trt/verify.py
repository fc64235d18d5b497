"""An engine held against the golden data where a device can run it, and why not where none can."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from imavatar_deploy.errors import MissingDependencyError
from imavatar_deploy.fidelity.golden import read_golden
from imavatar_deploy.fidelity.parity import ParityReport, Tolerance, compare
from imavatar_deploy.onnx_session import run_graph

from .driver import probe_driver
from .preflight import preflight
from .session import EngineSession
from .sidecar import Sidecar, plan_path, read_sidecars


def check_engines(folder: Path) -> tuple[list[ParityReport], dict[str, str]]:
    """A report for each engine of an avatar folder that can run here; graph -> why not, for each that cannot."""
    reports, why_not, cases = [], {}, read_golden(folder)
    for sidecar in read_sidecars(folder):
        if reason := _obstacle(folder, sidecar):
            why_not[sidecar.graph] = reason
            continue
        case = cases[sidecar.graph]
        with closing(
            EngineSession(plan_path(folder, sidecar.graph).read_bytes(), sidecar)
        ) as session:
            given = run_graph(session, case.inputs)
        reports.append(compare(f"{sidecar.graph} engine", case.outputs, given, allowed(sidecar)))
    return reports, why_not


def allowed(sidecar: Sidecar) -> dict[str, Tolerance]:
    """Output -> how near to the golden data it must come."""
    return {name: Tolerance(limit) for name, limit in sidecar.limits.items()}


def _obstacle(folder: Path, sidecar: Sidecar) -> str | None:
    try:
        return preflight(folder, sidecar, probe_driver().devices[0])
    except MissingDependencyError as error:
        return str(error).partition(";")[0]
