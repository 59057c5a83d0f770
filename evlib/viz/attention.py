"""Where the network looks while it draws: the paper's Figure 10 and section 5.1, read off the attention calls, the network untouched.

    drawn, seen = draw_and_look(net, inputs, count)      # inputs (B, n_in, 3, 64, 64), the last one the separator
    seen.temporal        # (B, n_in): how much each input frame counts for the frames that are drawn; sums to 1
    seen.space           # (B, n_in + count - 1, G, G): how much each patch is looked at within its frame; 1 is an even look

A frame's attention depends on it and the frames before it alone, so one pass over inputs and drawn frames has the weights that drawing them
with a cache had. All the weights of the paper's network would fill gigabytes: each layer is reduced as it passes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

import pandas as pd
import torch
from torch import Tensor

from evlib.generate import generate
from evlib.model import SIZE, Attention, NextFrame
from evlib.utils.errors import EvlibError


class Look(NamedTuple):
    """Where a network looked while it drew n frames after n_in input frames. It saw T = n_in + n - 1: the last one drawn is seen by none."""

    time: Tensor  # float (B, n, T): the weights of each drawn frame on the frames before it, averaged over the global blocks, their heads
    # and all places; every row sums to 1, frames yet to come have 0
    space: Tensor  # float (B, T, G, G): the attention that each patch receives within its frame, averaged over all blocks, in even looks

    @property
    def n_in(self) -> int:
        return self.time.shape[2] - self.time.shape[1] + 1

    @property
    def temporal(self) -> Tensor:
        """The temporal attention on each input frame, as in Figure 10: float (B, n_in), sums to 1.

        Every drawn frame counts alike: what it gives to the inputs is scaled to 1 (the rest went to frames drawn before), then the mean is taken."""
        on_inputs = self.time[:, :, : self.n_in]
        return (on_inputs / on_inputs.sum(dim=2, keepdim=True)).mean(dim=1)

    @property
    def gain(self) -> Tensor:
        """The same for every frame seen, drawn ones too: float (B, T), in even looks. 1: as much as if all frames so far got the same.

        The mean over those targets that came after the frame: later frames have fewer, and would lose by a plain sum."""
        n, T = self.time.shape[1:]
        sees = torch.ones(n, T, dtype=torch.bool, device=self.time.device).tril(self.n_in - 1)
        return (self.time * sees.sum(dim=1, keepdim=True)).sum(dim=1) / sees.sum(dim=0)


@contextmanager
def watched(watchers: Mapping[Attention, Callable[[Tensor, Tensor | None], None]]) -> Iterator[None]:
    """Within the block, every call of one of these attentions hands its weights (B', heads, L, L') and its mask to its watcher."""

    def watch(module: Attention, tell: Callable) -> None:
        usual = module.attend

        def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
            scores = q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5
            tell((scores if mask is None else scores.masked_fill(~mask, -torch.inf)).softmax(dim=-1), mask)
            return usual(q, k, v, mask)

        module.attend = attend

    for module, tell in watchers.items():
        watch(module, tell)
    try:
        yield
    finally:
        for module in watchers:
            del module.attend  # the class's own shows again


@contextmanager
def recorded(attentions: list[Attention]) -> Iterator[list[Tensor]]:
    """Within the block, every call of these attentions adds its weights (B', heads, L, L') to the list: all of them, so of a few layers."""
    seen: list[Tensor] = []
    with watched({module: lambda weights, mask: seen.append(weights) for module in attentions}):
        yield seen


@torch.inference_mode()
def look(net: NextFrame, frames: Tensor, targets: int = 1) -> Look:
    """Where `net` looks while it predicts the last `targets` frames: those that follow frames T - targets, ..., T - 1.

    frames (B, T, 3, 64, 64), uint8 0..255 or float 0..1: the inputs, then every target but the last. EvlibError unless 1 <= targets <= T.
    The paper averages spatial attention "over all layers": so the decoder runs on every frame, too, although it reaches the answer from the last few alone."""
    net.eval()
    time, space = _Time(frames, targets), _Space(frames, net.config.patch)
    blocks = [*net.encoder, *net.middle, *net.decoder]
    with watched({**{block.time: time for block in net.middle}, **{block.space: space for block in blocks}}):
        net(frames)
    return Look(time.mean, space.mean)


@torch.inference_mode()
def draw_and_look(net: NextFrame, inputs: Tensor, count: int) -> tuple[Tensor, Look]:
    """Draws `count` frames after the inputs (B, n_in, 3, 64, 64), uint8 or float 0..1, and says where the network looked meanwhile.
    The frames are float (B, count, 3, 64, 64) 0..1, as from `generate`."""
    drawn = generate(net, inputs, count)
    start = inputs.to(drawn.dtype) / 255 if inputs.dtype == torch.uint8 else inputs
    return drawn, look(net, torch.cat([start, drawn[:, :-1]], dim=1), targets=count)


@torch.inference_mode()
def temporal(net: NextFrame, frames: Tensor, targets: int = 1) -> Tensor:
    """`look(...).temporal` alone, at less work: float (B, T - targets + 1) that sums to 1."""
    net.eval()
    time = _Time(frames, targets)
    with watched({block.time: time for block in net.middle}):
        net(frames, last=targets)
    return Look(time.mean, frames).temporal


@torch.inference_mode()
def occlusion(net: NextFrame, inputs: Tensor, count: int) -> Tensor:
    """What each input frame does to the answer, by experiment: it is blackened, the answer is drawn anew, and the mean absolute change of the drawn
    pixels is noted. inputs (n_in, 3, 64, 64), uint8 or float 0..1 -> float (n_in,) 0..1. Attention says where a network looks; this, what for."""
    n_in = len(inputs)
    versions = inputs.repeat(
        n_in + 1, 1, 1, 1, 1
    )  # (n_in + 1, n_in, 3, 64, 64): each with another frame black, and none
    versions[torch.arange(n_in), torch.arange(n_in)] = 0
    drawn = generate(net, versions, count)
    return (drawn[:-1] - drawn[-1:]).abs().mean(dim=(1, 2, 3, 4))


def enlarge(space: Tensor, size: int = SIZE) -> Tensor:
    """Maps (..., g, g) -> (..., size, size): every patch becomes a square of its value."""
    times = size // space.shape[-1]
    return space.repeat_interleave(times, dim=-2).repeat_interleave(times, dim=-1)


def inside(space: Tensor, mask: Tensor) -> Tensor:
    """The share of the spatial attention that falls into a mask, by the mask's share of the area: 1 for an even look. NaN where the mask is empty.
    Maps float (..., G, G) and masks bool (..., 64, 64) -> float (...)."""
    pixels, mask = enlarge(space), mask.to(space)
    return (pixels * mask).sum(dim=(-2, -1)) / mask.sum(dim=(-2, -1)) / pixels.mean(dim=(-2, -1))


# ---- places in frames, uint8 (T, 3, 64, 64) -> bool (T, 64, 64), to be held against the maps by `inside` ------------------------------


def moving(frames: Tensor, least: int = 16) -> Tensor:
    """Pixels that differ from the frame before or after by at least `least` of 255, in the mean over the colours."""
    change = torch.diff(frames.float(), dim=0).abs().mean(dim=1) >= least  # (T - 1, 64, 64)
    still = torch.zeros_like(frames[:1, 0], dtype=torch.bool)
    return torch.cat([still, change]) | torch.cat([change, still])


def coloured(frames: Tensor, least: int = 64) -> Tensor:
    """Pixels whose strongest and weakest colours are at least `least` of 255 apart: what is neither grey nor a word."""
    return frames.amax(dim=1).int() - frames.amin(dim=1).int() >= least


def bright(frames: Tensor) -> Tensor:
    """Pixels above their frame's mean: in a spectrogram, the sound."""
    grey = frames.float().mean(dim=1)
    return grey > grey.mean(dim=(1, 2), keepdim=True)


def central(frames: Tensor) -> Tensor:
    """The middle quarter: half as high and half as wide as the frame."""
    there = torch.zeros_like(frames[:, 0], dtype=torch.bool)
    there[:, SIZE // 4 : -SIZE // 4, SIZE // 4 : -SIZE // 4] = True
    return there


def in_boxes(boxes: list[list[float] | None]) -> Tensor:
    """Pixels whose centre is in the box of their frame, x, y, w, h in pixels -> bool (T, 64, 64); None where there is no box: none of them."""
    masks = torch.zeros(len(boxes), SIZE, SIZE, dtype=torch.bool)
    centre = torch.arange(SIZE) + 0.5
    for mask, box in zip(masks, boxes):
        if box is not None:
            x, y, w, h = box
            mask |= ((y <= centre) & (centre < y + h))[:, None] & (x <= centre) & (centre < x + w)
    return masks


# ---- numbers to keep ---------------------------------------------------------------------------------------------------------


def table(sources: list[str], looks: list[Look]) -> pd.DataFrame:
    """The numbers behind Figure 10, a row a frame that was seen: example, frame, part ("input" or "drawn"), temporal (a share of all inputs; empty for
    drawn frames), gain (in even looks), and the patch that is looked at most: its row and column from 0, its attention in even looks, the grid.
    Each `Look` is of a single example."""
    rows = []
    for source, seen in zip(sources, looks, strict=True):
        shares, gains = seen.temporal[0].tolist(), seen.gain[0].tolist()
        for t, (gain, patches) in enumerate(zip(gains, seen.space[0])):
            row, column = divmod(int(patches.argmax()), len(patches))
            share = round(shares[t], 4) if t < seen.n_in else None
            rows.append(
                (
                    source,
                    t,
                    "input" if t < seen.n_in else "drawn",
                    share,
                    round(gain, 3),
                    row,
                    column,
                    round(patches.max().item(), 3),
                    len(patches),
                )
            )
    return pd.DataFrame(
        rows, columns=["example", "frame", "part", "temporal", "gain", "top_row", "top_column", "top_attention", "grid"]
    )


class _Mean:
    """The mean over layers of what is left of each."""

    def __init__(self, frames: Tensor):
        self.B, self.T = frames.shape[:2]
        self.sum, self.layers = 0, 0

    def __call__(self, weights: Tensor, mask: Tensor | None) -> None:
        self.sum, self.layers = self.sum + self.reduce(weights, mask), self.layers + 1

    @property
    def mean(self) -> Tensor:
        return self.sum / self.layers


class _Time(_Mean):
    def __init__(self, frames: Tensor, targets: int):
        super().__init__(frames)
        if not 1 <= targets <= self.T:
            raise EvlibError(
                f"targets: expected 1 to {self.T}, as there are {self.T} frames to predict from, found {targets}."
            )
        self.targets = targets

    def reduce(self, weights: Tensor, mask: Tensor | None) -> Tensor:
        """(B * places, heads, T, T) -> (B, targets, T)."""
        return weights[:, :, -self.targets :].mean(dim=1).view(self.B, -1, self.targets, self.T).mean(dim=1)


class _Space(_Mean):
    def __init__(self, frames: Tensor, patch: int):
        super().__init__(frames)
        self.grid = SIZE // patch

    def reduce(self, weights: Tensor, mask: Tensor | None) -> Tensor:
        """(B * T, heads, N, N) -> (B, T, G, G): what each patch receives from the patches of its frame, in even looks.

        An even look of a local block is not the same everywhere: a patch in the corner has fewer neighbours to be seen by, though each of these has
        fewer others to see. So what a patch receives is divided by what it would receive if all weights that the mask allows were equal."""
        received = weights.mean(dim=(1, 2))  # (B * T, N): over heads and queries
        N = received.shape[-1]
        even = (
            torch.full_like(received[0], 1 / N) if mask is None else (mask / mask.sum(dim=1, keepdim=True)).mean(dim=0)
        )
        g = round(N**0.5)
        return enlarge((received / even).view(self.B, self.T, g, g), self.grid)
