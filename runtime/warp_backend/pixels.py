"""Pixel kernels: attributes interpolated between vertices, colours as bytes over the background."""

from __future__ import annotations

from .arrays import Bytes2, Float, Floats2, Ints, Ints2, Vec3, Vec4i
from .library import device_function, kernel, wp


@device_function
def between(
    attribute: Floats2, faces: Ints2, face: int, barycentrics: Floats2, pixel: int, column: int
) -> Float:
    """One column of a per-vertex attribute, interpolated at a pixel."""
    a, b, c = faces[face, 0], faces[face, 1], faces[face, 2]
    u, v, w = barycentrics[pixel, 0], barycentrics[pixel, 1], barycentrics[pixel, 2]
    return u * attribute[a, column] + v * attribute[b, column] + w * attribute[c, column]


@device_function
def normal_at(normals: Floats2, faces: Ints2, face: int, barycentrics: Floats2, pixel: int) -> Vec3:
    """The unit normal at a pixel; zero where those of the vertices cancel."""
    x = between(normals, faces, face, barycentrics, pixel, 0)
    y = between(normals, faces, face, barycentrics, pixel, 1)
    z = between(normals, faces, face, barycentrics, pixel, 2)
    length = wp.sqrt(x * x + y * y + z * z)
    if length > 0.0:
        return wp.vec3(x / length, y / length, z / length)
    return wp.vec3(0.0, 0.0, 0.0)


@kernel
def interpolate(
    triangle: Ints, barycentrics: Floats2, faces: Ints2, attribute: Floats2, image: Floats2
) -> None:
    """Interpolate the first three columns of a per-vertex attribute at one pixel."""
    pixel = wp.tid()
    face = triangle[pixel]
    if face >= 0:
        for column in range(3):
            image[pixel, column] = between(attribute, faces, face, barycentrics, pixel, column)


@kernel
def interpolate_normals(
    triangle: Ints, barycentrics: Floats2, faces: Ints2, normals: Floats2, image: Floats2
) -> None:
    """Interpolate the unit normal at one pixel; zero in the background."""
    pixel = wp.tid()
    face = triangle[pixel]
    n = wp.vec3(0.0, 0.0, 0.0)
    if face >= 0:
        n = normal_at(normals, faces, face, barycentrics, pixel)
    for axis in range(3):
        image[pixel, axis] = n[axis]


@kernel
def composite(triangle: Ints, colours: Floats2, background: Vec4i, image: Bytes2) -> None:
    """Write the four bytes of one pixel, rounded to the nearest, halves upwards."""
    pixel = wp.tid()
    if triangle[pixel] < 0:
        for channel in range(4):
            image[pixel, channel] = wp.uint8(background[channel])
        return
    for channel in range(3):
        image[pixel, channel] = wp.uint8(
            wp.clamp(colours[pixel, channel] * 255.0 + 0.5, 0.0, 255.0)
        )
    image[pixel, 3] = wp.uint8(255)
