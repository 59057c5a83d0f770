"""Drawing the answer (section 3.2: "the final predicted frame is concatenated to the input ... in an autoregressive manner").

Only time attention crosses frames, so its keys and values are kept, and each new frame costs one frame's work.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from evlib.data.store import Split
from evlib.model import Cache, NextFrame


@torch.inference_mode()
def generate(net: NextFrame, frames: Tensor, count: int) -> Tensor:
    """frames (B, T, 3, 64, 64), uint8 or float 0..1 -> the `count` frames after them, float (B, count, 3, 64, 64) 0..1."""
    net.eval()
    cache: Cache = {}
    drawn = []
    for _ in range(count):
        frames = net(frames, last=1, cache=cache)
        drawn.append(frames)
    return torch.cat(drawn, dim=1)


def answer(
    net: NextFrame,
    split: Split,
    batch: int = 64,
    count: int | None = None,
    tell: Callable[[int], None] = lambda rows: None,
) -> list[Tensor]:
    """The generated answer of every row of a split, in its order: uint8 (count, 64, 64, 3) each; without a `count`, as many
    frames as the true answer has. After every batch `tell` hears how many rows it had."""
    answers: list = [None] * len(split)
    for rows in split.batches(batch):
        n_in, n_out = (int(split.metadata[name].values[rows[0]]) for name in ("n_in", "n_out"))
        drawn = to_uint8(generate(net, split.gather(rows)[:, :n_in], count or n_out))
        for row, frames in zip(rows, drawn):
            answers[row] = frames
        tell(len(rows))
    return answers


def to_uint8(frames: Tensor) -> Tensor:
    """float (..., 3, 64, 64) 0..1 -> uint8 (..., 64, 64, 3) 0..255, on the CPU."""
    return (frames.float() * 255).round().clamp(0, 255).to(torch.uint8).movedim(-3, -1).cpu()
