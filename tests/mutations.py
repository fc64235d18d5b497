"""Damaged files for fuzzing: random bytes, and valid files that are truncated or modified."""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

from hypothesis import strategies as st


@st.composite
def mutated(draw: st.DrawFn, sound: bytes) -> bytes:
    """Draw a modification of a valid file, or random bytes."""
    content = bytearray(sound)
    kind = draw(st.sampled_from(["any", "cut", "flip", "flip", "flip", "lose", "double", "insert"]))
    if kind == "any":
        return draw(st.binary(max_size=200))
    start = draw(st.integers(0, len(content) - 1))
    if kind == "cut":
        return bytes(content[:start])
    if kind == "flip":
        for place in [start, *draw(st.lists(st.integers(0, len(content) - 1), max_size=4))]:
            content[place] ^= draw(st.integers(1, 255))
        return bytes(content)
    piece = content[start : start + draw(st.integers(1, 64))]
    new = {
        "lose": b"",
        "double": piece * 2,
        "insert": piece + draw(st.binary(min_size=1, max_size=16)),
    }[kind]
    return bytes(content[:start] + new + content[start + len(piece) :])


@st.composite
def with_a_mutated_member(draw: st.DrawFn, sound: bytes) -> bytes:
    """Draw a zip file in which one member's content is modified and the checksums agree."""
    with zipfile.ZipFile(io.BytesIO(sound)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    damaged = draw(st.sampled_from(sorted(members)))
    members[damaged] = draw(mutated(members[damaged] or b"\0"))
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return written.getvalue()


STRANGE: list[Any] = [
    None,
    True,
    -1,
    0,
    3,
    1e300,
    "",
    "x",
    "../..",
    [],
    [[]],
    {},
    {"a": 1},
    [0] * 50,
    ["x"] * 15,
]


@st.composite
def with_a_strange_value(draw: st.DrawFn, document: Any) -> str:
    """Draw the JSON of a document in which one value is replaced."""
    changed = json.loads(json.dumps(document))
    place = {"": changed}
    key = ""
    while isinstance(place[key], dict | list) and place[key] and draw(st.integers(0, 5)):
        place = place[key]
        keys = sorted(place) if isinstance(place, dict) else range(len(place))
        key = draw(st.sampled_from(list(keys)[:20]))
    place[key] = draw(st.sampled_from(STRANGE))
    return json.dumps(place[""] if key == "" else changed)
