"""Verify TensorRT engines against the golden data, where a device can run them."""

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
    """Run and compare every engine of an avatar folder.

    Returns:
        A report for each engine that can run here, and graph -> reason for each that cannot.

    Raises:
        InputError: the golden data or a sidecar cannot be read, or an engine fails.
    """
    reports = []
    reasons = {}
    cases = read_golden(folder)
    for sidecar in read_sidecars(folder):
        if reason := _obstacle(folder, sidecar):
            reasons[sidecar.graph] = reason
            continue
        case = cases[sidecar.graph]
        plan = plan_path(folder, sidecar.graph).read_bytes()
        with closing(EngineSession(plan, sidecar)) as session:
            outputs = run_graph(session, case.inputs)
        reports.append(
            compare(f"{sidecar.graph} engine", case.outputs, outputs, output_tolerances(sidecar))
        )
    return reports, reasons


def output_tolerances(sidecar: Sidecar) -> dict[str, Tolerance]:
    """Return the tolerance of each output of an engine."""
    return {name: Tolerance(limit) for name, limit in sidecar.limits.items()}


def _obstacle(folder: Path, sidecar: Sidecar) -> str | None:
    try:
        return preflight(folder, sidecar, probe_driver().devices[0])
    except MissingDependencyError as error:
        return str(error).partition(";")[0]
