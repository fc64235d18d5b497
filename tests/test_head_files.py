"""Head-model files: every layout loads to the same arrays; damaged files are refused."""

from __future__ import annotations

import pickle
import sys
import types
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse

from imavatar_deploy.errors import EditionMismatchError, InputError
from imavatar_deploy.head_model import HeadModel
from imavatar_deploy.untrusted.flame_pickle import read_flame_pickle

V = 6


def flame(width: int = 400) -> dict[str, np.ndarray]:
    """A head model of six vertices with FLAME's keys."""
    random = np.random.default_rng(0)
    return {
        "v_template": random.normal(size=(V, 3)),
        "f": np.array([[0, 1, 2], [3, 4, 5]], dtype=np.uint32),
        "shapedirs": random.normal(size=(V, 3, width)),
        "posedirs": random.normal(size=(V, 3, 36)),
        "weights": np.full((V, 5), 0.2),
        "J_regressor": np.full((5, V), 1 / V),
        "kintree_table": np.array([[2**32 - 1, 0, 1, 1, 1], [0, 1, 2, 3, 4]]),
    }


def write_npz(folder: Path, arrays: dict[str, np.ndarray]) -> Path:
    np.savez(folder / "h.npz", **arrays)
    return folder / "h.npz"


def write_pickle(folder: Path, content: Any, protocol: int = 2) -> Path:
    (folder / "h.pkl").write_bytes(pickle.dumps(content, protocol))
    return folder / "h.pkl"


def assert_same(one: HeadModel, other: HeadModel) -> None:
    for field in fields(HeadModel):
        np.testing.assert_array_equal(getattr(one, field.name), getattr(other, field.name))


@pytest.fixture
def expected(tmp_path: Path) -> HeadModel:
    return HeadModel.load(write_npz(tmp_path, flame()), edition="flame2020")


class TestNpz:
    def test_columns_are_300_shape_and_the_first_50_of_100_expression(
        self, expected: HeadModel
    ) -> None:
        directions = flame()["shapedirs"].astype(np.float32)
        np.testing.assert_array_equal(expected.shape_basis, directions[:, :, :300])
        np.testing.assert_array_equal(expected.expression_basis, directions[:, :, 300:350])
        assert expected.expression_names[:2] == ("expression_00", "expression_01")
        assert expected.vertex_groups == ()

    def test_imavatars_columns_are_100_shape_and_50_expression(self, tmp_path: Path) -> None:
        arrays = flame(150)
        head = HeadModel.load(write_npz(tmp_path, arrays), edition="flame2020")
        np.testing.assert_array_equal(
            head.shape_basis, arrays["shapedirs"][:, :, :100].astype(np.float32)
        )
        np.testing.assert_array_equal(
            head.expression_basis, arrays["shapedirs"][:, :, 100:].astype(np.float32)
        )

    def test_says_its_own_edition_and_names(self, tmp_path: Path) -> None:
        names = [f"axis{index}" for index in range(50)]
        extra = {
            "edition": np.array("flame2023"),
            "expression_names": np.array(names),
            "vertex_group": np.full(V, "skin"),
        }
        head = HeadModel.load(write_npz(tmp_path, flame() | extra))
        assert head.edition == "flame2023"
        assert head.expression_names == tuple(names)
        assert head.vertex_groups == ("skin",) * V

    def test_reference_layouts_are_the_same_head(self, reference: Path) -> None:
        archive = HeadModel.load(reference / "openhead.npz", edition="openhead")
        pickled = HeadModel.load(reference / "openhead_flame.pkl", edition="openhead")
        for field in fields(HeadModel):
            one = getattr(archive, field.name)
            other = getattr(pickled, field.name)
            if isinstance(one, np.ndarray):
                np.testing.assert_allclose(one, other, rtol=0, atol=1e-8)


class TestPickle:
    @pytest.mark.parametrize("protocol", range(6))
    @pytest.mark.parametrize(
        "sparse", ["asarray", "csc_matrix", "csr_matrix", "coo_matrix", "csc_array", "coo_array"]
    )
    def test_every_protocol_and_sparse_layout(
        self, tmp_path: Path, expected: HeadModel, protocol: int, sparse: str
    ) -> None:
        arrays: dict[str, Any] = flame() | {"bs_style": "lbs"}
        arrays["J_regressor"] = getattr(np if sparse == "asarray" else scipy.sparse, sparse)(
            arrays["J_regressor"]
        )
        arrays["posedirs"] = np.asfortranarray(arrays["posedirs"])
        arrays["v_template"] = arrays["v_template"].astype(">f8")
        path = write_pickle(tmp_path, arrays, protocol)
        assert_same(HeadModel.load(path, edition="flame2020"), expected)

    def test_sparse_entries_land_where_they_belong(self, tmp_path: Path) -> None:
        dense = np.random.default_rng(0).normal(size=(5, V)) * (np.arange(V) % 2)
        for kind in (scipy.sparse.csc_matrix, scipy.sparse.csr_matrix, scipy.sparse.coo_matrix):
            path = write_pickle(tmp_path, {"J_regressor": kind(dense)})
            np.testing.assert_array_equal(
                read_flame_pickle(path, ["J_regressor"])["J_regressor"], dense
            )

    def test_old_module_names(self, tmp_path: Path, expected: HeadModel) -> None:
        arrays: dict[str, Any] = flame()
        arrays["J_regressor"] = scipy.sparse.csc_matrix(arrays["J_regressor"])
        content = (
            pickle.dumps(arrays, 2)
            .replace(b"numpy._core.", b"numpy.core.")
            .replace(b"sparse._csc", b"sparse.csc")
        )
        (tmp_path / "h.pkl").write_bytes(content)
        assert_same(HeadModel.load(tmp_path / "h.pkl", edition="flame2020"), expected)

    def test_python_2_strings(self, tmp_path: Path) -> None:
        """Python 2 wrote array bytes and keys as strings of one type: they are read as latin-1."""
        numbers = np.array([1.5, -2.0])
        (tmp_path / "h.pkl").write_bytes(
            b"\x80\x02}U\x0av_templatecnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
            b"(K\x01K\x02\x85cnumpy\ndtype\nU\x02f8K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
            b"\x89U\x10" + numbers.astype("<f8").tobytes() + b"tbs."
        )
        np.testing.assert_array_equal(
            read_flame_pickle(tmp_path / "h.pkl", ["v_template"])["v_template"], numbers
        )

    def test_does_not_import_what_it_reads(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = write_pickle(tmp_path, {"J_regressor": scipy.sparse.csc_matrix(np.eye(3))})
        for name in [name for name in sys.modules if name.split(".")[0] == "scipy"]:
            monkeypatch.setitem(sys.modules, name, None)
        np.testing.assert_array_equal(
            read_flame_pickle(path, ["J_regressor"])["J_regressor"], np.eye(3)
        )


class Chumpy:
    """Classes that are pickled like chumpy's; their modules exist while a file is written."""

    def __init__(self) -> None:
        self.modules: dict[str, types.ModuleType] = {}

    def make(self, module: str, name: str, **state: object) -> object:
        kind = type(name, (), {"__module__": module})
        vars(self.modules.setdefault(module, types.ModuleType(module))).setdefault(name, kind)
        instance = getattr(self.modules[module], name)()
        vars(instance).update(state)
        return instance

    def write(self, folder: Path, arrays: dict[str, Any], protocol: int = 2) -> Path:
        with pytest.MonkeyPatch.context() as patch:
            for name, module in (self.modules | {"chumpy": types.ModuleType("chumpy")}).items():
                patch.setitem(sys.modules, name, module)
            return write_pickle(folder, arrays, protocol)


class TestChumpy:
    @pytest.mark.parametrize("protocol", [0, 1, 2, 4])
    def test_stored_arrays(self, tmp_path: Path, expected: HeadModel, protocol: int) -> None:
        arrays = flame()
        chumpy = Chumpy()
        whole = chumpy.make(
            "chumpy.ch", "Ch", x=np.concatenate([np.zeros((1, 3, 400)), arrays["shapedirs"]])
        )
        slices = {"idxs": np.arange(3 * 400, (V + 1) * 3 * 400), "preferred_shape": (V, 3, 400)}
        formulas = {
            "v_template": chumpy.make("chumpy.ch", "Ch", x=arrays["v_template"], _dirty_vars={"x"}),
            "shapedirs": chumpy.make("chumpy.reordering", "Select", a=whole, **slices),
        }
        path = chumpy.write(tmp_path, arrays | formulas, protocol)
        assert "chumpy" not in sys.modules
        assert_same(HeadModel.load(path, edition="flame2020"), expected)

    def test_formula_without_array_is_named(self, tmp_path: Path) -> None:
        chumpy = Chumpy()
        path = chumpy.write(
            tmp_path, flame() | {"weights": chumpy.make("chumpy.ch_ops", "add", a=1, b=2)}
        )
        with pytest.raises(
            InputError, match=r"weights in .*h\.pkl is .*chumpy\.ch_ops\.add is a chumpy formula"
        ):
            HeadModel.load(path, edition="flame2020")


class Foreign:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


class TestForeignObjects:
    def test_refused_by_name_and_not_run(self, tmp_path: Path) -> None:
        trace = tmp_path / "made-by-the-file"
        path = write_pickle(tmp_path, flame() | {"surprise": Foreign(trace)}, 4)
        with pytest.raises(
            InputError,
            match=r"h\.pkl holds .*Path.*, which has no place in a head model; nothing .* run",
        ):
            HeadModel.load(path, edition="flame2020")
        assert not trace.exists()

    @pytest.mark.parametrize(
        ("content", "name"),
        [
            (b"cos\nsystem\n(S'touch x'\ntR.", "os.system"),
            (b"c__builtin__\neval\n(S'1'\ntR.", "__builtin__.eval"),
            (b"cnumpy.core.multiarray\nfromfile\n.", "numpy.core.multiarray.fromfile"),
            (b"cscipy.sparse.linalg\neigs\n.", "scipy.sparse.linalg.eigs"),
            (b"\x80\x04\x8c\x05numpy\x8c\x0dndarray.dumps\x93.", "numpy.ndarray.dumps"),
        ],
    )
    def test_name_is_told(self, tmp_path: Path, content: bytes, name: str) -> None:
        (tmp_path / "h.pkl").write_bytes(content)
        with pytest.raises(
            InputError, match=f"holds {name.replace('.', '[.]')}, which has no place"
        ):
            HeadModel.load(tmp_path / "h.pkl", edition="flame2020")

    def test_npz_with_objects(self, tmp_path: Path) -> None:
        arrays = flame() | {"weights": np.array([Foreign(tmp_path / "made")], dtype=object)}
        path = write_npz(tmp_path, arrays)
        with pytest.raises(InputError, match=r"not a readable \.npz of plain arrays"):
            HeadModel.load(path, edition="flame2020")
        assert not (tmp_path / "made").exists()

    def test_array_of_objects(self, tmp_path: Path) -> None:
        path = write_pickle(tmp_path, flame() | {"weights": np.array([None])})
        with pytest.raises(
            InputError, match=r"weights in .*h\.pkl is not a readable array \(arrays of object"
        ):
            HeadModel.load(path, edition="flame2020")


class TestEdition:
    def test_is_never_guessed(self, tmp_path: Path) -> None:
        for path in (write_npz(tmp_path, flame()), write_pickle(tmp_path, flame())):
            with pytest.raises(
                InputError, match=r"does not say which .* flame2017, flame2019, .* openhead"
            ):
                HeadModel.load(path)

    def test_contradiction(self, tmp_path: Path) -> None:
        path = write_npz(tmp_path, flame() | {"edition": np.array("flame2020")})
        with pytest.raises(
            EditionMismatchError, match="is of edition flame2020, and flame2023 was requested"
        ):
            HeadModel.load(path, edition="flame2023")
        with pytest.raises(EditionMismatchError, match="is of edition openhead"):
            HeadModel.load("openhead", edition="flame2020")

    def test_unknown_in_file(self, tmp_path: Path) -> None:
        path = write_npz(tmp_path, flame() | {"edition": np.array("smplx")})
        with pytest.raises(InputError, match="'smplx'; expected one of flame2017"):
            HeadModel.load(path)


@pytest.mark.parametrize("write", [write_npz, write_pickle], ids=["npz", "pkl"])
class TestBrokenFiles:
    @pytest.mark.parametrize("cut", [0, 10, 0.5, 0.99])
    def test_truncated(self, tmp_path: Path, write: Callable[..., Path], cut: float) -> None:
        path = write(tmp_path, flame())
        content = path.read_bytes()
        path.write_bytes(content[: int(cut if cut >= 1 else cut * len(content))])
        with pytest.raises(InputError, match="is not a readable"):
            HeadModel.load(path, edition="flame2020")

    def test_missing_keys(self, tmp_path: Path, write: Callable[..., Path]) -> None:
        arrays = flame()
        del arrays["posedirs"], arrays["weights"]
        path = write(tmp_path, arrays)
        with pytest.raises(InputError, match="lacks posedirs, weights; expected FLAME's keys"):
            HeadModel.load(path, edition="flame2020")

    @pytest.mark.parametrize(
        ("key", "value", "message"),
        [
            (
                "weights",
                np.full((V, 4), 0.25),
                r"weights in .* must have shape \[6, 5\], got \[6, 4\]",
            ),
            (
                "shapedirs",
                np.zeros((V, 3, 349)),
                r"400 columns \(300 shape \+ 100 expression\) or 150 .* got 349",
            ),
            (
                "shapedirs",
                np.zeros((V + 1, 3, 400)),
                r"shapedirs in .* must have shape \[6, 3, S\]",
            ),
            ("posedirs", np.zeros((V, 3, 27)), r"posedirs in .* must have shape \[6, 3, 36\]"),
            ("J_regressor", np.zeros((4, V)), r"J_regressor in .* must have shape \[5, 6\]"),
            ("v_template", np.full((V, 3), np.nan), r"v_template in .* must be finite"),
            ("f", np.array([[0, 1, 6]]), r"f in .* must hold indices of its 6 vertices"),
            ("f", np.array([[0.0, 1.0, 2.0]]), r"f in .* must hold indices of its 6 vertices"),
            (
                "kintree_table",
                np.array([[-1, 0, 1, 2, 2], range(5)]),
                r"kintree_table in .* must be FLAME's",
            ),
        ],
    )
    def test_wrong_values(
        self, tmp_path: Path, write: Callable[..., Path], key: str, value: np.ndarray, message: str
    ) -> None:
        with pytest.raises(InputError, match=message):
            HeadModel.load(write(tmp_path, flame() | {key: value}), edition="flame2020")


class TestNotAFile:
    def test_missing(self, tmp_path: Path) -> None:
        for name in ("h.pkl", "h.npz"):
            with pytest.raises(InputError, match=f"{name} .*No such file"):
                HeadModel.load(tmp_path / name, edition="flame2020")

    def test_unknown_suffix(self, tmp_path: Path) -> None:
        with pytest.raises(
            InputError, match=r"h\.obj is no head model: .* \.npz, \.pkl, or the word openhead"
        ):
            HeadModel.load(tmp_path / "h.obj")

    def test_not_a_dictionary(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="must hold a dictionary of arrays, got list"):
            HeadModel.load(write_pickle(tmp_path, [1, 2]), edition="flame2020")

    def test_49_expression_names(self, tmp_path: Path) -> None:
        path = write_npz(tmp_path, flame() | {"expression_names": np.full(49, "x")})
        with pytest.raises(
            InputError, match=r"expression_names in .* must have shape \[50\], got \[49\]"
        ):
            HeadModel.load(path, edition="flame2020")
