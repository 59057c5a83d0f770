"""Where the network looks while it draws (section 5.1): read off the attention calls, the network untouched.

    temporal(net, frames)      # how much each frame so far counts for the next one
"""
from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from .model import Attention, NextFrame


@contextmanager
def recorded(attentions: list[Attention]) -> Iterator[list[Tensor]]:
    """Within the block, every call of these attentions adds its weights (B', heads, L, L) to the list."""
    seen: list[Tensor] = []

    def record(module: Attention):
        usual = module.attend

        def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
            scores = q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5
            seen.append((scores if mask is None else scores.masked_fill(~mask, -torch.inf)).softmax(dim=-1))
            return usual(q, k, v, mask)

        module.attend = attend

    for module in attentions:
        record(module)
    try:
        yield seen
    finally:
        for module in attentions:
            del module.attend                                  # the class's own shows again


@torch.inference_mode()
def temporal(net: NextFrame, frames: Tensor) -> Tensor:
    """The temporal attention on each frame when the frame after them is drawn: averaged over the global blocks, their
    heads and all places.

    frames (B, T, 3, 64, 64), uint8 0..255 or float 0..1 -> float (B, T) that sums to 1 over T.
    """
    net.eval()
    with recorded([block.time for block in net.middle]) as seen:
        net(frames, last=1)
    B, T = frames.shape[:2]
    weights = torch.stack([layer[:, :, -1].mean(dim=1) for layer in seen])           # (layers, B * places, T)
    return weights.mean(dim=0).view(B, -1, T).mean(dim=1)
