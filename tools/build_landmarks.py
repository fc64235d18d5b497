"""Build `imavatar_deploy/assets/landmarks.npz`: where face landmarks lie on OpenHead.

    python tools/build_landmarks.py [--check] [--out FILE.npz]

Random people are rendered with OpenHead's geometry, painted skin, brows, lips and eyes, from many
views and with the mouth closed or open (`landmark_renders.py`). The landmark network of
`imavatar_deploy.vision` reads each render and its mirror image, and every landmark is placed at the
point of the surface that is nearest to it in all renders (`landmark_table.py`). The irises lie on
the axes of the eyes. No image of a person is used.

`--check` builds the table, compares it with the committed one, and measures both on people and
views that the table has not seen.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from build_openhead import write_npz
from landmark_renders import RenderedHead, Studio
from landmark_table import Floats, LandmarkSolver, Table
from numpy.typing import NDArray

from imavatar_deploy.conventions import UNITS_PER_METRE
from imavatar_deploy.head_fit import landmark_groups
from imavatar_deploy.head_fit.landmark_groups import MIRROR
from imavatar_deploy.rendering.workers import Workers
from imavatar_deploy.vision import FaceTracker

ASSET = Path(__file__).resolve().parents[1] / "imavatar_deploy" / "assets" / "landmarks.npz"

PEOPLE = range(24)
"""Seeds of the people in the renders."""
VIEWS = 6
"""Renders of each person."""
OTHER_PEOPLE = range(1000, 1006)
"""Seeds of the people on whom the table is measured."""

TOLERANCE = 0.1
"""Largest accepted mean distance from the committed table, millimetres. Other processors round the
networks differently, and a point moves from one sample of the surface to the next."""

REGIONS = {
    "lids": landmark_groups.RIGHT_EYE + landmark_groups.LEFT_EYE,
    "lips, outer": landmark_groups.LIPS_OUTER,
    "lips, inner": landmark_groups.LIPS_INNER,
    "brows": landmark_groups.BROWS,
    "nose": landmark_groups.NOSE,
    "oval": landmark_groups.OVAL,
    "irises": landmark_groups.IRISES,
    "all": tuple(range(len(MIRROR))),
}


def observe(renders: Iterable[RenderedHead]) -> tuple[list[RenderedHead], Floats]:
    """Return the renders in which a face is found, and its landmarks `[N, 478, 2]`.

    Every image is read twice, once mirrored, so that neither side is preferred.
    """
    kept = []
    landmarks = []
    with FaceTracker(average=2) as tracker:
        for render in renders:
            faces = [tracker.find_all(image) for image in (render.image, _flip(render.image))]
            if all(faces):
                plain, flipped = (found[0].landmarks[:, :2].astype(np.float64) for found in faces)
                mirrored = flipped[MIRROR]
                mirrored[:, 0] = render.image.shape[1] - 1 - mirrored[:, 0]
                kept.append(render)
                landmarks.append((plain + mirrored) / 2)
    return kept, np.stack(landmarks)


def _flip(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.ascontiguousarray(image[:, ::-1])


def build(studio: Studio, workers: Workers) -> tuple[Table, LandmarkSolver]:
    """Return the table and its solver."""
    renders = (render for seed in PEOPLE for render in studio.renders(seed, VIEWS))
    solver = LandmarkSolver(*observe(renders), workers)
    return solver.solve(), solver


def measure(studio: Studio, workers: Workers, table: Table) -> dict[str, float]:
    """Return the mean distance in pixels of visible landmarks by region, on other people."""
    renders = (
        render for seed in OTHER_PEOPLE for render in studio.renders(seed, VIEWS, wider=True)
    )
    solver = LandmarkSolver(*observe(renders), workers)
    errors, visible = solver.errors(table.triangles, table.barycentric)
    return {
        name: float(errors[:, list(region)][visible[:, list(region)]].mean())
        for name, region in REGIONS.items()
    }


def distances(table: Table, other: Table, solver: LandmarkSolver) -> Floats:
    """Return the distances `[478]` in millimetres between the points of two tables."""
    first, second = (
        np.einsum("lk,lkc->lc", t.barycentric, solver.template[solver.faces[t.triangles]])
        for t in (table, other)
    )
    return np.asarray(np.linalg.norm(first - second, axis=1) * 1000.0 / UNITS_PER_METRE)


def read_table(path: Path) -> Table:
    """Read the table of an asset."""
    with np.load(path) as arrays:
        return Table(arrays["triangles"], arrays["barycentric"], arrays["spread"])


def main() -> int:
    """Build the asset, or check the committed one; return the exit status."""
    parser = argparse.ArgumentParser(description="Build the landmark correspondences of OpenHead.")
    parser.add_argument("--check", action="store_true", help="compare with the committed table")
    parser.add_argument("--out", type=Path, default=ASSET)
    options = parser.parse_args()
    start = time.perf_counter()
    with Workers() as workers:
        studio = Studio(workers)
        table, solver = build(studio, workers)
        scores = measure(studio, workers, table)
        print("mean distance in pixels, other people and wider views:")
        print("".join(f"  {name:12s} {score:5.2f}\n" for name, score in scores.items()), end="")
        if options.check:
            apart = distances(table, read_table(ASSET), solver)
            print(f"from {ASSET.name}: mean {apart.mean():.3f} mm, largest {apart.max():.3f} mm")
            return int(apart.mean() > TOLERANCE)
    arrays = {
        "triangles": table.triangles.astype(np.int32),
        "barycentric": table.barycentric.astype(np.float32),
        "spread": table.spread.astype(np.float32),
        "licence": np.array("CC0-1.0"),
    }
    write_npz(options.out, arrays)
    print(
        f"wrote {options.out}: {options.out.stat().st_size / 1000:.1f} kB, "
        f"{time.perf_counter() - start:.0f} s"
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
