"""Caches: the arrays that they return are read-only."""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest

from imavatar_deploy.arrays import arrays_in, read_only
from imavatar_deploy.head_fit import correspondences, gaze, ibug_landmarks
from imavatar_deploy.head_model import HeadModel
from imavatar_deploy.training.config_file import field_texts
from imavatar_deploy.training.dataset import FaceDataset
from imavatar_deploy.training.settings import TrainSettings
from imavatar_deploy.training.synthetic import build_subject
from imavatar_deploy.training.tracking import head_regions
from imavatar_deploy.training.warm_start.head_surface import HeadSurface
from imavatar_deploy.training.warm_start.sample_pool import SamplePool
from imavatar_deploy.video import hdr

from .test_architecture import ROOT, SOURCES
from .training.drawn_video import write_video

CACHES = {"cache", "cached_property", "lru_cache"}


def cached_functions() -> set[str]:
    """Return every function with a cached result, as `file:name`."""
    return {
        f"{path.relative_to(ROOT)}:{node.name}"
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef)
        for decorator in node.decorator_list
        if ast.unparse(decorator).split("(")[0].split(".")[-1] in CACHES
    }


@pytest.fixture(scope="module")
def subject() -> HeadSurface:
    return HeadSurface.from_head(HeadModel.load("openhead"))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> FaceDataset:
    folder = write_video(tmp_path_factory.mktemp("videos") / "video", HeadModel.load("openhead"), 2)
    return FaceDataset.open([folder], size=16)


ARRAYS: dict[str, Callable[[HeadSurface, FaceDataset], Any]] = {
    "imavatar_deploy/dataset/face_dataset.py:head": lambda subject, dataset: dataset.head,
    "imavatar_deploy/head_fit/correspondences.py:_openhead_points": lambda subject, dataset: (
        correspondences._openhead_points()
    ),
    "imavatar_deploy/head_fit/gaze.py:gaze_table": lambda subject, dataset: gaze.gaze_table(),
    "imavatar_deploy/head_fit/ibug_landmarks.py:_nearest_vertices": lambda subject, dataset: (
        ibug_landmarks._nearest_vertices()
    ),
    "imavatar_deploy/head_fit/ibug_landmarks.py:_places": lambda subject, dataset: (
        ibug_landmarks._places()
    ),
    "training/warm_start/sample_pool.py:apart": lambda subject, dataset: (
        SamplePool.draw(subject, 50, 0).apart
    ),
    "training/warm_start/sample_pool.py:close": lambda subject, dataset: (
        SamplePool.draw(subject, 50, 0).close
    ),
    "training/warm_start/head_surface.py:canonical": lambda subject, dataset: subject.canonical,
    "training/warm_start/head_surface.py:normals": lambda subject, dataset: subject.normals,
    "training/synthetic/build_subject.py:build_subject": lambda subject, dataset: (
        build_subject.build_subject("male1", 0)
    ),
    "imavatar_deploy/video/hdr.py:_tables": lambda subject, dataset: hdr._tables(16),
    "training/tracking/head_regions.py:_bundled": lambda subject, dataset: head_regions._bundled(),
    "training/synthetic/build_subject.py:openhead": lambda subject, dataset: (
        build_subject.openhead()
    ),
}
"""Cached functions that return arrays -> how to call them."""
OTHERS = {
    "exporters/formats/gltf/document.py:metres_a_unit": "a number",
    "exporters/stored_avatar.py:_network": "a network",
    "exporters/stored_avatar.py:student": "a student, frozen",
    "imavatar_deploy/trt/build.py:log_of": "TensorRT's one log",
    "runtime/warp_backend/library.py:_loaded": "a module",
    "runtime/warp_backend/library.py:_started": "a module",
    "training/config_file.py:field_texts": "texts",
    "imavatar_deploy/dataset/video.py:_kinds": "a frozenset",
    "training/tracking/clips.py:detector": "a network",
    "training/tracking/clips.py:landmarks": "a network",
    "training/tracking/clips.py:parser": "a network",
    "training/tracking/clips.py:person": "a network",
    "training/tracking/clips.py:tracker": "a network",
    "training/warm_start/sample_pool.py:_vertices": "tensors, which `targets` alone reads",
}
"""Cached functions without arrays in their public results -> what they return."""


def test_every_cache_is_here() -> None:
    assert cached_functions() == {*ARRAYS, *OTHERS}


@pytest.mark.parametrize("name", ARRAYS)
def test_a_cached_array_cannot_be_changed(
    name: str, subject: HeadSurface, dataset: FaceDataset
) -> None:
    cached_arrays = list(arrays_in(ARRAYS[name](subject, dataset)))
    assert cached_arrays
    assert not any(array.flags.writeable for array in cached_arrays)


def test_the_pictures_of_a_frame_cannot_be_changed(dataset: FaceDataset) -> None:
    before = dataset.observation(0)
    for shared in (before.mask, before.semantic):
        assert shared is not None
        with pytest.raises(ValueError, match="read-only"):
            shared[:] = 0
    before.image[:] = 0
    assert dataset.observation(0).image.any(), "the colours are computed anew"


def test_the_texts_of_settings_cannot_be_changed() -> None:
    assert isinstance(field_texts(TrainSettings), MappingProxyType)


def test_arrays_are_found_at_any_depth() -> None:
    @dataclass(frozen=True)
    class Nested:
        inner: Any
        name: str = "a name"

    arrays = [np.zeros(2) for _ in range(4)]
    value = Nested({"a": [arrays[0], (arrays[1], None)], "b": Nested(arrays[2])}, name="other")
    assert [id(array) for array in arrays_in((value, arrays[3]))] == [id(array) for array in arrays]
    assert read_only(value) is value
    assert [array.flags.writeable for array in arrays] == [False, False, False, True]


def test_a_landmark_table_of_a_caller_is_its_own() -> None:
    first = ibug_landmarks.landmark_vertices(HeadModel.load("openhead"))
    first[:] = 0
    assert ibug_landmarks.landmark_vertices(HeadModel.load("openhead")).any()
