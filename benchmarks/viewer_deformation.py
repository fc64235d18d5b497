"""The web viewer's frame beside that of another build of it, in one page of Chromium.

    git show COMMIT:imavatar_deploy/viewer/viewer.js > before.js
    python benchmarks/viewer_deformation.py before.js [--avatar sample] [--frames 120]

Both viewers show the same avatar, and their frames alternate. `program` is the time of the page's
own thread, as the event `frame` reports it; `picture` is that of `pixels`, which waits until the
frame is drawn and read back, at 16 and at 512 pixels. Chromium draws in software here, so that a
picture takes the processor's time. The lower quartile is less disturbed by other programs than
the median.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from imavatar_deploy.avatar_io import open_avatar
from imavatar_deploy.exporters.formats.web.format import write_page
from imavatar_deploy.exporters.formats.web.frames import opened
from imavatar_deploy.rendering.posing import resting_camera
from imavatar_deploy.runtime.timing import machine
from imavatar_deploy.student import read_student
from imavatar_deploy.tracks import read_track
from imavatar_deploy.viewer.avatar_file import encode

SIZES = (16, 512)

SETUP = """
(async () => {
  const {ImavatarHead} = await import("./before.js");
  customElements.define("imavatar-before", ImavatarHead);
  const load = async (name) => {
    const start = performance.now();
    const head = document.createElement(name);
    Object.assign(head.style, {position: "fixed", width: "512px", height: "512px"});
    head.setAttribute("src", "avatar.bin");
    document.body.append(head);
    await new Promise((done) => head.addEventListener("load", done));
    head.pixels(new Float32Array(50), new Float32Array(15), new Float32Array(12), 1, 1);
    return [head, performance.now() - start];
  };
  const names = ["imavatar-before", "imavatar-head"];
  window.loads = {};
  for (let i = 0; i < 5; i++) {
    for (const name of names) {
      const [head, time] = await load(name);
      (window.loads[name] ??= []).push(time);
      head.remove();
      head.shadowRoot.querySelector("canvas").getContext("webgl2")
        .getExtension("WEBGL_lose_context").loseContext();
    }
  }
  window.heads = [];
  for (const name of names) window.heads.push((await load(name))[0]);
  return window.loads;
})()
"""

FRAME = """
(async ({expression, pose, matrices}) => {
  const rows = [];
  for (const head of window.heads) {
    const row = [];
    const drawn = new Promise((done) =>
      head.addEventListener("frame", (event) => done(event.detail), {once: true}));
    head.setFlame(expression, pose);
    row.push(await drawn);
    head.pixels(expression, pose, matrices[0][1], 1, 1); // the canvas is drawn now
    for (const [size, matrix] of matrices) {
      const start = performance.now();
      head.pixels(expression, pose, matrix, size, size);
      row.push(performance.now() - start);
    }
    rows.push(row);
  }
  return rows;
})
"""


def measure(avatar_name: str, before: Path, count: int) -> None:
    """Measure one avatar and print the tables."""
    folder = open_avatar(avatar_name)
    avatar = folder.avatar
    camera = resting_camera(avatar)
    talk = read_track("talk")
    chosen = np.linspace(0, len(talk) - 1, count).astype(int)
    everything = np.full(15, 0.1, dtype=np.float32)
    motions = {
        "talk": [(talk.expression[i], talk.pose[i]) for i in chosen],
        "all moved": [
            (np.full(50, 0.2 + 0.3 * i / count, dtype=np.float32), everything) for i in range(count)
        ],
    }
    matrices = [[size, camera.image_matrix(size, size).ravel().tolist()] for size in SIZES]
    with tempfile.TemporaryDirectory() as parent:
        site = Path(parent) / "site"
        write_page(site, encode(avatar, read_student(folder), camera).data)
        shutil.copy(before, site / "before.js")
        with opened(site) as page:
            loads = page.evaluate(SETUP)
            here = machine()
            print(f"{here['processor']}, {here['cores']} cores, load {here['load_average']}")
            print(f"{avatar.vertex_count} vertices, {len(avatar.faces)} faces")
            for name, times in loads.items():
                low, middle = np.percentile(times, (0, 50))
                print(f"loaded and drawn, {name}: {low:.0f} ms (median {middle:.0f})")
            for motion, frames in motions.items():
                table = np.array([_frame(page, *frame, matrices) for frame in frames])
                _print(motion, table)


def _frame(page: Any, expression: Any, pose: Any, matrices: Any) -> Any:
    request = {
        "expression": np.asarray(expression).tolist(),
        "pose": np.asarray(pose).tolist(),
        "matrices": matrices,
    }
    return page.evaluate(f"({FRAME})({json.dumps(request)})")


def _print(motion: str, table: np.ndarray[Any, Any]) -> None:
    print(f"\n{motion}, {len(table)} frames: lower quartile (median) ms")
    print(f"{'':20}" + "".join(f"{name:>18}" for name in ("before", "now")))
    rows = ("program", *(f"picture, {size} pixels" for size in SIZES))
    for index, name in enumerate(rows):
        quartiles = np.percentile(table[:, :, index], (25, 50), axis=0)
        cells = (f"{quartile:.1f} ({median:.1f})" for quartile, median in quartiles.T)
        print(f"{name:20}" + "".join(f"{cell:>18}" for cell in cells))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("before", type=Path, help="another viewer.js")
    parser.add_argument("--avatar", default="sample", help="an avatar folder with a student")
    parser.add_argument("--frames", type=int, default=120)
    arguments = parser.parse_args()
    measure(arguments.avatar, arguments.before, arguments.frames)


if __name__ == "__main__":
    main()
