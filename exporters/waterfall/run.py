"""Run: the waterfall of one export, hop after hop, with the evidence of what is missed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from imavatar_deploy.avatar_io import BULK, STORAGE, AvatarFolder
from imavatar_deploy.progress import Progress
from imavatar_deploy.proof.hop_report import HopReport
from imavatar_deploy.proof.measures import measure
from imavatar_deploy.proof.picture import Picture
from imavatar_deploy.proof.reference import write_reference
from imavatar_deploy.proof.tolerances import write_tolerances
from imavatar_deploy.student import FILE as STUDENT

from ..format import Subject
from .evidence import write_evidence
from .hop import HOPS, TEXTURE, Hop, Scene
from .implicit import implicit_reference

Limits = Mapping[str, Mapping[str, float]]


def is_playable(folder: Path) -> bool:
    """Whether what was written can be drawn at all; meshes for other programs prove themselves."""
    return (folder / TEXTURE).is_file() or (folder / STUDENT).is_file()


def run_waterfall(folder: Path, subject: Subject, limits: Limits, progress: Progress) -> list[HopReport]:
    """Draw and judge every hop; the implicit renders stay in `folder`, and images of every miss."""
    written = _as_written(folder, subject)
    reference = implicit_reference(subject.source, written.avatar, subject.settings, progress)
    write_reference(folder, reference)
    write_tolerances(folder, limits)
    scene, drawn, reports = Scene(subject, written, reference), {"implicit": reference.pictures()}, []
    with progress("waterfall", len(HOPS)) as advance:
        for hop in HOPS:
            reports.append(_judged(hop, scene, drawn, limits.get(hop.name, {})))
            advance(1)
    return reports


def _judged(hop: Hop, scene: Scene, drawn: dict[str, list[Picture]], limits: Mapping[str, float]) -> HopReport:
    """One hop; its pictures join those that later ones are held against."""
    start = next((name for name in hop.after if name in drawn), hop.after[-1])
    if reason := hop.obstacle(scene):
        return HopReport(hop.name, start, hop.name, not_run=reason)
    drawn[hop.name] = hop.draw(scene)
    found = measure(drawn[start], drawn[hop.name], scene.reference.mouths)
    report = HopReport(hop.name, start, hop.name, found, limits)
    if report.misses():
        write_evidence(scene.folder.path, hop.name, drawn[start], drawn[hop.name])
    return report


def _as_written(folder: Path, subject: Subject) -> AvatarFolder:
    """The folder as it will be opened: bulk arrays through their storage, files as they lie there."""
    avatar, dtype = subject.bake.avatar, STORAGE[subject.settings.storage]
    stored: dict[str, Any] = {name: getattr(avatar, name).astype(dtype).astype(np.float32) for name in BULK}
    files: dict[str, Any] = {path.relative_to(folder).as_posix(): {} for path in folder.rglob("*") if path.is_file()}
    return AvatarFolder(folder, replace(avatar, **stored), {"files": files})
