"""The readers that are fuzzed: for each its valid files, and a function that reads bytes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from imavatar_deploy.avatar_io import ARRAYS, MANIFEST, open_avatar
from imavatar_deploy.consent import CONSENT_FILE, read_consent
from imavatar_deploy.dataset.video import TRACK_FILE, Video
from imavatar_deploy.fidelity.golden import GOLDEN_ARRAYS_FILE, GOLDEN_FILE, read_golden
from imavatar_deploy.fidelity.stage_metrics import read_tolerances
from imavatar_deploy.head_model import HeadModel
from imavatar_deploy.retarget import ExpressionMap, read_map, write_map
from imavatar_deploy.retarget.arkit import ARKIT, ARKIT_NAMES
from imavatar_deploy.runtime.live.motion.calibration import Neutral, read_neutral
from imavatar_deploy.runtime.sources import PROTOCOLS
from imavatar_deploy.runtime.streams.arkit_packets import PACKETS, ArkitFace
from imavatar_deploy.runtime.streams.flame_packet import ENCODINGS, encode
from imavatar_deploy.student import STUDENT_FILE, read_student
from imavatar_deploy.tracks import read_track
from imavatar_deploy.training.tracking.landmark_files import read_landmarks

Read = Callable[[bytes], object]
"""Reads the content of a file or a packet, and raises an `ImavatarError` for a damaged one."""


@dataclass(frozen=True)
class Target:
    """One reader, and one kind of file."""

    kind: str
    """How content is mutated: `json`, `zip` or `bytes`."""
    seeds: Callable[[Path], list[bytes]]
    """Returns valid contents; the argument is an empty folder."""
    open: Callable[[Path], Read]
    """Returns the reader; the argument is an empty folder, which it may use."""
    slow: bool = False
    """Whether it loads torch; `all` leaves it out."""


# Readers of one file


def from_file(name: str, read: Callable[[Path], object]) -> Callable[[Path], Read]:
    """A reader of files with this name."""

    def open_reader(folder: Path) -> Read:
        path = folder / name

        def read_content(content: bytes) -> object:
            path.write_bytes(content)
            return read(path)

        return read_content

    return open_reader


def track_seeds(suffix: str, folder: Path) -> list[bytes]:
    """Valid track files of a suffix, one a format."""
    from ..tracks.test_fuzz_tracks import SUFFIXES, valid_bytes

    return [valid_bytes(name, own) for name, own in SUFFIXES if own == suffix]


def head_seeds(suffix: str, folder: Path) -> list[bytes]:
    """A head model of six vertices."""
    from ..test_head_files import flame, write_npz, write_pickle

    if suffix == ".npz":
        return [write_npz(folder, flame(150)).read_bytes()]
    return [write_pickle(folder, flame(150), protocol).read_bytes() for protocol in (0, 2, 4)]


def map_seeds(suffix: str, folder: Path) -> list[bytes]:
    """Maps of ours, and matrices of others."""
    matrix = np.linspace(-1, 1, 52 * 59).reshape(52, 59).astype(np.float32)
    path = folder / f"map{suffix}"
    if suffix == ".csv":
        rows = zip(ARKIT_NAMES, matrix[:, :50], strict=True)
        lines = [",".join([name, *(f"{value:.2f}" for value in row)]) for name, row in rows]
        return ["\n".join(lines).encode()]
    if suffix == ".npy":
        np.save(path, matrix[:, :50])
        return [path.read_bytes()]
    write_map(ExpressionMap(ARKIT, "flame2020", matrix), path)
    own = path.read_bytes()
    np.savez(path, expression=matrix[:, :50], jaw=matrix[:, :3], names=np.array(ARKIT_NAMES))
    return [own, path.read_bytes()]


def landmark_seeds(suffix: str, folder: Path) -> list[bytes]:
    """Two frames of 68 landmarks."""
    values = np.linspace(0, 99, 2 * 68 * 2).reshape(2, 68, 2).round(1)
    if suffix == ".json":
        return [
            json.dumps(values.tolist()).encode(),
            json.dumps({"landmarks": [*values.tolist(), None]}).encode(),
        ]
    np.savez(folder / "landmarks.npz", landmarks=values)
    return [(folder / "landmarks.npz").read_bytes()]


def neutral_seeds(folder: Path) -> list[bytes]:
    """A face at rest."""
    Neutral(np.full(50, 0.1, np.float32), np.full(15, 0.1, np.float32)).write(folder / "rest.json")
    return [(folder / "rest.json").read_bytes()]


def consent_seeds(folder: Path) -> list[bytes]:
    """A record of consent."""
    record = {
        "how": "option",
        "user": "a",
        "time": "2026-11-30T14:02:11Z",
        "statement": "yes",
        "videos": ["a.mp4"],
        "sha256": [],
    }
    return [json.dumps(record).encode()]


def config_seeds(folder: Path) -> list[bytes]:
    """Settings of a training."""
    return [b"seed = 3\nwarm_start = false\n[schedule]\nsteps = 7\n[optimiser]\nclip = 1.0\n"]


def open_config(folder: Path) -> Read:
    """The reader of a training's configuration."""
    from imavatar_deploy.training.config_file import read_config
    from imavatar_deploy.training.settings import TrainSettings

    return from_file("a.toml", lambda path: read_config(path, TrainSettings()))(folder)


def dataset_seeds(folder: Path) -> list[bytes]:
    """The track of a dataset, with cameras, boxes and landmarks."""
    frame = {
        "file_path": "./image/1",
        "world_mat": np.eye(4)[:3].tolist(),
        "expression": [0.1] * 50,
        "pose": [0.1] * 15,
        "bbox": [-0.5, -0.5, 0.5, 0.5],
        "flame_keypoints": np.zeros((70, 2)).tolist(),
    }
    document = {
        "frames": [frame, frame | {"file_path": "./image/2"}],
        "shape_params": [0.1] * 100,
        "intrinsics": [-2.0, 2.0, 0.5, 0.5],
        "head_model": "flame2020",
    }
    return [json.dumps(document).encode()]


# Packets


def packet_seeds(scheme: str, folder: Path) -> list[bytes]:
    """Packets of a face."""
    if scheme == "udp":
        face = np.linspace(-1, 1, 50), np.linspace(-0.5, 0.5, 15)
        return [
            encode("openhead", *face, time=1.0, sequence=3, encoding=encoding)
            for encoding in ENCODINGS
        ]
    if scheme in PACKETS:
        turns = np.tile([1.0, 0.0, 0.0, 0.0], (3, 1))
        return PACKETS[scheme](ArkitFace(np.full(52, 0.3, np.float32), turns, 2.5, 75))
    if scheme == "ifacialmocap":
        shapes = "|".join(f"{name}-{index}" for index, name in enumerate(("jawOpen", "smile_L")))
        return [f"{shapes}|=head#1,2,3,0.1,0.2,0.3|rightEye#1,2,3|leftEye#1,2,3|".encode()]
    from ..runtime.sources.situations import open_see_face

    return [open_see_face(), open_see_face() * 2]


def open_protocol(scheme: str, folder: Path) -> Read:
    """A parser for each packet, which is that of a new sender."""
    (protocol,) = [row for row in PROTOCOLS if row.scheme == scheme]

    def read(content: bytes) -> object:
        return list(protocol.parser()(content))

    return read


# Files of an avatar folder


def avatar_seeds(name: str, folder: Path) -> list[bytes]:
    """A file of a tiny avatar; of arrays the header, which says where they lie."""
    from ..tiny_avatar import write_tiny_folder

    content = (write_tiny_folder(folder / "avatar") / name).read_bytes()
    return [content[: header_bytes(content)] if name.endswith("safetensors") else content]


def header_bytes(content: bytes) -> int:
    """Length of the header of a safetensors file."""
    return 8 + int.from_bytes(content[:8], "little")


def open_avatar_file(name: str, read: Callable[[Path], object], folder: Path) -> Read:
    """A reader of an avatar in which one file is replaced and the manifest states its hash."""
    from ..tiny_avatar import write_tiny_folder

    own = write_tiny_folder(folder / "avatar")
    path = own / name
    sound = path.read_bytes()
    rest = sound[header_bytes(sound) :] if name.endswith("safetensors") else b""
    manifest = json.loads((own / MANIFEST).read_text())

    def read_content(content: bytes) -> object:
        path.write_bytes(content + rest)
        if name in manifest["files"]:
            manifest["files"][name]["sha256"] = hashlib.sha256(content + rest).hexdigest()
            (own / MANIFEST).write_text(json.dumps(manifest))
        return read(own)

    return read_content


AVATAR_FILES: Mapping[str, tuple[str, Callable[[Path], object]]] = {
    MANIFEST: ("json", open_avatar),
    ARRAYS: ("bytes", open_avatar),
    STUDENT_FILE: ("bytes", lambda folder: read_student(open_avatar(folder))),
    GOLDEN_FILE: ("json", read_golden),
    GOLDEN_ARRAYS_FILE: ("bytes", read_golden),
}
"""File of an avatar folder -> how it is mutated, and its reader."""


KINDS = {".json": "json", ".npz": "zip", ".frame": "zip", ".pt": "zip"}


def _file_rows(
    what: str,
    suffixes: tuple[str, ...],
    seeds: Callable[[str, Path], list[bytes]],
    read: Callable[[Path], object],
) -> dict[str, Target]:
    return {
        f"{what}{suffix}": Target(
            KINDS.get(suffix, "bytes"),
            partial(seeds, suffix),
            from_file(f"file{suffix}", read),
        )
        for suffix in suffixes
    }


TARGETS: dict[str, Target] = {
    **_file_rows(
        "track", (".json", ".npz", ".frame", ".pt", ".pkl", ".npy", ".csv"), track_seeds, read_track
    ),
    **_file_rows(
        "head",
        (".npz", ".pkl"),
        head_seeds,
        lambda path: HeadModel.load(path, edition="flame2020"),
    ),
    **_file_rows("map", (".npz", ".npy", ".csv"), map_seeds, read_map),
    **_file_rows("landmarks", (".json", ".npz"), landmark_seeds, read_landmarks),
    "calibration.json": Target("json", neutral_seeds, from_file("rest.json", read_neutral)),
    "consent.json": Target(
        "json", consent_seeds, from_file(CONSENT_FILE, lambda path: read_consent(path.parent))
    ),
    "tolerances.json": Target(
        "json",
        lambda folder: [b'{"baked": {"psnr": 37.0, "iou": 0.99}, "onnx": {"psnr": 80}}'],
        from_file("tolerances.json", read_tolerances),
    ),
    "training.toml": Target("bytes", config_seeds, open_config, slow=True),
    "dataset.json": Target(
        "json", dataset_seeds, from_file(TRACK_FILE, lambda path: Video.read(path.parent))
    ),
    **{
        f"packet.{row.scheme}": Target(
            "bytes", partial(packet_seeds, row.scheme), partial(open_protocol, row.scheme)
        )
        for row in PROTOCOLS
    },
    **{
        f"avatar.{Path(name).name}": Target(
            kind, partial(avatar_seeds, name), partial(open_avatar_file, name, read)
        )
        for name, (kind, read) in AVATAR_FILES.items()
    },
}
"""Every reader of files and packets by others."""
