"""The surface of a signed field as a mesh, canonical or posed: sparse lattice, marching cubes, connected parts."""

from __future__ import annotations

from .extract import extract, field_of, posed_surface
from .field import Field
from .mesh import Mesh

__all__ = ["Field", "Mesh", "extract", "field_of", "posed_surface"]
