"""Renders of OpenHead for `build_landmarks.py`: random people, light, views and mouths."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.camera import Camera
from imavatar_deploy.conventions import EXPRESSION_SIZE, JAW, POSE_SIZE, UNITS_PER_METRE
from imavatar_deploy.head_model import HeadModel
from imavatar_deploy.rendering.rasteriser import Rasteriser
from imavatar_deploy.rendering.workers import Workers
from imavatar_deploy.training.synthetic.appearance import Appearance, Haircut, Palette
from imavatar_deploy.training.synthetic.hair_and_clothes import (
    WAKEFULNESS,
    part_of,
    with_hair_and_clothes,
)
from imavatar_deploy.training.synthetic.mouth import with_shaded_mouth
from imavatar_deploy.training.synthetic.noise import smoothstep
from imavatar_deploy.training.synthetic.people import IDENTITY_SIZE, SUBJECTS
from imavatar_deploy.training.synthetic.skin_and_hair_colours import FOLD_TINT, PAINTERS
from imavatar_deploy.training.warm_start.head_surface import HeadSurface, vertex_normals
from imavatar_deploy.training.warm_start.surface_distance import openness

Floats = NDArray[np.float32]

SIZE = 320
"""Pixels a side; the face is as large as in the landmark network's input."""
FINENESS = 3
"""Samples across a pixel."""
SUBDIVISIONS = 2

MAX_YAW = 26.0
MAX_PITCH = 11.0
FRONTAL_YAW = 8.0
"""Degrees within which a view counts as frontal; a third of the views are."""
WIDER = 1.5
"""Factor on all angles of the views on which the table is measured."""

OPENING = (0.10, 0.32)
"""Range of the jaw's rotation, radians, where the mouth is open."""
LIDS = (-0.3, 0.2)
"""Range of eyeWide beside that of the neutral face."""
GAZE = 0.15
"""Largest rotation of the eyes, radians."""


@dataclass(frozen=True)
class RenderedHead:
    """One render, and the head model in it."""

    image: NDArray[np.uint8]  # [S, S, 3] RGB
    head: HeadModel  # of the person
    vertices: Floats  # [V, 3] of the posed head model, model units
    matrix: Floats  # [3, 4] projection to pixels
    yaw: float  # degrees
    opening: float  # of the jaw, radians
    gaze: tuple[float, float]  # pitch and yaw of both eyes in the head, radians


class Studio:
    """Renders random people with OpenHead's geometry.

    Args:
        workers: the rasteriser's threads.
    """

    def __init__(self, workers: Workers) -> None:
        self._workers = workers
        self.head = HeadModel.load("openhead")
        template = HeadSurface.from_head(self.head, subdivisions=SUBDIVISIONS)
        self._anchors = template.rest
        shade = 0.45 + 0.55 * smoothstep(0.0, 0.85, openness(template))
        self._folds = shade[:, None] ** np.asarray(FOLD_TINT, dtype=np.float32)
        faces = np.ascontiguousarray(template.faces, dtype=np.int32)
        self._rasteriser = Rasteriser(faces, FINENESS * SIZE, FINENESS * SIZE, workers)

    def renders(
        self, seed: int, views: int, *, wider: bool = False, gaze: float = GAZE
    ) -> Iterator[RenderedHead]:
        """Render one random person from several views; the mouth is closed in each third one.

        Args:
            wider: turn the head half as much again.
            gaze: largest rotation of the eyes, radians.
        """
        rng = np.random.default_rng(seed)
        shape = (rng.uniform(0.5, 1.0) * rng.normal(size=IDENTITY_SIZE)).astype(np.float32)
        head = self.head.for_subject(shape)
        surface = self._surface(head, _appearance(rng))
        for view in range(views):
            factor = WIDER if wider else 1.0
            yaw = rng.uniform(-1, 1) * (FRONTAL_YAW if view % 3 == 1 else MAX_YAW) * factor
            pitch = rng.uniform(-MAX_PITCH, MAX_PITCH) * factor
            opening = 0.0 if view % 3 == 0 else rng.uniform(*OPENING)
            yield self._render(surface, rng, yaw, pitch, opening, gaze)

    def _surface(self, head: HeadModel, appearance: Appearance) -> HeadSurface:
        surface = HeadSurface.from_head(head, subdivisions=SUBDIVISIONS)
        surface = with_hair_and_clothes(surface, self._anchors, appearance.haircut)
        colour = np.zeros_like(surface.rest)
        for part in np.unique(surface.parts):
            own = surface.parts == part
            anchors = self._anchors[own]
            colour[own] = PAINTERS[part_of(anchors)](anchors, appearance)
        colour = np.clip(colour * self._folds, 0.0, 1.0).astype(np.float32)
        return with_shaded_mouth(replace(surface, colour=colour), self._anchors)

    def _render(
        self,
        surface: HeadSurface,
        rng: np.random.Generator,
        yaw: float,
        pitch: float,
        opening: float,
        gaze: float,
    ) -> RenderedHead:
        expression = np.zeros(EXPRESSION_SIZE, dtype=np.float32)
        wide = [surface.head.expression_names.index(f"eyeWide{side}") for side in ("Left", "Right")]
        expression[wide] = rng.uniform(*LIDS)
        pose = np.zeros(POSE_SIZE, dtype=np.float32)
        pose[:2] = np.radians([pitch, yaw])
        pose[JAW.start] = opening
        pose[9:11] = pose[12:14] = rng.uniform(-gaze, gaze, 2)
        camera = Camera.looking_at((0.0, 0.0, 0.0), distance=rng.uniform(3, 5), extent=1.15)
        vertices = surface.pose_vertices(expression, pose)
        image = self._draw(surface, vertices, camera, rng)
        # `with_hair_and_clothes` opens the lids of the surface, and of the surface alone
        expression[wide] += WAKEFULNESS
        return RenderedHead(
            image=image,
            head=surface.head,
            vertices=UNITS_PER_METRE * surface.head.vertices(expression, pose),
            matrix=camera.image_matrix(SIZE, SIZE),
            yaw=yaw,
            opening=opening,
            gaze=(float(pose[9]), float(pose[10])),
        )

    def _draw(
        self, surface: HeadSurface, vertices: Floats, camera: Camera, rng: np.random.Generator
    ) -> NDArray[np.uint8]:
        middle = FINENESS // 2
        to_fine = np.array([[FINENESS, 0, middle], [0, FINENESS, middle], [0, 0, 1]])
        matrix = np.ascontiguousarray(to_fine @ camera.image_matrix(SIZE, SIZE), dtype=np.float32)
        fragments = self._rasteriser.draw(vertices, matrix)
        hit = fragments.triangle >= 0
        corners = surface.faces[fragments.triangle[hit]]
        attributes = np.concatenate(
            [surface.colour, vertex_normals(vertices, surface.faces)], axis=1
        )
        values = np.einsum("nk,nkc->nc", fragments.barycentrics[hit], attributes[corners])
        normals = values[:, 3:] / np.linalg.norm(values[:, 3:], axis=1, keepdims=True)
        fine = np.full((*hit.shape, 3), rng.uniform(0.1, 1.0, 3), dtype=np.float32)
        fine[hit] = np.clip(values[:, :3] * _light(normals, rng), 0.0, 1.0)
        blocks = fine.reshape(SIZE, FINENESS, SIZE, FINENESS, 3)
        return np.round(255 * blocks.mean(axis=(1, 3))).astype(np.uint8)


def _light(normals: Floats, rng: np.random.Generator) -> Floats:
    """Brightness `[N, 1]` under ambient light, a key light from above and a weaker fill light."""
    key = _unit(np.array([rng.uniform(-0.8, 0.8), rng.uniform(0.1, 0.8), 0.8]))
    fill = _unit(np.array([-np.sign(key[0]), 0.1, 0.6]))
    ambient, strength = rng.uniform(0.4, 0.6), rng.uniform(0.3, 0.6)
    lit = ambient + strength * np.maximum(normals @ key, 0) + 0.16 * np.maximum(normals @ fill, 0)
    return np.asarray(lit[:, None], dtype=np.float32)


def _unit(vector: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(vector / np.linalg.norm(vector))


def _appearance(rng: np.random.Generator) -> Appearance:
    """Mix the colours of the synthetic subjects; a beard would hide the border of the lips."""
    palettes = [person.appearance.palette for person in SUBJECTS.values()]
    share = rng.dirichlet(np.full(len(palettes), 0.6))

    def mixed(name: str) -> tuple[float, float, float]:
        colours = np.array([getattr(palette, name) for palette in palettes])
        red, green, blue = share @ colours
        return float(red), float(green), float(blue)

    colours = {name: mixed(name) for name, value in vars(Palette()).items() if type(value) is tuple}
    palette = Palette(**colours, beard=0.0, brow_width=float(rng.uniform(0.013, 0.019)))
    return Appearance(palette, Haircut(receding=float(rng.uniform(-2, 6))))
