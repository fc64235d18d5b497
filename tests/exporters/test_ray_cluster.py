"""Baking on a local Ray cluster of two workers, one of which is killed."""

from __future__ import annotations

from pathlib import Path

import pytest

from imavatar_deploy.errors import UsageError
from imavatar_deploy.exporters.sequences.bake import bake_motion
from imavatar_deploy.exporters.sequences.formats import FORMATS
from imavatar_deploy.exporters.sequences.motion import open_motion
from imavatar_deploy.exporters.sequences.ray_cluster import ray_executor

from ..processes import run_python
from .test_sequences import tree

NAMES = ("ply", "pc2")
NOT_INSTALLED = "the extra `cluster` is not installed"

WITH_A_KILLED_WORKER = """
import os, signal, sys
from dataclasses import replace
from pathlib import Path
import ray
from imavatar_deploy.exporters.sequences import ray_cluster
from imavatar_deploy.exporters.sequences.bake import bake_motion
from imavatar_deploy.exporters.sequences.formats import FORMATS
from imavatar_deploy.exporters.sequences.motion import open_motion
from imavatar_deploy.errors import InputError

avatar, out, mark = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
ray_cluster.BATCH = 5
executor = ray_cluster.ray_executor("auto")
motion = open_motion(avatar, "talk", frames=slice(0, 24))


def write(path, motion, channels, really=FORMATS["ply"].per_frame):
    really(path, motion, channels)
    if path.name.endswith("frame_000007.ply") and not mark.exists():
        mark.write_text(str(os.getpid()))
        os.kill(os.getpid(), signal.SIGKILL)


rows = [replace(FORMATS["ply"], per_frame=write), FORMATS["pc2"]]
bake_motion(motion, out, rows, executor=executor)
assert int(mark.read_text()) != os.getpid(), "a worker died, and not this program"

wild = replace(motion, track=replace(motion.track, expression=1e12 * (1 + motion.track.expression)))
try:
    bake_motion(wild, out.with_name("wild"), [FORMATS["ply"]], executor=executor)
except InputError as error:
    print(error)
"""


@pytest.mark.slow
def test_a_killed_worker_loses_nothing_and_errors_stay_sentences(
    tiny_avatar_folder: Path, tmp_path: Path
) -> None:
    pytest.importorskip("ray", reason=NOT_INSTALLED)
    arguments = [str(tiny_avatar_folder), str(tmp_path / "cluster"), str(tmp_path / "mark")]
    result = run_python(WITH_A_KILLED_WORKER, *arguments)
    assert result.returncode == 0, result.stderr
    assert "moves vertices more than 100000 m away" in result.stdout
    motion = open_motion(tiny_avatar_folder, "talk", frames=slice(0, 24))
    bake_motion(motion, tmp_path / "alone", [FORMATS[name] for name in NAMES])
    assert tree(tmp_path / "cluster") == tree(tmp_path / "alone")


@pytest.mark.parametrize(
    ("address", "message"),
    [("127.0.0.1:1", "Connection refused"), ("somewhere", "it must be auto, HOST:PORT or")],
)
def test_a_missing_cluster_is_reported_in_one_sentence(address: str, message: str) -> None:
    pytest.importorskip("ray", reason=NOT_INSTALLED)
    with pytest.raises(UsageError, match=f"there is no Ray cluster at '{address}'.*{message}"):
        ray_executor(address)
