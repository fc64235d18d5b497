"""Predictions of a run or checkpoint, rendered from its networks by a tracer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.utils import parametrize

from imavatar_deploy.arrays import Array, Float32
from imavatar_deploy.errors import ImavatarError, MissingDependencyError, unknown_name
from imavatar_deploy.model.checkpoint import load_variant
from imavatar_deploy.model.forward_avatar import ForwardAvatarModel
from imavatar_deploy.model.frame import Frame
from imavatar_deploy.model.head_avatar import HeadAvatarModel
from imavatar_deploy.model.render import Rendering, render
from imavatar_deploy.model.tracing import TRACERS
from imavatar_deploy.tracks import check_edition

from .interfaces import GroundTruth, Options, PredictionSource, SourceKind
from .landmarks import canonical_landmarks, nearest_on_surface, project
from .metric import Prediction

MARCH = "march"
"""Name of the tracer that works for every variant."""


class ImplicitSource(PredictionSource):
    """Frames rendered from a model's networks.

    Args:
        model: the avatar.
        truth: dataset whose motion and cameras drive the avatar.
        title: heading of the report.
        tracer: a row of `tracing.TRACERS`; variants without a forward map always use `march`.

    Raises:
        UsageError: the tracer is unknown.
        EditionMismatchError: the head model of the dataset's tracking is not the avatar's.
    """

    def __init__(
        self, model: HeadAvatarModel, truth: GroundTruth, *, title: str, tracer: str = "raster"
    ) -> None:
        if tracer not in TRACERS:
            raise unknown_name("tracer", tracer, TRACERS)
        check_edition(truth.track.edition or model.head.edition, model.head.edition)
        tracer = tracer if model.direction == "forward" else MARCH
        self.title = title
        self.facts: dict[str, Any] = {"variant": model.name, "tracer": tracer}
        self._model = model.eval()
        self._truth = truth
        self._tracer = TRACERS[tracer]()
        self._landmarks = _landmarks(model)
        self._canonical: torch.Tensor | None = None

    def predict(self, index: int) -> Prediction:
        """Render image, mask, normals and landmarks of the dataset's frame at `index`."""
        rendering, frame = self.rendering(index)
        with parametrize.cached():
            landmarks = self._project_landmarks(rendering, frame, index)
        return Prediction(
            np.clip(rendering.rgb, 0.0, 1.0), rendering.mask, rendering.normal, landmarks
        )

    def rendering(self, index: int) -> tuple[Rendering, Frame]:
        """Render the dataset's frame at `index`; returns its inputs, too."""
        track = self._truth.track
        size = (self._truth.size, self._truth.size)
        device = next(self._model.parameters()).device
        expression = torch.from_numpy(track.expression[index]).to(device)
        pose = torch.from_numpy(track.pose[index]).to(device)
        frame = Frame(expression, pose)
        with parametrize.cached():
            rendering = render(self._model, frame, track.cameras[index], size, self._tracer)
        return rendering, frame

    def _project_landmarks(
        self, rendering: Rendering, frame: Frame, index: int
    ) -> Float32[Array, "70 2"] | None:
        """Landmarks of the deformed avatar in pixels; None where they are unknown."""
        if self._landmarks is None:
            return None
        if isinstance(self._model, ForwardAvatarModel):
            canonical = self._on_surface(self._model, self._landmarks, frame)
            with torch.no_grad():
                points = self._model.deform(canonical, frame.expression, frame.pose).cpu().numpy()
        else:
            visible = nearest_visible(rendering, self._landmarks)
            if visible is None:
                return None
            points = visible
        return project(points, self._truth.track.cameras[index], self._truth.size)

    def _on_surface(
        self, model: ForwardAvatarModel, landmarks: Float32[Array, "70 3"], frame: Frame
    ) -> torch.Tensor:
        """Nearest points of the canonical surface; computed once where frames have no code."""
        if self._canonical is not None:
            return self._canonical
        points = nearest_on_surface(model, torch.from_numpy(landmarks).to(frame.pose), frame)
        if model.geometry_code(frame) is None:
            self._canonical = points
        return points


def nearest_visible(
    rendering: Rendering, landmarks: Float32[Array, "N 3"]
) -> Float32[Array, "N 3"] | None:
    """Deformed points of the pixels whose canonical points are nearest to the landmarks.

    For backward variants, which cannot deform a canonical point but know the canonical point of
    each pixel. None where the image is empty.
    """
    canonical = rendering.canonical[rendering.mask]
    deformed = rendering.deformed[rendering.mask]
    if not len(canonical):
        return None
    distance = np.linalg.norm(landmarks[:, None] - canonical[None], axis=2)
    return np.asarray(deformed[distance.argmin(axis=1)], dtype=np.float32)


def _landmarks(model: HeadAvatarModel) -> Float32[Array, "70 3"] | None:
    try:
        return canonical_landmarks(model.head)
    except ImavatarError:  # the landmarks of this head model are unknown, which the report states
        return None


@contextmanager
def _open(path: str, truth: GroundTruth, options: Options) -> Iterator[PredictionSource]:
    model = load_variant(path).to(chosen_device(options.device))
    yield ImplicitSource(model, truth, title=f"the run {path}", tracer=options.tracer)


def chosen_device(name: str) -> torch.device:
    """The torch device of a name; `auto` is the first GPU, or the CPU without one.

    Raises:
        MissingDependencyError: the name is of a GPU, and none is available.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    device = torch.device(name)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise MissingDependencyError(
            f"the device {name} needs a GPU and torch sees none; use device='cpu' (--device cpu)"
        )
    return device


def _matches(path: str) -> bool:
    folder = Path(path)
    return folder.is_file() or (folder.is_dir() and not any(folder.glob("*.png")))


KIND = SourceKind(
    name="run",
    description="a run folder or checkpoint, rendered implicitly from its networks",
    matches=_matches,
    open=_open,
)
