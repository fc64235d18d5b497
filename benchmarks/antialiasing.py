"""Cost and quality of anti-aliasing: none, edges and 4x, a frame of each in turn.

    python benchmarks/antialiasing.py sample my_avatar [--size 512] [--threads 2] [--frames 200]

Time: every frame is drawn by all three, in an order that rotates, so that other load affects them
alike; ratios are medians over frames of the ratio to the frame without anti-aliasing, of the time
and of the processor time of all threads, which other load changes less. Quality:
frames against 64 samples a pixel, over white, at the pixels where these differ from the centre's
sample.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from contextlib import ExitStack

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.avatar_io import open_avatar
from imavatar_deploy.fidelity.image_metrics import psnr_of
from imavatar_deploy.rendering.cpu_renderer import open_cpu_renderer
from imavatar_deploy.rendering.renderer import ANTIALIASING, NO_ANTIALIASING, RenderConfig
from imavatar_deploy.runtime import Player
from imavatar_deploy.runtime.timing import load_average
from imavatar_deploy.tracks import FlameFrame, read_track

WARM_UP_FRAMES = 10
SAMPLES = 8
"""Samples along each side of a pixel of the reference."""

QUALITY_FRAMES = 5
STEP = 4 / 255
"""Smallest difference of a pixel from its centre's sample that counts as an outline."""


def time_all(
    players: dict[str, Player], frames: Sequence[FlameFrame], count: int
) -> tuple[NDArray[np.float64], dict[str, NDArray[np.float64]]]:
    """Seconds and processor seconds of frames [count, players, 2]; seconds of some composites."""
    names = list(players)
    totals = np.zeros((count, len(names), 2))
    stages: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(-WARM_UP_FRAMES, count):
        frame = frames[turn % len(frames)]
        for place in range(len(names)):
            index = (turn + place) % len(names)
            player = players[names[index]]
            started = np.array([time.perf_counter(), time.process_time()])
            player.render(frame.expression, frame.pose)
            if turn >= 0:
                totals[turn, index] = [time.perf_counter(), time.process_time()] - started
            if turn >= 0 and turn % 3 == 0:
                timed = player.render_timed(frame.expression, frame.pose)[1]
                stages[names[index]].append(timed["composite"])
    return totals, {name: np.array(values) for name, values in stages.items()}


def reference(
    avatar: str, shading: str, size: int, frames: Sequence[FlameFrame], matrix: NDArray[np.float32]
) -> list[NDArray[np.float64]]:
    """Frames over white as the mean of `SAMPLES`² samples a pixel."""
    large = matrix.copy()
    large[:2] = SAMPLES * matrix[:2] + (SAMPLES - 1) / 2 * matrix[2]
    side = SAMPLES * size
    renderer = open_cpu_renderer(
        RenderConfig(open_avatar(avatar), side, side, shading, (255, 255, 255, 255))
    )
    try:
        return [
            renderer.render(frame.expression, frame.pose, large)[..., :3]
            .reshape(size, SAMPLES, size, SAMPLES, 3)
            .mean(axis=(1, 3))
            / 255
            for frame in frames
        ]
    finally:
        renderer.close()


def psnr_at(
    images: NDArray[np.float64], truth: NDArray[np.float64], where: NDArray[np.bool_]
) -> float:
    return psnr_of(float(np.mean((images - truth)[where] ** 2)))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("avatars", nargs="+")
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--frames", type=int, default=200)
    parser.add_argument("--no-quality", action="store_true")
    arguments = parser.parse_args()
    motion = list(read_track("talk").frames())
    print(f"load {load_average()}")
    print(
        "| avatar | faces | antialias | p50 ms | ratio | processor ms | ratio | composite ms "
        "| PSNR at outlines | elsewhere |"
    )
    print("|---" * 10 + "|")
    for avatar in arguments.avatars:
        with ExitStack() as stack:
            players = {
                name: stack.enter_context(
                    Player(
                        avatar,
                        size=arguments.size,
                        threads=arguments.threads,
                        background="white",
                        antialias=name,
                    )
                )
                for name in ANTIALIASING
            }
            totals, stages = time_all(players, motion, arguments.frames)
            ratios = totals / totals[:, [list(players).index(NO_ANTIALIASING)]]
            first = next(iter(players.values()))
            quality = {name: ("", "") for name in players}
            if not arguments.no_quality:
                some = motion[:: len(motion) // QUALITY_FRAMES][:QUALITY_FRAMES]
                matrix = first.camera.image_matrix(arguments.size, arguments.size)
                truth = np.array(reference(avatar, first.shading, arguments.size, some, matrix))
                drawn = {
                    name: np.array([p.render(f.expression, f.pose)[..., :3] / 255 for f in some])
                    for name, p in players.items()
                }
                edge = np.abs(truth - drawn[NO_ANTIALIASING]).max(axis=-1) > STEP
                changed = (drawn["edges"] != drawn[NO_ANTIALIASING]).any(axis=-1)
                for name, images in drawn.items():
                    quality[name] = (
                        f"{psnr_at(images, truth, edge | changed):.2f}",
                        f"{psnr_at(images, truth, ~(edge | changed)):.2f}",
                    )
            for index, name in enumerate(players):
                print(
                    f"| {avatar} | {len(first.avatar.faces):,} | {name} "
                    f"| {1e3 * np.median(totals[:, index, 0]):.2f} "
                    f"| {np.median(ratios[:, index, 0]):.3f} "
                    f"| {1e3 * np.median(totals[:, index, 1]):.2f} "
                    f"| {np.median(ratios[:, index, 1]):.3f} "
                    f"| {1e3 * np.median(stages[name]):.2f} | {' | '.join(quality[name])} |"
                )
    print(f"load {load_average()}")


if __name__ == "__main__":
    main()
