"""VMC protocol (VSeeFace, Virtual Motion Capture, Warudo ...), `osc://:39539`: OSC over UDP.

    /VMC/Ext/Blend/Val name value      one shape; /VMC/Ext/Blend/Apply completes the face
    /VMC/Ext/Bone/Pos name px py pz qx qy qz qw     a bone's local rotation, Unity's names and axes
    /VMC/Ext/T seconds                 the sender's clock

Specification: https://protocol.vmc.info/marionette-spec. Names are case-sensitive. Tools send
ARKit's shapes, "Perfect Sync", as `BrowInnerUp` or `browInnerUp`; where a tool sends none, VRM's
presets are converted to ARKit's shapes. Unknown addresses, names and further arguments are ignored,
as the specification demands. A value that is not sent again stays.

Some senders never send Apply. Of those, a face ends where a name comes again: the next face has
begun. Once that is known, it ends with its bundle.

Unity is left-handed, +x to an avatar's right when it faces +z: mirroring x gives the model's axes,
and a quaternion (x, y, z, w) becomes (x, -y, -z, w). The head's rotation is that of Neck and Head
together, relative to the trunk.

Open question: a VRM 1 sender may send bones that are rotated at rest; a calibration of the neutral
face removes that.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Container, Iterator, Mapping
from typing import Any

from imavatar_deploy import optional
from imavatar_deploy.errors import InputError
from imavatar_deploy.retarget.arkit import ARKIT, ARKIT_NAMES

from .arkit import SHAPE_INDEX, Vector, arkit_observation, chain, no_rotation, of_quaternion
from .observation import Observation
from .source import Parser, Protocol

# OSC datagrams: bundles are opened here, messages are read by python-osc
#
# python-osc's own reader of bundles does not end on an element of -4 bytes, and a datagram may come
# from any host.

BUNDLE = b"#bundle\0"

TIME_TAG = 8
"""Bytes."""

SIZE = struct.Struct(">i")

TYPE_TAGS = frozenset(b"ifhdsbrmtTFN[]")
"""Type tags that python-osc reads; of each other one it writes a line to the program's log."""

TAG_LIMIT = 64
"""Largest number of arguments of a message; those of VMC have 8 and possibly some more."""

NESTING_LIMIT = 8
"""Deepest nesting of bundles; senders use two at most."""


def osc_messages(
    packet: bytes, addresses: Container[str], depth: int = 0
) -> Iterator[tuple[str, list[Any]]]:
    """Addresses and arguments, in order, of the messages whose address is in `addresses`.

    Raises:
        InputError: the bytes are not an OSC packet, or such a message is broken.
        MissingDependencyError: python-osc is not installed.
    """
    if packet.startswith(BUNDLE) and depth < NESTING_LIMIT:
        for element in _elements(packet):
            yield from osc_messages(element, addresses, depth + 1)
    elif packet.startswith(b"/"):
        if packet.split(b"\0", 1)[0].decode("ascii", "replace") in addresses:
            yield _read(packet)
    else:
        raise InputError(f"an OSC packet must begin with / or #bundle, got {packet[:12]!r}")


def _elements(bundle: bytes) -> Iterator[bytes]:
    start = len(BUNDLE) + TIME_TAG
    while start < len(bundle):
        size = SIZE.unpack_from(bundle, start)[0] if start + SIZE.size <= len(bundle) else -1
        start += SIZE.size
        if not 0 < size <= len(bundle) - start:
            raise InputError(f"an OSC bundle of {len(bundle)} bytes holds an element of {size}")
        yield bundle[start : start + size]
        start += size


def _read(packet: bytes) -> tuple[str, list[Any]]:
    osc_message = optional.require("pythonosc.osc_message", extra="trackers")
    _check_tags(packet)
    try:
        message = osc_message.OscMessage(packet)
    except (osc_message.ParseError, ValueError, OverflowError, struct.error) as error:
        raise InputError(f"a broken OSC message: {error}") from error
    return str(message.address), list(message.params)


def _check_tags(packet: bytes) -> None:
    """Check the types of a message's arguments.

    Raises:
        InputError: there are too many, or of a type that python-osc does not read.
    """
    start = (packet.index(b"\0") // 4 + 1) * 4 if b"\0" in packet else len(packet)
    tags = packet[start : start + TAG_LIMIT + 2].split(b"\0", 1)[0].removeprefix(b",")
    if len(tags) > TAG_LIMIT or not TYPE_TAGS.issuperset(tags):
        raise InputError(
            f"an OSC message must have at most {TAG_LIMIT} arguments of known types, "
            f"got the type tags {tags[:20]!r}"
        )


# VRM's expression presets as ARKit's shapes, for senders without "Perfect Sync"

Shares = Mapping[str, float]
"""Weight of each ARKit shape."""


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
    (
        ("Joy", "happy"),
        _both("mouthSmile", 0.8) | _both("cheekSquint", 0.4) | _both("eyeSquint", 0.3),
    ),
    (
        ("Angry", "angry"),
        _both("browDown", 0.8) | _both("noseSneer", 0.3) | _both("mouthPress", 0.3),
    ),
    (("Sorrow", "sad"), {"browInnerUp": 0.8} | _both("mouthFrown", 0.6)),
    (("Fun", "relaxed"), _both("mouthSmile", 0.4) | _both("eyeSquint", 0.2)),
    (
        ("Surprised", "surprised"),
        {"browInnerUp": 0.7, "jawOpen": 0.25} | _both("browOuterUp", 0.7) | _both("eyeWide", 0.6),
    ),
)
"""The names of VRM 0 and VRM 1 (https://vrm.dev), and the shapes of such a face, estimated by
eye."""

PRESETS: Mapping[str, Shares] = {
    spelling: shares for (old, new), shares in MEANINGS for spelling in (old, old.upper(), new)
}
"""Shares by name; older versions of UniVRM send the names of VRM 0 in capitals."""

PERFECT_SYNC: Mapping[str, str] = {
    spelling: name for name in ARKIT_NAMES for spelling in (name, name[0].upper() + name[1:])
}

NECK, HEAD, LEFT_EYE, RIGHT_EYE = BONES = ("Neck", "Head", "LeftEye", "RightEye")


NAMED = ("/VMC/Ext/Blend/Val", "/VMC/Ext/Bone/Pos")
"""Addresses of messages that begin with the name of a shape or bone."""

NAMES_LIMIT = 512
"""Largest number of names in a face; a sender has some two hundred."""


class _SenderParser:
    """Parses the packets of one sender; keeps the last value of each shape and bone.

    States, by the way in which the sender ends a face:

        unknown       no Apply yet; when a name comes again, the state becomes unapplied
        unapplied     a name that comes again ends the face, and so does the end of a bundle
        applied       an Apply has come; nothing else ends a face
    """

    def __init__(self) -> None:
        optional.require("pythonosc.osc_message", extra="trackers")
        self._shapes: dict[str, float] = {}
        self._presets: dict[str, float] = {}
        self._bones: dict[str, Vector] = {name: no_rotation() for name in BONES}
        self._time: float | None = None
        self._state = "unknown"
        self._names: set[str] = set()
        """Names of shapes and bones since the last face; at most `NAMES_LIMIT`."""
        self._actions = {
            "/VMC/Ext/Blend/Val": self._shape,
            "/VMC/Ext/Bone/Pos": self._bone,
            "/VMC/Ext/T": self._clock,
            "/VMC/Ext/Blend/Apply": self._apply,
        }

    def __call__(self, packet: bytes) -> list[Observation]:
        observations = []
        for address, arguments in osc_messages(packet, self._actions):
            if self._begins_again(address, arguments):
                if self._state == "unapplied":
                    observations.append(self._face())
                self._state = "unapplied"
                self._names = {_key(address, arguments)}
            observation = self._actions[address](arguments)
            observations += [observation] if observation else []
        if self._state == "unapplied" and packet.startswith(BUNDLE) and self._names:
            observations.append(self._face())
        return observations

    def _begins_again(self, address: str, arguments: list[Any]) -> bool:
        """Record the name in a message; return whether it ends a face without Apply."""
        if self._state == "applied" or address not in NAMED or not arguments:
            return False
        name = _key(address, arguments)
        if name in self._names:
            return True
        if len(self._names) < NAMES_LIMIT:
            self._names.add(name)
        return False

    def _shape(self, arguments: list[Any]) -> None:
        name, value = _name_and_numbers(arguments, 1)
        if name in PERFECT_SYNC:
            self._shapes[PERFECT_SYNC[name]] = value
        elif name in PRESETS:
            self._presets[name] = value

    def _bone(self, arguments: list[Any]) -> None:
        name, *numbers = _name_and_numbers(arguments, 7)
        if name in BONES:
            x, y, z, w = numbers[3:]
            self._bones[name] = of_quaternion(x, -y, -z, w)

    def _clock(self, arguments: list[Any]) -> None:
        (self._time,) = _numbers(arguments[:1], 1)

    def _apply(self, arguments: list[Any]) -> Observation:
        self._state = "applied"
        return self._face()

    def _face(self) -> Observation:
        self._names.clear()
        weights = [0.0] * len(ARKIT_NAMES)
        for name, value in (self._shapes or self._preset_shapes()).items():
            weights[SHAPE_INDEX[name]] = value
        time = self._time
        self._time = None  # used again, it would state that time stands still
        head = chain(self._bones[NECK], self._bones[HEAD])
        return arkit_observation(weights, head, self._bones[LEFT_EYE], self._bones[RIGHT_EYE], time)

    def _preset_shapes(self) -> dict[str, float]:
        shapes: dict[str, float] = {}
        for preset, value in self._presets.items():
            for name, share in PRESETS[preset].items():
                shapes[name] = shapes.get(name, 0.0) + share * value
        return shapes


def _key(address: str, arguments: list[Any]) -> str:
    """The name of a shape or bone, with its kind."""
    return f"{address} {arguments[0]!s:.60}"


def _name_and_numbers(arguments: list[Any], count: int) -> tuple[Any, ...]:
    """A name and `count` numbers; further arguments are ignored."""
    if not arguments or not isinstance(arguments[0], str):
        raise InputError("a VMC message must begin with the name of a shape or bone")
    return arguments[0], *_numbers(arguments[1 : 1 + count], count)


def _numbers(arguments: list[Any], count: int) -> list[float]:
    numbers = [float(value) for value in arguments if isinstance(value, int | float)]
    if len(numbers) != count or not all(map(math.isfinite, numbers)):
        raise InputError(
            f"a VMC message must hold {count} finite numbers, got {str(arguments)[:60]}"
        )
    return numbers


def _parser() -> Parser:
    return _SenderParser()


PROTOCOL = Protocol(
    scheme="osc",
    description="VMC protocol: VSeeFace, Virtual Motion Capture, Warudo and others",
    port=39539,
    most_bytes=65507,
    fps=60.0,
    vocabulary=ARKIT,
    parser=_parser,
    partial=True,
)
