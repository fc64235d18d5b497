"""VRM's expression presets in ARKit's words, for senders without "Perfect Sync"."""

from __future__ import annotations

from collections.abc import Mapping

Shares = Mapping[str, float]


def _both(name: str, share: float) -> dict[str, float]:
    return {f"{name}Left": share, f"{name}Right": share}


MEANINGS: tuple[tuple[tuple[str, str], Shares], ...] = (
    (("A", "aa"), {"jawOpen": 0.6}),
    (("I", "ih"), {"jawOpen": 0.2} | _both("mouthStretch", 0.6)),
    (("U", "ou"), {"jawOpen": 0.15, "mouthPucker": 0.7}),
    (("E", "ee"), {"jawOpen": 0.35} | _both("mouthStretch", 0.4)),
    (("O", "oh"), {"jawOpen": 0.4, "mouthFunnel": 0.6}),
    (("Blink", "blink"), _both("eyeBlink", 1.0)),
    (("Blink_L", "blinkLeft"), {"eyeBlinkLeft": 1.0}),
    (("Blink_R", "blinkRight"), {"eyeBlinkRight": 1.0}),
    (("Joy", "happy"), _both("mouthSmile", 0.8) | _both("cheekSquint", 0.4) | _both("eyeSquint", 0.3)),
    (("Angry", "angry"), _both("browDown", 0.8) | _both("noseSneer", 0.3) | _both("mouthPress", 0.3)),
    (("Sorrow", "sad"), {"browInnerUp": 0.8} | _both("mouthFrown", 0.6)),
    (("Fun", "relaxed"), _both("mouthSmile", 0.4) | _both("eyeSquint", 0.2)),
    (
        ("Surprised", "surprised"),
        {"browInnerUp": 0.7, "jawOpen": 0.25} | _both("browOuterUp", 0.7) | _both("eyeWide", 0.6),
    ),
)
"""The names of VRM 0 and VRM 1 (https://vrm.dev), and what of each shape makes such a face; ours, by eye."""

PRESETS: Mapping[str, Shares] = {
    spelling: shares for (old, new), shares in MEANINGS for spelling in (old, old.upper(), new)
}
"""By name; UniVRM long sent the names of VRM 0 in capitals."""
