"""Find a face in images and follow it.

Shows `FaceTracker` and `PersonMask`. The images are frames of the bundled avatar, so that the
example runs; pass frames of a camera or a video in the same way.

    python examples/15_landmarks_of_a_face.py [FOLDER]

Needs: pip install 'imavatar-deploy[cpu]'. Writes 15_landmarks.png.
"""

import sys
from pathlib import Path

import cv2
import numpy as np

from imavatar_deploy import read_track
from imavatar_deploy.retarget import ARKIT_NAMES
from imavatar_deploy.runtime import Player
from imavatar_deploy.vision import FaceTracker, PersonMask

OUT = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "out"
if OUT.is_file() or sys.argv[-1].startswith("-"):
    sys.exit(__doc__)
SIZE = 320  # pixels a side
UPPER_LIP, LOWER_LIP = 13, 14  # MediaPipe's numbers of landmarks

OUT.mkdir(parents=True, exist_ok=True)
track = read_track("talk").select(slice(0, 120, 30))
person, pictures = PersonMask(), []
with (
    Player("sample", size=SIZE, background="#ffffff") as player,
    FaceTracker(blendshapes=True) as tracker,
):
    for frame in track.frames():
        image = player.render(frame.expression, frame.pose)[:, :, :3].copy()  # RGB
        face = tracker.track(image)
        if face is None or face.blendshapes is None:
            print("no face")
            continue
        gap = np.linalg.norm(face.landmarks[LOWER_LIP] - face.landmarks[UPPER_LIP])
        strongest = ARKIT_NAMES[int(face.blendshapes.argmax())]
        share = person.mask(image).mean()
        print(
            f"confidence {face.confidence:.2f}, lips {gap:.1f} pixels apart, "
            f"strongest shape {strongest}, person in {100 * share:.0f} % of the image"
        )
        for column, row, _depth in face.landmarks:
            cv2.circle(image, (round(float(column)), round(float(row))), 1, (0, 160, 0), -1)
        pictures.append(image)

cv2.imwrite(str(OUT / "15_landmarks.png"), np.hstack(pictures)[:, :, ::-1])
