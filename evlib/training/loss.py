"""MS-SSIM at 64x64 pixels (section 3.3: "a Multi-Scale Structural Similarity Index Measure (SSIM) loss").

The same numbers as pytorch-msssim (a test compares them), with three differences in how they are computed:

* The usual five scales with a window of 11 pixels need images of at least 176; 64 pixels allow a window of 4.
* At a scale where two frames are opposites, the term is negative and a power of it is NaN. pytorch-msssim clamps it to
  zero, and with it the product of all scales: such a frame has no gradient. Here it is clamped to slightly above zero,
  so that the other scales still have a gradient.
* The Gaussian window is applied as sums of shifted images, not as convolutions: ten times faster on a CPU, where it
  would otherwise take most of a small network's step.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from evlib.config import TrainConfig

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # of the scales, finest first: Wang, Simoncelli and Bovik, 2003
C1, C2 = 0.01**2, 0.03**2  # SSIM's constants for images in 0..1
SIGMA = 1.5  # of the Gaussian window, in pixels
FLOOR = 1e-4
SOFT = 1e-3  # keeps the slope of `concave` finite at 0


def ms_ssim(x: Tensor, y: Tensor, window: int = 3) -> Tensor:
    """Two (N, C, H, W) float 0..1 -> (N,) similarity; 1 where they are equal. Computed in float32."""
    if x.shape != y.shape or x.dim() != 4 or min(x.shape[-2:]) < window * 16:
        shapes = f"{tuple(x.shape)} and {tuple(y.shape)}"
        raise ValueError(f"ms_ssim wants two (N, C, H, W) of at least {window * 16} pixels, found {shapes}")
    x, y = x.float(), y.float()
    result: Tensor | float = 1.0
    for scale, weight in enumerate(WEIGHTS):
        last = scale == len(WEIGHTS) - 1
        factor = ssim_map(x, y, window, luminance=last).mean(dim=(-2, -1))  # (N, C)
        result = result * factor.clamp(min=FLOOR) ** weight
        if not last:
            x, y = F.avg_pool2d(x, 2), F.avg_pool2d(y, 2)
    return result.mean(dim=1)


def ssim_map(x: Tensor, y: Tensor, window: int, luminance: bool = True) -> Tensor:
    """The contrast-structure term wherever the window fits, (N, C, H', W'), by default times the luminance term."""
    moments = x, y, x * x, y * y, x * y
    # One by one they stay in a CPU's cache; together they take a fifth of the kernels on a GPU.
    blurred = blur(torch.stack(moments), window) if x.is_cuda else (blur(moment, window) for moment in moments)
    mx, my, mxx, myy, mxy = blurred
    mx2, my2, mx_my = mx * mx, my * my, mx * my
    structure = (2 * (mxy - mx_my) + C2) / ((mxx - mx2) + (myy - my2) + C2)
    return structure * (2 * mx_my + C1) / (mx2 + my2 + C1) if luminance else structure


def blur(x: Tensor, window: int) -> Tensor:
    """(..., H, W) -> (..., H', W'): the mean under the Gaussian window, wherever it fits."""
    weights = [math.exp(-((i - window // 2) ** 2) / (2 * SIGMA**2)) for i in range(window)]
    for dim in (-1, -2):
        first, *others = (x.narrow(dim, i, x.shape[dim] - window + 1) for i in range(window))
        x = first * (weights[0] / sum(weights))
        for other, weight in zip(others, weights[1:], strict=True):
            x = torch.add(x, other, alpha=weight / sum(weights))
    return x


def next_frame_loss(
    predicted: Tensor, target: Tensor, window: int = 3, l1: float = 0.0, loss_power: float = 1.0
) -> Tensor:
    """1 - MS-SSIM of (B, T, 3, 64, 64) float 0..1 and a target of that shape, float 0..1 or uint8 0..255: a scalar, 0
    is perfect. `loss_power` below 1 makes it `concave` in each frame; `l1` times the mean absolute error is added."""
    if target.dtype == torch.uint8:
        target = target.float() / 255
    loss = concave(1 - ms_ssim(predicted.flatten(0, 1), target.flatten(0, 1), window), loss_power).mean()
    return loss + l1 * F.l1_loss(predicted.float(), target) if l1 else loss


def power_at(progress: float, config: TrainConfig) -> float:
    """The power of `concave` when `progress` (0..1) of the run is over. Under a concave loss, a network that commits to
    one answer before it can tell them apart has little incentive to change it. So: plain first, then concave."""
    left = min(1.0, (1 - progress) / config.power_decay) if config.power_decay else 0.0
    return config.loss_power + (1 - config.loss_power) * left


def concave(distance: Tensor, power: float) -> Tensor:
    """Distances 0..1 -> 0..1, growing fastest near 0; power 1 leaves them unchanged, 0 is the limit, a logarithm.

    A network that is unsure between two answers predicts their mean if the loss is (nearly) linear in the distance, and
    a mean of words cannot be read. Under a concave loss the mean, at a medium distance from both, costs more than
    either answer, so the network commits to one."""
    if power == 1:
        return distance
    soft = distance.clamp(min=0) + SOFT
    if power == 0:
        return (soft / SOFT).log() / math.log((1 + SOFT) / SOFT)
    return (soft**power - SOFT**power) / ((1 + SOFT) ** power - SOFT**power)
