"""docs/extending.md: the code of its examples works as the page says."""

from __future__ import annotations

import re
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from imavatar_deploy.errors import InputError
from imavatar_deploy.runtime import sources
from imavatar_deploy.runtime.sinks import Stream

TEXT = (Path(__file__).resolve().parents[1] / "docs" / "extending.md").read_text(encoding="utf-8")


def names_of(section: str) -> dict[str, Any]:
    """What the code of a section defines."""
    _, _, rest = TEXT.partition(f"\n## {section}\n")
    (code, *_) = re.findall(r"```python\n(.*?)```", rest.partition("\n## ")[0], re.DOTALL)
    names: dict[str, Any] = {}
    exec(code, names)
    return names


def test_the_source_of_a_program_opens_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "SOURCES", list(sources.SOURCES))
    assert names_of("From a program")["NOD"] in sources.SOURCES
    with sources.open_source("nod", sources.Selection(frames=slice(5, 10))) as source:
        frames = list(source.frames)
    assert (source.count, source.fps, len(frames)) == (5, 30, 5)
    np.testing.assert_allclose(frames[0].pose[3], 0.2 * np.sin(np.pi / 3))


def test_the_source_parses_its_packets() -> None:
    protocol = names_of("A source")["PROTOCOL"]
    parse = protocol.parser()
    (observation,) = parse(struct.pack(">53f", 1.5, *[0.5] * 52))
    assert (observation.vocabulary, observation.time) == ("arkit52", 1.5)
    np.testing.assert_array_equal(observation.weights, np.full(52, 0.5))
    with pytest.raises(InputError, match="a packet must have 212 bytes, got 1"):
        parse(b"x")


def test_the_sink_counts_its_images() -> None:
    row = names_of("A sink")["FORMAT"]
    assert row.matches(row.pattern)
    with row.open("count", Stream(4, 2, 25.0)) as sink:
        sink.write(np.zeros((2, 4, 4), np.uint8))
    assert sink.report() == "1 images of 4 x 2"
