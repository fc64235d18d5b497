"""Meshes of the zero level set of a signed field, canonical or posed."""

from __future__ import annotations

from .extract import extract, field_of, posed_surface
from .field import Field
from .mesh import Mesh

__all__ = ["Field", "Mesh", "extract", "field_of", "posed_surface"]
