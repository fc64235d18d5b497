"""HeadSurface: a bare one moves as its head model, and a dressed one has all of its parts."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from imavatar_deploy.avatar import canonical_pose
from imavatar_deploy.conventions import UNITS_PER_METRE
from imavatar_deploy.errors import InputError
from imavatar_deploy.head_model import HeadModel
from imavatar_deploy.training.synthetic.hair_and_clothes import (
    above_collar,
    ear_mask,
    hair_mask,
    part_of,
)
from imavatar_deploy.training.warm_start.head_surface import HeadSurface, cap_holes


def test_bare_subject_moves_as_the_head_model(openhead: HeadModel) -> None:
    bare = HeadSurface.from_head(openhead)
    rng = np.random.default_rng(3)
    expression = rng.uniform(size=50).astype(np.float32)
    pose = rng.normal(0.0, 0.1, 15).astype(np.float32)
    expected = UNITS_PER_METRE * openhead.vertices(expression, pose)
    np.testing.assert_allclose(bare.pose_vertices(expression, pose), expected, atol=2e-6)


def test_subdivision_smooths_and_keeps_the_parts(openhead: HeadModel) -> None:
    bare = HeadSurface.from_head(openhead)
    fine = HeadSurface.from_head(openhead, subdivisions=1)
    assert len(fine.faces) == 4 * len(bare.faces)
    assert fine.parts.max() == bare.parts.max() == 5
    np.testing.assert_allclose(fine.weights.sum(axis=1), 1.0, atol=1e-5)


def test_holes_are_closed_without_sharing_an_edge_thrice(openhead: HeadModel) -> None:
    faces = cap_holes(openhead.template, openhead.faces.astype(np.int64))
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    directed = {tuple(edge) for edge in edges.tolist()}
    assert len(directed) == len(edges)
    assert all((second, first) in directed for first, second in directed)


def test_a_dressed_subject_is_sound(subject: HeadSurface) -> None:
    for field in dataclasses.fields(subject):
        if field.name not in ("head", "faces", "parts"):
            assert np.isfinite(getattr(subject, field.name)).all(), field.name
    np.testing.assert_allclose(subject.weights.sum(axis=1), 1.0, atol=1e-5)
    assert 0.0 <= subject.colour.min() <= subject.colour.max() <= 1.0
    assert subject.importance.min() > 0.0
    assert np.linalg.norm(subject.normals, axis=1) == pytest.approx(1.0, abs=1e-4)


def test_every_part_has_its_name_and_colour(openhead: HeadModel, subject: HeadSurface) -> None:
    anchors = HeadSurface.from_head(openhead).rest
    names = [part_of(anchors[subject.parts == part]) for part in range(6)]
    assert sorted(names) == ["eye", "eye", "lower teeth", "skin", "tongue", "upper teeth"]
    teeth = subject.parts == names.index("upper teeth")
    assert subject.colour[teeth].max() > 0.6


def test_hair_stands_off_the_scalp_and_leaves_ears_and_face_free(
    openhead: HeadModel, subject: HeadSurface
) -> None:
    anchors = HeadSurface.from_head(openhead).rest
    hair = hair_mask(anchors)
    crown = anchors[:, 1] > 0.4
    nose = anchors[:, 2] > 0.44
    ear = ear_mask(anchors) > 0.99
    assert hair[crown].min() > 0.9
    assert hair[nose].max() == 0.0
    assert ear.sum() > 50
    assert hair[ear].max() < 0.02
    top = subject.rest[crown] - HeadSurface.from_head(subject.head).rest[crown]
    assert np.linalg.norm(top, axis=1).min() > 0.03


def test_shirt_is_bound_to_the_ghost_bone_and_the_face_is_not(
    openhead: HeadModel, subject: HeadSurface
) -> None:
    anchors = HeadSurface.from_head(openhead).rest
    collar = above_collar(anchors)
    assert subject.weights[collar < -0.07, 0].min() > 0.99
    assert subject.weights[anchors[:, 1] > -0.2, 0].max() == 0.0


def test_a_full_blink_brings_the_lids_together(subject: HeadSurface) -> None:
    names = subject.head.expression_names
    blink = np.float32([name == "eyeBlinkLeft" for name in names])
    lids = np.linalg.norm(subject.expression @ blink, axis=1) > 0.035
    pose = canonical_pose()
    open_height = subject.pose_vertices(0 * blink, pose)[lids, 1]
    closed_height = subject.pose_vertices(blink, pose)[lids, 1]
    assert lids.sum() > 10
    assert (closed_height < open_height - 0.03).all()


def test_a_wrong_shape_is_refused(subject: HeadSurface) -> None:
    with pytest.raises(
        InputError, match=r"subject weights must have shape \[5094, 6\], got \[5094, 5\]"
    ):
        dataclasses.replace(subject, weights=subject.weights[:, 1:])
