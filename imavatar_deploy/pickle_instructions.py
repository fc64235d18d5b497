"""The instructions of a pickle one by one with what is written behind each, Python 2's strings included."""

from __future__ import annotations

import codecs
import io
import pickletools
from collections.abc import Iterator
from typing import Any

VALUES = frozenset(
    (
        *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"),
        *("STRING", "BINSTRING", "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"),
        *("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
    )
)
"""Instructions that push what is written behind them."""

INSTRUCTIONS = {opcode.code.encode("latin-1"): opcode for opcode in pickletools.opcodes}


def instructions(content: bytes) -> Iterator[tuple[str, Any]]:
    """Each instruction by name with what is written behind it; `pickletools.genops` knows only ASCII in a string.

    Raises:
        ValueError: there is none of that code, or what belongs behind it is missing.
    """
    file = io.BytesIO(content)
    while code := file.read(1):
        instruction = INSTRUCTIONS.get(code)
        if instruction is None:
            raise ValueError(f"no instruction begins with {code!r}, at byte {file.tell() - 1}")
        if instruction.name == "STRING":
            yield instruction.name, _quoted(file.readline())
        else:
            yield instruction.name, instruction.arg.reader(file) if instruction.arg else None


def _quoted(line: bytes) -> str:
    text = line.strip()
    if len(text) < 2 or text[:1] != text[-1:] or text[:1] not in (b"'", b'"'):
        raise ValueError("a string without its quotes")
    return codecs.escape_decode(text[1:-1])[0].decode("latin-1")
