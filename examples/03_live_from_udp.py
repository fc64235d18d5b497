"""Drive an avatar over the network: FLAME packets by UDP.

Shows both ends. A thread sends a packet a frame with `encode`, as a tracker of yours would from
another program or machine; `run_live` receives them, puts them in order, smooths them and draws.

    python examples/03_live_from_udp.py [FOLDER]

Needs: pip install 'imavatar-deploy[cpu]'. Writes 03_received.png.
"""

import socket
import sys
import threading
import time
from pathlib import Path

import cv2
import numpy as np

from imavatar_deploy import read_track
from imavatar_deploy.runtime import run_live
from imavatar_deploy.runtime.streams import encode

OUT = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "out"
if OUT.is_file() or sys.argv[-1].startswith("-"):
    sys.exit(__doc__)

OUT.mkdir(parents=True, exist_ok=True)
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
ended = threading.Event()


def send():
    """Send the bundled motion in a loop, 50 packets a second."""
    track = read_track("talk")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for number in range(100_000):
            frame = track.frame(40 + number % 200)
            packet = encode(
                track.edition,
                frame.expression,  # [50]
                frame.pose,  # [15] axis-angle, radians
                time=time.monotonic(),
                sequence=number,
            )
            sender.sendto(packet, ("127.0.0.1", port))
            if ended.wait(1 / 50):
                break


images = []
sender = threading.Thread(target=send, daemon=True)
sender.start()
tally = run_live(
    "sample",
    f"udp://127.0.0.1:{port}",
    lambda image: images.append(image.copy()),
    fps=25,
    duration=2,
    size=192,
    background="#ffffff",
)
ended.set()
sender.join()

chosen = [images[index] for index in np.linspace(len(images) // 3, len(images) - 1, 5, dtype=int)]
cv2.imwrite(str(OUT / "03_received.png"), np.hstack(chosen)[..., 2::-1])
print(f"drew {tally.drawn} images, {tally.faceless} of them before the first packet")
