"""A sink of one's own: long exposures.

Shows `SinkFormat` and `register_sink`: a file name that ends in `.exposure.png` becomes the mean of
all images of a run. Registered sinks open by name beside those of the package.

    python examples/05_own_sink.py [FOLDER]

Needs: pip install 'imavatar-deploy[cpu]'. Writes 05_talk.exposure.png.
"""

import sys
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np

from imavatar_deploy import read_track
from imavatar_deploy.runtime import Player
from imavatar_deploy.runtime.sinks import Sink, SinkFormat, Stream, open_sink, register_sink

OUT = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "out"
if OUT.is_file() or sys.argv[-1].startswith("-"):
    sys.exit(__doc__)


@contextmanager
def open_exposure(target, stream):
    """Sum up images of one size, and write their mean when the block ends without an error."""
    total, count = np.zeros((stream.height, stream.width, 4)), 0

    def write(image):
        nonlocal count
        total[...] += image
        count += 1

    yield Sink(write, report=lambda: f"{target}: {count} images in one")
    cv2.imwrite(target, np.rint(total / count).astype(np.uint8)[..., 2::-1])


register_sink(
    SinkFormat(
        name="exposure",
        pattern="talk.exposure.png",
        description="the mean of all images",
        matches=lambda target: target.endswith(".exposure.png"),
        open=open_exposure,
    )
)

OUT.mkdir(parents=True, exist_ok=True)
track = read_track("talk").select(slice(0, 120, 3))
with (
    Player("sample", size=320, background="#ffffff") as player,
    open_sink(str(OUT / "05_talk.exposure.png"), Stream(320, 320, track.fps)) as sink,
):
    for frame in track.frames():
        sink.write(player.render(frame.expression, frame.pose))
print(sink.report())
