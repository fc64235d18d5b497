"""Architecture: imports point down, and no room imports another."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("training", "exporters", "runtime")
SOURCES = sorted(
    path
    for folder in ("imavatar_deploy", *ROOMS)
    for path in (ROOT / folder).rglob("*.py")
    if "assets" not in path.parts
)

# tomllib is part of the standard library since 3.11.
OURS_AND_PYTHON_S = sys.stdlib_module_names | {"imavatar_deploy", "__future__", "tomllib"}
FACE = ROOT / "imavatar_deploy" / "__init__.py"
"""Names the networks for type checkers alone; see `test_the_face_imports_no_network`."""
GROUND_ALLOWS = {"numpy"}
# Packages that a file of the ground floor imports beside numpy and the standard library
ALLOWED = {
    "imavatar_deploy/arrays.py": {"jaxtyping"},
    "imavatar_deploy/blas.py": {"threadpoolctl"},
    "imavatar_deploy/avatar_io.py": {"safetensors"},
    "imavatar_deploy/fidelity/golden.py": {"safetensors"},
    "imavatar_deploy/student.py": {"safetensors"},
    "imavatar_deploy/cli/command.py": {"click", "rich"},
    "imavatar_deploy/cli/options.py": {"click"},
    "imavatar_deploy/create/command.py": {"click", "av"},
    "imavatar_deploy/create/pictures.py": {"cv2", "av"},
    "imavatar_deploy/dataset/images.py": {"cv2"},
    "imavatar_deploy/jpeg.py": {"cv2"},
    "imavatar_deploy/rendering/workers.py": {"numba"},
    "imavatar_deploy/video/decode.py": {"av", "cv2"},
    "imavatar_deploy/video/hdr.py": {"cv2"},
    "imavatar_deploy/video_file.py": {"av"},
    "imavatar_deploy/vision/images.py": {"cv2"},
    "imavatar_deploy/vision/irises.py": {"cv2"},
    "imavatar_deploy/vision/outline.py": {"cv2"},
}
ROOM_ALLOWS = {
    "model": {"numpy", "torch", "safetensors"},
    "training": {
        "numpy",
        "torch",
        "igl",
        "scipy",
        "skimage",
        "cv2",
        "av",
        "click",
        "rich",
        "lightning_fabric",
        "matplotlib",
        "tomli",
    },
    "exporters": {"numpy", "torch", "cv2", "safetensors", "click", "rich", "tomli"},
    "runtime": {"numpy", "numba", "cv2", "av", "click", "rich", "aiohttp"},
}


def room_of(path: Path) -> str:
    parts = path.relative_to(ROOT).parts
    if parts[0] in ROOMS:
        return parts[0]
    return "model" if parts[1] == "model" else "ground"


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """Yield every import of a file: (level, dotted name)."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((0, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.level, node.module or ""


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
class TestEveryFile:
    def test_starts_with_its_caption(self, path: Path) -> None:
        caption = (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").split(
            "\n"
        )[0]
        assert len(caption) > 10

    def test_says_what_it_is_for_by_its_name(self, path: Path) -> None:
        assert path.stem not in {"util", "utils", "helper", "helpers", "common", "misc"}

    def test_imports_point_down(self, path: Path) -> None:
        room = room_of(path)
        for level, name in imports(path):
            if level or (path == FACE and name == "imavatar_deploy.model"):
                continue
            target = name.split(".")[1] if name.startswith("imavatar_deploy.") else ""
            if room in ROOMS:
                assert target not in ROOMS, (
                    f"{room} imports {name}: a room imports no other room, and itself relatively"
                )
                assert target != "model" or room != "runtime", "the runtime runs without torch"
            elif room == "model":
                assert target not in ROOMS, f"the first floor imports {name}"
            else:
                assert target not in {*ROOMS, "model"}, f"the ground floor imports {name}"

    def test_third_party_imports_are_the_rooms_own(self, path: Path) -> None:
        room = room_of(path)
        allowed = ROOM_ALLOWS.get(
            room, GROUND_ALLOWS | ALLOWED.get(str(path.relative_to(ROOT)), set())
        )
        third_party = {
            top
            for level, name in imports(path)
            if not level and (top := name.split(".")[0]) not in OURS_AND_PYTHON_S
        }
        assert third_party <= allowed


def test_the_face_imports_no_network() -> None:
    tree = ast.parse(FACE.read_text(encoding="utf-8"))
    guarded = [
        inner
        for node in tree.body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in node.body
    ]
    of_model = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module == "imavatar_deploy.model"
    ]
    assert of_model
    assert all(node in guarded for node in of_model)
