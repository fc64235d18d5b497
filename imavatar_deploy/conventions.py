"""Coordinate frames, units, joint order, array sizes and names that the whole package shares.

Shape legend, used in every docstring and annotation:

    V  vertices             E  expression coefficients (50)
    F  faces                P  pose features (36)
    B  kinematic bones (5)  J  skinning bones: B, or B + 1 with the ghost bone first
    N  points or pixels     K  length of the per-vertex texture code
    T  frames               H, W  height and width of an image

Model space is FLAME x 4: +Y up, the face looks along +Z, `UNITS_PER_METRE` units a metre. A camera
looks along its own -Z with +Y up (OpenGL), as in the published data. Rotations are axis-angle in
radians.
"""

from __future__ import annotations

UNITS_PER_METRE = 4.0
"""FLAME is in metres; IMavatar multiplies every length by four."""

BONES = ("global", "neck", "jaw", "eyeL", "eyeR")
"""Kinematic bones, in FLAME's order; `eyeL` is the eye at +X."""

GHOST_BONE = "ghost"
"""IMavatar's extra bone, which never moves: it comes first in skinning weights and carries cloth
and shoulders."""

PARENTS = (-1, 0, 1, 1, 1)
"""Parent of each kinematic bone."""

EXPRESSION_SIZE = 50
POSE_SIZE = 3 * len(BONES)
POSE_FEATURE_SIZE = 9 * (len(BONES) - 1)
"""Flattened R - I of every bone but the first: neck 0:9, jaw 9:18, eyeL 18:27, eyeR 27:36."""

JAW = slice(6, 9)
"""The jaw's axis-angle inside a pose `[15]`."""

CONDITION_SIZE = EXPRESSION_SIZE + 3
"""The texture network's condition: expression and jaw axis-angle."""

CANONICAL_JAW = 0.2
"""Jaw opening, in radians about +X, of the canonical pose. With a closed mouth, points of the upper
and the lower lip would coincide and share skinning weights."""

BOUNDING_RADIUS = 1.2
"""Radius, in model units about the origin, of the sphere to which the published renderer confines
its rays."""

EDITIONS = (
    "flame2017",
    "flame2019",
    "flame2020",
    "flame2023",
    "flame2023-no-jaw",
    "flame2023-open",
    "openhead",
)
"""Head-model editions. Expression codes of one edition do not fit another.

FLAME 2023 also comes as a model without a jaw, which opens the mouth by expressions, and as FLAME
2023 Open, which has a licence of its own.
"""

UNKNOWN_EDITION = "the track does not name the head model of its codes"
"""What is wrong with codes of an unknown edition, for messages."""

STATE_EDITION = "state it with imavatar-data convert IN OUT --edition NAME"
"""What to do about it."""

TRACER_SUMMARIES = {
    "raster": "draws the surface, then refines each pixel by Newton's method (half a second a "
    "frame at 64 x 64)",
    "march": "searches every sample of every ray, as published (half a minute a frame, or more)",
}
"""What each tracer does, by its name in `imavatar_deploy.model.tracing.TRACERS`. It is here because
commands without torch show it, too."""
