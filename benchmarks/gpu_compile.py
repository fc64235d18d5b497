"""Compiles every kernel of the GPU renderer for CUDA, without a device or driver.

    python benchmarks/gpu_compile.py --arch 90 --arch 89

It shows that NVRTC compiles the kernels for an architecture, that its linker joins the matrix
products of the tensor cores to the network's kernel, and that the network's tile fits the planned
shared memory.
"""

from __future__ import annotations

import json
import tempfile
import time
from pathlib import Path

import click

from imavatar_deploy.progress import human_bytes
from imavatar_deploy.runtime.warp_backend import renderer, texture_network
from imavatar_deploy.runtime.warp_backend.library import MODULE, quietly, start, wp

SHARED = {
    75: 64,
    80: 163,
    86: 99,
    87: 163,
    89: 99,
    90: 227,
    100: 227,
    103: 227,
    110: 227,
    120: 99,
    121: 99,
}
"""KB of shared memory a block, by compute capability (CUDA C++ Programming Guide)."""


def compiled(module: object, arch: int, folder: Path) -> tuple[int, dict[str, int]]:
    """Size of a module's machine code, and bytes of shared memory by kernel."""
    with quietly(wp):
        (code,) = wp.compile_aot_module(module, arch=arch, module_dir=folder, use_ptx=False)
    (meta,) = folder.glob("*.meta")
    return code.stat().st_size, json.loads(meta.read_text(encoding="utf-8"))


def compile_all(arch: int, width: int) -> list[str]:
    """Lines about the plain kernels and the network's kernel."""
    lines = []
    rows = texture_network.rows_that_fit(width, SHARED[arch] << 10)
    tensor = texture_network.network_kernel(rows, width).module
    tensor.options["block_dim"] = texture_network.THREADS
    for name, module in (
        ("plain kernels", MODULE),
        (f"network {width} wide, {rows} points a tile", tensor),
    ):
        started = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            size, shared = compiled(module, arch, Path(folder))
        largest = max(shared.values())
        if largest > SHARED[arch] << 10:
            raise click.ClickException(
                f"sm_{arch}: {name} needs {largest} bytes of shared memory, more than "
                f"{SHARED[arch] << 10}"
            )
        seconds = time.perf_counter() - started
        lines.append(
            f"sm_{arch}: {name}: {len(shared)} kernels, {human_bytes(size)}, "
            f"at most {largest:,} bytes of shared memory, {seconds:.0f} s"
        )
    return lines


@click.command()
@click.option(
    "--arch",
    "arches",
    multiple=True,
    type=click.Choice([str(arch) for arch in SHARED]),
    default=("90",),
)
@click.option("--width", default=512, show_default=True, help="Width of the texture network.")
def main(arches: tuple[str, ...], width: int) -> None:
    """Compile for every --arch."""
    start()
    click.echo(f"Warp {wp.config.version}, kernels of {renderer.__name__.rpartition('.')[0]}")
    for arch in arches:
        click.echo("\n".join(compile_all(int(arch), width)))


if __name__ == "__main__":
    main()
