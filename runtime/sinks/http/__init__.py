"""`http://127.0.0.1:8080`: a page that shows the head to any browser, and lets it be turned, paused and calibrated."""

from __future__ import annotations

from .sink import FORMAT

__all__ = ["FORMAT"]
