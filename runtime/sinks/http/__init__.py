"""`http://127.0.0.1:8080`: a web page with the head and its controls: turn, pause, calibrate."""

from __future__ import annotations

from .sink import FORMAT

__all__ = ["FORMAT"]
