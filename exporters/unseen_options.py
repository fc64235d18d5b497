"""UnseenSettings: options of the surface that no training view shows."""

from __future__ import annotations

from dataclasses import dataclass

from imavatar_deploy.tracks import FlameTrack


@dataclass(frozen=True)
class UnseenSettings:
    """Options of the surface that no training view shows."""

    fill: bool = True
    """Fill the shape, motion and colours of unseen surface from the seen surface around it."""
    cut_bust: bool = True
    """Cut the bust where pictures of a head end."""
    seen_from: tuple[FlameTrack, ...] = ()
    """Frames and cameras of the training's videos; none assumes those of a portrait video."""
