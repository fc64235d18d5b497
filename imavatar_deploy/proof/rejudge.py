"""Rejudge: a finished avatar folder drawn again and held against the implicit renders in it; torch is not needed."""

from __future__ import annotations

from imavatar_deploy.avatar_io import AvatarFolder
from imavatar_deploy.student import has_student

from .drawing import draw
from .hop_report import HopReport
from .measures import chained, measure
from .reference import FILE, read_reference
from .tolerances import FILE as TOLERANCES
from .tolerances import read_tolerances


def rejudge(folder: AvatarFolder) -> list[HopReport]:
    """Each way to colour pixels that the folder has, against the implicit renders; none in a folder without them.

    What may be lost is what the hops on the way may lose together.

    Raises:
        InputError: the renders or tolerances cannot be read.
    """
    files = folder.manifest["files"]
    if FILE not in files or TOLERANCES not in files:
        return []
    reference, allowed = read_reference(folder.file(FILE)), read_tolerances(folder.file(TOLERANCES))
    has_network = "texture.onnx" in files
    hops = ["baked", *(["onnx"] if has_network else [])]
    ways = {"pixel": hops} if has_network else {}
    if has_student(folder):
        ways["student"] = [*hops, "student"]
    pictures, reports = reference.pictures(), []
    for shading, passed in ways.items():
        found = measure(pictures, draw(folder, reference, shading), reference.mouths)
        limits = chained([allowed.get(hop, {}) for hop in passed])
        reports.append(HopReport(f"all up to {passed[-1]}", "implicit", f"{shading} shading", found, limits))
    return reports
