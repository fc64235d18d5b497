"""GLB and VRM drawn by three.js and three-vrm in Chromium, without a GPU.

What is absent is skipped, as in `test_consumers`.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from imavatar_deploy.arrays import Array, Float, Float32, Float64, Integer
from imavatar_deploy.avatar import Avatar
from imavatar_deploy.camera import front_camera
from imavatar_deploy.conventions import UNITS_PER_METRE
from imavatar_deploy.exporters.atlas import bake_texture
from imavatar_deploy.exporters.formats.gltf.glb import write_glb
from imavatar_deploy.exporters.formats.gltf.morph_targets import with_four_influences
from imavatar_deploy.exporters.formats.gltf.settings import GlbSettings
from imavatar_deploy.exporters.formats.gltf.vrm import write_vrm
from imavatar_deploy.exporters.formats.gltf.vrm_rig import HEAD_HEIGHT
from imavatar_deploy.exporters.srgb import as_shown, linear
from imavatar_deploy.head_model import HeadModel
from imavatar_deploy.rendering.rasteriser import Rasteriser
from imavatar_deploy.rendering.workers import Workers

from ..exporters.test_gltf import LICENCE
from ..tiny_avatar import tiny_avatar
from .page import run_page

SIZE = 256
"""Pixels a side."""

NEAR, FAR = 0.1, 100.0
"""Metres."""

MEAN_ERROR = 0.75 / 255
"""Largest mean error of a channel: rounding to eight bits, and pixels on edges of faces."""


@pytest.fixture(scope="module")
def head() -> Avatar:
    """An egg with two expressions that move it, and 48 that do not."""
    names = HeadModel.load("openhead").expression_names
    avatar = replace(with_four_influences(tiny_avatar(24, 32)), expression_names=names)
    basis = avatar.expression_basis.copy()
    basis[2:] = 0.0
    return replace(avatar, expression_basis=basis, pose_basis=np.zeros_like(avatar.pose_basis))


@pytest.fixture(scope="module")
def colours(head: Avatar) -> Float32[Array, "V 3"]:
    return colour_noise(head, 1)


@pytest.fixture(scope="module")
def colours_at(head: Avatar) -> dict[str, Float32[Array, "V 3"]]:
    names = head.expression_names
    return {names[0]: colour_noise(head, 2), names[1]: colour_noise(head, 3)}


def colour_noise(head: Avatar, seed: int) -> Float32[Array, "V 3"]:
    random = np.random.default_rng(seed).random((head.vertex_count, 3))
    return (0.2 + 0.6 * random).astype(np.float32)


def matrix(head: Avatar) -> Float64[Array, "3 4"]:
    """Image matrix of the front view, for metres."""
    camera = front_camera(head, np.ascontiguousarray(head.rest.T))
    image = camera.image_matrix(SIZE, SIZE).astype(np.float64)
    return np.asarray(image * [*[UNITS_PER_METRE] * 3, 1.0])


def projection(image: Float64[Array, "3 4"], height: float = 0.0) -> list[float]:
    """WebGL's projection, column by column, of an image matrix whose pixels' centres are integers.

    Args:
        image: for metres; its last row is the depth.
        height: metres by which the file's mesh is raised.
    """
    column, row, depth = image
    clip = np.stack(
        [
            2 * (column + 0.5 * depth) / SIZE - depth,
            depth - 2 * (row + 0.5 * depth) / SIZE,
            (FAR + NEAR) / (FAR - NEAR) * depth,
            depth,
        ]
    )
    clip[2, 3] -= 2 * FAR * NEAR / (FAR - NEAR)
    lowered = np.eye(4)
    lowered[1, 3] = -height
    return [float(value) for value in (clip @ lowered).T.ravel()]


def drawn(
    head: Avatar, weights: Mapping[str, float], light: Float[Array, "V 3"]
) -> Float64[Array, "H W 3"]:
    """The picture that a file must show: `light` is the vertices' linear light."""
    amounts = np.array([weights.get(name, 0.0) for name in head.expression_names])
    vertices = (head.rest + np.tensordot(amounts, head.expression_basis, 1)).T / UNITS_PER_METRE
    with Workers() as workers:
        fragments = Rasteriser(head.faces, SIZE, SIZE, workers).draw(
            np.ascontiguousarray(vertices, dtype=np.float32), matrix(head).astype(np.float32)
        )
    covered = fragments.triangle >= 0
    corners = light[head.faces[fragments.triangle[covered]]]
    picture = np.ones((SIZE, SIZE, 3))
    picture[covered] = as_shown(
        np.einsum("nk,nkc->nc", fragments.barycentrics[covered], corners.clip(0, 1))
    )
    return picture


def shown(result: Mapping[str, Any]) -> list[Float64[Array, "H W 3"]]:
    pictures = []
    for data in result["pictures"]:
        image = cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR)
        assert image is not None
        pictures.append(image[:, :, ::-1] / 255.0)
    return pictures


def blended(
    weights: Mapping[str, float],
    colours: Float32[Array, "V 3"],
    colours_at: Mapping[str, Float32[Array, "V 3"]],
) -> Float32[Array, "V 3"]:
    light = linear(colours)
    for name, weight in weights.items():
        light = light + np.float32(weight) * (linear(colours_at[name]) - linear(colours))
    return light


@pytest.mark.parametrize("compression", ["none", "quantize", "meshopt"])
def test_three_draws_colours_that_follow_the_targets(
    compression: str,
    head: Avatar,
    colours: Float32[Array, "V 3"],
    colours_at: dict[str, Float32[Array, "V 3"]],
    tmp_path: Path,
) -> None:
    if compression == "meshopt":
        pytest.importorskip("meshoptimizer", reason="the extra meshopt is not installed")
    first, second = colours_at
    settings = GlbSettings(compression=compression)
    path = tmp_path / "a.glb"
    write_glb(path, head, colours, licence=LICENCE, colours_at=colours_at, settings=settings)
    requests: list[dict[str, float]] = [{}, {first: 1.0}, {first: 0.5, second: 0.4}]
    view = projection(matrix(head))
    frames = [{"projection": view, "weights": weights} for weights in requests]
    request = {"file": "a.glb", "size": SIZE, "frames": frames}
    result = run_page("three", "three_page.mjs", request, {"a.glb": path}, tmp_path / "profile")
    pictures = shown(result)
    for weights, picture in zip(requests, pictures, strict=True):
        truth = drawn(head, weights, blended(weights, colours, colours_at))
        assert np.abs(picture - truth).mean() <= MEAN_ERROR, weights
    assert np.abs(pictures[1] - pictures[0]).mean() > 10 * MEAN_ERROR


def test_three_draws_an_image_that_follows_the_targets(
    head: Avatar,
    colours: Float32[Array, "V 3"],
    colours_at: dict[str, Float32[Array, "V 3"]],
    tmp_path: Path,
) -> None:
    grey = np.full_like(colours, 0.5)

    def grey_at(
        corners: Integer[Array, "N 3"], weights: Float32[Array, "N 3"]
    ) -> Float32[Array, "N 3"]:
        return np.full((len(corners), 3), 0.5, dtype=np.float32)

    image = replace(bake_texture(head, grey_at, SIZE), neutral=grey)
    name = next(iter(colours_at))
    path = tmp_path / "a.glb"
    darker = {name: (0.6 * colours_at[name]).astype(np.float32)}  # factors below two
    write_glb(path, head, image, licence=LICENCE, colours_at=darker)
    requests: list[dict[str, float]] = [{}, {name: 1.0}, {name: 0.5}]
    view = projection(matrix(head))
    frames = [{"projection": view, "weights": weights} for weights in requests]
    request = {"file": "a.glb", "size": SIZE, "frames": frames}
    result = run_page("three", "three_page.mjs", request, {"a.glb": path}, tmp_path / "profile")
    for weights, picture in zip(requests, shown(result), strict=True):
        truth = drawn(head, weights, blended(weights, grey, darker))
        assert np.abs(picture - truth).mean() <= MEAN_ERROR, weights


def test_three_vrm_draws_colours_that_follow_the_expressions(
    head: Avatar,
    colours: Float32[Array, "V 3"],
    colours_at: dict[str, Float32[Array, "V 3"]],
    tmp_path: Path,
) -> None:
    path = tmp_path / "a.vrm"
    write_vrm(path, head, colours, licence=LICENCE, title="egg", colours_at=colours_at)
    name = next(iter(colours_at))
    expression = name[0].upper() + name[1:]
    view = projection(matrix(head), HEAD_HEIGHT)
    frames = [{"projection": view, "expressions": weights} for weights in ({}, {expression: 1.0})]
    request = {"file": "a.vrm", "size": SIZE, "frames": frames}
    result = run_page("three", "three_page.mjs", request, {"a.vrm": path}, tmp_path / "profile")
    for weights, picture in zip(({}, {name: 1.0}), shown(result), strict=True):
        truth = drawn(head, weights, blended(weights, colours, colours_at))
        assert np.abs(picture - truth).mean() <= MEAN_ERROR, weights
