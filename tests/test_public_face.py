"""Public names: a test fails when one is added or removed."""

from __future__ import annotations

import ast
import importlib
import inspect
import pydoc
import re
from collections import defaultdict
from pathlib import Path

import pytest

import imavatar_deploy

from .processes import run_python

ROOMS = ("exporters", "runtime", "training")

FACE = {
    "imavatar_deploy": {
        "Avatar",
        "AvatarFolder",
        "Camera",
        "FlameFrame",
        "FlameTrack",
        "HeadModel",
        "ImavatarError",
        "__version__",
        "load_checkpoint",
        "open_avatar",
        "read_track",
    },
    "imavatar_deploy.exporters": {
        "EXPORT_FORMATS",
        "SEQUENCE_FORMATS",
        "ExportFormat",
        "ExportInput",
        "ExportReport",
        "ExportSettings",
        "FidelitySettings",
        "GlbSettings",
        "MeshSettings",
        "RefineSettings",
        "ReportSettings",
        "SequenceReport",
        "StudentSettings",
        "TrtSettings",
        "UnseenSettings",
        "UsdSettings",
        "VrmSettings",
        "WebSettings",
        "add_formats",
        "bake_sequences",
        "export_avatar",
        "register_format",
    },
    "imavatar_deploy.fidelity": {
        "IDENTICAL_PSNR",
        "Difference",
        "FidelityMetric",
        "FidelityReport",
        "FrameImages",
        "ParityReport",
        "StageReport",
        "Tolerance",
        "VerificationReport",
        "compare",
        "compare_frames",
        "iou",
        "l1",
        "measure_frames",
        "normal_angle",
        "psnr",
        "psnr_of",
        "read_fidelity",
        "ssim",
        "summary",
        "verify_avatar",
    },
    "imavatar_deploy.head_fit": {
        "LANDMARKS",
        "FitSettings",
        "FrameFit",
        "FrameFitter",
        "LandmarkPoints",
        "SequenceFit",
        "SequenceSettings",
        "Silhouettes",
        "TorsoMotion",
        "calibrate",
        "estimate_shape",
        "fit_sequence",
        "landmark_points",
        "landmark_points_68",
    },
    "imavatar_deploy.model": {
        "VARIANTS",
        "Frame",
        "ImplicitAvatar",
        "NetworkSizes",
        "HeadAvatarModel",
        "RayBundle",
        "load_checkpoint",
        "load_variant",
        "render",
        "save_checkpoint",
    },
    "imavatar_deploy.retarget": {
        "ARKIT_NAMES",
        "ExpressionMap",
        "MapFit",
        "Retarget",
        "find_retarget",
        "read_map",
        "write_map",
    },
    "imavatar_deploy.runtime": {
        "LiveConfig",
        "Inbox",
        "Observation",
        "Player",
        "run_live",
        "listen",
    },
    "imavatar_deploy.runtime.sinks": {
        "SINKS",
        "Sink",
        "SinkFormat",
        "Stream",
        "find_sink",
        "open_sink",
        "register_sink",
    },
    "imavatar_deploy.runtime.sources": {
        "PROTOCOLS",
        "SOURCES",
        "LiveSource",
        "Selection",
        "Source",
        "SourceFormat",
        "open_source",
        "register_source",
    },
    "imavatar_deploy.runtime.streams": {
        "EDITION_CODES",
        "ENCODINGS",
        "FlamePacket",
        "decode",
        "encode",
    },
    "imavatar_deploy.tracks": {
        "TRACK_FORMATS",
        "FlameFrame",
        "FlameTrack",
        "TrackFormat",
        "check_edition",
        "read_track",
        "retimed",
        "root_joints",
        "unread_names",
        "with_head_turned",
        "write_track",
    },
    "imavatar_deploy.training": {
        "METRICS",
        "PRESETS",
        "EvaluationReport",
        "FaceDataset",
        "FrameObservation",
        "InputSettings",
        "LossWeights",
        "OptimiserSettings",
        "RunFolder",
        "Schedule",
        "Scores",
        "TracerSettings",
        "TrainSettings",
        "WarmStartSettings",
        "evaluate",
        "preset",
        "synthesise",
        "train",
    },
    "imavatar_deploy.video": {
        "DecodedFrame",
        "VideoInfo",
        "VideoReader",
    },
    "imavatar_deploy.vision": {
        "LANDMARKS",
        "BlendshapeNetwork",
        "FaceDetection",
        "FaceDetector",
        "FaceRegion",
        "FaceTracker",
        "LandmarkNetwork",
        "PersonMask",
        "TrackedFace",
        "refine_irises",
    },
}

FUNCTIONS = {
    "imavatar_deploy": ("load_checkpoint", "open_avatar", "read_track"),
    "imavatar_deploy.exporters": (
        "add_formats",
        "bake_sequences",
        "export_avatar",
        "register_format",
    ),
    "imavatar_deploy.fidelity": ("read_fidelity", "verify_avatar"),
    "imavatar_deploy.head_fit": ("estimate_shape", "fit_sequence"),
    "imavatar_deploy.runtime": ("listen", "run_live"),
    "imavatar_deploy.runtime.sinks": ("open_sink", "register_sink"),
    "imavatar_deploy.runtime.sources": ("open_source", "register_source"),
    "imavatar_deploy.tracks": ("read_track", "retimed", "with_head_turned", "write_track"),
    "imavatar_deploy.training": ("evaluate", "preset", "synthesise", "train"),
}
"""Functions that other people's programs call first."""


@pytest.mark.parametrize("module", FACE)
def test_exported_names_are_pinned_and_there(module: str) -> None:
    face = importlib.import_module(module)
    assert set(face.__all__) == FACE[module]
    assert all(hasattr(face, name) for name in face.__all__)


@pytest.mark.parametrize("module", FACE)
def test_every_public_object_is_documented(module: str) -> None:
    face = importlib.import_module(module)
    assert len((face.__doc__ or "").strip()) > 60
    for name in face.__all__:
        value = getattr(face, name)
        if callable(value):
            assert len((value.__doc__ or "").strip()) > 12, name


@pytest.mark.parametrize(
    ("module", "name"), [(module, name) for module, names in FUNCTIONS.items() for name in names]
)
def test_public_functions_say_arguments_errors_and_an_example(module: str, name: str) -> None:
    function = getattr(importlib.import_module(module), name)
    text = function.__doc__ or ""
    parameters = [*inspect.signature(function).parameters]
    assert all(parameter in text for parameter in parameters), parameters
    assert "Args:" in text
    assert "Raises:" in text
    assert re.search(r"Example:\n|\n {8}\w", text), "an example to paste"


def test_help_leads_to_every_package() -> None:
    packages = {module.split(".")[1] for module in FACE if module.count(".") == 1}
    text = pydoc.render_doc(imavatar_deploy, renderer=pydoc.plaintext)
    overview = text.split("PACKAGE CONTENTS")[0]
    for package in packages:
        assert re.search(rf"^ +{package} +\S.* ", overview, re.MULTILINE), package
    assert "Player(" in overview
    assert "load_checkpoint(path" in text


@pytest.mark.parametrize("package", ["exporters", "fidelity", "runtime", "tracks", "training"])
def test_help_of_a_package_shows_what_is_imported_late(package: str) -> None:
    module = importlib.import_module(f"imavatar_deploy.{package}")
    text = pydoc.render_doc(module, renderer=pydoc.plaintext)
    for name in FUNCTIONS[f"imavatar_deploy.{package}"]:
        assert re.search(rf"^    {name}\(", text, re.MULTILINE), name


def test_load_checkpoint_is_that_of_the_model() -> None:
    model = importlib.import_module("imavatar_deploy.model")
    avatar = imavatar_deploy.load_checkpoint("sample")
    assert isinstance(avatar, model.ImplicitAvatar)
    with pytest.raises(imavatar_deploy.ImavatarError, match="there is no checkpoint at nowhere"):
        imavatar_deploy.load_checkpoint("nowhere")


def test_importing_the_package_loads_no_torch() -> None:
    code = "import sys, imavatar_deploy; assert 'torch' not in sys.modules; help(imavatar_deploy)"
    result = run_python(f"{code}; assert 'torch' not in sys.modules")
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize(
    ("module", "old", "new"),
    [
        ("imavatar_deploy.model", "Variant", "HeadAvatarModel"),
        ("imavatar_deploy.model", "View", "RayBundle"),
        ("imavatar_deploy.retarget", "Fit", "MapFit"),
        ("imavatar_deploy.runtime", "Choices", "LiveConfig"),
        ("imavatar_deploy.runtime", "drive", "run_live"),
    ],
)
def test_a_renamed_name_is_kept_with_a_warning(module: str, old: str, new: str) -> None:
    package = importlib.import_module(module)
    with pytest.warns(DeprecationWarning, match=rf"{module}\.{old} is now {new}"):
        assert getattr(package, old) is getattr(package, new)


def test_look_is_kept_with_a_warning() -> None:
    driver = importlib.import_module("imavatar_deploy.runtime.live.drivers")
    source = importlib.import_module("imavatar_deploy.runtime.sources").Source
    track = driver.TrackDriver(
        source(frames=[], fps=30, edition=None, count=0), lambda *codes: codes
    )
    with pytest.warns(DeprecationWarning, match="look is now pose_at"):
        assert track.look(0.0) is None


def test_no_public_class_name_occurs_twice() -> None:
    root = Path(imavatar_deploy.__file__).parents[1]
    rooms = (importlib.import_module(f"imavatar_deploy.{room}") for room in ROOMS)
    places = [root / "imavatar_deploy", *(Path(room.__file__ or "").parent for room in rooms)]
    homes: dict[str, set[str]] = defaultdict(set)
    for path in {path for place in places for path in place.rglob("*.py")}:
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                homes[node.name].add(str(path))
    assert len(homes) > 100, "the search found no classes"
    assert {name: sorted(files) for name, files in homes.items() if len(files) > 1} == {}
