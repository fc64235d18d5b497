"""Masks, labels and the files that a user brings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from onnx import TensorProto, helper, save

from imavatar_deploy.dataset.labels import LABELS
from imavatar_deploy.errors import InputError
from imavatar_deploy.head_fit import landmark_points
from imavatar_deploy.head_model import HeadModel
from imavatar_deploy.training.tracking.clips import folder_names
from imavatar_deploy.training.tracking.head_regions import (
    CLOTHES,
    FACE,
    LEFT_EAR,
    NECK,
    RIGHT_EAR,
    SCALP,
    vertex_regions,
)
from imavatar_deploy.training.tracking.labels import polygons
from imavatar_deploy.training.tracking.landmark_files import read_landmarks
from imavatar_deploy.training.tracking.masks import (
    MatteNetwork,
    ParserNetwork,
    PictureFolder,
    clean_mask,
)
from imavatar_deploy.training.tracking.write_dataset import publish


@pytest.fixture(scope="module")
def face(openhead: HeadModel) -> np.ndarray:
    """Landmarks of a frontal face in a picture of 200 pixels."""
    points = landmark_points(openhead).positions(openhead.template, openhead.faces)
    flat = np.stack([100 + 600 * points[:, 0], 90 - 600 * points[:, 1], -600 * points[:, 2]], 1)
    return flat.astype(np.float32)


def person(*extra: tuple[int, int, int]) -> np.ndarray:
    """A mask of a head and shoulders, and further discs (column, row, radius)."""
    mask = np.zeros((200, 200), dtype=np.uint8)
    cv2.ellipse(mask, (100, 95), (45, 65), 0, 0, 360, 255, -1)
    cv2.rectangle(mask, (30, 165), (170, 199), 255, -1)
    cv2.rectangle(mask, (80, 150), (120, 170), 255, -1)
    for column, row, radius in extra:
        cv2.circle(mask, (column, row), radius, 255, -1)
    return mask


def test_a_lamp_beside_the_person_is_removed(face: np.ndarray) -> None:
    soft, keep = clean_mask(person((20, 30, 12)), face)
    assert not keep[:60, :40].any()
    assert soft[30, 20] == 0
    assert keep[95, 100]
    assert keep[190, 40]


def test_holes_are_filled_and_the_face_is_kept(face: np.ndarray) -> None:
    broken = person()
    cv2.circle(broken, (100, 45), 6, 0, -1)
    cv2.rectangle(broken, (85, 90), (115, 120), 0, -1)
    _, keep = clean_mask(broken, face)
    assert keep[45, 100]
    assert keep[90:120, 85:115].all()


def test_the_border_is_soft_where_the_network_is_unsure(face: np.ndarray) -> None:
    soft, keep = clean_mask(cv2.GaussianBlur(person(), (0, 0), 2.0), face)
    between = (soft > 20) & (soft < 235)
    assert between.any()
    assert (soft[keep] > 127).all()
    assert (soft[~keep] <= 127).all()


def test_polygons_are_on_their_own_side(face: np.ndarray) -> None:
    """The person's left is at the picture's right."""
    for count in (face, face[np.arange(68)]):
        parts = polygons(count)
        assert set(parts) <= set(LABELS)
    parts = polygons(face)
    assert parts["left eye"][:, 0].mean() > 100 > parts["right eye"][:, 0].mean()
    assert parts["upper lip"][:, 1].mean() < parts["lower lip"][:, 1].mean()
    assert parts["left brow"][:, 1].max() < parts["left eye"][:, 1].mean()


def test_regions_of_the_head_model(openhead: HeadModel) -> None:
    regions = vertex_regions(openhead)
    x, y, z = openhead.template.T
    assert set(regions) == {FACE, SCALP, LEFT_EAR, RIGHT_EAR, NECK, CLOTHES}
    assert x[regions == LEFT_EAR].min() > 0 > x[regions == RIGHT_EAR].max()
    assert y[regions == SCALP].mean() > y[regions == FACE].mean() > y[regions == NECK].mean()
    assert y[regions == NECK].mean() > y[regions == CLOTHES].mean()
    assert regions[z.argmax()] == FACE  # the tip of the nose


# Networks of the user


def network(path: Path, channels: int, *, sigmoid: bool = False, inputs: int = 1) -> Path:
    """A graph of one convolution from RGB to some channels."""
    shape = [1, 3, 32, 32]
    weights = np.zeros((channels, 3, 1, 1), dtype=np.float32)
    weights[:, 0] = np.linspace(-1, 1, channels)[:, None, None] if channels > 1 else 4.0
    nodes = [helper.make_node("Conv", ["x0", "w"], ["scores"])]
    if sigmoid:
        nodes.append(helper.make_node("Sigmoid", ["scores"], ["out"]))
    names = [
        helper.make_tensor_value_info(f"x{k}", TensorProto.FLOAT, shape) for k in range(inputs)
    ]
    out = "out" if sigmoid else "scores"
    graph = helper.make_graph(
        nodes,
        "g",
        names,
        [helper.make_tensor_value_info(out, TensorProto.FLOAT, [1, channels, 32, 32])],
        [helper.make_tensor("w", TensorProto.FLOAT, weights.shape, weights.ravel())],
    )
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def test_a_matte_of_the_user(tmp_path: Path) -> None:
    image = np.zeros((64, 64, 3), dtype=np.uint8)
    image[:, 32:] = 255
    mask = MatteNetwork(network(tmp_path / "m.onnx", 1, sigmoid=True)).mask(image)
    assert mask.shape == (64, 64)
    assert mask[:, 40:].min() > 0.9
    assert mask[:, :24].max() < 0.1


def test_a_parser_of_the_user(tmp_path: Path) -> None:
    image = np.zeros((64, 64, 3), dtype=np.uint8)
    image[:, 32:] = 255
    labels = ParserNetwork(network(tmp_path / "p.onnx", 19)).labels(image)
    assert (labels[:, 40:] == 18).all()
    assert (labels[:, :24] == 0).all()


@pytest.mark.parametrize(
    ("make", "channels", "sentence"),
    [
        (lambda path: ParserNetwork(path).labels(np.zeros((64, 64, 3), np.uint8)), 5, "5 classes"),
        (lambda path: MatteNetwork(path).mask(np.full((64, 64, 3), 255, np.uint8)), 1, "mask in 0"),
    ],
)
def test_networks_that_do_not_fit(tmp_path: Path, make: Any, channels: int, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        make(network(tmp_path / "n.onnx", channels))


def test_a_recurrent_network_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="must take one image"):
        MatteNetwork(network(tmp_path / "n.onnx", 1, inputs=2))


# Files of the user


@pytest.mark.parametrize("count", [68, 478])
@pytest.mark.parametrize("suffix", ["npy", "npz", "json"])
def test_landmark_files(tmp_path: Path, suffix: str, count: int) -> None:
    values = np.random.default_rng(0).uniform(0, 100, (4, count, 2)).astype(np.float32)
    path = tmp_path / f"points.{suffix}"
    if suffix == "npy":
        np.save(path, values)
    elif suffix == "npz":
        np.savez(path, landmarks=values)
    else:
        rows: list[Any] = values.tolist()
        rows[2] = None
        path.write_text(json.dumps({"landmarks": rows}))
        values[2] = np.nan
    np.testing.assert_allclose(read_landmarks(path), values, rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.json", b"{}"),
        ("a.json", b"[1, 2"),
        ("a.json", b"[[[1, 2]]]"),
        ("a.json", b'[[["x", 2]], null]'),
        ("a.json", b'[{"a": 1}]'),
        ("a.json", b"[" * 100_000),
        ("a.json", b"[" + b",".join([b"[" + b",".join([b"[1e300,2]"] * 68) + b"]"]) + b"]"),
        ("a.npy", b"\x93NUMPY"),
        ("a.npz", b"PK"),
        ("a.txt", b"1 2 3"),
    ],
)
def test_landmark_files_that_cannot_be_read(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_landmarks(path)
    assert "\n" not in str(caught.value)


def test_a_folder_of_pictures(tmp_path: Path) -> None:
    for index in range(12):
        cv2.imwrite(str(tmp_path / f"{index + 1}.png"), np.full((30, 40), index, np.uint8))
    folder = PictureFolder(tmp_path, 12)
    assert (folder.read(10, 80, 60) == 10).all()
    assert folder.read(0, 80, 60).shape == (60, 80)
    with pytest.raises(InputError, match="whole frame"):
        folder.read(0, 60, 60)
    with pytest.raises(InputError, match="holds 12 .png and the video has 13"):
        PictureFolder(tmp_path, 13)


# The dataset


def test_names_of_the_folders_of_several_videos() -> None:
    assert folder_names([Path("a.mp4")]) == [""]
    videos = [Path("x/my clip.mp4"), Path("y/my clip.mov"), Path("b.mp4")]
    assert folder_names(videos) == ["my_clip", "my_clip_2", "b"]


def entries(folder: Path, text: str) -> None:
    (folder / "image").mkdir(parents=True)
    (folder / "image" / "1.png").write_text(text)
    (folder / "flame_params.json").write_text(text)


@pytest.mark.parametrize("interrupted", [False, True])
def test_a_finished_dataset_replaces_the_earlier_one(tmp_path: Path, interrupted: bool) -> None:
    out = tmp_path / "out"
    work = out / ".tracking"
    entries(out, "old")
    (out / "consent.txt").write_text("mine")
    entries(work / "dataset", "new")
    if interrupted:  # as if the move had stopped half way
        (work / "old").mkdir()
        (out / "flame_params.json").rename(work / "old" / "flame_params.json")
        (out / "image").rename(work / "old" / "image")
        (work / "dataset" / "image").rename(out / "image")
    publish(work / "dataset", out, work)
    assert (out / "image" / "1.png").read_text() == "new"
    assert (out / "flame_params.json").read_text() == "new"
    assert (out / "consent.txt").read_text() == "mine"
    assert not work.exists()
