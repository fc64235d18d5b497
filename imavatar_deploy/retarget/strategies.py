"""Strategies of retargeting, their table, and `find_retarget`, which chooses one.

ARKit's shapes on OpenHead by name; jaw and eyes alone (`--map sparse`); a map from a file; and
codes of the same head model.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from imavatar_deploy.arrays import Array, Float32
from imavatar_deploy.conventions import (
    EDITIONS,
    EXPRESSION_SIZE,
    JAW,
    STATE_EDITION,
    UNKNOWN_EDITION,
)
from imavatar_deploy.errors import EditionMismatchError, InputError, unknown_name
from imavatar_deploy.head_model import OPENHEAD

from .arkit import ARKIT, ARKIT_NAMES, EYE_TURNS
from .expression_map import CONTROLS, EYES, FACE_POSE, INPUTS, ExpressionMap, joined, split
from .map_files import read_map
from .openhead_codes import JAW_OPEN, JAW_OPEN_ANGLE, OPENHEAD_NAMES, arkit_of_openhead
from .retarget import Retarget, RetargetRequest, RetargetRow, Turn

JAW_SIDE_ANGLE = 0.1
"""Radians about +Y at jawLeft = 1: moves a chin 73 mm in front of its hinge 7 mm aside, as
MakeHuman's jawLeft does."""

SPARSE = "sparse"
"""The value of `--map` that stands for jaw and eyes alone."""


# ARKit's shapes on OpenHead, whose expressions have the same names


def _fits_by_name(request: RetargetRequest) -> bool:
    return request.map_file is None and request.vocabulary == ARKIT and request.edition == OPENHEAD


def _make_by_name(request: RetargetRequest) -> Retarget:
    names = request.expression_names
    if not {*names} & {*ARKIT_NAMES}:  # the avatar's head-model file had no names
        names = OPENHEAD_NAMES
    present = {*names} & {*ARKIT_NAMES}
    missing = ", ".join(sorted({*ARKIT_NAMES} - present - {"jawOpen"})) or "none"
    note = f"ARKit by name: {len(present)} shapes, jawOpen by the jaw; not in this head: {missing}"
    return Retarget(note, len(ARKIT_NAMES), _by_name_turn(names))


def _by_name_turn(expression_names: Sequence[str]) -> Turn:
    """Convert shapes by name and jawOpen to the jaw.

    The eyes rotate by the tracker's rotations minus those that the eyeLook shapes contain.
    """
    columns = [index for index, name in enumerate(expression_names) if name in ARKIT_NAMES]
    rows = np.array([ARKIT_NAMES.index(expression_names[index]) for index in columns])
    places = np.array(columns)
    turns_of_shapes = np.ascontiguousarray(
        np.where(np.isin(range(len(EYE_TURNS)), rows)[:, None], EYE_TURNS, 0).T
    )

    def turn(
        weights: Float32[Array, "52"], pose: Float32[Array, "15"]
    ) -> tuple[Float32[Array, "50"], Float32[Array, "15"]]:
        expression = np.zeros(EXPRESSION_SIZE, dtype=np.float32)
        expression[places] = weights[rows]
        posed = pose.copy()
        posed[JAW.start] += JAW_OPEN_ANGLE * weights[JAW_OPEN]
        if pose[EYES].any():  # else the tracker sends weights alone, and the shapes turn the eyes
            posed[EYES] -= turns_of_shapes @ weights
        return expression, posed

    return turn


BY_NAME = RetargetRow(
    "by name",
    "ARKit's shapes on OpenHead, whose expressions carry their names: exact",
    _fits_by_name,
    _make_by_name,
)


# Jaw and eyes alone, on any head model


def sparse_matrix() -> Float32[Array, "52 59"]:
    """Return the map from jawOpen and jawLeft/Right to the jaw and from eyeLook to the eyes."""
    matrix = np.zeros((len(ARKIT_NAMES), len(CONTROLS)), dtype=np.float32)
    for name, control, angle in (
        ("jawOpen", "jaw.x", JAW_OPEN_ANGLE),
        ("jawLeft", "jaw.y", JAW_SIDE_ANGLE),
        ("jawRight", "jaw.y", -JAW_SIDE_ANGLE),
    ):
        matrix[ARKIT_NAMES.index(name), CONTROLS.index(control)] = angle
    matrix[:, -EYE_TURNS.shape[1] :] = EYE_TURNS
    return matrix


def _sparse_turn() -> Turn:
    face = np.ascontiguousarray(sparse_matrix()[:, EXPRESSION_SIZE:].T)

    def turn(
        weights: Float32[Array, "52"], pose: Float32[Array, "15"]
    ) -> tuple[Float32[Array, "50"], Float32[Array, "15"]]:
        posed = pose.copy()
        posed[FACE_POSE] += face @ weights
        if pose[EYES].any():
            posed[EYES] = pose[EYES]
        return np.zeros(EXPRESSION_SIZE, dtype=np.float32), posed

    return turn


def _keep_pose(
    weights: Float32[Array, "50"], pose: Float32[Array, "15"]
) -> tuple[Float32[Array, "50"], Float32[Array, "15"]]:
    return np.zeros(EXPRESSION_SIZE, dtype=np.float32), pose.copy()


def _make_sparse(request: RetargetRequest) -> Retarget:
    note = (
        "WARNING: --map sparse moves jaw and eyes alone: THE FACE WILL HARDLY MOVE, "
        "it cannot smile, blink or raise a brow; "
        "imavatar-data fit-map makes a map from your head model's file"
    )
    if request.vocabulary not in (ARKIT, OPENHEAD):  # FLAME's bones are those of every head model
        return Retarget(note, EXPRESSION_SIZE, _keep_pose)
    if request.vocabulary == OPENHEAD:
        return Retarget(note, EXPRESSION_SIZE, _by_shapes(_sparse_turn()))
    return Retarget(note, len(ARKIT_NAMES), _sparse_turn())


SPARSE_ROW = RetargetRow(
    "sparse",
    "jaw and eyes alone, for want of a map",
    lambda request: request.map_file == SPARSE,
    _make_sparse,
)


# Codes of OpenHead by a conversion of ARKit's shapes


def _by_shapes(turn: Turn) -> Turn:
    """Convert OpenHead's codes by a conversion that reads ARKit's weights."""

    def turn_codes(
        expression: Float32[Array, "50"], pose: Float32[Array, "15"]
    ) -> tuple[Float32[Array, "50"], Float32[Array, "15"]]:
        return turn(*arkit_of_openhead(expression, pose))

    return turn_codes


# A map from a file


def _fits_map(request: RetargetRequest) -> bool:
    return request.map_file not in (None, SPARSE)


def _make_mapped(request: RetargetRequest) -> Retarget:
    path = Path(str(request.map_file))
    expression_map = read_map(path)
    by_shapes = expression_map.source == ARKIT and request.vocabulary == OPENHEAD
    if request.vocabulary not in (None, expression_map.source) and not by_shapes:
        raise InputError(
            f"{path} is a map from {expression_map.source} and the stream is of "
            f"{request.vocabulary}; give a map made for it (imavatar-data fit-map)"
        )
    if expression_map.target not in (None, request.edition) and not request.any_edition:
        raise EditionMismatchError(
            f"{path} is a map to {expression_map.target} and the avatar is of {request.edition}, "
            "whose codes mean different faces: make a map for it with imavatar-data fit-map, "
            "or use this one all the same with --any-edition"
        )
    note = f"by the map {path.name}: {expression_map.summary}"
    if by_shapes:
        return Retarget(note, EXPRESSION_SIZE, _by_shapes(_from_shapes(expression_map)))
    if expression_map.source == ARKIT:
        return Retarget(note, len(ARKIT_NAMES), _from_shapes(expression_map))
    return Retarget(note, EXPRESSION_SIZE, _from_codes(expression_map))


def _from_shapes(expression_map: ExpressionMap) -> Turn:
    matrix = np.ascontiguousarray(expression_map.matrix.T)
    bias = expression_map.bias

    def turn(
        weights: Float32[Array, "52"], pose: Float32[Array, "15"]
    ) -> tuple[Float32[Array, "50"], Float32[Array, "15"]]:
        expression, posed = split(matrix @ weights + bias, pose)
        if pose[EYES].any():  # the tracker's own rotations are better than those from the weights
            posed[EYES] = pose[EYES]
        return expression, posed

    return turn


def _from_codes(expression_map: ExpressionMap) -> Turn:
    matrix = np.ascontiguousarray(expression_map.matrix.T)
    bias = expression_map.bias

    def turn(
        weights: Float32[Array, "50"], pose: Float32[Array, "15"]
    ) -> tuple[Float32[Array, "50"], Float32[Array, "15"]]:
        return split(matrix @ joined(weights, pose) + bias, pose)

    return turn


MAP_ROW = RetargetRow("map", "a matrix from a file: --map FILE", _fits_map, _make_mapped)


# Codes that stay the same: those of the avatar's head model, or of another with --any-edition


def _pass(
    weights: Float32[Array, "50"], pose: Float32[Array, "15"]
) -> tuple[Float32[Array, "50"], Float32[Array, "15"]]:
    return weights.copy(), pose.copy()


def _fits_same_edition(request: RetargetRequest) -> bool:
    return request.map_file is None and request.vocabulary in (None, *EDITIONS)


def _map_command(source: str, target: str) -> str:
    """The command that makes a map from the codes of `source`, and the files that it needs."""
    if source == OPENHEAD:
        return (
            f"imavatar-data fit-map --from openhead --to HEAD_MODEL --edition {target} --out FILE"
        )
    target_model = "openhead" if target == OPENHEAD else f"HEAD_MODEL of {target}"
    return (
        f"imavatar-data fit-map --codes --from HEAD_MODEL --from-edition {source} "
        f"--to {target_model} --out FILE, with {source}'s own model file,"
    )


def _make_same_edition(request: RetargetRequest) -> Retarget:
    source = request.vocabulary
    target = request.edition
    if source is None and not request.any_edition:
        raise EditionMismatchError(
            f"{UNKNOWN_EDITION} and the avatar is of {target}: {STATE_EDITION}, "
            "or play it all the same with --any-edition"
        )
    if source is None:
        note = f"codes of an unknown head model played as {target} (--any-edition)"
    elif source == target:
        note = f"codes of {target}, unchanged"
    elif request.any_edition:
        note = f"codes of {source} played as {target} (--any-edition): expect different faces"
    else:
        raise EditionMismatchError(
            f"the codes are of {source} and the avatar of {target}, whose codes mean different "
            f"faces: give a map with --map FILE ({_map_command(source, target)} makes one), "
            "--map sparse for head, jaw and eyes alone, or play it all the same with --any-edition"
        )
    return Retarget(note, EXPRESSION_SIZE, _pass)


SAME_EDITION = RetargetRow(
    "same edition",
    "codes of the avatar's own head model pass as they are",
    _fits_same_edition,
    _make_same_edition,
)


# The table of strategies

ROWS = (MAP_ROW, SPARSE_ROW, SAME_EDITION, BY_NAME)
"""All strategies; the first that fits a request is used."""


def find_retarget(
    vocabulary: str | None,
    edition: str,
    expression_names: Sequence[str],
    *,
    map_file: str | Path | None = None,
    any_edition: bool = False,
) -> Retarget:
    """Return the conversion that drives an avatar of `edition` by a stream of `vocabulary`.

    Args:
        vocabulary: `arkit52` or a head-model edition; None if the stream does not state it.
        edition: head model of the avatar.
        expression_names: of the avatar.
        map_file: a map (see `map_files.read_map`), or the word `sparse`.
        any_edition: accept codes, or a map, of another head model.

    Raises:
        EditionMismatchError: the vocabularies differ, and there is no map or one for another head
            model.
        InputError: the map cannot be read or does not fit the stream.
        UsageError: there is no such vocabulary or edition.
    """
    if vocabulary is not None and vocabulary not in INPUTS:
        raise unknown_name("vocabulary", vocabulary, INPUTS)
    if edition not in EDITIONS:
        raise unknown_name("head-model edition", edition, EDITIONS)
    request = RetargetRequest(
        vocabulary,
        edition,
        tuple(expression_names),
        None if map_file is None else str(map_file),
        any_edition,
    )
    for row in ROWS:
        if row.fits(request):
            return row.make(request)
    raise EditionMismatchError(
        f"the stream is of {vocabulary} and the avatar of {edition}: give a map with --map FILE "
        f"(imavatar-data fit-map --from openhead --to HEAD_MODEL --edition {edition} --out FILE), "
        "or --map sparse for jaw and eyes alone"
    )
