"""Both tracers beside the official code on its frames and training step: points and seconds.

    python benchmarks/tracers.py REFERENCE [--threads N] [--quick]

REFERENCE is the folder of data from the official code. The first table is of its 64² frames: the
distances of each tracer's hits from the official ones, misses, extra hits, and hits on other layers
(more than 1e-3 away) by region. `nearer` of those lie in front of the official point: surfaces
between two samples of the published ray march. The second table is of one training step (trace,
attach gradients, colour, mask distance, backward) of the golden's 256 pixels and of 2,048 pixels of
the same image. `--quick` leaves out the ray march. Seconds are wall-clock time, followed by the
processor time of all threads, which shows whether the machine was busy.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from official_goldens import RUN_FOLDER, golden_camera
from torch import Tensor

from imavatar_deploy.head_model import HeadModel
from imavatar_deploy.model import ImplicitAvatar, load_checkpoint
from imavatar_deploy.model.frame import Frame, RayBundle
from imavatar_deploy.model.tracing import TRACERS, Tracer, TraceResult

FRAMES = ("strong_001_64", "talk_021_64", "talk_099_64")
OTHER_LAYER = 1e-3
"""Distance from the official point from which a hit is on another layer, model units (0.25 mm)."""

OFFICIAL_STEP = 8.3
"""Seconds of the official training step of 256 pixels on two cores (g_timing.json)."""

Result = TypeVar("Result")
Golden = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Timing:
    """Seconds of the best of a few runs."""

    wall: float
    processor: float

    def __str__(self) -> str:
        return f"{self.wall:.3f} s ({self.processor:.3f} s)"


def timed(work: Callable[[], Result], repeats: int) -> tuple[Result, Timing]:
    """Call `work` several times; returns its result and the fastest time."""
    runs = []
    for _ in range(repeats):
        wall = time.perf_counter()
        processor = time.process_time()
        result = work()
        runs.append((time.perf_counter() - wall, time.process_time() - processor))
    return result, Timing(*min(runs))


def load(reference: Path, name: str) -> Golden:
    with np.load(reference / "golden" / f"{name}.npz") as data:
        return {key: data[key] for key in data.files}


def golden_frame(golden: Golden) -> Frame:
    return Frame(torch.from_numpy(golden["expression"]), torch.from_numpy(golden["flame_pose"]))


def regions(head: HeadModel) -> dict[str, NDArray[np.bool_]]:
    """Masks `[V]`: vertices that some expressions move, the inside of the mouth, eyes."""
    travel = np.linalg.norm(head.expression_basis, axis=1)

    def moved_by(*names: str) -> NDArray[np.bool_]:
        columns = travel[:, [list(head.expression_names).index(name) for name in names]]
        return np.asarray((columns > 0.4 * columns.max(axis=0)).any(axis=1))

    inside = np.array(
        [any(part in group for part in ("teeth", "tongue")) for group in head.vertex_groups]
    )
    eyes = np.array(["eye" in group for group in head.vertex_groups])
    lips = moved_by("mouthPucker", "mouthFunnel") & ~inside
    lids = moved_by("eyeBlinkLeft", "eyeBlinkRight") & ~eyes
    return {"lips": lips, "lids": lids, "teeth and tongue": inside, "eyeballs": eyes}


def compare(traced: TraceResult, golden: Golden, head: HeadModel, origin: Tensor) -> str:
    """One row of the table of frames."""
    official = torch.from_numpy(golden["network_object_mask"])
    points = torch.from_numpy(golden["points"])
    both = official & traced.hit
    distance = (traced.deformed - points).norm(dim=1)
    other = both & (distance > OTHER_LAYER)
    nearer = other & ((traced.deformed - origin).norm(dim=1) < (points - origin).norm(dim=1))
    vertex = np.asarray(golden["index_batch"])
    counts = {
        name: int((other.numpy() & region[vertex]).sum()) for name, region in regions(head).items()
    }
    counts["elsewhere"] = int(other.sum()) - sum(counts.values())
    by_region = ", ".join(f"{name} {count}" for name, count in counts.items() if count)
    quantiles = torch.quantile(distance[both], torch.tensor([0.5, 0.9, 0.99]))
    return (
        f"{int(both.sum())} of {int(official.sum())} | {int((traced.hit & ~official).sum())} "
        f"| {quantiles[0]:.1e} / {quantiles[1]:.1e} / {quantiles[2]:.1e} "
        f"| {int(other.sum())} ({int(nearer.sum())} nearer){': ' + by_region if by_region else ''}"
    )


def compare_frames(avatar: ImplicitAvatar, reference: Path, tracers: dict[str, Tracer]) -> None:
    """Print the table of frames."""
    print(
        "| 64² frame | tracer | official hits met | extra | distance: median / p90 / p99 "
        "| other layers | search | |"
    )
    print("|---|---|---|---|---|---|---|---|")
    for name in FRAMES:
        golden = load(reference, f"f_render_{name}")
        rays = RayBundle.of(golden_camera(golden, 64), (64, 64))
        frame = golden_frame(golden)
        for tracer in tracers.values():
            repeats = 3 if tracer.name == "raster" else 1
            traced, timing = timed(lambda: tracer.trace(avatar, frame, rays), repeats)  # noqa: B023
            row = compare(traced, golden, avatar.head, rays.origin)
            speedup = float(golden["seconds"]) / timing.wall
            print(f"| {name} | {tracer.name} | {row} | {timing} | {speedup:.0f}x |")


def training_pixels(reference: Path, count: int) -> tuple[Tensor, Tensor]:
    """Pixels `[count, 2]` of the golden step's 256² image, and whether each is foreground.

    A count of 256 gives the golden's own pixels.
    """
    if count == 256:
        golden = load(reference, "g_train_step")
        return torch.from_numpy(golden["uv"]).long(), torch.from_numpy(golden["object_mask"])
    mask = np.asarray(load(reference, "f_render_talk_021_64")["network_object_mask"]).reshape(
        64, 64
    )
    rng = np.random.default_rng(0)
    rows, columns = np.nonzero(mask)  # half the pixels from the box of the head, as published
    low = 4 * np.array([columns.min(), rows.min()])
    high = 4 * np.array([columns.max(), rows.max()])
    pixels = np.concatenate(
        [rng.integers(0, 256, (count // 2, 2)), rng.integers(low, high, (count // 2, 2))]
    )
    return torch.from_numpy(pixels), torch.from_numpy(mask[pixels[:, 1] // 4, pixels[:, 0] // 4])


def differentiate(
    avatar: ImplicitAvatar, frame: Frame, rays: RayBundle, traced: TraceResult, foreground: Tensor
) -> None:
    """Colours and mask distances with their gradients, as the published losses need them."""
    surface = traced.hit & foreground
    points = avatar.attach_gradients(
        traced.canonical[surface], traced.deformed[surface], rays.select(surface), frame
    )
    fields = avatar.blend_fields(points, frame)
    assert fields is not None
    loss = avatar.colour(points, frame).sum() + sum(field.square().sum() for field in fields)
    rest = ~surface & traced.valid
    if rest.any():
        distance = (traced.deformed[rest] - rays.origin).norm(dim=1).detach()
        deformed = rays.select(rest).at(distance)
        loss = loss + avatar.sdf_at(traced.canonical[rest], deformed, frame).sum()
    avatar.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]


def time_steps(avatar: ImplicitAvatar, reference: Path, tracers: dict[str, Tracer]) -> None:
    """Print the table of training steps."""
    golden = load(reference, "g_train_step")
    print("\n| training step | tracer | trace | the rest | whole | official step of 256 |")
    print("|---|---|---|---|---|---|")
    for count in (256, 2048):
        pixels, foreground = training_pixels(reference, count)
        base = golden_frame(golden)
        frame = Frame(base.expression.requires_grad_(), base.pose.requires_grad_())
        centre = torch.from_numpy(golden["camera_center"]).requires_grad_()
        rays = RayBundle.of(golden_camera(golden, 256), (256, 256), pixels, centre=centre)
        for tracer in tracers.values():
            repeats = 5 if tracer.name == "raster" else 1
            tracing = partial(tracer.trace, avatar, frame, rays, foreground=foreground)
            traced, trace = timed(tracing, repeats)
            _, rest = timed(partial(differentiate, avatar, frame, rays, traced, foreground), 5)
            whole = trace.wall + rest.wall
            share = f"{OFFICIAL_STEP / whole:.0f}x" if count == 256 else ""
            print(
                f"| {count} pixels | {tracer.name} | {trace} | {rest} | {whole:.3f} s | {share} |"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("reference", type=Path)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    avatar = load_checkpoint(options.reference / RUN_FOLDER)
    assert isinstance(avatar, ImplicitAvatar)
    tracers = {
        name: make() for name, make in TRACERS.items() if name == "raster" or not options.quick
    }
    _, refresh = timed(lambda: tracers["raster"].refresh(avatar), 1)
    print(
        f"{options.threads} threads; extraction of the surface for the raster tracer: {refresh}\n"
    )
    compare_frames(avatar, options.reference, tracers)
    time_steps(avatar, options.reference, tracers)


if __name__ == "__main__":
    main()
