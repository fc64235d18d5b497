"""Refinement on images: raster buffers, the fit, poses, and an export that takes its result."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result

from imavatar_deploy.avatar_io import AvatarFolder, open_avatar
from imavatar_deploy.dataset import FaceDataset
from imavatar_deploy.errors import EditionMismatchError, InputError, UsageError
from imavatar_deploy.exporters.atlas import surface_at
from imavatar_deploy.exporters.commands.export import export
from imavatar_deploy.exporters.fidelity.implicit_reference import mouth_centre
from imavatar_deploy.exporters.formats.gltf.reader import GlbPlayback
from imavatar_deploy.exporters.refine.fit_colours import ColourFit
from imavatar_deploy.exporters.refine.frame_poses import FramePoses
from imavatar_deploy.exporters.refine.held_out import (
    held_out_rows,
    measure,
    split_frames,
    within_memory,
)
from imavatar_deploy.exporters.refine.options import RefineSettings
from imavatar_deploy.exporters.refine.raster_frames import (
    FaceRegions,
    RasterFrames,
    Shots,
    resized_matrix,
)
from imavatar_deploy.exporters.refine.refinable_student import RefinableStudent
from imavatar_deploy.exporters.refine.refine import (
    RefineResult,
    open_pictures,
    refine_student,
)
from imavatar_deploy.exporters.refine.sheet import SIDE as SHEET_SIDE
from imavatar_deploy.exporters.sequences.motion import open_motion
from imavatar_deploy.exporters.sequences.neutral_colours import (
    neutral_texture,
    with_neutral_colours,
)
from imavatar_deploy.exporters.sequences.posing import FramePoser
from imavatar_deploy.exporters.settings import ExportSettings
from imavatar_deploy.exporters.skeleton import rest_normals
from imavatar_deploy.exporters.srgb import linear
from imavatar_deploy.exporters.student.colours import student_colours_at
from imavatar_deploy.fidelity import read_fidelity, verify_avatar
from imavatar_deploy.fidelity.draw import compare_held_out
from imavatar_deploy.fidelity.held_out_frames import (
    HELD_OUT_FILE,
    REFINED_SHEET,
    read_held_out,
)
from imavatar_deploy.fidelity.stage_metrics import TOLERANCES_FILE, read_tolerances
from imavatar_deploy.kinematics import condition_of
from imavatar_deploy.marking import SOURCE_TYPE
from imavatar_deploy.model import ImplicitAvatar
from imavatar_deploy.progress import silent
from imavatar_deploy.student import Student, colours_plainly, read_student, write_student
from imavatar_deploy.viewer.avatar_file import decode

from .conftest import Exported
from .pictured import FRAMES, SIZE, write_pictures

STEPS = 120


def call(*arguments: Any) -> Result:
    return CliRunner().invoke(export, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def folder(exported: Exported) -> AvatarFolder:
    return open_avatar(exported.folder)


@pytest.fixture(scope="module")
def pictures(folder: AvatarFolder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video of the small avatar in other colours."""
    out = tmp_path_factory.mktemp("pictures") / "video"
    write_pictures(folder, out)
    return out


@pytest.fixture(scope="module")
def shots(pictures: Path) -> Shots:
    return Shots.load(FaceDataset.open(pictures, size=SIZE), range(FRAMES), silent)


@pytest.fixture(scope="module")
def regions(avatar: ImplicitAvatar, folder: AvatarFolder) -> FaceRegions:
    return FaceRegions(mouth_centre(avatar.head), 0.2, folder.avatar.joints_rest[3:], 0.1)


@pytest.fixture(scope="module")
def frames(folder: AvatarFolder, shots: Shots, regions: FaceRegions) -> RasterFrames:
    return RasterFrames.draw(folder.avatar, shots, regions, silent)


def refine(
    avatar: ImplicitAvatar, folder: AvatarFolder, pictures: Path, **options: Any
) -> RefineResult:
    settings = RefineSettings((pictures,), **{"steps": STEPS, "poses": False, **options})
    return refine_student(avatar, folder.avatar, read_student(folder), settings, stored_size=48)


@pytest.fixture(scope="module")
def refined(avatar: ImplicitAvatar, folder: AvatarFolder, pictures: Path) -> RefineResult:
    return refine(avatar, folder, pictures)


class TestRasterFrames:
    def test_pixels_are_those_of_the_renderer(
        self, folder: AvatarFolder, frames: RasterFrames, shots: Shots
    ) -> None:
        """The student on the buffers gives the picture, before its colours were mixed."""
        student = read_student(folder)
        rows = frames.rows(3)
        batch = frames.batch(rows, np.full(len(rows), 3))
        features = np.einsum("nk,nkh->nh", batch.weights, student.features[batch.corners])
        colours = colours_plainly(student, features, batch.normals.numpy(), frames.condition[3:4])
        mixed = 0.7 * colours[:, [2, 0, 1]] + 0.1
        np.testing.assert_allclose(batch.colours, mixed, atol=0.006)
        torch.testing.assert_close(
            RefinableStudent(student)(
                batch, RefinableStudent(student).constant(torch.from_numpy(frames.condition[3:4]))
            ),
            torch.from_numpy(colours),
            atol=1e-5,
            rtol=0,
        )
        np.testing.assert_array_equal(
            shots.image[3].reshape(-1, 3)[frames.place[rows]], frames.colour[rows]
        )
        assert frames.agreement.min() > 0.99

    def test_neighbours_are_one_pixel_apart(self, frames: RasterFrames) -> None:
        own = np.arange(len(frames.place))
        for neighbour, distance in ((frames.right, 1), (frames.below, SIZE)):
            step = frames.place[neighbour] - frames.place[own]
            assert set(np.unique(step)) == {0, distance}
            assert (step > 0).mean() > 0.9
            frame = np.searchsorted(frames.first, own, side="right")
            assert (frame == np.searchsorted(frames.first, neighbour, side="right")).all()

    def test_sights_are_pixels_inside_the_outline(
        self, folder: AvatarFolder, frames: RasterFrames
    ) -> None:
        count = np.zeros(folder.avatar.vertex_count)
        for t in range(len(frames)):
            rows = frames.rows(t)
            face = np.full((SIZE + 2, SIZE + 2), -1)
            face[1:-1, 1:-1].flat[frames.place[rows]] = frames.face[rows]
            shown = face >= 0
            inner = shown[:-2, 1:-1] & shown[2:, 1:-1] & shown[1:-1, :-2] & shown[1:-1, 2:]
            faces = face[1:-1, 1:-1][inner & shown[1:-1, 1:-1]]
            count[np.unique(frames.faces[faces])] += 1
        shares = frames.sight_shares(len(count))
        np.testing.assert_allclose(shares, count / len(frames), rtol=1e-6)
        assert 0 < np.count_nonzero(shares) < len(count)

    def test_a_reduced_picture_keeps_its_place(
        self, folder: AvatarFolder, pictures: Path, regions: FaceRegions, shots: Shots
    ) -> None:
        """A pixel's centre is at an integer, and resizing keeps the pixels' edges."""
        point = np.array([0.1, 0.2, 0.3, 1.0], dtype=np.float32)
        u = shots.image_matrix[0] @ point
        v = resized_matrix(np.diag([0.5, 0.5, 1]).astype(np.float32) @ shots.image_matrix, 0.5)
        w = v[0] @ point
        np.testing.assert_allclose(w[:2] / w[2], (u[:2] / u[2] + 0.5) / 2 - 0.5, atol=1e-5)
        dataset = FaceDataset.open(pictures, size=SIZE // 2)
        half = Shots.load(dataset, range(FRAMES), silent)
        matrix = FaceDataset.open(pictures, size=SIZE).track.cameras[0]
        displacement = matrix.image_matrix(SIZE // 2, SIZE // 2)[None] - half.image_matrix
        agreement, without, opposite = (
            RasterFrames.draw(
                folder.avatar,
                replace(half, image_matrix=half.image_matrix + factor * displacement),
                regions,
                silent,
            ).agreement.mean()
            for factor in (0, 1, -1)
        )
        assert agreement > max(without, opposite)

    def test_memory_is_bounded(self) -> None:
        rows = within_memory(5000, 512)
        assert len(rows) * 512 * 512 <= 40_000_000
        assert (rows[0], rows[-1]) == (0, 4999)
        assert len(within_memory(100, 256)) == 100

    @pytest.mark.parametrize("count", [150, 442, 5000])
    def test_held_out_frames_are_a_tenth_of_those_in_memory(self, count: int) -> None:
        fitted, held_out = split_frames(count, 512)
        np.testing.assert_array_equal(np.union1d(fitted, held_out), within_memory(count, 512))
        assert not set(fitted.tolist()) & set(held_out.tolist())
        assert len(held_out) == pytest.approx((len(fitted) + len(held_out)) / 10, abs=2)


@pytest.mark.parametrize("count", [10, 24, 150, 400, 3000])
def test_a_tenth_is_held_out_in_stretches(count: int) -> None:
    rows = held_out_rows(count)
    assert len(rows) == pytest.approx(count / 10, abs=5)
    assert rows[-1] == count - 1
    assert np.count_nonzero(np.diff(rows) > 1) == min(max(count // 60, 1), 5) - 1


class TestFit:
    def test_it_approaches_the_pictures_on_held_out_frames(self, refined: RefineResult) -> None:
        assert refined.better
        before, after = refined.facts["distilled"], refined.facts["refined"]
        assert after["l1"] < 0.3 * before["l1"]
        assert after["psnr"] > before["psnr"] + 8
        assert "the student is refined on images: on 2 held-out frames" in refined.note

    def test_a_result_that_is_worse_on_held_out_frames_is_left_out(
        self, avatar: ImplicitAvatar, folder: AvatarFolder, pictures: Path, tmp_path: Path
    ) -> None:
        """The held-out frames have the avatar's own colours, and the others do not."""
        changed = tmp_path / "changed"
        shutil.copytree(pictures, changed)
        for row in held_out_rows(FRAMES):
            path = changed / "image" / f"{row}.png"
            mixed = cv2.imread(str(path))[..., ::-1]
            own = ((mixed[..., [1, 2, 0]] - 25.5) / 0.7).clip(0, 255).astype(np.uint8)
            cv2.imwrite(str(path), own[..., ::-1])
        result = refine(avatar, folder, changed)
        assert not result.better
        assert result.facts["kept"] is False
        assert "is not better and was left out; the student stays as it is" in result.note

    def test_the_same_seed_gives_the_same_student(
        self, avatar: ImplicitAvatar, folder: AvatarFolder, pictures: Path
    ) -> None:
        first, second, other = (
            refine(avatar, folder, pictures, steps=4, seed=seed).student.arrays()
            for seed in (3, 3, 4)
        )
        for name, array in first.items():
            np.testing.assert_array_equal(array, second[name], err_msg=name)
        assert not np.array_equal(first["features"], other["features"])

    def test_features_that_no_frame_shows_are_held(
        self, folder: AvatarFolder, frames: RasterFrames, refined: RefineResult
    ) -> None:
        seen = np.zeros(folder.avatar.vertex_count, dtype=bool)
        seen[frames.faces[np.unique(frames.face)]] = True
        change = np.abs(refined.student.features - read_student(folder).features).max(axis=1)
        assert 0 < seen.sum() < len(seen)
        assert change[~seen].max() < 1e-3
        assert np.median(change[seen]) > 0.01

    def test_features_that_outlines_alone_show_are_held(
        self, folder: AvatarFolder, frames: RasterFrames, refined: RefineResult
    ) -> None:
        """Their pixels are mixed with what is behind the face."""
        seen = np.zeros(folder.avatar.vertex_count, dtype=bool)
        seen[frames.faces[np.unique(frames.face)]] = True
        shares = frames.sight_shares(len(seen))
        outline = seen & (shares == 0)
        assert outline.any()
        change = np.abs(refined.student.features - read_student(folder).features).max(axis=1)
        assert change[outline].max() < 1e-3
        assert np.median(change[shares > 0.5]) > 0.01

    def test_features_of_filled_vertices_are_held(
        self, avatar: ImplicitAvatar, folder: AvatarFolder, pictures: Path
    ) -> None:
        student = read_student(folder)
        held = folder.avatar.canonical[1] < np.median(folder.avatar.canonical[1])
        settings = RefineSettings((pictures,), steps=12, poses=False)
        result = refine_student(avatar, folder.avatar, student, settings, stored_size=48, held=held)
        change = np.abs(result.student.features - student.features).max(axis=1)
        assert change[held].max() < 1e-3, "rounding to half precision alone"
        assert change[~held].max() > 0.01

    def test_colours_of_held_vertices_stay_although_the_weights_change(
        self, folder: AvatarFolder, frames: RasterFrames, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        held = folder.avatar.canonical[1] < np.median(folder.avatar.canonical[1])
        start = RefinableStudent(read_student(folder))
        pixels = frames.vertices(np.flatnonzero(held), 0)
        condition = torch.from_numpy(frames.condition[:1])
        change = []
        for weight in (1.0, 0.0):
            monkeypatch.setattr("imavatar_deploy.exporters.refine.fit_colours.HELD_WEIGHT", weight)
            student = RefinableStudent(read_student(folder))
            fit = ColourFit(student, 40, 0, held=held)
            for _ in range(40):
                fit.step(frames)
            with torch.inference_mode():
                now, before = (
                    each(pixels, each.constant(condition)).numpy() for each in (student, start)
                )
            change.append(np.abs(now - before).mean())
        assert change[0] < 0.5 * change[1]
        assert change[1] > 0.01

    def test_the_size_of_the_student_stays(
        self, folder: AvatarFolder, refined: RefineResult
    ) -> None:
        before, after = read_student(folder).arrays(), refined.student.arrays()
        assert {name: a.shape for name, a in before.items()} == {
            name: a.shape for name, a in after.items()
        }


def test_poses_are_found_again(folder: AvatarFolder, shots: Shots, regions: FaceRegions) -> None:
    """Poses that are wrong by about the prior's deviation come back."""
    student = RefinableStudent(read_student(folder))
    own_colours = (shots.image[..., [1, 2, 0]] - 25.5) / 0.7  # undo the mixture of the pictures
    shown = replace(
        shots,
        image=np.where(shots.mask[..., None], own_colours, 255).clip(0, 255).astype(np.uint8),
        pose=shots.pose.copy(),
    )
    true = RasterFrames.draw(folder.avatar, shown, regions, silent)
    rounding = measure(student, true).l1
    shown.pose[:, 3:6] += np.random.default_rng(0).normal(0, 0.02, (FRAMES, 3))
    poses = FramePoses(folder.avatar, shown)
    errors = []
    for _ in range(5):
        drawn = RasterFrames.draw(folder.avatar, poses.shots, regions, silent)
        errors.append(measure(student, drawn).l1)
        poses.step(student, drawn, silent)
    assert errors[-1] - rounding < 0.4 * (errors[0] - rounding), (rounding, errors)


class TestRefusals:
    def test_settings(self, pictures: Path) -> None:
        with pytest.raises(UsageError, match="1 step or more, got 0"):
            RefineSettings((pictures,), steps=0)
        with pytest.raises(UsageError, match="64 to 2048 pixels a side, got 8"):
            RefineSettings((pictures,), size=8)
        with pytest.raises(UsageError, match="needs a dataset"):
            RefineSettings(())
        with pytest.raises(UsageError, match="a refinement needs a student"):
            ExportSettings(student=None, refine=RefineSettings((pictures,)))

    def test_a_missing_dataset_is_told_before_the_long_work(
        self, checkpoint: Path, tmp_path: Path
    ) -> None:
        result = call(checkpoint, "--out", tmp_path / "out", "--refine", tmp_path / "nothing")
        assert result.exit_code == 6
        assert "there is no dataset folder" in result.output

    def test_too_few_frames(self, pictures: Path) -> None:
        with pytest.raises(InputError, match="needs 10 frames or more, .* has 5"):
            open_pictures(RefineSettings((pictures,), frames=slice(0, 5)), "openhead")

    def test_another_head_model(self, pictures: Path) -> None:
        with pytest.raises(EditionMismatchError):
            open_pictures(RefineSettings((pictures,)), "flame2020")

    def test_another_subject(
        self, avatar: ImplicitAvatar, folder: AvatarFolder, pictures: Path, tmp_path: Path
    ) -> None:
        """Masks that are nowhere at the avatar's surface."""
        other = tmp_path / "other"
        shutil.copytree(pictures, other)
        track = json.loads((other / "flame_params.json").read_text())
        for frame in track["frames"]:
            frame["world_mat"][0][3] += 0.9
        (other / "flame_params.json").write_text(json.dumps(track))
        with pytest.raises(InputError, match="nowhere agree"):
            refine(avatar, folder, other)


@pytest.fixture(scope="module")
def sharp(
    checkpoint: Path, pictures: Path, small_limits: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Result]:
    """An export with every kind of file, refined."""
    out = tmp_path_factory.mktemp("sharp") / "avatar"
    options = ("--resolution", 64, "--faces", 2000, "--proof-size", 48, "--student-steps", 200)
    refining = ("--refine", pictures, "--refine-steps", STEPS, "--no-refine-poses")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("imavatar_deploy.exporters.student.train.REQUIRED_PSNR", 20.0)
        result = call(
            checkpoint, "--out", out, *options, *refining, "--format", "player,glb,mesh,web"
        )
    return out, result


class TestExport:
    def test_the_folder_has_the_refined_student(
        self, sharp: tuple[Path, Result], exported: Exported
    ) -> None:
        out, result = sharp
        assert result.exit_code == 0, result.output
        assert "the student is refined on images" in result.output
        assert "held-out frames (mean)" in result.output
        report = read_fidelity(out)
        stage = report.stage("refined")
        assert stage is not None
        assert stage.start == "held-out images"
        assert stage.measures["psnr"] > stage.limits["psnr"] + 5
        assert report.refinement["kept"] is True
        assert report.refinement["refined"]["l1"] < report.refinement["distilled"]["l1"]
        student, before = (read_student(open_avatar(path)) for path in (out, exported.folder))
        assert student.features.shape == before.features.shape

    def test_the_page_has_it_and_is_compared_with_it(self, sharp: tuple[Path, Result]) -> None:
        out, _ = sharp
        stored = decode((out / "web" / "avatar.bin").read_bytes()).student
        assert np.array_equal(stored.hidden_weight, read_student(open_avatar(out)).hidden_weight)
        stage = read_fidelity(out).stage("browser")
        assert stage is not None
        assert stage.start == "refined"
        assert stage.not_run or stage.measures["psnr"] > 40

    def test_it_is_measured_again_without_torch(self, sharp: tuple[Path, Result]) -> None:
        report = verify_avatar(sharp[0])
        assert report.passed, report.problems()
        stages = {stage.name: stage for stage in report.stages}
        written = read_fidelity(sharp[0]).stage("refined")
        assert written is not None
        assert stages["refined"].measures["psnr"] == pytest.approx(
            written.measures["psnr"], abs=0.01
        )
        assert stages["refined on images"].limits == {}, "it differs from the render on purpose"

    def test_a_worse_student_in_its_place_fails(
        self, sharp: tuple[Path, Result], exported: Exported, tmp_path: Path
    ) -> None:
        """The limit is what the distilled student reaches, so one that is worse misses it."""
        folder = open_avatar(sharp[0])
        damaged = tmp_path / "damaged"
        shutil.copytree(sharp[0], damaged)
        arrays = {name: 0 * array for name, array in read_student(folder).arrays().items()}
        black = Student(**{**arrays, "colour_bias": np.full(3, -9, dtype=np.float32)})
        write_student(damaged, black)
        limits = read_tolerances(damaged / TOLERANCES_FILE)["refined"]
        damaged_folder = replace(folder, path=damaged)
        held_out = read_held_out(damaged / HELD_OUT_FILE)
        assert "differs too much" in compare_held_out(damaged_folder, held_out, limits).problems()

    def test_held_out_frames_are_small(self, sharp: tuple[Path, Result]) -> None:
        path = sharp[0] / HELD_OUT_FILE
        frames = read_held_out(path)
        assert frames.rgb.shape[1:] == (48, 48, 3)
        assert path.stat().st_size < 100e3
        assert all(mouth.any() for mouth in frames.mouths)
        broken = path.with_name("broken.npz")
        broken.write_bytes(path.read_bytes()[:300])
        with pytest.raises(InputError, match="export the avatar again"):
            read_held_out(broken)
        broken.unlink()

    def test_a_sheet_shows_picture_distilled_and_refined(
        self, sharp: tuple[Path, Result], refined: RefineResult
    ) -> None:
        """The refined column is nearer to the first than the distilled one is."""
        data = (sharp[0] / REFINED_SHEET).read_bytes()
        assert SOURCE_TYPE.encode() in data
        sheet = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        assert len(data) < 300e3
        assert sheet.shape == (2 * SHEET_SIDE, 3 * SHEET_SIDE, 3), "two held-out frames"
        picture, distilled, better = np.split(sheet.astype(float), 3, axis=1)
        before, after = (np.abs(one - picture).mean() for one in (distilled, better))
        assert after < 0.5 * before
        np.testing.assert_array_equal(refined.sheet.shape, sheet.shape)

    def test_files_for_other_programs_have_its_colours(self, sharp: tuple[Path, Result]) -> None:
        trimesh = pytest.importorskip("trimesh")
        student = read_student(open_avatar(sharp[0]))
        avatar = open_avatar(sharp[0]).avatar
        condition = np.zeros((1, 53), dtype=np.float32)
        expected = colours_plainly(student, student.features, rest_normals(avatar), condition)
        glb = GlbPlayback(sharp[0] / "avatar.glb").attribute("COLOR_0")
        np.testing.assert_allclose(glb[:, :3], linear(expected), atol=0.01)
        ply = trimesh.load(sharp[0] / "meshes" / "neutral.ply", process=False)
        colours = np.asarray(ply.visual.vertex_colors)[:, :3] / 255.0
        np.testing.assert_allclose(colours, expected, atol=0.01)

    def test_baked_motions_have_its_colours(self, sharp: tuple[Path, Result]) -> None:
        folder = open_avatar(sharp[0])
        student = read_student(folder)
        condition = np.zeros((1, 53), dtype=np.float32)
        expected = colours_plainly(
            student, student.features, rest_normals(folder.avatar), condition
        )
        still = open_motion(sharp[0], "talk", frames=slice(0, 1), any_edition=True)
        neutral = with_neutral_colours(still).neutral
        assert neutral is not None
        np.testing.assert_allclose(neutral, expected, atol=1e-3)
        moving = replace(still, colour=True)
        channels = FramePoser(moving, ("vertices", "normals", "colours"))(0)
        of_frame = colours_plainly(
            student,
            student.features,
            channels["normals"],
            condition_of(still.track.expression[0], still.track.pose[0]),
        )
        np.testing.assert_allclose(channels["colours"], of_frame, atol=1e-5)

    def test_baked_textures_have_its_colours(self, sharp: tuple[Path, Result]) -> None:
        pytest.importorskip("xatlas")
        folder = open_avatar(sharp[0])
        student = read_student(folder)
        motion = open_motion(sharp[0], "talk", frames=slice(0, 1), any_edition=True)
        texture = neutral_texture(motion)
        image = cv2.imdecode(np.frombuffer(texture.png, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
        middle = (texture.uv[texture.faces].mean(axis=1) * len(image)).astype(np.int64)
        corners = folder.avatar.faces
        weights = np.full(corners.shape, 1 / 3, dtype=np.float32)
        _, normals = surface_at(folder.avatar, corners, weights)
        expected = student_colours_at(student, corners, weights, normals)
        difference = np.abs(image[middle[:, 1], middle[:, 0]] / 255 - expected)
        assert np.median(difference) < 0.01
        assert np.quantile(difference, 0.95) < 0.05
