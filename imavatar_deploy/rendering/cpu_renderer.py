"""CpuRenderer: pose, normals, rasterise, shade and composite a frame with numba on a CPU.

It draws every image of a baked avatar on a CPU: for the player, the fidelity report and the
evaluation. `SurfacePoser` computes the posed surface alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from imavatar_deploy.arrays import Array, Bool, Float32, UInt8
from imavatar_deploy.avatar import Avatar
from imavatar_deploy.kinematics import condition_of
from imavatar_deploy.onnx_session import open_session

from .compositing import composite
from .outlines import OutlineFinder
from .posing import Animator, Posed, SurfaceNormals
from .rasteriser import Fragments, Rasteriser
from .renderer import EDGES, RenderConfig, StageCallback, frame_by_frame, untimed
from .shading import SHADINGS, normal_image
from .texture_network import TEXTURE_GRAPH
from .workers import Workers


class PosedSurface(NamedTuple):
    """The surface of one frame."""

    vertices: Float32[Array, "V 3"]  # model units
    normals: Float32[Array, "V 3"]  # unit


PoseSurface = Callable[[Float32[Array, " E"], Float32[Array, "15"], StageCallback], PosedSurface]
"""(expression `[E]`, pose `[15]`, stage callback) -> posed surface."""


class SurfacePoser:
    """Poses the vertices of an avatar and computes their normals.

    These are the first two stages of a frame.
    """

    def __init__(self, avatar: Avatar, workers: Workers) -> None:
        self._animator = Animator(avatar, workers)
        self._normals = SurfaceNormals(avatar, workers)

    def __call__(
        self,
        expression: Float32[Array, " E"],
        pose: Float32[Array, "15"],
        stage_done: StageCallback = untimed,
    ) -> PosedSurface:
        """Return the posed surface; the next call overwrites it."""
        posed = self.pose(expression, pose)
        stage_done()
        normals = self.normals(posed)
        stage_done()
        return PosedSurface(posed.vertices, normals)

    def pose(self, expression: Float32[Array, " E"], pose: Float32[Array, "15"]) -> Posed:
        """Return the posed vertices and bones; the next call overwrites the vertices."""
        return self._animator(expression, pose)

    def normals(self, posed: Posed) -> Float32[Array, "V 3"]:
        """Return the unit normals of posed vertices; the next call overwrites them."""
        return self._normals(posed)


class FrameBuffers(NamedTuple):
    """One frame before it becomes bytes."""

    colours: Float32[Array, "H W 3"]  # in 0..1, undefined where the mask is false
    normals: Float32[Array, "H W 3"]  # unit, model space, zero where the mask is false
    mask: Bool[Array, "H W"]  # pixels that show the avatar


class CpuRenderer:
    """A `Renderer` on a CPU. Close it, or use it in a `with contextlib.closing(...)`.

    Args:
        session: runs texture.onnx with the interface of an ONNX Runtime session; None for shadings
            without the texture network.
        note: what runs the session, where that differs from the request.
        close_session: releases the session's resources on a device.
        pose_surface: replaces `SurfacePoser`, for instance by the exported animation graph.
    """

    def __init__(
        self,
        config: RenderConfig,
        workers: Workers,
        session: Any = None,
        *,
        note: str = "",
        close_session: Callable[[], None] = lambda: None,
        pose_surface: PoseSurface | None = None,
    ) -> None:
        avatar = config.folder.avatar
        self.note = note
        self.threads = workers.threads
        self._workers = workers
        self._close_session = close_session
        self._size = (config.height, config.width)
        self._faces = avatar.faces
        self._background = config.background
        self._shading = SHADINGS[config.shading](config.folder, session, self._size, workers)
        self._poser = SurfacePoser(avatar, workers)
        self._pose_surface = pose_surface or self._poser
        self._rasteriser = Rasteriser(avatar.faces, config.width, config.height, workers)
        self._outline_finder = (
            OutlineFinder(avatar.faces, self._rasteriser, self._size)
            if config.antialias == EDGES
            else None
        )

    def render(
        self,
        expression: Float32[Array, " E"],
        pose: Float32[Array, "15"],
        image_matrix: Float32[Array, "3 4"],
        stage_done: StageCallback = untimed,
    ) -> UInt8[Array, "H W 4"]:
        """Return the frame as RGBA in a new array; `stage_done` is called after each stage."""
        fragments, normals = self._visible(expression, pose, image_matrix, stage_done)
        colours = self._shading(fragments, normals, condition_of(expression, pose))
        stage_done()
        outlines = self._outline_finder.outlines(image_matrix) if self._outline_finder else None
        image = composite(colours, fragments.triangle, self._background, self._workers, outlines)
        stage_done()
        return image

    def render_batch(
        self,
        expressions: Float32[Array, "N E"],
        poses: Float32[Array, "N 15"],
        image_matrix: Float32[Array, "3 4"],
    ) -> UInt8[Array, "N H W 4"]:
        """Return the bytes of N calls of `render`."""
        return frame_by_frame(self, self._size, expressions, poses, image_matrix)

    def buffers(
        self,
        expression: Float32[Array, " E"],
        pose: Float32[Array, "15"],
        image_matrix: Float32[Array, "3 4"],
    ) -> FrameBuffers:
        """Return colours, normals and mask of the frame; the next call overwrites the colours."""
        fragments, normals = self._visible(expression, pose, image_matrix, untimed)
        colours = self._shading(fragments, normals, condition_of(expression, pose))
        return FrameBuffers(
            colours, self._normal_image(fragments, normals), fragments.triangle >= 0
        )

    def vertices(
        self, expression: Float32[Array, " E"], pose: Float32[Array, "15"]
    ) -> Float32[Array, "V 3"]:
        """Return the posed vertices; the next call overwrites them."""
        return self._poser.pose(expression, pose).vertices

    def normals(
        self,
        expression: Float32[Array, " E"],
        pose: Float32[Array, "15"],
        image_matrix: Float32[Array, "3 4"],
    ) -> Float32[Array, "H W 3"]:
        """Return the unit normal of the surface in each pixel; zero in the background."""
        return self._normal_image(*self._visible(expression, pose, image_matrix, untimed))

    def close(self) -> None:
        """End the threads and release the session."""
        self._workers.close()
        self._close_session()

    def _visible(
        self,
        expression: Float32[Array, " E"],
        pose: Float32[Array, "15"],
        image_matrix: Float32[Array, "3 4"],
        stage_done: StageCallback,
    ) -> tuple[Fragments, Float32[Array, "V 3"]]:
        """Return the fragment in each pixel and the normals of the vertices."""
        surface = self._pose_surface(expression, pose, stage_done)
        fragments = self._rasteriser.draw(surface.vertices, image_matrix)
        stage_done()
        return fragments, surface.normals

    def _normal_image(
        self, fragments: Fragments, normals: Float32[Array, "V 3"]
    ) -> Float32[Array, "H W 3"]:
        return normal_image(fragments, self._faces, normals, self._workers)


def open_cpu_renderer(config: RenderConfig) -> CpuRenderer:
    """Open a renderer; the texture network, if the shading needs it, runs in ONNX Runtime.

    Raises:
        InputError: the folder lacks a file that the shading needs.
        MissingDependencyError: onnxruntime is needed and not installed.
    """
    workers = Workers(config.threads)
    session = None
    if SHADINGS[config.shading].uses_texture_network:
        session = open_session(config.folder.file(TEXTURE_GRAPH), threads=workers.threads)
    return CpuRenderer(config, workers, session)
