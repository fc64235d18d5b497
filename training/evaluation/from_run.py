"""A run or checkpoint: its frames are rendered implicitly, from the networks, by either tracer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.utils import parametrize

from imavatar_deploy.errors import ImavatarError, MissingDependencyError, unknown_name
from imavatar_deploy.model.checkpoint import load_variant
from imavatar_deploy.model.forward_avatar import ForwardAvatarModel
from imavatar_deploy.model.frame import Frame
from imavatar_deploy.model.head_avatar import HeadAvatarModel
from imavatar_deploy.model.render import Rendering, render
from imavatar_deploy.model.tracing import TRACERS
from imavatar_deploy.tracks import check_edition

from .landmarks import canonical_landmarks, onto_surface, project
from .metric import Points, Prediction
from .source import GroundTruth, Options, PredictionSource, SourceKind

MARCH = "march"
"""The tracer that every variant can be traced by."""


class ImplicitSource(PredictionSource):
    """Frames rendered from a model's networks.

    Args:
        truth: the dataset whose motion and cameras drive it.
        tracer: a row of `tracing.TRACERS`; a variant without a forward map is marched whatever is asked for.

    Raises:
        UsageError: an unknown tracer.
        EditionMismatchError: the dataset was tracked with another head model than the avatar's.
    """

    def __init__(
        self, model: HeadAvatarModel, truth: GroundTruth, *, title: str, tracer: str = "raster"
    ) -> None:
        if tracer not in TRACERS:
            raise unknown_name("tracer", tracer, TRACERS)
        check_edition(truth.track.edition, model.head.edition)
        used = tracer if model.direction == "forward" else MARCH
        self.title = title
        self.facts: dict[str, Any] = {"variant": model.name, "tracer": used}
        self._model = model.eval()
        self._truth = truth
        self._tracer = TRACERS[used]()
        self._landmarks = _landmarks(model)

    def predict(self, index: int) -> Prediction:
        """See `PredictionSource`."""
        rendering, frame = self.rendering(index)
        with parametrize.cached():
            landmarks = self._carried(rendering, frame, index)
        return Prediction(
            np.clip(rendering.rgb, 0.0, 1.0), rendering.mask, rendering.normal, landmarks
        )

    def rendering(self, index: int) -> tuple[Rendering, Frame]:
        """The image of the dataset's frame at `index`, and what drove it."""
        track, size = self._truth.track, self._truth.size
        device = next(self._model.parameters()).device
        codes = (
            torch.from_numpy(codes[index]).to(device) for codes in (track.expression, track.pose)
        )
        frame = Frame(*codes)
        with parametrize.cached():
            return render(
                self._model, frame, track.cameras[index], (size, size), self._tracer
            ), frame

    def _carried(self, rendering: Rendering, frame: Frame, index: int) -> Points | None:
        if self._landmarks is None:
            return None
        if isinstance(self._model, ForwardAvatarModel):
            start = torch.from_numpy(self._landmarks).to(frame.pose)
            with torch.no_grad():
                canonical = onto_surface(self._model, start, frame)
                points = self._model.deform(canonical, frame.expression, frame.pose).cpu().numpy()
        else:
            found = nearest_seen(rendering, self._landmarks)
            if found is None:
                return None
            points = found
        return project(points, self._truth.track.cameras[index], self._truth.size)


def nearest_seen(rendering: Rendering, landmarks: Points) -> Points | None:
    """[70, 3] deformed points of the pixels whose canonical points are nearest to the landmarks `[70, 3]`.

    For variants that only map backwards: nothing says where a canonical point goes, but each pixel says whence it came.
    None where the image is empty.
    """
    canonical, deformed = rendering.canonical[rendering.mask], rendering.deformed[rendering.mask]
    if not len(canonical):
        return None
    apart = np.linalg.norm(landmarks[:, None] - canonical[None], axis=2)
    return np.asarray(deformed[apart.argmin(axis=1)], dtype=np.float32)


def _landmarks(model: HeadAvatarModel) -> Points | None:
    try:
        return canonical_landmarks(model.head)
    except ImavatarError:  # a head model whose landmarks nobody knows; the report says so
        return None


@contextmanager
def _open(path: str, truth: GroundTruth, options: Options) -> Iterator[PredictionSource]:
    model = load_variant(path).to(chosen_device(options.device))
    yield ImplicitSource(model, truth, title=f"the run {path}", tracer=options.tracer)


def chosen_device(name: str) -> torch.device:
    """`auto` is the first GPU where there is one.

    Raises:
        MissingDependencyError: a GPU is asked for that is not there.
    """
    found = torch.device(
        ("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name
    )
    if found.type == "cuda" and not torch.cuda.is_available():
        raise MissingDependencyError(
            f"--device {name} asks for a GPU and torch sees none; use --device cpu"
        )
    return found


def _matches(path: str) -> bool:
    folder = Path(path)
    return folder.is_file() or (folder.is_dir() and not any(folder.glob("*.png")))


KIND = SourceKind(
    name="run",
    description="a run folder or checkpoint, rendered implicitly from its networks",
    matches=_matches,
    open=_open,
)
