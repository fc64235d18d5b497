"""Write the test vectors of FLAME packets: `packets.json`, `motion.json` and `cameras.json`.

    python tools/build_packet_vectors.py [--out FOLDER]

They are in `docs/packets/`, whose `README.md` describes them. The result is the same every time,
and is committed.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from imavatar_deploy.camera import Camera, orbited
from imavatar_deploy.conventions import EXPRESSION_SIZE, POSE_SIZE
from imavatar_deploy.errors import InputError
from imavatar_deploy.runtime.live.motion.face_state import CHANNELS, face_of
from imavatar_deploy.runtime.live.motion.jitter_buffer import DROPOUTS, JitterBuffer
from imavatar_deploy.runtime.streams import EDITION_CODES, decode, encode
from imavatar_deploy.runtime.streams.camera_message import (
    camera_between,
    decode_camera,
    encode_camera,
)

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "docs" / "packets"


def _values(count: int, seed: int, scale: float = 1.0) -> list[float]:
    rng = random.Random(seed)
    return [round(scale * rng.uniform(-1, 1), 4) for _ in range(count)]


def _sealed(data: bytes) -> bytes:
    """A packet without its checksum, with the right one."""
    return data + struct.pack("<I", zlib.crc32(data))


def _changed(packet: bytes, offset: int, new: bytes) -> bytes:
    """A packet with other bytes and the right checksum."""
    return _sealed(packet[:offset] + new + packet[offset + len(new) : -4])


def accepted_packets() -> dict[str, bytes]:
    """Name -> packet that every decoder must read."""
    weights = {"arkit52": 52}
    packets = {
        "the example of the specification": encode(
            "openhead", [0.25, -0.5], [0, 0, 0, 0, 0.125, 0, 0.2, *[0] * 8], time=12.5, sequence=7
        ),
        "no face": encode("flame2020", [], [], time=1.25, sequence=3),
        "largest sequence": encode("openhead", [1], [0] * 15, time=0, sequence=2**32 - 1),
        "negative time": encode("openhead", [1], [0] * 15, time=-1e9, sequence=1),
        "zeros as int16": encode(
            "openhead", [0] * 50, [0] * 15, time=2, sequence=2, encoding="int16"
        ),
        "100 weights": encode("flame2023", _values(100, 1), _values(15, 2), time=3.5, sequence=9),
    }
    for number, edition in enumerate(EDITION_CODES):
        for encoding in ("float32", "int16"):
            packets[f"{edition} as {encoding}"] = encode(
                edition,
                [abs(value) for value in _values(weights.get(edition, 50), 10 + number)],
                _values(15, 30 + number, 0.5),
                time=100.125 + number,
                sequence=1000 + number,
                encoding=encoding,
            )
    return packets


def refused_packets() -> dict[str, bytes]:
    """Name -> bytes that every decoder must refuse."""
    good = encode("openhead", _values(50, 5), _values(15, 6), time=1.5, sequence=4)
    small = encode("openhead", _values(50, 5), _values(15, 6), time=1.5, encoding="int16")
    arkit = encode("arkit52", [0.5] * 52, [0] * 15, time=1.5)
    nan, infinity = struct.pack("<f", math.nan), struct.pack("<f", math.inf)
    return {
        "empty": b"",
        "header alone": good[:32],
        "truncated by one byte": good[:-1],
        "truncated in the weights": good[:100],
        "one byte too long": good + b"\0",
        "longer than any packet": _sealed(good[:-4] + bytes(1200)),
        "another magic": _changed(good, 0, b"FLMX"),
        "version 0": _changed(good, 4, b"\0"),
        "version 2": _changed(good, 4, b"\2"),
        "unknown flag": _changed(good, 5, b"\2"),
        "edition 0": _changed(good, 6, b"\0"),
        "unknown edition": _changed(good, 6, b"\x21"),
        "reserved byte": _changed(good, 10, b"\1"),
        "49 weights stated, 50 sent": _changed(good, 7, bytes([49])),
        "101 weights": _sealed(good[:7] + bytes([101]) + good[8:32] + bytes(4 * 116)),
        "weights without a pose": _sealed(good[:8] + b"\0" + good[9:32] + bytes(200)),
        "a pose without weights": _sealed(good[:7] + b"\0" + good[8:32] + bytes(60)),
        "51 weights of ARKit": _sealed(arkit[:7] + bytes([51]) + arkit[8:32] + bytes(4 * 66)),
        "damaged checksum": good[:-1] + bytes([good[-1] ^ 1]),
        "one damaged bit": good[:40] + bytes([good[40] ^ 16]) + good[41:],
        "time is not a number": _changed(good, 16, struct.pack("<d", math.nan)),
        "time is infinite": _changed(good, 16, struct.pack("<d", math.inf)),
        "a weight is not a number": _changed(good, 32, nan),
        "a pose value is infinite": _changed(good, 32 + 200, infinity),
        "the scale of int16 is not a number": _changed(small, 24, nan),
        "the scale of the pose is infinite": _changed(small, 28, infinity),
        "a number overflows by its scale": _changed(
            _changed(good, 32, struct.pack("<f", 10)), 24, struct.pack("<f", 3e38)
        ),
    }


def packet_vectors() -> dict[str, Any]:
    """The contents of `packets.json`.

    Raises:
        RuntimeError: the decoder reads a packet that it must refuse.
    """
    rows: list[dict[str, Any]] = []
    for name, data in accepted_packets().items():
        packet = decode(data)
        rows.append(
            {
                "name": name,
                "hex": data.hex(),
                "expected": {
                    "edition": packet.edition,
                    "sequence": packet.sequence,
                    "time": packet.time,
                    "weights": [float(value) for value in packet.weights],
                    "pose": [float(value) for value in packet.pose],
                },
            }
        )
    for name, data in refused_packets().items():
        try:
            decode(data)
        except InputError:
            rows.append({"name": name, "hex": data.hex(), "expected": "refused"})
        else:
            raise RuntimeError(f"{name} is read")
    return {"version": 1, "packets": rows}


def motion_vectors() -> dict[str, Any]:
    """The contents of `motion.json`: faces that arrive in disorder, and what is then shown."""
    rng = random.Random(14)
    buffer = JitterBuffer()
    interval = 1 / 30
    steps: list[dict[str, Any]] = []
    shown = -1.0

    def insert(time: float) -> None:
        phase = 2 * math.pi * time
        expression = [0.0] * EXPRESSION_SIZE
        expression[:3] = [0.5 + 0.5 * math.sin(phase), 0.4 * math.cos(3 * phase), 0.3 * time]
        pose = [0.0] * POSE_SIZE
        pose[4], pose[6] = 0.6 * math.sin(0.7 * phase), 0.2 + 0.2 * math.sin(2 * phase)
        pose[9:12] = [0.1 * math.sin(phase), 0.2 * math.cos(phase), 0.05]
        face = face_of(np.array(expression), np.array(pose))
        outcome = buffer.insert(time, face, shown, interval)
        steps.append(
            {
                "insert": time,
                "expression": expression[:3],
                "pose": pose,
                "shown": shown,
                "interval": interval,
                "expected": outcome,
            }
        )

    def read(time: float) -> None:
        dropout = DROPOUTS["relax"]
        reading = buffer.read(np.full((1, CHANNELS), time), dropout).face
        face = type(reading)(reading.expression[0], reading.turns[0])
        share, _ = dropout.rest(time - buffer.newest)
        if share:
            neutral = face_of(np.zeros(EXPRESSION_SIZE), np.zeros(POSE_SIZE))
            face = face.plus(share * neutral.minus(face))
        steps.append(
            {
                "read": time,
                "expected": {
                    "expression": face.expression[:3].round(12).tolist(),
                    "pose": face.pose().round(12).tolist(),
                },
            }
        )

    times = [round(index * interval + rng.uniform(-0.002, 0.002), 6) for index in range(60)]
    order = sorted(range(60), key=lambda index: times[index] + rng.uniform(0, 0.07))
    for count, index in enumerate(order):
        insert(times[index])
        if count % 9 == 4:
            insert(times[index])  # again
        if count > 3:
            shown = max(shown, times[order[count]] - 0.05)
            read(shown)
    insert(times[10])  # far too late
    for age in (0.01, 0.05, 0.09, 0.2, 1.9, 2.3, 2.9, 4.0):
        read(buffer.newest + age)
    return {"version": 1, "steps": steps}


def _camera(yaw: float = 0.0, pitch: float = 0.0, zoom: float = 1.0) -> Camera:
    matrix = np.array([[1, 0, 0, 0.125], [0, 1, 0, -0.25], [0, 0, 1, -4]], dtype=np.float32)
    lens = np.array([2, 1.5, 0.5, 0.45], dtype=np.float32)
    return orbited(Camera(matrix, lens), yaw=yaw, pitch=pitch, zoom=zoom)


def _contents(camera: Camera | None) -> dict[str, list[float]] | None:
    if camera is None:
        return None
    return {
        "world_to_camera": camera.world_to_camera.astype(float).ravel().tolist(),
        "intrinsics": camera.intrinsics.astype(float).tolist(),
    }


def camera_messages() -> list[dict[str, Any]]:
    """Messages of cameras, and their contents."""
    good = {"world_to_camera": [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, -4], "intrinsics": [2, 2, 0.5, 1]}
    mirror = [-1, *good["world_to_camera"][1:]]
    texts = {
        "from the front": encode_camera(_camera()),
        "turned and enlarged": encode_camera(_camera(0.5, -0.25, 1.5)),
        "whole numbers": json.dumps({"camera": good}),
        "with other keys": json.dumps({"camera": {**good, "lens": "50 mm"}, "note": 1}),
        "no camera": encode_camera(None),
        "another kind": '{"title": "a motion"}',
        "empty object": "{}",
        "not JSON": "camera",
        "not a number": encode_camera(_camera()).replace("2.0", "NaN"),
        "too large a number": encode_camera(_camera()).replace("2.0", "1e400"),
        "a list": "[1, 2]",
        "a camera that is a number": '{"camera": 1}',
        "11 numbers": json.dumps({"camera": {**good, "world_to_camera": [0.0] * 11}}),
        "no lens": json.dumps({"camera": {"world_to_camera": good["world_to_camera"]}}),
        "a text among the numbers": json.dumps({"camera": {**good, "intrinsics": [2, 2, "1", 1]}}),
        "true among the numbers": json.dumps({"camera": {**good, "intrinsics": [2, 2, True, 1]}}),
        "a mirror": json.dumps({"camera": {**good, "world_to_camera": mirror}}),
        "no rotation": json.dumps({"camera": {**good, "world_to_camera": [0.0] * 12}}),
        "a negative focal length": json.dumps({"camera": {**good, "intrinsics": [-2, 2, 0, 0]}}),
        "too long": json.dumps({"camera": good, "padding": "x" * 1200}),
    }
    rows: list[dict[str, Any]] = []
    for name, text in texts.items():
        expected: Any
        try:
            expected = _contents(decode_camera(text))
        except InputError:
            expected = "refused"
        except KeyError:
            expected = "ignored"
        rows.append({"name": name, "text": text, "expected": expected})
    return rows


def camera_steps() -> list[dict[str, Any]]:
    """Packets with their cameras, and the camera at times after them."""
    cameras: dict[float, Camera | None] = {
        10.0: None,
        10.04: _camera(),
        10.08: _camera(0.2, 0.1, 1.25),
        10.12: _camera(0.2, 0.1, 1.25),
        10.16: _camera(-1.5),  # a cut
        10.2: _camera(-1.4, -0.3),
        10.24: None,
    }
    steps: list[dict[str, Any]] = [
        {"packet": time, "camera": _contents(camera)} for time, camera in cameras.items()
    ]
    times = list(cameras)
    for time in (9.9, 10.01, 10.04, 10.05, 10.07, 10.1, 10.13, 10.159, 10.17, 10.19, 10.23, 10.5):
        index = max(sum(each <= time for each in times) - 1, 0)
        before = cameras[times[index]]
        after = cameras[times[min(index + 1, len(times) - 1)]]
        if before is not None and after is not None and time > times[index]:
            share = (time - times[index]) / (times[index + 1] - times[index])
            before = camera_between(before, after, share)
        steps.append({"read": time, "expected": _contents(before)})
    return steps


def main() -> None:
    """Write the files and print their sizes."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, default=OUT)
    out = parser.parse_args().out
    cameras = {"version": 1, "messages": camera_messages(), "steps": camera_steps()}
    for name, content in (
        ("packets.json", packet_vectors()),
        ("motion.json", motion_vectors()),
        ("cameras.json", cameras),
    ):
        parts = ['"version": 1']
        for key in ("packets", "messages", "steps"):
            if key in content:
                lines = ",\n".join(json.dumps(row) for row in content[key])
                parts.append(f'"{key}": [\n{lines}\n]')
        text = f"{{{', '.join(parts)}}}\n"
        (out / name).write_text(text, encoding="utf-8")
        print(f"{out / name}: {len(text)} bytes")


if __name__ == "__main__":
    main()
