"""Help texts from tables whose modules need torch, each imported when its text is asked for.

They are the `rows` of a `TableOption`.
"""

from __future__ import annotations


def variant_names() -> str:
    """Name every variant."""
    from imavatar_deploy.model.variants import VARIANTS

    return ", ".join(VARIANTS)


def variant_rows() -> str:
    """Describe every variant."""
    from imavatar_deploy.model.variants import VARIANTS

    return "; ".join(f"{name}: {row.summary}" for name, row in VARIANTS.items())


def tracer_names() -> str:
    """Name every tracer."""
    from imavatar_deploy.model.tracing import TRACERS

    return ", ".join(TRACERS)


def tracer_rows() -> str:
    """Describe every tracer."""
    from imavatar_deploy.model.tracing import TRACERS

    return "; ".join(f"{name}: {row.summary}" for name, row in TRACERS.items())


def preset_names() -> str:
    """Name every preset."""
    from ..presets import PRESETS

    return ", ".join(PRESETS)
