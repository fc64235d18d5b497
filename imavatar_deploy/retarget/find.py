"""The table of ways to retarget, and `find_retarget`, which takes the first that fits."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from imavatar_deploy.conventions import EDITIONS
from imavatar_deploy.errors import EditionMismatchError, unknown_name

from . import by_name, mapped, same_edition, sparse
from .controls import INPUTS
from .retarget import Request, Retarget

ROWS = (mapped.ROW, sparse.ROW, same_edition.ROW, by_name.ROW)


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
    request = Request(vocabulary, edition, tuple(expression_names), given, any_edition)
    for row in ROWS:
        if row.fits(request):
            return row.make(request)
    raise EditionMismatchError(
        f"the stream speaks {vocabulary} and the avatar {edition}: give a map with --map FILE (imavatar-data fit-map "
        f"--from openhead --to HEAD_MODEL --edition {edition} --out FILE), or --map sparse for jaw and eyes alone"
    )
