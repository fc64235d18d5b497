"""The live motion over bad networks: error, steadiness and latency, as Markdown.

    python benchmarks/live_motion.py [--seconds 60] [--picture motion.png]

Two motions are sent over a simulated network with a tracker's noise (0.01 of an expression, 0.003
rad): the bundled `talk` at 25 frames a second, and fast head-shakes (0.4 rad at 2 Hz, two seconds
of three) at 30. They are shown at 60 frames a second. The simulation does not depend on the clock.
The setting "newest" shows the newest packet, without any filtering.

The latency is the shift at which the true and the shown motion agree best, without the time through
a quiet network. Errors are relative to the true motion at that shift. The acceleration is the
largest of the bone that moves most (talk: neck, shake: head) between frames of the display,
relative to that of the clean motion.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from time import process_time
from typing import NamedTuple

import click
import numpy as np

from imavatar_deploy.atomic import atomic_file
from imavatar_deploy.runtime.live.motion import MotionPipeline, MotionSettings
from imavatar_deploy.runtime.live.motion.face_state import Face, face_of
from imavatar_deploy.runtime.sources.observation import Arrival, Observation
from imavatar_deploy.runtime.timing import machine
from imavatar_deploy.tracks import read_track

DISPLAY = 60.0
"""Frames of the display a second."""

WAY = 0.02
"""Shortest time through the network, seconds."""

CLOCK = 1.7e9
"""Offset of the sender's clock, seconds."""

NOISE = np.repeat([0.01, 0.003], [50, 15])
"""Standard deviations of the tracker's noise: expression, then pose."""


class Truth(NamedTuple):
    """A motion as a function of time."""

    name: str
    fps: float
    at: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]  # [T] seconds -> [T, 50], [T, 15]
    moving: slice
    """The bone that moves most, inside a pose."""


class Shown(NamedTuple):
    """The motion that a run showed."""

    times: np.ndarray
    expression: np.ndarray
    pose: np.ndarray
    captured: np.ndarray
    states: list[str]
    cost: float
    """Processor seconds of a call of `push` and one of `at`."""


def talk() -> Truth:
    track = read_track("talk")
    faces = face_of(track.expression, track.pose)
    slopes = Face(faces.expression[1:], faces.turns[1:]).minus(
        Face(faces.expression[:-1], faces.turns[:-1])
    )

    def at(times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        place = np.abs((np.asarray(times) * track.fps) % (2 * len(slopes)))
        place = np.minimum(place, 2 * len(slopes) - place)  # forward, then backward
        before = np.minimum(place.astype(int), len(slopes) - 1)
        start = Face(faces.expression[before], faces.turns[before])
        face = start.plus(slopes[before] * (place - before)[:, None])
        return face.expression, face.pose()

    return Truth("talk", track.fps, at, slice(3, 6))


def shake() -> Truth:
    def at(times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        times = np.asarray(times)
        pose = np.zeros((len(times), 15))
        expression = np.zeros((len(times), 50))
        within = times % 3 / 2
        swell = np.where(within < 1, np.sin(np.pi * np.minimum(within, 1)) ** 0.5, 0)
        pose[:, 1] = 0.4 * swell * np.sin(2 * np.pi * 2 * (times % 3))
        expression[:, 3] = np.clip(0.5 + 0.5 * np.sin(2 * np.pi * 0.7 * times), 0, 1)
        return expression, pose

    return Truth("shake", 30.0, at, slice(0, 3))


def deliveries(
    times: np.ndarray,
    *,
    loss: float = 0.0,
    jitter: float = 0.0,
    duplicate: float = 0.0,
    burst: float = 0.0,
    seed: int = 0,
) -> list[tuple[float, int]]:
    """Time of arrival and index of each packet, by time.

    Args:
        loss: share of the packets that are lost.
        jitter: largest random delay, seconds.
        duplicate: share of the packets that arrive twice.
        burst: share of the packets that begin a burst, which delays five until its end.
    """
    rng = np.random.default_rng(seed)
    arrivals = times + WAY + jitter * rng.uniform(size=len(times))
    for first in np.flatnonzero(rng.uniform(size=len(times)) < burst):
        delayed = slice(first, first + 5)
        arrivals[delayed] = np.maximum(arrivals[delayed], arrivals[min(first + 5, len(times) - 1)])
    survivors = np.flatnonzero(rng.uniform(size=len(times)) >= loss)
    twice = survivors[rng.uniform(size=len(survivors)) < duplicate]
    packets = [(arrivals[index], index) for index in survivors]
    packets += [(arrivals[index] + 0.03 * rng.uniform(), index) for index in twice]
    return sorted((float(arrived), int(index)) for arrived, index in packets)


def observations(
    truth: Truth, times: np.ndarray, seed: int = 0, noise: float = 1.0
) -> list[Observation]:
    """Observations of a noisy tracker at some times."""
    expression, pose = truth.at(times)
    blur = noise * NOISE * np.random.default_rng(seed).normal(size=(len(times), 65))
    faces = zip(expression + blur[:, :50], pose + blur[:, 50:], times, strict=True)
    return [Observation("openhead", *face, time=CLOCK + time) for *face, time in faces]


def unchanged(weights: np.ndarray, pose: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return weights, pose


def show(motion: MotionPipeline, arrivals: Iterable[Arrival], moments: np.ndarray) -> Shown:
    """Push the arrivals into a pipeline, and sample it at some times."""
    waiting = list(arrivals)[::-1]
    rows = []
    began = process_time()
    for now in moments.tolist():
        while waiting and waiting[-1].arrived <= now:
            motion.push(waiting.pop())
        if moment := motion.at(now):
            rows.append((now, moment))
    cost = (process_time() - began) / max(len(rows), 1)
    faces = [moment for _, moment in rows]
    return Shown(
        np.array([now for now, _ in rows]),
        np.array([face.expression for face in faces]),
        np.array([face.pose for face in faces]),
        np.array([face.captured for face in faces]),
        [face.state for face in faces],
        cost,
    )


def newest(arrivals: Iterable[Arrival], moments: np.ndarray) -> Shown:
    """Show the newest arrival at every time, without filtering."""
    arrivals = list(arrivals)
    last = np.searchsorted([arrival.arrived for arrival in arrivals], moments, side="right") - 1
    moments = moments[last >= 0]
    faces = [arrivals[index].observation for index in last[last >= 0]]
    return Shown(
        moments,
        np.array([face.weights for face in faces]),
        np.array([face.pose for face in faces]),
        np.array([face.time for face in faces]) - CLOCK + WAY,
        ["live"] * len(faces),
        0.0,
    )


def apart(pose: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Angle `[T, 5]` between the rotations of each bone, radians."""
    none = np.zeros((len(pose), 50))
    difference = face_of(none, pose).minus(face_of(none, other))[:, 50:]
    return np.linalg.norm(difference.reshape(len(pose), 5, 3), axis=-1)


def turning(pose: np.ndarray, bone: slice) -> float:
    """Largest angular acceleration of a bone between frames of the display, rad/s^2."""
    none = np.zeros((len(pose), 50))
    faces = face_of(none, pose)
    steps = Face(none[1:], faces.turns[1:]).minus(Face(none[1:], faces.turns[:-1]))[:, 50:][:, bone]
    return float(np.linalg.norm(np.diff(steps, axis=0), axis=1).max() * DISPLAY**2)


def latency_of(truth: Truth, shown: Shown) -> float:
    """Latency of the shown motion, seconds, without the shortest time through the network."""
    shifts = np.arange(-0.05, 0.2, 0.001)
    errors = [
        np.square(apart(shown.pose, truth.at(shown.times - WAY - shift)[1])).mean()
        for shift in shifts[::8]
    ]
    rough = shifts[::8][int(np.argmin(errors))]
    near = rough + np.arange(-0.008, 0.009, 0.001)
    errors = [
        np.square(apart(shown.pose, truth.at(shown.times - WAY - shift)[1])).mean()
        for shift in near
    ]
    return float(near[int(np.argmin(errors))])


def figures(truth: Truth, shown: Shown) -> str:
    """The figures of a table's row."""
    latency = latency_of(truth, shown)
    expression, pose = truth.at(shown.times - WAY - latency)
    blends = np.abs(shown.expression - expression)
    turns = np.degrees(apart(shown.pose, pose).max(axis=1))
    ratio = turning(shown.pose, truth.moving) / turning(pose, truth.moving)
    return (
        f"{np.sqrt(np.square(blends).mean()):.3f} | {np.quantile(blends.max(axis=1), 0.95):.2f} | "
        f"{np.sqrt(np.square(turns).mean()):.2f} | {np.quantile(turns, 0.95):.2f} | {ratio:.1f} | "
        f"{1e3 * latency:.0f} | {1e3 * shown.cost:.3f}"
    )


BAD = "loss 20 %, jitter 40 ms, doubles 10 %, bursts 2 %"

NETWORKS = {
    "perfect": {},
    "jitter 20 ms": {"jitter": 0.02},
    "loss 10 %, jitter 20 ms": {"loss": 0.1, "jitter": 0.02},
    "loss 20 %, jitter 40 ms, doubles 10 %": {"loss": 0.2, "jitter": 0.04, "duplicate": 0.1},
    BAD: {"loss": 0.2, "jitter": 0.04, "duplicate": 0.1, "burst": 0.02},
}

CHOICES = {
    "newest": None,
    "default": MotionSettings(),
    "hold": MotionSettings(dropout="hold"),
    "no smoothing": MotionSettings(smoothing=None),
    "latency 0": MotionSettings(latency=0.0),
    "latency 0.1": MotionSettings(latency=0.1),
}


def run(
    truth: Truth,
    network: dict[str, float],
    settings: MotionSettings | None,
    seconds: float,
    seed: int = 0,
) -> str:
    times = np.arange(int(seconds * truth.fps)) / truth.fps
    faces = observations(truth, times, seed)
    arrivals = [
        Arrival(faces[index], arrived) for arrived, index in deliveries(times, **network, seed=seed)
    ]
    moments = np.arange(0.0, seconds, 1 / DISPLAY)
    if settings is None:
        shown = newest(arrivals, moments)
    else:
        shown = show(MotionPipeline({"openhead": unchanged}, settings), arrivals, moments)
    settled = np.flatnonzero(shown.times > 2)
    shown = shown._replace(
        **{
            name: getattr(shown, name)[settled]
            for name in ("times", "expression", "pose", "captured")
        }
    )
    return figures(truth, shown)


def picture(path: Path) -> None:
    """Plot one channel of each motion over the worst network: true, received, shown."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(3, 1, figsize=(16, 15))
    rows = (
        (shake(), "head's yaw", 1, None),
        (talk(), "jaw", 6, None),
        (shake(), "head's yaw", 1, (4.55, 9.15)),
    )
    for axis, (truth, what, entry, gap) in zip(axes, rows, strict=True):
        times = np.arange(int(14 * truth.fps)) / truth.fps
        faces = observations(truth, times)
        packets = [
            (arrived, index)
            for arrived, index in deliveries(times, **NETWORKS["jitter 20 ms" if gap else BAD])
            if not gap or not gap[0] < times[index] < gap[1]
        ]
        motion = MotionPipeline({"openhead": unchanged}, MotionSettings())
        shown = show(
            motion,
            [Arrival(faces[index], arrived) for arrived, index in packets],
            np.arange(0, 14, 1 / DISPLAY),
        )
        fine = np.arange(0, 14, 1 / 240)
        late = WAY + motion.added_latency
        axis.plot(
            fine + late,
            np.degrees(truth.at(fine)[1][:, entry]),
            color="0.7",
            lw=3,
            label=f"true, {1e3 * late:.0f} ms later",
        )
        axis.plot(
            [arrived for arrived, _ in packets],
            np.degrees([faces[index].pose[entry] for _, index in packets]),
            "x",
            color="tab:red",
            ms=4,
            label="received",
        )
        axis.plot(
            shown.times,
            np.degrees(shown.pose[:, entry]),
            ".-",
            color="tab:blue",
            lw=1,
            ms=3,
            label="shown",
        )
        network = "no packets for 4.6 s" if gap else BAD
        axis.set(
            title=f"{truth.name}, {what}, degrees; {network}",
            xlim=(3, 12) if gap else (3, 7.5),
            xlabel="seconds",
        )
        axis.legend(loc="upper right")
    figure.tight_layout()
    with atomic_file(path) as partial:
        figure.savefig(partial, dpi=90)


@click.command(help=__doc__)
@click.option("--seconds", default=60.0, show_default=True)
@click.option(
    "--picture",
    "picture_file",
    type=click.Path(path_type=Path),
    help="Draw one channel of each motion.",
)
def main(seconds: float, picture_file: Path | None) -> None:
    click.echo(f"{machine()}; {seconds:.0f} s of each, shown {DISPLAY:.0f} times a second\n")
    click.echo(
        "| motion | network | settings | expression RMS | worst channel p95 | "
        "worst bone RMS, degrees | p95 | acceleration | latency, ms | CPU, ms |\n"
        "|---|---|---|---|---|---|---|---|---|---|"
    )
    for truth in (talk(), shake()):
        for network, disturbance in NETWORKS.items():
            for choice, settings in CHOICES.items():
                row = run(truth, disturbance, settings, seconds)
                click.echo(f"| {truth.name} | {network} | {choice} | {row} |")
    if picture_file:
        picture(picture_file)


if __name__ == "__main__":
    main()
