"""The canonical surface of a signed field as a mesh: sparse lattice, marching cubes, connected parts."""

from __future__ import annotations

from .extract import extract, field_of
from .field import Field
from .mesh import Mesh

__all__ = ["Field", "Mesh", "extract", "field_of"]
