"""Moving the rotation of cameras into the head: projected vertices do not change."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from imavatar_deploy.conventions import UNITS_PER_METRE
from imavatar_deploy.errors import UsageError
from imavatar_deploy.head_model import HeadModel
from imavatar_deploy.rendering.posing import pose_plainly
from imavatar_deploy.tracks import FlameTrack, read_track
from imavatar_deploy.tracks.edit import root_joints, with_head_turned

from ..tiny_avatar import tiny_avatar
from .tracker_files import PIXELS, motion, write_motion

STILL = sorted(set(PIXELS) - {"vhap"})


@pytest.mark.parametrize("name", STILL)
def test_images_do_not_change_and_the_head_rotates(tmp_path: Path, name: str) -> None:
    truth = motion()
    head = HeadModel.load("openhead")
    suffix = ".npz" if name == "cap4d" else ".frame"
    track = read_track(write_motion(name, tmp_path / "files", truth, suffix))
    turned = with_head_turned(track, root_joints(track, head))
    subject = head.for_subject(track.shape)
    for index in range(len(track)):
        projections = []
        for each in (track, turned):
            vertices = (
                UNITS_PER_METRE * subject.vertices(each.expression[index], each.pose[index])[::300]
            )
            pixels = (
                np.column_stack([vertices, np.ones(len(vertices))])
                @ each.cameras[index].image_matrix(512, 512).T
            )
            projections.append(pixels[:, :2] / pixels[:, 2:])
        np.testing.assert_allclose(projections[1], projections[0], atol=0.01)
        np.testing.assert_allclose(
            turned.cameras[index].world_to_camera[:, :3], np.eye(3), atol=1e-6
        )
    angles = np.linalg.norm(turned.pose[:, :3], axis=1)
    # The angles differ by the rotation of the camera itself.
    np.testing.assert_allclose(angles, np.linalg.norm(truth.turn, axis=1), atol=0.12)
    assert not track.pose[:, :3].any()
    assert any("--turn-head" in note for note in track.notes)
    assert not any("--turn-head" in note for note in turned.notes)


def test_images_of_a_baked_avatar_do_not_change(tmp_path: Path) -> None:
    """The avatar has no ghost bone, which does not rotate with the head."""
    avatar = tiny_avatar(bones=5)
    track = read_track(write_motion("metrical-tracker", tmp_path / "files", motion(), ".frame"))
    turned = with_head_turned(track, np.stack([avatar.joints(row)[0] for row in track.expression]))
    for index in range(len(track)):
        projections = []
        for each in (track, turned):
            posed = pose_plainly(avatar, each.expression[index], each.pose[index]).vertices
            pixels = (
                np.column_stack([posed, np.ones(len(posed))])
                @ each.cameras[index].image_matrix(512, 512).T
            )
            projections.append(pixels[:, :2] / pixels[:, 2:])
        np.testing.assert_allclose(projections[1], projections[0], atol=0.02)


def test_a_track_without_cameras_is_refused() -> None:
    with pytest.raises(UsageError, match="no cameras whose rotation"):
        with_head_turned(
            FlameTrack(np.zeros((2, 50)), np.zeros((2, 15))), np.zeros((2, 3), np.float32)
        )
