"""Scene: an avatar's arrays on a device and the launches that pose and draw them, without its colours."""

from __future__ import annotations

from typing import Any

import numpy as np

from imavatar_deploy.avatar import Avatar

from .library import wp
from .posing import shape, skin
from .raster import GROUPS, LANES, resolve, scan, scan_large
from .shadings import Seen
from .surface import cross, gather


class Scene:
    """Everything is allocated here, once; a frame allocates nothing. Arguments of its methods are on the device."""

    def __init__(self, avatar: Avatar, width: int, height: int, device: Any) -> None:
        self._width, self._height, self._device = width, height, device
        vertices, faces, pixels = avatar.vertex_count, len(avatar.faces), width * height
        self._vertex_count, self._face_count = vertices, faces
        basis = np.concatenate([avatar.expression_basis, avatar.pose_basis])
        self._rest = self._here(avatar.rest.reshape(-1))
        self._basis = self._here(basis.reshape(len(basis), -1))
        self._weights = self._here(avatar.skin_weights)
        self._detail = self._here(avatar.normal_detail)
        self._faces = wp.array(avatar.faces, dtype=wp.int32, device=device)
        corners = avatar.faces.ravel()
        first = np.concatenate([[0], np.cumsum(np.bincount(corners, minlength=vertices))])
        self._first = wp.array(first.astype(np.int32), device=device)
        self._incident = wp.array((np.argsort(corners, kind="stable") // 3).astype(np.int32), device=device)
        self._shaped = self._room(wp.float32, 3 * vertices)
        self.vertices = self._room(wp.float32, vertices, 3)
        """[V, 3] posed."""
        self._points = self._room(wp.float64, vertices, 3)
        self._crosses = self._room(wp.float32, faces, 3)
        self._planes = self._room(wp.float64, faces, 10)
        self._boxes = self._room(wp.int32, faces, 4)
        self._large, self._large_count = self._room(wp.int32, max(faces, 1)), self._room(wp.int32, 1)
        self._nearest = self._room(wp.uint64, pixels)
        self.seen = Seen(
            triangle=self._room(wp.int32, pixels),
            barycentrics=self._room(wp.float32, pixels, 3),
            faces=self._faces,
            normals=self._room(wp.float32, vertices, 3),
            colours=self._room(wp.float32, pixels, 3),
        )
        """What each pixel sees, and room for its colour."""

    def animate(self, coefficients: Any, bones: Any, matrix: Any) -> None:
        """Vertices and where they are in the image, see the parts of `FrameInput`."""
        self._launch(shape, 3 * self._vertex_count, [self._rest, self._basis, coefficients], [self._shaped])
        given = [self._shaped, self._weights, bones, matrix]
        self._launch(skin, self._vertex_count, given, [self.vertices, self._points])

    def normals(self, bones: Any) -> None:
        """Unit normals of the vertices."""
        self._launch(cross, self._face_count, [self.vertices, self._faces], [self._crosses])
        given = [self._crosses, self._incident, self._first, self._detail, self._weights, bones]
        self._launch(gather, self._vertex_count, given, [self.seen.normals])

    def raster(self) -> None:
        """What each pixel sees."""
        self._nearest.zero_()
        self._large_count.zero_()
        given = [self._points, self._faces, self._width, self._height]
        drawn = [self._planes, self._boxes, self._nearest, self._large, self._large_count]
        self._launch(scan, self._face_count, given, drawn)
        given = [self._planes, self._boxes, self._large, self._large_count, self._width, GROUPS, LANES]
        self._launch(scan_large, (GROUPS, LANES), given, [self._nearest])
        told = [self.seen.triangle, self.seen.barycentrics]
        self._launch(resolve, len(self._nearest), [self._nearest, self._planes, self._width], told)

    def _here(self, array: Any) -> Any:
        return wp.array(np.ascontiguousarray(array), dtype=wp.float32, device=self._device)

    def _room(self, kind: Any, *shape: int) -> Any:
        return wp.zeros(shape, dtype=kind, device=self._device)

    def _launch(self, kernel: Any, size: int | tuple[int, int], given: list[Any], made: list[Any]) -> None:
        wp.launch(kernel, size, inputs=given, outputs=made, device=self._device)
