"""Files of expression maps: write and read `.npz` with a header, and read third-party matrices.

numpy opens our files without pickle:

    header   JSON text: format, version, source, target and the fit (the fields of `MapFit`)
    inputs   [n] names of the inputs     outputs  [59] names of the controls
    matrix   [n, 59] float32             bias     [59] float32

Third-party layouts are described in `third_party_maps`.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.atomic import atomic_file
from imavatar_deploy.errors import InputError, UsageError, excerpt
from imavatar_deploy.untrusted.npz import npz_sizes, read_npz

from . import third_party_maps
from .expression_map import CONTROLS, ExpressionMap, MapFit

FORMAT = "imavatar-map"
VERSION = 1

MAX_BYTES = 16_000_000
"""Largest accepted size of a map in bytes, unpacked: hundreds of times that of a real one."""

Arrays = dict[str, NDArray[Any]]


def write_map(expression_map: ExpressionMap, out: str | Path) -> None:
    """Write a map as `.npz`, atomically.

    Raises:
        UsageError: the name does not end in .npz, or the file cannot be written.
    """
    if Path(out).suffix.lower() != ".npz":
        raise UsageError(f"a map is written as .npz, got {str(out)!r}")
    header = {
        "format": FORMAT,
        "version": VERSION,
        "source": expression_map.source,
        "target": expression_map.target,
        "fit": asdict(expression_map.fit) if expression_map.fit else None,
    }
    with atomic_file(out) as partial, partial.open("wb") as file:
        np.savez_compressed(
            file,
            header=np.array(json.dumps(header, indent=1)),
            inputs=np.array(expression_map.inputs),
            outputs=np.array(CONTROLS),
            matrix=expression_map.matrix,
            bias=expression_map.bias,
        )


def read_map(path: str | Path) -> ExpressionMap:
    """Read a map of ours, or a matrix in one of the layouts of `third_party_maps`.

    Raises:
        InputError: the file does not exist, is damaged, or has none of these layouts.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(
            f"there is no map {str(path)!r}: give a file that exists, or the word 'sparse'"
        )
    try:
        if path.suffix.lower() != ".npz" or path.is_dir():
            return third_party_maps.read(path)
        arrays = _members(path)
        return _ours(arrays) if "header" in arrays else third_party_maps.from_members(arrays)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or error})") from error


def _members(path: Path) -> Arrays:
    try:
        sizes = npz_sizes(path)
        if (size := sum(sizes.values())) > MAX_BYTES:
            raise InputError(
                f"a map is smaller than {MAX_BYTES / 1e6:.0f} MB, got {size / 1e6:.0f} MB"
            )
        return read_npz(path, sizes)
    except ValueError as error:
        raise InputError(
            f"not a readable .npz of plain arrays ({error}); write or download it again"
        ) from error


def _ours(arrays: Arrays) -> ExpressionMap:
    try:
        header = json.loads(str(arrays["header"]))
        if (header["format"], header["version"]) != (FORMAT, VERSION):
            raise InputError(
                f"of format {excerpt(header['format'])} {excerpt(header['version'])}, "
                f"expected {FORMAT} {VERSION}"
            )
        fit = header["fit"] and MapFit(**header["fit"])
        expression_map = ExpressionMap(
            header["source"], header["target"], arrays["matrix"], arrays["bias"], fit
        )
        names = tuple(tuple(map(str, arrays[key])) for key in ("inputs", "outputs"))
    except InputError:
        raise
    except Exception as error:
        raise InputError(
            f"the header of this map is damaged ({excerpt(repr(error))}); make it again"
        ) from error
    if names != (expression_map.inputs, CONTROLS):
        raise InputError(
            f"its inputs and outputs are not those of a map from {expression_map.source}; "
            "make it again"
        )
    return expression_map
