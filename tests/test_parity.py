"""Parity reports: names, shapes, values, and frames by PSNR."""

from __future__ import annotations

import numpy as np
import pytest

from imavatar_deploy.fidelity.parity import ParityReport, Tolerance, compare, compare_frames

LIMIT = {"rgb": Tolerance(1e-3), "mask": Tolerance(0.0)}


def arrays(**changes: object) -> dict[str, np.ndarray]:
    rgb = np.linspace(0, 1, 12).reshape(4, 3)
    return {"rgb": rgb, "mask": np.ones(4)} | changes  # type: ignore[return-value, operator]


def test_equal_arrays_pass() -> None:
    report = compare("texture", arrays(), arrays(), LIMIT)
    assert report.passed
    assert report.problems() == ""


def test_difference_names_place_size_and_the_tolerance_that_would_pass() -> None:
    candidate = arrays()
    candidate["rgb"] = candidate["rgb"].copy()
    candidate["rgb"][2, 1] += 5e-3
    report = compare("texture", arrays(), candidate, LIMIT)
    assert not report.passed
    assert report.problems() == (
        "texture.rgb differs by 5.00e-03 at [2, 1], tolerance 1e-03 "
        "(an absolute 5.0e-03 would pass)"
    )


def test_relative_part_counts_with_the_reference() -> None:
    reference = {"x": np.array([100.0, 1.0])}
    candidate = {"x": np.array([100.9, 1.0])}
    assert compare("x", reference, candidate, {"x": Tolerance(0.0, relative=1e-2)}).passed
    assert not compare("x", reference, candidate, {"x": Tolerance(0.0, relative=1e-3)}).passed


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_fails(value: float) -> None:
    candidate = arrays(mask=np.array([1.0, value, 1.0, 1.0]))
    assert not compare("texture", arrays(), candidate, LIMIT).passed


def test_values_without_a_reference_are_not_compared() -> None:
    reference = {"x": np.zeros(100)}
    reference["x"][3] = np.nan
    candidate = {"x": np.zeros(100)}
    candidate["x"][3] = 1.0
    limit = {"x": Tolerance(1e-3)}
    assert compare("x", reference, candidate, limit).passed
    assert not compare("x", reference, {"x": candidate["x"] + 1.0}, limit).passed
    candidate["x"][3] = np.nan
    assert not compare("x", reference, candidate, limit).passed
    reference["x"][:3] = np.nan
    report = compare("x", reference, {"x": np.zeros(100)}, limit)
    assert report.problems() == "x.x has no reference for 4% of its values, 2% are allowed"


def test_missing_unexpected_and_misshapen_are_all_listed() -> None:
    report = compare("texture", arrays(), {"rgb": np.zeros((4, 4)), "alpha": np.zeros(4)}, LIMIT)
    assert "texture.rgb must have shape [4, 3], got [4, 4]" in report.problems()
    assert "texture.mask is missing" in report.problems()
    assert "texture.alpha was not expected" in report.problems()
    assert report.as_dict()["passed"] is False


class TestLikeness:
    def test_is_the_psnr_of_all_frames_and_of_the_worst(self) -> None:
        reference = np.full((2, 5, 3), 0.5)
        candidate = reference + np.array([0.0, 0.01])[:, None, None]
        row = compare_frames("motion", reference, candidate, required_psnr=42.0)
        assert row.frames == 2
        assert row.psnr == pytest.approx(40 + 10 * np.log10(2))
        assert row.min_frame_psnr == pytest.approx(40)
        assert ParityReport("student", frame_metrics=(row,)).passed

    @pytest.mark.parametrize(
        ("error", "message"), [(0.01, "reaches 40.0 dB, 42 dB are required (try)"), (np.nan, "nan")]
    )
    def test_too_little_of_it_fails_in_one_sentence(self, error: float, message: str) -> None:
        reference = np.zeros((2, 5, 3))
        row = compare_frames(
            "motion", reference, reference + error, required_psnr=42.0, remedy="try"
        )
        report = ParityReport("student", frame_metrics=(row,))
        assert not report.passed
        assert message in report.problems()
        assert report.problems().startswith("student.motion reaches")
        assert report.as_dict()["frames"]["motion"]["least"] == 42.0

    def test_what_is_equal_has_a_number_too(self) -> None:
        row = compare_frames("motion", np.ones((1, 3)), np.ones((1, 3)), required_psnr=42.0)
        assert row.psnr == row.min_frame_psnr == 200.0
        assert (
            "problem"
            not in ParityReport("student", frame_metrics=(row,)).as_dict()["frames"]["motion"]
        )
