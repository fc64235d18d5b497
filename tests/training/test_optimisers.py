"""Optimisers and learning rates, per-frame inputs, divergence checks, clock, validation frames."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from imavatar_deploy.camera import Camera
from imavatar_deploy.errors import QualityError
from imavatar_deploy.head_model import HeadModel
from imavatar_deploy.model.implicit_avatar import ImplicitAvatar
from imavatar_deploy.model.sizes import NetworkSizes
from imavatar_deploy.tracks import FlameTrack
from imavatar_deploy.training.divergence import DivergenceMonitor
from imavatar_deploy.training.frame_parameters import FrameParameters, sparsify_gradients
from imavatar_deploy.training.muon import Muon
from imavatar_deploy.training.optimisers import (
    hold_shape,
    make_optimisers,
    rate_factor,
    set_rates,
    shape_factor,
)
from imavatar_deploy.training.run_log import RunClock
from imavatar_deploy.training.settings import InputSettings, OptimiserSettings, Schedule
from imavatar_deploy.training.validation import evenly_spaced

SIZES = NetworkSizes(
    geometry_layers=(48,) * 3,
    geometry_skip=(2,),
    geometry_frequencies=2,
    feature=8,
    deformation_layers=(24, 24),
    texture_layers=(24, 24),
)


@pytest.fixture(scope="module")
def model(openhead: HeadModel) -> ImplicitAvatar:
    return ImplicitAvatar(openhead, SIZES)


@pytest.fixture
def track() -> FlameTrack:
    rng = np.random.default_rng(0)
    cameras = tuple(Camera.looking_at(rng.normal(size=3), yaw=0.3) for _ in range(4))
    return FlameTrack(rng.uniform(size=(4, 50)), 0.1 * rng.normal(size=(4, 15)), cameras)


def test_published_rate_is_halved_after_two_thirds() -> None:
    assert [rate_factor("halved", progress) for progress in (0.0, 0.66, 0.67, 1.0)] == [
        1.0,
        1.0,
        0.5,
        0.5,
    ]


def test_cosine_rises_and_falls_to_a_hundredth() -> None:
    factors = [rate_factor("cosine", step / 1000) for step in range(1001)]
    assert factors[0] <= 0.1
    assert max(factors) > 0.99
    assert factors[-1] == pytest.approx(0.01)
    assert factors[500] == pytest.approx(0.505, abs=0.01)


def test_every_parameter_has_one_optimiser(model: ImplicitAvatar, track: FlameTrack) -> None:
    for rate, kinds in ((0.0, 2), (1e-3, 3)):
        inputs = FrameParameters(track, InputSettings())
        optimisers = make_optimisers(
            model, inputs, OptimiserSettings(matrix_rate=rate, texture_factor=3.0)
        )
        assert len(optimisers) == kinds
        owned = [
            p
            for optimiser in optimisers
            for group in optimiser.param_groups
            for p in group["params"]
        ]
        assert len({id(p) for p in owned}) == len(owned)
        assert {id(p) for p in owned} == {
            id(p) for p in (*model.parameters(), *inputs.trainable_parameters())
        }
    muon = next(optimiser for optimiser in optimisers if isinstance(optimiser, Muon))
    assert all(p.ndim == 2 for group in muon.param_groups for p in group["params"])
    set_rates(optimisers, 0.5)
    assert [group["lr"] for group in muon.param_groups] == [5e-4, 1.5e-3]


def test_the_shape_starts_slowly_after_the_colours(
    model: ImplicitAvatar, track: FlameTrack
) -> None:
    schedule = Schedule(colours_first=100, shape_warm_up=50)
    factors = [shape_factor(schedule, step) for step in (0, 99, 100, 124, 149, 150, 700)]
    assert factors == [0.0, 0.0, 0.02, 0.5, 1.0, 1.0, 1.0]
    assert shape_factor(Schedule(), 0) == 1.0
    optimisers = make_optimisers(
        model, FrameParameters(track, InputSettings()), OptimiserSettings(matrix_rate=1e-3)
    )
    set_rates(optimisers, 0.5, shape=0.1)
    texture = {id(parameter) for parameter in model.texture.parameters()}
    for group in (group for optimiser in optimisers[:2] for group in optimiser.param_groups):
        slow = not any(id(parameter) in texture for parameter in group["params"])
        assert group["lr"] == pytest.approx(group["peak"] * (0.05 if slow else 0.5))
    assert optimisers[2].param_groups[0]["lr"] == pytest.approx(
        0.5 * optimisers[2].param_groups[0]["peak"]
    )


def test_a_held_shape_and_its_momentum_stay(model: ImplicitAvatar, track: FlameTrack) -> None:
    optimisers = make_optimisers(
        model, FrameParameters(track, InputSettings()), OptimiserSettings(matrix_rate=1e-3)
    )
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    hold_shape(model)
    for optimiser in optimisers[:2]:
        optimiser.step()
    moved = {
        name
        for name, parameter in model.named_parameters()
        if not torch.equal(parameter, before[name])
    }
    assert moved == {name for name in before if name.startswith("texture.")}
    with_state = {parameter for optimiser in optimisers for parameter in optimiser.state}
    assert with_state == set(model.texture.parameters())


def test_only_the_frames_of_the_step_move(track: FlameTrack) -> None:
    inputs = FrameParameters(track, InputSettings(expression=True))
    optimiser = torch.optim.SparseAdam(inputs.trainable_parameters(), lr=0.01)
    before = inputs.pose.detach().clone()
    for frame in (1, 1, 2):
        inputs.zero_grad()
        driving, centre = inputs(frame)
        (driving.pose.sum() + driving.expression.sum() + centre.sum()).backward()
        sparsify_gradients(inputs.trainable_parameters())
        optimiser.step()
    moved = (inputs.pose.detach() - before).abs().amax(dim=1)
    assert moved[[0, 3]].tolist() == [0.0, 0.0]
    assert moved[1].item() == pytest.approx(0.02, abs=1e-5)
    assert 0.005 < moved[2] < 0.01  # the bias correction counts steps, not visits (as in torch)
    drift = inputs.drift(1)
    assert set(drift) == {"expression_drift", "pose_drift", "camera_drift"}
    assert drift["pose_drift"].item() == pytest.approx(15 * 0.02**2, rel=1e-3)
    assert inputs.drift(0)["pose_drift"].item() == 0.0


def test_untrained_inputs_stay_and_do_not_drift(track: FlameTrack) -> None:
    inputs = FrameParameters(track, InputSettings(pose=False, camera=False))
    assert inputs.trainable_parameters() == []
    assert inputs.drift(0) == {}


def test_a_moved_camera_keeps_its_rotation(track: FlameTrack) -> None:
    inputs = FrameParameters(track, InputSettings())
    camera = track.cameras[2]
    np.testing.assert_allclose(
        inputs.optimised_camera(camera, 2).world_to_camera, camera.world_to_camera, atol=1e-6
    )
    with torch.no_grad():
        inputs.camera[2] += 1.0
    np.testing.assert_allclose(
        inputs.optimised_camera(camera, 2).centre, camera.centre + 1.0, atol=1e-5
    )


def test_the_monitor_names_the_term_and_the_frame() -> None:
    monitor = DivergenceMonitor(patience=3)
    with pytest.raises(QualityError, match="the mask loss became inf at step 7, frame 12"):
        monitor.losses({"colour": 1.0, "mask": float("inf")}, float("inf"), 7, "12")
    parameter = nn.Parameter(torch.ones(4))
    parameter.grad = torch.full((4,), 3.0)
    assert monitor.gradients([parameter], 0.0, 1, "1") == 6.0
    assert parameter.grad.norm() == 6.0
    monitor.gradients([parameter], 2.0, 1, "1")
    assert parameter.grad.norm().item() == pytest.approx(2.0, abs=1e-4)
    parameter.grad[2] = float("nan")
    with pytest.raises(QualityError, match="the gradient became nan"):
        monitor.gradients([parameter], 2.0, 1, "1")


@pytest.mark.parametrize(
    ("terms", "total", "message"),
    [
        (
            {"colour": 1.0, "mask": math.nan},
            math.nan,
            "^the mask loss became nan at step 7, frame 00012: ",
        ),
        (
            {"colour": math.inf, "mask": 1.0, "pose": math.nan},
            math.nan,
            "^the colour loss became inf and the pose loss became nan at step 7, frame 00012: ",
        ),
        (
            {"colour": 1.0, "mask": 1e38},
            math.inf,
            "^the weighted sum of the losses became inf at step 7, frame 00012",
        ),
    ],
)
def test_the_term_that_is_not_finite_is_named(
    terms: dict[str, float], total: float, message: str
) -> None:
    with pytest.raises(QualityError, match=message):
        DivergenceMonitor(patience=1).losses(terms, total, 7, "00012")


def test_the_monitor_counts_consecutive_misses() -> None:
    monitor = DivergenceMonitor(patience=3)
    for hits, foreground in ((0, 5), (0, 5), (1, 5), (0, 5), (0, 0), (0, 5), (0, 5)):
        monitor.surface(hits, foreground, 1)
    with pytest.raises(QualityError, match="vanished at step 9: for 3 steps"):
        monitor.surface(0, 5, 9)


def test_the_clock_goes_by_steps_or_by_minutes() -> None:
    steps = RunClock(Schedule(), planned=10, step=4)
    assert steps.progress() == 0.4
    assert steps.step_label() == "4/10"
    minutes = RunClock(Schedule(minutes=2.0), planned=10, step=4, spent=60.0)
    assert minutes.progress() == pytest.approx(0.5, abs=0.01)
    assert minutes.remaining() == pytest.approx(60.0, abs=1.0)


def test_validation_frames_are_spread() -> None:
    assert evenly_spaced(3, 150) == [25, 75, 125]
    assert evenly_spaced(3, 2) == [0, 1]
    assert evenly_spaced(1, 1) == [0]
