"""MS-SSIM at 64x64 pixels (section 3.3: "a Multi-Scale Structural Similarity Index Measure (SSIM) loss").

The usual five scales with a window of 11 pixels need pictures of at least 160; with a window of 3 they fit into 64.
pytorch-msssim raises each scale to a power after cutting it off at zero, where the derivative of that power is
infinite: on an inverted frame its gradient is NaN. Here the scales are cut off a little above zero instead.
"""
from __future__ import annotations

import torch
import torch.nn.functional as F
from pytorch_msssim.ssim import _fspecial_gauss_1d, _ssim     # one scale; the package's public calls hide the factors
from torch import Tensor

WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)            # Wang, Simoncelli and Bovik, 2003
FLOOR = 1e-4


def ms_ssim(x: Tensor, y: Tensor, window: int = 3) -> Tensor:
    """(N, 3, 64, 64) float 0..1, twice -> (N,) similarity; 1 where they are equal. Computed in float32."""
    x, y = x.float(), y.float()
    smallest = min(x.shape[-2:]) / 2 ** (len(WEIGHTS) - 1)
    if x.shape != y.shape or x.dim() != 4 or smallest < window:
        raise ValueError(f"ms_ssim wants two (N, C, H, W) of at least {window * 16} pixels, found {tuple(x.shape)} and {tuple(y.shape)}")
    kernel = _fspecial_gauss_1d(window, 1.5).repeat(x.shape[1], 1, 1, 1)
    result: Tensor | float = 1.0
    for scale, weight in enumerate(WEIGHTS):
        whole, contrast = _ssim(x, y, data_range=1.0, win=kernel)                # each (N, C)
        factor = whole if scale == len(WEIGHTS) - 1 else contrast
        result = result * factor.clamp(min=FLOOR) ** weight
        x, y = F.avg_pool2d(x, 2), F.avg_pool2d(y, 2)
    return result.mean(dim=1)


def next_frame_loss(predicted: Tensor, target: Tensor, window: int = 3) -> Tensor:
    """1 - MS-SSIM of (B, T, 3, 64, 64) float 0..1 against the same in float 0..1 or uint8 0..255: a scalar, 0 is perfect."""
    if target.dtype == torch.uint8:
        target = target.float() / 255
    return 1 - ms_ssim(predicted.flatten(0, 1), target.flatten(0, 1), window).mean()
