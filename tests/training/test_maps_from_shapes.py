"""Maps from the shapes of two head models: the known mixing of a second head is recovered."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from imavatar_deploy.errors import InputError
from imavatar_deploy.head_model import HeadModel
from imavatar_deploy.retarget import ExpressionMap
from imavatar_deploy.retarget.arkit import ARKIT, ARKIT_NAMES
from imavatar_deploy.retarget.expression_map import CONTROLS, split
from imavatar_deploy.retarget.openhead_codes import JAW_OPEN_ANGLE, OPENHEAD_NAMES
from imavatar_deploy.training.retargeting import fit_shapes as shape_fits
from imavatar_deploy.training.retargeting.fit_shapes import fit_shapes
from imavatar_deploy.training.retargeting.registration import register

from .second_heads import finer, mixed, mixing, shuffled, without_mouth_parts

MIX = mixing()
STILL = np.zeros(15, dtype=np.float32)


@pytest.fixture(scope="module")
def second(openhead: HeadModel) -> HeadModel:
    """OpenHead's surface and rig, and an expression basis mixed by MIX."""
    return mixed(openhead, MIX)


@pytest.fixture(scope="module")
def other_person(openhead: HeadModel, second: HeadModel) -> HeadModel:
    """Another face than OpenHead's, 3 mm away from it (root mean square), of the same basis."""
    beta = np.random.default_rng(1).normal(size=30).astype(np.float32)
    return replace(second, template=openhead.template + openhead.shape_basis[:, :, :30] @ beta)


def codes(expression_map: ExpressionMap) -> dict[str, np.ndarray]:
    return dict(zip(expression_map.inputs, expression_map.matrix, strict=True))


def worst_code(expression_map: ExpressionMap) -> float:
    """The largest error of an expression code, of the 50 shapes that OpenHead has by name."""
    unmixed = np.linalg.inv(MIX)
    fitted = np.stack([codes(expression_map)[name][:50] for name in OPENHEAD_NAMES], axis=1)
    return float(np.abs(fitted - unmixed).max())


def test_same_topology_is_exact(openhead: HeadModel, second: HeadModel) -> None:
    fit = fit_shapes(openhead, second, "openhead, second")
    assert (fit.expression_map.source, fit.expression_map.target) == (ARKIT, "flame2020")
    assert worst_code(fit.expression_map) < 1e-4
    assert fit.expression_map.fit is not None
    assert (fit.expression_map.fit.how, fit.expression_map.fit.samples) == ("shapes", 51)
    assert fit.expression_map.fit.residual < 1e-3 < 3.0 < fit.expression_map.fit.moved, "mm"
    assert {row.name for row in fit.residuals} == {*ARKIT_NAMES} - {"tongueOut"}
    assert max(row.worst for row in fit.residuals) < 0.01, "mm, the jaw's turn included"
    opened = codes(fit.expression_map)["jawOpen"]
    assert opened[50] == pytest.approx(JAW_OPEN_ANGLE, abs=1e-4)
    assert np.abs(np.delete(opened, 50)).max() < 1e-4
    assert not codes(fit.expression_map)["tongueOut"].any()


def test_another_order_and_size_are_exact(openhead: HeadModel, second: HeadModel) -> None:
    head = shuffled(without_mouth_parts(second), scale=1.1, shift=0.05)
    fit = fit_shapes(openhead, head, "")
    assert fit.registration.reliable.mean() > 0.99
    assert fit.registration.distance < 1e-6
    assert worst_code(fit.expression_map) < 1e-3
    assert codes(fit.expression_map)["jawOpen"][50] == pytest.approx(JAW_OPEN_ANGLE, abs=1e-3)


def test_another_topology_is_near(openhead: HeadModel, second: HeadModel) -> None:
    head = without_mouth_parts(second)
    head = shuffled(finer(head, head.template[head.faces].mean(axis=1)[:, 2] > 0.06), scale=0.9)
    fit = fit_shapes(openhead, head, "")
    assert len(head.template) > 8000
    assert worst_code(fit.expression_map) < 0.01
    assert fit.expression_map.fit is not None
    assert fit.expression_map.fit.residual < 0.02, "mm"


def test_another_person_in_another_order_is_near(
    openhead: HeadModel, other_person: HeadModel
) -> None:
    """Points are exact to half a millimetre, codes to a tenth, faces to a tenth of a millimetre."""
    head = shuffled(without_mouth_parts(other_person), seed=2)
    fit = fit_shapes(openhead, head, "")
    assert worst_code(fit.expression_map) < 0.15
    assert fit.expression_map.fit is not None
    assert fit.expression_map.fit.residual < 0.15, "mm"
    order = np.random.default_rng(2).permutation(len(head.template))  # as `shuffled` does
    truth = without_mouth_parts(openhead).template[order]
    points = np.einsum(
        "vkc,vk->vc", openhead.template[fit.registration.corners], fit.registration.shares
    )
    distance = np.linalg.norm(points - truth, axis=1)[fit.registration.reliable]
    assert np.median(distance) < 0.6e-3
    assert np.percentile(distance, 95) < 3e-3


def test_without_a_shape_basis_surfaces_alone_decide(
    openhead: HeadModel, second: HeadModel
) -> None:
    head = replace(
        shuffled(without_mouth_parts(second)), shape_basis=np.zeros((4732, 3, 0), dtype=np.float32)
    )
    registration = register(openhead, head)
    assert registration.reliable.mean() > 0.99
    assert registration.distance < 1e-6


def test_a_map_moves_the_second_head_as_the_first(
    openhead: HeadModel, other_person: HeadModel
) -> None:
    """A smile with the mouth half open, by the map and by OpenHead itself, in mm on the skin."""
    expression_map = fit_shapes(openhead, other_person, "").expression_map
    weights = np.zeros(52, dtype=np.float32)
    for name, weight in {
        "mouthSmileLeft": 0.8,
        "eyeBlinkRight": 0.7,
        "browInnerUp": 0.6,
        "jawOpen": 0.5,
    }.items():
        weights[ARKIT_NAMES.index(name)] = weight
    mapped = (
        other_person.vertices(*split(weights @ expression_map.matrix + expression_map.bias, STILL))
        - other_person.template
    )
    expression = np.array([weights[ARKIT_NAMES.index(name)] for name in OPENHEAD_NAMES])
    opened = STILL + JAW_OPEN_ANGLE * 0.5 * (np.arange(15) == 6)
    expected = openhead.vertices(expression, opened.astype(np.float32)) - openhead.template
    error = np.linalg.norm(mapped - expected, axis=1)
    assert np.sqrt((error**2).mean()) < 0.2e-3
    assert error.max() < 1.5e-3


def test_codes_of_one_head_become_those_of_another(openhead: HeadModel, second: HeadModel) -> None:
    fit = fit_shapes(openhead, second, "", codes=True)
    assert (fit.expression_map.source, fit.expression_map.inputs) == ("openhead", CONTROLS)
    np.testing.assert_allclose(
        fit.expression_map.matrix[:50, :50], np.linalg.inv(MIX).T, rtol=0, atol=1e-3
    )
    np.testing.assert_allclose(fit.expression_map.matrix[50:, 50:], np.eye(9), rtol=0, atol=2e-3)


def test_noise_of_the_fit_holds_codes_back(
    openhead: HeadModel, second: HeadModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of the target's expressions are faint and unrelated: their codes must stay small."""
    # Rotations do not matter here and are slow.
    monkeypatch.setattr(shape_fits, "GAUSS_NEWTON_STEPS", 0)
    faint = 0.003 * openhead.shape_basis[:, :, :25]
    poor = replace(
        second, expression_basis=np.concatenate([second.expression_basis[:, :, :25], faint], axis=2)
    )
    fit = fit_shapes(openhead, poor, "")
    free = fit_shapes(openhead, poor, "", ridge=1e-12)
    assert fit.expression_map.fit is not None
    assert free.expression_map.fit is not None
    assert fit.expression_map.fit.residual > 0.3, "mm, and it says so"
    assert (
        0.85 * fit.expression_map.fit.residual
        < free.expression_map.fit.residual
        < fit.expression_map.fit.residual
    )
    assert np.abs(free.expression_map.matrix).max() > 30
    assert np.abs(fit.expression_map.matrix).max() < 3


def test_what_is_no_head_is_refused(openhead: HeadModel, second: HeadModel) -> None:
    fallen = shuffled(without_mouth_parts(second))
    random = np.random.default_rng(0)
    fallen = replace(fallen, template=random.normal(size=fallen.template.shape).astype(np.float32))
    with pytest.raises(
        InputError, match=r"of the target's vertices were found on the source: both must be human"
    ):
        fit_shapes(openhead, fallen, "")


def test_a_head_without_arkit_shapes_cannot_give_them(
    openhead: HeadModel, second: HeadModel
) -> None:
    with pytest.raises(InputError, match="known for openhead, and this head is flame2020.*--codes"):
        fit_shapes(second, openhead, "")
