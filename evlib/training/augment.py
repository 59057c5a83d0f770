"""Data augmentation, on the device and a batch at a time: other inputs with the same answer, for a small data set.

The input frames are changed, but never the separator, which is the last of them, and never the answer. Each task
declares which change preserves its answers (`Task.augment`): a mirrored frog is still a frog, but a mirrored left turn
is a right turn. Only `fade_context` changes answers, as context for the ones after them and never as targets.
"""

import torch
from torch import Tensor

from evlib.config import Augment

SHIFT = 8  # px at most, in each direction: 4 of a CIFAR image's 32
BAND = 12  # px at most, masked rows and masked columns each: a fifth of the frequencies, a fifth of the sound
DROP = 0.1  # fraction of the words that are blanked


def augment(
    video: Tensor,
    n_in: int,
    how: Augment,
    generator: torch.Generator,
    batch: int | None = None,
    local: slice = slice(None),
) -> Tensor:
    """uint8 (B, T, 3, 64, 64) -> the same, with the first n_in - 1 frames of every sequence changed, all of one
    sequence in the same way:

    flip    mirrored or not, then shifted      (images)
    shift   moved by up to 8 px, edges repeated
    mask    a band of rows and a band of columns black   (spectrograms: SpecAugment, Park et al. 2019)
    drop    each frame blank with probability 0.1        (words: word dropout, Iyyer et al. 2015)

    `generator` is on the video's device. If `video` is only the slice `local` of a batch of `batch` sequences, random
    numbers are generated for the whole batch, so that several processes change a batch exactly as one would.
    """
    if how == "none" or n_in < 2:
        return video
    random = torch.rand(batch or len(video), 3 + n_in, generator=generator, device=video.device)[local]  # 0..1
    return torch.cat([CHANGES[how](video[:, : n_in - 1], random), video[:, n_in - 1 :]], dim=1)


def flip(frames: Tensor, random: Tensor) -> Tensor:
    mirrored = random[:, 2].view(-1, 1, 1, 1, 1) < 0.5
    return shift(torch.where(mirrored, frames.flip(-1), frames), random)


def shift(frames: Tensor, random: Tensor) -> Tensor:
    B, T, C, H, W = frames.shape
    down, right = (random[:, :2] * (2 * SHIFT + 1)).floor().long().T - SHIFT
    rows, columns = (torch.arange(n, device=frames.device) for n in (H, W))
    rows = (rows + down[:, None]).clamp(0, H - 1).view(B, 1, 1, H, 1)
    columns = (columns + right[:, None]).clamp(0, W - 1).view(B, 1, 1, 1, W)
    return frames.gather(-2, rows.expand(B, T, C, H, W)).gather(-1, columns.expand(B, T, C, H, W))


def mask(frames: Tensor, random: Tensor) -> Tensor:
    B, size = len(frames), frames.shape[-1]
    width = (random[:, :2] * (BAND + 1)).floor()
    start = random[:, 2:4] * (size - width)
    index = torch.arange(size, device=frames.device)
    inside = (index >= start[..., None]) & (index < (start + width)[..., None])  # (B, 2, size): rows, columns
    return frames.masked_fill(inside[:, 0].view(B, 1, 1, size, 1) | inside[:, 1].view(B, 1, 1, 1, size), 0)


def drop(frames: Tensor, random: Tensor) -> Tensor:
    return frames.masked_fill(random[:, : frames.shape[1]].view(*frames.shape[:2], 1, 1, 1) < DROP, 0)


def fade_context(video: Tensor, n_in: int) -> Tensor:
    """uint8 (B, T, 3, 64, 64) with an answer frame for every input frame -> float 0..1: every sequence's answer faded
    into its input, by a random share. Trained on true earlier frames alone, a network answers by repeating them, and a
    box or a color fades away when it has to generate them; it should rely on what is given.

    As with dropout, each process has random numbers of its own."""
    video, share = video.float() / 255, torch.rand(len(video), 1, 1, 1, 1, device=video.device)
    return torch.cat([video[:, :n_in], torch.lerp(video[:, n_in:], video[:, : n_in - 1], share)], dim=1)


CHANGES = {"flip": flip, "shift": shift, "mask": mask, "drop": drop}
