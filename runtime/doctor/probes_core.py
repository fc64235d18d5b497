"""Probes of the core parts, which every avatar needs."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import platform
import tempfile
from pathlib import Path
from typing import Any

from .probe import AbsentError, Probe

REINSTALL = "pip install --force-reinstall {}"


def import_with_version(module: str, package: str) -> tuple[Any, str]:
    """Import `module`; return it, and the name and version of its package.

    Raises:
        AbsentError: the module is not installed.
    """
    if importlib.util.find_spec(module.partition(".")[0]) is None:
        raise AbsentError(f"{package} is not installed")
    return importlib.import_module(module), f"{package} {version_of(package)}"


def version_of(package: str) -> str:
    """Version in a package's metadata; builds of a package with another name have none."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "of unknown version"


def _python() -> str:
    numpy, version = import_with_version("numpy", "numpy")
    product = numpy.ones((4, 4), numpy.float32) @ numpy.ones((4, 4), numpy.float32)
    if product[0, 0] != 4:
        raise ArithmeticError(f"numpy multiplies matrices of ones to {product[0, 0]}")
    return f"Python {platform.python_version()}, {version}, {platform.platform()}"


def _sample() -> str:
    from imavatar_deploy.avatar_io import open_avatar

    folder = open_avatar("sample")
    return f"{len(folder.avatar.faces):,} faces, {len(folder.manifest['files'])} files intact"


def _kernels() -> str:
    _, version = import_with_version("numba", "numba")
    import numpy as np

    from imavatar_deploy.rendering.rasteriser import Rasteriser
    from imavatar_deploy.rendering.workers import Workers

    triangle = np.array([[-0.5, -0.5, 0.5], [0.5, -0.5, 0.5], [0, 0.5, 0.5]], dtype=np.float32)
    with Workers() as workers:
        drawn = _draw(Rasteriser(np.array([[0, 1, 2]], dtype=np.int32), 16, 16, workers), triangle)
    if not drawn:
        raise ArithmeticError("a triangle was drawn and no pixel is covered")
    return f"{version}, a triangle of {drawn} pixels on {workers.threads} threads"


def _draw(rasteriser: Any, vertices: Any) -> int:
    from imavatar_deploy.camera import Camera

    camera = Camera.looking_at([0.0, 0.0, 0.5], extent=2.0)
    return int((rasteriser.draw(vertices, camera.image_matrix(16, 16)).triangle >= 0).sum())


def _onnxruntime() -> str:
    runtime, _ = import_with_version("onnxruntime", "onnxruntime")
    builds = [
        name for name in ("onnxruntime", "onnxruntime-gpu") if "unknown" not in version_of(name)
    ]
    if len(builds) > 1:
        raise ImportError(
            "onnxruntime and onnxruntime-gpu are both installed and overwrite each other's files"
        )
    from imavatar_deploy.avatar_io import SAMPLE
    from imavatar_deploy.fidelity.golden import check_golden

    reports = check_golden(SAMPLE)
    if not reports or not all(report.passed for report in reports):
        raise ArithmeticError(
            f"texture.onnx of the sample: {'; '.join(report.problems() for report in reports)}"
        )
    largest = max(difference.largest for report in reports for difference in report.differences)
    name = "".join(builds) or "onnxruntime"
    return (
        f"{name} {runtime.__version__}, texture.onnx of the sample run, {largest:.0e} from its "
        "golden colours"
    )


def _opencv() -> str:
    cv2, version = import_with_version("cv2", "opencv-python-headless")
    import numpy as np

    picture = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    _, encoded = cv2.imencode(".png", picture)
    if not np.array_equal(cv2.imdecode(encoded, cv2.IMREAD_COLOR), picture):
        raise ArithmeticError("a PNG comes back changed")
    return f"{version}, a PNG written and read"


def _video() -> str:
    _, version = import_with_version("av", "av")
    import numpy as np

    from ..sinks.sink import Stream
    from ..sinks.video import FORMAT

    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "frame.mp4"
        with FORMAT.open(str(target), Stream(width=64, height=64, fps=25.0)) as sink:
            sink.write(np.zeros((64, 64, 4), dtype=np.uint8))
        return f"{version}, one H.264 frame in {target.stat().st_size} bytes"


ROWS = (
    Probe("python", "everything", REINSTALL.format("numpy"), _python, core=True),
    Probe("sample", "the word 'sample'", REINSTALL.format("imavatar-deploy"), _sample, core=True),
    Probe("kernels", "animation and drawing", REINSTALL.format("numba"), _kernels, core=True),
    Probe("onnxruntime", "colours", "pip install 'imavatar-deploy[cpu]'", _onnxruntime, core=True),
    Probe("opencv", "images", REINSTALL.format("opencv-python-headless"), _opencv, core=True),
    Probe("video", "imavatar-run --sink *.mp4", REINSTALL.format("av"), _video, core=True),
)
