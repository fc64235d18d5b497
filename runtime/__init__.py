"""The runtime: plays an avatar folder without torch, from a recording or as a tracker sends.

    import numpy as np
    from imavatar_deploy.runtime import Player, listen, run_live

    with Player("sample", size=512) as player:  # an avatar folder, or the bundled sample
        image = player.render(np.zeros(50), np.zeros(15))  # [512, 512, 4] uint8, RGBA
        with listen("udp://:9000", player.avatar) as tracker:  # for a loop of your own
            face = tracker.pose_at()

    run_live("sample", "udp://:9000", print, fps=60, duration=10)  # calls you with every image

`Player` draws; `listen` and `run_live` take a source by name, or an `Inbox` that a tracker of your
own fills with an `Observation` for every face; `LiveConfig` has latency, smoothing and maps.
Packages inside: `sources` and `sinks` (tables, and rows of one's own), `streams` (FLAME over UDP).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from imavatar_deploy.deprecation import warn_renamed
from imavatar_deploy.lazy import lazy_names

if TYPE_CHECKING:
    from .live.api import listen, run_live
    from .live.config import LiveConfig
    from .player import Player
    from .sources.observation import Inbox, Observation

__all__ = ["Inbox", "LiveConfig", "Observation", "Player", "listen", "run_live"]

PLACES = {
    "LiveConfig": ".live.config",
    "Inbox": ".sources.observation",
    "Observation": ".sources.observation",
    "Player": ".player",
    "run_live": ".live.api",
    "listen": ".live.api",
}
"""The module of each public name."""

DEPRECATED = {"Choices": "LiveConfig", "drive": "run_live"}
"""Names of version 0.1, with what replaces them; removed in version 0.3."""

_import_name, __dir__ = lazy_names(__name__, PLACES)


def __getattr__(name: str) -> Any:
    """Import a public name on first use, so that `imavatar-doctor` starts where numba is broken."""
    if name in DEPRECATED:
        warn_renamed(f"{__name__}.{name}", DEPRECATED[name])
        name = DEPRECATED[name]
    return _import_name(name)
