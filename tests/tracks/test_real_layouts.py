"""Files in the layouts that trackers really write, with synthetic values, and what they become."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from imavatar_deploy.errors import InputError
from imavatar_deploy.retarget.arkit import ARKIT_NAMES
from imavatar_deploy.retarget.openhead_codes import OPENHEAD_NAMES
from imavatar_deploy.runtime.sources import live_link
from imavatar_deploy.tracks import FlameTrack, read_track, unread_names
from imavatar_deploy.tracks.arkit_recordings import ANGLES, rotation_vectors
from imavatar_deploy.tracks.assembly import NO_JAW
from imavatar_deploy.tracks.edit import recorded_at
from imavatar_deploy.tracks.frame_names import frames_of_one, gap_note, group_note
from imavatar_deploy.tracks.track import ASSUMED_FPS_NOTE

from .tracker_files import (
    FRAMES,
    arkit_weights,
    cap4d_arrays,
    deca_code,
    flame_head_tracker_code,
    lam_document,
    live_link_text,
    metrical_frame,
    motion,
    vhap_arrays,
    write_npz,
    write_pickle,
    write_torch,
)

CASES = Path(__file__).parent / "case_files"


def refusal(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        read_track(path)
    return str(caught.value)


def written(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def weights_of(track: FlameTrack, name: str) -> np.ndarray:
    return track.expression[:, OPENHEAD_NAMES.index(name)]


class TestOptionalArrays:
    def test_a_driving_animation_of_cap4d_has_no_shape(self) -> None:
        track = read_track(CASES / "cap4d_animation.npz")
        assert (len(track), track.fps, track.edition, len(track.shape)) == (4, 24.0, NO_JAW, 0)
        assert ASSUMED_FPS_NOTE not in track.notes

    def test_cap4d_without_cameras_turns_the_head_in_place(self, tmp_path: Path) -> None:
        truth = motion()
        kept = ("expr", "rot", "tra", "jaw_rot")
        arrays = {key: value for key, value in cap4d_arrays(truth).items() if key in kept}
        track = read_track(write_npz(tmp_path / "fit.npz", arrays))
        assert (track.cameras, track.edition) == ((), "flame2023")
        np.testing.assert_array_equal(track.pose[:, :3], truth.turn)
        assert any("turns in place" in note for note in track.notes)

    def test_cap4d_names_what_is_left_out(self, tmp_path: Path) -> None:
        path = write_npz(tmp_path / "fit.npz", cap4d_arrays(motion()) | {"albedo": np.ones(3)})
        assert unread_names(path) == ["albedo", "camera_order"]

    @pytest.mark.parametrize("missing", ["shape", "translation", "image_size", "timestep_id"])
    def test_vhap(self, tmp_path: Path, missing: str) -> None:
        arrays = {key: value for key, value in vhap_arrays(motion()).items() if key != missing}
        track = read_track(write_npz(tmp_path / "motion.npz", arrays))
        assert len(track) == FRAMES
        assert bool(track.cameras) == (missing != "translation")

    @pytest.mark.parametrize("missing", ["shape", "eyes", "eyelids"])
    def test_metrical_tracker(self, tmp_path: Path, missing: str) -> None:
        frame = metrical_frame(motion(), 0)
        del frame["flame"][missing]
        track = read_track(write_torch(tmp_path / "1.frame", frame))
        assert track.pose[0, 6:9].any()
        assert track.pose[0, 9:].any() == (missing != "eyes")

    def test_one_object_without_use_does_not_block_a_file(self) -> None:
        expected = read_track(CASES / "code.json")
        for name in ("with_tensor.pkl", "with_tensor.npy"):
            track = read_track(CASES / name)
            assert (len(track), track.edition) == (len(expected), "flame2020")

    def test_an_object_in_place_of_an_array_is_named(self, tmp_path: Path) -> None:
        truth = motion()
        code = deca_code(truth, 0) | {"path": Path("me.mp4"), "device": torch.device("cpu")}
        for write, name in ((write_pickle, "x.pkl"), (write_torch, "x.pt")):
            assert len(read_track(write(tmp_path / name, code))) == 1
            wrong = write(tmp_path / name, code | {"exp": Path("me.mp4")})
            assert "exp of " in refusal(wrong)
        tensor = write_pickle(tmp_path / "x.pkl", code | {"exp": torch.zeros(1, 50)})
        assert "exp of x.pkl is a pickled tensor" in refusal(tensor)
        assert "tensor.cpu().numpy()" in refusal(tensor)

    def test_a_camera_that_is_no_array_is_no_obstacle(self, tmp_path: Path) -> None:
        code = deca_code(motion(), 0) | {"cam": "none"}
        assert len(read_track(write_pickle(tmp_path / "x.pkl", code))) == 1


class TestNames:
    def test_one_of_two_people_is_read(self, tmp_path: Path) -> None:
        """EMOCA's demo names folders by frame and face."""
        truth = motion(6)
        for index, name in enumerate(("1_000", "1_001", "2_000", "2_001", "3_000", "3_001")):
            (tmp_path / f"00000{name}").mkdir()
            for key in ("exp", "pose", "shape"):
                np.save(tmp_path / f"00000{name}" / f"{key}.npy", deca_code(truth, index)[key][0])
        track = read_track(tmp_path)
        np.testing.assert_array_equal(track.expression, truth.expression[::2, :50])
        assert any("numbered as in 000001_000 are read, 3 of 6" in note for note in track.notes)

    def test_gaps_are_seen_beside_a_second_number(self, tmp_path: Path) -> None:
        for index, number in enumerate((1, 2, 5, 6)):
            write_npz(tmp_path / f"{number:06d}_000.npz", deca_code(motion(4), index))
        notes = read_track(tmp_path).notes
        assert any("2 frames are missing, the first after 2" in note for note in notes)
        assert not any("people" in note for note in notes)

    @pytest.mark.parametrize(
        ("names", "kept"),
        [
            (["00000_01", "00000_02", "00000_03", "00001_01", "00001_02", "00001_03"], [0, 3]),
            ([f"clip{clip}_{frame:04d}" for clip in (1, 2) for frame in range(5)], [0, 1, 2, 3, 4]),
            (["000001_000", "000002_001"], [0, 1]),
            (["7_t0.000", "8_t0.033", "9_t0.066"], [0, 1, 2]),
            (["a", "b"], [0, 1]),
            (["1", "1_2"], [0, 1]),
            ([], []),
        ],
    )
    def test_the_frames_of_one(self, names: list[str], kept: list[int]) -> None:
        assert frames_of_one(names) == kept
        assert bool(group_note(names)) == (len(kept) < len(names))

    def test_every_fifth_frame_is_no_gap(self) -> None:
        assert gap_note(["0_1", "5_1", "10_1"]) == []


class TestDictionariesOfFrames:
    @pytest.mark.parametrize("name", ["code.json", "by_frame.pkl", "by_frame.pt"])
    def test_keys_are_in_natural_order(self, name: str) -> None:
        track = read_track(CASES / name)
        assert track.names == ("1", "2", "3", "10")
        assert len(np.unique(track.expression, axis=0)) == 4

    def test_each_frame_has_its_own_values(self) -> None:
        track = read_track(CASES / "code.json")
        stored = json.loads((CASES / "code.json").read_text(encoding="utf-8"))
        for index, key in enumerate(track.names):
            np.testing.assert_allclose(track.expression[index], stored[key]["exp"][0], atol=1e-6)

    def test_gagavatars_eyes_are_read(self, tmp_path: Path) -> None:
        truth = motion()
        frames = {
            f"{index:07d}.jpg": {
                "expcode": truth.expression[index],
                "posecode": np.concatenate([truth.turn[index], truth.jaw[index]]),
                "shapecode": truth.shape,
                "eyecode": truth.eyes[index],
                "transform_matrix": np.eye(4)[:3],
            }
            for index in range(FRAMES)
        }
        track = read_track(write_pickle(tmp_path / "smoothed.pkl", frames))
        np.testing.assert_array_equal(track.pose[:, 9:], truth.eyes)
        np.testing.assert_array_equal(track.pose[:, :3], truth.turn)

    def test_flame_head_tracker_of_both_versions(self, tmp_path: Path) -> None:
        truth = motion()
        new = flame_head_tracker_code(truth, 0)
        old = deca_code(truth, 0) | {"eye_pose": truth.eyes[:1]}
        for index, (code, neck) in enumerate(((new, truth.neck[0]), (old, np.zeros(3)))):
            pose = read_track(write_npz(tmp_path / f"{index}.npz", code)).pose[0]
            np.testing.assert_array_equal(
                pose, [*truth.turn[0], *neck, *truth.jaw[0], *truth.eyes[0]]
            )


class TestFrameRates:
    def test_that_of_the_file_is_used(self) -> None:
        assert read_track(CASES / "cap4d_24.npz").fps == 24

    @pytest.mark.parametrize("name", ["cap4d_images.npz", "code.json"])
    def test_a_rate_that_is_assumed_is_noted(self, name: str) -> None:
        track = read_track(CASES / name)
        assert track.fps == 25
        assert ASSUMED_FPS_NOTE in track.notes
        stated = recorded_at(track, 30.0)
        assert (stated.fps, ASSUMED_FPS_NOTE in stated.notes) == (30.0, False)

    def test_that_of_a_dictionary_is_used(self, tmp_path: Path) -> None:
        code = deca_code(motion(), 0) | {"fps": 29.97}
        assert read_track(write_npz(tmp_path / "x.npz", code)).fps == pytest.approx(29.97)


class TestFlameParams:
    def frames(self, count: int) -> dict[str, Any]:
        frame = {"expression": [0.25] * count, "pose": [0.1] * 15}
        return {"frames": [frame, frame]}

    def test_longer_codes_are_cut_and_noted(self, tmp_path: Path) -> None:
        track = read_track(written(tmp_path / "flame_params.json", self.frames(100)))
        assert track.expression.shape == (2, 50)
        assert any("expressions 51 to 100 are cut: 71%" in note for note in track.notes)
        assert ASSUMED_FPS_NOTE in track.notes

    def test_shorter_codes_are_padded(self, tmp_path: Path) -> None:
        track = read_track(written(tmp_path / "flame_params.json", self.frames(10)))
        assert track.expression[0].tolist() == [0.25] * 10 + [0.0] * 40

    def test_cameras_of_a_dataset_are_no_motion(self, tmp_path: Path) -> None:
        frame = {"file_path": "images/0_01.png", "transform_matrix": np.eye(4).tolist()}
        path = written(tmp_path / "transforms.json", {"camera_angle_x": 0.3, "frames": [frame]})
        assert "holds the cameras of a dataset's pictures and no motion" in refusal(path)
        assert "flame_param/" in refusal(path)


class TestLiveLinkFace:
    def test_a_take_plays_at_its_timecodes(self) -> None:
        track = read_track(CASES / "take.csv")
        assert (track.fps, track.edition, len(track)) == (60.0, "openhead", 20)
        assert track.pose[-1, 6] > track.pose[0, 6] >= 0, "jawOpen rises"

    def test_numbers_are_read_back(self, tmp_path: Path) -> None:
        weights, angles = arkit_weights(5), np.zeros((5, 9))
        track = read_track(written(tmp_path / "t.csv", live_link_text(weights, angles, first=58)))
        for name in ("eyeBlinkLeft", "mouthSmileRight", "cheekPuff"):
            np.testing.assert_allclose(
                weights_of(track, name), weights[:, ARKIT_NAMES.index(name)], atol=1e-6
            )
        assert any("tongueOut" in note for note in track.notes)

    def test_rotations_are_those_of_the_stream(self) -> None:
        angles = np.random.default_rng(2).uniform(-0.6, 0.6, (40, 9))
        turns = rotation_vectors(angles)
        for row, vectors in zip(angles, turns, strict=True):
            for part in range(3):
                expected = live_link._turn(*row[3 * part : 3 * part + 3])
                np.testing.assert_allclose(vectors[part], expected, atol=1e-6)

    def test_head_and_eyes_turn(self, tmp_path: Path) -> None:
        angles = np.zeros((3, 9))
        angles[:, ANGLES.index("headyaw")] = -0.3
        angles[:, ANGLES.index("lefteyepitch")] = 0.2
        track = read_track(written(tmp_path / "t.csv", live_link_text(np.zeros((3, 52)), angles)))
        np.testing.assert_allclose(track.pose[:, 1], 0.3, atol=1e-6)
        np.testing.assert_allclose(track.pose[:, 9], 0.2, atol=1e-6)

    def test_a_table_without_angles_plays_too(self, tmp_path: Path) -> None:
        lines = live_link_text(arkit_weights(3), np.zeros((3, 9))).splitlines()
        short = "\n".join(",".join(line.split(",")[:54]) for line in lines)
        assert not read_track(written(tmp_path / "t.csv", short)).pose[:, :6].any()

    def test_frames_without_a_face_are_interpolated(self, tmp_path: Path) -> None:
        lines = live_link_text(np.linspace(0, 0.5, 6)[:, None] * np.ones(52), np.zeros((6, 9)))
        rows = lines.splitlines()
        rows[3] = rows[3].split(",")[0] + ",0"
        track = read_track(written(tmp_path / "t.csv", "\n".join(rows)))
        np.testing.assert_allclose(
            weights_of(track, "browInnerUp"), np.linspace(0, 0.5, 6), atol=1e-6
        )
        assert any("1 frames are missing or without a face" in note for note in track.notes)

    def test_a_table_of_two_distant_takes_is_refused(self, tmp_path: Path) -> None:
        rows = live_link_text(arkit_weights(3), np.zeros((3, 9))).splitlines()
        rows[3] = rows[3].replace("10:00:00:02", "99999999:00:00:00")
        assert "are they of several takes" in refusal(written(tmp_path / "t.csv", "\n".join(rows)))

    def test_another_table_is_refused(self, tmp_path: Path) -> None:
        message = refusal(written(tmp_path / "t.csv", "frame,jaw\n1,0.2\n"))
        assert "has no column" in message
        assert message.count("t.csv") == 1


class TestArkitJson:
    @pytest.mark.parametrize(("fps", "rate"), [(30.0, 30.0), (None, 25.0)])
    def test_lams_document(self, tmp_path: Path, fps: float | None, rate: float) -> None:
        weights = arkit_weights(4)
        track = read_track(written(tmp_path / "bsData.json", lam_document(weights, fps)))
        assert (track.fps, track.edition, len(track)) == (rate, "openhead", 4)
        assert (ASSUMED_FPS_NOTE in track.notes) == (fps is None)
        place = ARKIT_NAMES.index("mouthPucker")
        np.testing.assert_allclose(weights_of(track, "mouthPucker"), weights[:, place], atol=1e-6)

    def test_audio2faces_matrix(self, tmp_path: Path) -> None:
        weights = arkit_weights(3)
        document = {
            "exportFps": 60.0,
            "facsNames": [name[0].upper() + name[1:] for name in ARKIT_NAMES],
            "weightMat": weights.tolist(),
        }
        track = read_track(written(tmp_path / "a2f.json", document))
        assert track.fps == 60
        place = ARKIT_NAMES.index("jawForward")
        np.testing.assert_allclose(weights_of(track, "jawForward"), weights[:, place], atol=1e-6)

    def test_weights_by_name(self, tmp_path: Path) -> None:
        frames = [
            {"time": index / 50, "blendShapes": dict.fromkeys(ARKIT_NAMES[:20], 0.1 * index)}
            for index in range(4)
        ]
        track = read_track(written(tmp_path / "x.json", frames))
        assert track.fps == pytest.approx(50)
        np.testing.assert_allclose(weights_of(track, ARKIT_NAMES[0]), [0, 0.1, 0.2, 0.3], atol=1e-6)

    @pytest.mark.parametrize(
        ("row", "words"),
        [
            ([0.5] * 51, "frame 1 must have 52 weights"),
            (["x"] * 52, "weights of frame 1 must be numbers"),
            ([math.nan] * 52, "weights of frame 1 must be finite"),
        ],
    )
    def test_a_wrong_frame_is_named(self, tmp_path: Path, row: list[Any], words: str) -> None:
        document = lam_document(arkit_weights(2))
        document["frames"][1]["weights"] = row
        assert words in refusal(written(tmp_path / "x.json", document))


class TestRefusals:
    def test_a_file_says_what_it_holds(self, tmp_path: Path) -> None:
        path = write_npz(tmp_path / "x.npz", {"vertices": np.ones(3), "faces": np.ones(3)})
        assert refusal(path).endswith("it holds faces, vertices")
        path = written(tmp_path / "x.json", [{"bbox": 1}, {"bbox": 2}])
        assert refusal(path).endswith("it holds a list of 2, each with bbox")

    def test_a_folder_too_high_names_the_right_one(self, tmp_path: Path) -> None:
        (tmp_path / "videos" / "images").mkdir(parents=True)
        write_npz(tmp_path / "videos" / "1.npz", deca_code(motion(), 0))
        message = refusal(tmp_path)
        assert f"its folder videos holds a track: give {tmp_path / 'videos'}" in message

    def test_a_folder_without_a_track_says_what_it_holds(self, tmp_path: Path) -> None:
        (tmp_path / "image").mkdir()
        (tmp_path / "1.png").write_bytes(b"")
        assert refusal(tmp_path).endswith("it holds the folders image and files of type .png")

    @pytest.mark.parametrize(
        "document",
        [
            {"head_model": [[["x"] * 5000]], "frames": [{"expression": [0], "pose": [0] * 15}]},
            {"fps": "y" * 5000, "frames": [{"expression": [0], "pose": [0] * 15}]},
            {"frames": [{"expression": "z" * 5000, "pose": [0] * 15}]},
            {"frames": [{"expression": ["z" * 5000], "pose": [0] * 15}]},
            {"k" * 5000: 1},
            [{"k" * 5000: 1}],
        ],
    )
    def test_no_message_repeats_a_long_file(self, tmp_path: Path, document: Any) -> None:
        message = refusal(written(tmp_path / "x.json", document))
        assert max(message.count(letter * 3) * 3 for letter in "yzk") <= 300
        assert message.count("x', 'x") < 60
        assert len(message) < 1500

    def test_a_shape_of_truth_values_is_refused(self, tmp_path: Path) -> None:
        np.save(tmp_path / "x.npy", np.zeros(3))
        content = (tmp_path / "x.npy").read_bytes()
        assert b"'shape': (3,)" in content
        (tmp_path / "x.npy").write_bytes(content.replace(b"(3,), }   ", b"(True,), }"))
        with pytest.raises(InputError, match=r"cannot be read \(its shape is \(True,\)\)"):
            read_track(tmp_path / "x.npy")
