"""`http://127.0.0.1:8080`: a web page that shows the head and has controls to turn, pause and calibrate it."""

from __future__ import annotations

from .sink import FORMAT

__all__ = ["FORMAT"]
