"""Whole images of a model."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from torch import Tensor

from imavatar_deploy.camera import Camera
from imavatar_deploy.model.frame import Frame, RayBundle
from imavatar_deploy.model.head_avatar import HeadAvatarModel
from imavatar_deploy.model.render import Rendering, render
from imavatar_deploy.model.tracing import MarchTracer, Tracer, TraceResult

from .moving_sphere import calm, moving_sphere

pytestmark = pytest.mark.usefixtures("one_thread")

CAMERA = Camera.looking_at((0.0, 0.0, 0.0), distance=4.0, extent=2.4, yaw=0.4)
WIDTH = 14
HEIGHT = 10


@pytest.fixture(scope="module")
def image() -> Rendering:
    return render(moving_sphere(), calm(), CAMERA, (WIDTH, HEIGHT), MarchTracer())


def test_shapes_and_what_lies_outside(image: Rendering) -> None:
    shapes = {name: array.shape for name, array in vars(image).items()}
    planes = dict.fromkeys(("rgb", "normal", "canonical", "deformed"), (HEIGHT, WIDTH, 3))
    assert shapes == planes | dict.fromkeys(("mask", "depth"), (HEIGHT, WIDTH))
    assert 10 < image.mask.sum() < 100
    assert (image.rgb[~image.mask] == 1.0).all()
    for name in ("normal", "depth", "canonical", "deformed"):
        assert (vars(image)[name][~image.mask] == 0.0).all()
        assert (vars(image)[name][image.mask] != 0.0).any(axis=-1).all()


def test_normals_are_unit_and_face_the_camera(image: Rendering) -> None:
    normal = image.normal[image.mask]
    assert_allclose(np.linalg.norm(normal, axis=1), 1.0, atol=1e-5)
    assert ((normal * (CAMERA.centre - image.deformed[image.mask])).sum(axis=1) > 0).all()


def test_points_project_to_their_pixels_and_depths(image: Rendering) -> None:
    points = np.column_stack([image.deformed[image.mask], np.ones(image.mask.sum())])
    column, row, depth = CAMERA.image_matrix(WIDTH, HEIGHT) @ points.T
    rows, columns = np.nonzero(image.mask)
    assert_allclose(column / depth, columns, atol=1e-4)
    assert_allclose(row / depth, rows, atol=1e-4)
    assert_allclose(image.depth[image.mask], depth, atol=1e-5)


def test_colours_are_those_of_the_texture_network(image: Rendering) -> None:
    model = moving_sphere()
    frame = calm()
    with torch.no_grad():
        canonical, normal = (
            torch.from_numpy(array[image.mask]) for array in (image.canonical, image.normal)
        )
        feature = model.geometry(canonical).feature
        colour = model.texture(canonical, normal, model.condition(*frame[:2]), feature)
    assert_allclose(image.rgb[image.mask], colour, atol=1e-5)


class FixedTracer(Tracer):
    """Returns a fixed result."""

    name = "fixed"
    summary = ""

    def __init__(self, traced: TraceResult) -> None:
        self.traced = traced

    def trace(
        self,
        model: HeadAvatarModel,
        frame: Frame,
        view: RayBundle,
        *,
        foreground: Tensor | None = None,
    ) -> TraceResult:
        assert foreground is None
        assert not torch.is_grad_enabled()
        return self.traced


def test_only_hits_with_a_root_are_drawn_and_all_of_them() -> None:
    model = moving_sphere()
    frame = calm()
    size = (80, 40)  # more than one chunk
    generator = torch.Generator().manual_seed(8)
    canonical = torch.rand(3200, 3, generator=generator) - 0.5
    hit, valid = (torch.rand(2, 3200, generator=generator) > 0.1).unbind()
    traced = TraceResult(
        canonical, model.deform(canonical, *frame[:2]).detach(), torch.zeros(3200), hit, valid
    )
    image = render(model, frame, CAMERA, size, FixedTracer(traced), background=0.25)
    assert image.mask.sum() > 2048
    assert (image.mask.reshape(-1) == (hit & valid).numpy()).all()
    assert_allclose(image.canonical[image.mask], canonical[hit & valid])
    assert (image.rgb[~image.mask] == 0.25).all()


def test_an_empty_image(image: Rendering) -> None:
    away: Any = Camera.looking_at((0.0, 9.0, 0.0), distance=4.0)
    empty = render(moving_sphere(), calm(), away, (4, 4), MarchTracer(samples=5))
    assert not empty.mask.any()
    assert (empty.rgb == 1.0).all()
