"""The player: images, repeatability, cameras, and messages for wrong arguments."""

from __future__ import annotations

import os
import shutil
import sys
import threading
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from imavatar_deploy.avatar import Avatar
from imavatar_deploy.avatar_io import write_avatar
from imavatar_deploy.camera import Camera
from imavatar_deploy.errors import ImavatarError, InputError, UsageError
from imavatar_deploy.rendering.posing import pose_plainly, surface_normals
from imavatar_deploy.rendering.shading import SHADINGS
from imavatar_deploy.runtime import Player
from imavatar_deploy.runtime.player import STAGES

from ..processes import run_process
from ..tiny_avatar import tiny_avatar

STILL = np.zeros(50), np.zeros(15)


@pytest.fixture(params=SHADINGS)
def shading(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_renders_a_head_in_the_middle(tiny_avatar_folder: Path, shading: str) -> None:
    with Player(tiny_avatar_folder, size=96, shading=shading, antialias="none") as player:
        image = player.render(*STILL)
    assert image.shape == (96, 96, 4)
    assert image.dtype == np.uint8
    covered = image[..., 3] == 255
    assert 0.2 < covered.mean() < 0.6
    np.testing.assert_array_equal(image[~covered], 0)
    rows, columns = np.nonzero(covered)
    assert abs(rows.mean() - 47.5) < 3
    assert abs(columns.mean() - 47.5) < 3
    assert np.ptp(image[covered][:, :3], axis=0).min() > 20


def test_rendering_is_repeatable(tiny_avatar_folder: Path, shading: str) -> None:
    rng = np.random.default_rng(0)
    frames = [(rng.random(50), 0.3 * rng.normal(size=15)) for _ in range(3)]
    images = []
    for threads in (1, 2):
        with Player(tiny_avatar_folder, size=64, shading=shading, threads=threads) as player:
            images.append([player.render(*frame) for frame in (*frames, *frames)])
    np.testing.assert_array_equal(images[0][:3], images[0][3:])
    np.testing.assert_array_equal(images[0], images[1])
    assert (images[0][0] != images[0][1]).any()


def test_shadings_agree_where_the_mesh_is_fine(tiny_avatar_folder: Path) -> None:
    images = []
    for name in SHADINGS:
        with Player(tiny_avatar_folder, size=64, shading=name) as player:
            images.append(player.render(*STILL).astype(int))
    covered = images[0][..., 3] == 255
    np.testing.assert_array_equal(images[0][..., 3], images[1][..., 3])
    for image in images[1:]:  # the codes of the tiny avatar are noise from vertex to vertex
        assert np.abs(images[0] - image)[covered].mean() < 25


def test_pixel_at_a_vertex_has_the_colour_the_network_gives_it(
    tiny_avatar_folder: Path, shading: str
) -> None:
    """At a vertex on a pixel centre the colour is sigmoid(W code + U normal)."""
    rng = np.random.default_rng(3)
    code, normal = (
        rng.normal(size=(rows, 3)).astype(np.float32) for rows in (8, 3)
    )  # as write_texture draws them
    with Player(tiny_avatar_folder, size=65, shading=shading) as player:
        posed = pose_plainly(player.avatar, *(values.astype(np.float32) for values in STILL))
        front = int(np.argmax(posed.vertices[:, 2]))
        view = Camera.looking_at(posed.vertices[front], extent=1.0)
        view = Camera(
            view.world_to_camera, view.intrinsics * [1, 1, 0, 0] + [0, 0, 32 / 65, 32 / 65]
        )
        pixel = player.render(*STILL, view)[32, 32]
        shaded = surface_normals(player.avatar, posed)[front]
    logits = player.avatar.texture_code[front] @ code + shaded @ normal
    assert pixel[3] == 255
    np.testing.assert_allclose(pixel[:3], 255 / (1 + np.exp(-logits)), atol=2)


def test_background(tiny_avatar_folder: Path) -> None:
    with Player(tiny_avatar_folder, size=48, antialias="none") as player:
        transparent = player.render(*STILL)
    images = []
    for background in ("#808080", (128, 128, 128), "grey"):
        with Player(tiny_avatar_folder, size=48, background=background, antialias="none") as player:
            images.append(player.render(*STILL))
    np.testing.assert_array_equal(images[0], images[1])
    np.testing.assert_array_equal(images[0], images[2])
    assert (images[0][..., 3] == 255).all()
    outside = transparent[..., 3] == 0
    np.testing.assert_array_equal(images[0][outside][:, :3], 128)
    np.testing.assert_array_equal(images[0][~outside], transparent[~outside])


def test_wide_image_stretches_nothing(tiny_avatar_folder: Path) -> None:
    with Player(tiny_avatar_folder, size=64) as player:
        square = player.render(*STILL)
    with Player(tiny_avatar_folder, size=(128, 64)) as player:
        wide = player.render(*STILL)
    assert wide.shape == (64, 128, 4)
    np.testing.assert_array_equal(wide[:, 32:96], square)
    assert not wide[:, :32].any()


def test_camera_behind_sees_the_back(tiny_avatar_folder: Path) -> None:
    with Player(tiny_avatar_folder, size=64) as player:
        centre = player.vertices(*STILL).mean(axis=0) * 4
        front = player.render(*STILL, Camera.looking_at(centre))
        back = player.render(*STILL, Camera.looking_at(centre, yaw=np.pi))
        away = player.render(*STILL, Camera.looking_at(centre - np.array([0, 0, 20])))
    assert (front[..., 3] == 255).any()
    assert (front != back).any()
    assert not away.any()


def test_vertices_are_in_metres(tiny_avatar_folder: Path) -> None:
    with Player(tiny_avatar_folder, size=8) as player:
        still = player.vertices(*STILL)
        player.render(np.ones(50), np.ones(15))
        np.testing.assert_allclose(still, player.avatar.rest.T / 4, atol=1e-6)


def test_timed_rendering_names_the_stages(tiny_avatar_folder: Path) -> None:
    with Player(tiny_avatar_folder, size=32) as player:
        image, seconds = player.render_timed(*STILL)
        np.testing.assert_array_equal(image, player.render(*STILL))
    assert tuple(seconds) == STAGES
    assert all(stage > 0 for stage in seconds.values())


NAN = np.full(15, np.nan)


@pytest.mark.parametrize(
    ("expression", "pose", "message"),
    [
        (np.zeros(49), np.zeros(15), r"expression must have shape \[50\], got \[49\]"),
        (np.zeros(50), np.zeros((1, 15)), r"pose must have shape \[15\], got \[1, 15\]"),
        (np.zeros(50), NAN, "pose must be finite, got nan"),
        (np.full(50, np.inf), np.zeros(15), "expression must be finite, got inf"),
        ("smile", np.zeros(15), "expression must be numbers"),
    ],
)
def test_wrong_frames_are_refused(
    tiny_avatar_folder: Path, expression: Any, pose: Any, message: str
) -> None:
    with Player(tiny_avatar_folder, size=8) as player:
        with pytest.raises(InputError, match=message):
            player.render(expression, pose)
        with pytest.raises(InputError, match=message):
            player.vertices(expression, pose)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"size": 0}, "size must be between 1 and"),
        ({"size": (64, -1)}, "size must be between 1 and"),
        (
            {"shading": "vertx"},
            "unknown shading 'vertx': expected one of auto, pixel, student, vertex; "
            "did you mean 'vertex'",
        ),
        ({"background": "mauve"}, "a background is '#rrggbb', three numbers"),
        ({"background": (0, 0, 256)}, "a background is '#rrggbb', three numbers"),
        ({"threads": 0}, "threads must be between 1 and 256"),
        ({"size": True}, "size must be a number of pixels or .*, got True"),
        ({"background": 5}, "a background must be a colour such as '#rrggbb', .*, got 5"),
        ({"threads": "2"}, "threads must be a number of cores or None, got '2'"),
        ({"shading": 3}, "shading must be a name, got 3"),
        ({"backend": None}, "backend must be a name, got None"),
        (
            {"antialias": "edge"},
            "unknown anti-aliasing 'edge': expected one of 4x, edges, none; did you mean 'edges'",
        ),
        ({"antialias": 4}, "antialias must be a name, got 4"),
    ],
)
def test_wrong_arguments_are_refused(
    tiny_avatar_folder: Path, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        Player(tiny_avatar_folder, **arguments)


def test_a_size_is_any_whole_number(tiny_avatar_folder: Path) -> None:
    with Player(tiny_avatar_folder, size=cast(Any, np.int64(8))) as player:
        assert player.render(np.zeros(50), np.zeros(15)).shape == (8, 8, 4)


def test_a_camera_is_no_name(tiny_avatar_folder: Path) -> None:
    with (
        Player(tiny_avatar_folder, size=8) as player,
        pytest.raises(UsageError, match="camera must be a Camera or None, got str"),
    ):
        player.render(np.zeros(50), np.zeros(15), cast(Any, "front"))


def test_two_threads_cannot_draw_at_once(
    tiny_avatar_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawing, done = threading.Event(), threading.Event()

    def render(*arguments: object) -> Any:
        drawing.set()
        assert done.wait(30)
        return np.zeros((8, 8, 4), np.uint8)

    with Player(tiny_avatar_folder, size=8) as player:
        still = (np.zeros(50), np.zeros(15))
        with monkeypatch.context() as patch:
            patch.setattr(player._renderer, "render", render)
            other = threading.Thread(target=player.render, args=still)
            other.start()
            assert drawing.wait(30)
            for call in (player.render, player.render_timed, player.vertices, player.normals):
                with pytest.raises(UsageError, match="is drawing in another thread"):
                    call(*still)
            with pytest.raises(UsageError, match="is drawing in another thread"):
                player.render_batch(*(array[None] for array in still))
            done.set()
            other.join(30)
        assert player.render(*still).shape == (8, 8, 4)


FORK = """
import os, sys
import numpy as np
from imavatar_deploy.errors import UsageError
from imavatar_deploy.runtime import Player
with Player(sys.argv[1], size=8) as player:
    child = os.fork()
    if child == 0:
        try:
            player.render(np.zeros(50), np.zeros(15))
        except UsageError as error:
            os.write(1, str(error).encode())
        os._exit(0)
    os.waitpid(child, 0)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
def test_a_forked_process_cannot_draw(tiny_avatar_folder: Path) -> None:
    words = [sys.executable, "-W", "ignore", "-c", FORK, str(tiny_avatar_folder)]
    result = run_process(words, limit=120)
    assert "opened before the process was forked" in result.stdout, result.stderr


def test_an_avatar_is_a_path() -> None:
    source: Any = 5
    with pytest.raises(UsageError, match="an avatar must be a folder's path, got int"):
        Player(source)


def test_folder_without_texture_is_refused(tmp_path: Path, avatar: Avatar) -> None:
    write_avatar(tmp_path, avatar, about={})
    with pytest.raises(InputError, match=r"has no texture\.onnx; export it again"):
        Player(tmp_path)
    with pytest.raises(InputError, match=r"has no student; export it again without --no-student"):
        Player(tmp_path, shading="student")


def test_the_student_draws_where_there_is_one(tiny_avatar_folder: Path, tmp_path: Path) -> None:
    with Player(tiny_avatar_folder, size=8) as player:
        assert player.shading == "student"
    older = tmp_path / "older"
    shutil.copytree(tiny_avatar_folder, older)
    for name in ("student.safetensors", "avatar.json"):
        (older / name).unlink()
    write_avatar(older, tiny_avatar(), about={})
    with Player(older, size=8) as player:
        assert player.shading == "vertex"


def test_the_student_needs_no_graph(
    tmp_path: Path, tiny_avatar_folder: Path, avatar: Avatar
) -> None:
    shutil.copy(tiny_avatar_folder / "student.safetensors", tmp_path)
    write_avatar(tmp_path, avatar, about={})
    with Player(tmp_path, size=32) as alone, Player(tiny_avatar_folder, size=32) as whole:
        np.testing.assert_array_equal(alone.render(*STILL), whole.render(*STILL))


def test_the_student_draws_what_the_network_draws(tiny_avatar_folder: Path) -> None:
    """The tiny student equals the tiny texture network, except for half-precision features."""
    images = []
    for name in ("student", "pixel"):
        with Player(tiny_avatar_folder, size=64, shading=name) as player:
            images.append(player.render(np.full(50, 0.3), np.full(15, 0.1)).astype(int))
    assert np.abs(images[0] - images[1]).max() <= 2


def test_texture_of_another_avatar_is_refused(
    tmp_path: Path, tiny_avatar_folder: Path, avatar: Avatar
) -> None:
    shutil.copy(tiny_avatar_folder / "texture.onnx", tmp_path)
    arrays: dict[str, Any] = avatar.arrays() | {"texture_code": avatar.texture_code[:, :5]}
    other = Avatar(**arrays, edition=avatar.edition, expression_names=avatar.expression_names)
    write_avatar(tmp_path, other, about={})
    with pytest.raises(ImavatarError, match="must map inputs .*'code': 5.*got .*'code': 8"):
        Player(tmp_path)


def test_an_unknown_engine_policy_is_refused_with_every_backend(tiny_avatar_folder: Path) -> None:
    with pytest.raises(UsageError, match="unknown engine policy 'rebuilt': .* did you mean"):
        Player(tiny_avatar_folder, size=16, engine_policy="rebuilt")
