"""The loss on empty space: points that the mask shows to be background become outside."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from imavatar_deploy.camera import Camera
from imavatar_deploy.head_model import HeadModel
from imavatar_deploy.model.frame import Frame, RayBundle
from imavatar_deploy.model.sizes import NetworkSizes
from imavatar_deploy.model.variants import VARIANTS
from imavatar_deploy.training.batch import Batch, draw_space
from imavatar_deploy.training.free_space import MARGIN, empty_space_term, in_background

SIZES = NetworkSizes(
    geometry_layers=(64,) * 3,
    geometry_skip=(2,),
    geometry_frequencies=1,
    feature=4,
    deformation_layers=(8,),
    texture_layers=(8,),
)
CAMERA = Camera.looking_at(np.array([0.1, -0.05, 0.0]), extent=2.0)


@pytest.fixture
def view() -> RayBundle:
    return RayBundle.of(CAMERA, (40, 40))


def batch_with(view: RayBundle, silhouette: torch.Tensor, count: int = 400) -> Batch:
    nothing = torch.zeros(0)
    space = torch.from_numpy(draw_space(count, np.random.default_rng(0)))
    return Batch(
        0,
        CAMERA,
        (40, 40),
        view.pixels,
        nothing,
        nothing,
        None,
        silhouette,
        space,
        torch.zeros(0, 3),
    )


def test_points_are_where_rays_through_their_pixels_are(view: RayBundle) -> None:
    """A point on the ray of a pixel projects to that pixel."""
    silhouette = torch.zeros(40, 40, dtype=torch.bool)
    silhouette[11, 23] = True
    empty = in_background(view.at(torch.full((1600,), 3.7)), view, silhouette).reshape(40, 40)
    rows, columns = torch.nonzero(~empty, as_tuple=True)
    assert (rows.min(), rows.max()) == (11 - MARGIN, 11 + MARGIN)
    assert (columns.min(), columns.max()) == (23 - MARGIN, 23 + MARGIN)


def test_points_off_the_image_or_behind_the_camera_prove_nothing(view: RayBundle) -> None:
    points = torch.tensor([[9.0, 0.0, 0.0], [0.1, -0.05, 9.0], [0.1, -0.05, 0.0]])
    assert in_background(points, view, torch.zeros(40, 40, dtype=torch.bool)).tolist() == [
        False,
        False,
        True,
    ]


@pytest.mark.parametrize("variant", ["imavatar", "fwd-skin", "c-net"])
def test_the_term_pushes_the_surface_out_of_empty_space(
    view: RayBundle, openhead: HeadModel, variant: str
) -> None:
    torch.manual_seed(0)
    model = VARIANTS[variant].build(openhead, SIZES, {})
    frame = Frame(torch.zeros(50), torch.zeros(15))
    full = empty_space_term(
        model, frame, view, batch_with(view, torch.ones(40, 40, dtype=torch.bool)), 50.0
    )
    assert full.item() == 0.0
    batch = batch_with(view, torch.zeros(40, 40, dtype=torch.bool))
    inside = model.find_canonical(batch.space, frame).sdf < 0.0
    assert inside.any()
    term = empty_space_term(model, frame, view, batch, 50.0)
    term.backward()
    assert term > 0.0
    assert model.geometry.layers[-1].bias.grad[0] < 0.0  # a step down raises the distance


def test_points_fill_the_sphere() -> None:
    radius = np.linalg.norm(draw_space(4000, np.random.default_rng(0)), axis=1)
    assert radius.max() <= 1.2
    assert np.mean(radius < 0.6) == pytest.approx(1.0 / 8.0, abs=0.03)
