"""Models for the tests: the reference checkpoint, small random ones, and the published layout."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from imavatar_deploy.head_model import HeadModel
from imavatar_deploy.model import (
    VARIANTS,
    HeadAvatarModel,
    ImplicitAvatar,
    NetworkSizes,
    load_checkpoint,
)

VERTICES = 12
SMALL: dict[str, Any] = {
    "geometry_layers": (64, 64, 64),
    "geometry_skip": (2,),
    "geometry_frequencies": 2,
    "feature": 8,
    "deformation_layers": (16, 12),
    "texture_layers": (20, 24),
    "texture_frequencies": 1,
    "bottleneck": 4,
}


@pytest.fixture(scope="session")
def official_run(reference: Path) -> Path:
    """Run folder of the reference checkpoint."""
    return reference / "experiments" / "openhead" / "IMavatar" / "train0" / "train"


@pytest.fixture(scope="session")
def official(official_run: Path) -> ImplicitAvatar:
    return load_checkpoint(official_run)


def random_head(rng: np.random.Generator) -> HeadModel:
    def normal(*shape: int) -> NDArray[np.float32]:
        return rng.normal(0.0, 0.05, shape).astype(np.float32)

    weights = rng.random((VERTICES, 5))
    regressor = rng.random((5, VERTICES))
    return HeadModel(
        template=normal(VERTICES, 3),
        faces=rng.integers(0, VERTICES, (6, 3), dtype=np.int32),
        shape_basis=np.zeros((VERTICES, 3, 0), dtype=np.float32),
        expression_basis=normal(VERTICES, 3, 50),
        pose_basis=normal(VERTICES, 3, 36),
        joint_regressor=(regressor / regressor.sum(1, keepdims=True)).astype(np.float32),
        weights=(weights / weights.sum(1, keepdims=True)).astype(np.float32),
        edition="flame2020",
        expression_names=tuple(f"expression_{index:02d}" for index in range(50)),
    )


@pytest.fixture
def make_avatar() -> Callable[..., ImplicitAvatar]:
    """Return a function that builds a small avatar with random weights."""

    def make(**sizes: Any) -> ImplicitAvatar:
        torch.manual_seed(0)
        head = random_head(np.random.default_rng(0))
        avatar = ImplicitAvatar(head, NetworkSizes(**(SMALL | sizes)), {"kind": "test"}).eval()
        with torch.no_grad():
            for tensor in avatar.state_dict().values():
                tensor.add_(torch.randn_like(tensor) * 0.05)
        return avatar

    return make


@pytest.fixture
def make_variant() -> Callable[..., HeadAvatarModel]:
    """Return a function that builds a small variant, with noise on its initial weights."""

    def make(name: str, *, noise: float = 0.03, **sizes: Any) -> HeadAvatarModel:
        torch.manual_seed(0)
        head = random_head(np.random.default_rng(0))
        model = VARIANTS[name].build(head, NetworkSizes(**(SMALL | sizes)), {"kind": "test"}).eval()
        with torch.no_grad():
            for tensor in model.state_dict().values():
                tensor.add_(torch.randn_like(tensor) * noise)
        return model

    return make


@pytest.fixture
def small(make_avatar: Callable[..., ImplicitAvatar]) -> ImplicitAvatar:
    return make_avatar()


@pytest.fixture
def points() -> torch.Tensor:
    return torch.rand(64, 3, generator=torch.Generator().manual_seed(1)) * 2.0 - 1.0


@pytest.fixture
def frame() -> tuple[torch.Tensor, torch.Tensor]:
    """Expression `[50]` and pose `[15]`."""
    generator = torch.Generator().manual_seed(2)
    return torch.rand(50, generator=generator), torch.randn(15, generator=generator) * 0.3


PREFIXES = {
    "geometry": "geometry_network",
    "deformation": "deformer_network",
    "texture": "rendering_network",
}


def published_name(name: str, *, old_spelling: bool) -> str:
    network, rest = name.split(".", 1)
    rest = rest.replace("layers.", "lin").replace("skinning_hidden", "skinning_linear")
    if network == "texture":
        rest = rest.replace("bottleneck", "condition_bottleneck")
    if old_spelling:
        rest = rest.replace("parametrizations.weight.original0", "weight_g")
        rest = rest.replace("parametrizations.weight.original1", "weight_v")
    return f"{PREFIXES[network]}.{rest}"


@pytest.fixture
def publish() -> Callable[..., dict[str, Any]]:
    """Return a function that converts an avatar to the contents of a published checkpoint."""

    def convert(avatar: ImplicitAvatar, *, old_spelling: bool = True) -> dict[str, Any]:
        head = avatar.head
        vertices = len(head.template)
        basis = np.concatenate([np.zeros((vertices, 3, 100)), 4.0 * head.expression_basis], axis=2)
        flame = {
            "eye_pose": np.zeros((1, 6)),
            "neck_pose": np.zeros((1, 3)),
            "faces_tensor": head.faces.astype(np.int64),
            "v_template": 4.0 * head.template,
            "shapedirs": basis,
            "posedirs": 4.0 * head.pose_basis.reshape(-1, 36).T,
            "J_regressor": head.joint_regressor,
            "parents": np.array([-1, 0, 1, 1, 1]),
            "lbs_weights": head.weights,
        }
        tensors = {
            name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in flame.items()
        }
        tensors = {
            name: tensor.float() if tensor.is_floating_point() else tensor
            for name, tensor in tensors.items()
        }
        state = {
            f"{prefix}FLAMEServer.{name}": tensor
            for prefix in ("", "deformer_network.")
            for name, tensor in tensors.items()
        }
        for name, tensor in avatar.state_dict().items():
            if name != "geometry.latent":
                state[published_name(name, old_spelling=old_spelling)] = tensor.clone()
        return {"epoch": 7, "model_state_dict": state}

    return convert
