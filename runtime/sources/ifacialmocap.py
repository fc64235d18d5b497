"""iFacialMocap (iPhone, ARKit), `ifacialmocap://PHONE`: one line of text a frame.

    mouthSmile_R-12|...|=head#x,y,z,px,py,pz|rightEye#x,y,z|leftEye#x,y,z|

Weights are 0..100 with `-` before the value (version 1) or `&` (version 2, which may be negative);
`_L` and `_R` are the sides. Blocks come in any order, and not every frame has every shape (the
maker's own example has 50): a missing shape keeps its value. Unknown blocks are ignored. The app
begins to send, to its own port, when it receives `HELLO`.

Angles are degrees. Their order and signs are not documented:

- Order: the maker's receiver for Unity passes the three to Quaternion.Euler (z first, then x, then
  y). In that order, and in no other, the eyes of the maker's example have no roll to four digits,
  as Apple documents for ARKit's.
- Signs: in the same example the head's x is -21 and the eyes' +6, and the right eye's y is +2.4,
  the left one's -1.7. A person who looks at the phone 66 cm away squints by 5 degrees, so +y turns
  to the person's *left* if `rightEye` is the person's own, and the eyes' +x looks down while the
  chin is up. That is ARKit's frame, which is the model's.

Open questions: VRCFaceTracking's module finds left and right of the weights exchanged; the app can
mirror. It would mirror the angles with them: then the avatar is a mirror image of the person, not a
wrong face. `trackingStatus-0` is taken for "no face"; it is not documented.
"""

from __future__ import annotations

from math import radians

from imavatar_deploy.errors import InputError
from imavatar_deploy.retarget.arkit import ARKIT, ARKIT_NAMES

from .arkit import SHAPE_INDEX, Vector, arkit_observation, no_rotation, of_angles
from .observation import Observation
from .source import Parser, Protocol

HELLO = b"iFacialMocap_sahuasouryya9218sauhuiayeta91555dy3719"

TURNS = ("head", "leftEye", "rightEye")
TRACKING = "trackingStatus"


def _shape(name: str) -> str:
    for short, side in (("_L", "Left"), ("_R", "Right")):
        if name.endswith(short):
            return name.removesuffix(short) + side
    return name


def _numbers(text: str, least: int) -> list[float]:
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError as error:
        raise InputError(f"an iFacialMocap packet must hold numbers, got {text[:40]!r}") from error
    if len(numbers) < least:
        raise InputError(
            f"an iFacialMocap packet must hold {least} numbers here, got {text[:40]!r}"
        )
    return numbers


class _PhoneParser:
    """Parses the packets of one phone; keeps the last value of each shape and bone."""

    def __init__(self) -> None:
        self._weights = [0.0] * len(ARKIT_NAMES)
        self._turns: dict[str, Vector] = {name: no_rotation() for name in TURNS}

    def __call__(self, packet: bytes) -> list[Observation]:
        kinds = [self._block(block.strip()) for block in _text(packet).split("|")]
        if not any(kinds):
            raise InputError(
                f"an iFacialMocap packet must name ARKit's shapes, got {packet[:40]!r}"
            )
        if "no face" in kinds:
            return []
        head, left_eye, right_eye = (self._turns[name] for name in TURNS)
        return [arkit_observation(self._weights, head, left_eye, right_eye)]

    def _block(self, block: str) -> str:
        """Store one block; return its kind: `shape`, `bone`, `no face`, or "" if unknown."""
        name, hash_sign, values = block.partition("#")
        if hash_sign:
            return self._bone(name.lstrip("=").strip(), values)
        name, _, value = block.partition("&" if "&" in block else "-")
        name = _shape(name.strip())
        if name in SHAPE_INDEX:
            self._weights[SHAPE_INDEX[name]] = _numbers(value, 1)[0] / 100
            return "shape"
        return "no face" if name == TRACKING and value.strip() == "0" else ""

    def _bone(self, name: str, values: str) -> str:
        if name not in TURNS:
            return ""
        down, left, right_shoulder = (radians(angle) for angle in _numbers(values, 3)[:3])
        self._turns[name] = of_angles(left, down, right_shoulder)
        return "bone"


def _text(packet: bytes) -> str:
    try:
        return packet.decode()
    except UnicodeDecodeError as error:
        raise InputError(f"an iFacialMocap packet must be text, got {packet[:20]!r}") from error


def _parser() -> Parser:
    return _PhoneParser()


PROTOCOL = Protocol(
    scheme="ifacialmocap",
    description="iFacialMocap on an iPhone (ARKit)",
    port=49983,
    most_bytes=8192,
    fps=60.0,
    vocabulary=ARKIT,
    parser=_parser,
    hello=HELLO,
)
