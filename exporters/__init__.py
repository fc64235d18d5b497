"""Exporters: from a checkpoint to avatar folders and to files for other programs.

    from imavatar_deploy.exporters import ExportSettings, bake_sequences, export_avatar

    report = export_avatar("sample", "avatar", ExportSettings(formats=("player", "glb")))
    print(report.seconds, report.problems())
    bake_sequences("avatar", "talk", "baked", ["abc", "usd"])  # needs no torch

- `export_avatar(source, out, settings)` returns an `ExportReport`; so does
  `add_formats(avatar, out, settings)`, which adds formats to an avatar folder without its
  checkpoint.
- `ExportSettings` holds `StudentSettings`, `RefineSettings`, `GlbSettings` with `VrmSettings`,
  `UsdSettings`, `MeshSettings`, `TrtSettings`, `WebSettings`, `ReportSettings`, `FidelitySettings`
  and `UnseenSettings`.
- `EXPORT_FORMATS` has every format by name; `ExportFormat`, `ExportInput` and `register_format` add
  one of your own.
- `bake_sequences(avatar, track, out, formats)` returns a `SequenceReport`; `SEQUENCE_FORMATS` has
  every format by name.

The names are imported when they are first used. Exporting needs torch (`pip install
'imavatar-deploy[export]'`), baking sequences does not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from imavatar_deploy.lazy import lazy_names

if TYPE_CHECKING:
    from .add import add_formats
    from .export import export_avatar
    from .fidelity.options import FidelitySettings
    from .formats.format import ExportFormat, ExportInput
    from .formats.gltf.settings import GlbSettings, VrmSettings
    from .formats.options import (
        MeshSettings,
        ReportSettings,
        TrtSettings,
        UsdSettings,
        WebSettings,
    )
    from .formats.table import FORMATS as EXPORT_FORMATS
    from .formats.table import register_format
    from .refine.options import RefineSettings
    from .report import ExportReport
    from .sequences.bake import SequenceReport, bake_sequences
    from .sequences.formats import FORMATS as SEQUENCE_FORMATS
    from .settings import ExportSettings
    from .student.options import StudentSettings
    from .unseen_options import UnseenSettings

__all__ = [
    "EXPORT_FORMATS",
    "SEQUENCE_FORMATS",
    "ExportFormat",
    "ExportInput",
    "ExportReport",
    "ExportSettings",
    "FidelitySettings",
    "GlbSettings",
    "MeshSettings",
    "RefineSettings",
    "ReportSettings",
    "SequenceReport",
    "StudentSettings",
    "TrtSettings",
    "UnseenSettings",
    "UsdSettings",
    "VrmSettings",
    "WebSettings",
    "add_formats",
    "bake_sequences",
    "export_avatar",
    "register_format",
]

PLACES = {
    "EXPORT_FORMATS": ".formats.table:FORMATS",
    "SEQUENCE_FORMATS": ".sequences.formats:FORMATS",
    "ExportFormat": ".formats.format",
    "ExportInput": ".formats.format",
    "ExportReport": ".report",
    "ExportSettings": ".settings",
    "FidelitySettings": ".fidelity.options",
    "GlbSettings": ".formats.gltf.settings",
    "MeshSettings": ".formats.options",
    "RefineSettings": ".refine.options",
    "ReportSettings": ".formats.options",
    "SequenceReport": ".sequences.bake",
    "StudentSettings": ".student.options",
    "TrtSettings": ".formats.options",
    "UnseenSettings": ".unseen_options",
    "UsdSettings": ".formats.options",
    "VrmSettings": ".formats.gltf.settings",
    "WebSettings": ".formats.options",
    "add_formats": ".add",
    "bake_sequences": ".sequences.bake",
    "export_avatar": ".export",
    "register_format": ".formats.table",
}

__getattr__, __dir__ = lazy_names(__name__, PLACES)
