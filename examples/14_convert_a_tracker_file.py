"""Convert a tracker's file to a track.

Shows `read_track`, editing and `write_track`. The input is a file as VHAP and GaussianAvatars write
it (`tracked_flame_params.npz`), made here so that the example runs; give `read_track` yours. The
folders of metrical-tracker, Pixel3DMM and CAP4D, and the codes of DECA, EMOCA and SMIRK are read in
the same way. Nothing in such a file is run.

    python examples/14_convert_a_tracker_file.py [FOLDER]

Needs: pip install 'imavatar-deploy[cpu]'. Writes 14_flame_params.json and 14_curves.png.
"""

import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from imavatar_deploy.tracks import TRACK_FORMATS, read_track, retimed, unread_names, write_track

OUT = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "out"
if OUT.is_file() or sys.argv[-1].startswith("-"):
    sys.exit(__doc__)

OUT.mkdir(parents=True, exist_ok=True)
source = OUT / "14_tracked_flame_params.npz"
time = np.linspace(0.0, 2.0 * np.pi, 50)[:, None]
still = np.zeros((50, 3), np.float32)
np.savez(
    source,
    rotation=np.hstack([0.1 * np.sin(time), 0.4 * np.sin(2 * time), 0 * time]),  # radians
    neck_pose=still,
    jaw_pose=np.hstack([0.15 - 0.15 * np.cos(3 * time), 0 * time, 0 * time]),
    eyes_pose=np.zeros((50, 6), np.float32),
    translation=still,
    expr=np.hstack([np.sin(time), np.zeros((50, 99))]),
    shape=np.zeros(300),
    static_offset=np.zeros((1, 5143, 3)),
)

track = read_track(source)
print(f"{len(track)} frames of {track.edition} at {track.fps:g} a second")
print("not in a track:", ", ".join(unread_names(source)))
edited = retimed(track.select(slice(5, 45)), 50.0)  # the motion keeps its speed
edited = replace(edited, expression=0.5 * edited.expression)  # tracks are plain arrays
write_track(edited, OUT / "14_flame_params.json")
print("formats:", ", ".join(TRACK_FORMATS))

again = read_track(OUT / "14_flame_params.json")
image = np.full((240, 640, 3), 255, np.uint8)
columns = np.linspace(10, 630, len(again))
curves = {"head": ((200, 80, 40), again.pose[:, 1]), "jaw": ((40, 120, 220), again.pose[:, 6])}
for name, (colour, radians) in curves.items():
    points = np.column_stack([columns, 120 - 250 * radians]).astype(np.int32)
    cv2.polylines(image, [points], False, colour, 2, cv2.LINE_AA)
    cv2.putText(image, name, points[20].tolist(), cv2.FONT_HERSHEY_SIMPLEX, 0.6, colour)
cv2.imwrite(str(OUT / "14_curves.png"), image)
