"""Predictions of a baked avatar, rendered by the CPU renderer of `imavatar-run`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from imavatar_deploy.arrays import Array, Float32
from imavatar_deploy.avatar import Avatar
from imavatar_deploy.avatar_io import MANIFEST, AvatarFolder, open_avatar
from imavatar_deploy.errors import ImavatarError
from imavatar_deploy.rendering.cpu_renderer import CpuRenderer, open_cpu_renderer
from imavatar_deploy.rendering.renderer import RenderConfig
from imavatar_deploy.rendering.shading import available_shading
from imavatar_deploy.tracks import check_edition

from .from_frames import prediction_of
from .interfaces import GroundTruth, Options, PredictionSource, SourceKind
from .landmarks import BakedLandmarks, canonical_landmarks, project
from .metric import Prediction

BUNDLED_AVATAR = "sample"
"""Name of the bundled avatar."""


class BakedSource(PredictionSource):
    """Frames of a baked avatar, with colours of 8 bits as in its export.

    Args:
        path: the avatar's path, for the title.
        folder: the avatar.
        renderer: renders `truth.size` pixels a side over a transparent background.
        shading: the shading of the renderer, for the report.
        truth: dataset whose motion and cameras drive the avatar.

    Raises:
        EditionMismatchError: the head model of the dataset's tracking is not the avatar's.
    """

    def __init__(
        self,
        path: str,
        folder: AvatarFolder,
        renderer: CpuRenderer,
        shading: str,
        truth: GroundTruth,
    ) -> None:
        check_edition(truth.track.edition or folder.avatar.edition, folder.avatar.edition)
        self.title = f"the baked avatar {path}"
        self.facts = {"shading": shading}
        self._renderer = renderer
        self._truth = truth
        self._landmarks = _landmarks(folder.avatar, truth)

    def predict(self, index: int) -> Prediction:
        """Render image, mask, normals and landmarks of the dataset's frame at `index`."""
        track = self._truth.track
        size = self._truth.size
        frame = (
            track.expression[index],
            track.pose[index],
            track.cameras[index].image_matrix(size, size),
        )
        image = self._renderer.render(*frame)
        landmarks = self._landmarks[index] if self._landmarks else None
        return prediction_of(image, self._renderer.normals(*frame), landmarks)


def _matches(path: str) -> bool:
    return path == BUNDLED_AVATAR or (Path(path) / MANIFEST).is_file()


@contextmanager
def _open(path: str, truth: GroundTruth, options: Options) -> Iterator[PredictionSource]:
    folder = open_avatar(path)
    shading = available_shading(folder)
    with closing(
        open_cpu_renderer(RenderConfig(folder, truth.size, truth.size, shading))
    ) as renderer:
        yield BakedSource(path, folder, renderer, shading, truth)


def _landmarks(avatar: Avatar, truth: GroundTruth) -> list[Float32[Array, "70 2"]] | None:
    try:
        points = canonical_landmarks(truth.head)
    except ImavatarError:  # the landmarks of this head model are unknown, which the report states
        return None
    baked = BakedLandmarks(avatar, points)
    track = truth.track
    return [
        project(
            baked.pose_vertices(track.expression[index], track.pose[index]),
            track.cameras[index],
            truth.size,
        )
        for index in range(len(track))
    ]


KIND = SourceKind(
    name="avatar",
    description="an avatar folder of imavatar-export, or the word `sample`",
    matches=_matches,
    open=_open,
)
