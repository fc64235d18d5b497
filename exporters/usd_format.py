"""USD and USDZ: the rigged head as UsdSkel, at rest or with a motion, and the proof of what it shows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.avatar_io import AvatarFolder
from imavatar_deploy.conventions import UNITS_PER_METRE
from imavatar_deploy.parity import ParityReport
from imavatar_deploy.progress import Progress
from imavatar_deploy.rendering.posing import pose_plainly
from imavatar_deploy.tracks import FlameTrack

from .at_rest import AT_REST, NEUTRAL
from .format import ExportFormat, Subject
from .glb_format import same_edition
from .sequences.blend_shapes import blend_names
from .sequences.posing import Channels
from .sequences.take import Take
from .sequences.usd import ROWS as SCENES
from .sequences.usd_scene import EXTRA, MODULES
from .surface_colours import vertex_colours
from .usd_proof import check_proof, write_proof

Float = NDArray[np.float32]


def _writer(name: str) -> Callable[[Path, Subject, Progress], Mapping[str, Any]]:
    scene = next(row for row in SCENES if row.name == name)

    def write(folder: Path, subject: Subject, progress: Progress) -> Mapping[str, Any]:
        assert scene.whole is not None
        take, path = _take(folder, subject), folder / f"avatar{scene.suffix}"
        scene.whole(path, take, _frames(subject, take))
        write_proof(folder / "golden" / f"{name}.safetensors", take.avatar, take.track)
        shapes = len(blend_names(take.avatar))
        return {name: {"bytes": path.stat().st_size, "frames": len(take), "blend_shapes": shapes}}

    return write


def _take(folder: Path, subject: Subject) -> Take:
    """The subject's motion, or one frame at rest."""
    source, avatar = subject.source, subject.bake.avatar
    said = {"sha256": subject.metadata["source_sha256"], "provenance": source.provenance}
    still = FlameTrack(NEUTRAL[None], AT_REST[None], edition=source.edition)
    manifest = {"head_model": source.edition, "source": said, "files": {}}
    return Take(AvatarFolder(folder, avatar, manifest), subject.settings.track or still, colour=True)


def _frames(subject: Subject, take: Take) -> Iterator[Channels]:
    """Vertices of every frame; colours, those of the neutral face, in the first alone: a scene keeps them."""
    for index, frame in enumerate(take.track.frames()):
        moved = pose_plainly(take.avatar, frame.expression, frame.pose).vertices / np.float32(UNITS_PER_METRE)
        yield {"vertices": moved} | ({} if index else {"colours": vertex_colours(subject.source, subject.bake)})


def _check(name: str, suffix: str) -> Callable[[Path], list[ParityReport]]:
    def check(folder: Path) -> list[ParityReport]:
        return [check_proof(name, folder / f"avatar{suffix}", folder / "golden" / f"{name}.safetensors")]

    return check


ROWS = tuple(
    ExportFormat(
        row.name,
        f"the rigged head for film and XR: {row.description}",
        MODULES,
        _writer(row.name),
        _check(row.name, row.suffix),
        extra=EXTRA,
        refuse=same_edition,
    )
    for row in SCENES
)
