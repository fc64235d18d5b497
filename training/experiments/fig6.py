"""Figure 6: template morphing beside implicit morphing: the same frames by the head model's mesh and by the avatar."""

from __future__ import annotations

from pathlib import Path
from statistics import fmean

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.camera import Camera
from imavatar_deploy.conventions import UNITS_PER_METRE
from imavatar_deploy.head_model import HeadModel
from imavatar_deploy.rendering.rasteriser import Rasteriser
from imavatar_deploy.rendering.workers import Workers

from ..dataset import FaceDataset
from ..evaluation.contact_sheet import Bytes, row, stack
from ..evaluation.from_run import ImplicitSource
from ..evaluation.markdown import cell as number
from ..evaluation.markdown import table
from ..evaluation.measure import make_case
from ..evaluation.metric import MASKINGS, Case, Image, Mask, Prediction
from ..evaluation.metrics import METRICS
from ..warm_start.head_surface import vertex_normals
from .results import facts, plain, write_pages, write_png
from .runs import Experiment, ExperimentRun, avatar_of

# Template picture: the head model's own mesh, morphed and drawn without any network; and shading by normals alone.


AMBIENT = 0.25
"""Grey of a surface seen edge-on; one that faces the camera is white."""


class TemplatePainter:
    """Draws a head model's mesh in any expression and pose (template morphing).

    Args:
        head: with the subject's shape in its template.
    """

    def __init__(self, head: HeadModel, size: int, workers: Workers) -> None:
        self._head, self._size = head, size
        self._rasteriser = Rasteriser(head.faces, size, size, workers)

    def draw(
        self, expression: NDArray[np.float32], pose: NDArray[np.float32], camera: Camera
    ) -> tuple[Image, Mask]:
        """Unit normals `[S, S, 3]` in model space, zero outside of the mask, and the mask `[S, S]`."""
        vertices = np.asarray(
            UNITS_PER_METRE * self._head.vertices(expression, pose), dtype=np.float32
        )
        normals = vertex_normals(vertices, self._head.faces.astype(np.int64))
        seen = self._rasteriser.draw(vertices, camera.image_matrix(self._size, self._size))
        mask = seen.triangle >= 0
        corners = normals[self._head.faces[np.where(mask, seen.triangle, 0)]]
        normal = np.einsum(
            "hwk,hwkc->hwc", np.where(mask[..., None], seen.barycentrics, 0.0), corners
        )
        length = np.linalg.norm(normal, axis=2, keepdims=True)
        return np.asarray(normal / np.maximum(length, 1e-12), dtype=np.float32), mask


def shaded(normal: Image, mask: Mask, camera: Camera) -> Image:
    """[H, W, 3] a grey surface lit from the camera, over white."""
    facing = np.clip(normal @ camera.world_to_camera[2, :3], 0.0, 1.0)
    grey = np.where(mask, AMBIENT + (1.0 - AMBIENT) * facing, 1.0)
    return np.repeat(grey[..., None], 3, axis=2).astype(np.float32)


SHOWN = 4
"""Frames of each subject in the picture, evenly spread over the test set."""

COLUMNS = ("mask IoU", "normal cosine")

CAPTIONS = ("truth", "template morphing", "implicit morphing", "with colours")


def run(bench: ExperimentRun) -> list[Path]:
    """Draw and measure both for every test frame."""
    pictures: dict[str, Bytes] = {}
    cases: dict[str, list[Case]] = {"template morphing": [], "implicit morphing": []}
    for subject in bench.plan.subjects:
        truth = bench.dataset(subject, "test")
        source = bench.source(avatar_of(bench, subject), truth, subject)
        shown = {round(place) for place in np.linspace(0, len(truth) - 1, min(SHOWN, len(truth)))}
        with Workers(1) as workers, bench.plan.progress("drawing", len(truth)) as advance:
            painter = TemplatePainter(truth.head, truth.size, workers)
            for index in range(len(truth)):
                template, implicit, picture = _both(painter, source, truth, index)
                cases["template morphing"].append(template)
                cases["implicit morphing"].append(implicit)
                if index in shown:
                    pictures[f"{subject}, frame {truth.observation(index).name}"] = picture
                advance(1)
    means = {way: {name: _mean(name, found) for name in COLUMNS} for way, found in cases.items()}
    rows = [[way, *(number(value) for value in columns.values())] for way, columns in means.items()]
    lines = [
        *facts(bench.plan, bench.plan.run),
        "- the template has no hair, clothes or glasses; normals are compared where a picture and the truth overlap",
        "",
        *table(["", *COLUMNS], rows),
        "",
        "![](fig6.png)",
    ]
    document = {"rows": {way: plain(columns) for way, columns in means.items()}}
    pages = write_pages(
        bench.plan, "fig6", "Figure 6: template morphing and implicit morphing", lines, document
    )
    return [
        *pages,
        write_png(bench.out / "fig6.png", stack(list(pictures.values()), list(pictures))),
    ]


def _both(
    painter: TemplatePainter, source: ImplicitSource, truth: FaceDataset, index: int
) -> tuple[Case, Case, Bytes]:
    """One frame by the template and by the avatar, and a picture of them beside the truth."""
    frame, seen = truth.track.frame(index), truth.observation(index)
    assert frame.camera is not None  # datasets have cameras
    normal, mask = painter.draw(frame.expression, frame.pose, frame.camera)
    grey = shaded(normal, mask, frame.camera)
    made = source.predict(index)
    assert made.normal is not None
    assert made.mask is not None
    images = [seen.image, grey, shaded(made.normal, made.mask, frame.camera), made.rgb]
    return (
        make_case(seen, Prediction(grey, mask, normal)),
        make_case(seen, made),
        row(images, CAPTIONS),
    )


def _mean(metric: str, cases: list[Case]) -> float:
    """Over the frames that left something to measure."""
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
