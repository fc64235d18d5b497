"""Manifest entries of an export: source, fidelity, graphs, licences and tool versions.

The licence report also goes into files that are passed on alone, and into `LICENCE.txt`.
"""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import imavatar_deploy
from imavatar_deploy.avatar_io import SCHEMA_VERSION
from imavatar_deploy.consent import Consent, consent_of
from imavatar_deploy.conventions import UNITS_PER_METRE
from imavatar_deploy.errors import InputError
from imavatar_deploy.marking import extras, texts

from .report import ExportReport

if TYPE_CHECKING:  # torch is not needed to read a licence
    from imavatar_deploy.model import ImplicitAvatar

    from .stored_avatar import StoredAvatar

LICENCE = "LICENCE.txt"

FLAME = (
    "The networks and joints were fitted to FLAME, whose own licence applies (Max Planck Society: "
    "non-commercial research, unless you hold another); read it before passing this avatar on."
)

FLAME_OPEN = (
    "The networks and joints were fitted to FLAME 2023 Open (Max Planck Society, CC BY 4.0 with "
    "restrictions of use): name its authors where you pass this avatar on, and read the "
    "restrictions in the licence that came with the model."
)

LICENCES = {
    "flame2017": FLAME,
    "flame2019": FLAME,
    "flame2020": FLAME,
    "flame2023": FLAME,
    "flame2023-no-jaw": FLAME,
    "flame2023-open": FLAME_OPEN,
    "openhead": "OpenHead and the MakeHuman data behind it are CC0 1.0: "
    "the head model sets no conditions.",
}
"""Head-model edition -> conditions of its licence."""

PERSON = "The likeness is that of the person who was filmed: ask them."

FLAME_USE = f"No commercial use without a licence of FLAME's. {PERSON}"

FLAME_OPEN_USE = (
    "Commercial use is allowed with FLAME's authors named, within the restrictions of FLAME 2023 "
    f"Open's licence. {PERSON}"
)

USES = {
    "flame2017": FLAME_USE,
    "flame2019": FLAME_USE,
    "flame2020": FLAME_USE,
    "flame2023": FLAME_USE,
    "flame2023-no-jaw": FLAME_USE,
    "flame2023-open": FLAME_OPEN_USE,
    "openhead": f"The head model allows everything. {PERSON}",
}
"""Head-model edition -> permitted use of files made from an avatar."""

NO_PROVENANCE = "the checkpoint does not tell"


def licence_report(edition: str, provenance: Mapping[str, Any], digest: str) -> dict[str, str]:
    """Origin and conditions of a file: `head_model`, `conditions`, `source_sha256`, `data`, `use`.

    Args:
        edition: of the head model.
        provenance: the checkpoint's record of its data; training settings in it are left out.
        digest: SHA-256 of the checkpoint.
    """
    data = [
        f"{name}: {value}" for name, value in provenance.items() if not isinstance(value, Mapping)
    ]
    if (consent := consent_from(provenance)) is not None:
        data.append(f"consent: {consent.line()}")
    return {
        "head_model": edition,
        "conditions": LICENCES[edition],
        "source_sha256": digest,
        "data": "; ".join(data) or NO_PROVENANCE,
        "use": USES[edition],
    }


def consent_from(provenance: Mapping[str, Any]) -> Consent | None:
    """The consent in a checkpoint's record of its data; None where it has none that is readable."""
    try:
        return consent_of(provenance["consent"])
    except (KeyError, InputError):
        return None


def licence_of(manifest: Mapping[str, Any]) -> dict[str, str]:
    """Licence report from a manifest, including manifests of older versions with fewer entries."""
    source = manifest.get("source", {})
    return licence_report(
        manifest["head_model"], source.get("provenance", {}), source.get("sha256", "not known")
    )


def licence_text(report: Mapping[str, str]) -> str:
    """Text of a licence report, a sentence a line."""
    return "\n".join(
        (
            f"This head was made with imavatar-deploy on the head model {report['head_model']}.",
            report["conditions"],
            f"Its source is the checkpoint with the SHA-256 {report['source_sha256']}.",
            f"Data: {report['data']}.",
            f"What follows for its use: {report['use']}",
            "",
        )
    )


def write_licence(folder: Path, report: Mapping[str, str]) -> None:
    """Write the text of a licence report into a folder, as `LICENCE.txt`."""
    (folder / LICENCE).write_text(licence_text(report), encoding="utf-8")


TOOLS = (
    "torch",
    "numpy",
    "onnx",
    "onnxscript",
    "onnxruntime",
    "scikit-image",
    "libigl",
    "scipy",
    "safetensors",
)


def graph_metadata(
    avatar: ImplicitAvatar | StoredAvatar, digest: str, synthetic_mark: bool = True
) -> dict[str, str]:
    """Metadata that every graph carries, with the mark of `imavatar_deploy.marking` or without."""
    return {
        "schema_version": str(SCHEMA_VERSION),
        "head_model": avatar.edition,
        "units": f"model units, {UNITS_PER_METRE:g} a metre; +Y up, the face looks along +Z",
        "source_sha256": digest,
        "producer": f"imavatar-deploy {imavatar_deploy.__version__}",
        **texts(synthetic_mark),
    }


def about(
    source: Path,
    digest: str,
    avatar: ImplicitAvatar,
    report: ExportReport,
    graphs: Mapping[str, Any],
    synthetic_mark: bool = True,
) -> dict[str, Any]:
    """Manifest entries of an export; `write_avatar` adds those of the arrays.

    Args:
        source: path of the checkpoint.
        digest: SHA-256 of the checkpoint.
        avatar: the loaded checkpoint.
        report: measurements of the export.
        graphs: the entries of the formats.
        synthetic_mark: whether the manifest has the mark of `imavatar_deploy.marking`.
    """
    consent = consent_from(avatar.provenance)
    return {
        "graphs": dict(graphs),
        "consent": consent.as_dict() if consent else None,
        **extras(synthetic_mark),
        "source": {"name": source.name, "sha256": digest, "provenance": avatar.provenance},
        "fidelity": report.as_dict(),
        "licences": licence_report(avatar.edition, avatar.provenance, digest),
        "tools": {
            "imavatar-deploy": imavatar_deploy.__version__,
            "python": platform.python_version(),
            **{tool: importlib.metadata.version(tool) for tool in TOOLS},
        },
    }
