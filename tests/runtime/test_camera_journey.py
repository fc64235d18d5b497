"""A clip drives an avatar: the whole way from pixels to pixels, with the bundled networks.

The clip shows the bundled `sample` turning its head to its left and then opening its mouth.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from imavatar_deploy.runtime import Player, listen
from imavatar_deploy.runtime.live.drivers import LiveDriver
from imavatar_deploy.runtime.sources.face_motion import FaceMotion, open_face_motion
from imavatar_deploy.runtime.sources.observation import Observation
from imavatar_deploy.video.decode import VideoReader
from imavatar_deploy.vision import FaceTracker

from ..processes import run_python

pytest.importorskip("onnxruntime", reason="pip install 'imavatar-deploy[cpu]'")

FPS = 25
SECONDS = 60.0
"""Limit of every wait for a shape."""
SIZE = 192
STILL, TURN, TALK = slice(0, 50), slice(60, 70), slice(90, 100)
"""Frames in which the head looks ahead, is turned to the person's left, and opens its mouth."""
COUNT = 110
MORE = 130
"""Frames before these in the long clip, as a calibration and the blend after it need."""
YAW, JAW = 0.4, 0.28

NOSE_TIP, OUTER_EYES, INNER_LIPS = 1, (33, 263), (13, 14)


def pose_of(frame: int) -> NDArray[np.float32]:
    pose = np.zeros(15, np.float32)
    pose[3] = 0.03 * np.sin(frame / 8)
    pose[4] = 0.08 * np.sin(frame / 5) if frame < STILL.stop else 0.0
    pose[4] += YAW * np.interp(frame, [50, 58, 71, 80], [0, 1, 1, 0])
    pose[6] = JAW * np.interp(frame, [82, 89, 101, 108], [0, 1, 1, 0])
    return pose


def write_clip(path: Path, first: int) -> Path:
    with (
        Player("sample", size=SIZE, background="white") as player,
        av.open(str(path), "w") as container,
    ):
        stream = container.add_stream("h264", rate=FPS, options={"crf": "18"})
        stream.width, stream.height, stream.pix_fmt = SIZE, SIZE, "yuv420p"
        for frame in range(first, COUNT):
            image = player.render(np.zeros(50), pose_of(frame))[..., :3]
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    return path


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clip") / "clip.mp4", 0)


@pytest.fixture(scope="module")
def long_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, and before it the head moves as long as a calibration needs."""
    return write_clip(tmp_path_factory.mktemp("clip") / "long.mp4", -MORE)


@pytest.fixture
def motion() -> Iterator[FaceMotion]:
    with open_face_motion() as opened:
        yield opened


class Measure(NamedTuple):
    """What landmarks say of every frame of a video."""

    nose: NDArray[np.float64]
    """Columns from the middle of the eyes to the nose, per distance of the eyes: positive where the
    nose points to the right of the image, the left of the person."""
    lips: NDArray[np.float64]
    """Gap between the inner lips, per distance of the eyes."""


def measure(path: Path) -> Measure:
    nose, lips = [], []
    with VideoReader(path) as reader, FaceTracker() as tracker:
        for frame in reader.frames():
            face = tracker.track(frame.image())
            assert face is not None, f"no face in frame {frame.index}"
            right, left = face.landmarks[list(OUTER_EYES), :2]
            eyes = np.linalg.norm(left - right)
            nose.append((face.landmarks[NOSE_TIP, 0] - (left + right)[0] / 2) / eyes)
            upper, lower = face.landmarks[list(INNER_LIPS), :2]
            lips.append(np.linalg.norm(upper - lower) / eyes)
    return Measure(np.array(nose), np.array(lips))


def observed(motion: FaceMotion, path: Path) -> list[Observation]:
    """Every frame of a clip, without a clock."""
    faces = []
    with VideoReader(path) as reader:
        for frame in reader.frames():
            face = motion.observe(frame.image(), frame.time)
            assert isinstance(face, Observation), (frame.index, face)
            faces.append(face)
            motion.wait(SECONDS)
    return faces


def test_codes_are_those_of_the_clip(motion: FaceMotion, long_clip: Path) -> None:
    poses = np.array([face.pose for face in observed(motion, long_clip)])[MORE:]
    yaw = poses[:, 1] - np.median(poses[STILL, 1])
    assert np.median(yaw[TURN]) == pytest.approx(YAW, abs=0.12)
    jaw = poses[:, 6] - np.median(poses[STILL, 6])
    assert np.median(jaw[TALK]) == pytest.approx(JAW, abs=0.1)
    assert np.abs(jaw[TURN]).max() < 0.08, "a turn opens no mouth"
    assert not poses[:, 3:6].any(), "the head's rotation is stated as a whole"


def test_the_face_is_calibrated_before_the_head_turns(motion: FaceMotion, long_clip: Path) -> None:
    faces = observed(motion, long_clip)
    assert motion.state == "calibrated"
    provisional = [face.provisional for face in faces]
    assert provisional[0]
    assert not any(provisional[MORE + TURN.start :])
    head = np.array([face.pose[:3] for face in faces])
    steps = np.linalg.norm(np.diff(head, axis=0), axis=1)
    assert steps[: MORE + STILL.stop].max() < 0.06, "a change of the shape is no jump"


def test_a_run_moves_the_avatar_as_the_clip(clip: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.mp4"
    result = run_python(
        "from imavatar_deploy.runtime.commands.run import run; run()",
        *("sample", "--source", f"video:{clip}", "--sink", str(out)),
        *("--size", str(SIZE), "--background", "white", "--head", "neck"),
        limit=120.0,
    )
    assert result.returncode == 0, result.stderr
    filmed, played = measure(clip), measure(out)
    assert len(played.nose) > 0.8 * COUNT
    ahead = np.median(played.nose[:40])
    assert played.nose.max() - ahead > 0.5 * (filmed.nose.max() - np.median(filmed.nose[:40])), (
        "the person's left is the avatar's left"
    )
    assert played.lips.max() > 0.5 * filmed.lips.max()
    first = np.argmax(played.lips > 0.5 * played.lips.max())
    assert first > np.argmax(played.nose > 0.5 * (played.nose.max() + ahead)), "turn, then talk"
    assert "received" in result.stdout
    assert "; the face is " in result.stdout


def test_listen_follows_a_clip_and_holds_when_the_face_is_gone(tmp_path: Path) -> None:
    """The clip's second half is empty: the loss policy acts, and the images are counted."""
    path = tmp_path / "leaves.mp4"
    with Player("sample", size=SIZE, background="white") as player:
        player.warm_up()
        with av.open(str(path), "w") as container:
            stream = container.add_stream("mpeg4", rate=FPS)
            stream.width, stream.height, stream.pix_fmt = SIZE, SIZE, "yuv420p"
            for frame in range(50):
                image = player.render(np.zeros(50), pose_of(60))[..., :3]
                if frame >= 25:
                    image = np.full_like(image, 255)
                picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
                container.mux(stream.encode(picture))
            container.mux(stream.encode())
        states = []
        with listen(f"video:{path}", player.avatar) as driver:
            assert isinstance(driver, LiveDriver)
            while (state := driver.pose_at()) is not None:
                states.append(state)
            assert driver.states["held"] > 0
            assert driver.inbox.counts["empty"] > 10
    last = states[-1]
    assert last.pose[1] + last.pose[4] > 0.2, "the last face is held, and does not jump back"
