"""Photometric refinement of pose, expression and camera of single frames.

A pixel shows a point of the surface. Where that point moves by du pixels, the picture under it
changes by g . du, with g the gradient of the picture. Of the difference D between the student's
colour and the picture, the part that a motion of the frame's parameters q can explain is found by
Gauss-Newton with a prior on the tracked values q_0 (Lucas and Kanade, 1981, on a morphable model):

    minimise  sum w |D - g . J dq|^2 + |(q + dq - q_0) / sigma|^2

J = du/dq follows from the linear blendshapes, the skinning and the camera. No renderer has to be
differentiated, because the surface was drawn at q: its points lie at the centres of the pixels.
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from imavatar_deploy.arrays import Array, Bool, Float, Float32, Float64, Int64, Integer
from imavatar_deploy.avatar import Avatar
from imavatar_deploy.conventions import POSE_SIZE
from imavatar_deploy.progress import Progress
from imavatar_deploy.rendering.posing import Animator
from imavatar_deploy.rendering.workers import Workers

from .raster_frames import RasterFrames, Shots
from .refinable_student import RefinableStudent, frame_colours

POINTS = 4000
"""Pixels of a frame that are used, evenly spaced."""

BLUR = 1.5
"""Standard deviation of the blur of both pictures before they are compared, pixels."""

MARGIN = 3
"""Pixels between the used pixels and the outline of the mask, whose background the blur spreads."""

NOISE = 0.04
"""Difference of colours beyond which a pixel counts less: it shows what the student cannot."""

INDEPENDENT = 0.05
"""Share of the pixels that count as independent measurements; neighbours have the same errors."""

EXPRESSION_DEVIATION = 0.1
"""Prior's standard deviation of an expression coefficient."""

ANGLE_DEVIATION = 0.02
"""Of an angle of the pose, radians."""

SHIFT_DEVIATION = 0.01
"""Of the camera's translation, model units (2.5 mm)."""

DAMPING = 0.7
"""Share of a Gauss-Newton step that is taken."""

LARGEST = 2.0
"""Largest change of a parameter, in standard deviations of its prior."""

ANGLE_STEP = 1e-3
"""Step of the finite differences by which angles are differentiated, radians."""


class FramePoses:
    """Pose, expression and camera of T frames, refined step by step from their tracked values.

    Args:
        avatar: the baked avatar.
        tracked: the pictures with their tracked parameters.
    """

    def __init__(self, avatar: Avatar, tracked: Shots) -> None:
        self._avatar = avatar
        self._tracked = tracked
        frames, size = len(tracked), avatar.expression_size
        self._change = np.zeros((frames, size + POSE_SIZE + 3))
        self._deviation = np.repeat(
            [EXPRESSION_DEVIATION, ANGLE_DEVIATION, SHIFT_DEVIATION], [size, POSE_SIZE, 3]
        )

    @property
    def shots(self) -> Shots:
        """The pictures with the refined parameters."""
        size = self._avatar.expression_size
        change = self._change.astype(np.float32)
        matrix = self._tracked.image_matrix.copy()
        matrix[:, :, 3] += np.einsum("trc,tc->tr", matrix[:, :, :3], change[:, size + POSE_SIZE :])
        return replace(
            self._tracked,
            expression=self._tracked.expression + change[:, :size],
            pose=self._tracked.pose + change[:, size : size + POSE_SIZE],
            image_matrix=matrix,
        )

    def step(self, student: RefinableStudent, frames: RasterFrames, progress: Progress) -> None:
        """Take one step in every frame.

        Args:
            student: its colours are compared with the pictures.
            frames: the surface, drawn with the parameters of `shots`.
            progress: shows how far the work is.
        """
        shots = self.shots
        with Workers() as workers, progress("refining the poses", len(shots)) as advance:
            animator = Animator(self._avatar, workers)
            for t in range(len(shots)):
                self._step_frame(t, student, frames, shots, animator)
                advance(1)

    def _step_frame(
        self,
        t: int,
        student: RefinableStudent,
        frames: RasterFrames,
        shots: Shots,
        animator: Animator,
    ) -> None:
        difference, gradient, rows = _compare(student, frames, shots, t)
        if len(rows) == 0:
            return
        motion = self._motion(frames, rows, shots, t, animator)
        slope = np.einsum("nkp,npq->nkq", gradient, motion)  # [N, 3, Q] change of colour
        weight = INDEPENDENT / (NOISE * np.maximum(np.abs(difference), NOISE))
        weighted = (slope * weight[:, :, None]).reshape(-1, slope.shape[2])
        prior = 1.0 / np.square(self._deviation)
        matrix = weighted.T @ slope.reshape(weighted.shape) + np.diag(prior)
        right = weighted.T @ difference.ravel() - prior * self._change[t]
        change = self._change[t] + DAMPING * np.linalg.solve(matrix, right)
        bound = LARGEST * self._deviation
        self._change[t] = np.clip(change, -bound, bound)

    def _motion(
        self,
        frames: RasterFrames,
        rows: Int64[Array, " N"],
        shots: Shots,
        t: int,
        animator: Animator,
    ) -> Float64[Array, "N 2 Q"]:
        """Motion of the pixels' points in the image per unit of each parameter."""
        corners = frames.faces[frames.face[rows]]
        weights = frames.weights[rows]

        def at_pixels(field: Float[Array, "V 3"]) -> Float64[Array, "N 3"]:
            at = np.einsum("nk,nkc->nc", weights, field[corners])
            return np.asarray(at, dtype=np.float64)

        expression, pose = shots.expression[t], shots.pose[t]
        posed = animator(expression, pose)
        still = posed.vertices.copy()
        points = at_pixels(still)
        # Expressions: the skinning turns the displacement of each vertex.
        avatar = self._avatar
        turned = np.einsum(
            "jnk,jrc->nkrc", avatar.skin_weights[:, corners], posed.bones[:, :3, :3], optimize=True
        )
        shapes = np.einsum(
            "nk,nkrc,ecnk->nre",
            weights,
            turned,
            avatar.expression_basis[:, :, corners],
            optimize=True,
        )
        angles = []
        for angle in range(POSE_SIZE):
            moved = pose.copy()
            moved[angle] += ANGLE_STEP
            angles.append((at_pixels(animator(expression, moved).vertices) - points) / ANGLE_STEP)
        in_space = np.concatenate(
            [
                shapes,
                np.stack(angles, axis=2),
                np.broadcast_to(np.eye(3), (len(rows), 3, 3)),
            ],
            axis=2,
        )
        return _project(shots.image_matrix[t].astype(np.float64), points, in_space)


def _project(
    matrix: Float64[Array, "3 4"], points: Float64[Array, "N 3"], motion: Float64[Array, "N 3 Q"]
) -> Float64[Array, "N 2 Q"]:
    """Motion in the image, pixels, of points that move in space."""
    homogeneous = points @ matrix[:, :3].T + matrix[:, 3]
    depth = homogeneous[:, 2, None]
    pixel = homogeneous[:, :2] / depth
    slope = (matrix[None, :2, :3] - pixel[:, :, None] * matrix[2, :3]) / depth[:, :, None]
    return np.asarray(slope @ motion)


def _compare(
    student: RefinableStudent, frames: RasterFrames, shots: Shots, t: int
) -> tuple[Float64[Array, "N 3"], Float64[Array, "N 3 2"], Int64[Array, " N"]]:
    """Difference of colours and gradient of the picture at the used pixels, and their rows.

    The gradient is that of the mean of both pictures, which makes the step exact to second order.
    """
    rows = frames.rows(t)
    place = frames.place[rows]
    colours = frame_colours(student, frames, t)
    picture = shots.image[t].astype(np.float32) / np.float32(255)
    drawn = picture.copy()
    drawn.reshape(-1, 3)[place] = colours
    blurred = [cv2.GaussianBlur(image, (0, 0), BLUR) for image in (drawn, picture)]
    mean = 0.5 * (blurred[0] + blurred[1])
    gradient = np.stack([_slope(mean, axis=1), _slope(mean, axis=0)], axis=-1)
    inner = _eroded(place, shots.size)
    used = np.flatnonzero(inner)
    used = used[np.linspace(0, len(used) - 1, min(POINTS, len(used))).astype(np.int64)]
    pixel = place[used]
    difference = (blurred[0] - blurred[1]).reshape(-1, 3)[pixel]
    return (
        difference.astype(np.float64),
        gradient.reshape(-1, 3, 2)[pixel].astype(np.float64),
        rows[used],
    )


def _slope(image: Float32[Array, "S S 3"], axis: int) -> Float32[Array, "S S 3"]:
    """Central differences along an axis."""
    return np.asarray(np.gradient(image, axis=axis), dtype=np.float32)


def _eroded(place: Integer[Array, " N"], size: int) -> Bool[Array, " N"]:
    """Which pixels lie at least `MARGIN` pixels inside the region of all of them."""
    region = np.zeros(size * size, dtype=np.uint8)
    region[place] = 1
    square = np.ones((2 * MARGIN + 1, 2 * MARGIN + 1), dtype=np.uint8)
    eroded = cv2.erode(region.reshape(size, size), square, borderType=cv2.BORDER_CONSTANT)
    return np.asarray(eroded.ravel()[place] > 0)
