"""Moments of a video: joined to spans, and in words."""

from __future__ import annotations

from collections.abc import Sequence

Span = tuple[float, float]
"""First and last moment of an event, seconds of the video."""

MERGE_SECONDS = 0.5
"""Events that lie less than this apart are one event."""


def clock(seconds: float) -> str:
    """Return a time as minutes and seconds, such as `0:12`."""
    whole = int(seconds)
    return f"{whole // 60}:{whole % 60:02d}"


def join_moments(moments: Sequence[float]) -> tuple[Span, ...]:
    """Join moments that lie less than MERGE_SECONDS apart into spans."""
    spans: list[Span] = []
    for moment in sorted(moments):
        if spans and moment - spans[-1][1] < MERGE_SECONDS:
            spans[-1] = (spans[-1][0], moment)
        else:
            spans.append((moment, moment))
    return tuple(spans)


MAX_SPANS = 6
"""Largest number of times that one sentence lists."""


def when(spans: Sequence[Span]) -> str:
    """Return the words for times, such as `at 0:05-0:07 and 0:12`."""
    texts = list(
        dict.fromkeys(
            clock(first) if clock(first) == clock(last) else f"{clock(first)}-{clock(last)}"
            for first, last in spans
        )
    )
    if len(texts) > MAX_SPANS:
        texts = [*texts[: MAX_SPANS - 1], f"{len(texts) - MAX_SPANS + 1} more times"]
    return "at " + (" and ".join(filter(None, [", ".join(texts[:-1]), texts[-1]])))
