"""Distilled and refined students on frames that neither was fitted to, as Markdown and as a sheet.

    imavatar-export CHECKPOINT --format player --out plain
    imavatar-export CHECKPOINT --format player --refine TRAINING --out sharp
    python benchmarks/refine.py TEST plain sharp --sheet sheet.jpg

TEST is a dataset of the subject, and the avatars have a student each. Every measure is the mean
over the frames, inside the common mask of picture and surface; mouth and eyes are balls of 50 and
25 mm around the lips and the eyeballs. LPIPS needs a file of weights (see imavatar-eval).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import click
import numpy as np

from imavatar_deploy.avatar import Avatar
from imavatar_deploy.avatar_io import open_avatar
from imavatar_deploy.cli.options import frames_of
from imavatar_deploy.conventions import BONES
from imavatar_deploy.dataset import FaceDataset
from imavatar_deploy.exporters.fidelity.implicit_reference import RADIUS, mouth_centre
from imavatar_deploy.exporters.refine.held_out import ImageError, measure
from imavatar_deploy.exporters.refine.raster_frames import FaceRegions, RasterFrames, Shots
from imavatar_deploy.exporters.refine.refinable_student import RefinableStudent
from imavatar_deploy.exporters.refine.refine import EYE_RADIUS
from imavatar_deploy.exporters.refine.sheet import comparison_sheet, draw_student, write_sheet
from imavatar_deploy.fidelity.image_metrics import ssim
from imavatar_deploy.head_model import HeadModel
from imavatar_deploy.progress import silent
from imavatar_deploy.student import read_student
from imavatar_deploy.training.evaluation.perceptual import load_perceptual

SMALLEST = 11
"""Smallest side of a picture, pixels: that of the window of SSIM."""

Perceptual = Callable[[np.ndarray, np.ndarray], float]


def regions_of(head: HeadModel, avatar: Avatar) -> FaceRegions:
    eyes = avatar.joints_rest[BONES.index("eyeL") :]
    return FaceRegions(mouth_centre(head), RADIUS, eyes, EYE_RADIUS)


def similarity(
    student: RefinableStudent, frames: RasterFrames, shots: Shots, perceptual: Perceptual | None
) -> tuple[float, float]:
    """SSIM and LPIPS; outside the common mask both images are white."""
    values = []
    for t in range(len(shots)):
        drawn = draw_student(student, frames, t, shots.size) / 255.0
        common = np.zeros(shots.size**2, dtype=bool)
        common[frames.place[frames.rows(t)]] = True
        common = common.reshape(shots.size, shots.size)
        truth = np.where(common[..., None], shots.image[t] / 255.0, 1.0)
        distance = perceptual(drawn, truth) if perceptual else float("nan")
        values.append((ssim(drawn, truth, common), distance))
    return tuple(np.mean(values, axis=0).tolist())


def row(name: str, error: ImageError, similar: tuple[float, float], agreement: float) -> str:
    distance = "not measured" if np.isnan(similar[1]) else f"{similar[1]:.4f}"
    return (
        f"| {name} | {error.l1:.4f} | {error.psnr:.1f} dB | {error.mouth_l1:.4f} "
        f"| {error.eyes_l1:.4f} | {similar[0]:.4f} | {distance} | {agreement:.4f} |"
    )


@click.command()
@click.argument("dataset", type=click.Path(path_type=Path))
@click.argument("avatars", nargs=-1, required=True)
@click.option("--size", default=256, show_default=True, type=click.IntRange(min=SMALLEST))
@click.option("--frames", help="Frames of the dataset, as start:stop:step.")
@click.option("--sheet", type=click.Path(path_type=Path), help="JPEG: picture and avatars.")
@click.option("--lpips-weights", type=click.Path(path_type=Path))
def main(
    dataset: Path,
    avatars: Sequence[str],
    size: int,
    frames: str | None,
    sheet: Path | None,
    lpips_weights: Path | None,
) -> None:
    selection = None if frames is None else frames_of(frames)
    data = FaceDataset.open(dataset, size=size, frames=selection)
    shots = Shots.load(data, range(len(data)), silent)
    perceptual = None if lpips_weights is None else load_perceptual(lpips_weights)
    click.echo(f"{len(shots)} frames of {dataset}, {size} x {size}\n")
    click.echo("| student | RGB L1 | PSNR | mouth L1 | eyes L1 | SSIM | LPIPS | mask IoU |")
    click.echo("|:--|--:|--:|--:|--:|--:|--:|--:|")
    columns = []
    for name in avatars:
        folder = open_avatar(name)
        student = RefinableStudent(read_student(folder))
        regions = regions_of(data.head, folder.avatar)
        drawn = RasterFrames.draw(folder.avatar, shots, regions, silent)
        similar = similarity(student, drawn, shots, perceptual)
        agreement = float(drawn.agreement.mean())
        click.echo(row(Path(name).name, measure(student, drawn), similar, agreement))
        columns.append((student, drawn))
    if sheet is not None:
        write_sheet(sheet, comparison_sheet(shots, columns), synthetic_mark=True)
        click.echo(f"\nwrote {sheet}", err=True)


if __name__ == "__main__":
    main()
