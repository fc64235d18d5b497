"""Bakes one checkpoint with several face budgets, for benchmarks.

    python benchmarks/levels_of_detail.py FOLDER [--checkpoint sample] [--faces 5000 10000 20000]

Writes FOLDER/5000, FOLDER/10000, ...; existing levels are kept. The surface is extracted once, and
no fidelity report is made. The cost of a frame does not depend on a student's weights, so every
vertex takes the features of the nearest vertex of the bundled sample. The colours are wrong: use
imavatar-export for avatars to look at.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy.spatial import cKDTree

from imavatar_deploy.atomic import atomic_folder
from imavatar_deploy.avatar import Avatar
from imavatar_deploy.avatar_io import MANIFEST, open_avatar, write_avatar
from imavatar_deploy.cli.command import progress
from imavatar_deploy.exporters.bake import bake
from imavatar_deploy.exporters.formats.format import ExportInput
from imavatar_deploy.exporters.formats.table import FORMATS
from imavatar_deploy.exporters.manifest import graph_metadata
from imavatar_deploy.exporters.mesh_cleanup import polish, simplify, without_strays
from imavatar_deploy.exporters.settings import ExportSettings
from imavatar_deploy.model import load_checkpoint
from imavatar_deploy.model.checkpoint import checkpoint_sha256
from imavatar_deploy.model.surface.extract import extract, field_of
from imavatar_deploy.student import Student, read_student

FACES = (5_000, 10_000, 20_000, 50_000, 100_000)


def student_of_sample(avatar: Avatar) -> Student:
    """The student of the bundled sample, with the features of the nearest vertices."""
    sample = open_avatar("sample")
    student = read_student(sample)
    _, nearest = cKDTree(sample.avatar.canonical.T).query(avatar.canonical.T)
    return replace(student, features=np.ascontiguousarray(student.features[nearest]))


def make_levels(folder: Path, faces: Sequence[int], checkpoint: str = "sample") -> list[Path]:
    """Make the missing levels; returns all folders, coarsest first."""
    out = {count: folder / str(count) for count in sorted(faces)}
    if missing := [count for count, path in out.items() if not (path / MANIFEST).is_file()]:
        source = load_checkpoint(checkpoint)
        field = field_of(source)
        digest = checkpoint_sha256(checkpoint)
        mesh, _ = polish(
            without_strays(extract(field, progress=progress), source.head), field, progress=progress
        )
        for count in missing:
            baked = bake(source, simplify(mesh, count), progress=progress)
            student = student_of_sample(baked.avatar)
            subject = ExportInput(
                source, baked, ExportSettings(("player",)), graph_metadata(source, digest), student
            )
            with atomic_folder(out[count], marker=MANIFEST) as partial:
                graphs = FORMATS["player"].write(partial, subject, progress)
                origin = {"name": checkpoint, "sha256": digest}
                write_avatar(
                    partial, baked.avatar, about={"graphs": dict(graphs), "source": origin}
                )
    return list(out.values())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--checkpoint", default="sample")
    parser.add_argument("--faces", type=int, nargs="+", default=FACES)
    arguments = parser.parse_args()
    for path in make_levels(arguments.folder, arguments.faces, arguments.checkpoint):
        avatar = open_avatar(path).avatar
        print(f"{path}: {len(avatar.faces):,} faces, {avatar.vertex_count:,} vertices")


if __name__ == "__main__":
    main()
