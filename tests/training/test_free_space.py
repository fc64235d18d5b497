"""The loss on free space: air in front of skin becomes outside, and other points are left alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from imavatar_deploy.dataset.labels import LABELS
from imavatar_deploy.head_model import HeadModel
from imavatar_deploy.model.frame import Frame, RayBundle
from imavatar_deploy.model.geometry import Geometry
from imavatar_deploy.model.sizes import NetworkSizes
from imavatar_deploy.model.variants import VARIANTS
from imavatar_deploy.training.batch import Batch, draw_batch
from imavatar_deploy.training.dataset import FaceDataset
from imavatar_deploy.training.free_space import (
    MAX_AIR_DISTANCE,
    MAX_REQUIRED_DISTANCE,
    MIN_AIR_DISTANCE,
    Air,
    empty_space_term,
    free_space_term,
    skin_limit,
)
from imavatar_deploy.training.semantics import EMPTY_DEPTH, head_depth, is_skin, nearest_around
from imavatar_deploy.training.settings import Schedule
from imavatar_deploy.training.warm_start.head_surface import HeadSurface
from imavatar_deploy.training.warm_start.surface_distance import query_surface

from .drawn_video import write_video

SIZES = NetworkSizes(
    geometry_layers=(64,) * 3,
    geometry_skip=(2,),
    geometry_frequencies=1,
    feature=4,
    deformation_layers=(16,) * 2,
    texture_layers=(8,),
)
SIDE = 64
SHARPNESS = 150.0
FRAME = 0
"""From the front, the mouth a little open."""
POCKET = (0.0, -0.5, 0.38)
"""Canonical point under the chin and in front of the neck."""


@pytest.fixture(scope="module")
def video(openhead: HeadModel, tmp_path_factory: pytest.TempPathFactory) -> FaceDataset:
    folder = write_video(tmp_path_factory.mktemp("video"), openhead, frames=2, side=SIDE)
    return FaceDataset.open([folder], size=SIDE)


@pytest.fixture(scope="module")
def air(video: FaceDataset) -> Air:
    air = Air.around(video)
    assert air is not None
    return air


def batch_of(video: FaceDataset) -> Batch:
    return draw_batch(video, FRAME, Schedule(pixels=64), 512, np.random.default_rng(0))


def frame_of(video: FaceDataset) -> Frame:
    track = video.track
    return Frame(torch.from_numpy(track.expression[FRAME]), torch.from_numpy(track.pose[FRAME]))


def view_of(batch: Batch) -> RayBundle:
    return RayBundle.of(batch.camera, batch.size, batch.pixels)


def test_air_is_around_the_head_and_outside(air: Air, openhead: HeadModel) -> None:
    distance = query_surface(HeadSurface.from_head(openhead), air.points).distance
    assert MIN_AIR_DISTANCE < distance.min() < distance.max() < MAX_AIR_DISTANCE
    assert (air.level <= 0.5 * distance + 1e-6).all()
    assert air.level.max() <= MAX_REQUIRED_DISTANCE
    assert len(air.points) > 500


def test_air_is_where_frames_show_it_in_front_of_skin(air: Air) -> None:
    """In the pocket under the chin and in front of the face; not behind the head."""
    assert np.linalg.norm(air.points - np.float32(POCKET), axis=1).min() < 0.05
    assert np.linalg.norm(air.points - np.float32([0.0, 0.0, 0.6]), axis=1).min() < 0.05
    assert air.points[:, 2].min() > 0.0


def test_the_limit_lies_in_front_of_the_head_where_the_labels_say_skin(video: FaceDataset) -> None:
    semantic, limit = video.observation(FRAME).semantic, skin_limit(video, FRAME)
    assert semantic is not None
    assert limit is not None
    track = video.track
    codes = (track.expression[FRAME], track.pose[FRAME])
    depth = head_depth(video.head, *codes, track.cameras[FRAME], SIDE)
    known = limit > 0.0
    assert 0.05 < known.mean() < 0.5
    assert (limit[known] <= depth[known] - MIN_AIR_DISTANCE + 1e-5).all()
    assert not known[~is_skin(semantic)].any()
    assert (nearest_around(depth)[known] < EMPTY_DEPTH).all()
    truth = video.observation(FRAME).depth
    assert truth is not None
    assert np.abs(depth - truth)[known].max() < 0.02


@pytest.mark.parametrize("label", ["hair", "cloth", "glasses", "mouth interior"])
def test_pixels_next_to_another_label_claim_nothing(label: str) -> None:
    semantic = np.full((16, 16), LABELS.index("skin"), dtype=np.uint8)
    semantic[8, 8] = LABELS.index(label)
    skin = is_skin(semantic)
    assert not skin[6:11, 6:11].any()
    assert skin[8, 5]
    assert skin[8, 11]


def test_frames_without_labels_claim_nothing(
    air: Air, video: FaceDataset, openhead: HeadModel, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    bare = FaceDataset.open([write_video(tmp_path, openhead, 2, extras=False)], size=SIDE)
    assert Air.around(bare) is None
    assert air.add_to(batch_of(bare), bare, 64, rng).air is None
    batch = air.add_to(batch_of(video), video, 64, rng)
    assert batch.air is not None
    assert batch.air.shape == (64, 4)


class Pocket(nn.Module):
    """A field of 0.2 with a weak spot in the pocket under the chin."""

    WIDTH = 0.06

    def __init__(self) -> None:
        super().__init__()
        self.depth = nn.Parameter(torch.tensor(0.19))

    def forward(self, x: Tensor, code: Tensor | None = None) -> Geometry:
        """The field, which is 0.01 in the middle of the weak spot."""
        distance = (x - x.new_tensor(POCKET)).norm(dim=1)
        dip = self.depth * torch.exp(-((distance / self.WIDTH) ** 2))
        return Geometry(0.2 - dip, torch.zeros(len(x), 4))


@pytest.fixture
def weak(openhead: HeadModel) -> Any:
    """An avatar whose field is nearly zero in the pocket."""
    torch.manual_seed(0)
    model = VARIANTS["imavatar"].build(openhead, SIZES, {})
    model.geometry = Pocket()  # type: ignore[assignment]
    return model


def test_a_weak_spot_in_the_pocket_is_filled_with_air(
    weak: Any, air: Air, video: FaceDataset
) -> None:
    """The cause of lobes: the loss on empty space has no gradient there, and this one has."""
    batch = air.add_to(batch_of(video), video, 4096, np.random.default_rng(0))
    frame, view = frame_of(video), view_of(batch)
    empty_space_term(weak, frame, view, batch, SHARPNESS).backward()
    gradient = weak.geometry.depth.grad
    assert gradient is None or gradient.abs() < 1e-6
    weak.zero_grad()
    assert batch.air is not None
    assert batch.limit is not None
    free_space_term(weak, frame, view, batch.air, batch.limit, SHARPNESS).backward()
    assert weak.geometry.depth.grad > 1e-4  # a step down makes the dip shallower


def test_hair_in_front_of_the_pocket_is_left_alone(
    weak: Any, air: Air, video: FaceDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    observed = video.observation(FRAME)
    hair = np.full((SIDE, SIDE), LABELS.index("hair"), dtype=np.uint8)
    monkeypatch.setattr(video, "observation", lambda index: replace(observed, semantic=hair))
    batch = air.add_to(batch_of(video), video, 4096, np.random.default_rng(0))
    assert batch.air is not None
    assert batch.limit is not None
    frame, view = frame_of(video), view_of(batch)
    assert free_space_term(weak, frame, view, batch.air, batch.limit, SHARPNESS).item() == 0.0


def test_points_behind_the_skin_are_left_alone(weak: Any, air: Air, video: FaceDataset) -> None:
    batch = air.add_to(batch_of(video), video, 4096, np.random.default_rng(0))
    assert batch.limit is not None
    behind = torch.cat([torch.rand(512, 2) * 0.2 - 0.1, torch.full((512, 1), -0.9)], dim=1)
    points = torch.cat([behind, torch.full((512, 1), MAX_REQUIRED_DISTANCE)], dim=1)
    weak.geometry.depth.data.fill_(10.0)
    term = free_space_term(weak, frame_of(video), view_of(batch), points, batch.limit, SHARPNESS)
    assert term.item() == 0.0


def test_variants_that_map_backward_are_left_alone(
    openhead: HeadModel, air: Air, video: FaceDataset
) -> None:
    model = VARIANTS["c-net"].build(openhead, replace(SIZES, latent=0), {})
    batch = air.add_to(batch_of(video), video, 256, np.random.default_rng(0))
    assert batch.air is not None
    assert batch.limit is not None
    frame, view = frame_of(video), view_of(batch)
    term = free_space_term(model, frame, view, batch.air, batch.limit, SHARPNESS)
    assert term.item() == 0.0
