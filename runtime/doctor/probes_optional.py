"""Probes of the optional parts: training, exporting, file formats, trackers, sinks, clusters."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from imavatar_deploy.errors import MissingDependencyError

from .probe import AbsentError, Probe
from .probes_core import import_with_version


def _torch() -> str:
    torch, version = import_with_version("torch", "torch")
    torch.set_num_threads(1)
    layer = torch.nn.Linear(3, 3)
    layer(torch.ones(2, 3)).sum().backward()
    if layer.weight.grad is None:
        raise ArithmeticError("the backward pass computed no gradient")
    return f"{version}, a gradient computed, CUDA {'yes' if torch.cuda.is_available() else 'no'}"


def _onnx() -> str:
    onnx, version = import_with_version("onnx", "onnx")
    _, script = import_with_version("onnxscript", "onnxscript")
    from imavatar_deploy.avatar_io import SAMPLE

    onnx.checker.check_model(onnx.load(str(SAMPLE / "texture.onnx")))
    return f"{version}, {script}, texture.onnx of the sample checked"


def _mesh() -> str:
    igl, version = import_with_version("igl", "libigl")
    measure, image = import_with_version("skimage.measure", "scikit-image")
    import numpy as np

    grid = np.linalg.norm(np.mgrid[-1:1:8j, -1:1:8j, -1:1:8j], axis=0) - 0.7
    vertices, faces, *_ = measure.marching_cubes(grid, 0.0)
    fewer = igl.qslim(vertices.astype(np.float64), faces.astype(np.int64), len(faces) // 2)[1]
    return f"{version}, {image}, a ball of {len(faces)} faces reduced to {len(fewer)}"


def _tensorboard() -> str:
    writer, version = import_with_version("tensorboard.summary", "tensorboard")
    return f"{version}, {writer.Writer.__name__} ready"


def _gltf() -> str:
    library, version = import_with_version("pygltflib", "pygltflib")
    _, atlas = import_with_version("xatlas", "xatlas")
    document = library.GLTF2(scene=0, scenes=[library.Scene(nodes=[])])
    return f"{version}, {atlas}, a document of {len(document.to_json())} characters"


def _usd() -> str:
    usd, version = import_with_version("pxr.Usd", "usd-core")
    stage = usd.Stage.CreateInMemory()
    stage.DefinePrim("/Head", "Mesh")
    return f"{version}, a stage of {len(stage.ExportToString())} characters"


def _alembic() -> str:
    alembic, version = import_with_version("alembic3d", "alembic3d")
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "head.abc")
        _write_archive(alembic, path)
        children = alembic.Abc.IArchive(path).getTop().getNumChildren()
        return f"{version}, an archive of {children} object in {Path(path).stat().st_size} bytes"


def _write_archive(alembic: Any, path: str) -> None:
    """Write a file, which alembic3d does when its objects are deleted."""
    alembic.AbcGeom.OXform(alembic.Abc.OArchive(path).getTop(), "head")


def _ray() -> str:
    ray, version = import_with_version("ray", "ray")
    return f"{version}, {'joined to a cluster' if ray.is_initialized() else 'no cluster joined'}"


def _fabric() -> str:
    fabric, version = import_with_version("lightning_fabric", "lightning-fabric")
    return f"{version}, on {fabric.Fabric(accelerator='cpu', devices=1).device}"


def _osc() -> str:
    builder, version = import_with_version("pythonosc.osc_message_builder", "python-osc")
    message = builder.OscMessageBuilder(address="/VMC/Ext/OK")
    message.add_arg(1)
    return f"{version}, a message of {len(message.build().dgram)} bytes"


def _camera() -> str:
    runtime, _ = import_with_version("onnxruntime", "onnxruntime")
    import numpy as np

    from ..player import Player
    from ..sources.face_motion import open_face_motion
    from ..sources.observation import Observation

    turned = np.zeros(15, dtype=np.float32)
    turned[4] = 0.3
    with Player("sample", size=256) as player, open_face_motion() as motion:
        image = np.ascontiguousarray(player.render(np.zeros(50), turned)[..., :3])
        face = motion.observe(image, 0.0)
    if not isinstance(face, Observation):
        raise ArithmeticError(f"a face was drawn and tracking says {face!r}")
    return (
        f"onnxruntime {runtime.__version__}, a face drawn turned by {np.degrees(turned[4]):.0f} "
        f"degrees and tracked at {np.degrees(face.pose[1]):.0f}; no camera was opened"
    )


def _window() -> str:
    _, version = import_with_version("cv2", "opencv-python")
    from ..sinks.window import check_windows

    try:
        check_windows()
    except MissingDependencyError as error:
        raise AbsentError(str(error).partition(":")[0]) from error
    return f"{version}, a window opened and closed"


def _virtual_camera() -> str:
    library, version = import_with_version("pyvirtualcam", "pyvirtualcam")
    try:
        with library.Camera(width=64, height=64, fps=20) as camera:
            return f"{version}, {camera.device} opened"
    except RuntimeError as error:
        raise AbsentError(
            f"{version}, and no virtual camera", "install OBS Studio, or load v4l2loopback"
        ) from error


def _row(name: str, serves: str, mend: str, probe: Callable[[], str]) -> Probe:
    return Probe(name, serves, f"pip install {mend}", probe)


def _extra(name: str) -> str:
    return f"'imavatar-deploy[{name}]'"


ROWS = (
    _row("torch", "training, exporting", _extra("export"), _torch),
    _row("onnx", "imavatar-export", _extra("export"), _onnx),
    _row("mesh", "imavatar-export", _extra("export"), _mesh),
    _row("fabric", "imavatar-train", _extra("train"), _fabric),
    _row("tensorboard", "imavatar-train", _extra("train"), _tensorboard),
    _row("gltf", "GLB and VRM files", _extra("gltf"), _gltf),
    _row("usd", "USD files", _extra("scene"), _usd),
    _row("alembic", "Alembic files", _extra("scene"), _alembic),
    Probe(
        "window",
        "imavatar-run --sink window",
        "pip uninstall -y opencv-python-headless && pip install opencv-python",
        _window,
    ),
    _row("virtualcam", "imavatar-run --sink virtualcam", _extra("live"), _virtual_camera),
    _row("osc", "live trackers", _extra("trackers"), _osc),
    _row("camera", "imavatar-run --source webcam:0", _extra("cpu"), _camera),
    _row("ray", "work on a cluster", _extra("cluster"), _ray),
)
