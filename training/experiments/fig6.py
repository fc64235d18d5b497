"""Figure 6: the same frames by the head model's mesh (template morphing) and by the avatar."""

from __future__ import annotations

from pathlib import Path
from statistics import fmean

import numpy as np

from imavatar_deploy.arrays import Array, Float32
from imavatar_deploy.camera import Camera
from imavatar_deploy.conventions import UNITS_PER_METRE
from imavatar_deploy.dataset import FaceDataset
from imavatar_deploy.head_model import HeadModel
from imavatar_deploy.rendering.rasteriser import Rasteriser
from imavatar_deploy.rendering.workers import Workers

from ..evaluation.contact_sheet import Bytes, row, stack
from ..evaluation.from_run import ImplicitSource
from ..evaluation.markdown import cell as number
from ..evaluation.markdown import table
from ..evaluation.measure import make_case
from ..evaluation.metric import MASKINGS, Case, Image, Mask, Prediction
from ..evaluation.metrics import METRICS
from ..warm_start.head_surface import vertex_normals
from .results import facts, plain, write_pages, write_png
from .runs import Experiment, ExperimentRun, avatars

AMBIENT = 0.25
"""Grey of a surface seen edge-on; one that faces the camera is white."""

SHOWN_FRAMES = 4
"""Number of frames of each subject in the picture, evenly spread over the test set."""

COLUMNS = ("mask IoU", "normal cosine")

CAPTIONS = ("truth", "template morphing", "implicit morphing", "with colours")


# Template morphing


class TemplateRenderer:
    """Renders the normals of a head model's mesh in any expression and pose (template morphing).

    Args:
        head: with the subject's shape in its template.
        size: pixels a side.
    """

    def __init__(self, head: HeadModel, size: int, workers: Workers) -> None:
        self._head = head
        self._size = size
        self._rasteriser = Rasteriser(head.faces, size, size, workers)

    def draw(
        self, expression: Float32[Array, " E"], pose: Float32[Array, "15"], camera: Camera
    ) -> tuple[Image, Mask]:
        """Return unit normals `[S, S, 3]` in model space and the mask `[S, S]`.

        Normals are zero outside the mask.
        """
        vertices = np.asarray(
            UNITS_PER_METRE * self._head.vertices(expression, pose), dtype=np.float32
        )
        normals = vertex_normals(vertices, self._head.faces.astype(np.int64))
        fragments = self._rasteriser.draw(vertices, camera.image_matrix(self._size, self._size))
        mask = fragments.triangle >= 0
        corners = normals[self._head.faces[np.where(mask, fragments.triangle, 0)]]
        normal = np.einsum(
            "hwk,hwkc->hwc", np.where(mask[..., None], fragments.barycentrics, 0.0), corners
        )
        length = np.linalg.norm(normal, axis=2, keepdims=True)
        return np.asarray(normal / np.maximum(length, 1e-12), dtype=np.float32), mask


def shade_normals(normal: Image, mask: Mask, camera: Camera) -> Image:
    """Shade normals as a grey surface lit from the camera, over white; `[H, W, 3]`."""
    facing = np.clip(normal @ camera.world_to_camera[2, :3], 0.0, 1.0)
    grey = np.where(mask, AMBIENT + (1.0 - AMBIENT) * facing, 1.0)
    return np.repeat(grey[..., None], 3, axis=2).astype(np.float32)


# The figure


def run(experiment: ExperimentRun) -> list[Path]:
    """Render and measure both for every test frame."""
    pictures: dict[str, Bytes] = {}
    cases: dict[str, list[Case]] = {"template morphing": [], "implicit morphing": []}
    runs = avatars(experiment)
    for subject, avatar in runs.items():
        truth = experiment.dataset(subject, "test")
        source = experiment.source(avatar, truth, subject)
        shown = {
            round(place) for place in np.linspace(0, len(truth) - 1, min(SHOWN_FRAMES, len(truth)))
        }
        with Workers(1) as workers, experiment.plan.progress("drawing", len(truth)) as advance:
            renderer = TemplateRenderer(truth.head, truth.size, workers)
            for index in range(len(truth)):
                template, implicit, picture = _both(renderer, source, truth, index)
                cases["template morphing"].append(template)
                cases["implicit morphing"].append(implicit)
                if index in shown:
                    pictures[f"{subject}, frame {truth.observation(index).name}"] = picture
                advance(1)
    means = {way: {name: _mean(name, frames) for name in COLUMNS} for way, frames in cases.items()}
    rows = [[way, *(number(value) for value in columns.values())] for way, columns in means.items()]
    lines = [
        *facts(experiment.plan, experiment.plan.run, subjects=list(runs)),
        "- the template has no hair, clothes or glasses; normals are compared where a picture and "
        "the truth overlap",
        "",
        *table(["", *COLUMNS], rows),
        "",
        "![](fig6.png)",
    ]
    document = {"rows": {way: plain(columns) for way, columns in means.items()}}
    pages = write_pages(
        experiment.plan,
        "fig6",
        "Figure 6: template morphing and implicit morphing",
        lines,
        document,
    )
    return [
        *pages,
        write_png(experiment.out / "fig6.png", stack(list(pictures.values()), list(pictures))),
    ]


def _both(
    renderer: TemplateRenderer, source: ImplicitSource, truth: FaceDataset, index: int
) -> tuple[Case, Case, Bytes]:
    """One frame by the template and by the avatar, and a picture of them beside the truth."""
    frame = truth.track.frame(index)
    observation = truth.observation(index)
    assert frame.camera is not None  # datasets have cameras
    normal, mask = renderer.draw(frame.expression, frame.pose, frame.camera)
    grey = shade_normals(normal, mask, frame.camera)
    prediction = source.predict(index)
    assert prediction.normal is not None
    assert prediction.mask is not None
    images = [
        observation.image,
        grey,
        shade_normals(prediction.normal, prediction.mask, frame.camera),
        prediction.rgb,
    ]
    return (
        make_case(observation, Prediction(grey, mask, normal)),
        make_case(observation, prediction),
        row(images, CAPTIONS),
    )


def _mean(metric: str, cases: list[Case]) -> float:
    """Mean over the frames in which the metric is defined; NaN if there is none."""
    values = [
        METRICS[metric].measure(case, MASKINGS["head"])
        for case in cases
        if not METRICS[metric].absent(case)
    ]
    known = [value for value in values if value == value]
    return fmean(known) if known else float("nan")


EXPERIMENT = Experiment(
    "fig6", "supplementary, Figure 6", "template morphing beside implicit morphing", run
)
