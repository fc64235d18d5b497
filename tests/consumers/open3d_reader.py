"""Run in an interpreter with open3d: read a mesh and store its vertices and colours.

python open3d_reader.py FILE OUT
"""

import sys

import numpy as np
import open3d


def main(path: str, out: str) -> None:
    mesh = open3d.io.read_triangle_mesh(path)
    np.savez(
        out,
        points=np.asarray(mesh.vertices),
        triangles=np.asarray(mesh.triangles),
        colours=np.asarray(mesh.vertex_colors),
        uvs=np.asarray(mesh.triangle_uvs),
        images=sum(not texture.is_empty() for texture in mesh.textures),
    )


main(*sys.argv[1:])
