"""Avatar folders: write, open and verify them. They hold no pickles.

avatar.json          manifest: schema version, head model, sources, fidelity, and the SHA-256
                     of every other file
arrays.safetensors   the arrays of `Avatar`
*.onnx, golden/      graphs, and golden data to verify what they compute
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from .avatar import SHAPES, Avatar, canonical_pose
from .conventions import BONES, GHOST_BONE, UNITS_PER_METRE
from .errors import InputError, UsageError, excerpt

SCHEMA_VERSION = 1

MANIFEST = "avatar.json"

ARRAYS = "arrays.safetensors"

SAMPLE = Path(__file__).parent / "assets" / "sample_avatar"
"""The bundled avatar folder."""

BULK_ARRAYS = ("expression_basis", "pose_basis")
"""Arrays that may be stored in half precision. They are nine tenths of the bytes; the other arrays
would lose too much accuracy."""

STORAGE = {"float32": np.float32, "float16": np.float16}
"""Element types in which the bulk arrays can be stored, by name."""


@dataclass(frozen=True)
class AvatarFolder:
    """An opened avatar folder."""

    path: Path
    avatar: Avatar
    manifest: dict[str, Any]

    def file(self, name: str) -> Path:
        """Return the path of a file that the manifest lists.

        Raises:
            InputError: the folder has no such file.
        """
        if name not in self.manifest["files"]:
            raise InputError(
                f"{self.path} has no {name}; export it again with --format player or onnx"
            )
        return self.path / name


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def as_stored(avatar: Avatar, storage: str) -> Avatar:
    """The avatar that is read back after its bulk arrays were stored as `storage`."""
    rounded: dict[str, Any] = {
        name: getattr(avatar, name).astype(STORAGE[storage]).astype(np.float32)
        for name in BULK_ARRAYS
    }
    return replace(avatar, **rounded)


def write_avatar(
    folder: Path, avatar: Avatar, *, about: Mapping[str, Any], storage: str = "float32"
) -> None:
    """Write arrays and manifest into `folder`, which already holds the graphs.

    The manifest holds the hash of every file in the folder. Call this function last, inside
    `atomic.atomic_folder`.

    Args:
        about: JSON-ready facts for the manifest: graphs, source, fidelity, licences, tool versions.
        storage: `float32`, or `float16` for the bulk arrays.

    Raises:
        UsageError: `storage` is neither.
    """
    if storage not in STORAGE:
        raise UsageError(f"storage must be one of {', '.join(STORAGE)}, got {storage!r}")
    arrays = {
        name: array.astype(STORAGE[storage]) if name in BULK_ARRAYS else array
        for name, array in avatar.arrays().items()
    }
    # `save_file` would create a file that other users cannot read.
    (folder / ARRAYS).write_bytes(save(arrays))
    manifest = {
        "schema_version": SCHEMA_VERSION,
        "head_model": avatar.edition,
        "expression_names": list(avatar.expression_names),
        "conventions": {
            "units_per_metre": UNITS_PER_METRE,
            "axes": "+Y up, the face looks along +Z",
            "bones": [GHOST_BONE, *BONES][-avatar.bone_count :],
            "canonical_pose": canonical_pose().tolist(),
        },
        "arrays": {
            name: {"dtype": str(array.dtype), "shape": list(array.shape)}
            for name, array in arrays.items()
        },
        **about,
    }
    write_manifest(folder, manifest)


def write_manifest(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Write a manifest with the size and hash of every file in `folder`, which it lists anew.

    Call it inside `atomic.atomic_folder`, when all other files are complete.
    """
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    files = {
        path.relative_to(folder).as_posix(): {
            "bytes": path.stat().st_size,
            "sha256": sha256(path),
        }
        for path in paths
        if path != folder / MANIFEST
    }
    text = json.dumps({**manifest, "files": files}, indent=2) + "\n"
    (folder / MANIFEST).write_text(text, encoding="utf-8")


def open_avatar(source: str | Path) -> AvatarFolder:
    """Open an avatar folder and check its schema version, its hashes and every array.

    Args:
        source: path of the folder, as `export_avatar` writes it, or the word `sample` for the
            bundled avatar.

    Returns:
        Its arrays as `Avatar` (vertices `[3, V]`, model units: 4 a metre) and its manifest.

    Raises:
        InputError: the path is not an avatar folder, was written by a newer version, is damaged, or
            its arrays do not fit together.

    Example:
        >>> folder = open_avatar("sample")
        >>> folder.avatar.rest.shape, folder.manifest["head_model"]
    """
    folder = SAMPLE if str(source) == "sample" else Path(source)
    manifest = _read_manifest(folder)
    for name, entry in manifest["files"].items():
        _check_file(folder, name, entry["sha256"])
    return AvatarFolder(folder, _read_arrays(folder, manifest), manifest)


def _read_manifest(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    if not path.is_file():
        raise InputError(
            f"{folder} is not an avatar folder (no {MANIFEST}); make one with imavatar-export"
        )
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        version = manifest["schema_version"]
        names = manifest["expression_names"]
        complete = (
            all(isinstance(entry["sha256"], str) for entry in manifest["files"].values())
            and isinstance(manifest["head_model"], str)
            and isinstance(names, list)
            and all(isinstance(name, str) for name in names)
            and ARRAYS in manifest["files"]
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(
            f"{path} is not an avatar manifest ({excerpt(repr(error))}); export the avatar again"
        ) from error
    if version != SCHEMA_VERSION:
        raise InputError(
            f"{path} has schema version {version}, this program reads {SCHEMA_VERSION}; "
            "upgrade or export again"
        )
    if not complete:
        raise InputError(
            f"{path} misses its head model, expression names or {ARRAYS}; export the avatar again"
        )
    return dict(manifest)


def _check_file(folder: Path, name: str, expected: str) -> None:
    relative = PurePosixPath(name)
    if relative.is_absolute() or ".." in relative.parts:
        raise InputError(
            f"{folder / MANIFEST} lists {name!r}, which lies outside the folder; "
            "do not trust this avatar"
        )
    path = folder / relative
    if not path.is_file():
        raise InputError(
            f"{folder} misses {name}, which its manifest lists; copy it whole or export it again"
        )
    actual = sha256(path)
    if actual != expected:
        raise InputError(
            f"{path} was changed or damaged: its SHA-256 is {actual[:12]}…, "
            f"the manifest says {expected[:12]}…; copy it again or export again"
        )


def _read_arrays(folder: Path, manifest: dict[str, Any]) -> Avatar:
    try:
        stored = load_file(folder / ARRAYS)
    except (SafetensorError, OSError, ValueError) as error:
        raise InputError(
            f"{folder / ARRAYS} is not a safetensors file ({error}); export the avatar again"
        ) from error
    missing = [name for name in SHAPES if name not in stored]
    if missing:
        raise InputError(f"{folder / ARRAYS} misses {', '.join(missing)}; export the avatar again")
    arrays: dict[str, Any] = {name: stored[name] for name in SHAPES}
    arrays |= {name: stored[name].astype(np.float32) for name in BULK_ARRAYS}
    return Avatar(
        **arrays,
        edition=manifest["head_model"],
        expression_names=tuple(manifest["expression_names"]),
    )


def drift_note(manifest: Mapping[str, Any]) -> str:
    """Return one line about tolerances that the avatar misses; empty when it misses none.

    An export may be written in spite of missed tolerances; commands that use it show this line.
    """
    drift = manifest.get("fidelity", {}).get("drift", {})
    if not drift:
        return ""
    permission = f"allowed on {drift['date']} ({drift['reason']})"
    return f"this avatar misses tolerances, {permission}: {drift['misses']}"
