"""Slot: one frame in flight, from its input on the host to its image on the host."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imavatar_deploy.avatar import Avatar
from imavatar_deploy.conventions import POSE_FEATURE_SIZE
from imavatar_deploy.kinematics import pose_feature, skinning_transforms

from .library import wp


class Slot:
    """Two of them let the host prepare a frame while the device draws the one before.

    A frame is one launch: the input's copy and all kernels are one graph. On a GPU the finished image travels in a
    stream of its own, while the next frame is drawn; on Warp's CPU device everything happens at once, in order.

    Args:
        stages: launch all kernels of a frame, the last of them filling the image it is given.
        inputs: `[size]` on the device.
        pixels: how many pixels an image has.
    """

    def __init__(
        self, stages: Callable[[Any], None], inputs: Any, pixels: int, stream: Any, copies: Any
    ) -> None:
        device = inputs.device
        pinned = bool(device.is_cuda)
        self._inputs, self._stream, self._copies = inputs, stream, copies
        self._given = wp.zeros(len(inputs), dtype=wp.float32, device="cpu", pinned=pinned)
        self.given = self._given.numpy()
        """[size] where the host writes a frame's input."""
        self.image = wp.zeros((pixels, 4), dtype=wp.uint8, device=device)
        """On the device."""
        self._landed = (
            wp.zeros((pixels, 4), dtype=wp.uint8, device="cpu", pinned=pinned)
            if pinned
            else self.image
        )
        self.landed = self._landed.numpy()
        """[P, 4] RGBA on the host, once `wait` has returned."""
        if pinned:
            self._drawn, self._there = wp.Event(device), wp.Event(device)
        with wp.ScopedStream(stream), wp.ScopedCapture(device=device, stream=stream) as capture:
            self.upload()
            stages(self.image)
        self._graph = capture.graph

    def upload(self) -> None:
        """The input to the device, in the current stream."""
        wp.copy(self._inputs, self._given)

    def launch(self) -> None:
        """Draw; returns at once on a GPU."""
        wp.capture_launch(self._graph, self._stream)
        if self._copies is not None:
            self._stream.record_event(self._drawn)
            self._copies.wait_event(self._drawn)
            self.fetch(self._copies)
            self._copies.record_event(self._there)

    def fetch(self, stream: Any = None) -> None:
        """The image to the host, in a stream or in the current one."""
        if self._landed is not self.image:
            wp.copy(self._landed, self.image, stream=stream)

    def wait(self) -> None:
        """Until the image has landed."""
        if self._copies is not None:
            wp.synchronize_event(self._there)


# FrameInput: the few kilobytes that a frame needs of the host, in one array that travels in one copy.


Float = NDArray[np.float32]

ALIGNED = 64
"""Numbers: every part begins at a multiple of 256 bytes."""


class FrameInput:
    """Where things lie: coefficients `[E + 36]`, bones `[12 J]`, image matrix `[12]`, the shading's constant `[C]`."""

    def __init__(self, avatar: Avatar, constant_size: int) -> None:
        self._avatar = avatar
        sizes = (
            avatar.expression_size + POSE_FEATURE_SIZE,
            12 * avatar.bone_count,
            12,
            constant_size,
        )
        starts = np.concatenate([[0], np.cumsum([-(-size // ALIGNED) * ALIGNED for size in sizes])])
        self.parts = tuple(
            slice(int(start), int(start) + size) for start, size in zip(starts, sizes, strict=False)
        )
        """The four parts, in that order."""
        self.size = int(starts[-1])

    def write(
        self, target: Float, expression: Float, pose: Float, image_matrix: Float, constant: Float
    ) -> None:
        """Fill `target` `[size]`; pose and bones are too small to be worth a kernel (70 us here)."""
        coefficients, bones, matrix, rest = self.parts
        target[coefficients] = np.concatenate([expression, pose_feature(pose)])
        moved = skinning_transforms(pose, self._avatar.joints(expression), self._avatar.bone_count)
        target[bones] = moved[:, :3].reshape(-1)
        target[matrix] = image_matrix.reshape(-1)
        target[rest.start : rest.start + len(constant)] = constant
