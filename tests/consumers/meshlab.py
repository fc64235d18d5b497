"""Run in an interpreter with pymeshlab: read a mesh and store its vertices and colours.

python meshlab.py FILE OUT
"""

import sys

import numpy as np
import pymeshlab


def main(path: str, out: str) -> None:
    meshes = pymeshlab.MeshSet()
    meshes.load_new_mesh(path)
    mesh = meshes.current_mesh()
    np.savez(out, points=mesh.vertex_matrix(), colours=mesh.vertex_color_matrix()[:, :3])


main(*sys.argv[1:])
