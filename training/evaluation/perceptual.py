"""LPIPS: the learned perceptual distance with AlexNet (Zhang et al. 2018), from a weights file."""

from __future__ import annotations

import pickle
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn

from imavatar_deploy.errors import InputError

from .metric import Case, Image, Masking, Metric, Perceptual

CHANNELS = (3, 64, 192, 384, 256, 256)
"""Channels of the input and of AlexNet's five convolutions."""

CONVOLUTIONS = ((11, 4, 2), (5, 1, 2), (3, 1, 1), (3, 1, 1), (3, 1, 1))
"""Kernel, stride and padding of AlexNet's convolutions. Pooling of size 3 and stride 2 follows each
of the first two."""

CONVOLUTION_INDICES = (0, 3, 6, 8, 10)
"""Indices of the convolutions in torchvision's `alexnet().features`."""

SHIFT = (-0.030, -0.088, -0.188)
SCALE = (0.458, 0.448, 0.450)
"""ImageNet's mean and standard deviation for colours in -1..1, as in the published LPIPS."""

MIN_SIDE = 31
"""Smallest side of an image, pixels; the second pooling of a smaller one is empty."""


class Lpips(nn.Module):
    """LPIPS distance with AlexNet.

    With torchvision and the `alex.pth` of the package lpips, a file of weights is written by

        alexnet = torchvision.models.alexnet(weights="DEFAULT").state_dict()
        torch.save({**alexnet, **torch.load("alex.pth")}, "weights.pth")

    Its keys are `features.{0,3,6,8,10}.{weight,bias}` and `lin{0..4}.model.1.weight`; others are
    ignored.
    """

    def __init__(self) -> None:
        super().__init__()
        sizes = zip(CONVOLUTION_INDICES, pairwise(CHANNELS), CONVOLUTIONS, strict=True)
        self.features = nn.ModuleDict(
            {str(name): nn.Conv2d(*channels, *shape) for name, channels, shape in sizes}
        )
        self.lins = nn.ModuleList(
            nn.Conv2d(channels, 1, 1, bias=False) for channels in CHANNELS[1:]
        )

    @torch.no_grad()
    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Distances `[B]` of images `[B, 3, H, W]` in 0..1."""
        shift, scale = (
            torch.tensor(values, device=a.device)[:, None, None] for values in (SHIFT, SCALE)
        )
        both = (2.0 * torch.cat([a, b]) - 1.0 - shift) / scale
        total = torch.zeros(len(a), device=a.device)
        for index, (layer, linear) in enumerate(
            zip(self.features.values(), self.lins, strict=True)
        ):
            if index in (1, 2):
                both = nn.functional.max_pool2d(both, 3, 2)
            both = layer(both).relu()
            first, second = nn.functional.normalize(both, dim=1, eps=1e-10).chunk(2)
            total = total + linear((first - second).square()).mean(dim=(1, 2, 3))
        return total


def load_perceptual(path: Path) -> Perceptual:
    """Load LPIPS from a file of weights.

    Returns:
        A function of two images that returns their distance. It raises an `InputError` for images
        of less than `MIN_SIDE` pixels a side.

    Raises:
        InputError: the file cannot be read or lacks a weight.
    """
    network = Lpips().eval()
    names = {_published_name(name): name for name in network.state_dict()}
    try:
        weights = torch.load(path, map_location="cpu", weights_only=True)
        network.load_state_dict({name: weights[published] for published, name in names.items()})
    except (
        OSError,
        RuntimeError,
        KeyError,
        TypeError,
        ValueError,
        pickle.UnpicklingError,
    ) as error:
        raise InputError(
            f"{path} does not hold LPIPS weights ({str(error)[:80]}); expected torchvision's "
            "alexnet keys (features.0.weight, …) and LPIPS's linear layers (lin0.model.1.weight, "
            "…) in one state dict"
        ) from error

    def distance(a: Image, b: Image) -> float:
        if min(a.shape[:2]) < MIN_SIDE:
            raise InputError(
                f"LPIPS needs images of at least {MIN_SIDE} pixels a side, got {list(a.shape[:2])}"
            )
        first, second = (torch.from_numpy(image).float().permute(2, 0, 1)[None] for image in (a, b))
        return float(network(first, second))

    return distance


def _published_name(name: str) -> str:
    kind, index, *rest = name.split(".")
    return f"lin{index}.model.1.weight" if kind == "lins" else ".".join([kind, index, *rest])


def _lpips(case: Case, masking: Masking) -> float:
    assert case.perceptual is not None
    return case.perceptual(*masking.pair(case))


LPIPS = Metric("LPIPS", "", "lower", "AlexNet, whole frame", _lpips, ("perceptual",))
