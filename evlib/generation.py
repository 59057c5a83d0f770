"""Generating the answer (section 3.2: "the final predicted frame is concatenated to the input ... in an autoregressive
manner"). Only time attention crosses frames; with its keys and values cached, a new frame costs one frame's work.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from evlib.data.store import Split
from evlib.model import Cache, NextFrame


@torch.inference_mode()
def generate(net: NextFrame, frames: Tensor, count: int) -> Tensor:
    """frames (B, T, 3, 64, 64), uint8 or float 0..1 -> the `count` frames after them, float (B, count, 3, 64, 64)
    0..1."""
    net.eval()
    cache: Cache = {}
    generated = []
    for _ in range(count):
        frames = net(frames, last=1, cache=cache)
        generated.append(frames)
    return torch.cat(generated, dim=1)


def generate_answers(
    net: NextFrame,
    split: Split,
    n_frames: Callable[[int], int],
    batch: int = 64,
    on_batch: Callable[[int], object] = lambda rows: None,
) -> list[np.ndarray]:
    """The answers to all rows of a split, in row order: uint8 (n_frames(n_in), 64, 64, 3) each, where n_in is the row's
    number of input frames; the true answers are not used. `on_batch` is called after each batch with its row count."""
    answers: list = [None] * len(split)
    for rows in split.batches(batch):
        n_in = int(split.metadata.n_in.values[rows[0]])
        frames = to_uint8(generate(net, split.gather(rows, n_in), n_frames(n_in))).numpy()
        for row, answer in zip(rows, frames):
            answers[row] = answer
        on_batch(len(rows))
    return answers


def to_uint8(frames: Tensor) -> Tensor:
    """float (..., 3, 64, 64) 0..1 -> uint8 (..., 64, 64, 3) 0..255, on the CPU."""
    return (frames.float() * 255).round().clamp(0, 255).to(torch.uint8).movedim(-3, -1).cpu()
