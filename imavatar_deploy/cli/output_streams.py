"""Tolerant standard output and stderr: unencodable characters and closed pipes are no errors.

A character that the terminal's encoding lacks is replaced by an ASCII equivalent. When the program
that reads the output ends (`| head -1`), the rest of the output is discarded and the work
continues, so that the exit code is that of the result.
"""

from __future__ import annotations

import codecs
import io
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout, suppress
from typing import TextIO

IN_ASCII = {
    "…": "...",
    "°": " deg",
    "²": "^2",
    "³": "^3",
    "→": "->",
    "“": '"',
    "”": '"',
}
"""ASCII equivalents of characters; any other character becomes a question mark."""

ERRORS = "imavatar-ascii"
"""Name of the codec error handler."""


def _in_ascii(error: UnicodeError) -> tuple[str | bytes, int]:
    """Replace a character that cannot be encoded; a handler for `codecs.register_error`."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    character = error.object[error.start]
    if "\udc80" <= character <= "\udcff":  # a byte of a file name that is not text
        return bytes([ord(character) - 0xDC00]), error.start + 1
    return IN_ASCII.get(character, "?"), error.start + 1


codecs.register_error(ERRORS, _in_ascii)


class OutputStream(io.TextIOBase):
    """Writes to a text stream and discards the output once the stream's reader has ended.

    It has no `buffer`: click would write UTF-8 into the buffer of a stream whose encoding is ASCII.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream = stream
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=ERRORS)

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """Encoding of the stream."""
        return self._stream.encoding

    def write(self, text: str) -> int:
        """Write text and return its length."""
        with self._discarding():
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Write buffered text."""
        with self._discarding():
            self._stream.flush()

    def writable(self) -> bool:
        """Return True: the stream can be written."""
        return True

    def isatty(self) -> bool:
        """Return whether the stream is a terminal."""
        return self._stream.isatty()

    def fileno(self) -> int:
        """Return the stream's file descriptor."""
        return self._stream.fileno()

    @contextmanager
    def _discarding(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:
            _redirect_to_null(self._stream)


def _redirect_to_null(stream: TextIO) -> None:
    """Send buffered and further output of a stream to the null device."""
    null = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(null, stream.fileno())
    finally:
        os.close(null)
    with suppress(OSError):
        stream.flush()


@contextmanager
def tolerant_streams() -> Iterator[None]:
    """Replace `sys.stdout` and `sys.stderr` by an `OutputStream` within the block."""
    with ExitStack() as stack:
        for stream, redirect in ((sys.stdout, redirect_stdout), (sys.stderr, redirect_stderr)):
            if stream is not None and not isinstance(stream, OutputStream):  # None if closed
                tolerant = OutputStream(stream)
                stack.enter_context(redirect(tolerant))
                stack.callback(tolerant.flush)
        yield
