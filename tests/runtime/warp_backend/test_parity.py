"""Every backend that can run here against the CPU: vertices, normals and pixels in every view."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from imavatar_deploy.avatar_io import open_avatar
from imavatar_deploy.camera import Camera
from imavatar_deploy.errors import InputError, MissingDependencyError
from imavatar_deploy.rendering.posing import pose_plainly, surface_normals
from imavatar_deploy.rendering.rasteriser import Rasteriser
from imavatar_deploy.rendering.workers import Workers
from imavatar_deploy.runtime import Player
from imavatar_deploy.runtime.backends import BACKENDS
from imavatar_deploy.runtime.player import STAGES

Float = NDArray[np.float32]
PAIRS = [
    (backend, shading)
    for backend, row in BACKENDS.items()
    if backend != "cpu"
    for shading in row.shadings
]
DEVICES = ("cpu", "cuda")
RNG = np.random.default_rng(1)
FRAMES = [
    (RNG.random(50).astype(np.float32), (0.2 * RNG.normal(size=15)).astype(np.float32))
    for _ in range(3)
]
VIEWS = {
    "from the front": None,
    "aside": Camera.looking_at([0.2, 0.1, 0.0], extent=1.5, yaw=0.7),
    "near: few, large triangles": Camera.looking_at([0.0, 0.0, 0.5], distance=0.3, extent=0.3),
    "across the near plane": Camera.looking_at([0.1, 0.0, 0.5], distance=0.05, extent=0.05),
    "far: many triangles a pixel": Camera.looking_at([0.0, 0.0, 0.0], distance=40.0, extent=30.0),
    "away": Camera.looking_at([0.0, 0.0, -20.0]),
}


def opened(stack: ExitStack, source: Path | str, backend: str, **how: object) -> Player:
    """A player, or a skip where this machine lacks what the backend needs."""
    try:
        return stack.enter_context(Player(source, backend=backend, **how))  # type: ignore[arg-type]
    except (MissingDependencyError, InputError) as error:
        if isinstance(error, InputError) and backend != "tensorrt":
            raise
        pytest.skip(str(error))


@pytest.fixture(params=PAIRS, ids="-".join)
def pair(request: pytest.FixtureRequest, layered_folder: Path) -> Iterator[tuple[Player, Player]]:
    """The CPU's player and another backend's."""
    backend, shading = request.param
    with ExitStack() as stack:
        yield (
            opened(
                stack, layered_folder, "cpu", size=(72, 56), shading=shading, background="#204060"
            ),
            opened(
                stack, layered_folder, backend, size=(72, 56), shading=shading, background="#204060"
            ),
        )


def assert_same_picture(image: NDArray[np.uint8], expected: NDArray[np.uint8]) -> None:
    """Differences of one step, by the order of sums or half precision; more in 1 pixel of 1,000."""
    steps = np.abs(image.astype(int) - expected).max(axis=-1)
    assert (steps > 1).mean() <= 1e-3
    assert steps.max() <= 8


def test_every_view_of_every_backend(pair: tuple[Player, Player]) -> None:
    cpu, other = pair
    covered = {}
    for name, camera in VIEWS.items():
        for frame in FRAMES[:2]:
            expected = cpu.render(*frame, camera)
            assert_same_picture(other.render(*frame, camera), expected)
            covered[name] = float(
                (expected != np.array([0x20, 0x40, 0x60, 255])).any(axis=-1).mean()
            )
            difference = np.abs(cpu.normals(*frame, camera) - other.normals(*frame, camera))
            assert np.mean(difference > 1e-4) <= 1e-3
    assert covered["away"] == 0
    assert covered["near: few, large triangles"] > 0.9
    assert covered["across the near plane"] > 0
    assert 0 < covered["far: many triangles a pixel"] < 0.02


def test_every_backend_poses_alike(pair: tuple[Player, Player]) -> None:
    cpu, other = pair
    for frame in FRAMES:
        plain = pose_plainly(cpu.avatar, *frame).vertices
        assert np.abs(4 * other.vertices(*frame) - plain).max() <= 1e-5


def test_batches_and_clocks_change_nothing(pair: tuple[Player, Player]) -> None:
    _, other = pair
    single = [other.render(*frame) for frame in FRAMES]
    batch = other.render_batch(*(np.stack(values) for values in zip(*FRAMES, strict=True)))
    np.testing.assert_array_equal(batch, single)
    image, seconds = other.render_timed(*FRAMES[0])
    np.testing.assert_array_equal(image, single[0])
    assert tuple(seconds) == STAGES
    assert other.render_batch(np.zeros((0, 50)), np.zeros((0, 15))).shape == (0, 56, 72, 4)


def test_two_players_share_a_device(layered_folder: Path) -> None:
    with ExitStack() as stack:
        one = opened(stack, layered_folder, "warp", size=48, shading="vertex")
        alone = [one.render(*frame) for frame in FRAMES]
        two = opened(stack, layered_folder, "warp", size=40, shading="student")
        for frame, expected in zip(FRAMES, alone, strict=True):
            two.render(*frame)
            np.testing.assert_array_equal(one.render(*frame), expected)
        two.close()
        np.testing.assert_array_equal(one.render(*FRAMES[0]), alone[0])


def test_threads_with_players_of_their_own(layered_folder: Path) -> None:
    pytest.importorskip("warp", reason="pip install 'imavatar-deploy[cuda]'")

    def draw(shading: str) -> list[NDArray[np.uint8]]:
        with Player(layered_folder, backend="warp", size=32, shading=shading) as player:
            return [player.render(*frame) for frame in FRAMES] + [
                player.render_timed(*FRAMES[0])[0]
            ]

    shadings = [shading for shading in BACKENDS["warp"].shadings for _ in range(2)]
    alone = [draw(shading) for shading in shadings]
    with ThreadPoolExecutor(len(shadings)) as pool:
        np.testing.assert_array_equal(list(pool.map(draw, shadings)), alone)


@pytest.mark.parametrize("shading", BACKENDS["warp"].shadings)
def test_the_sample(shading: str) -> None:
    with ExitStack() as stack:
        cpu = opened(stack, "sample", "cpu", size=64, shading=shading)
        warp = opened(stack, "sample", "warp", size=64, shading=shading)
        assert_same_picture(warp.render(*FRAMES[1]), cpu.render(*FRAMES[1]))
        assert np.abs(warp.vertices(*FRAMES[1]) - cpu.vertices(*FRAMES[1])).max() <= 1e-5 / 4


def outline(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Pixels of a mask, within the image, beside one that is not in the mask."""
    inner = mask[1:-1, 1:-1]
    around = mask[:-2, 1:-1] & mask[2:, 1:-1] & mask[1:-1, :-2] & mask[1:-1, 2:]
    return np.asarray(inner & ~around)


@pytest.mark.parametrize("backend", ["warp", "cuda"])
def test_outlines_of_the_sample(backend: str) -> None:
    views = [
        None,
        Camera.looking_at([0.0, 0.0, 0.0], extent=2.0, yaw=1.2),
        Camera.looking_at([0.0, 0.0, 0.0], distance=40.0, extent=30.0),
    ]
    with ExitStack() as stack:
        cpu = opened(stack, "sample", "cpu", size=160, shading="student", antialias="edges")
        other = opened(stack, "sample", backend, size=160, shading="student", antialias="edges")
        for camera in views:
            image, expected = (player.render(*FRAMES[1], camera) for player in (other, cpu))
            assert_same_picture(image, expected)
            partly = expected[..., 3] % 255 > 0
            assert partly.sum() > 0.8 * outline(expected[..., 3] > 0).sum() > 10
            steps = np.abs(image.astype(int) - expected).max(axis=-1)
            assert (steps[partly] > 1).mean() <= 0.01
        four = opened(stack, "sample", backend, size=40, shading="student", antialias="4x")
        same = opened(stack, "sample", "cpu", size=40, shading="student", antialias="4x")
        assert_same_picture(four.render(*FRAMES[1]), same.render(*FRAMES[1]))


@dataclass(frozen=True)
class Drawn:
    """The output of a rasteriser."""

    triangle: NDArray[np.int32]
    barycentrics: Float
    normals: Float


def drawn_on(
    device: str, folder: Path | str, frame: tuple[Float, Float], matrix: Float, size: int
) -> Drawn:
    """The stages before the colours, without a player."""
    pytest.importorskip("warp", reason="pip install 'imavatar-deploy[cuda]'")
    from imavatar_deploy.runtime.warp_backend.frame_slots import FrameInput
    from imavatar_deploy.runtime.warp_backend.library import wp
    from imavatar_deploy.runtime.warp_backend.renderer import DEVICES as OPENERS
    from imavatar_deploy.runtime.warp_backend.scene import GpuScene

    try:
        where = OPENERS[device]()
    except MissingDependencyError as error:
        pytest.skip(str(error))
    avatar = open_avatar(folder).avatar
    layout = FrameInput(avatar, 1)
    host_input = np.zeros(layout.size, dtype=np.float32)
    layout.write(host_input, *frame, matrix, np.zeros(1, dtype=np.float32))
    inputs = wp.array(host_input, device=where)
    coefficients, bones, image_matrix, _ = (inputs[part] for part in layout.parts)
    scene = GpuScene(avatar, size, size, where)
    scene.animate(coefficients, bones, image_matrix)
    scene.normals(bones)
    scene.raster()
    buffers = scene.buffers
    return Drawn(buffers.triangle.numpy(), buffers.barycentrics.numpy(), buffers.normals.numpy())


def turned_by_rounding(vertices: Float, faces: NDArray[np.int32]) -> NDArray[np.float64]:
    """Largest angle `[V, 1]`, radians, by which a rounding of float32 turns a face at a vertex."""
    a, b, c = vertices.astype(np.float64)[faces].transpose(1, 0, 2)
    area = np.linalg.norm(np.cross(b - a, c - a), axis=1)
    longest = np.max([np.linalg.norm(side, axis=1) for side in (b - a, c - b, a - c)], axis=0)
    angle = np.zeros(len(vertices))
    for corner in faces.T:
        np.maximum.at(
            angle, corner, 8 * np.finfo(np.float32).eps * longest / np.maximum(area, 1e-12)
        )
    return angle[:, None]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(("folder", "size"), [("layered", 96), ("sample", 160)])
def test_the_same_triangles_are_seen(
    device: str, folder: str, size: int, layered_folder: Path
) -> None:
    source = layered_folder if folder == "layered" else folder
    avatar = open_avatar(source).avatar
    same = []
    differences = []
    posed = pose_plainly(avatar, *FRAMES[0])
    for camera in filter(None, VIEWS.values()):
        matrix = camera.image_matrix(size, size)
        drawn = drawn_on(device, source, FRAMES[0], matrix, size)
        normals = surface_normals(avatar, posed)
        limit = 1e-4 + turned_by_rounding(posed.vertices, avatar.faces)
        assert (np.abs(drawn.normals - normals) <= limit).all()
        assert np.median(limit) < 3e-4
        with Workers(1) as workers:
            expected = Rasteriser(avatar.faces, size, size, workers).draw(posed.vertices, matrix)
            agreed = drawn.triangle == expected.triangle.ravel()
            covered = agreed & (drawn.triangle >= 0)
            differences.append(
                np.abs(drawn.barycentrics - expected.barycentrics.reshape(-1, 3))[covered].ravel()
            )
        same.append(agreed)
    assert np.mean(same) >= 0.9999
    assert np.mean(np.concatenate(differences) > 1e-2) <= 1e-3, (
        "only triangles thinner than a rounding of float32"
    )
