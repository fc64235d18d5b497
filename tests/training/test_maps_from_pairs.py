"""Maps from paired recordings: known maps are recovered, lambda fits the noise, files are read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from imavatar_deploy.errors import InputError
from imavatar_deploy.retarget.arkit import ARKIT, ARKIT_NAMES
from imavatar_deploy.retarget.expression_map import CONTROLS
from imavatar_deploy.training.retargeting.fit_pairs import fit_pairs, ridge, select_ridge
from imavatar_deploy.training.retargeting.recordings import Recording, read_recording

Double = NDArray[np.float64]

ANGLES = ("HeadYaw", "HeadPitch", "HeadRoll", "LeftEyeYaw", "LeftEyePitch", "LeftEyeRoll")


def wandering(frames: int, columns: int, seed: int = 0, every: int = 8) -> Double:
    """[T, n] smooth curves in 0..1 that are near zero half of the time, as a face is."""
    random = np.random.default_rng(seed)
    knots = np.maximum(random.uniform(-1, 1, (frames // every + 2, columns)), 0)
    times = np.arange(frames) / every
    return np.stack([np.interp(times, np.arange(len(knots)), column) for column in knots.T], axis=1)


def truth(seed: int = 5) -> Double:
    return np.random.default_rng(seed).normal(size=(52, 59)) * np.where(
        np.arange(59) < 50, 1.0, 0.1
    )


def paired_recordings(
    noise: float, frames: int = 900, seed: int = 0
) -> tuple[Recording, Recording, Double]:
    """ARKit at 60 a second; codes at 25 that begin half a second later and have an offset."""
    matrix = truth()
    values = wandering(frames, 52, seed)
    source = Recording(ARKIT, np.arange(frames) / 60.0, values + 0.07)
    times = np.arange(int((frames / 60.0 - 0.5) * 25)) / 25.0
    weights = np.stack(
        [np.interp(times + 0.5, source.times, column) for column in values.T], axis=1
    )
    random = np.random.default_rng(seed + 1)
    codes = weights @ matrix + random.normal(size=59) + noise * random.normal(size=(len(times), 59))
    return source, Recording("flame2020", times, codes), matrix


class TestRidge:
    def test_least_squares_where_nothing_holds_it_back(self) -> None:
        random = np.random.default_rng(0)
        inputs = random.normal(size=(200, 12))
        known = random.normal(size=(12, 4))
        np.testing.assert_allclose(ridge(inputs, inputs @ known, 0.0), known, atol=1e-10)

    def test_is_the_normal_equations(self) -> None:
        random = np.random.default_rng(1)
        inputs = random.normal(size=(60, 9))
        outputs = random.normal(size=(60, 3))
        expected = np.linalg.solve(inputs.T @ inputs + 2.5 * np.eye(9), inputs.T @ outputs)
        np.testing.assert_allclose(ridge(inputs, outputs, 2.5), expected, atol=1e-12)

    def test_an_input_that_never_moves_has_no_effect(self) -> None:
        inputs = np.random.default_rng(2).normal(size=(60, 4)) * [1, 1, 0, 1]
        assert not ridge(inputs, inputs[:, :2], 0.1)[2].any()

    def test_the_noisier_the_stronger(self) -> None:
        random = np.random.default_rng(3)
        inputs = random.normal(size=(300, 40))
        known = random.normal(size=(40, 6))
        clean = inputs @ known
        ridges = [
            select_ridge(inputs, clean + noise * random.normal(size=clean.shape)).ridge
            for noise in (0.0, 10.0, 100.0)
        ]
        assert ridges[0] == pytest.approx(1e-6 * (inputs**2).sum() / 40), "the weakest of all"
        assert ridges[0] < ridges[1] < ridges[2]

    def test_the_chosen_lambda_is_nearest_to_the_truth(self) -> None:
        """Of all candidates, within a tenth of the one that is best by the known matrix."""
        random = np.random.default_rng(4)
        inputs = wandering(600, 52)
        known = random.normal(size=(52, 10))
        noisy = inputs @ known + 4.0 * random.normal(size=(600, 10))
        selection = select_ridge(inputs, noisy)
        fresh = wandering(600, 52, seed=9)
        errors = [
            ((fresh @ (ridge(inputs, noisy, strength) - known)) ** 2).mean()
            for strength in selection.candidates
        ]
        error = errors[int(np.argmin(np.abs(selection.candidates - selection.ridge)))]
        assert error < 1.1 * min(errors)
        assert error < 0.5 * errors[0], "weaker ones learn the noise"


class TestPairs:
    def test_a_known_map_is_found_again(self) -> None:
        source, target, matrix = paired_recordings(noise=0.0, frames=3600)
        fit = fit_pairs([(source, target)], "test", offset=0.5)
        assert (fit.expression_map.source, fit.expression_map.target) == (ARKIT, "flame2020")
        np.testing.assert_allclose(fit.expression_map.matrix, matrix, rtol=0, atol=2e-3)
        assert not fit.expression_map.bias.any()
        assert np.nanmin(fit.explained) > 0.999
        assert fit.unmoved_inputs == []
        assert fit.expression_map.fit is not None
        assert fit.expression_map.fit.residual < 1e-2 < fit.expression_map.fit.moved

    def test_noise_is_reported_and_not_learnt(self) -> None:
        source, target, matrix = paired_recordings(noise=0.5, frames=3600)
        fit = fit_pairs([(source, target)], "test", offset=0.5)
        assert (
            np.corrcoef(fit.expression_map.matrix[:, :50].ravel(), matrix[:, :50].ravel())[0, 1]
            > 0.97
        )
        assert fit.expression_map.fit is not None
        assert fit.expression_map.fit.residual == pytest.approx(0.5, rel=0.1), (
            "what is left is the noise"
        )
        assert fit.explained[:50].mean() > 0.8

    def test_a_wrong_offset_shows(self) -> None:
        source, target, _ = paired_recordings(noise=0.0)
        right, wrong = (fit_pairs([(source, target)], "", offset=offset) for offset in (0.5, 0.0))
        assert np.nanmean(wrong.explained) < 0.5 < np.nanmean(right.explained)

    def test_recordings_of_one_performance_go_together(self) -> None:
        """Also with noise as large as the motion."""
        spread = (wandering(900, 52) @ truth())[:, :50].std()
        for noise in (0.0, 0.5, float(spread)):
            source, target, _ = paired_recordings(noise)
            fit = fit_pairs([(source, target)], "", offset=0.5)
            fit.ensure_one_performance()
            assert [one.is_one_performance for one in fit.relations] == [True]

    @pytest.mark.parametrize(("frames", "seed"), [(400, 1), (900, 2), (2400, 3)])
    def test_recordings_of_different_performances_are_refused(self, frames: int, seed: int) -> None:
        """Another take of the same person, a head that stays still, and a wrong offset."""
        source, target, _ = paired_recordings(0.0, frames, seed=10 * seed)
        times = target.times
        motion = wandering(len(times), 52, seed=10 * seed + 1, every=5) @ truth()
        other = Recording("flame2020", times, motion)
        for second, offset in ((other, 0.5), (target, -0.63)):
            fit = fit_pairs([(source, second)], "", offset=offset)
            with pytest.raises(InputError, match="the recordings do not go together.*--offset"):
                fit.ensure_one_performance()
        still = Recording("flame2020", times, np.zeros_like(target.values))
        with pytest.raises(InputError, match="explains 0 % of the motion"):
            fit_pairs([(source, still)], "", offset=0.5).ensure_one_performance()

    def test_one_of_two_pairs_is_named(self) -> None:
        source, target, _ = paired_recordings(0.0, 1200)
        _, other, _ = paired_recordings(0.0, 1200, seed=7)
        fit_pairs([(source, target)] * 2, "", offset=0.5).ensure_one_performance()
        fit = fit_pairs([(source, target), (source, other)], "", offset=0.5)
        with pytest.raises(InputError, match="the recordings of pair 2 do not go together"):
            fit.ensure_one_performance()

    def test_short_pairs_are_judged_together(self) -> None:
        """Of 80 frames each, which are too few for a judgement."""
        pairs = []
        for seed in range(4):
            source, target, _ = paired_recordings(0.0, 400, seed=seed)
            pairs.append((source, Recording("flame2020", target.times[:80], target.values[:80])))
        fit = fit_pairs(pairs, "", offset=0.5)
        assert len(fit.relations) == 1
        fit.ensure_one_performance()

    def test_a_repeated_motion_goes_with_itself(self) -> None:
        """Some shifts in time meet the same motion again."""
        source, target, _ = paired_recordings(0.0, 300)
        values = np.concatenate([target.values] * 3)
        weights = np.concatenate(
            [
                np.stack(
                    [
                        np.interp(target.times + 0.5, source.times, column)
                        for column in source.values.T
                    ],
                    axis=1,
                )
            ]
            * 3
        )
        times = np.arange(len(values)) / 25
        pair = Recording(ARKIT, times, weights), Recording("flame2020", times, values)
        fit_pairs([pair], "").ensure_one_performance()

    def test_several_recordings_are_fitted_together(self) -> None:
        """Two people of different identity, each of whom leaves out one shape of the other's."""
        both = []
        for seed, still in ((0, 0), (3, 1)):
            source, target, matrix = paired_recordings(noise=0.0, frames=2400, seed=seed)
            values = source.values.copy()
            values[:, still] = 0.07
            moved = np.interp(target.times + 0.5, source.times, source.values[:, still] - 0.07)
            codes = target.values - np.outer(moved, matrix[still])
            both.append(
                (
                    Recording(ARKIT, source.times, values),
                    Recording("flame2020", target.times, codes),
                )
            )
        fit = fit_pairs(both, "", offset=0.5)
        np.testing.assert_allclose(fit.expression_map.matrix, matrix, rtol=0, atol=5e-3)
        alone = fit_pairs(both[:1], "", offset=0.5)
        assert alone.unmoved_inputs == [ARKIT_NAMES[0]]
        assert np.abs(alone.expression_map.matrix[0]).max() < 1e-12

    def test_between_two_head_models(self) -> None:
        codes = np.random.default_rng(0).normal(size=(59, 59)) * 0.2
        values = wandering(1500, 59) * np.where(np.arange(59) < 50, 1.0, 0.3)
        times = np.arange(1500) / 25.0
        fit = fit_pairs(
            [
                (
                    Recording("flame2019", times, values),
                    Recording("flame2023", times, values @ codes),
                )
            ],
            "",
        )
        assert (fit.expression_map.source, fit.expression_map.target) == ("flame2019", "flame2023")
        np.testing.assert_allclose(fit.expression_map.matrix, codes, rtol=0, atol=5e-3)

    @pytest.mark.parametrize(
        ("pairs", "offset", "words"),
        [
            (lambda a, b: [(a, b)], 60.0, "do not overlap in time .*correct --offset"),
            (lambda a, b: [(a, b)], 13.0, "overlap in time, and at least 100 are required"),
            (lambda a, b: [(b, a)], 0.0, "head model's codes, got arkit52; exchange the two"),
            (
                lambda a, b: [(a, b), (b, b)],
                0.0,
                "same two kinds, got arkit52 -> flame2020 and flame2020 -> flame2020",
            ),
        ],
    )
    def test_refusals(self, pairs: object, offset: float, words: str) -> None:
        source, target, _ = paired_recordings(noise=0.0)
        with pytest.raises(InputError, match=words):
            fit_pairs(pairs(source, target), "", offset=offset)  # type: ignore[operator]


def live_link(path: Path, values: Double, codes: Sequence[str], counts: Sequence[int] = ()) -> Path:
    """Write a take as the app does: capitals, and angles of head and eyes after the 52 shapes."""
    names = [name[0].upper() + name[1:] for name in ARKIT_NAMES]
    lines = [",".join(["Timecode", "BlendShapeCount", *names, *ANGLES])]
    for index, (code, row) in enumerate(zip(codes, values, strict=True)):
        count = counts[index] if counts else 61
        lines.append(
            ",".join(
                [code, str(count), *(f"{value:.9f}" for value in [*row, *[0.1] * len(ANGLES)])]
            )
        )
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


class TestLiveLink:
    def test_names_and_times(self, tmp_path: Path) -> None:
        values = wandering(4, 52)
        codes = ["10:59:59:58.500", "10:59:59:59.500", "11:00:00:00.500", "11:00:00:01.500"]
        recording = read_recording(live_link(tmp_path / "take.csv", values, codes))
        assert recording.vocabulary == ARKIT
        np.testing.assert_allclose(recording.values, values, atol=1e-8)
        np.testing.assert_allclose(recording.times, np.arange(4) / 60.0, atol=1e-9)

    @pytest.mark.parametrize("rate", [24, 25, 30, 60])
    def test_rate_is_what_the_frames_count_to(self, tmp_path: Path, rate: int) -> None:
        codes = [
            f"23:59:{58 + index // rate if index < 2 * rate else 0}:{index % rate}.000"
            for index in range(2 * rate)
        ]
        recording = read_recording(
            live_link(tmp_path / "take.csv", np.zeros((2 * rate, 52)), codes)
        )
        np.testing.assert_allclose(recording.times, np.arange(2 * rate) / rate, atol=1e-9)

    def test_midnight_and_plain_frames(self, tmp_path: Path) -> None:
        over = read_recording(
            live_link(tmp_path / "a.csv", np.zeros((2, 52)), ["23:59:59:59.000", "00:00:00:00.000"])
        )
        plain = read_recording(live_link(tmp_path / "b.csv", np.zeros((2, 52)), ["17", "18"]))
        for recording in (over, plain):
            np.testing.assert_allclose(recording.times, [0, 1 / 60], atol=1e-9)

    def test_rows_without_a_face_are_left_out(self, tmp_path: Path) -> None:
        codes = [f"00:00:00:{index:02d}.000" for index in range(3)]
        recording = read_recording(
            live_link(tmp_path / "take.csv", wandering(3, 52), codes, [61, 0, 61])
        )
        np.testing.assert_allclose(recording.times, [0, 2 / 60], atol=1e-9)

    def test_a_take_and_its_track_fit(self, tmp_path: Path) -> None:
        """ARKit weights from a file against the codes."""
        source, target, matrix = paired_recordings(noise=0.0, frames=1800)
        codes = [f"00:00:{index // 60:02d}:{index % 60:02d}.000" for index in range(1800)]
        read = read_recording(live_link(tmp_path / "take.csv", source.values, codes))
        fit = fit_pairs([(read, target)], "", offset=0.5)
        np.testing.assert_allclose(fit.expression_map.matrix, matrix, rtol=0, atol=5e-3)

    @pytest.mark.parametrize(
        ("text", "words"),
        [
            ("", "has no column timecode .53 of 53 are missing"),
            (
                "Timecode,BlendShapeCount,EyeBlinkLeft\n0:0:0:0,61,1\n",
                "has no column eyeLookDownLeft .51 of 53",
            ),
            ("{head}\n0:0:0:0,61" + ",x" * 52, "not a table of ARKit weights"),
            ("{head}\n0:0:0:0,61" + ",nan" * 52, "weights that are not finite"),
            ("{head}\n0:0:0:0,61,1", "not a table of ARKit weights"),
            ("{head}\n0:0:0:0,0" + ",1" * 52, "no frame with a face"),
            ("{head}\n0:0:0,61" + ",1" * 52, "a timecode must be HH:MM:SS:FF"),
        ],
    )
    def test_damaged_files(self, tmp_path: Path, text: str, words: str) -> None:
        path = tmp_path / "take.csv"
        path.write_text(
            text.replace("{head}", ",".join(["Timecode", "BlendShapeCount", *ARKIT_NAMES]))
        )
        with pytest.raises(InputError, match=words) as raised:
            read_recording(path)
        assert str(path) in str(raised.value)

    @settings(
        max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
    )
    @given(data=st.data())
    def test_noise(self, tmp_path: Path, data: st.DataObject) -> None:
        path = live_link(tmp_path / "take.csv", np.zeros((2, 52)), ["0:0:0:0", "0:0:0:1"])
        content = bytearray(path.read_bytes())
        for _ in range(data.draw(st.integers(1, 6))):
            content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
        path.write_bytes(
            data.draw(
                st.sampled_from([bytes(content), bytes(content[: len(content) // 2]), b"\x00" * 9])
            )
        )
        try:
            recording = read_recording(path)
        except InputError:
            return
        assert np.isfinite(recording.values).all()
        assert np.isfinite(recording.times).all()


class TestTracks:
    def test_codes_of_a_track(self) -> None:
        recording = read_recording("talk")
        assert recording.vocabulary == "openhead"
        assert recording.values.shape == (len(recording.times), len(CONTROLS))
        assert recording.times[1] == pytest.approx(1 / 25)

    def test_another_edition_than_the_track_says(self) -> None:
        with pytest.raises(
            InputError, match="talk is a track of openhead, and --edition is flame2020"
        ):
            read_recording("talk", "flame2020")
