"""Help texts from tables of variants, tracers and presets: the `rows` of a `TableOption`.

The modules of the tables need torch; each function imports them when it is called.
"""

from __future__ import annotations


def variant_names() -> str:
    """The names of all variants."""
    from imavatar_deploy.model.variants import VARIANTS

    return ", ".join(VARIANTS)


def variant_rows() -> str:
    """The name and summary of every variant."""
    from imavatar_deploy.model.variants import VARIANTS

    return "; ".join(f"{name}: {row.summary}" for name, row in VARIANTS.items())


def tracer_names() -> str:
    """The names of all tracers."""
    from imavatar_deploy.model.tracing import TRACERS

    return ", ".join(TRACERS)


def tracer_rows() -> str:
    """The name and summary of every tracer."""
    from imavatar_deploy.model.tracing import TRACERS

    return "; ".join(f"{name}: {row.summary}" for name, row in TRACERS.items())


def preset_names() -> str:
    """The names of all presets."""
    from ..presets import PRESETS

    return ", ".join(PRESETS)
