"""By a map: a matrix from a file carries one vocabulary into another head model's expressions, jaw and eyes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from imavatar_deploy.conventions import EXPRESSION_SIZE
from imavatar_deploy.errors import EditionMismatchError, InputError

from .arkit import ARKIT, ARKIT_NAMES
from .controls import EYES, joined, split
from .expression_map import ExpressionMap
from .map_files import read_map
from .retarget import Float, Request, Retarget, RetargetRow, Turn
from .sparse import SPARSE


def _fits(request: Request) -> bool:
    return request.map_file not in (None, SPARSE)


def _make(request: Request) -> Retarget:
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
        if pose[EYES].any():  # the tracker saw where the eyes look, which is better than what their lids say
            posed[EYES] = pose[EYES]
        return expression, posed

    return turn


def _from_codes(chart: ExpressionMap) -> Turn:
    matrix, bias = np.ascontiguousarray(chart.matrix.T), chart.bias

    def turn(weights: Float, pose: Float) -> tuple[Float, Float]:
        return split(matrix @ joined(weights, pose) + bias, pose)

    return turn


ROW = RetargetRow("map", "a matrix from a file: --map FILE", _fits, _make)
