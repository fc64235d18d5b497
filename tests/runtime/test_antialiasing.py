"""Anti-aliasing of a player: the choices, the pixels that change, and how near they come."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray

from imavatar_deploy.avatar_io import open_avatar
from imavatar_deploy.camera import Camera
from imavatar_deploy.rendering.cpu_renderer import open_cpu_renderer
from imavatar_deploy.rendering.renderer import ANTIALIASING, RenderConfig
from imavatar_deploy.runtime import Player
from imavatar_deploy.runtime.commands.run import run
from imavatar_deploy.runtime.player import STAGES
from imavatar_deploy.runtime.sinks.images import write_png
from imavatar_deploy.tracks import read_track

Image = NDArray[np.uint8]

STILL = np.zeros(50), np.zeros(15)
SIZE = 128
SAMPLES = 4
"""Samples along each side of a pixel of the reference."""

WHITE = (255, 255, 255, 255)


def over(image: Image, ground: tuple[int, ...]) -> NDArray[np.float64]:
    alpha = image[..., 3:] / 255
    return image[..., :3] * alpha + np.array(ground[:3]) * (1 - alpha)


def psnr(image: NDArray[np.float64], truth: NDArray[np.float64]) -> float:
    return float(-10 * np.log10(np.mean(((image - truth) / 255) ** 2)))


VIEWS = {"front": None, "side": 1.2, "from behind": 2.6}


@pytest.fixture(scope="module", params=VIEWS.values(), ids=VIEWS)
def sample_images(request: pytest.FixtureRequest) -> dict[str, NDArray[np.float64]]:
    """A frame of the sample over white by each row of `ANTIALIASING`, and by 16 samples a pixel."""
    talk = read_track("talk")
    frame = (talk.expression[37].astype(np.float32), talk.pose[37].astype(np.float32))
    images: dict[str, NDArray[np.float64]] = {}
    for name in ANTIALIASING:
        with Player("sample", size=SIZE, background="white", antialias=name) as player:
            centre = player.vertices(*STILL).mean(axis=0) * 4
            camera = (
                player.camera
                if request.param is None
                else Camera.looking_at(centre, yaw=request.param, extent=2.0)
            )
            images[name] = player.render(*frame, camera)[..., :3].astype(float)
    matrix = camera.image_matrix(SIZE, SIZE)
    matrix[:2] = SAMPLES * matrix[:2] + (SAMPLES - 1) / 2 * matrix[2]
    side = SAMPLES * SIZE
    config = RenderConfig(open_avatar("sample"), side, side, "student", WHITE)
    with closing(open_cpu_renderer(config)) as renderer:
        fine = renderer.render(*frame, matrix)[..., :3].astype(float)
    images["16x"] = fine.reshape(SIZE, SAMPLES, SIZE, SAMPLES, 3).mean(axis=(1, 3))
    return images


def test_edges_come_near_to_supersampling(sample_images: dict[str, NDArray[np.float64]]) -> None:
    truth, hard, edges = (sample_images[name] for name in ("16x", "none", "edges"))
    outline = (edges != hard).any(axis=-1)
    assert 150 < outline.sum() < 1000
    before, after, four = (psnr(sample_images[n][outline], truth[outline]) for n in ANTIALIASING)
    assert before < 20
    assert after > before + 10
    assert after > four, "the area is exact, four samples are not"
    # What the outlines leave are pixels with parts too small to cover a centre.
    beside = np.abs(truth - hard).max(axis=-1) > 40
    assert (beside & ~outline).sum() < 0.12 * outline.sum()


def test_no_pixel_off_an_outline_changes(sample_images: dict[str, NDArray[np.float64]]) -> None:
    hard, edges = sample_images["none"], sample_images["edges"]
    difference = np.abs(hard - edges).max(axis=-1)
    surroundings = [np.roll(hard, step, axis) for axis in (0, 1) for step in (-1, 1)]
    contrast = np.max([np.abs(hard - other).max(axis=-1) for other in surroundings], axis=0)
    assert (difference <= 2 * contrast + 1).all(), "a mixture of the pixel and its neighbours"
    background = (hard == 255).all(axis=-1)
    near = np.any([(other == 255).all(axis=-1) for other in surroundings], axis=0)
    inner = ~background & ~near & (difference > 0)
    assert inner.sum() < 0.5 * (difference > 0).sum()


@pytest.mark.parametrize("ground", ["#000000", "#ffffff", "#00b140"])
@pytest.mark.parametrize("antialias", ["edges", "4x"])
def test_a_transparent_frame_over_a_colour_is_the_frame_with_it(
    tiny_avatar_folder: Path, antialias: str, ground: str
) -> None:
    images = []
    for background in (None, ground):
        with Player(
            tiny_avatar_folder, size=64, background=background, antialias=antialias
        ) as player:
            images.append(player.render(*STILL))
    transparent, opaque = images
    assert (transparent[..., 3] % 255 > 0).sum() > 60
    assert (opaque[..., 3] == 255).all()
    colour = tuple(bytes.fromhex(ground[1:]))
    assert np.abs(over(transparent, colour) - opaque[..., :3]).max() <= 2
    assert not transparent[transparent[..., 3] == 0].any()


def test_a_saved_frame_has_no_rim_over_any_colour(tiny_avatar_folder: Path, tmp_path: Path) -> None:
    """The colour of a partly covered pixel lies between those of the pixels that it mixes."""
    import cv2

    with Player(tiny_avatar_folder, size=64, antialias="edges") as player:
        image = player.render(*STILL)
    write_png(tmp_path / "frame.png", image)
    stored = cv2.cvtColor(
        cv2.imread(str(tmp_path / "frame.png"), cv2.IMREAD_UNCHANGED), cv2.COLOR_BGRA2RGBA
    )
    np.testing.assert_array_equal(stored, image)
    with Player(tiny_avatar_folder, size=64, antialias="none") as player:
        hard = player.render(*STILL)
    rows, columns = np.nonzero(image[..., 3] % 255)
    for row, column in zip(rows, columns, strict=True):
        patch = hard[max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2].reshape(-1, 4)
        colours = patch[patch[:, 3] == 255][:, :3].astype(int)
        assert (image[row, column, :3] >= colours.min(axis=0) - 1).all()
        assert (image[row, column, :3] <= colours.max(axis=0) + 1).all()


def test_four_samples_are_a_frame_of_twice_the_size(tiny_avatar_folder: Path) -> None:
    with Player(tiny_avatar_folder, size=(48, 32), background="#204060", antialias="4x") as player:
        image, seconds = player.render_timed(*STILL)
        np.testing.assert_array_equal(image, player.render(*STILL))
        np.testing.assert_array_equal(
            player.render_batch(*(np.stack([a, a]) for a in STILL))[1], image
        )
        normals = player.normals(*STILL)
        camera = player.camera
        vertices = player.vertices(*STILL)
    assert tuple(seconds) == STAGES
    assert all(stage > 0 for stage in seconds.values())
    matrix = camera.image_matrix(48, 32)
    matrix[:2] = 2 * matrix[:2] + 0.5 * matrix[2]
    config = RenderConfig(
        open_avatar(tiny_avatar_folder), 96, 64, "student", (0x20, 0x40, 0x60, 255)
    )
    with closing(open_cpu_renderer(config)) as renderer:
        still = tuple(values.astype(np.float32) for values in STILL)
        fine = renderer.render(*still, matrix).astype(float)
    mean = fine.reshape(32, 2, 48, 2, 4).mean(axis=(1, 3))
    assert np.abs(image - mean).max() <= 0.51
    with Player(tiny_avatar_folder, size=(48, 32), antialias="none") as player:
        np.testing.assert_array_equal(player.normals(*STILL), normals)
        np.testing.assert_array_equal(player.vertices(*STILL), vertices)


def test_edges_is_the_default_of_pictures_and_none_of_comparisons(tiny_avatar_folder: Path) -> None:
    images = {}
    for name in ANTIALIASING:
        with Player(tiny_avatar_folder, size=32, antialias=name) as player:
            images[name] = player.render(*STILL)
    with Player(tiny_avatar_folder, size=32) as player:
        np.testing.assert_array_equal(player.render(*STILL), images["edges"])
        matrix = player.camera.image_matrix(32, 32)
    with closing(
        open_cpu_renderer(RenderConfig(open_avatar(tiny_avatar_folder), 32, 32, "student"))
    ) as renderer:
        still = tuple(values.astype(np.float32) for values in STILL)
        np.testing.assert_array_equal(renderer.render(*still, matrix), images["none"])
    assert (images["none"][..., 3] % 255 == 0).all()
    assert (images["edges"] != images["4x"]).any()


def test_command(tiny_avatar_folder: Path, tmp_path: Path) -> None:
    import cv2

    alphas = {}
    for name in (*ANTIALIASING, ""):
        target = tmp_path / (name or "default") / "%d.png"
        arguments = [str(tiny_avatar_folder), "--sink", str(target), "--frames", "0:1"]
        arguments += ["--size", "32", *(["--antialias", name] if name else [])]
        result = CliRunner().invoke(run, arguments)
        assert result.exit_code == 0, result.output
        alphas[name] = cv2.imread(str(target.parent / "1.png"), cv2.IMREAD_UNCHANGED)[..., 3]
    assert (alphas["none"] % 255 == 0).all()
    assert len(np.unique(alphas["4x"])) == 5
    assert len(np.unique(alphas["edges"])) > 20
    np.testing.assert_array_equal(alphas[""], alphas["edges"])
