"""Slot: one frame in flight, from input to image on the host; FrameInput: the input's layout."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from imavatar_deploy.arrays import Array, Float32
from imavatar_deploy.avatar import Avatar
from imavatar_deploy.conventions import POSE_FEATURE_SIZE
from imavatar_deploy.kinematics import pose_feature, skinning_transforms

from .library import wp


class Slot:
    """One frame in flight. With two, the host prepares a frame while the device draws another.

    A frame is one launch: the input's copy and all kernels are one graph. On a GPU the finished
    image is copied in a stream of its own, while the next frame is drawn; on Warp's CPU device
    every call completes before it returns.

    States, on a GPU:

        free       the host may write `host_input`
        drawing    after `launch`: the graph runs in the drawing stream
        copying    the drawing stream has recorded `_drawn`; the copy to the host runs
        done       the copying stream has recorded `_copied`; `wait` returns, and `host_image` is
                   valid until the next `launch`

    Args:
        stages: launches all kernels of a frame; the last of them fills the image that it receives.
        inputs: `[size]` on the device.
        pixels: number of pixels of an image.
        stream, copies: streams for drawing and for copying; None on a CPU.
    """

    def __init__(
        self, stages: Callable[[Any], None], inputs: Any, pixels: int, stream: Any, copies: Any
    ) -> None:
        device = inputs.device
        pinned = bool(device.is_cuda)
        self._inputs = inputs
        self._stream = stream
        self._copies = copies
        self._host_input = wp.zeros(len(inputs), dtype=wp.float32, device="cpu", pinned=pinned)
        self.host_input = self._host_input.numpy()
        """[size] a frame's input, which the host writes."""
        self.image = wp.zeros((pixels, 4), dtype=wp.uint8, device=device)
        """[P, 4] RGBA on the device."""
        self._host_image = (
            wp.zeros((pixels, 4), dtype=wp.uint8, device="cpu", pinned=pinned)
            if pinned
            else self.image
        )
        self.host_image = self._host_image.numpy()
        """[P, 4] RGBA on the host, valid once `wait` has returned."""
        if pinned:
            self._drawn = wp.Event(device)
            self._copied = wp.Event(device)
        with wp.ScopedStream(stream), wp.ScopedCapture(device=device, stream=stream) as capture:
            self.upload()
            stages(self.image)
        self._graph = capture.graph

    def upload(self) -> None:
        """Copy the input to the device, in the current stream."""
        wp.copy(self._inputs, self._host_input)

    def launch(self) -> None:
        """Draw the frame; on a GPU, without waiting for it."""
        wp.capture_launch(self._graph, self._stream)
        if self._copies is not None:
            self._stream.record_event(self._drawn)
            self._copies.wait_event(self._drawn)
            self.fetch(self._copies)
            self._copies.record_event(self._copied)

    def fetch(self, stream: Any = None) -> None:
        """Copy the image to the host, in a stream or in the current one."""
        if self._host_image is not self.image:
            wp.copy(self._host_image, self.image, stream=stream)

    def wait(self) -> None:
        """Wait until the image is on the host."""
        if self._copies is not None:
            wp.synchronize_event(self._copied)


PART_ALIGNMENT = 64
"""Alignment of a part, in numbers: every part begins at a multiple of 256 bytes."""


class FrameInput:
    """Layout of a frame's input: a few kilobytes in one array, for one copy to the device.

    The parts are coefficients `[E + 36]`, bones `[12 J]`, image matrix `[12]` and the shading's
    constant `[C]`.
    """

    def __init__(self, avatar: Avatar, constant_size: int) -> None:
        self._avatar = avatar
        sizes = (
            avatar.expression_size + POSE_FEATURE_SIZE,
            12 * avatar.bone_count,
            12,
            constant_size,
        )
        starts = np.concatenate(
            [[0], np.cumsum([-(-size // PART_ALIGNMENT) * PART_ALIGNMENT for size in sizes])]
        )
        self.parts = tuple(
            slice(int(start), int(start) + size) for start, size in zip(starts, sizes, strict=False)
        )
        """The four parts, in that order."""
        self.size = int(starts[-1])

    def write(
        self,
        target: Float32[Array, " N"],
        expression: Float32[Array, " E"],
        pose: Float32[Array, "15"],
        image_matrix: Float32[Array, "3 4"],
        constant: Float32[Array, " C"],
    ) -> None:
        """Fill `target` `[size]`. Pose and bones are too small for a kernel (70 us on the host)."""
        coefficients, bones, matrix, rest = self.parts
        target[coefficients] = np.concatenate([expression, pose_feature(pose)])
        transforms = skinning_transforms(
            pose, self._avatar.joints(expression), self._avatar.bone_count
        )
        target[bones] = transforms[:, :3].reshape(-1)
        target[matrix] = image_matrix.reshape(-1)
        target[rest.start : rest.start + len(constant)] = constant
