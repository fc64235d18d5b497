"""Colours of the parts, and the texture codes that give them to a texture network."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from imavatar_deploy.arrays import Array, Float32
from imavatar_deploy.model.texture import TextureNetwork
from imavatar_deploy.progress import Progress, silent

from ..formats.onnx_modules import BakedTexture
from ..texture_code import TextureCode

MOUTH = (0.36, 0.12, 0.12)
TEETH = (0.95, 0.92, 0.85)
GAPS = (0.62, 0.50, 0.42)
GUMS = (0.72, 0.36, 0.35)
TONGUE = (0.70, 0.33, 0.32)

MATERIALS = {
    "upper teeth": TEETH,
    "gaps of upper teeth": GAPS,
    "upper gums": GUMS,
    "lower teeth": TEETH,
    "gaps of lower teeth": GAPS,
    "lower gums": GUMS,
    "tongue": TONGUE,
    "furrow of the tongue": MOUTH,
    "mouth": MOUTH,
}
"""Usual colours of what is in a mouth, without shade; a vertex mixes some of them."""

VEINS = (0.92, 0.76, 0.73)
"""Factors on the sclera where it is full of veins, in the corners."""

PUPIL = (0.02, 0.02, 0.02)

SHADE = 0.92
"""Factor on the colours of front teeth, which lips shade."""

DARKEST = 0.2
"""Factor on the colours at the back of the mouth."""

DARK_DEPTH = 0.2
"""Depth behind the lips from which colours are darkest, model units (50 mm)."""


def smoothstep(low: float, high: float, values: Float32[Array, " N"]) -> Float32[Array, " N"]:
    """Rise smoothly from 0 at `low` to 1 at `high`."""
    share = np.clip((values - low) / (high - low), 0.0, 1.0)
    return np.asarray(share * share * (3.0 - 2.0 * share), dtype=np.float32)


def mixed(
    under: Float32[Array, "N 3"], over: tuple[float, float, float], mask: Float32[Array, " N"]
) -> Float32[Array, "N 3"]:
    """Mix colours: `under` where the mask is 0, `over` where it is 1."""
    return np.asarray(
        under + mask[:, None] * (np.asarray(over, dtype=np.float32) - under), dtype=np.float32
    )


def shade_of_depth(depth: Float32[Array, " N"]) -> Float32[Array, " N"]:
    """How dark it is in a mouth, 0..1, by the depth behind the lips: no light falls into it."""
    return smoothstep(0.015, DARK_DEPTH, depth)


@dataclass(frozen=True)
class MouthPalette:
    """Colours of the materials of a mouth, sRGB in 0..1."""

    front: Float32[Array, "M 3"]
    """Where it is brightest: at the lips."""
    back: Float32[Array, "M 3"]
    """Where it is darkest: at the back of the mouth."""

    def colours(
        self, material: Float32[Array, "N M"], shade: Float32[Array, " N"]
    ) -> Float32[Array, "N 3"]:
        """Return the colours of vertices.

        Args:
            material: shares of the materials.
            shade: how dark it is, see `shade_of_depth`.
        """
        dark = shade[:, None]
        mixture = (1.0 - dark) * (material @ self.front) + dark * (material @ self.back)
        return np.asarray(mixture, dtype=np.float32)


def usual_palette() -> MouthPalette:
    """Return the colours of a mouth of which no picture is known."""
    colours = np.asarray(list(MATERIALS.values()), dtype=np.float32)
    return MouthPalette(np.float32(SHADE) * colours, np.float32(DARKEST) * colours)


def teeth_materials(template: Float32[Array, "N 3"]) -> Float32[Array, "N M"]:
    """Shares of the materials of a row of teeth: ivory with soft gaps, and gums towards the jaw.

    Args:
        template: vertices of a row of teeth at rest, model units.
    """
    x, y, z = template.T
    height = (y - y.min()) / np.maximum(np.ptp(y), 1e-6)
    upper = _is_upper(template)
    along = np.arctan2(x - x.mean(), z - z.min() - 0.01) / 0.215
    gap = 0.45 * np.exp(-(((along - np.round(along)) / 0.10) ** 2))
    gum = smoothstep(0.45, 0.62, height) if upper else smoothstep(0.62, 0.45, height)
    share = np.stack([(1.0 - gap) * (1.0 - gum), gap * (1.0 - gum), gum], axis=1)
    return _of_rows(share, "upper teeth" if upper else "lower teeth")


def _is_upper(template: Float32[Array, "N 3"]) -> bool:
    """Whether a row of teeth is the upper one: its front edge is below its back."""
    front = template[:, 2] > np.quantile(template[:, 2], 0.8)
    back = template[:, 2] < np.quantile(template[:, 2], 0.2)
    return bool(template[front, 1].min() < template[back, 1].min())


def tongue_materials(template: Float32[Array, "N 3"]) -> Float32[Array, "N M"]:
    """Shares of the materials of a tongue: pink with a furrow down the middle."""
    furrow = 0.3 * np.exp(-(((template[:, 0] - template[:, 0].mean()) / 0.012) ** 2))
    return _of_rows(np.stack([1.0 - furrow, furrow], axis=1), "tongue")


def mouth_materials(count: int) -> Float32[Array, "N M"]:
    """Shares of the materials of the inside of the mouth: one colour."""
    return _of_rows(np.ones((count, 1), np.float32), "mouth")


def _of_rows(share: Float32[Array, "N K"], first: str) -> Float32[Array, "N M"]:
    """Shares of all materials, of which those of K rows from a named one on are not zero."""
    before = list(MATERIALS).index(first)
    after = len(MATERIALS) - before - share.shape[1]
    return np.pad(share, ((0, 0), (before, after)))


def eye_colours(
    direction: Float32[Array, "N 3"], iris: Float32[Array, "3"], sclera: Float32[Array, "3"]
) -> Float32[Array, "N 3"]:
    """Sclera, iris with a dark rim, and pupil; darker above, below the lid.

    Args:
        direction: unit vectors from the middle of the eyeball; the pupil is at +z.
        iris: colour of the iris.
        sclera: colour of the sclera in the middle of the eye's height.
    """
    angle = np.degrees(np.arccos(direction[:, 2].clip(-1.0, 1.0)))
    ring = (
        np.broadcast_to(iris, direction.shape)
        * (1.0 - 0.55 * smoothstep(17.0, 24.0, angle))[:, None]
    )
    veins = 0.6 * smoothstep(35.0, 60.0, angle)[:, None]
    colour = np.broadcast_to(sclera, direction.shape) * (
        1.0 - veins * (1.0 - np.asarray(VEINS, dtype=np.float32))
    )
    inside = smoothstep(26.5, 24.0, angle)[:, None]
    colour = colour + inside * (ring - colour)
    colour = mixed(colour, PUPIL, smoothstep(11.5, 10.0, angle))
    shade = 1.0 - 0.3 * smoothstep(0.0, 0.5, direction[:, 1])
    return np.asarray(colour * shade[:, None], dtype=np.float32)


# Texture codes
#
# The codes of the skin do not reach every colour of a part, and codes of similar colours may differ
# so much that other colours lie between them. Parts therefore have components of their own: the
# powers of their colour, which the decoder maps to the first layer of the network.

POWERS = 10
"""Number of components that `powers` returns."""

STEPS = 400
BATCH = 256
RATE = 0.12
"""Adam's initial learning rate of the decoder; it falls to zero."""

DARK = 0.1
"""Added to the colour by which an error is divided, so that dark colours are exact, too."""

NORMAL_SPREAD = 0.5
"""Standard deviation of random normals around the front, per component."""


def powers(colours: Float32[Array, "P 3"]) -> Float32[Array, "P 10"]:
    """Return the powers of colours up to the second."""
    r, g, b = np.asarray(colours, dtype=np.float32).T
    terms = [np.ones_like(r), r, g, b, r * r, g * g, b * b, r * g, g * b, b * r]
    return np.ascontiguousarray(np.stack(terms, axis=1))


def with_colour_components(
    network: TextureNetwork,
    code: TextureCode,
    colours: Float32[Array, "P 3"],
    conditions: Tensor,
    progress: Progress = silent,
) -> TextureCode:
    """Append a component for each of `powers` to a code; it is zero at the skin's vertices.

    The decoder of the components is fitted so that the network has the given colours in all
    conditions and for all normals.

    Args:
        network: the texture network.
        code: codes of the skin and their decoder.
        colours: the colours of the parts, sRGB in 0..1.
        conditions: `[C, 53]` expressions and jaws.
        progress: shows how far the work is.
    """
    palette = np.unique(np.float32(np.rint(64.0 * colours) / 64.0), axis=0)
    target = torch.from_numpy(palette).to(conditions)
    terms = torch.from_numpy(powers(palette)).to(conditions)
    width = len(code.mean)
    baked = BakedTexture(network, np.eye(width, dtype=np.float32), code.mean)
    decode = torch.zeros((POWERS, width)).to(conditions).requires_grad_()
    adam = torch.optim.Adam([decode], lr=RATE)
    schedule = torch.optim.lr_scheduler.LambdaLR(adam, lambda step: 1.0 - step / STEPS)
    generator = torch.Generator().manual_seed(0)
    with progress("colours of the parts", STEPS) as advance:
        for _ in range(STEPS):
            rows = torch.randint(len(target), (BATCH,), generator=generator)
            share = torch.rand((BATCH, 1), generator=generator).to(target)
            other = rows.flip(0)
            normal = _random_normals(BATCH, generator).to(target)
            frame = torch.randint(len(conditions), (1,), generator=generator)
            first = (share * terms[rows] + (1.0 - share) * terms[other]) @ decode
            rgb = baked(first, normal, conditions[frame])
            expected = share * target[rows] + (1.0 - share) * target[other]
            loss = ((rgb - expected) / (expected + DARK)).square().mean()
            adam.zero_grad(set_to_none=True)
            torch.autograd.backward(loss)
            adam.step()
            schedule.step()
            advance(1)
    return TextureCode(
        np.pad(code.code, ((0, 0), (0, POWERS))),
        np.concatenate([code.decode, decode.detach().cpu().numpy()]),
        code.mean,
        code.loss,
    )


def _random_normals(count: int, generator: torch.Generator) -> Tensor:
    noise = NORMAL_SPREAD * torch.randn((count, 3), generator=generator)
    noise[:, 2] += 1.0
    return torch.nn.functional.normalize(noise)
