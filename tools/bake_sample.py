"""Bake the bundled sample avatar from the bundled sample checkpoint, and renew what depends on it.

The student is refined on the training video of the sample, which is rendered first. All of it takes
about ten minutes on two cores.
"""

from __future__ import annotations

import time
from pathlib import Path

import click
import sample_frames

from imavatar_deploy.avatar_io import SAMPLE
from imavatar_deploy.cli.command import Command, closing_lines, progress
from imavatar_deploy.exporters.export import export_avatar
from imavatar_deploy.exporters.fidelity.options import FidelitySettings
from imavatar_deploy.exporters.refine.options import RefineSettings
from imavatar_deploy.exporters.settings import ExportSettings
from imavatar_deploy.exporters.unseen_options import UnseenSettings
from imavatar_deploy.tracks import read_track
from imavatar_deploy.training.synthetic import synthesise

FACES = 18_000
"""Less than half of an export's default, so that all assets together stay small."""

RESOLUTION = 512
"""At 256 there are notches where the lids meet in a blink, which decimation keeps."""

TOLERANCES = Path(__file__).with_name("sample_tolerances.toml")

SUBJECT = "male1"

PICTURE_SIZE = 512
"""Side of the pictures of the refinement; those of the training have half of it."""


@click.command(cls=Command)
@click.option(
    "--out", type=click.Path(path_type=Path), default=SAMPLE, help="Avatar folder to write."
)
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    default=Path("sample_run") / f"train{PICTURE_SIZE}",
    help=f"The training video at {PICTURE_SIZE} pixels; rendered where it is missing.",
)
def bake(out: Path, data: Path) -> None:
    """Export the bundled checkpoint `sample` as a small avatar folder for the player.

    It holds bases in half precision, texture.onnx and a refined student. Where it replaces the
    bundled one, the frames with which tests compare the sample are drawn anew.
    """
    start = time.monotonic()
    if not data.exists():
        synthesise(SUBJECT, data, size=PICTURE_SIZE, progress=progress)
    settings = ExportSettings(
        formats=("player",),
        faces=FACES,
        resolution=RESOLUTION,
        storage="float16",
        overwrite=True,
        refine=RefineSettings((data,)),
        unseen=UnseenSettings(seen_from=(read_track(data),)),
        proof=FidelitySettings(tolerances=TOLERANCES),
    )
    export_avatar("sample", out, settings, progress=progress, say=click.echo)
    written = [out]
    if out == SAMPLE:
        sample_frames.draw(SAMPLE)
        written.append(sample_frames.STORED)
    click.echo(closing_lines(written, time.monotonic() - start, ["imavatar-verify sample"]))


if __name__ == "__main__":
    bake()
