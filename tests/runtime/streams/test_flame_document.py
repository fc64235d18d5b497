"""docs/flame-stream.md agrees with the code: its example, its tables and its sender."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from imavatar_deploy.runtime.streams import EDITION_CODES, decode, encode
from imavatar_deploy.runtime.streams.flame_packet import HEADER, MAGIC

TEXT = (Path(__file__).resolve().parents[3] / "docs" / "flame-stream.md").read_text(
    encoding="utf-8"
)


def block(language: str) -> str:
    (content,) = re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)
    return str(content)


def test_the_example_decodes_to_its_documented_values() -> None:
    data = bytes.fromhex(block("hex"))
    packet = decode(data)
    assert (packet.edition, packet.sequence, packet.time, len(data)) == ("openhead", 7, 12.5, 104)
    assert packet.weights.tolist() == [0.25, -0.5]
    assert dict(enumerate(packet.pose[packet.pose != 0])) == {0: 0.125, 1: np.float32(0.2)}
    assert np.flatnonzero(packet.pose).tolist() == [1, 6]
    assert f"0x{int.from_bytes(data[-4:], 'little'):08x}" in TEXT
    assert encode(packet.edition, packet.weights, packet.pose, time=12.5, sequence=7) == data


def test_table_of_fields_is_the_header() -> None:
    rows = re.findall(r"^\| (\d+) \| (\d+) \| (\w+) \|", TEXT, re.MULTILINE)
    ends = [int(offset) + int(size) for offset, size, _ in rows]
    assert [int(offset) for offset, *_ in rows] == [0, *ends[:-1]]
    assert ends[-1] == HEADER.size
    kinds = {"u8": "B", "u32": "I", "f64": "d", "f32": "f"}
    layout = "".join(
        kinds.get(kind, f"{size}{'s' if offset == '0' else 'x'}") for offset, size, kind in rows
    )
    assert HEADER.format == "<" + layout
    assert f"`{MAGIC.hex(' ')}`" in TEXT


def test_table_of_editions_is_the_code_s() -> None:
    section = TEXT.partition("## Editions")[2].partition("## Rules")[0]
    rows = re.findall(r"^\| (\d+) \| ([\w-]+) \|", section, re.MULTILINE)
    assert {name: int(code) for code, name in rows} == EDITION_CODES


def test_sender_without_the_package_is_understood() -> None:
    names: dict[str, Any] = {}
    exec(block("python"), names)
    packet = decode(names["packet"](2**32 + 5, [0.5] * 50, [0.25] * 15))
    assert (packet.edition, packet.sequence) == ("openhead", 5)
    assert packet.time > 0
    np.testing.assert_array_equal(packet.weights, np.full(50, 0.5))
    np.testing.assert_array_equal(packet.pose, np.full(15, 0.25))
