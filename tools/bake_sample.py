"""Bake the bundled sample avatar, 13 MB, from the bundled sample checkpoint in a few minutes."""

from __future__ import annotations

import time
from pathlib import Path

import click

from imavatar_deploy.avatar_io import SAMPLE
from imavatar_deploy.cli.command import Command, closing_lines, progress
from imavatar_deploy.exporters.export import export_avatar
from imavatar_deploy.exporters.fidelity.options import FidelitySettings
from imavatar_deploy.exporters.settings import ExportSettings

FACES = 18_000
"""Less than half of an export's default, so that all assets together stay under 25 MB."""

RESOLUTION = 512
"""At 256 there are notches where the lids meet in a blink, which decimation keeps."""

TOLERANCES = Path(__file__).with_name("sample_tolerances.toml")


@click.command(cls=Command)
@click.option(
    "--out", type=click.Path(path_type=Path), default=SAMPLE, help="Avatar folder to write."
)
def bake(out: Path) -> None:
    """Export the bundled checkpoint `sample` as a small avatar folder for the player.

    It holds bases in half precision, texture.onnx and a student.
    """
    start = time.monotonic()
    settings = ExportSettings(
        formats=("player",),
        faces=FACES,
        resolution=RESOLUTION,
        storage="float16",
        overwrite=True,
        proof=FidelitySettings(tolerances=TOLERANCES),
    )
    export_avatar("sample", out, settings, progress=progress)
    click.echo(closing_lines([out], time.monotonic() - start, ["imavatar-verify sample"]))


if __name__ == "__main__":
    bake()
