"""The file of the format web: the order of its mesh, its codings, and damaged files."""

from __future__ import annotations

import json
import struct
from dataclasses import replace

import numpy as np
import pytest

from imavatar_deploy.avatar import Avatar
from imavatar_deploy.avatar_io import open_avatar
from imavatar_deploy.camera import Camera
from imavatar_deploy.errors import InputError, UsageError
from imavatar_deploy.exporters.fidelity.reference_poses import reference_poses
from imavatar_deploy.rendering.posing import pose_plainly
from imavatar_deploy.student import Student
from imavatar_deploy.viewer.avatar_file import (
    MILLIMETRE,
    PREFIX,
    STEPS,
    STUDENT_WEIGHTS,
    WebFile,
    decode,
    encode,
)
from imavatar_deploy.viewer.coding import (
    EarlierNeighbours,
    face_codes,
    faces_of_codes,
    from_planes,
    from_zigzag,
    mesh_order,
    to_planes,
    zigzag,
)

from ..shapes import closed_sphere
from ..students import random_student
from ..tiny_avatar import tiny_avatar, tiny_student

CAMERA = Camera.looking_at([0, 0, 0])


@pytest.fixture(scope="module")
def tiny() -> tuple[Avatar, Student, WebFile]:
    avatar = tiny_avatar()
    student = tiny_student(avatar)
    return avatar, student, encode(avatar, student, CAMERA, {"note": "kept"})


def cache_misses(faces: np.ndarray, size: int = 16) -> int:
    cache: list[int] = []
    misses = 0
    for vertex in faces.ravel().tolist():
        if vertex not in cache:
            misses += 1
            cache = [*cache, vertex][-size:]
    return misses


def test_ordered_faces_are_the_same_and_use_the_cache_better() -> None:
    _, faces = closed_sphere(24, 32)
    shuffled = np.random.default_rng(1).permutation(faces)
    ordered, vertices = mesh_order(shuffled)
    rows = {tuple(row) for row in vertices[ordered].tolist()}
    assert rows == {tuple(row) for row in faces.tolist()}
    assert len(ordered) == len(faces)
    assert cache_misses(ordered) < 0.8 * len(faces) < 0.5 * cache_misses(shuffled)


def test_vertices_are_in_the_order_of_their_first_use_and_unused_ones_are_left_out() -> None:
    faces = np.array([[5, 2, 7], [7, 2, 1]], dtype=np.int32)
    ordered, vertices = mesh_order(faces)
    assert sorted(vertices.tolist()) == [1, 2, 5, 7]
    first = [ordered.ravel().tolist().index(vertex) for vertex in range(4)]
    assert first == sorted(first)


def test_codings_are_inverted_exactly() -> None:
    rng = np.random.default_rng(2)
    faces, vertices = mesh_order(closed_sphere(8, 9)[1])
    assert np.array_equal(faces_of_codes(face_codes(faces)), faces)
    values = rng.integers(-70_000, 70_000, size=(5, len(vertices)))
    neighbours = EarlierNeighbours.of(faces, len(vertices))
    differences = neighbours.differences(values)
    assert np.array_equal(neighbours.values(differences), values)
    codes = zigzag(differences)
    data, planes = to_planes(codes)
    assert planes == 3
    assert len(data) == planes * codes.size
    decoded = from_planes(np.frombuffer(data, np.uint8), planes).reshape(codes.shape)
    assert np.array_equal(from_zigzag(decoded), differences)


def test_a_smooth_function_has_small_differences() -> None:
    points, faces = closed_sphere(24, 32)
    ordered, vertices = mesh_order(faces)
    values = np.rint(1000 * points[vertices].T).astype(np.int64)
    differences = EarlierNeighbours.of(ordered, len(vertices)).differences(values)
    assert np.abs(differences).mean() < 0.25 * np.abs(values).mean()


def test_arrays_come_back_within_half_a_step(tiny: tuple[Avatar, Student, WebFile]) -> None:
    avatar, student, file = tiny
    read = decode(file.data)
    for name in ("rest", "expression_basis", "pose_basis", "normal_detail"):
        difference = getattr(read.avatar, name) - getattr(avatar, name)[..., file.vertices]
        assert np.abs(difference).max() <= 0.501 * STEPS[name], name
    weights = read.avatar.skin_weights - avatar.skin_weights[:, file.vertices]
    assert np.abs(weights[1:]).max() <= 0.501 * STEPS["skin_weights"]
    assert np.allclose(read.avatar.skin_weights.sum(axis=0), 1, atol=1e-6)
    features = read.student.features - student.features[file.vertices]
    assert np.abs(features).max() <= 0.501 * STEPS["features"]
    for name in STUDENT_WEIGHTS:
        assert np.array_equal(getattr(read.student, name), getattr(student, name))
    for name in ("joints_rest", "joint_basis"):
        assert np.array_equal(getattr(read.avatar, name), getattr(avatar, name))
    assert read.avatar.expression_names == avatar.expression_names
    assert np.allclose(read.camera.world_to_camera, CAMERA.world_to_camera)
    assert read.header["note"] == "kept"


def test_equal_input_gives_equal_bytes(tiny: tuple[Avatar, Student, WebFile]) -> None:
    avatar, student, file = tiny
    assert encode(avatar, student, CAMERA, {"note": "kept"}).data == file.data
    header = struct.unpack_from("<I", file.data, 8)[0]
    compressed = sum(part["compressed"] for part in file.sizes.values())
    assert len(file.data) == PREFIX.size + header + compressed


@pytest.mark.slow
def test_the_sample_is_small_and_exact_to_a_fifth_of_a_millimetre() -> None:
    folder = open_avatar("sample")
    student = random_student(folder.avatar.vertex_count, 16)
    file = encode(folder.avatar, student, CAMERA)
    others = sum(part["compressed"] for name, part in file.sizes.items() if name != "features")
    assert others < 550_000
    stored = decode(file.data).avatar
    poses = reference_poses("openhead")
    for expression, pose in zip(poses.expression, poses.pose, strict=True):
        true = pose_plainly(folder.avatar, expression, pose).vertices[file.vertices]
        difference = pose_plainly(stored, expression, pose).vertices - true
        assert np.linalg.norm(difference, axis=1).max() < 0.2 * MILLIMETRE


def test_a_wide_student_is_refused() -> None:
    avatar = tiny_avatar()
    with pytest.raises(UsageError, match=r"16 or 32, got 64: give --student 32"):
        encode(avatar, random_student(avatar.vertex_count, 64), CAMERA)


def test_a_student_of_32_units_and_five_bones() -> None:
    avatar = tiny_avatar(bones=5)
    student = random_student(avatar.vertex_count, 32)
    read = decode(encode(avatar, student, CAMERA).data)
    assert read.student.width == 32
    assert read.avatar.bone_count == 5


def test_damaged_files_are_refused_in_one_sentence(tiny: tuple[Avatar, Student, WebFile]) -> None:
    data = tiny[2].data
    with pytest.raises(InputError, match="not an avatar file"):
        decode(b"GIF89a" + data)
    with pytest.raises(InputError, match="not an avatar file"):
        decode(b"")
    with pytest.raises(InputError, match="has version 9, this program reads 1; export"):
        decode(data[:4] + struct.pack("<I", 9) + data[8:])
    for end in (20, 400, len(data) // 2, len(data) - 1):
        with pytest.raises(InputError, match="damaged or incomplete"):
            decode(data[:end])


def with_header(data: bytes, **changes: object) -> bytes:
    magic, version, length = PREFIX.unpack_from(data)
    header = json.loads(data[PREFIX.size : PREFIX.size + length]) | changes
    text = json.dumps(header).encode()
    return PREFIX.pack(magic, version, len(text)) + text + data[PREFIX.size + length :]


@pytest.mark.parametrize(
    "changes",
    [
        {"vertices": 1 << 40},
        {"vertices": -1},
        {"vertices": "many"},
        {"faces": 3},
        {"payload_bytes": 1 << 60},
        {"payload_bytes": 100},
        {"arrays": [{"name": "faces"}]},
        {"arrays": []},
        {"arrays": 7},
        {"head_model": "nobody"},
        {"expression_names": ["a"]},
        {"camera": None},
        {"width": 48},
    ],
)
def test_hostile_headers_are_refused(
    tiny: tuple[Avatar, Student, WebFile], changes: dict[str, object]
) -> None:
    with pytest.raises(InputError):
        decode(with_header(tiny[2].data, **changes))


def test_flipped_bytes_are_refused_or_harmless(tiny: tuple[Avatar, Student, WebFile]) -> None:
    data = tiny[2].data
    rng = np.random.default_rng(3)
    refused = 0
    for position in rng.integers(0, len(data), 60).tolist():
        damaged = bytearray(data)
        damaged[position] ^= 1 << int(rng.integers(8))
        try:
            decode(bytes(damaged))
        except InputError:
            refused += 1
    assert refused > 40, "the checksum of the stream covers almost all bytes"


def test_faces_that_skip_vertices_keep_their_shape(tiny: tuple[Avatar, Student, WebFile]) -> None:
    avatar, student, _ = tiny
    fewer = replace(avatar, faces=avatar.faces[: len(avatar.faces) // 2])
    file = encode(fewer, student, CAMERA)
    read = decode(file.data).avatar
    assert read.vertex_count == len(file.vertices) < avatar.vertex_count
    corners = read.rest[:, read.faces].transpose(1, 2, 0).mean(axis=1)
    expected = avatar.rest[:, fewer.faces].transpose(1, 2, 0).mean(axis=1)
    order = [np.lexsort(np.round(rows, 3).T) for rows in (corners, expected)]
    assert np.abs(corners[order[0]] - expected[order[1]]).max() < 0.01
