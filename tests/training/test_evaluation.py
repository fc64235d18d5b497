"""Metrics, maskings, sources of frames and the report, on small frames with known values."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from imavatar_deploy.camera import Camera
from imavatar_deploy.errors import InputError, UsageError
from imavatar_deploy.fidelity import stage_metrics
from imavatar_deploy.fidelity.image_metrics import IDENTICAL_PSNR
from imavatar_deploy.fidelity.parity import compare_frames
from imavatar_deploy.fidelity.stage_metrics import FrameImages
from imavatar_deploy.head_model import HeadModel
from imavatar_deploy.marking import SOURCE_TYPE
from imavatar_deploy.tracks import FlameTrack
from imavatar_deploy.training.evaluation.contact_sheet import read_picture, strip
from imavatar_deploy.training.evaluation.from_frames import KIND as FRAMES
from imavatar_deploy.training.evaluation.from_frames import match_frames
from imavatar_deploy.training.evaluation.interfaces import Options, PredictionSource, Truth
from imavatar_deploy.training.evaluation.measure import Scores, make_case, measure
from imavatar_deploy.training.evaluation.metric import MASKINGS, Case, Prediction, face_hull
from imavatar_deploy.training.evaluation.metrics import METRICS
from imavatar_deploy.training.evaluation.perceptual import Lpips, load_perceptual
from imavatar_deploy.training.evaluation.report import write_report

SIZE = 40
HEAD, PUBLISHED = MASKINGS["head"], MASKINGS["published"]


def disc(radius: float, centre: float = (SIZE - 1) / 2) -> NDArray[np.bool_]:
    rows, columns = np.mgrid[:SIZE, :SIZE]
    return np.hypot(rows - (SIZE - 1) / 2, columns - centre) < radius


def picture(mask: NDArray[np.bool_], grey: float) -> NDArray[np.float32]:
    return np.where(mask[..., None], np.float32(grey), np.float32(1.0)).repeat(3, axis=2)


def normals(tilt: float) -> NDArray[np.float32]:
    """Normals that face the camera, turned by `tilt` degrees."""
    direction = [math.sin(math.radians(tilt)), 0.0, math.cos(math.radians(tilt))]
    return np.tile(np.array(direction, dtype=np.float32), (SIZE, SIZE, 1))


def circle_of_keypoints(radius: float) -> NDArray[np.float32]:
    angle = np.linspace(0, 2 * np.pi, 70, endpoint=False)
    return (SIZE // 2 + radius * np.column_stack([np.cos(angle), np.sin(angle)])).astype(np.float32)


def case(error: float = 0.1, shift: float = 0.0, tilt: float = 10.0) -> Case:
    """A grey disc of 0.5; its prediction is brighter by `error`, shifted, with tilted normals."""
    truth = disc(15)
    predicted = disc(15, (SIZE - 1) / 2 + shift)
    return Case(
        name="1",
        truth=picture(truth, 0.5),
        truth_mask=truth,
        prediction=picture(predicted, 0.5 + error),
        prediction_mask=predicted,
        truth_normal=normals(0.0),
        prediction_normal=normals(tilt),
        keypoints=circle_of_keypoints(10),
        landmarks=circle_of_keypoints(10) + np.array([3.0, 4.0], dtype=np.float32),
    )


class TestMetrics:
    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("PSNR", 20.0),
            ("L1", 0.1),
            ("mask IoU", 1.0),
            ("RGB L1", 0.1),
            ("normal cosine", math.cos(math.radians(10.0))),
            ("expression", 5.0),
        ],
    )
    def test_give_the_known_figure(self, name: str, value: float) -> None:
        assert METRICS[name].measure(case(), HEAD) == pytest.approx(value, rel=1e-5)

    @pytest.mark.parametrize("row", METRICS.values(), ids=METRICS.keys())
    def test_each_row_knows_which_way_is_better(self, row: object) -> None:
        near, far = case(error=0.02, tilt=2.0), case(error=0.2, shift=4.0, tilt=30.0)
        far = replace(far, landmarks=circle_of_keypoints(10) + 20)
        torch.manual_seed(0)
        network = Lpips()
        for layer in network.lins:
            torch.nn.init.uniform_(layer.weight, 0.0, 1.0)

        def perceptual(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
            return float(
                network(*(torch.from_numpy(image).permute(2, 0, 1)[None] for image in (a, b)))
            )

        good, bad = (row.measure(replace(one, perceptual=perceptual), HEAD) for one in (near, far))
        assert (good > bad) == (row.better == "higher")
        assert row.worst_of([good, bad]) == 1

    def test_identical_images_have_one_psnr_everywhere(self) -> None:
        """In an evaluation, in a stage of the fidelity report, and over the frames of a student."""
        same = case(error=0.0)
        picture = FrameImages(same.truth, normals(0.0), same.truth_mask)
        stage = stage_metrics.METRICS["psnr"].of(picture, picture, same.truth_mask)
        frames = compare_frames("motion", same.truth[None], same.truth[None], required_psnr=42.0)
        assert (
            METRICS["PSNR"].measure(same, HEAD)
            == stage
            == frames.psnr
            == frames.min_frame_psnr
            == IDENTICAL_PSNR
        )

    def test_a_head_that_is_too_large_pays_for_it(self) -> None:
        larger = replace(
            case(error=0.0), prediction=picture(disc(18), 0.5), prediction_mask=disc(18)
        )
        assert METRICS["L1"].measure(larger, HEAD) > 0.1
        assert METRICS["RGB L1"].measure(larger, HEAD) == 0.0

    def test_absent_parts_are_reported(self) -> None:
        bare = replace(
            case(), prediction_mask=None, prediction_normal=None, landmarks=None, keypoints=None
        )
        reasons = {name: row.absent(bare) for name, row in METRICS.items()}
        assert reasons["PSNR"] is reasons["SSIM"] is reasons["L1"] is None
        assert "alpha" in str(reasons["mask IoU"])
        assert "flame_keypoints" in str(reasons["expression"])
        assert reasons["LPIPS"] == "needs --lpips-weights"


class TestPublishedMasking:
    def test_looks_inside_the_hull_of_the_face_only(self) -> None:
        outside = case(error=0.0)
        prediction = outside.prediction.copy()
        prediction[~face_hull(outside)] = 0.0
        spoilt = replace(outside, prediction=prediction)
        assert METRICS["L1"].measure(spoilt, PUBLISHED) == 0.0
        assert METRICS["L1"].measure(spoilt, HEAD) > 0.1
        assert METRICS["SSIM"].measure(spoilt, PUBLISHED) == pytest.approx(1.0)

    def test_hull_leaves_the_irises_out_and_truncates_as_published(self) -> None:
        points = np.full((70, 2), 20.9, dtype=np.float32)
        points[:3] = [[10.9, 10.9], [30.9, 10.9], [10.9, 30.9]]
        points[68:] = 0.0
        hull = face_hull(replace(case(), keypoints=points))
        assert [bool(hull[place]) for place in ((10, 10), (10, 30), (9, 9), (0, 0))] == [
            True,
            True,
            False,
            False,
        ]

    def test_ssim_is_inflated_by_the_black_around(self) -> None:
        noisy = case()
        noise = np.random.default_rng(0).normal(0, 0.2, noisy.truth.shape).astype(np.float32)
        noisy = replace(noisy, prediction=np.clip(noisy.truth + noise, 0, 1))
        assert (
            METRICS["SSIM"].measure(noisy, PUBLISHED) > METRICS["SSIM"].measure(noisy, HEAD) + 0.2
        )

    def test_without_keypoints_it_refuses(self) -> None:
        with pytest.raises(InputError, match="no flame_keypoints"):
            METRICS["PSNR"].measure(replace(case(), keypoints=None), PUBLISHED)


class TestLpips:
    @pytest.fixture
    def weights(self, tmp_path: Path) -> Path:
        """Random weights with the names of torchvision and LPIPS, and keys that are not needed."""
        torch.manual_seed(1)
        shapes = {
            0: (64, 3, 11),
            3: (192, 64, 5),
            6: (384, 192, 3),
            8: (256, 384, 3),
            10: (256, 256, 3),
        }
        state = {"classifier.6.bias": torch.zeros(1000)}
        for index, (layer, (outputs, inputs, kernel)) in enumerate(shapes.items()):
            state[f"features.{layer}.weight"] = (
                torch.randn(outputs, inputs, kernel, kernel) / kernel / inputs**0.5
            )
            state[f"features.{layer}.bias"] = torch.zeros(outputs)
            state[f"lin{index}.model.1.weight"] = torch.full((1, outputs, 1, 1), 1.0 / outputs)
        torch.save(state, tmp_path / "weights.pth")
        return tmp_path / "weights.pth"

    def test_is_zero_for_equals_and_grows_with_the_difference(self, weights: Path) -> None:
        distance = load_perceptual(weights)
        near, far = case(error=0.05), case(error=0.4)
        assert distance(near.truth, near.truth) == 0.0
        assert 0.0 < distance(near.truth, near.prediction) < distance(far.truth, far.prediction)

    def test_first_layer_agrees_with_its_formula(self, weights: Path) -> None:
        """LPIPS of one layer, written out in numpy."""
        state = torch.load(weights, weights_only=True)
        for index in range(1, 5):
            state[f"lin{index}.model.1.weight"].zero_()
        torch.save(state, weights)
        one = case(error=0.3)

        def features(image: NDArray[np.float32]) -> NDArray[np.float32]:
            scaled = (2 * image - 1 - [-0.030, -0.088, -0.188]) / [0.458, 0.448, 0.450]
            padded = np.pad(scaled, ((2, 2), (2, 2), (0, 0)))
            windows = np.lib.stride_tricks.sliding_window_view(padded, (11, 11), axis=(0, 1))[
                ::4, ::4
            ]
            weight = state["features.0.weight"].numpy()
            values = np.einsum("yxcij,ocij->yxo", windows, weight).clip(0)
            return values / np.linalg.norm(values, axis=2, keepdims=True).clip(1e-10)

        expected = np.square(features(one.truth) - features(one.prediction)).mean(axis=2).mean()
        assert load_perceptual(weights)(one.truth, one.prediction) == pytest.approx(
            expected, rel=1e-4
        )

    def test_a_file_of_something_else_is_refused(self, tmp_path: Path, weights: Path) -> None:
        torch.save({"features.0.weight": torch.zeros(3)}, tmp_path / "other.pth")
        (tmp_path / "text.pth").write_text("no weights")
        for name in ("other.pth", "text.pth"):
            with pytest.raises(InputError, match="does not hold LPIPS weights"):
                load_perceptual(tmp_path / name)
        with pytest.raises(InputError, match="at least 31"):
            load_perceptual(weights)(*np.zeros((2, 30, 30, 3), dtype=np.float32))


@dataclass
class FakeTruth:
    """Ground truth of discs that get brighter with the frame."""

    track: FlameTrack
    observations: list[Case]
    head: HeadModel | None = None
    size: int = SIZE

    def __len__(self) -> int:
        return len(self.observations)

    def observation(self, index: int) -> Truth:
        one = self.observations[index]

        @dataclass
        class Observation:
            name: str
            image: NDArray[np.float32]
            mask: NDArray[np.bool_]
            normal: NDArray[np.float32] | None
            keypoints: NDArray[np.float32] | None

        return Observation(one.name, one.truth, one.truth_mask, one.truth_normal, one.keypoints)


class FakeSource(PredictionSource):
    def __init__(self, cases: list[Case]) -> None:
        self.title, self.facts, self.cases = "a fake", {"tracer": "none"}, cases

    def predict(self, index: int) -> Prediction:
        one = self.cases[index]
        return Prediction(one.prediction, one.prediction_mask, one.prediction_normal, one.landmarks)


class CroppedSource(FakeSource):
    """The images without their first row, which is another size than the dataset's."""

    def predict(self, index: int) -> Prediction:
        return Prediction(super().predict(index).rgb[1:])


@pytest.fixture
def cases() -> list[Case]:
    errors = (0.02, 0.4, 0.1, 0.05)
    return [replace(case(error), name=str(index + 1)) for index, error in enumerate(errors)]


@pytest.fixture
def truth(cases: list[Case]) -> FakeTruth:
    zeros = np.zeros((len(cases), 50), dtype=np.float32)
    cameras = (Camera.looking_at(np.zeros(3)),) * len(cases)
    return FakeTruth(
        FlameTrack(zeros, zeros[:, :15], cameras, names=tuple(one.name for one in cases)), cases
    )


@pytest.fixture
def scores(truth: FakeTruth, cases: list[Case]) -> Scores:
    return measure(truth, FakeSource(cases), HEAD)


class TestMeasure:
    def test_summarises_every_metric(self, scores: Scores) -> None:
        summary = scores.summary("L1")
        assert summary is not None
        assert summary.mean == pytest.approx(0.1425)
        assert summary.median == pytest.approx(0.075)
        assert (summary.worst_frame, summary.frames) == ("2", 4)
        assert scores.unmeasured == {"LPIPS": "needs --lpips-weights"}
        assert scores.mean("LPIPS") is None
        assert scores.ranked() == [1, 2, 3, 0]

    def test_an_empty_render_is_not_a_good_one(self, truth: FakeTruth, cases: list[Case]) -> None:
        empty = np.zeros((SIZE, SIZE), dtype=np.bool_)
        cases[0] = replace(cases[0], prediction=picture(empty, 0.0), prediction_mask=empty)
        scores = measure(truth, FakeSource(cases), HEAD)
        assert math.isnan(scores.values["RGB L1"][0])
        assert scores.values["mask IoU"][0] == 0.0
        assert scores.values["L1"][0] == pytest.approx(0.5)
        summary = scores.summary("normal cosine")
        assert summary is not None
        assert summary.frames == 3

    def test_another_size_is_refused(self, truth: FakeTruth) -> None:
        with pytest.raises(
            InputError,
            match=r"is 20 x 30 pixels and the dataset is read at 40 x 40; "
            r"pass size=20 \(--size 20\)",
        ):
            make_case(truth.observation(0), Prediction(np.zeros((30, 20, 3), dtype=np.float32)))


class TestReport:
    def test_holds_table_figures_and_sheet(
        self, tmp_path: Path, truth: FakeTruth, cases: list[Case]
    ) -> None:
        out = tmp_path / "report"
        write_report(out, truth, FakeSource(cases), HEAD, facts={"dataset": "discs"})
        assert sorted(path.name for path in out.iterdir()) == [
            "contact_sheet.png",
            "report.json",
            "report.md",
        ]
        document = json.loads((out / "report.json").read_text())
        assert document["metrics"]["PSNR"]["worst_frame"] == "2"
        assert document["metrics"]["LPIPS"]["not_measured"] == "needs --lpips-weights"
        assert [frame["name"] for frame in document["frames"]] == ["1", "2", "3", "4"]
        text = (out / "report.md").read_text()
        assert "| LPIPS |  | lower | not measured: needs --lpips-weights |" in text
        assert all(line in text for line in (HEAD.summary, "- dataset: discs", "- tracer: none"))

    def test_sheet_shows_worst_median_and_best(
        self, tmp_path: Path, truth: FakeTruth, cases: list[Case]
    ) -> None:
        write_report(tmp_path / "report", truth, FakeSource(cases), HEAD, keep_frames=True)
        sheet = read_picture(tmp_path / "report" / "contact_sheet.png")
        assert SOURCE_TYPE.encode() in (tmp_path / "report" / "contact_sheet.png").read_bytes()
        strips = [strip(cases[index]) for index in (1, 3, 0)]
        height = len(sheet) // 3
        for index, expected in enumerate(strips):
            row = sheet[index * height : (index + 1) * height]
            assert (row[-len(expected) - 4 : -4] == expected).all()
        assert len(list((tmp_path / "report" / "frames").iterdir())) == 4

    def test_nothing_is_left_of_a_failure(
        self, tmp_path: Path, truth: FakeTruth, cases: list[Case]
    ) -> None:
        with pytest.raises(InputError):
            write_report(tmp_path / "report", truth, CroppedSource(cases), HEAD)
        assert not list(tmp_path.iterdir())
        (tmp_path / "mine").mkdir()
        (tmp_path / "mine" / "thesis.txt").write_text("precious")
        with pytest.raises(UsageError, match="other things"):
            write_report(tmp_path / "mine", truth, FakeSource(cases), HEAD, overwrite=True)

    def test_identical_images_are_legal_json(
        self, tmp_path: Path, truth: FakeTruth, cases: list[Case]
    ) -> None:
        same = [replace(one, prediction=one.truth) for one in cases]
        write_report(tmp_path / "report", truth, FakeSource(same), HEAD)
        text = (tmp_path / "report" / "report.json").read_text()
        assert (
            json.loads(text, parse_constant=pytest.fail)["metrics"]["PSNR"]["mean"]
            == IDENTICAL_PSNR
        )


class TestFrames:
    def write(self, folder: Path, names: list[str], channels: int = 3) -> None:
        folder.mkdir(exist_ok=True)
        for index, name in enumerate(names):
            image = np.full((SIZE, SIZE, channels), 50 * index, dtype=np.uint8)
            if channels == 4:
                image[..., 3] = 255 * disc(15)
            cv2.imwrite(str(folder / name), image)

    def test_are_matched_by_name_then_by_order(self, tmp_path: Path) -> None:
        self.write(tmp_path / "padded", ["00003.png", "00001.png", "00002.png"])
        paths, how = match_frames(tmp_path / "padded", ("2", "3"))
        assert ([path.name for path in paths], how) == (["00002.png", "00003.png"], "by name")
        self.write(tmp_path / "foreign", ["f10.png", "f9.png"])
        paths, how = match_frames(tmp_path / "foreign", ("1", "2"))
        assert ([path.name for path in paths], how) == (["f9.png", "f10.png"], "by order")

    def test_a_wrong_number_is_refused(self, tmp_path: Path) -> None:
        self.write(tmp_path / "frames", ["1.png", "2.png"])
        with pytest.raises(InputError, match="2 images for 3 frames, and no image for frame '3'"):
            match_frames(tmp_path / "frames", ("1", "2", "3"))
        with pytest.raises(InputError, match="no PNG"):
            match_frames(tmp_path, ("1",))

    def test_alpha_is_the_mask_and_white_lies_below(self, tmp_path: Path, truth: FakeTruth) -> None:
        self.write(tmp_path / "frames", ["1.png", "2.png", "3.png", "4.png"], channels=4)
        with FRAMES.open(str(tmp_path / "frames"), truth, Options()) as source:
            prediction = source.predict(0)
        assert prediction.mask is not None
        assert (prediction.mask == disc(15)).all()
        assert (prediction.rgb == picture(disc(15), 0.0)).all()

    def test_opaque_frames_have_no_mask(self, tmp_path: Path, truth: FakeTruth) -> None:
        self.write(tmp_path / "frames", ["1.png", "2.png", "3.png", "4.png"])
        with FRAMES.open(str(tmp_path / "frames"), truth, Options()) as source:
            scores = measure(truth, source, HEAD)
        assert "alpha" in scores.unmeasured["mask IoU"]
        assert set(scores.values) == {"PSNR", "SSIM", "L1"}

    def test_a_broken_image_is_named(self, tmp_path: Path, truth: FakeTruth) -> None:
        self.write(tmp_path / "frames", ["1.png", "2.png", "3.png", "4.png"])
        (tmp_path / "frames" / "2.png").write_bytes(b"no image")
        with (
            FRAMES.open(str(tmp_path / "frames"), truth, Options()) as source,
            pytest.raises(InputError, match="2.png is not a readable"),
        ):
            measure(truth, source, HEAD)
