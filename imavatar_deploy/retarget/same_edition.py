"""The same head model on both sides, or another by the user's wish: codes pass as they are."""

from __future__ import annotations

from imavatar_deploy.conventions import EDITIONS, EXPRESSION_SIZE
from imavatar_deploy.errors import EditionMismatchError

from .retarget import Float, Request, Retarget, RetargetRow


def _pass(weights: Float, pose: Float) -> tuple[Float, Float]:
    return weights.copy(), pose.copy()


def _fits(request: Request) -> bool:
    return request.map_file is None and request.vocabulary in (None, *EDITIONS)


def _make(request: Request) -> Retarget:
    came, wanted = request.vocabulary, request.edition
    if came is None:
        return Retarget(f"the stream does not say its head model; played as {wanted}", EXPRESSION_SIZE, _pass)
    if came == wanted:
        return Retarget(f"codes of {wanted}, as they come", EXPRESSION_SIZE, _pass)
    if request.any_edition:
        note = f"codes of {came} played as {wanted}, as asked: expect other faces than were meant"
        return Retarget(note, EXPRESSION_SIZE, _pass)
    raise EditionMismatchError(
        f"the codes are of {came} and the avatar of {wanted}, whose codes mean different faces: give a map with "
        f"--map FILE (imavatar-data fit-map --help makes one), or play it all the same with --any-edition"
    )


ROW = RetargetRow("same edition", "codes of the avatar's own head model pass as they are", _fits, _make)
