"""By a map: a matrix from a file carries one vocabulary into another head model's expressions, jaw and eyes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from imavatar_deploy.conventions import EDITIONS, EXPRESSION_SIZE, JAW
from imavatar_deploy.errors import EditionMismatchError, InputError, unknown_name
from imavatar_deploy.head_model import OPENHEAD

from .arkit import ARKIT, ARKIT_NAMES, EYE_TURNS
from .expression_map import CONTROLS, EYES, FACE_POSE, INPUTS, ExpressionMap, joined, split
from .map_files import read_map
from .retarget import Float, Retarget, RetargetRequest, RetargetRow, Turn

# ARKit's shapes on OpenHead, whose expressions carry their names: exact, without a map.


JAW_OPEN_ANGLE = 0.42548642
"""Radians about +X at which OpenHead's jaw and its correctives make MakeHuman's jawOpen (its file's `jaw_open_angle`).

Exact there and at rest; between, a turning jaw is up to 2.3 mm off the straight line of a morph (at the chin).
"""

OPENHEAD_NAMES = tuple(sorted({*ARKIT_NAMES} - {"jawOpen", "tongueOut"}))
"""OpenHead's 50 expressions in its own order."""

JAW_OPEN = ARKIT_NAMES.index("jawOpen")


def _fits_by_name(request: RetargetRequest) -> bool:
    return request.map_file is None and request.vocabulary == ARKIT and request.edition == OPENHEAD


def _make_by_name(request: RetargetRequest) -> Retarget:
    names = request.expression_names
    if not {*names} & {*ARKIT_NAMES}:  # an avatar from a file without names: the edition knows them
        names = OPENHEAD_NAMES
    present = {*names} & {*ARKIT_NAMES}
    missing = sorted({*ARKIT_NAMES} - present - {"jawOpen"})
    note = f"ARKit by name: {len(present)} shapes, jawOpen by the jaw; not in this head: {', '.join(missing) or 'none'}"
    return Retarget(note, len(ARKIT_NAMES), _by_name_turn(names))


def _by_name_turn(expression_names: Sequence[str]) -> Turn:
    """Shapes by name, the jaw by jawOpen, and the eyes by what the tracker saw beyond what the shapes turn already."""
    columns = [index for index, name in enumerate(expression_names) if name in ARKIT_NAMES]
    rows = np.array([ARKIT_NAMES.index(expression_names[index]) for index in columns])
    place = np.array(columns)
    turned_by_shapes = np.ascontiguousarray(
        np.where(np.isin(range(len(EYE_TURNS)), rows)[:, None], EYE_TURNS, 0).T
    )

    def turn(weights: Float, pose: Float) -> tuple[Float, Float]:
        expression = np.zeros(EXPRESSION_SIZE, dtype=np.float32)
        expression[place] = weights[rows]
        posed = pose.copy()
        posed[JAW.start] += JAW_OPEN_ANGLE * weights[JAW_OPEN]
        if pose[EYES].any():  # else the tracker sends weights alone, and the shapes turn the eyes
            posed[EYES] -= turned_by_shapes @ weights
        return expression, posed

    return turn


BY_NAME = RetargetRow(
    "by name",
    "ARKit's shapes on OpenHead, whose expressions carry their names: exact",
    _fits_by_name,
    _make_by_name,
)


# `--map sparse`: ARKit's jaw and eyes on any head model, for want of a map; the face itself keeps still.


SPARSE = "sparse"
"""The word for `--map`."""

JAW_SIDE_ANGLE = 0.1
"""Radians about +Y at jawLeft = 1: carries a chin 73 mm before its hinge 7 mm aside, as MakeHuman's jawLeft does."""


def sparse_matrix() -> Float:
    """[52, 59] jawOpen and jawLeft/Right -> jaw, eyeLook -> eyes; all else zero."""
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

    def turn(weights: Float, pose: Float) -> tuple[Float, Float]:
        posed = pose.copy()
        posed[FACE_POSE] += face @ weights
        if pose[EYES].any():
            posed[EYES] = pose[EYES]
        return np.zeros(EXPRESSION_SIZE, dtype=np.float32), posed

    return turn


def _make_sparse(request: RetargetRequest) -> Retarget:
    if request.vocabulary != ARKIT:
        raise InputError(
            f"--map sparse reads {ARKIT} shapes and the stream is of {request.vocabulary or 'no stated kind'}; "
            "give a map made for it, --map FILE"
        )
    note = (
        "WARNING: --map sparse moves jaw and eyes alone: THE FACE WILL HARDLY MOVE, it cannot smile, blink or raise a "
        "brow; imavatar-data fit-map makes a map from your head model's file"
    )
    return Retarget(note, len(ARKIT_NAMES), _sparse_turn())


SPARSE_ROW = RetargetRow(
    "sparse",
    "ARKit's jaw and eyes alone, for want of a map",
    lambda request: request.map_file == SPARSE,
    _make_sparse,
)


def _fits_map(request: RetargetRequest) -> bool:
    return request.map_file not in (None, SPARSE)


def _make_mapped(request: RetargetRequest) -> Retarget:
    path = Path(str(request.map_file))
    chart = read_map(path)
    if request.vocabulary not in (None, chart.source):
        raise InputError(
            f"{path} is a map from {chart.source} and the stream is of {request.vocabulary}; give a map made for it "
            "(imavatar-data fit-map)"
        )
    if chart.target not in (None, request.edition) and not request.any_edition:
        raise EditionMismatchError(
            f"{path} is a map to {chart.target} and the avatar is of {request.edition}, whose codes mean different "
            "faces: make a map for it with imavatar-data fit-map, or use this one all the same with --any-edition"
        )
    note = f"by the map {path.name}: {chart.summary}"
    if chart.source == ARKIT:
        return Retarget(note, len(ARKIT_NAMES), _from_shapes(chart))
    return Retarget(note, EXPRESSION_SIZE, _from_codes(chart))


def _from_shapes(chart: ExpressionMap) -> Turn:
    matrix, bias = np.ascontiguousarray(chart.matrix.T), chart.bias

    def turn(weights: Float, pose: Float) -> tuple[Float, Float]:
        expression, posed = split(matrix @ weights + bias, pose)
        if pose[
            EYES
        ].any():  # the tracker saw where the eyes look, which is better than what their lids say
            posed[EYES] = pose[EYES]
        return expression, posed

    return turn


def _from_codes(chart: ExpressionMap) -> Turn:
    matrix, bias = np.ascontiguousarray(chart.matrix.T), chart.bias

    def turn(weights: Float, pose: Float) -> tuple[Float, Float]:
        return split(matrix @ joined(weights, pose) + bias, pose)

    return turn


MAPPED = RetargetRow("map", "a matrix from a file: --map FILE", _fits_map, _make_mapped)


# The same head model on both sides, or another by the user's wish: codes pass as they are.


def _pass(weights: Float, pose: Float) -> tuple[Float, Float]:
    return weights.copy(), pose.copy()


def _fits_same_edition(request: RetargetRequest) -> bool:
    return request.map_file is None and request.vocabulary in (None, *EDITIONS)


def _make_same_edition(request: RetargetRequest) -> Retarget:
    came, wanted = request.vocabulary, request.edition
    if came is None:
        return Retarget(
            f"the stream does not say its head model; played as {wanted}", EXPRESSION_SIZE, _pass
        )
    if came == wanted:
        return Retarget(f"codes of {wanted}, as they come", EXPRESSION_SIZE, _pass)
    if request.any_edition:
        note = f"codes of {came} played as {wanted}, as asked: expect other faces than were meant"
        return Retarget(note, EXPRESSION_SIZE, _pass)
    raise EditionMismatchError(
        f"the codes are of {came} and the avatar of {wanted}, whose codes mean different faces: give a map with "
        f"--map FILE (imavatar-data fit-map --help makes one), or play it all the same with --any-edition"
    )


SAME_EDITION = RetargetRow(
    "same edition",
    "codes of the avatar's own head model pass as they are",
    _fits_same_edition,
    _make_same_edition,
)


# The table of ways to retarget, and `find_retarget`, which takes the first that fits.


ROWS = (MAPPED, SPARSE_ROW, SAME_EDITION, BY_NAME)


def find_retarget(
    vocabulary: str | None,
    edition: str,
    expression_names: Sequence[str],
    *,
    map_file: str | Path | None = None,
    any_edition: bool = False,
) -> Retarget:
    """How to drive an avatar of `edition` by a stream of `vocabulary`.

    Args:
        vocabulary: `arkit52` or a head-model edition; None where the stream does not say.
        edition: the avatar's head model.
        expression_names: the avatar's own.
        map_file: a map (see `map_files.read_map`), or the word `sparse`.
        any_edition: let codes, or a map, of another head model pass.

    Raises:
        EditionMismatchError: the two speak different languages, and no map was given or it is for another head model.
        InputError: the map cannot be read or does not fit the stream.
        UsageError: there is no such vocabulary or edition.
    """
    if vocabulary is not None and vocabulary not in INPUTS:
        raise unknown_name("vocabulary", vocabulary, INPUTS)
    if edition not in EDITIONS:
        raise unknown_name("head-model edition", edition, EDITIONS)
    given = None if map_file is None else str(map_file)
    request = RetargetRequest(vocabulary, edition, tuple(expression_names), given, any_edition)
    for row in ROWS:
        if row.fits(request):
            return row.make(request)
    raise EditionMismatchError(
        f"the stream speaks {vocabulary} and the avatar {edition}: give a map with --map FILE (imavatar-data fit-map "
        f"--from openhead --to HEAD_MODEL --edition {edition} --out FILE), or --map sparse for jaw and eyes alone"
    )
