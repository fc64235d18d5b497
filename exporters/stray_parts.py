"""Parts of a surface that belong to no head: where a video shows nothing, a field may have left specks in the air."""

from __future__ import annotations

import numpy as np

from imavatar_deploy.avatar import canonical_pose
from imavatar_deploy.conventions import EXPRESSION_SIZE, UNITS_PER_METRE
from imavatar_deploy.head_model import HeadModel
from imavatar_deploy.model.surface.components import part_of_face
from imavatar_deploy.model.surface.mesh import Mesh
from imavatar_deploy.optional import require

REACH = 0.08
"""Model units (2 cm) between a part and the head model: glasses and locks of hair are nearer."""


def without_strays(mesh: Mesh, head: HeadModel) -> Mesh:
    """The parts of a canonical mesh that come near the head model; a mesh that has none stays whole."""
    trees = require("scipy.spatial", extra="export")
    canonical = UNITS_PER_METRE * head.vertices(np.zeros(EXPRESSION_SIZE, dtype=np.float32), canonical_pose())
    distance, _ = trees.cKDTree(canonical).query(mesh.vertices)
    part = part_of_face(mesh)
    nearest = np.full(part.max() + 1, np.inf)
    np.minimum.at(nearest, part, distance[mesh.faces].min(axis=1))
    near = nearest <= REACH
    return mesh.with_faces(near[part]) if near.any() and not near.all() else mesh
