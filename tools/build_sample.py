"""Build the bundled sample checkpoint: full-size networks trained on a synthetic video.

It takes about an hour on two cores.
"""

from __future__ import annotations

import time
from pathlib import Path

import click

import imavatar_deploy
from imavatar_deploy.cli.command import Command, closing_lines, progress
from imavatar_deploy.model.checkpoint import load_checkpoint, save_checkpoint
from imavatar_deploy.training import train
from imavatar_deploy.training.config_file import read_config
from imavatar_deploy.training.dataset import FaceDataset
from imavatar_deploy.training.presets import preset
from imavatar_deploy.training.synthetic import synthesise

SAMPLE = Path(imavatar_deploy.__file__).parent / "assets" / "sample_checkpoint"
CONFIG = Path(__file__).with_name("sample.toml")
SUBJECT = "male1"


@click.command(cls=Command)
@click.option(
    "--out", type=click.Path(path_type=Path), default=SAMPLE, help="Checkpoint folder to write."
)
@click.option(
    "--work", type=click.Path(path_type=Path), default=Path("sample_run"), help="Videos and run."
)
def build(out: Path, work: Path) -> None:
    """Render the videos, train with tools/sample.toml, and write the networks in half precision.

    After an interruption, call it again to resume. The run folder is that of `imavatar-train`, with
    its losses and validation.
    """
    start = time.monotonic()
    run = work / "run"
    for which in ("train", "test"):
        if not (work / which).exists():
            synthesise(SUBJECT, work / which, which=which, progress=progress)
    dataset = FaceDataset.open([work / "train"])
    settings = read_config(CONFIG, preset("full"))
    train(
        dataset,
        run,
        settings,
        resume=(run / "state.pt").exists(),
        progress=progress,
        say=click.echo,
    )
    save_checkpoint(load_checkpoint(run), out, half=True, overwrite=True)
    following = [
        "python tools/bake_sample.py",
        f"imavatar-eval sample --data {work / 'test'} --out {work / 'report'}",
    ]
    click.echo(closing_lines([out, run], time.monotonic() - start, following))


if __name__ == "__main__":
    build()
