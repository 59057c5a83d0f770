"""The network's attention while it generates: the paper's Figure 10 and section 5.1, recorded by hooks.

    frames, maps = generate_with_attention(net, inputs, count)   # inputs (B, n_in, 3, 64, 64), ending in the separator
    maps.temporal        # (B, n_in): attention on each input frame when the answer is generated; sums to 1
    maps.space           # (B, n_in + count - 1, G, G): attention on each patch within its frame; 1 is uniform

One pass over inputs and generated frames has the same attention weights as generation with a cache. All weights of the
paper's network would fill gigabytes, so each layer's are reduced as they are computed. "Relative to uniform attention"
means divided by the weight that every frame or patch would get if all got the same.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

import einops
import pandas as pd
import torch
from torch import Tensor

from evlib.config import SIZE
from evlib.generation import generate
from evlib.model import Attention, NextFrame

Hook = Callable[[Tensor, Tensor | None], None]  # gets the weights (B', heads, L, L') and the mask of a call


class AttentionMaps(NamedTuple):
    """Attention while n frames were generated after n_in input frames, on the T = n_in + n - 1 frames before the last.

    time: float (B, n, T): each generated frame's weights on the frames before it, averaged over the global blocks,
    their heads and all positions; every row sums to 1. space: float (B, T, G, G): attention that each patch receives
    within its frame, averaged over all blocks, relative to uniform attention."""

    time: Tensor
    space: Tensor

    @property
    def n_in(self) -> int:
        return self.time.shape[2] - self.time.shape[1] + 1

    @property
    def temporal(self) -> Tensor:
        """The temporal attention on each input frame, as in Figure 10: float (B, n_in), sums to 1. Each generated
        frame's attention on the inputs is rescaled to sum to 1 (the rest is on generated frames)."""
        on_inputs = self.time[:, :, : self.n_in]
        return (on_inputs / on_inputs.sum(dim=2, keepdim=True)).mean(dim=1)

    @property
    def gain(self) -> Tensor:
        """Temporal attention on every frame, generated ones too, relative to uniform attention: float (B, T), averaged
        over the generated frames that come after it."""
        n, T = self.time.shape[1:]
        sees = torch.ones(n, T, dtype=torch.bool, device=self.time.device).tril(self.n_in - 1)
        return (self.time * sees.sum(dim=1, keepdim=True)).sum(dim=1) / sees.sum(dim=0)


@contextmanager
def attention_hooks(hooks: Mapping[Attention, Hook]) -> Iterator[None]:
    """Within the `with` block, every call of one of these modules also calls its hook with the recomputed weights."""

    def hooked(module: Attention, hook: Hook) -> Callable:
        attend = module.attend

        def attend_and_tell(q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None) -> Tensor:
            scores = q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5
            hook((scores if mask is None else scores.masked_fill(~mask, -torch.inf)).softmax(dim=-1), mask)
            return attend(q, k, v, mask)

        return attend_and_tell

    for module, hook in hooks.items():
        module.attend = hooked(module, hook)
    try:
        yield
    finally:
        for module in hooks:
            del module.attend  # the class's own method applies again


@torch.inference_mode()
def attention_maps(net: NextFrame, frames: Tensor, targets: int = 1) -> AttentionMaps:
    """Attention while `net` predicts the last `targets` of its frames (1 to T).

    frames (B, T, 3, 64, 64), uint8 0..255 or float 0..1: the inputs, then every target but the last. The paper averages
    spatial attention "over all layers", so all blocks compute all frames."""
    B, grid, time, space = len(frames), SIZE // net.config.patch, [], []
    hooks = {block.time: lambda weights, mask: time.append(_time_mean(weights, B, targets)) for block in net.middle}
    for block in (*net.encoder, *net.middle, *net.decoder):
        hooks[block.space] = lambda weights, mask: space.append(received(weights, mask, B, grid))
    with attention_hooks(hooks):
        net.eval()(frames)
    return AttentionMaps(torch.stack(time).mean(dim=0), torch.stack(space).mean(dim=0))


@torch.inference_mode()
def generate_with_attention(net: NextFrame, inputs: Tensor, count: int) -> tuple[Tensor, AttentionMaps]:
    """Generates `count` frames after the inputs (B, n_in, 3, 64, 64), uint8 or float 0..1. Returns the frames, float
    (B, count, 3, 64, 64) 0..1, as from `generate`, and the attention maps."""
    frames = generate(net, inputs, count)
    start = inputs.to(frames.dtype) / 255 if inputs.dtype == torch.uint8 else inputs
    return frames, attention_maps(net, torch.cat([start, frames[:, :-1]], dim=1), targets=count)


@torch.inference_mode()
def occlusion(net: NextFrame, inputs: Tensor, count: int) -> Tensor:
    """How much the answer depends on each input frame, measured by occlusion: the mean absolute change of the `count`
    generated frames when that frame is black. inputs (n_in, 3, 64, 64), uint8 or float 0..1 -> float (n_in,) 0..1."""
    n_in = len(inputs)
    occluded = inputs.repeat(n_in + 1, 1, 1, 1, 1)  # (n_in + 1, n_in, 3, 64, 64): frame i black in copy i
    occluded[torch.arange(n_in), torch.arange(n_in)] = 0
    frames = generate(net, occluded, count)
    return (frames[:-1] - frames[-1:]).abs().mean(dim=(1, 2, 3, 4))


def enlarge(space: Tensor, size: int = SIZE) -> Tensor:
    """Maps (..., g, g) -> (..., size, size): every patch becomes a square of equal values."""
    times = size // space.shape[-1]
    return space.repeat_interleave(times, dim=-2).repeat_interleave(times, dim=-1)


def inside(space: Tensor, mask: Tensor) -> Tensor:
    """Spatial attention inside a mask relative to uniform attention: its share of the attention divided by its share of
    the area. NaN where the mask is empty. Maps float (..., G, G) and masks bool (..., 64, 64) -> float (...)."""
    pixels, mask = enlarge(space), mask.to(space)
    return (pixels * mask).sum(dim=(-2, -1)) / mask.sum(dim=(-2, -1)) / pixels.mean(dim=(-2, -1))


# ---- masks for `inside`: frames, uint8 (T, 3, 64, 64) -> bool (T, 64, 64) --------------------------------------------


def moving(frames: Tensor, threshold: int = 16) -> Tensor:
    """Pixels that differ from the frame before or after by at least `threshold` of 255, averaged over channels."""
    change = torch.diff(frames.float(), dim=0).abs().mean(dim=1) >= threshold  # (T - 1, 64, 64)
    still = torch.zeros_like(frames[:1, 0], dtype=torch.bool)
    return torch.cat([still, change]) | torch.cat([change, still])


def colored(frames: Tensor, threshold: int = 64) -> Tensor:
    """Pixels whose largest and smallest channels differ by at least `threshold` of 255: neither gray nor a word."""
    return frames.amax(dim=1).int() - frames.amin(dim=1).int() >= threshold


def bright(frames: Tensor) -> Tensor:
    """Pixels brighter than their frame's mean: in a spectrogram, the sound."""
    gray = frames.float().mean(dim=1)
    return gray > gray.mean(dim=(1, 2), keepdim=True)


def central(frames: Tensor) -> Tensor:
    """The middle quarter: half as high and half as wide as the frame."""
    mask = torch.zeros_like(frames[:, 0], dtype=torch.bool)
    mask[:, SIZE // 4 : -SIZE // 4, SIZE // 4 : -SIZE // 4] = True
    return mask


def in_boxes(boxes: list[list[float] | None]) -> Tensor:
    """Pixels whose center is in the box of their frame, x, y, w, h in pixels -> bool (T, 64, 64); None: no pixels."""
    masks, center = torch.zeros(len(boxes), SIZE, SIZE, dtype=torch.bool), torch.arange(SIZE) + 0.5
    for mask, box in zip(masks, boxes):
        if box is not None:
            x, y, w, h = box
            mask |= ((y <= center) & (center < y + h))[:, None] & (x <= center) & (center < x + w)
    return masks


def table(sources: list[str], maps: list[AttentionMaps]) -> pd.DataFrame:
    """The numbers behind Figure 10: one row per frame, except the last, of each single example: example, frame, part
    ("input" or "generated"), temporal (a share of all inputs; empty for generated frames), `gain`, and for the patch
    with the most attention, its row and column from 0, its attention relative to uniform attention, the grid size."""
    rows = []
    for source, one in zip(sources, maps, strict=True):
        shares, gains = one.temporal[0].tolist(), one.gain[0].tolist()
        for t, (gain, patches) in enumerate(zip(gains, one.space[0])):
            row = {"example": source, "frame": t, "part": "input" if t < one.n_in else "generated"}
            row |= {"temporal": round(shares[t], 4) if t < one.n_in else None, "gain": round(gain, 3)}
            row["top_row"], row["top_column"] = divmod(int(patches.argmax()), len(patches))
            rows.append({**row, "top_attention": round(patches.max().item(), 3), "grid": len(patches)})
    return pd.DataFrame(rows)


def _time_mean(weights: Tensor, B: int, targets: int) -> Tensor:
    """(B * places, heads, T or fewer, T) -> (B, targets, T)."""
    return einops.reduce(weights[:, :, -targets:], "(b places) heads n t -> b n t", "mean", b=B)


def received(weights: Tensor, mask: Tensor | None, B: int, grid: int) -> Tensor:
    """(B * T, heads, N, N) -> (B, T, G, G): what each patch receives from the patches of its frame, relative to what
    it would receive if all weights that the mask allows were equal.

    In a local block this is not the same everywhere: a patch in the corner has fewer neighbors to receive from, though
    each of these has fewer others to attend to."""
    total = weights.mean(dim=(1, 2))  # (B * T, N): over heads and queries
    N = total.shape[-1]
    uniform = torch.full_like(total[0], 1 / N)
    if mask is not None:
        uniform = (mask / mask.sum(dim=1, keepdim=True)).mean(dim=0)
    g = round(N**0.5)
    return enlarge((total / uniform).view(B, -1, g, g), grid)
