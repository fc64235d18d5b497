"""JPEG files in memory."""

from __future__ import annotations

import base64

import cv2
import numpy as np

from imavatar_deploy.jpeg import encode_jpeg, jpeg_address


def test_colours_survive() -> None:
    picture = np.zeros((16, 16, 3), np.uint8)
    picture[:] = (250, 120, 10)
    decoded = cv2.imdecode(np.frombuffer(encode_jpeg(picture, 95), np.uint8), cv2.IMREAD_COLOR)
    assert decoded is not None
    assert np.abs(decoded[..., ::-1].astype(int) - picture).max() <= 4


def test_quality_changes_the_size() -> None:
    picture = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    assert len(encode_jpeg(picture, 30)) < len(encode_jpeg(picture, 90)) / 2


def test_address_holds_the_file() -> None:
    head, _, content = jpeg_address(b"\xff\xd8 picture").partition(",")
    assert head == "data:image/jpeg;base64"
    assert base64.b64decode(content) == b"\xff\xd8 picture"
