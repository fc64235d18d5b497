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

from .format import Subject
from .report import Report

TOOLS = ("torch", "numpy", "onnx", "onnxscript", "onnxruntime", "scikit-image", "libigl", "scipy", "safetensors")

FLAME = (
    "The networks and joints were fitted to FLAME, whose own licence applies (Max Planck Society: non-commercial "
    "research, unless you hold another); read it before passing this avatar on."
)
LICENCES = {
    "flame2017": FLAME,
    "flame2019": FLAME,
    "flame2020": FLAME,
    "flame2023": FLAME,
    "openhead": "OpenHead and the MakeHuman data behind it are CC0 1.0: the head model sets no conditions.",
}
"""Head-model edition -> what its licence implies."""


PERSON = "The likeness is that of the person who was filmed: ask them."
FLAME_USE = f"No commercial use without a licence of FLAME's. {PERSON}"
USES = {
    "flame2017": FLAME_USE,
    "flame2019": FLAME_USE,
    "flame2020": FLAME_USE,
    "flame2023": FLAME_USE,
    "openhead": f"The head model allows everything. {PERSON}",
}
"""Head-model edition -> what follows for whoever uses a file made from an avatar."""


def licence_report(subject: Subject) -> dict[str, str]:
    """What a file that travels alone says of its origin: `head_model`, `conditions`, `source_sha256`, `data`, `use`."""
    edition, provenance = subject.source.edition, subject.source.provenance
    return {
        "head_model": edition,
        "conditions": LICENCES[edition],
        "source_sha256": subject.metadata["source_sha256"],
        "data": "; ".join(f"{name}: {value}" for name, value in provenance.items()) or "the checkpoint does not tell",
        "use": USES[edition],
    }


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
        "licences": {"head_model": LICENCES[avatar.edition]},
        "tools": {
            "imavatar-deploy": imavatar_deploy.__version__,
            "python": platform.python_version(),
            **{tool: importlib.metadata.version(tool) for tool in TOOLS},
        },
    }
