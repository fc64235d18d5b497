"""A head model like FLAME's made from OpenHead: another face, topology, size and place."""

from __future__ import annotations

from dataclasses import replace

import igl
import numpy as np

from imavatar_deploy.arrays import Array, Float, Float32, Float64, Int32, Int64, Integer
from imavatar_deploy.head_fit.nearest_point import vertex_normals
from imavatar_deploy.head_model import HeadModel

SCALE = 1.06
SHIFT = np.array([0.004, -0.03, 0.02], dtype=np.float32)
BOTTOM = -0.14
"""Height of the cut below the chin, metres."""
INSIDE = ("helper-upper-teeth", "helper-lower-teeth", "helper-tongue")


def other_person(openhead: HeadModel, seed: int) -> HeadModel:
    """OpenHead with the shape of a person that its identity basis cannot express.

    Args:
        seed: of the identity, and of bumps and dents of one to three millimetres that differ
            between both sides. They are along the normals: sliding along a smooth surface leaves
            no trace in its shape.
    """
    rng = np.random.default_rng(seed)
    head = openhead.for_subject(rng.normal(size=30).astype(np.float32))
    direction = rng.normal(size=(6, 3))
    direction *= 2 * np.pi / 0.09 / np.linalg.norm(direction, axis=1, keepdims=True)
    height = np.sin(openhead.template @ direction.T + rng.uniform(0, 2 * np.pi, 6)).sum(axis=1)
    normals = vertex_normals(head.template.astype(np.float64), head.faces)
    normals[np.char.endswith(np.array(head.vertex_groups), "-eye")] = 0.0
    return replace(
        head, template=(head.template + 0.0008 * height[:, None] * normals).astype(np.float32)
    )


def flame_like(head: HeadModel, faces: int, seed: int) -> tuple[HeadModel, Float32[Array, "V 3"]]:
    """Return the head with another topology, and the original's vertices in its place.

    Teeth, tongue and shoulders are missing, the skin is simplified, vertices are in random order,
    and scale and place differ.

    Args:
        head: OpenHead with a person's shape.
        faces: number of triangles of the skin.
    """
    groups = np.array(head.vertex_groups)
    kept = ~np.isin(groups, INSIDE) & (head.template[:, 1] > BOTTOM)
    skin = kept & (groups == "body")
    eyes = np.flatnonzero(kept & (groups != "body"))
    fine, fine_faces, parents = _subdivided(head.template, head.faces[skin[head.faces].all(axis=1)])
    corners, triangles, _, births = igl.qslim(fine, fine_faces, faces)
    eye_faces = head.faces[np.isin(head.faces, eyes).all(axis=1)]
    eye_faces = np.searchsorted(eyes, eye_faces) + len(corners)
    order = np.random.default_rng(seed).permutation(len(corners) + len(eyes))

    def taken(values: Float32[Array, "V ..."]) -> Float32[Array, "W ..."]:
        on_skin = values[parents[births]].mean(axis=1)
        return np.concatenate([on_skin, values[eyes]])[order].astype(np.float32)

    rest = np.concatenate([corners, head.template[eyes]])[order]
    made = replace(
        head,
        template=_placed(rest),
        faces=np.argsort(order)[np.concatenate([triangles, eye_faces])].astype(np.int32),
        shape_basis=SCALE * taken(head.shape_basis),
        expression_basis=SCALE * taken(head.expression_basis),
        pose_basis=SCALE * taken(head.pose_basis),
        joint_regressor=_regressor(rest, head.joint_regressor @ head.template),
        weights=taken(head.weights),
        edition="flame2020",
        vertex_groups=(),
    )
    return made, _placed(head.template)


def _placed(points: Float[Array, "V 3"]) -> Float32[Array, "V 3"]:
    return np.asarray(SCALE * points + SHIFT, dtype=np.float32)


def _subdivided(
    vertices: Float32[Array, "V 3"], faces: Integer[Array, "F 3"]
) -> tuple[Float64[Array, "W 3"], Int32[Array, "G 3"], Int64[Array, "W 2"]]:
    """Split every edge of a mesh in the middle; also the two vertices between which each lies."""
    edges = np.sort(faces[:, [[0, 1], [1, 2], [2, 0]]], axis=2)
    used = np.unique(faces)
    pairs, inverse = np.unique(edges.reshape(-1, 2), axis=0, return_inverse=True)
    a, b, c = np.searchsorted(used, faces).T
    ab, bc, ca = (len(used) + np.ravel(inverse)).reshape(-1, 3).T
    quarters = [(a, ab, ca), (ab, b, bc), (ca, bc, c), (ab, bc, ca)]
    split = np.concatenate([np.stack(corners, axis=1) for corners in quarters])
    parents = np.concatenate([np.stack([used, used], axis=1), pairs])
    return vertices[parents].mean(axis=1).astype(np.float64), split.astype(np.int32), parents


def _regressor(
    vertices: Float64[Array, "V 3"], joints: Float32[Array, "5 3"]
) -> Float32[Array, "5 V"]:
    """The smallest regressor whose rows sum to one and that yields the joints."""
    ones = np.ones((len(vertices), 1))
    places = np.concatenate([joints, np.ones((len(joints), 1))], axis=1)
    inverse = np.linalg.pinv(np.concatenate([vertices, ones], axis=1))
    return np.asarray(places @ inverse, dtype=np.float32)
