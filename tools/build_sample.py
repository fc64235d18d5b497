"""Build the bundled sample checkpoint: full-size networks warm-started on the sample's person, in half an hour."""

from __future__ import annotations

import time
from pathlib import Path

import click
import torch
from rich.console import Console

import imavatar_deploy
from imavatar_deploy.console import Command, closing_lines
from imavatar_deploy.head_model import HeadModel
from imavatar_deploy.model.checkpoint import save_checkpoint
from imavatar_deploy.model.implicit_avatar import ImplicitAvatar
from imavatar_deploy.model.sizes import NetworkSizes
from imavatar_deploy.training.fit_report import fit_report
from imavatar_deploy.training.sample_pool import SamplePool
from imavatar_deploy.training.sample_subject import sample_subject
from imavatar_deploy.training.warm_start import WarmStartSettings, warm_start

SAMPLE = Path(imavatar_deploy.__file__).parent / "assets" / "sample_checkpoint"
DEFORMATION_FREQUENCIES = 4
"""The published network has none, and then lids and lips, which touch what they slide over, move too little."""
PREVIEW_SECONDS = 300.0
LINES = 200
"""Progress lines a fit."""


@click.command(cls=Command)
@click.option("--out", type=click.Path(path_type=Path), default=SAMPLE, help="Checkpoint folder to write.")
@click.option("--work", type=click.Path(path_type=Path), default=Path("sample_run"), help="Snapshots to resume from.")
@click.option("--steps", default=WarmStartSettings.steps, help="Steps of geometry and texture.")
@click.option("--detail-steps", default=WarmStartSettings.detail_steps, help="Steps of their second round.")
@click.option("--deformation-steps", default=WarmStartSettings.deformation_steps, help="Steps of the deformation.")
@click.option("--threads", default=2, help="CPU threads; the result depends on their number in the last digits.")
def build(out: Path, work: Path, steps: int, detail_steps: int, deformation_steps: int, threads: int) -> None:
    """Fit the sample's networks and write them in half precision. Interrupted, it goes on from its snapshots."""
    torch.set_num_threads(threads)
    started, console = time.monotonic(), Console(stderr=True, width=140)
    head = HeadModel.load("openhead")
    console.print("shaping, dressing and painting the subject")
    subject = sample_subject(head)
    settings = WarmStartSettings(steps=steps, detail_steps=detail_steps, deformation_steps=deformation_steps)
    torch.manual_seed(settings.seed)
    provenance = {"made by": "tools/build_sample.py", "head": "OpenHead (CC0)"}
    avatar = ImplicitAvatar(
        subject.head, NetworkSizes(deformation_frequencies=DEFORMATION_FREQUENCIES), provenance=provenance
    )
    warm_start(avatar, subject, settings, report=Reporter(console, avatar, work / "checkpoint"), snapshots=work)
    save_checkpoint(avatar, out, half=True, overwrite=True)
    for name, value in fit_report(avatar, SamplePool.draw(subject, 60_000, settings.seed + 9)).items():
        console.print(f"{name:28s} {value:.5f}")
    for snapshot in work.glob("*.pt"):
        snapshot.unlink()
    console.print(closing_lines([out], time.monotonic() - started, [f"imavatar-export {out} --format onnx --out DIR"]))


class Reporter:
    """Prints the losses now and then, and saves what there is every few minutes, to look at."""

    def __init__(self, console: Console, avatar: ImplicitAvatar, preview: Path) -> None:
        self.console, self.avatar, self.preview = console, avatar, preview
        self.saved = time.monotonic()

    def __call__(self, name: str, step: int, steps: int, losses: dict[str, float]) -> None:
        """Called after every step."""
        if step % max(1, steps // LINES) == 0 or step == steps:
            terms = "  ".join(f"{term} {value:.5f}" for term, value in losses.items())
            self.console.print(f"{time.strftime('%H:%M:%S')} {name} {step}/{steps}  {terms}")
        if time.monotonic() - self.saved > PREVIEW_SECONDS:
            save_checkpoint(self.avatar, self.preview, half=True, overwrite=True)
            self.saved = time.monotonic()


if __name__ == "__main__":
    build()
