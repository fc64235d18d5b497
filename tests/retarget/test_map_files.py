"""Map files: round trips of ours, third-party layouts, and refusal of damaged files."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from imavatar_deploy.errors import InputError, UsageError
from imavatar_deploy.retarget import ExpressionMap, MapFit, read_map, write_map
from imavatar_deploy.retarget.arkit import ARKIT, ARKIT_NAMES
from imavatar_deploy.retarget.expression_map import CONTROLS, INPUTS
from imavatar_deploy.retarget.map_files import MAX_BYTES
from imavatar_deploy.retarget.third_party_maps import COLUMN_COUNTS, MEDIAPIPE_NAMES

FIT = MapFit(
    how="shapes",
    made_from="openhead, FLAME2020.pkl",
    ridge=1e-6,
    samples=51,
    residual=0.4,
    moved=3.1,
)
WHOLE = np.random.default_rng(0).normal(size=(52, 59)).astype(np.float32)
TALKATIVE = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def member(array: Any) -> bytes:
    content = io.BytesIO()
    np.save(content, array)
    return content.getvalue()


class TestOurs:
    @pytest.mark.parametrize("source", INPUTS)
    def test_comes_back(self, tmp_path: Path, source: str) -> None:
        random = np.random.default_rng(1)
        matrix = random.normal(size=(len(INPUTS[source]), 59))
        bias = random.normal(size=59)
        chart = ExpressionMap(
            source, "flame2020", matrix.astype(np.float32), bias.astype(np.float32), FIT
        )
        write_map(chart, tmp_path / "map.npz")
        back = read_map(tmp_path / "map.npz")
        assert (back.source, back.target, back.fit, back.inputs) == (
            source,
            "flame2020",
            FIT,
            INPUTS[source],
        )
        np.testing.assert_array_equal(back.matrix, chart.matrix)
        np.testing.assert_array_equal(back.bias, chart.bias)

    def test_plain_numpy_and_json_read_it(self, tmp_path: Path) -> None:
        write_map(ExpressionMap(ARKIT, "flame2020", WHOLE, fit=FIT), tmp_path / "map.npz")
        with np.load(tmp_path / "map.npz", allow_pickle=False) as file:
            header = json.loads(str(file["header"]))
            assert tuple(file["inputs"]) == ARKIT_NAMES
            assert tuple(file["outputs"]) == CONTROLS
            np.testing.assert_array_equal(file["matrix"], WHOLE)
        assert (header["format"], header["source"], header["target"]) == (
            "imavatar-map",
            ARKIT,
            "flame2020",
        )
        assert header["fit"]["made_from"] == FIT.made_from

    def test_name_says_what_it_is(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match=r"written as \.npz, got"):
            write_map(ExpressionMap(ARKIT, "flame2020", WHOLE), tmp_path / "map.json")
        assert not list(tmp_path.iterdir())

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"source": "arkit51"}, "must read one of arkit52"),
            ({"target": "flame"}, "must write one of flame2017"),
            ({"matrix": WHOLE[:51]}, r"matrix must have shape \[52, 59\], got \[51, 59\]"),
            ({"matrix": WHOLE * np.nan}, "matrix must be finite"),
            ({"bias": np.zeros(50)}, "bias must have shape"),
        ],
    )
    def test_impossible_maps(self, changes: dict[str, Any], words: str) -> None:
        with pytest.raises(InputError, match=words):
            replace(ExpressionMap(ARKIT, "flame2020", WHOLE), **changes)

    @pytest.mark.parametrize("changes", [{"how": "magic"}, {"residual": np.nan}, {"samples": -1}])
    def test_impossible_fits(self, changes: dict[str, Any]) -> None:
        with pytest.raises(InputError, match="a map"):
            replace(FIT, **changes)

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"header": np.array("{")}, "header of this map is damaged"),
            (
                {"header": np.array(json.dumps({"format": "imavatar-map", "version": 2}))},
                "imavatar-map 2, expected",
            ),
            ({"header": np.array(json.dumps({"format": "imavatar-map", "version": 1}))}, "damaged"),
            ({"inputs": np.array(ARKIT_NAMES[::-1])}, "not those of a map from arkit52"),
            ({"outputs": np.array(CONTROLS[1:])}, "not those of a map from arkit52"),
            ({"matrix": WHOLE.astype(complex)}, "must be numbers|damaged"),
            ({"matrix": np.array([{}])}, "not a readable .npz of plain arrays"),
        ],
    )
    def test_damage_is_told(self, tmp_path: Path, changes: dict[str, Any], words: str) -> None:
        write_map(ExpressionMap(ARKIT, "flame2020", WHOLE, fit=FIT), tmp_path / "map.npz")
        with np.load(tmp_path / "map.npz") as file:
            arrays = dict(file) | changes
        np.savez(tmp_path / "spoilt.npz", **arrays)
        with pytest.raises(InputError, match=words) as raised:
            read_map(tmp_path / "spoilt.npz")
        assert str(tmp_path / "spoilt.npz") in str(raised.value)

    def test_a_flood_is_refused_unread(self, tmp_path: Path) -> None:
        with zipfile.ZipFile(tmp_path / "map.npz", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("header.npy", bytes(MAX_BYTES + 1))
        with pytest.raises(InputError, match="a map is smaller than 16 MB, got 16 MB"):
            read_map(tmp_path / "map.npz")


def published(order: tuple[str, ...] = MEDIAPIPE_NAMES) -> tuple[dict[str, Any], Any]:
    """Arrays of a published map (52 x 100, 52 x 3, 52 x 6), and the matrix that they stand for."""
    random = np.random.default_rng(2)
    parts = {"bs2exp": (52, 100), "bs2jaw": (52, 3), "bs2eye": (52, 6)}
    arrays = {name: random.normal(size=shape).astype(np.float32) for name, shape in parts.items()}
    rows = np.concatenate([arrays["bs2exp"][:, :50], arrays["bs2jaw"], arrays["bs2eye"]], axis=1)
    named = dict(zip(order, rows, strict=True))
    return arrays, np.array([named.get(name, np.zeros(59)) for name in ARKIT_NAMES])


class TestForeign:
    def test_mediapipe_counts_52_in_its_own_order(self) -> None:
        assert len(MEDIAPIPE_NAMES) == 52
        assert MEDIAPIPE_NAMES[:2] == ("_neutral", "browDownLeft")
        assert MEDIAPIPE_NAMES[9] == "eyeBlinkLeft"
        assert MEDIAPIPE_NAMES[-1] == "noseSneerRight"

    @pytest.mark.parametrize("given_as", ["folder", "first file", "npz"])
    def test_a_published_map(self, tmp_path: Path, given_as: str) -> None:
        arrays, meant = published()
        path = tmp_path / "mappings"
        path.mkdir()
        for name, array in arrays.items():
            np.save(path / f"{name}.npy", array)
        if given_as == "first file":
            path = path / "bs2exp.npy"
        elif given_as == "npz":
            path = tmp_path / "all.npz"
            np.savez(path, **arrays)
        chart = read_map(path)
        assert (chart.source, chart.target) == (ARKIT, None)
        np.testing.assert_array_equal(chart.matrix, meant)
        assert "does not name" in chart.summary

    def test_its_earlier_form_has_the_jaw_behind_the_head(self, tmp_path: Path) -> None:
        arrays, meant = published()
        jaw = arrays.pop("bs2jaw")
        np.savez(
            tmp_path / "old.npz",
            **arrays,
            bs2pose=np.concatenate([np.full((52, 3), 9.0), jaw], axis=1),
        )
        np.testing.assert_array_equal(read_map(tmp_path / "old.npz").matrix, meant)

    @pytest.mark.parametrize("width", COLUMN_COUNTS)
    @pytest.mark.parametrize("rows", [52, 53])
    def test_npy_counts_its_columns(self, tmp_path: Path, width: int, rows: int) -> None:
        matrix = np.random.default_rng(3).normal(size=(rows, width))
        np.save(tmp_path / "map.npy", matrix)
        chart = read_map(tmp_path / "map.npy")
        first = 100 if width >= 100 else 50
        whole = np.concatenate([chart.matrix, chart.bias[None]])[:rows]
        np.testing.assert_allclose(whole[:, :50], matrix[:, :50], rtol=1e-6)
        np.testing.assert_allclose(whole[:, 50 : 50 + width - first], matrix[:, first:], rtol=1e-6)
        assert not whole[:, 50 + width - first :].any()

    def test_npz_by_words(self, tmp_path: Path) -> None:
        order = np.random.default_rng(4).permutation(52)[:40]
        arrays = {
            "expression": WHOLE[order, :50],
            "jaw": WHOLE[order, 50:53],
            "eyes": WHOLE[order, 53:],
        }
        names = np.array(ARKIT_NAMES)[order]
        np.savez(tmp_path / "map.npz", **arrays, names=names, edition="flame2020", bias=WHOLE[0])
        chart = read_map(tmp_path / "map.npz")
        assert chart.target == "flame2020"
        np.testing.assert_array_equal(chart.matrix[order], WHOLE[order])
        assert not np.delete(chart.matrix, order, axis=0).any()
        np.testing.assert_array_equal(chart.bias, WHOLE[0])

    @pytest.mark.parametrize("heading", ["", "shape," + ",".join(CONTROLS) + "\n"])
    def test_csv_by_names(self, tmp_path: Path, heading: str) -> None:
        rows = [
            f"{name}, {', '.join(map(str, row))}"
            for name, row in zip(ARKIT_NAMES, WHOLE, strict=True)
        ]
        rows.append(f"bias,{','.join(map(str, WHOLE[3]))}\n")
        (tmp_path / "map.csv").write_text(heading + "\n".join(rows[::-1]), encoding="utf-8-sig")
        chart = read_map(tmp_path / "map.csv")
        np.testing.assert_array_equal(chart.matrix, WHOLE)
        np.testing.assert_array_equal(chart.bias, WHOLE[3])

    @pytest.mark.parametrize(
        ("name", "content", "words"),
        [
            (
                "map.npy",
                member(WHOLE[:51]),
                "52 rows in Apple's order, got 51; give their ARKit names",
            ),
            (
                "map.npy",
                member(WHOLE[:, :58]),
                "must have 50, 53, 59, 100, 103, 109 columns, got 58",
            ),
            ("map.npy", member(WHOLE[0]), r"must have shape \[n, columns\], got \[59\]"),
            ("map.npy", member(np.full((52, 59), np.nan)), "must be finite"),
            ("map.npy", member(np.full((52, 59), "a")), "must hold numbers, got <U1"),
            ("map.npy", member(np.array([{}])), "not a readable .npy of plain numbers"),
            ("map.npy", b"", "not a readable .npy"),
            ("map.csv", b"", "holds no row"),
            ("map.csv", b"shape,jaw.x", "holds no row"),
            ("map.csv", b"mouthSmileLeft,1,2", "must have 50, 53"),
            ("map.csv", b"jawOpen,1\njawOpen,x", "not a table of an ARKit name and numbers"),
            ("map.csv", b"jawOpen, -.5\n", "must have 50, 53"),
            ("map.csv", (b"bias" + b",1" * 50 + b"\n") * 2, "one bias"),
            ("map.csv", b"jawOpen,1\njawLeft,1,2", "not a table of an ARKit name and numbers"),
            ("map.csv", b"\xff\xfe", "not a table"),
            (
                "map.csv",
                b"jawOpen" + b",1" * 50 + b"\nsmile" + b",1" * 50,
                "'smile' is no ARKit shape",
            ),
            ("map.csv", (b"jawOpen" + b",1" * 50 + b"\n") * 2, "one name of its own"),
            ("map.csv", b"jawOpen," + b"'0.1 " * 3000, "not a table of an ARKit name and numbers"),
            (
                "map.npy",
                member(np.zeros(3)).replace(b"(3,), }   ", b"(True,), }"),
                r"its shape is \(True,\)",
            ),
            ("map.json", b"{}", "no map ends in '.json'"),
            ("map.npz", b"PK", "not a readable .npz"),
        ],
    )
    def test_bad_shapes_are_one_sentence(
        self, tmp_path: Path, name: str, content: bytes, words: str
    ) -> None:
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=words) as raised:
            read_map(tmp_path / name)
        assert str(raised.value).startswith(str(tmp_path / name))
        assert "\n" not in str(raised.value)
        assert len(str(raised.value)) - len(str(tmp_path / name)) < 400

    @pytest.mark.parametrize(
        ("arrays", "words"),
        [
            ({"expression": WHOLE[:, :49]}, "at least 50 columns, got 49"),
            (
                {"expression": WHOLE[:, :50], "jaw": WHOLE[:51, :3]},
                r"jaw must have shape \[52, 3\], got \[51, 3\]",
            ),
            (
                {"expression": WHOLE[:, :50], "eyes": WHOLE[:, :3]},
                r"eyes must have shape \[52, 6\]",
            ),
            ({"expression": WHOLE[:, :50], "edition": "flame"}, "must write one of"),
            ({"expression": WHOLE[:, :50], "names": np.array(["jawOpen"])}, "1 names for 52 rows"),
            ({"matrix": WHOLE}, "holds matrix; expected expression, jaw, eyes"),
            ({"bs2exp": WHOLE[:51, :50]}, r"bs2exp must have shape \[52, E\], got \[51, 50\]"),
            (
                {"bs2exp": WHOLE[:, :50], "bs2jaw": WHOLE[:, :6]},
                r"bs2jaw must have shape \[52, 3\]",
            ),
        ],
    )
    def test_bad_members_are_one_sentence(
        self, tmp_path: Path, arrays: dict[str, Any], words: str
    ) -> None:
        np.savez(tmp_path / "map.npz", **arrays)
        with pytest.raises(InputError, match=words):
            read_map(tmp_path / "map.npz")

    def test_an_archive_by_another_name(self, tmp_path: Path) -> None:
        np.savez(tmp_path / "map.npz", expression=WHOLE)
        (tmp_path / "map.npz").rename(tmp_path / "map.npy")
        with pytest.raises(InputError, match="an archive; call it"):
            read_map(tmp_path / "map.npy")

    def test_an_empty_folder_is_no_map(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match=r"holds no bs2exp\.npy"):
            read_map(tmp_path)


def refused_or_read(path: Path) -> None:
    """Any bytes give a map or an InputError."""
    try:
        chart = read_map(path)
    except InputError:
        return
    assert np.isfinite(chart.matrix).all()


def honest_files(folder: Path) -> dict[str, bytes]:
    write_map(ExpressionMap(ARKIT, "flame2020", WHOLE, fit=FIT), folder / "map.npz")
    rows = "\n".join(f"{name},{','.join(['0.5'] * 50)}" for name in ARKIT_NAMES)
    return {
        "map.npz": (folder / "map.npz").read_bytes(),
        "map.npy": member(WHOLE),
        "map.csv": rows.encode(),
    }


class TestFuzz:
    @TALKATIVE
    @given(name=st.sampled_from(["map.npz", "map.npy", "map.csv"]), content=st.binary(max_size=200))
    def test_noise(self, tmp_path: Path, name: str, content: bytes) -> None:
        (tmp_path / name).write_bytes(content)
        refused_or_read(tmp_path / name)

    @TALKATIVE
    @given(data=st.data(), name=st.sampled_from(["map.npz", "map.npy", "map.csv"]))
    def test_honest_files_with_a_few_bytes_changed(
        self, tmp_path: Path, data: st.DataObject, name: str
    ) -> None:
        content = bytearray(honest_files(tmp_path)[name])
        near_an_end = st.one_of(
            st.integers(0, 300), st.integers(len(content) - 900, len(content) - 1)
        )
        for place in data.draw(st.lists(near_an_end, min_size=1, max_size=4)):
            content[place] = data.draw(st.integers(0, 255))
        cut = data.draw(st.sampled_from([None, None, len(content) // 2, -1]))
        (tmp_path / name).write_bytes(content[:cut])
        refused_or_read(tmp_path / name)

    @TALKATIVE
    @given(data=st.data())
    def test_members_of_any_kind(self, tmp_path: Path, data: st.DataObject) -> None:
        keys = [
            "header",
            "matrix",
            "bias",
            "inputs",
            "outputs",
            "expression",
            "jaw",
            "names",
            "edition",
            "bs2exp",
        ]
        header = json.dumps(
            {"format": "imavatar-map", "version": 1, "source": ARKIT, "target": None, "fit": None}
        )
        makers: list[Callable[[], Any]] = [
            lambda: WHOLE,
            lambda: WHOLE[0],
            lambda: np.array(ARKIT_NAMES),
            lambda: np.array(header),
            lambda: np.array([1 + 2j]),
            lambda: np.zeros((0, 0)),
            lambda: np.array([np.inf] * 59),
            lambda: np.array(data.draw(st.text(max_size=5))),
        ]
        members = data.draw(
            st.dictionaries(st.sampled_from(keys), st.sampled_from(makers), max_size=5)
        )
        np.savez(tmp_path / "map.npz", **{key: make() for key, make in members.items()})
        refused_or_read(tmp_path / "map.npz")
