"""Irises located in the image: on drawn eyes whose irises are known, and on a photograph."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from imavatar_deploy.errors import InputError
from imavatar_deploy.head_fit.landmark_groups import LEFT_EYE, LEFT_IRIS, RIGHT_EYE, RIGHT_IRIS
from imavatar_deploy.vision import FaceTracker, refine_irises

from .pictures import Image, photograph

SIZE = 200
RADIUS = 8.0
SKIN, SCLERA, IRIS, PUPIL = (205, 160, 140), (225, 220, 215), (105, 75, 50), (15, 12, 10)
FINE = 8
"""Pixels of the drawing in one of the picture."""


def eye_rim(centre: tuple[float, float], opening: float) -> np.ndarray:
    """The rim of the lids in the order of `RIGHT_EYE`: the lower lid, then the upper one back."""
    along = np.linspace(-1.0, 1.0, 9)
    lower = np.stack([18.0 * along, opening * (1 - along**2)], axis=1)
    upper = np.stack([18.0 * along, -opening * (1 - along**2)], axis=1)
    return np.concatenate([lower, upper[-2:0:-1]]) + centre


def drawn_eyes(
    shift: tuple[float, float], *, opening: float = 7.5, pupil: bool = True, iris: object = IRIS
) -> tuple[Image, np.ndarray]:
    """Two eyes, and landmarks whose irises are at the middle of each eye, not where it is drawn."""
    landmarks = np.zeros((478, 3), dtype=np.float32)
    fine = np.full((SIZE * FINE, SIZE * FINE, 3), SKIN, dtype=np.uint8)
    for centre, lids, ring in (
        ((60.0, 100.0), RIGHT_EYE, RIGHT_IRIS),
        ((140.0, 100.0), LEFT_EYE, LEFT_IRIS),
    ):
        rim = eye_rim(centre, opening)
        landmarks[list(lids), :2] = (
            rim if lids is RIGHT_EYE else rim[[8, *range(7, -1, -1), *range(15, 8, -1)]]
        )
        landmarks[list(ring), :2] = np.array(centre) + RADIUS * np.array(
            [(0, 0), (1, 0), (0, -1), (-1, 0), (0, 1)]
        )
        eye = np.full_like(fine, SCLERA)
        place = tuple(round((c + s + 0.5) * FINE) for c, s in zip(centre, shift, strict=True))
        cv2.circle(eye, place, int(RADIUS * FINE), iris, -1)
        if pupil:
            cv2.circle(eye, place, int(0.42 * RADIUS * FINE), PUPIL, -1)
        opened = np.zeros(fine.shape[:2], np.uint8)
        cv2.fillPoly(opened, [np.round((rim + 0.5) * FINE).astype(np.int32)], 1)
        fine = np.where(opened[..., None] > 0, eye, fine)
    image = cv2.resize(fine, (SIZE, SIZE), interpolation=cv2.INTER_AREA)
    return image, landmarks


@pytest.mark.parametrize("shift", [(0.0, 0.0), (2.5, 0.0), (-3.0, 1.0), (5.0, -1.5)])
def test_irises_move_to_where_they_are_drawn(shift: tuple[float, float]) -> None:
    image, landmarks = drawn_eyes(shift)
    refined = refine_irises(image, landmarks)
    for ring in (RIGHT_IRIS, LEFT_IRIS):
        moved = (refined - landmarks)[ring[0], :2]
        np.testing.assert_allclose(moved, shift, atol=0.3)
    others = np.setdiff1d(np.arange(478), [RIGHT_IRIS[0], LEFT_IRIS[0]])
    np.testing.assert_array_equal(refined[others], landmarks[others])
    np.testing.assert_array_equal(refined[:, 2], landmarks[:, 2])


def test_an_iris_without_a_visible_pupil_keeps_its_height() -> None:
    image, landmarks = drawn_eyes((3.0, 1.5), pupil=False)
    moved = (refine_irises(image, landmarks) - landmarks)[[RIGHT_IRIS[0], LEFT_IRIS[0]], :2]
    np.testing.assert_allclose(moved, [(3.0, 0.0)] * 2, atol=0.4)


@pytest.mark.parametrize("case", ["closed", "no iris", "small"])
def test_irises_stay_where_the_image_shows_none(case: str) -> None:
    image, landmarks = drawn_eyes(
        (3.0, 0.0),
        opening=1.0 if case == "closed" else 7.5,
        pupil=case != "no iris",
        iris=SCLERA if case == "no iris" else IRIS,
    )
    if case == "small":
        image, landmarks = cv2.resize(image, (60, 60)), 0.3 * landmarks
    np.testing.assert_array_equal(refine_irises(image, landmarks), landmarks)


def test_a_catch_light_moves_an_iris_little() -> None:
    image, landmarks = drawn_eyes((2.0, 0.0))
    lit = image.copy()
    for centre in (60, 140):
        cv2.circle(lit, (centre + 2 - 3, 100 - 3), 2, (255, 255, 255), -1)
    moved = (refine_irises(lit, landmarks) - landmarks)[[RIGHT_IRIS[0], LEFT_IRIS[0]], :2]
    np.testing.assert_allclose(moved, [(2.0, 0.0)] * 2, atol=0.7)


def test_an_eye_at_the_border_of_the_image_is_read() -> None:
    image, landmarks = drawn_eyes((2.0, 0.0))
    cut = np.ascontiguousarray(image[:, 50:])
    shifted = landmarks - np.array([50, 0, 0], dtype=np.float32)
    moved = (refine_irises(cut, shifted) - shifted)[LEFT_IRIS[0], :2]
    np.testing.assert_allclose(moved, (2.0, 0.0), atol=0.3)
    assert np.isfinite(refine_irises(cut, shifted - 300)).all()


def test_an_image_of_another_kind_is_refused() -> None:
    with pytest.raises(InputError, match="uint8"):
        refine_irises(np.zeros((8, 8, 3), dtype=np.float32), np.zeros((478, 3), dtype=np.float32))


def test_the_tracker_refines_irises_and_keeps_the_blendshapes() -> None:
    pytest.importorskip("onnxruntime", reason="needs pip install '.[cpu]'")
    image = photograph()
    faces = []
    for irises in (False, True):
        with FaceTracker(blendshapes=True, irises=irises) as tracker:
            faces.append(tracker.track(image))
    plain, refined = faces
    assert plain is not None
    assert refined is not None
    np.testing.assert_array_equal(refined.landmarks, refine_irises(image, plain.landmarks))
    np.testing.assert_array_equal(refined.blendshapes, plain.blendshapes)
    # Read off the photograph, enlarged four times.
    for index, place in {468: (203, 101), 473: (247, 103)}.items():
        assert np.linalg.norm(refined.landmarks[index, :2] - place) < 2.5
