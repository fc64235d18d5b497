"""What an avatar's manifest says beyond its arrays: source, fidelity, graphs, licences, tool versions."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import imavatar_deploy
from imavatar_deploy.avatar_io import SCHEMA_VERSION
from imavatar_deploy.conventions import UNITS_PER_METRE
from imavatar_deploy.model import ImplicitAvatar

from .licences import licence_report
from .report import Report

TOOLS = ("torch", "numpy", "onnx", "onnxscript", "onnxruntime", "scikit-image", "libigl", "scipy", "safetensors")


def graph_metadata(avatar: ImplicitAvatar, digest: str) -> dict[str, str]:
    """What every graph says of itself in its metadata."""
    return {
        "schema_version": str(SCHEMA_VERSION),
        "head_model": avatar.edition,
        "units": f"model units, {UNITS_PER_METRE:g} a metre; +Y up, the face looks along +Z",
        "source_sha256": digest,
        "producer": f"imavatar-deploy {imavatar_deploy.__version__}",
    }


def about(
    source: Path, digest: str, avatar: ImplicitAvatar, report: Report, graphs: Mapping[str, Any]
) -> dict[str, Any]:
    """The manifest's part that the exporter knows."""
    return {
        "graphs": dict(graphs),
        "source": {"name": source.name, "sha256": digest, "provenance": avatar.provenance},
        "fidelity": report.as_dict(),
        "licences": licence_report(avatar.edition, avatar.provenance, digest),
        "tools": {
            "imavatar-deploy": imavatar_deploy.__version__,
            "python": platform.python_version(),
            **{tool: importlib.metadata.version(tool) for tool in TOOLS},
        },
    }
