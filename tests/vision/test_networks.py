"""The parts of the tracker: detector, regions, blendshapes, person mask."""

from __future__ import annotations

import numpy as np
import pytest

from imavatar_deploy.errors import InputError
from imavatar_deploy.retarget import ARKIT_NAMES
from imavatar_deploy.vision import (
    BlendshapeNetwork,
    FaceDetector,
    FaceRegion,
    FaceTracker,
    LandmarkNetwork,
    PersonMask,
)
from imavatar_deploy.vision.blendshape_network import INPUT_LANDMARKS, OUTPUT_NAMES
from imavatar_deploy.vision.detector import anchors, tile_sides, tile_starts
from imavatar_deploy.vision.images import crop_region

from .pictures import Image, photograph, rendered

pytest.importorskip("onnxruntime", reason="needs pip install '.[cpu]'")


def test_detector_finds_the_face_once() -> None:
    (face,) = FaceDetector().detect(photograph())
    assert face.score > 0.8
    right_eye, left_eye, nose, mouth = face.keypoints[:4]
    for point, place in (
        (right_eye, (203, 101)),
        (left_eye, (247, 103)),
        (nose, (224, 125)),
        (mouth, (224, 142)),
    ):
        assert np.linalg.norm(point - place) < 8
    assert (face.box[:2] < right_eye).all()
    assert (face.box[2:] > mouth).all()


def test_anchors_are_those_of_the_network() -> None:
    centres = anchors()
    assert centres.shape == (896, 2)
    assert centres[:3].tolist() == [[4, 4], [4, 4], [12, 4]]
    assert centres[512].tolist() == [8, 8]
    assert centres[-1].tolist() == [120, 120]


@pytest.mark.parametrize("length", [192, 300, 540, 1080, 1920, 3840])
def test_tiles_cover_an_axis_and_overlap(length: int) -> None:
    for side in tile_sides(length, length):
        starts = tile_starts(length, side)
        assert starts[0] == 0
        assert starts[-1] == length - side
        assert all(0 < step <= 0.67 * side for step in np.diff(starts))


def test_crop_of_an_aligned_square_is_the_pixels_themselves() -> None:
    image = np.random.default_rng(0).integers(0, 256, (40, 60, 3)).astype(np.uint8)
    region = FaceRegion(np.array([10 + 15.5, 4 + 15.5]), 32.0, 0.0)
    assert (crop_region(image, region, 32) == image[4:36, 10:42]).all()
    turned = FaceRegion(region.centre, 32.0, np.pi / 2)
    assert (crop_region(image, turned, 32) == np.rot90(image[4:36, 10:42])).all()
    # Three times as large: the mean of blocks of 3 x 3 pixels.
    blocks = image[:33, 3:36].reshape(11, 3, 11, 3, 3).mean(axis=(1, 3))
    third = crop_region(image, FaceRegion(np.array([3 + 16.0, 16.0]), 33.0, 0.0), 11)
    assert np.abs(third - blocks).max() <= 1


def test_crop_outside_the_image_is_black() -> None:
    image = np.full((50, 50, 3), 255, np.uint8)
    for side in (16.0, 640.0):
        far = FaceRegion(np.array([5000.0, -800.0]), side, 0.3)
        assert not crop_region(image, far, 16).any()


def test_region_turns_and_scales_with_its_landmarks() -> None:
    points = np.random.default_rng(0).random((478, 2)) * 100
    points[33], points[263] = (30, 50), (70, 50)
    region = FaceRegion.of_landmarks(points)
    angle, scale, shift = 0.7, 1.7, np.array([40, -9])
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    moved = FaceRegion.of_landmarks(scale * points @ turn.T + shift)
    assert moved.angle == pytest.approx(angle)
    assert moved.side == pytest.approx(scale * region.side)
    assert moved.centre == pytest.approx(scale * turn @ region.centre + shift)
    corners = moved.corners()
    assert corners.mean(axis=0) == pytest.approx(moved.centre)
    assert np.linalg.norm(corners[1] - corners[0]) == pytest.approx(moved.side)


def test_landmark_network_sees_no_face_in_the_sky() -> None:
    region = FaceRegion(np.array([60.0, 60.0]), 100.0, 0.0)
    landmarks, presence = LandmarkNetwork().read(photograph(), region)
    assert landmarks.shape == (478, 3)
    assert presence < 0.01


def test_landmarks_of_mirrored_images_are_mirrored() -> None:
    """Were coordinates counted from pixel centres of the crop, all would move half a pixel of it.

    The network itself is not symmetric, hence the mean over images.
    """
    network, moves = LandmarkNetwork(), []
    images = [photograph(), *(rendered(turn=turn) for turn in np.linspace(-0.5, 0.5, 11))]
    for image in images:
        last = image.shape[1] - 1
        with FaceTracker() as tracker:
            face = tracker.track(image)
        assert face is not None
        region = face.region
        centre = np.array([last - region.centre[0], region.centre[1]])
        opposite = FaceRegion(centre, region.side, -region.angle)
        mirrored, _ = network.read(np.ascontiguousarray(image[:, ::-1]), opposite)
        move = face.landmarks[:, 0].mean() - (last - mirrored[:, 0]).mean()
        moves.append(move / 2 * 256 / region.side)
    assert abs(np.mean(moves)) < 0.25, moves


def test_blendshapes_read_the_landmarks_of_mediapipe() -> None:
    assert len(INPUT_LANDMARKS) == len(set(INPUT_LANDMARKS)) == 146
    assert sum(INPUT_LANDMARKS) == 33_248
    assert len(OUTPUT_NAMES) == 52
    assert (OUTPUT_NAMES[9], OUTPUT_NAMES[25], OUTPUT_NAMES[51]) == (
        "eyeBlinkLeft",
        "jawOpen",
        "noseSneerRight",
    )


def coefficients(image: Image) -> dict[str, float]:
    with FaceTracker(blendshapes=True) as tracker:
        face = tracker.track(image)
    assert face is not None
    assert face.blendshapes is not None
    assert face.blendshapes.shape == (52,)
    return dict(zip(ARKIT_NAMES, face.blendshapes.tolist(), strict=True))


def test_smile_of_the_photograph() -> None:
    values = coefficients(photograph())
    assert values["mouthSmileLeft"] > 0.7
    assert values["mouthSmileRight"] > 0.7
    assert values["eyeBlinkLeft"] < 0.3
    assert values["tongueOut"] == 0


@pytest.mark.parametrize(
    ("shapes", "name"),
    [
        (("eyeBlinkLeft",), "eyeBlinkLeft"),
        (("eyeBlinkRight",), "eyeBlinkRight"),
        (("mouthSmileLeft", "mouthSmileRight"), "mouthSmileLeft"),
        ((), "jawOpen"),
    ],
)
def test_blendshapes_grow_with_the_rendered_shape(shapes: tuple[str, ...], name: str) -> None:
    amounts = (0.0, 0.5, 1.0)
    series = [
        coefficients(rendered(dict.fromkeys(shapes, amount), jaw=0.0 if shapes else 0.3 * amount))
        for amount in amounts
    ]
    values = [step[name] for step in series]
    assert values == sorted(values), values
    assert values[2] > values[0] + 0.2, values
    if name.startswith("eyeBlink"):
        other = name.replace("Left", "?").replace("Right", "Left").replace("?", "Right")
        assert series[2][other] - series[0][other] < 0.5 * (values[2] - values[0])


def test_blendshapes_do_not_depend_on_place_and_size() -> None:
    network, points = BlendshapeNetwork(), np.random.default_rng(0).random((478, 3)) * 100
    moved = points * 3 + 50
    assert network.coefficients(moved) == pytest.approx(network.coefficients(points), abs=1e-4)


@pytest.mark.parametrize(
    ("points", "problem"),
    [
        (np.zeros((468, 3)), r"landmarks must have shape \[478, D\], got \[468, 3\]"),
        (np.zeros((478, 1)), "landmarks must have a column and a row"),
        (np.full((478, 2), np.nan), "landmarks must be finite"),
    ],
)
def test_wrong_landmarks_are_one_sentence(points: np.ndarray, problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        BlendshapeNetwork().coefficients(points)


def test_mask_covers_the_head_and_not_the_sky() -> None:
    mask = PersonMask().mask(photograph())
    assert mask.shape == (512, 512)
    assert mask.dtype == np.float32
    assert mask.min() >= 0
    assert mask.max() <= 1
    assert mask[50:180, 190:265].mean() > 0.95, "the head"
    assert mask[:100, :60].mean() < 0.1, "the background"


def test_mask_is_that_of_the_rendered_head() -> None:
    image = rendered(turn=0.3)
    truth = (image != 255).any(axis=2)
    mask = PersonMask().mask(image) > 0.5
    assert (truth & mask).sum() / (truth | mask).sum() > 0.9


def test_mask_of_one_pixel() -> None:
    assert PersonMask().mask(np.zeros((1, 1, 3), np.uint8)).shape == (1, 1)
