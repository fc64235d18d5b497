"""The runtime works where torch and the exporters' dependencies are blocked."""

from __future__ import annotations

from pathlib import Path
from subprocess import CompletedProcess

import pytest

from .processes import run_python
from .tracks.tracker_files import motion, write_motion

HEAVY = (
    "torch",
    "onnx",
    "onnxscript",
    "skimage",
    "trimesh",
    "scipy",
    "fast_simplification",
    "igl",
    "lightning",
)

BLOCK = f"""
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {HEAVY!r}:
            raise ModuleNotFoundError(f"{{name}} is blocked here", name=name)
sys.meta_path.insert(0, Block())
"""


def run_light(code: str, *arguments: str) -> CompletedProcess[str]:
    return run_python(BLOCK + code, *arguments)


def test_the_block_blocks() -> None:
    assert "torch is blocked here" in run_light("import torch").stderr


def test_player_renders_the_sample() -> None:
    code = """
import numpy as np
from imavatar_deploy.runtime import Player
with Player("sample", size=64) as player:
    image = player.render(np.zeros(50), np.zeros(15))
assert image.shape == (64, 64, 4) and image.dtype == np.uint8
assert 0.1 < (image[..., 3] == 255).mean() < 0.9
"""
    result = run_light(code)
    assert result.returncode == 0, result.stderr


def test_run_and_verify_the_sample(tmp_path: Path) -> None:
    run = "from imavatar_deploy.runtime.commands.run import run; run()"
    sink = str(tmp_path / "%05d.png")
    result = run_light(
        run, "sample", "--source", "talk", "--frames", "0:3", "--size", "64", "--sink", sink
    )
    assert result.returncode == 0, result.stderr
    assert len(list(tmp_path.glob("*.png"))) == 3
    result = run_light(
        "from imavatar_deploy.runtime.commands.verify import verify; verify()", "sample"
    )
    assert result.returncode == 0, result.stderr


def test_bake_the_sample(tmp_path: Path) -> None:
    bake = "from imavatar_deploy.exporters.commands import imavatar_bake; imavatar_bake()"
    out = tmp_path / "baked"
    result = run_light(
        bake,
        "sample",
        "--format",
        "obj,ply,pc2,mdd,glb",
        "--frames",
        "0:2",
        "--out",
        str(out),
        "--colour",
    )
    assert result.returncode == 0, result.stderr
    assert sorted(path.name for path in out.iterdir()) == [
        "LICENCE.txt",
        "bake.json",
        "head.glb",
        "head.mdd",
        "head.obj",
        "head.pc2",
        "obj",
        "ply",
    ]


def test_export_says_what_it_needs(tmp_path: Path) -> None:
    export = "from imavatar_deploy.exporters.commands import imavatar_export; imavatar_export()"
    result = run_light(export, "sample", "--format", "onnx", "--out", str(tmp_path / "avatar"))
    assert result.returncode == 5
    assert "pip install 'imavatar-deploy[export]'" in result.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["metrical-tracker", "smirk"])
def test_what_torch_wrote_is_read_without_it(tmp_path: Path, name: str) -> None:
    path = write_motion(
        name, tmp_path / "made", motion(), {"metrical-tracker": ".frame", "smirk": ".pt"}[name]
    )
    code = "import sys; from imavatar_deploy.tracks import read_track; "
    code += "print(read_track(sys.argv[1]).pose[2, 6])"
    result = run_light(code, str(path))
    assert result.returncode == 0, result.stderr
    assert float(result.stdout) == pytest.approx(float(motion().jaw[2, 0]), abs=1e-5)


def test_faces_are_found() -> None:
    code = """
import sys
import numpy as np
import imavatar_deploy.vision
assert not {"cv2", "onnxruntime"} & set(sys.modules), "importing the package loads neither"
from imavatar_deploy.vision import FaceTracker, PersonMask
with FaceTracker(blendshapes=True) as tracker:
    assert tracker.track(np.zeros((64, 64, 3), np.uint8)) is None
assert PersonMask().mask(np.zeros((64, 64, 3), np.uint8)).shape == (64, 64)
assert not {"torch", "mediapipe", "tensorflow", "skimage"} & set(sys.modules)
"""
    result = run_light(code)
    assert result.returncode == 0, result.stderr
