"""Mutations that keep a file readable: of one member of an archive, and of one value of a JSON."""

from __future__ import annotations

import io
import json
import random
import zipfile
from collections.abc import Callable
from typing import Any

from ..mutations import STRANGE

Mutate = Callable[[bytes, int], bytes]
"""The fuzzer's own mutation: content and its largest size -> new content."""


def of_zip(content: bytes, most: int, seed: int, mutate: Mutate) -> bytes:
    """Mutate one member of an archive; the checksums agree."""
    chance = random.Random(seed)
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
    except Exception:
        return mutate(content, most)
    if not members or not chance.randrange(8):
        return mutate(content, most)
    name = chance.choice(sorted(members))
    members[name] = mutate(members[name] or b"\0", most)
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        for member, data in members.items():
            archive.writestr(member, data)
    return written.getvalue()


def of_json(content: bytes, most: int, seed: int, mutate: Mutate) -> bytes:
    """Replace, remove or double one value of a document."""
    chance = random.Random(seed)
    try:
        document = {"": json.loads(content)}
    except (ValueError, RecursionError):
        return mutate(content, most)
    if not chance.randrange(8):
        return mutate(content, most)
    place: Any = document
    key: Any = ""
    while isinstance(place[key], dict | list) and place[key] and chance.randrange(6):
        place = place[key]
        key = chance.choice(sorted(place) if isinstance(place, dict) else range(len(place)))
    if isinstance(place[key], str) and chance.randrange(2):
        place[key] = mutate(place[key].encode("utf-8", "replace"), 100).decode("utf-8", "replace")
    elif chance.randrange(4) == 0 and place is not document:
        del place[key]
    elif isinstance(place[key], list) and place[key] and chance.randrange(4) == 0:
        place[key] = place[key] * 2
    else:
        place[key] = chance.choice(STRANGE)
    return json.dumps(document.get("")).encode()


def of_bytes(content: bytes, most: int, seed: int, mutate: Mutate) -> bytes:
    """Apply the fuzzer's own mutation."""
    return mutate(content, most)


MUTATORS = {"zip": of_zip, "json": of_json, "bytes": of_bytes}
"""Kinds of content."""
