"""TorchSession: the baked texture network in torch behind the face of ONNX Runtime's session."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from imavatar_deploy.conventions import CONDITION_SIZE

from ..bake import Bake
from ..format import Subject
from ..graph_modules import BakedTexture


class _Value(NamedTuple):
    name: str
    shape: tuple[Any, ...]


class TorchSession:
    """What draws the hop `baked`: nothing has been exported yet, all else is the player's own path."""

    def __init__(self, subject: Subject) -> None:
        code = subject.bake.code
        self._network = BakedTexture(subject.source.texture, code.decode, code.mean)
        self._bake: Bake = subject.bake
        self._device = subject.source.canonical_pose.device

    def get_inputs(self) -> tuple[_Value, ...]:
        """As ONNX Runtime's."""
        code = self._bake.avatar.texture_code.shape[1]
        return _Value("code", ("N", code)), _Value("normal", ("N", 3)), _Value("condition", (1, CONDITION_SIZE))

    def get_outputs(self) -> tuple[_Value, ...]:
        """As ONNX Runtime's."""
        return (_Value("rgb", ("N", 3)),)

    def run(self, names: Sequence[str] | None, feed: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        """As ONNX Runtime's."""
        arrays = [np.ascontiguousarray(feed[value.name]) for value in self.get_inputs()]
        given = [torch.from_numpy(array).to(self._device) for array in arrays]
        with torch.inference_mode():
            return [self._network(*given).cpu().numpy()]
