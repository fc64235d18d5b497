"""Standard output and stderr of a command: no character and no closed pipe is an error.

A character that the terminal's encoding lacks is replaced by what ASCII has for it. Where the
program that reads the output ends (`| head -1`), the rest of the output is dropped and the work
goes on, so that the exit code stays that of the result.
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
"""What stands for characters outside ASCII; any other becomes a question mark."""

ERRORS = "imavatar-ascii"
"""The name of the error handler."""


def _in_ascii(error: UnicodeError) -> tuple[str | bytes, int]:
    """Replacement of a character that cannot be encoded, see `codecs.register_error`."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    character = error.object[error.start]
    if "\udc80" <= character <= "\udcff":  # a byte of a file's name that is no text
        return bytes([ord(character) - 0xDC00]), error.start + 1
    return IN_ASCII.get(character, "?"), error.start + 1


codecs.register_error(ERRORS, _in_ascii)


class OutputStream(io.TextIOBase):
    """Writes to a text stream, and to nothing once the stream's reader has ended.

    It has no `buffer`: click writes UTF-8 into the buffer of a stream whose encoding is ASCII.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream = stream
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=ERRORS)

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """That of the stream."""
        return self._stream.encoding

    def write(self, text: str) -> int:
        """Write text; returns its length."""
        with self._dropped():
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Write what is buffered."""
        with self._dropped():
            self._stream.flush()

    def writable(self) -> bool:
        """True."""
        return True

    def isatty(self) -> bool:
        """Whether a terminal shows the stream."""
        return self._stream.isatty()

    def fileno(self) -> int:
        """The stream's descriptor."""
        return self._stream.fileno()

    @contextmanager
    def _dropped(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:
            _leads_nowhere(self._stream)


def _leads_nowhere(stream: TextIO) -> None:
    """Let all further output of a stream, and what it has buffered, go to the null device."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, stream.fileno())
    finally:
        os.close(nowhere)
    with suppress(OSError):
        stream.flush()


@contextmanager
def tolerant_streams() -> Iterator[None]:
    """Within the block, `sys.stdout` and `sys.stderr` are streams of this kind."""
    with ExitStack() as stack:
        for stream, redirect in ((sys.stdout, redirect_stdout), (sys.stderr, redirect_stderr)):
            if stream is not None and not isinstance(stream, OutputStream):  # None: it is closed
                tolerant = OutputStream(stream)
                stack.enter_context(redirect(tolerant))
                stack.callback(tolerant.flush)
        yield
