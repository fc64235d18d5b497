"""Parts: mouth interior and eyeballs, which a baked avatar gets from its head model.

The networks represent a head as one surface: a membrane spans the open mouth, and the eyeballs are
one with the lids. An export opens the mouth and adds teeth, tongue and the inside of the mouth as
parts of the same mesh; on request it opens the eyes, too, and adds eyeballs.
"""

from __future__ import annotations

PARTS = ("left eye", "right eye", "upper teeth", "lower teeth", "tongue", "mouth")
"""Names of the parts. `Bake.parts` holds the index of a vertex's part plus one, and 0 for skin."""

PART_CHOICES = {"none": (), "mouth": ("mouth",), "all": ("mouth", "left eye", "right eye")}
"""Values of `ExportSettings.parts`, and the openings that each one makes."""
