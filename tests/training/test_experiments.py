"""Every row of the table of experiments, with one step, two frames and networks of a few units."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
from click.testing import CliRunner

from imavatar_deploy.camera import Camera
from imavatar_deploy.errors import InputError, UsageError
from imavatar_deploy.head_model import HeadModel
from imavatar_deploy.model import NetworkSizes
from imavatar_deploy.rendering.workers import Workers
from imavatar_deploy.training.commands.eval import evaluate
from imavatar_deploy.training.config_file import to_toml
from imavatar_deploy.training.dataset import FaceDataset
from imavatar_deploy.training.evaluation.contact_sheet import read_picture, split_strip
from imavatar_deploy.training.evaluation.contact_sheet import row as picture_row
from imavatar_deploy.training.experiments import fig5, runs
from imavatar_deploy.training.experiments.corruption import (
    damage_mask,
    with_damaged_masks,
    with_pose_noise,
)
from imavatar_deploy.training.experiments.experiments import EXPERIMENTS
from imavatar_deploy.training.experiments.fig6 import TemplateRenderer, shade_normals
from imavatar_deploy.training.experiments.results import COLUMNS
from imavatar_deploy.training.experiments.runs import (
    ExperimentPlan,
    ExperimentRun,
    Trial,
    mean_over,
)
from imavatar_deploy.training.experiments.sweep import natural_range, sweep_track
from imavatar_deploy.training.settings import Schedule, TracerSettings, TrainSettings
from imavatar_deploy.training.synthetic import synthesise

SIZE = 16
SETTINGS = TrainSettings(
    networks=NetworkSizes(
        geometry_layers=(16, 16),
        geometry_skip=(1,),
        geometry_frequencies=1,
        feature=4,
        deformation_layers=(8,),
        texture_layers=(8,),
        texture_frequencies=1,
    ),
    schedule=Schedule(
        steps=1, pixels=16, validation_steps=0, validation_frames=1, validation_size=8
    ),
    tracer=TracerSettings("march"),
)


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> ExperimentPlan:
    return ExperimentPlan(
        out=tmp_path_factory.mktemp("experiments"),
        base=SETTINGS,
        subjects=("female1",),
        variants=("imavatar", "c-net"),
        frames=2,
        test_frames=2,
        size=SIZE,
        tracer="march",
        warm_start=False,
        subdivisions=0,
    )


@pytest.fixture(scope="module")
def trainings() -> list[tuple[str, TrainSettings, FaceDataset]]:
    """Name, settings and dataset of every training of an experiment, in order."""
    return []


@pytest.fixture(scope="module")
def experiment(
    plan: ExperimentPlan, trainings: list[tuple[str, TrainSettings, FaceDataset]]
) -> Iterator[ExperimentRun]:
    """Trains each variant once; later trainings of the variant use the first one's run."""
    first: dict[str, Path] = {}
    real = runs.train

    def train_once(
        dataset: FaceDataset, out: Path, settings: TrainSettings, **options: object
    ) -> Path:
        trainings.append((out.name, settings, dataset))
        if settings.variant not in first:
            first[settings.variant] = real(dataset, out, settings, **options)  # type: ignore[arg-type]
        elif out != first[settings.variant]:
            out.symlink_to(first[settings.variant])
        return out

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runs, "train", train_once)
        yield ExperimentRun(plan)


def results(plan: ExperimentPlan, name: str) -> dict[str, object]:
    return dict(json.loads((plan.out / f"{name}.json").read_text()))


class TestTables:
    def test_table2_compares_every_variant_with_the_paper(
        self, experiment: ExperimentRun, plan: ExperimentPlan
    ) -> None:
        written = EXPERIMENTS["table2"].run(experiment)
        assert [path.name for path in written] == ["table2.md", "table2.json", "table2.png"]
        rows = results(plan, "table2")["rows"]
        assert isinstance(rows, dict)
        assert list(rows) == ["imavatar", "c-net"]
        assert all(0.0 < value < 20.0 for row in rows.values() for value in row.values())
        text = (plan.out / "table2.md").read_text()
        assert "| the paper's best column | 0.981 | 0.03 | 0.958 | - | - |" in text
        assert "trained for 1 steps" in text
        assert read_picture(plan.out / "table2.png").shape[0] > 2 * 192

    def test_finished_only_names_what_was_not_run(
        self,
        experiment: ExperimentRun,
        plan: ExperimentPlan,
        trainings: list[tuple[str, TrainSettings, FaceDataset]],
    ) -> None:
        EXPERIMENTS["table2"].run(experiment)
        before = len(trainings)
        partial = replace(
            plan,
            finished_only=True,
            subjects=("female1", "male1"),
            variants=("imavatar", "c-net", "d-net"),
        )
        EXPERIMENTS["table2"].run(ExperimentRun(partial))
        assert len(trainings) == before
        text = (plan.out / "table2.md").read_text()
        assert (
            "| d-net (0 of 2 subjects) | not run | not run | not run | not run | not run |" in text
        )
        assert "- not run: imavatar on male1; c-net on male1; d-net. The means" in text
        trial = Trial.read(plan.out / "reports" / "female1-imavatar")
        cosine = f"{trial.mean('normal cosine'):.4g}"
        assert f"| imavatar | {cosine} | not run |" in text
        means = results(plan, "table2")
        assert means["rows"]["d-net"]["PSNR"] is None  # type: ignore[index]
        assert means["subjects"]["c-net"].keys() == {"female1"}  # type: ignore[index]
        # truth, imavatar and c-net: three tiles of 192 pixels and the gaps between them
        assert read_picture(plan.out / "table2.png").shape[1] == 3 * 192 + 2 * 4

    def test_a_strip_is_split_into_its_pictures(self) -> None:
        rng = np.random.default_rng(0)
        images = [np.asarray(rng.uniform(size=(200, 200, 3)), np.float32) for _ in range(5)]
        tiles = split_strip(picture_row(images, list("abcde")))
        assert len(tiles) == 5
        for tile, image in zip(tiles, images, strict=True):
            assert np.abs(tile - image).max() <= 0.5 / 255.0 + 1e-6

    def test_finished_only_needs_a_finished_trial(
        self, plan: ExperimentPlan, tmp_path: Path
    ) -> None:
        nothing = ExperimentRun(replace(plan, out=tmp_path / "empty", finished_only=True))
        for name in EXPERIMENTS:
            with pytest.raises(UsageError, match="holds no finished trial of this experiment"):
                EXPERIMENTS[name].run(nothing)
        assert not list((tmp_path / "empty").glob("*")), "neither data nor results"

    def test_an_unfinished_run_is_not_finished(
        self, experiment: ExperimentRun, plan: ExperimentPlan, tmp_path: Path
    ) -> None:
        settings = plan.settings(variant="imavatar")
        experiment.trained_run("female1-imavatar", "female1", settings)
        note = json.loads((plan.out / "runs" / "female1-imavatar.json").read_text())
        other = ExperimentRun(replace(plan, out=tmp_path, finished_only=True))
        path = tmp_path / "runs" / "female1-imavatar.json"
        path.parent.mkdir()
        path.write_text(json.dumps(note | {"finished": False}))
        assert other.trained_trial("female1-imavatar", "female1", settings) is None
        path.write_text(json.dumps(note))  # trained and not yet measured
        assert other.trained_trial("female1-imavatar", "female1", settings) is None
        assert other.finished_run("female1-imavatar", "female1", settings) is not None

    def test_nothing_is_done_twice(
        self,
        experiment: ExperimentRun,
        plan: ExperimentPlan,
        trainings: list[tuple[str, TrainSettings, FaceDataset]],
    ) -> None:
        EXPERIMENTS["table2"].run(experiment)
        before = len(trainings)
        (plan.out / "table2.json").unlink()
        EXPERIMENTS["table2"].run(experiment)
        assert len(trainings) == before
        assert (plan.out / "table2.json").is_file()

    def test_table3_leaves_one_loss_out_at_a_time(
        self,
        experiment: ExperimentRun,
        plan: ExperimentPlan,
        trainings: list[tuple[str, TrainSettings, FaceDataset]],
    ) -> None:
        EXPERIMENTS["table3"].run(experiment)
        losses = {
            name: (
                settings.losses.skinning > 0,
                settings.losses.expression > 0,
                settings.losses.pose > 0,
            )
            for name, settings, _ in trainings
            if "table3" in name
        }
        assert losses == {
            "female1-table3-imavatar": (True, True, True),
            "female1-table3-without-weights": (False, True, True),
            "female1-table3-without-expressions": (True, False, True),
            "female1-table3-without-pose-correctives": (True, True, False),
            "female1-table3-none-of-them": (True, True, True),
        }
        variants = {settings.variant for name, settings, _ in trainings if "none-of-them" in name}
        assert variants == {"imavatar-minus"}

    def test_table3_has_no_warm_start_by_default(self, plan: ExperimentPlan) -> None:
        open_plan = replace(plan, warm_start=None)
        assert open_plan.settings().warm_start
        assert not open_plan.settings(warm_start=False).warm_start
        assert replace(plan, warm_start=True).settings(warm_start=False).warm_start

    def test_table4_trains_on_corrupted_sets_and_tests_on_clean_ones(
        self,
        experiment: ExperimentRun,
        plan: ExperimentPlan,
        trainings: list[tuple[str, TrainSettings, FaceDataset]],
    ) -> None:
        EXPERIMENTS["table4"].run(experiment)
        assert list(results(plan, "table4")["rows"]) == [  # type: ignore[call-overload]
            "clean",
            "pose noise 0.025 rad",
            "pose noise 0.05 rad",
            "pose noise 0.1 rad",
            "10% of masks damaged",
            "50% of masks damaged",
            "100% of masks damaged",
        ]
        clean = experiment.dataset("female1", "train")
        datasets = {name: dataset for name, _, dataset in trainings}
        noise = datasets["female1-pose-noise-0.1-rad"].track.pose - clean.track.pose
        assert 0.05 < noise.std() < 0.2
        corrupted = datasets["female1-100-percent-of-masks-damaged"]
        assert all(
            (corrupted.observation(i).mask != clean.observation(i).mask).any() for i in range(2)
        )


class TestFigures:
    def test_fig5_has_a_point_per_frame_and_a_curve_per_variant(
        self, experiment: ExperimentRun, plan: ExperimentPlan
    ) -> None:
        EXPERIMENTS["fig5"].run(experiment)
        with (plan.out / "fig5.csv").open(encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        jaws = np.linalg.norm(experiment.dataset("female1", "test").track.pose[:, 6:9], axis=1)
        assert [row["variant"] for row in rows] == ["imavatar", "imavatar", "c-net", "c-net"]
        assert [float(row["jaw_norm_rad"]) for row in rows] == pytest.approx([*jaws, *jaws])
        assert read_picture(plan.out / "fig5.png").std() > 5

    def test_fig5_of_finished_trials_states_their_subjects(
        self, experiment: ExperimentRun, plan: ExperimentPlan
    ) -> None:
        EXPERIMENTS["fig5"].run(experiment)
        partial = replace(
            plan,
            finished_only=True,
            subjects=("female1", "male1"),
            variants=("imavatar", "d-net"),
        )
        EXPERIMENTS["fig5"].run(ExperimentRun(partial))
        text = (plan.out / "fig5.md").read_text()
        assert "- subjects: female1; " in text
        assert "- not run: d-net" in text
        assert list(results(plan, "fig5")["curves"]) == ["imavatar"]  # type: ignore[call-overload]

    def test_curve_is_of_bins_of_equally_many_frames(self) -> None:
        jaw = np.array([0.9, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 1.0, 0.0])
        error = 2.0 * jaw
        error[-1] = np.nan
        means = fig5.curve(np.column_stack([jaw, error]))
        assert means == pytest.approx(
            np.column_stack([[0.15, 0.35, 0.55, 0.75, 0.95], [0.3, 0.7, 1.1, 1.5, 1.9]])
        )

    def test_subjects_with_the_same_jaws_share_every_bin(self) -> None:
        jaw = np.array([0.0] * 6 + [0.1, 0.2, 0.3, 0.4])
        good, bad = (np.column_stack([jaw, np.full(10, error)]) for error in (0.02, 0.06))
        means = fig5.mean_curve([good, bad])
        assert means[:, 1] == pytest.approx([0.04] * 5)
        assert means[:, 0] == pytest.approx(fig5.curve(good)[:, 0])
        assert len(fig5.mean_curve([good, bad[:2]])) == 5

    def test_fig6_puts_the_template_beside_the_avatar(
        self, experiment: ExperimentRun, plan: ExperimentPlan
    ) -> None:
        EXPERIMENTS["fig6"].run(experiment)
        rows = results(plan, "fig6")["rows"]
        assert isinstance(rows, dict)
        assert rows["template morphing"]["mask IoU"] > 0.7
        assert rows["template morphing"]["normal cosine"] > 0.8
        assert read_picture(plan.out / "fig6.png").shape[1] > 4 * 192

    def test_expressions_are_films(self, experiment: ExperimentRun, plan: ExperimentPlan) -> None:
        EXPERIMENTS["expressions"].run(experiment)
        for number in (1, 2, 3, 10):
            with av.open(str(plan.out / f"female1-expression-{number:02d}.mp4")) as film:
                assert sum(1 for _ in film.decode(video=0)) == 2
        text = (plan.out / "expressions.md").read_text()
        assert "swept over [0, 1]" in text
        assert "[-4, 4]" in text

    def test_an_avatar_that_was_trained_already_is_taken(
        self,
        experiment: ExperimentRun,
        plan: ExperimentPlan,
        trainings: list[tuple[str, TrainSettings, FaceDataset]],
    ) -> None:
        run = experiment.trained_run(
            "female1-imavatar", "female1", plan.settings(variant="imavatar")
        )
        before = len(trainings)
        EXPERIMENTS["fig6"].run(ExperimentRun(replace(plan, run=run, seed=0, warm_start=True)))
        assert len(trainings) == before


class TestExperimentRun:
    def test_a_run_of_other_settings_is_refused(
        self, experiment: ExperimentRun, plan: ExperimentPlan
    ) -> None:
        experiment.trained_run("female1-imavatar", "female1", plan.settings(variant="imavatar"))
        other = plan.settings(variant="imavatar", schedule=replace(SETTINGS.schedule, pixels=17))
        with pytest.raises(UsageError, match=r"was trained with schedule\.pixels = 16, not 17"):
            experiment.trained_run("female1-imavatar", "female1", other)

    def test_a_setting_that_is_newer_than_a_run_has_its_default(
        self, experiment: ExperimentRun, plan: ExperimentPlan, tmp_path: Path
    ) -> None:
        settings = plan.settings(variant="imavatar")
        experiment.trained_run("female1-imavatar", "female1", settings)
        note = json.loads((plan.out / "runs" / "female1-imavatar.json").read_text())
        del note["about"]["losses.smooth"]
        path = tmp_path / "runs" / "female1-imavatar.json"
        path.parent.mkdir()
        path.write_text(json.dumps(note))
        older = ExperimentRun(replace(plan, out=tmp_path))
        assert older.finished_run("female1-imavatar", "female1", settings)
        changed = replace(settings, losses=replace(settings.losses, smooth=0.7))
        with pytest.raises(UsageError, match=r"losses\.smooth = 0\.0, not 0\.7"):
            older.finished_run("female1-imavatar", "female1", changed)

    def test_an_interrupted_run_is_continued(
        self, experiment: ExperimentRun, plan: ExperimentPlan, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        run = experiment.trained_run(
            "female1-imavatar", "female1", plan.settings(variant="imavatar")
        )
        note = run.with_suffix(".json")
        finished = note.read_text()
        note.write_text(finished.replace('"finished": true', '"finished": false'))
        resumed: list[object] = []
        monkeypatch.setattr(runs, "train", lambda *_, **options: resumed.append(options["resume"]))
        experiment.trained_run("female1-imavatar", "female1", plan.settings(variant="imavatar"))
        assert resumed == [True]
        assert note.read_text() == finished

    def test_unknown_names_are_refused_at_once(self, plan: ExperimentPlan) -> None:
        with pytest.raises(UsageError, match="did you mean 'female"):
            ExperimentRun(replace(plan, subjects=("female",)))
        with pytest.raises(UsageError, match="unknown variant"):
            ExperimentRun(replace(plan, variants=("x",)))

    def test_one_avatar_is_one_persons(
        self, experiment: ExperimentRun, plan: ExperimentPlan, tmp_path: Path
    ) -> None:
        run = experiment.trained_run(
            "female1-imavatar", "female1", plan.settings(variant="imavatar")
        )
        with pytest.raises(UsageError, match="one person's avatar"):
            ExperimentRun(replace(plan, run=run, subjects=("female1", "male1")))
        with pytest.raises(InputError, match="there is no checkpoint at"):
            ExperimentRun(replace(plan, run=tmp_path / "none"))

    def test_an_unmeasured_trial_makes_the_mean_nan(self, tmp_path: Path) -> None:
        known = Trial(tmp_path, {"metrics": {"PSNR": {"mean": 20.0}}})
        unknown = Trial(tmp_path, {"metrics": {"PSNR": {"not_measured": "why"}}})
        assert mean_over([known, known], "PSNR") == 20.0
        assert np.isnan(mean_over([known, unknown], "PSNR"))


class TestCorruption:
    @pytest.fixture
    def dataset(self, experiment: ExperimentRun) -> FaceDataset:
        return experiment.dataset("female1", "train")

    def test_is_the_same_for_the_same_seed(self, dataset: FaceDataset) -> None:
        first, again, other = (
            with_pose_noise(dataset, 0.05, seed).track.pose for seed in (3, 3, 4)
        )
        assert (first == again).all()
        assert (first != other).any()
        masks = [with_damaged_masks(dataset, 1.0, seed).observation(0).mask for seed in (3, 3, 4)]
        assert (masks[0] == masks[1]).all()

    def test_leaves_the_original_alone(self, dataset: FaceDataset) -> None:
        pose = dataset.track.pose.copy()
        mask = dataset.observation(0).mask.copy()
        with_pose_noise(dataset, 0.1, 0)
        with_damaged_masks(dataset, 1.0, 0).observation(0)
        assert (dataset.track.pose == pose).all()
        assert (dataset.observation(0).mask == mask).all()

    def test_damages_a_share_of_the_masks(self, dataset: FaceDataset) -> None:
        for share, count in ((0.0, 0), (0.5, 1), (1.0, 2)):
            corrupted = with_damaged_masks(dataset, share, seed=1)
            changed = sum(
                (corrupted.observation(i).mask != dataset.observation(i).mask).any()
                for i in range(2)
            )
            assert changed == count
            assert (corrupted.head, len(corrupted), corrupted.size) == (dataset.head, 2, SIZE)

    def test_a_patch_is_61_of_512_and_on_the_outline(self) -> None:
        mask = np.zeros((512, 512), dtype=np.bool_)
        mask[:, 200:] = True
        kinds = set()
        for seed in range(12):
            changed = np.argwhere(damage_mask(mask, np.random.default_rng(seed)) != mask)
            height, width = np.ptp(changed, axis=0) + 1
            assert height <= 61
            assert width in (30, 31)
            assert changed[:, 1].min() in (170, 200)
            kinds.add(bool(mask[tuple(changed[0])]))
        assert kinds == {True, False}

    def test_what_leaves_the_mask_becomes_white(self, dataset: FaceDataset) -> None:
        for seed in range(8):
            observation = with_damaged_masks(dataset, 1.0, seed).observation(0)
            assert (observation.image[~observation.mask] == 1.0).all()


class TestTemplate:
    def test_is_drawn_where_the_head_is(
        self, openhead: HeadModel, experiment: ExperimentRun
    ) -> None:
        truth = experiment.dataset("female1", "test")
        frame = truth.track.frame(0)
        observation = truth.observation(0)
        assert frame.camera is not None
        with Workers(1) as workers:
            normal, mask = TemplateRenderer(truth.head, SIZE, workers).draw(
                frame.expression, frame.pose, frame.camera
            )
        assert (mask & observation.mask).sum() / mask.sum() > 0.9
        assert np.linalg.norm(normal[mask], axis=1) == pytest.approx(1.0, abs=1e-5)

    def test_shading_is_brightest_towards_the_camera(self) -> None:
        camera = Camera.looking_at(np.zeros(3), yaw=0.5)
        towards = np.broadcast_to(camera.world_to_camera[2, :3], (1, 1, 3)).astype(np.float32)
        full = np.ones((1, 1), dtype=np.bool_)
        assert shade_normals(towards, full, camera) == pytest.approx(1.0)
        assert shade_normals(-towards, full, camera) == pytest.approx(0.25)
        assert (camera.centre @ towards[0, 0]) > 3.9

    def test_sweep_goes_from_end_to_end(self, openhead: HeadModel) -> None:
        track = sweep_track(openhead, 9, 5, Camera.looking_at(np.zeros(3)))
        assert track.expression[:, 9].tolist() == [0.0, 0.25, 0.5, 0.75, 1.0]
        assert np.count_nonzero(track.expression) == 4
        assert natural_range("flame2020") == (-4.0, 4.0)


class TestCommand:
    def test_runs_by_name(
        self, tmp_path: Path, experiment: ExperimentRun, plan: ExperimentPlan
    ) -> None:
        """With a trained avatar, so that nothing is trained."""
        run = experiment.trained_run(
            "female1-imavatar", "female1", plan.settings(variant="imavatar")
        )
        small = [
            "--subjects",
            "female1",
            "--test-frames",
            "1",
            "--size",
            str(SIZE),
            "--tracer",
            "march",
        ]
        data = tmp_path / "data" / "female1-test-1x16-seed0"
        synthesise("female1", data, which="test", frames=1, size=SIZE, subdivisions=0)
        arguments = ["experiment", "expressions", "--out", str(tmp_path), "--run", str(run), *small]
        result = CliRunner().invoke(evaluate, arguments)
        assert result.exit_code == 0, result.output
        assert "expressions.md" in result.output

    def test_config_and_minutes_change_the_preset(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        plans: list[ExperimentPlan] = []
        row = EXPERIMENTS["table2"]

        def record(experiment: ExperimentRun) -> list[Path]:
            plans.append(experiment.plan)
            return []

        monkeypatch.setitem(EXPERIMENTS, "table2", replace(row, run=record))
        (tmp_path / "config.toml").write_text(to_toml(SETTINGS))
        options = [
            "--config",
            str(tmp_path / "config.toml"),
            "--minutes",
            "3",
            "--subjects",
            "male1, male2",
        ]
        result = CliRunner().invoke(
            evaluate, ["experiment", "table2", "--out", str(tmp_path / "o"), *options]
        )
        assert result.exit_code == 0, result.output
        assert plans[0].subjects == ("male1", "male2")
        assert plans[0].base == replace(SETTINGS, schedule=replace(SETTINGS.schedule, minutes=3.0))

    def test_unknown_names_are_reported(self, tmp_path: Path) -> None:
        for arguments, words in (
            (["table22"], "did you mean 'table2'"),
            (["fig5", "--preset", "huge"], "preset"),
        ):
            result = CliRunner().invoke(
                evaluate, ["experiment", *arguments, "--out", str(tmp_path)]
            )
            assert (result.exit_code, words in result.output) == (2, True)

    def test_help_lists_the_table(self) -> None:
        text = CliRunner().invoke(evaluate, ["experiment", "--help"]).output
        assert all(name in text for name in EXPERIMENTS)

    def test_columns_are_metrics(self) -> None:
        from imavatar_deploy.training.evaluation.metrics import METRICS

        assert set(COLUMNS) <= set(METRICS)
