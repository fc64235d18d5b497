"""NetworkSizes: widths, depths and encoding frequencies of the three networks."""

from __future__ import annotations

from dataclasses import dataclass

from imavatar_deploy.conventions import BONES, BOUNDING_RADIUS, CONDITION_SIZE, EXPRESSION_SIZE
from imavatar_deploy.errors import InputError

MAX_SIZE = 1 << 14
"""Upper bound of every size, far above those that can be trained; damaged files exceed it."""


@dataclass(frozen=True)
class NetworkSizes:
    """Sizes of the networks; published defaults (IMavatar, supplementary material, section 1).

    Raises:
        InputError: a size is impossible.
    """

    geometry_layers: tuple[int, ...] = (512,) * 8
    """Hidden widths of the geometry network."""
    geometry_skip: tuple[int, ...] = (4,)
    """Layers of the geometry network to whose input the input of the network is concatenated."""
    geometry_frequencies: int = 6
    """Octaves of positional encoding of the geometry network's point."""
    feature: int = 256
    """Length of the feature from the geometry network to the texture network."""
    latent: int = 0
    """Length of the per-frame latent code of the geometry network; 32 where used, 0 for none."""
    initial_radius: float = 0.6
    """Bias of the geometric initialisation; the sphere is somewhat smaller (0.4 to 0.6)."""
    deformation_layers: tuple[int, ...] = (128,) * 4
    """Hidden widths of the deformation network."""
    deformation_frequencies: int = 0
    """Octaves of positional encoding of the deformation network's point; the paper has none."""
    expressions: int = EXPRESSION_SIZE
    """Expression blendshapes; the head models have 50."""
    bones: int = len(BONES) + 1
    """Skinning bones: one more than the kinematic bones when there is a ghost bone."""
    texture_layers: tuple[int, ...] = (512,) * 4
    """Hidden widths of the texture network."""
    texture_frequencies: int = 4
    """Octaves of positional encoding of the texture network's point."""
    bottleneck: int = 8
    """Length to which a linear layer reduces the condition of the texture network."""
    condition: int = CONDITION_SIZE
    """Length of the condition of the texture network: the expression and the jaw pose."""

    def __post_init__(self) -> None:
        widths = (*self.geometry_layers, *self.deformation_layers, *self.texture_layers)
        counts = (*widths, self.feature, self.expressions, self.bottleneck, self.condition)
        optional = (
            self.latent,
            self.geometry_frequencies,
            self.deformation_frequencies,
            self.texture_frequencies,
        )
        whole = (*counts, *optional, *self.geometry_skip, self.bones)
        if not all(
            isinstance(size, int) and not isinstance(size, bool) and size <= MAX_SIZE
            for size in whole
        ):
            raise InputError(
                f"network sizes must be whole numbers of at most {MAX_SIZE}, got {self}"
            )
        if min(counts) < 1 or min(optional) < 0:
            raise InputError(f"network sizes must be positive, got {self}")
        radius = self.initial_radius
        if (
            isinstance(radius, bool)
            or not isinstance(radius, float | int)
            or not 0 < radius < BOUNDING_RADIUS
        ):
            raise InputError(
                f"initial_radius must be a number between 0 and {BOUNDING_RADIUS}, "
                f"got {radius!r:.40}"
            )
        if not (self.geometry_layers and self.deformation_layers and self.texture_layers):
            raise InputError(f"every network needs a hidden layer, got {self}")
        if not all(0 < layer <= len(self.geometry_layers) for layer in self.geometry_skip):
            raise InputError(
                f"skips must name layers 1 to {len(self.geometry_layers)}, got {self.geometry_skip}"
            )
        if self.bones not in (len(BONES), len(BONES) + 1):
            raise InputError(f"bones must be {len(BONES)} or {len(BONES) + 1}, got {self.bones}")
