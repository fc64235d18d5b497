"""VMC protocol (VTuber tools: VSeeFace, Virtual Motion Capture, Warudo ...): OSC datagrams, `osc://:39539`.

    /VMC/Ext/Blend/Val name value      one shape; they count when /VMC/Ext/Blend/Apply comes
    /VMC/Ext/Bone/Pos name px py pz qx qy qz qw     a bone's local rotation, Unity's names and axes
    /VMC/Ext/T seconds                 the sender's clock

(https://protocol.vmc.info/marionette-spec.) Names are case-sensitive. Tools send ARKit's shapes, "Perfect Sync", as
`BrowInnerUp` or `browInnerUp`; from one that sends none, VRM's presets are put into ARKit's words. Unknown addresses,
names and further arguments are ignored, as the specification asks. What is not sent again stays as it was.

Unity is left-handed, +x to an avatar's right when it faces +z: mirroring x gives the model's axes, and a quaternion
(x, y, z, w) becomes (x, -y, -z, w). The head is Neck and Head together: how the head stands on the trunk.
(Unsure: a VRM 1 sender may send bones that are turned at rest; a calibration of the neutral face takes that away.)
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from imavatar_deploy import optional
from imavatar_deploy.errors import InputError
from imavatar_deploy.retarget.arkit import ARKIT, ARKIT_NAMES

from .arkit_face import PLACE, arkit_observation
from .observation import Observation
from .osc import osc_messages
from .protocol import Parser, Protocol
from .turns import Vector, in_turn, of_quaternion, still
from .vrm_presets import PRESETS

PERFECT_SYNC: Mapping[str, str] = {
    spelling: name for name in ARKIT_NAMES for spelling in (name, name[0].upper() + name[1:])
}

NECK, HEAD, LEFT_EYE, RIGHT_EYE = BONES = ("Neck", "Head", "LeftEye", "RightEye")


class _Performer:
    """What one sender last said of each shape and bone."""

    def __init__(self) -> None:
        optional.require("pythonosc.osc_message", extra="trackers")
        self._shapes: dict[str, float] = {}
        self._presets: dict[str, float] = {}
        self._bones: dict[str, Vector] = {name: still() for name in BONES}
        self._time: float | None = None
        self._actions = {
            "/VMC/Ext/Blend/Val": self._shape,
            "/VMC/Ext/Bone/Pos": self._bone,
            "/VMC/Ext/T": self._clock,
            "/VMC/Ext/Blend/Apply": self._apply,
        }

    def __call__(self, packet: bytes) -> list[Observation]:
        observations = []
        for address, arguments in osc_messages(packet, self._actions):
            observation = self._actions[address](arguments)
            observations += [observation] if observation else []
        return observations

    def _shape(self, arguments: list[Any]) -> None:
        name, value = _named(arguments, 1)
        if name in PERFECT_SYNC:
            self._shapes[PERFECT_SYNC[name]] = value
        elif name in PRESETS:
            self._presets[name] = value

    def _bone(self, arguments: list[Any]) -> None:
        name, *numbers = _named(arguments, 7)
        if name in BONES:
            x, y, z, w = numbers[3:]
            self._bones[name] = of_quaternion(x, -y, -z, w)

    def _clock(self, arguments: list[Any]) -> None:
        (self._time,) = _numbers(arguments[:1], 1)

    def _apply(self, arguments: list[Any]) -> Observation:
        weights = [0.0] * len(ARKIT_NAMES)
        for name, value in (self._shapes or self._translated()).items():
            weights[PLACE[name]] = value
        time, self._time = self._time, None  # one that is not renewed would say that time stands still
        head = in_turn(self._bones[NECK], self._bones[HEAD])
        return arkit_observation(weights, head, self._bones[LEFT_EYE], self._bones[RIGHT_EYE], time)

    def _translated(self) -> dict[str, float]:
        translated: dict[str, float] = {}
        for preset, value in self._presets.items():
            for name, share in PRESETS[preset].items():
                translated[name] = translated.get(name, 0.0) + share * value
        return translated


def _named(arguments: list[Any], count: int) -> tuple[Any, ...]:
    """A name and `count` numbers; more is ignored."""
    if not arguments or not isinstance(arguments[0], str):
        raise InputError("a VMC message must begin with the name of a shape or bone")
    return arguments[0], *_numbers(arguments[1 : 1 + count], count)


def _numbers(arguments: list[Any], count: int) -> list[float]:
    numbers = [float(value) for value in arguments if isinstance(value, int | float)]
    if len(numbers) != count or not all(map(math.isfinite, numbers)):
        raise InputError(f"a VMC message must hold {count} finite numbers, got {str(arguments)[:60]}")
    return numbers


def _parser() -> Parser:
    return _Performer()


PROTOCOL = Protocol(
    scheme="osc",
    description="VMC protocol: VSeeFace, Virtual Motion Capture, Warudo and others",
    port=39539,
    most_bytes=65507,
    fps=60.0,
    vocabulary=ARKIT,
    parser=_parser,
)
