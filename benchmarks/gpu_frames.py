"""Frames on a device: latency, throughput, memory over many frames, and ratio to the lower bound.

    python benchmarks/gpu_frames.py AVATAR --backend cuda --size 512 --shading pixel --frames 100000

The lower bound of a frame is the larger of two times. Arithmetic: the operations of the texture
network for one point, times the points of the frame, over the device's peak in half precision with
float32 sums. Bytes: every array that a stage reads or writes, once (`Load.bytes`), over the
device's bandwidth. Peaks are the vendor's (`PEAKS`), or `--tflops` and `--gbps`.

For the sample at 512², from the front: 2 (70 x 512 + 3 x 512 x 512 + 512 x 3) = 1.648 MFLOP a
point. Its 106,000 covered pixels make 175 GFLOP (`pixel`), its 2,200 visible vertices 3.6 GFLOP
(`vertex`); an H100 (989 TFLOP/s) needs at least 0.18 ms and 0.004 ms. 37 MB are read and written,
0.011 ms at 3.35 TB/s.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.avatar_io import AvatarFolder, open_avatar
from imavatar_deploy.conventions import POSE_FEATURE_SIZE
from imavatar_deploy.rendering.posing import pose_plainly
from imavatar_deploy.rendering.rasteriser import Rasteriser
from imavatar_deploy.rendering.workers import Workers
from imavatar_deploy.runtime import Player
from imavatar_deploy.runtime.warp_backend.texture_weights import read_texture
from imavatar_deploy.student import read_student
from imavatar_deploy.tracks import read_track

PEAKS = {
    "H200": (989, 4800),
    "H100 PCIe": (756, 2000),
    "H100": (989, 3350),
    "A100": (312, 2039),
    "L40S": (362, 864),
    "L4": (121, 300),
    "RTX 4090": (165, 1008),
    "RTX 3090": (71, 936),
}
"""TFLOP/s of dense half-precision products with float32 sums, and GB/s, by part of the name.

The first name that is part of the device's counts.
"""

BATCH = 32
"""Frames per call of `render_batch`."""

WARM_UP = 20
"""Frames before the measured ones."""

Motion = tuple[NDArray[np.float32], NDArray[np.float32]]
"""Expressions `[N, E]` and poses `[N, 15]`."""


@dataclass(frozen=True)
class Load:
    """Sizes that determine the work of a frame."""

    vertices: int
    faces: int
    pixels: int
    points: int  # at which colours are computed
    flops_per_point: int
    code: int  # numbers of a vertex that the shading reads
    bones: int
    coefficients: int

    @property
    def flops(self) -> int:
        """Operations of the shading; those of all other stages are a thousandth of it."""
        return self.points * self.flops_per_point

    @property
    def bytes(self) -> dict[str, int]:
        """Bytes by stage: each array once for each stage that reads or writes it."""
        vertex = self.vertices
        face = self.faces
        pixel = self.pixels
        return {
            "animate": vertex * (4 * 3 * (self.coefficients + 1) + 4 * self.bones + 12 + 24),
            "normals": vertex * (12 + 12 + 4 * self.bones + 12) + face * (12 + 12 + 12 + 12),
            "raster": vertex * 24 + face * (12 + 80 + 16) + pixel * (8 + 8 + 16),
            "shade": vertex * 4 * (self.code + 3) + pixel * (16 + 12),
            # Outlines: 1.5 edges a face and their faces' flags, and two keys a pixel.
            "composite": pixel * (4 + 12 + 4 + 16 + 16) + face * (24 + 3),
        }


def load_of(player: Player, folder: AvatarFolder, expression: Any, pose: Any) -> Load:
    """Sizes of one frame, counted by the CPU's rasteriser."""
    avatar = player.avatar
    posed = pose_plainly(avatar, np.asarray(expression, np.float32), np.asarray(pose, np.float32))
    with Workers(1) as workers:
        rasteriser = Rasteriser(avatar.faces, player.width, player.height, workers)
        triangle = rasteriser.draw(
            posed.vertices, player.camera.image_matrix(player.width, player.height)
        ).triangle
    covered = triangle[triangle >= 0]
    points = len(np.unique(avatar.faces[covered])) if player.shading == "vertex" else len(covered)
    flops, code = network_of(player.shading, folder)
    sizes = (avatar.vertex_count, len(avatar.faces), player.width * player.height)
    return Load(
        *sizes, points, flops, code, avatar.bone_count, avatar.expression_size + POSE_FEATURE_SIZE
    )


def network_of(shading: str, folder: AvatarFolder) -> tuple[int, int]:
    """FLOP per point and numbers per vertex of a shading."""
    if shading == "student":
        width = read_student(folder).width
        return 2 * width * (3 + width + 3), width
    code = folder.avatar.texture_code.shape[1]
    return read_texture(folder.file("texture.onnx"), code).flops, code


def device_memory(backend: str) -> int:
    """Bytes in use: of the GPU by all processes, or of this process on a CPU; 0 if unknown."""
    if backend == "cuda":
        from imavatar_deploy.runtime.warp_backend.library import wp

        device = wp.get_device("cuda:0")
        return int(device.total_memory - device.free_memory)
    status = Path("/proc/self/statm")
    return int(status.read_text(encoding="utf-8").split()[1]) * 4096 if status.is_file() else 0


def latencies(player: Player, motion: Motion, count: int) -> NDArray[np.float64]:
    """Seconds `[count]` from parameters to image, one frame at a time."""
    seconds = np.zeros(count)
    for frame in range(-WARM_UP, count):
        expression, pose = (values[frame % len(values)] for values in motion)
        started = time.perf_counter()
        player.render(expression, pose)
        if frame >= 0:
            seconds[frame] = time.perf_counter() - started
    return seconds


def stages(player: Player, motion: Motion, count: int) -> str:
    """Median milliseconds of each stage over `count` frames, with a synchronisation after each."""
    times = [
        player.render_timed(motion[0][frame], motion[1][frame])[1]
        for frame in range(min(count, len(motion[0])))
    ]
    medians = {name: 1e3 * float(np.median([row[name] for row in times])) for name in times[0]}
    return "stages, waiting after each, ms: " + ", ".join(
        f"{name} {value:.3f}" for name, value in medians.items()
    )


def long_run(player: Player, motion: Motion, count: int, backend: str) -> tuple[float, list[int]]:
    """Frames a second over `count` frames in batches, and the memory in use after each tenth."""
    starts = range(0, count, BATCH)
    tenth = max(len(starts) // 10, 1)
    memory = []
    started = time.perf_counter()
    for index, start in enumerate(starts):
        rows = np.arange(start, min(start + BATCH, count)) % len(motion[0])
        player.render_batch(motion[0][rows], motion[1][rows])
        if index % tenth == tenth - 1:
            memory.append(device_memory(backend))
    return count / (time.perf_counter() - started), memory


def report(
    load: Load, seconds: NDArray[np.float64], peak: tuple[float, float] | None
) -> Iterator[str]:
    """Lines about one measurement."""
    p50, p99 = (1e3 * float(np.percentile(seconds, q)) for q in (50, 99))
    yield f"one at a time: p50 {p50:.3f} ms, p99 {p99:.3f} ms, {1e3 / p50:.0f} frames/s"
    yield (
        f"colours of {load.points:,} points at {load.flops_per_point / 1e6:.3f} MFLOP: "
        f"{load.flops / 1e9:.2f} GFLOP"
    )
    moved = ", ".join(f"{stage} {size / 1e6:.1f}" for stage, size in load.bytes.items())
    total = sum(load.bytes.values())
    yield f"bytes: {total / 1e6:.1f} MB ({moved})"
    if peak is None:
        yield "floors: unknown device; give --tflops and --gbps"
        return
    arithmetic = load.flops / peak[0] / 1e9
    transfer = total / peak[1] / 1e6
    floor = max(arithmetic, transfer)
    yield (
        f"floors at {peak[0]:g} TFLOP/s and {peak[1]:g} GB/s: arithmetic {arithmetic:.4f} ms, "
        f"bytes {transfer:.4f} ms"
    )
    yield f"p50 is {p50 / floor:.1f} times the floor"


def peak_of(note: str, tflops: float | None, gbps: float | None) -> tuple[float, float] | None:
    """TFLOP/s and GB/s: the given ones, or those of the device named in `note`."""
    if tflops and gbps:
        return tflops, gbps
    return next((peak for name, peak in PEAKS.items() if name in note), None)


@click.command()
@click.argument("avatar", default="sample")
@click.option("--backend", default="cuda", show_default=True)
@click.option("--size", default=512, show_default=True)
@click.option(
    "--shading",
    "shadings",
    multiple=True,
    default=("pixel", "vertex", "student"),
    show_default=True,
)
@click.option("--timed", default=2000, show_default=True, help="Frames timed one at a time.")
@click.option(
    "--frames",
    default=100_000,
    show_default=True,
    help="Frames of the long run, over which memory must not grow.",
)
@click.option("--tflops", type=float, help="Peak of a device that `PEAKS` lacks.")
@click.option("--gbps", type=float, help="Bandwidth of a device that `PEAKS` lacks.")
def main(
    avatar: str,
    backend: str,
    size: int,
    shadings: tuple[str, ...],
    timed: int,
    frames: int,
    tflops: float | None,
    gbps: float | None,
) -> None:
    """Measure AVATAR on the bundled motion, from the front."""
    track = list(read_track("talk").frames())
    motion = (
        np.stack([frame.expression for frame in track]),
        np.stack([frame.pose for frame in track]),
    )
    folder = open_avatar(avatar)
    for shading in shadings:
        with Player(avatar, size=size, shading=shading, backend=backend) as player:
            click.echo(
                f"{avatar}: {len(player.avatar.faces):,} faces, {size}², {shading}, "
                f"{player.backend_note}"
            )
            load = load_of(player, folder, motion[0][0], motion[1][0])
            peak = peak_of(player.backend_note, tflops, gbps)
            click.echo("\n".join(report(load, latencies(player, motion, timed), peak)))
            click.echo(stages(player, motion, timed))
            rate, memory = long_run(player, motion, frames, backend)
            megabytes = " ".join(f"{used / 1e6:.1f}" for used in memory)
            click.echo(
                f"{frames:,} in batches of {BATCH}: {rate:.0f} frames/s; "
                f"memory after each tenth, MB: {megabytes}"
            )


if __name__ == "__main__":
    main()
