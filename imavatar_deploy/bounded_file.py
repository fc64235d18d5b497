"""A file that gives no more than it has: Python reserves what is asked of one, however far beyond its end that is."""

from __future__ import annotations

import io
import os


class BoundedFile(io.FileIO):
    """An unbuffered file to read, for readers that believe the sizes they find in it."""

    def read(self, size: int | None = -1, /) -> bytes:
        """At most `size` bytes, or all there are."""
        left = max(0, os.fstat(self.fileno()).st_size - self.tell())
        return super().read(left if size is None or size < 0 else min(size, left)) or b""
