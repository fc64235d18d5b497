"""HeadModel: FLAME or OpenHead as arrays in metres, and readers of head-model files.

A head model comes from the bundled OpenHead, a FLAME `.pkl`, or an `.npz` with FLAME's keys.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.untrusted.flame_pickle import read_flame_pickle
from imavatar_deploy.untrusted.npz import read_npz

from .arrays import Array, Float32, Int32
from .checks import Dimension, as_float32, ensure_shape
from .conventions import BONES, EDITIONS, EXPRESSION_SIZE, PARENTS, POSE_FEATURE_SIZE
from .errors import EditionMismatchError, InputError, unknown_name
from .kinematics import bone_transforms, pose_feature

SHAPES: dict[str, tuple[Dimension, ...]] = {
    "template": ("V", 3),
    "faces": ("F", 3),
    "shape_basis": ("V", 3, "S"),
    "expression_basis": ("V", 3, EXPRESSION_SIZE),
    "pose_basis": ("V", 3, POSE_FEATURE_SIZE),
    "joint_regressor": (len(BONES), "V"),
    "weights": ("V", len(BONES)),
}
"""Shape of every array."""

OPENHEAD = "openhead"
"""The word that stands for the bundled head model."""

REQUIRED_KEYS = (
    "v_template",
    "f",
    "shapedirs",
    "posedirs",
    "weights",
    "J_regressor",
    "kintree_table",
)
"""Keys that a head-model file must have: FLAME's."""

OPTIONAL_KEYS = ("edition", "expression_names", "vertex_group")
"""Keys that an `.npz` may have beside them."""

SHAPE_COLUMNS = {400: 300, 150: 100}
"""Width of `shapedirs` -> number of its columns that are shape; expression follows.

FLAME has 300 + 100 columns, IMavatar 100 + 50."""

Arrays = dict[str, NDArray[Any]]
"""Arrays of a head-model file by key."""


@dataclass(frozen=True)
class HeadModel:
    """A morphable head in FLAME's form.

    Template + shape + expression + pose correctives, then linear blend skinning. Lengths are in
    metres; multiply by `conventions.UNITS_PER_METRE` for IMavatar's model space.

    Raises:
        InputError: an array has a wrong shape, or the number of expression names is wrong.
        UsageError: there is no such edition.
    """

    template: Float32[Array, "V 3"]
    faces: Int32[Array, "F 3"]
    shape_basis: Float32[Array, "V 3 S"]
    """S = 0 once a subject's shape is part of the template."""
    expression_basis: Float32[Array, "V 3 50"]
    pose_basis: Float32[Array, "V 3 36"]
    """Correctives per unit of pose feature."""
    joint_regressor: Float32[Array, "5 V"]
    weights: Float32[Array, "V 5"]
    """Skinning weights."""
    edition: str
    expression_names: tuple[str, ...]
    vertex_groups: tuple[str, ...] = ()
    """Name of the part that each vertex belongs to, `[V]`; empty where the file has none."""

    def __post_init__(self) -> None:
        if self.edition not in EDITIONS:
            raise unknown_name("head-model edition", self.edition, EDITIONS)
        sizes: dict[str, int] = {}
        for name, shape in SHAPES.items():
            known = [sizes.get(size, size) if isinstance(size, str) else size for size in shape]
            sizes |= ensure_shape(f"head model {name}", getattr(self, name), known)
        if len(self.expression_names) != EXPRESSION_SIZE:
            raise InputError(
                f"head model must name {EXPRESSION_SIZE} expressions, "
                f"got {len(self.expression_names)}"
            )

    @classmethod
    def load(cls, source: str | Path, *, edition: str | None = None) -> HeadModel:
        """Read a head model; the same as `read_head_model`."""
        return read_head_model(source, edition=edition)

    def for_subject(self, shape: Any) -> HeadModel:
        """Return the head with a subject's shape added to the template.

        Args:
            shape: at most S shape coefficients.

        Raises:
            InputError: there are more, or they are not finite numbers.
        """
        size = self.shape_basis.shape[2]
        beta = as_float32("shape", shape, ("n",), f"this head model has {size} shape coefficients")
        if len(beta) > size:
            raise InputError(f"shape must have at most {size} coefficients, got {len(beta)}")
        template = self.template + self.shape_basis[:, :, : len(beta)] @ beta
        return replace(self, template=template, shape_basis=self.shape_basis[:, :, :0])

    def joints(self, expression: Float32[Array, "50"]) -> Float32[Array, "5 3"]:
        """Return the joint positions at rest; they are regressed from the expressive template."""
        return np.asarray(
            self.joint_regressor @ (self.template + self.expression_basis @ expression),
            dtype=np.float32,
        )

    def vertices(
        self, expression: Float32[Array, "50"], pose: Float32[Array, "15"]
    ) -> NDArray[np.float32]:
        """Return the posed vertices `[V, 3]` for an expression and a pose (FLAME, equation 1)."""
        offset = self.expression_basis @ expression + self.pose_basis @ pose_feature(pose)
        transforms = np.einsum(
            "vb,bij->vij", self.weights, bone_transforms(pose, self.joints(expression))
        )
        posed = (
            np.einsum("vij,vj->vi", transforms[:, :3, :3], self.template + offset)
            + transforms[:, :3, 3]
        )
        return np.asarray(posed, dtype=np.float32)


def read_head_model(source: str | Path, *, edition: str | None = None) -> HeadModel:
    """Read a head model: the word `openhead`, a FLAME `.pkl`, or an `.npz` with FLAME's keys.

    Args:
        edition: one of `conventions.EDITIONS`; required where the file does not hold it.

    Raises:
        InputError: the file is unreadable, holds foreign objects, misses a key, has wrong shapes,
            or its edition is in neither the file nor the argument.
        EditionMismatchError: the file holds another edition.
        UsageError: there is no such edition.
    """
    if edition is not None and edition not in EDITIONS:
        raise unknown_name("head-model edition", edition, EDITIONS)
    if source == OPENHEAD:
        with as_file(files("imavatar_deploy") / "assets" / "openhead.npz") as path:
            return _read_file(path, edition)
    return _read_file(Path(source), edition)


def _read_file(path: Path, edition: str | None) -> HeadModel:
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        known = ", ".join(READERS)
        raise InputError(
            f"{path} is no head model: expected a file ending in {known}, or the word {OPENHEAD}"
        )
    arrays = reader(path)
    missing = [key for key in REQUIRED_KEYS if key not in arrays]
    if missing:
        raise InputError(
            f"{path} lacks {', '.join(missing)}; expected FLAME's keys {', '.join(REQUIRED_KEYS)}"
        )
    return _from_arrays(path, arrays, _edition(path, arrays, edition))


def _read_pickle(path: Path) -> Arrays:
    return read_flame_pickle(path, REQUIRED_KEYS)


def _read_npz(path: Path) -> Arrays:
    try:
        return read_npz(path, (*REQUIRED_KEYS, *OPTIONAL_KEYS))
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path} is not a readable .npz of plain arrays ({error}); write or download it again"
        ) from error


READERS: dict[str, Callable[[Path], Arrays]] = {".npz": _read_npz, ".pkl": _read_pickle}
"""Reader for each file name extension."""


def _edition(path: Path, arrays: Arrays, requested: str | None) -> str:
    stored = str(arrays["edition"]) if "edition" in arrays else None
    if stored is not None and requested is not None and stored != requested:
        raise EditionMismatchError(
            f"{path} is of edition {stored}, and {requested} was requested: "
            "expression codes do not fit; leave the edition out"
        )
    edition = stored or requested
    if edition is None:
        raise InputError(
            f"{path} does not say which head model it holds; "
            f"give its edition: {', '.join(EDITIONS)}"
        )
    if edition not in EDITIONS:
        raise InputError(f"{path} is of edition {edition!r}; expected one of {', '.join(EDITIONS)}")
    return edition


def _from_arrays(path: Path, arrays: Arrays, edition: str) -> HeadModel:
    def numbers(key: str, *shape: Dimension) -> Float32[Array, "..."]:
        return as_float32(f"{key} in {path}", arrays[key], shape)

    template = numbers("v_template", "V", 3)
    vertices = len(template)
    _check_kinematic_tree(path, arrays["kintree_table"])
    directions = numbers("shapedirs", vertices, 3, "S")
    if directions.shape[2] not in SHAPE_COLUMNS:
        raise InputError(
            f"shapedirs in {path} must have 400 columns (300 shape + 100 expression) "
            f"or 150 (100 + 50), got {directions.shape[2]}"
        )
    first = SHAPE_COLUMNS[directions.shape[2]]
    return HeadModel(
        template=template,
        faces=_faces(path, arrays["f"], vertices),
        shape_basis=np.ascontiguousarray(directions[:, :, :first]),
        expression_basis=np.ascontiguousarray(directions[:, :, first : first + EXPRESSION_SIZE]),
        pose_basis=numbers("posedirs", vertices, 3, POSE_FEATURE_SIZE),
        joint_regressor=numbers("J_regressor", len(BONES), vertices),
        weights=numbers("weights", vertices, len(BONES)),
        edition=edition,
        expression_names=_names(path, arrays, "expression_names", EXPRESSION_SIZE)
        or tuple(f"expression_{index:02d}" for index in range(EXPRESSION_SIZE)),
        vertex_groups=_names(path, arrays, "vertex_group", vertices),
    )


def _faces(path: Path, faces: NDArray[Any], vertices: int) -> Int32[Array, "F 3"]:
    ensure_shape(f"f in {path}", faces, ("F", 3))
    if faces.dtype.kind not in "iu" or faces.min(initial=0) < 0 or faces.max(initial=0) >= vertices:
        raise InputError(f"f in {path} must hold indices of its {vertices} vertices")
    return np.ascontiguousarray(faces, dtype=np.int32)


def _check_kinematic_tree(path: Path, table: NDArray[Any]) -> None:
    ensure_shape(f"kintree_table in {path}", table, (2, len(BONES)))
    if tuple(table[0, 1:]) != PARENTS[1:] or tuple(table[1]) != tuple(range(len(BONES))):
        raise InputError(
            f"kintree_table in {path} must be FLAME's (parents {PARENTS} of {', '.join(BONES)}), "
            f"got {table.tolist()}"
        )


def _names(path: Path, arrays: Arrays, key: str, count: int) -> tuple[str, ...]:
    if key not in arrays:
        return ()
    ensure_shape(f"{key} in {path}", arrays[key], (count,))
    return tuple(str(name) for name in arrays[key])
