"""LPIPS: the learned perceptual distance with AlexNet (Zhang et al. 2018), from a file of weights the user gives."""

from __future__ import annotations

import pickle
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn

from imavatar_deploy.errors import InputError

from .metric import Case, Image, Masking, Metric, Perceptual

CHANNELS = (3, 64, 192, 384, 256, 256)
CONVOLUTIONS = ((11, 4, 2), (5, 1, 2), (3, 1, 1), (3, 1, 1), (3, 1, 1))
"""Kernel, stride and padding of AlexNet's convolutions; the first two are followed by a pooling of 3, stride 2."""
NAMES = (0, 3, 6, 8, 10)
"""Where torchvision's `alexnet().features` has the convolutions."""
SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
"""ImageNet's mean and deviation for colours in -1..1, as in the published LPIPS."""
SMALLEST = 31
"""Pixels a side below which the second pooling has nothing left."""


class Lpips(nn.Module):
    """Distance of images in 0..1; its state is named as torchvision's AlexNet and LPIPS's linear layers are.

    A file of weights is made, where torchvision and the `alex.pth` of the lpips package are at hand, by
    `torch.save({**torchvision.models.alexnet(weights="DEFAULT").state_dict(), **torch.load("alex.pth")}, "F.pth")`.
    Its keys are `features.{0,3,6,8,10}.{weight,bias}` and `lin{0..4}.model.1.weight`; others are ignored.
    """

    def __init__(self) -> None:
        super().__init__()
        sizes = zip(NAMES, pairwise(CHANNELS), CONVOLUTIONS, strict=True)
        self.features = nn.ModuleDict(
            {str(name): nn.Conv2d(*ends, *form) for name, ends, form in sizes}
        )
        self.lins = nn.ModuleList(
            nn.Conv2d(channels, 1, 1, bias=False) for channels in CHANNELS[1:]
        )

    @torch.no_grad()
    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """[B] distances of images `[B, 3, H, W]` in 0..1."""
        shift, scale = (
            torch.tensor(values, device=a.device)[:, None, None] for values in (SHIFT, SCALE)
        )
        both = (2.0 * torch.cat([a, b]) - 1.0 - shift) / scale
        total = torch.zeros(len(a), device=a.device)
        for index, (layer, weigh) in enumerate(zip(self.features.values(), self.lins, strict=True)):
            both = layer(
                both if index not in (1, 2) else nn.functional.max_pool2d(both, 3, 2)
            ).relu()
            first, second = nn.functional.normalize(both, dim=1, eps=1e-10).chunk(2)
            total = total + weigh((first - second).square()).mean(dim=(1, 2, 3))
        return total


def load_perceptual(path: Path) -> Perceptual:
    """The distance of two images `[H, W, 3]` in 0..1 by the weights in a file.

    Raises:
        InputError: the file cannot be read or lacks a weight; or, later, an image is too small for AlexNet.
    """
    network = Lpips().eval()
    wanted = {_published_name(name): name for name in network.state_dict()}
    try:
        stored = torch.load(path, map_location="cpu", weights_only=True)
        network.load_state_dict({name: stored[published] for published, name in wanted.items()})
    except (
        OSError,
        RuntimeError,
        KeyError,
        TypeError,
        ValueError,
        pickle.UnpicklingError,
    ) as error:
        raise InputError(
            f"{path} does not hold LPIPS weights ({str(error)[:80]}); expected torchvision's alexnet keys "
            "(features.0.weight, …) and LPIPS's linear layers (lin0.model.1.weight, …) in one state dict"
        ) from error

    def distance(a: Image, b: Image) -> float:
        if min(a.shape[:2]) < SMALLEST:
            raise InputError(
                f"LPIPS needs images of at least {SMALLEST} pixels a side, got {list(a.shape[:2])}"
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
