"""Synthetic videos: complete, exact, reproducible, of people whose tracks omit their variation."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.spatial import KDTree

from imavatar_deploy.camera import Camera
from imavatar_deploy.conventions import UNITS_PER_METRE
from imavatar_deploy.errors import InputError, UsageError
from imavatar_deploy.head_model import HeadModel
from imavatar_deploy.tracks import read_track
from imavatar_deploy.training.synthetic import SETS, SUBJECTS, load_ground_truth, synthesise
from imavatar_deploy.training.synthetic.build_subject import build_subject
from imavatar_deploy.training.synthetic.labels import LABELS

SIZE = 64
FRAMES = 3
KINDS = ("image", "mask", "semantic", "normal", "depth")


def make(out: Path, subject: str = "male2", **more: object) -> Path:
    settings = {"which": "test", "frames": FRAMES, "size": SIZE, "subdivisions": 0} | more
    synthesise(subject, out, **settings)  # type: ignore[arg-type]
    return out


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("synthetic") / "male2")


def picture(folder: Path, kind: str, number: int) -> np.ndarray:
    return np.asarray(cv2.imread(str(folder / kind / f"{number}.png"), cv2.IMREAD_UNCHANGED))


def digests(folder: Path) -> dict[str, str]:
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }


def test_every_frame_has_every_picture(folder: Path) -> None:
    for kind in KINDS:
        assert sorted(path.name for path in (folder / kind).iterdir()) == [
            "1.png",
            "2.png",
            "3.png",
        ]
    assert picture(folder, "image", 1).shape == (SIZE, SIZE, 3)
    assert picture(folder, "normal", 1).dtype == picture(folder, "depth", 1).dtype == np.uint16
    about = json.loads((folder / "synthetic.json").read_text())
    assert (about["subject"], about["set"], about["frames"], about["licence"]) == (
        "male2",
        "test",
        3,
        "CC0-1.0",
    )


def test_the_pictures_agree_about_the_mask(folder: Path) -> None:
    for number in range(1, FRAMES + 1):
        mask = picture(folder, "mask", number)
        assert set(np.unique(mask)) == {0, 255}
        assert 0.2 < (mask > 0).mean() < 0.7
        np.testing.assert_array_equal(picture(folder, "semantic", number) > 0, mask > 0)
        np.testing.assert_array_equal(picture(folder, "depth", number) > 0, mask > 0)
        assert (picture(folder, "image", number)[mask == 0] == 255).all()
        assert (picture(folder, "normal", number)[mask == 0] == 0).all()


def test_the_label_ids_are_the_published_ones_and_all_there(folder: Path) -> None:
    present = set(
        np.unique([picture(folder, "semantic", number) for number in range(1, FRAMES + 1)]).tolist()
    )
    names = (
        "background",
        "skin",
        "glasses",
        "nose",
        "mouth",
        "upper lip",
        "lower lip",
        "neck",
        "cloth",
        "hair",
    )
    assert {LABELS[name] for name in names} <= present <= set(LABELS.values())
    assert (
        LABELS["glasses"],
        LABELS["mouth"],
        LABELS["neck"],
        LABELS["cloth"],
        LABELS["hair"],
    ) == (6, 11, 14, 16, 17)


def test_depth_and_normals_are_of_the_stored_surface(folder: Path) -> None:
    track = read_track(folder / "flame_params.json")
    truth = load_ground_truth(folder)
    frame = track.frame(1)
    assert frame.camera is not None
    surface = truth.pose_vertices(frame.expression, frame.pose)
    depth = picture(folder, "depth", 2) / 8192.0
    rows, columns = np.nonzero(depth)
    points = unprojected(rows, columns, depth[rows, columns], frame.camera)
    distance, _ = KDTree(surface[truth.faces].mean(axis=1)).query(points)
    assert np.median(distance) < 0.01  # half the size of a face
    normal = picture(folder, "normal", 2)[rows, columns][:, ::-1] / 65535.0 * 2.0 - 1.0
    np.testing.assert_allclose(np.linalg.norm(normal, axis=1), 1.0, atol=1e-3)
    toward = frame.camera.centre - points
    assert np.mean((normal * toward).sum(axis=1) > 0.0) > 0.98


def unprojected(
    rows: np.ndarray, columns: np.ndarray, depth: np.ndarray, camera: Camera
) -> np.ndarray:
    """Model-space points of pixels, for a camera that is not turned."""
    fx, fy, cx, cy = camera.intrinsics * SIZE
    x = (columns - cx) / fx * depth
    y = -(rows - cy) / fy * depth
    return np.stack([x, y, -depth], axis=1) + camera.centre


def test_the_track_is_what_a_tracker_would_write(folder: Path) -> None:
    document = json.loads((folder / "flame_params.json").read_text())
    assert document["head_model"] == "openhead"
    assert len(document["shape_params"]) == 100
    assert not np.any(document["shape_params"][30:])
    for frame in document["frames"]:
        keypoints = np.array(frame["flame_keypoints"])
        box = np.array(frame["bbox"])
        assert keypoints.shape == (70, 2)
        np.testing.assert_allclose(box, [*keypoints.min(axis=0), *keypoints.max(axis=0)])
        assert np.abs(keypoints).max() < 1.0


def test_keypoints_lie_on_what_they_are_called(folder: Path) -> None:
    label = picture(folder, "semantic", 1)
    keypoints = np.array(
        json.loads((folder / "flame_params.json").read_text())["frames"][0]["flame_keypoints"]
    )
    column, row = np.clip(((keypoints + 1.0) * SIZE / 2.0).round().astype(int), 0, SIZE - 1).T
    assert label[row[30], column[30]] == LABELS["nose"]
    lips = label[row[48:68], column[48:68]]
    assert (
        np.isin(lips, [LABELS[name] for name in ("upper lip", "lower lip", "mouth")]).mean() > 0.5
    )


def test_same_arguments_same_bytes_and_another_seed_moves_otherwise(
    folder: Path, tmp_path: Path
) -> None:
    build_subject.cache_clear()
    assert digests(make(tmp_path / "again")) == digests(folder)
    other = make(tmp_path / "other", seed=1)
    assert (picture(other, "image", 2) != picture(folder, "image", 2)).any()


def test_a_set_is_replaced_only_when_asked(folder: Path) -> None:
    with pytest.raises(UsageError, match="already there"):
        make(folder)
    make(folder, overwrite=True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"subject": "femle1"}, "did you mean 'female1'"),
        ({"which": "trian"}, "did you mean 'train'"),
        ({"frames": 0}, "frames must be at least 1"),
        ({"size": 8}, "size must be between"),
        ({"seed": -1}, "seed must not be negative"),
    ],
)
def test_what_cannot_be_made_is_refused(
    change: dict[str, object], message: str, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=message):
        make(tmp_path / "set", **change)  # type: ignore[arg-type]
    assert not (tmp_path / "set").exists()


def test_ground_truth_that_is_not_there_or_broken(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"has no subject\.npz"):
        load_ground_truth(tmp_path)
    (tmp_path / "subject.npz").write_bytes((folder / "subject.npz").read_bytes()[:1000])
    with pytest.raises(InputError, match="make the set again"):
        load_ground_truth(tmp_path)


@pytest.mark.parametrize("name", SUBJECTS)
def test_a_person_is_more_than_the_track_says(name: str, openhead: HeadModel) -> None:
    person = SUBJECTS[name]
    subject = build_subject(name, 0)
    tracked = openhead.for_subject(person.shape)
    own = subject.surface.rest[: len(openhead.template)] - UNITS_PER_METRE * tracked.template
    face = (
        (openhead.template[:, 2] > 0.07)
        & (openhead.template[:, 1] < 0.0)
        & (openhead.template[:, 1] > -0.09)
    )
    uneven = np.linalg.norm(own[face], axis=1)
    assert 0.001 < np.median(uneven) < 0.02
    names = tracked.expression_names
    gains = {}
    for expression in ("mouthSmileLeft", "mouthSmileRight", "mouthPucker", "eyeBlinkLeft"):
        column = names.index(expression)
        theirs = subject.surface.expression[: len(openhead.template), :, column]
        norm = np.linalg.norm(UNITS_PER_METRE * tracked.expression_basis[:, :, column])
        gains[expression] = float(np.linalg.norm(theirs) / norm)
    assert all(0.5 < gain < 1.6 for gain in gains.values())
    assert gains["mouthSmileLeft"] != pytest.approx(gains["mouthSmileRight"], abs=0.005)


def test_the_people_differ() -> None:
    rest = {name: build_subject(name, 0).surface for name in SUBJECTS}
    colours = {tuple(np.round(subject.colour[:4588].mean(axis=0), 2)) for subject in rest.values()}
    assert len(colours) == len(SUBJECTS)
    assert len({len(subject.rest) for subject in rest.values()}) == len(SUBJECTS)


@pytest.mark.parametrize("frames", [1, 2, 5])
@pytest.mark.parametrize("name", SETS)
def test_a_set_has_any_number_of_frames(name: str, frames: int, openhead: HeadModel) -> None:
    expression, pose, fps = SETS[name].motion(frames, 0, openhead.expression_names)
    assert (len(expression), len(pose)) == (frames, frames)
    assert 0.0 < fps < 25.0


@pytest.mark.parametrize("name", SETS)
def test_motions_are_within_bounds(name: str, openhead: HeadModel) -> None:
    row = SETS[name]
    expression, pose, fps = row.motion(row.frames, 0, openhead.expression_names)
    assert expression.shape == (row.frames, 50)
    assert 0.0 <= expression.min() <= expression.max() <= 1.0
    assert np.abs(pose[:, 4]).max() < np.radians(40)
    assert pose[:, 6].min() >= 0.0
    assert fps > 0.0
    assert np.abs(np.diff(expression, axis=0)).max() < (1.0 if name == "test" else 0.6)


def test_the_test_set_shows_what_training_does_not(openhead: HeadModel) -> None:
    names = openhead.expression_names
    train, test = (SETS[name].motion(SETS[name].frames, 0, names) for name in ("train", "test"))
    for expression in ("mouthSmileLeft", "mouthPucker", "browInnerUp", "browDownRight"):
        column = names.index(expression)
        assert test[0][:, column].max() > train[0][:, column].max() + 0.25, expression
    assert test[1][:, 6].max() > train[1][:, 6].max() + 0.1
    assert np.abs(train[1][:, 4]).max() > np.radians(28)


def test_the_larger_set_begins_with_the_smaller(openhead: HeadModel) -> None:
    names = openhead.expression_names
    train, plus = (SETS[name].motion(SETS[name].frames, 0, names) for name in ("train", "train+"))
    assert len(plus[0]) == 1.3 * len(train[0])
    np.testing.assert_array_equal(plus[0][:150], train[0])
    np.testing.assert_array_equal(plus[1][:150], train[1])
    assert plus[2] == train[2] == 25.0
    assert plus[0][150:].sum(axis=1).mean() > 1.3 * train[0].sum(axis=1).mean()
