"""Play a track to a video and a contact sheet.

Shows `Player`, `read_track` and `open_sink`: the frames of a motion become images, and the images
become files.

    python examples/01_play_a_track.py [FOLDER]

Needs: pip install 'imavatar-deploy[cpu]'. Writes 01_talk.mp4 and 01_sheet.png.
"""

import sys
from pathlib import Path

from imavatar_deploy import read_track
from imavatar_deploy.runtime import Player
from imavatar_deploy.runtime.sinks import Stream, open_sink

OUT = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "out"
if OUT.is_file() or sys.argv[-1].startswith("-"):
    sys.exit(__doc__)
SIZE = 256  # pixels a side

OUT.mkdir(parents=True, exist_ok=True)
track = read_track("talk").select(slice(0, 150, 2))  # or flame_params.json, or a tracker's folder
stream = Stream(SIZE, SIZE, fps=track.fps)

with (
    Player("sample", size=SIZE, background="#ffffff") as player,
    open_sink(str(OUT / "01_talk.mp4"), stream) as video,
    open_sink(str(OUT / "01_sheet.png"), stream) as sheet,
):
    for frame in track.frames():
        image = player.render(frame.expression, frame.pose)  # [256, 256, 4] uint8, RGBA
        video.write(image)
        sheet.write(image)

print(video.report())
print(sheet.report())
