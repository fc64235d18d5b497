"""Run in an interpreter with vtk: read a GLB or VRM and store its points and colours.

python vtk_reader.py FILE OUT
"""

import sys

import numpy as np
import vtk
from vtk.util.numpy_support import vtk_to_numpy


def main(path: str, out: str) -> None:
    reader = vtk.vtkGLTFReader()
    reader.SetFileName(path)
    reader.Update()
    blocks = reader.GetOutput().NewIterator()
    mesh = blocks.GetCurrentDataObject()
    data = mesh.GetPointData()
    np.savez(
        out,
        points=vtk_to_numpy(mesh.GetPoints().GetData()),
        colours=vtk_to_numpy(data.GetArray("COLOR_0")),
        targets=sum(
            (data.GetArrayName(number) or "").endswith("_position")
            for number in range(data.GetNumberOfArrays())
        ),
    )


main(*sys.argv[1:])
