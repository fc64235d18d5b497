"""A source of one's own: a tracker that fills an inbox.

Shows `Inbox` and `Observation`. The thread below stands for your tracker: it puts in a face
whenever it has one, in ARKit's 52 weights. `listen` turns them into expressions and poses of the
avatar, and a loop of your own asks for the pose at any moment.

    python examples/04_own_source.py [FOLDER]

Needs: pip install 'imavatar-deploy[cpu]'. Writes 04_mouth.png.
"""

import sys
import threading
import time
from pathlib import Path

import cv2
import numpy as np

from imavatar_deploy.retarget import ARKIT_NAMES
from imavatar_deploy.runtime import Inbox, Observation, Player, listen

OUT = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "out"
if OUT.is_file() or sys.argv[-1].startswith("-"):
    sys.exit(__doc__)
FPS, SECONDS = 30, 2

OUT.mkdir(parents=True, exist_ok=True)
inbox = Inbox()


def track():
    """Open and close the mouth once a second while the head turns."""
    for frame in range(FPS * SECONDS):
        phase = 2 * np.pi * frame / FPS
        weights = np.zeros(52)  # 0..1, in the order of ARKIT_NAMES
        weights[ARKIT_NAMES.index("jawOpen")] = 0.5 - 0.5 * np.cos(phase)
        pose = np.zeros(15)  # global, neck, jaw, eyeL, eyeR: axis-angle, radians
        pose[1] = 0.5 * np.sin(phase / 2)  # about +Y: to the person's own left
        inbox.put(Observation("arkit52", weights, pose, time=time.monotonic()))
        time.sleep(1 / FPS)
    inbox.ended.set()


images = []
with Player("sample", size=192, background="#ffffff") as player:
    player.warm_up()  # compile before the tracker starts
    threading.Thread(target=track, daemon=True).start()
    with listen(inbox, player.avatar) as tracker:
        while (face := tracker.pose_at()) is not None:  # never waits; None when the tracker ended
            images.append(player.render(face.expression, face.pose))
            time.sleep(1 / FPS)

chosen = [images[index] for index in np.linspace(8, len(images) - 8, 6, dtype=int)]
cv2.imwrite(str(OUT / "04_mouth.png"), np.hstack(chosen)[..., 2::-1])
print(f"drew {len(images)} images of {inbox.counts['received']} observations")
