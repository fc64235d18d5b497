"""Motion of the shoulders and outlines, from drawn pictures whose motion is known."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import pytest

from imavatar_deploy.errors import InputError
from imavatar_deploy.head_fit.evidence import HEAD, NECK, SHOULDERS, TorsoMotion
from imavatar_deploy.training.tracking.torso import TorsoTracker
from imavatar_deploy.vision.outline import (
    CHIN,
    FOREHEAD,
    SIDES,
    OutlineCollector,
    label_points,
    outline,
)

SIDE = 320
FINE = 4
"""Samples across a pixel of the drawn pictures."""
HEAD_CENTRE = (160.0, 110.0)
SHIRT = np.array([(10, 320), (60, 250), (130, 222), (190, 222), (260, 250), (310, 320)], float)
NECK_CORNERS = np.array([(135, 150), (185, 150), (185, 240), (135, 240)], float)
COLLAR = np.array([160.0, 235.0])


@dataclass(frozen=True)
class Picture:
    """A drawn person: head, neck and shoulders."""

    image: np.ndarray
    mask: np.ndarray
    landmarks: np.ndarray
    shirt: np.ndarray
    """Corners of the shirt, pixels."""


def draw(
    shift: tuple[float, float] = (0.0, 0.0),
    rotation: float = 0.0,
    *,
    turn: float = 0.0,
    texture: np.ndarray | None = None,
    background: np.ndarray | None = None,
    light: float = 1.0,
) -> Picture:
    """Draw a person whose shoulders have moved about `COLLAR` and whose head has moved by `turn`.

    Args:
        texture: `[SIDE, SIDE]` pattern of the shirt, 0..1.
    """
    cos, sin = np.cos(rotation), np.sin(rotation)
    turned = np.array([[cos, -sin], [sin, cos]])
    offset = COLLAR + shift - turned @ COLLAR
    shirt = SHIRT @ turned.T + offset
    below = np.vstack([shirt, shirt[-1] + [0, 300], shirt[0] + [0, 300]])
    head = np.add(HEAD_CENTRE, shift) + np.array([turn, 0.0])
    canvas = np.zeros((SIDE * FINE, SIDE * FINE), np.uint8)
    cv2.fillPoly(canvas, [_fine(NECK_CORNERS + shift + [turn / 2, 0.0])], 1)
    cv2.fillPoly(canvas, [_fine(below)], 2)
    centre = tuple(_fine(head).tolist())
    cv2.ellipse(canvas, centre, (55 * FINE, 70 * FINE), 0, 0, 360, 3, -1)
    shares = [_coarse(canvas == part) for part in range(4)]
    cloth = np.full((SIDE, SIDE), 0.35, np.float32)
    if texture is not None:
        matrix = np.column_stack([turned, offset])
        cloth = cv2.warpAffine(
            texture, matrix, (SIDE, SIDE), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT
        )
    scene = np.full((SIDE, SIDE), 0.9, np.float32) if background is None else background
    grey = shares[0] * scene + light * (0.7 * shares[1] + cloth * shares[2] + 0.6 * shares[3])
    image = np.clip(np.repeat(grey[..., None], 3, axis=2) * 255, 0, 255).astype(np.uint8)
    return Picture(image, 1.0 - shares[0], _landmarks(head), shirt)


def _fine(points: np.ndarray) -> np.ndarray:
    """Pixels of the picture to those of the canvas: pixel centres are at integers in both."""
    return np.round((np.asarray(points) + 0.5) * FINE - 0.5).astype(np.int32)


def _coarse(canvas: np.ndarray) -> np.ndarray:
    blocks = canvas.reshape(SIDE, FINE, SIDE, FINE)
    return blocks.mean(axis=(1, 3)).astype(np.float32)


def _landmarks(head: np.ndarray) -> np.ndarray:
    """478 landmarks that cover the lower part of the drawn head, its chin and borders exact."""
    angle = np.linspace(0, 2 * np.pi, 478)
    points = np.stack([40 * np.cos(angle), 50 * np.sin(angle), 0 * angle], axis=1)
    points[CHIN, :2] = (0, 68)
    points[FOREHEAD, :2] = (0, -45)
    points[SIDES[0], :2] = (-54, 0)
    points[SIDES[1], :2] = (54, 0)
    points[172, :2] = (-42, 42)
    points[397, :2] = (42, 42)
    points[:, :2] += head
    return points.astype(np.float32)


def noise(seed: int, smooth: float) -> np.ndarray:
    values = np.random.default_rng(seed).random((SIDE, SIDE)).astype(np.float32)
    values = cv2.GaussianBlur(values, (0, 0), smooth)
    return (values - values.min()) / np.ptp(values)


def shoulder_error(motion: TorsoMotion, pictures: list[Picture]) -> float:
    """Return the root mean square error of the corners of the shirt, pixels."""
    predicted = motion.moved(pictures[motion.reference].shirt.astype(np.float64))
    actual = np.stack([picture.shirt for picture in pictures])
    return float(np.sqrt(((predicted - actual) ** 2).sum(axis=2).mean()))


def measure(pictures: list[Picture]) -> TorsoMotion:
    tracker = TorsoTracker()
    for picture in pictures:
        tracker.add(picture.image, picture.mask, picture.landmarks)
    return tracker.finish()


MOTIONS = [(6 * np.sin(0.5 * t), 3 * np.sin(0.8 * t), 0.03 * np.sin(0.4 * t)) for t in range(12)]


def test_shoulders_without_texture_stand_still_while_the_head_moves():
    pictures = [draw(turn=18 * np.sin(0.6 * t)) for t in range(12)]
    motion = measure(pictures)
    assert motion.weight.min() > 0.5
    assert shoulder_error(motion, pictures) < 0.2


@pytest.mark.parametrize(("textured", "bound"), [(False, 0.4), (True, 0.3)])
def test_shoulders_are_followed_while_the_head_moves(textured, bound):
    texture = 0.2 + 0.5 * noise(3, 2.0) if textured else None
    pictures = [
        draw((x, y), angle, turn=15 * np.cos(0.6 * t), texture=texture)
        for t, (x, y, angle) in enumerate(MOTIONS)
    ]
    motion = measure(pictures)
    assert motion.weight.min() > 0.4
    assert shoulder_error(motion, pictures) < bound


def test_a_background_that_stands_still_is_no_part_of_the_motion():
    scene = noise(5, 3.0)
    pictures = [
        draw((x, y), angle, texture=0.2 + 0.5 * noise(3, 2.0), background=scene)
        for x, y, angle in MOTIONS
    ]
    assert shoulder_error(measure(pictures), pictures) < 0.3


def test_a_change_of_the_light_is_no_motion():
    pictures = [draw(texture=0.2 + 0.5 * noise(3, 2.0), light=1.0 - 0.02 * t) for t in range(12)]
    assert shoulder_error(measure(pictures), pictures) < 0.1


def test_errors_do_not_add_up_when_the_shoulders_leave_and_return():
    away = [(x, 0.0, 0.0) for x in (*range(0, 90, 6), *range(90, -1, -6))]
    pictures = [draw((x, y), angle, texture=0.2 + 0.5 * noise(3, 2.0)) for x, y, angle in away]
    motion = measure(pictures)
    assert np.abs(motion.shift[-1]).max() < 0.1
    assert shoulder_error(motion, pictures) < 0.5


def test_a_picture_without_shoulders_has_no_weight():
    pictures = [draw() for _ in range(3)]
    tracker = TorsoTracker()
    nothing = np.zeros((SIDE, SIDE), np.float32)
    tracker.add(pictures[0].image, pictures[0].mask, None)
    tracker.add(pictures[1].image, pictures[1].mask, pictures[1].landmarks)
    tracker.add(np.full((SIDE, SIDE, 3), 255, np.uint8), nothing, None)
    tracker.add(pictures[2].image, pictures[2].mask, pictures[2].landmarks)
    motion = tracker.finish()
    assert motion.reference == 1
    assert motion.weight[0] == 0.0
    assert motion.weight[2] == 0.0
    assert motion.weight[3] > 0.5
    assert np.abs(motion.shift).max() < 0.1


def test_shoulders_that_jump_while_they_are_hidden_are_measured_again():
    texture = 0.2 + 0.5 * noise(3, 2.0)
    pictures = [draw((x, 0.0), texture=texture) for x in (0.0, 30.0, 60.0)]
    other = np.random.default_rng(1).integers(0, 255, (SIDE, SIDE, 3)).astype(np.uint8)
    tracker = TorsoTracker()
    for picture in pictures:
        tracker.add(picture.image, picture.mask, picture.landmarks)
    for _ in range(3):
        tracker.add(other, np.ones((SIDE, SIDE), np.float32), None)
    tracker.add(pictures[0].image, pictures[0].mask, pictures[0].landmarks)
    motion = tracker.finish()
    assert motion.weight[3:6].tolist() == [0.0, 0.0, 0.0]
    assert motion.weight[6] > 0.5
    assert np.abs(motion.shift[6]).max() < 0.1


def test_a_video_without_a_face_has_a_motion_of_weight_zero():
    tracker = TorsoTracker()
    tracker.add(draw().image, draw().mask, None)
    assert tracker.finish().weight.tolist() == [0.0]
    with pytest.raises(InputError, match="at least one picture"):
        TorsoTracker().finish()


def test_large_pictures_give_motions_in_their_own_pixels():
    pictures = [draw((x, y), angle, texture=0.2 + 0.5 * noise(3, 2.0)) for x, y, angle in MOTIONS]
    tracker = TorsoTracker()
    for picture in pictures:
        tracker.add(
            cv2.resize(picture.image, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC),
            cv2.resize(picture.mask, None, fx=2, fy=2, interpolation=cv2.INTER_LINEAR),
            (picture.landmarks + 0.5) * 2 - 0.5,
        )
    motion = tracker.finish()
    predicted = motion.moved((pictures[0].shirt + 0.5) * 2 - 0.5)
    actual = np.stack([(picture.shirt + 0.5) * 2 - 0.5 for picture in pictures])
    assert np.sqrt(((predicted - actual) ** 2).sum(axis=2).mean()) < 0.6


# Outline


def test_the_outline_of_a_disc_is_exact_and_its_normals_point_outwards():
    rows, columns = np.indices((200, 200))
    distance = np.hypot(columns - 99.3, rows - 101.6)
    hard = (distance < 60.0).astype(np.float32)
    soft = np.clip((62.0 - distance) / 4.0, 0.0, 1.0).astype(np.float32)
    for mask, tolerance in ((hard, 0.25), (soft, 0.05)):
        points, normals, _ = outline(mask)
        outward = points - [99.3, 101.6]
        radius = np.linalg.norm(outward, axis=1)
        assert 150 < len(points) <= 200
        assert np.sqrt(((radius - 60.0) ** 2).mean()) < tolerance
        assert ((normals * outward).sum(axis=1) / radius).min() > 0.97


def test_points_on_the_border_of_the_picture_are_left_out():
    picture = draw()
    points, _, _ = outline(picture.mask)
    assert points[:, 1].max() < SIDE - 3
    assert points.min() >= 2.0


def test_points_are_labelled_by_part():
    picture = draw()
    points, _, _ = outline(picture.mask)
    labels = label_points(points, picture.mask, picture.landmarks[:468, :2])
    assert (labels[points[:, 1] < 140] == HEAD).all()
    wide = np.abs(points[:, 0] - 160) > 70
    assert (labels[wide & (points[:, 1] > 240)] == SHOULDERS).all()
    throat = (points[:, 1] > 185) & (points[:, 1] < 215)
    assert throat.any()
    assert (labels[throat] == NECK).all()


def test_hair_that_hides_the_neck_is_no_neck():
    picture = draw()
    mask = picture.mask.copy()
    mask[120:250, 90:230] = 1.0
    points, _, _ = outline(mask)
    labels = label_points(points, mask, picture.landmarks[:468, :2])
    assert NECK not in labels
    assert (labels[points[:, 1] < 170] == HEAD).all()


def test_frames_with_an_implausible_mask_have_no_weight():
    picture = draw()
    collector = OutlineCollector()
    for mask in (picture.mask, picture.mask, np.ones_like(picture.mask), 0 * picture.mask):
        collector.add(mask, picture.landmarks)
    collector.add(picture.mask, None)
    silhouettes = collector.finish()
    assert silhouettes.weight[0] > 0.9
    assert silhouettes.weight[2:].tolist() == [0.0, 0.0, 0.0]
    assert len(silhouettes.contours[4]) == 0


def test_other_people_are_no_part_of_the_outline():
    picture = draw()
    crowded = picture.mask.copy()
    crowded[10:40, 5:40] = 1.0
    collector = OutlineCollector()
    collector.add(picture.mask, picture.landmarks)
    collector.add(crowded, picture.landmarks)
    alone, beside = collector.finish().contours
    assert np.abs(alone - beside).max() < 0.05
