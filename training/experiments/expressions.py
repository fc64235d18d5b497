"""Videos of single expressions swept through their range (supplementary, section 1.7)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from imavatar_deploy.camera import Camera
from imavatar_deploy.head_model import HeadModel

from ..evaluation.contact_sheet import Bytes, row, stack
from ..evaluation.metric import Image
from .results import facts, write_film, write_pages, write_png
from .runs import Experiment, ExperimentRun, avatars
from .sweep import SweepFrames, concatenate, natural_range, sweep_track

SWEPT_EXPRESSIONS = (1, 2, 3, 10)
"""Numbers of the expressions, counted from 1 as in the paper."""
FRAMES = 49
FPS = 25
SHOWN_FRAMES = 5
"""Number of frames of each sweep in the picture."""


def run(experiment: ExperimentRun) -> list[Path]:
    """Render every sweep of every subject."""
    films = []
    pictures = {}
    runs = avatars(experiment)
    for subject, avatar in runs.items():
        truth = experiment.dataset(subject, "test")
        head = truth.head
        for expression, images in _sweeps(
            experiment, avatar, subject, head, truth.track.cameras[0]
        ):
            path = experiment.out / f"{subject}-expression-{expression:02d}.mp4"
            films.append(write_film(path, images, size=experiment.plan.size, fps=FPS))
            caption = f"{subject}: {expression}, {head.expression_names[expression - 1]}"
            pictures[caption] = _picture(images, head)
    low, high = natural_range(head.edition)
    lines = [
        *facts(experiment.plan, experiment.plan.run, subjects=list(runs)),
        f"- expressions {', '.join(map(str, SWEPT_EXPRESSIONS))} swept over [{low:g}, {high:g}], "
        "all else neutral",
    ]
    if (low, high) != (-4.0, 4.0):
        lines.append(
            f"- the paper sweeps FLAME's over [-4, 4]; a unit of {head.edition} is a whole "
            "movement, not a standard deviation, and these are its own first, second, third and "
            "tenth"
        )
    lines += ["", *(f"- [{film.name}]({film.name})" for film in films), "", "![](expressions.png)"]
    document = {
        "range": [low, high],
        "expressions": SWEPT_EXPRESSIONS,
        "edition": head.edition,
        "films": [f.name for f in films],
    }
    pages = write_pages(
        experiment.plan, "expressions", "Expressions swept through their range", lines, document
    )
    return [
        *pages,
        *films,
        write_png(
            experiment.out / "expressions.png", stack(list(pictures.values()), list(pictures))
        ),
    ]


def _sweeps(
    experiment: ExperimentRun, avatar: Path, subject: str, head: HeadModel, camera: Camera
) -> Iterator[tuple[int, list[Image]]]:
    """Number and frames of every expression.

    One track holds all sweeps, so that the surface is extracted once.
    """
    frames = experiment.plan.test_frames or FRAMES
    tracks = [sweep_track(head, expression - 1, frames, camera) for expression in SWEPT_EXPRESSIONS]
    source = experiment.source(
        avatar,
        SweepFrames(concatenate(tracks), experiment.plan.size, head),
        subject,
    )
    for place, expression in enumerate(SWEPT_EXPRESSIONS):
        with experiment.plan.progress(f"expression {expression}", frames) as advance:
            images = []
            for index in range(frames):
                images.append(source.predict(place * frames + index).rgb)
                advance(1)
        yield expression, images


def _picture(images: list[Image], head: HeadModel) -> Bytes:
    places = sorted(
        {round(place) for place in np.linspace(0, len(images) - 1, min(SHOWN_FRAMES, len(images)))}
    )
    low, high = natural_range(head.edition)
    captions = [f"{low + (high - low) * place / max(1, len(images) - 1):+.2f}" for place in places]
    return row([images[place] for place in places], captions)


EXPERIMENT = Experiment(
    "expressions", "supplementary, section 1.7", "single expressions swept, as videos", run
)
