"""The paper's Figure 10: a film strip, on every frame where the network looked in it, above it how much the frame counted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib import colormaps
from PIL import Image as Pillow
from PIL import ImageDraw

from evlib.utils.errors import EvlibError
from evlib.viz.plots import DARK, GAP, GREY, LINE, RED, WHITE, mono, page

SCALE = colormaps["cividis"]  # the same to the colour-blind, and in grey
BAR = 12  # px: height of the bar above a frame
VEIL = 0.6  # the most that is hidden of a patch


class Seen(NamedTuple):
    """One example, ready to be drawn."""

    frames: np.ndarray  # uint8 (T, 64, 64, 3): the input frames, the last one the separator, then the drawn ones
    temporal: np.ndarray  # float (n_in,): attention on each input frame, sums to 1
    spatial: (
        np.ndarray
    )  # float (up to T, G, G): attention on each patch in even looks; frames without are shown as they are
    caption: str = ""


def figure10(examples: Sequence[Seen], most: int | None = None, width: int = 1000) -> Pillow.Image:
    """Examples as in the paper's Figure 10, short ones side by side, and the key below: a palette image of 256 colours.

    Above each input frame stands its share of the temporal attention, in writing and as a colour from 0 (dark) to the example's largest (bright).
    Patches are lighter where the network looks more than evenly within the frame, darker where less: white or black veil it by up to 60 % at twice or
    half an even look. The answer is right of the red line.

    most: so many input frames before the separator, and half as many drawn ones, are shown of each example, evenly spread (None: all);
    their shares remain those of the whole. width: px, at which a line breaks. EvlibError if there is nothing to draw or shapes do not fit."""
    if not examples:
        raise EvlibError("examples: expected at least one example to draw, found none.")
    return page([*(_strip(seen, most, width) for seen in examples), _key(width)], width)


def overlay(frame: np.ndarray, patches: np.ndarray) -> np.ndarray:
    """A frame, uint8 (64, 64, 3), under the veil of its spatial attention, float (G, G) in even looks -> uint8 (64, 64, 3)."""
    times = len(frame) // len(patches)
    strength = np.clip(np.log2(np.maximum(patches, 1e-6)), -1, 1)  # -1: half an even look, 1: twice
    veil = VEIL * np.kron(strength, np.ones((times, times)))[..., None]
    return np.rint(frame * (1 - np.abs(veil)) + 255 * np.maximum(veil, 0)).astype(np.uint8)


def _strip(seen: Seen, most: int | None, width: int) -> Pillow.Image:
    """One example, broken into lines."""
    frames, n_in = seen.frames, len(seen.temporal)
    T, H, W, _ = frames.shape
    G = seen.spatial.shape[-1]
    if not 1 <= n_in <= T or len(seen.spatial) > T or seen.spatial.shape[1:] != (G, G) or W % G:
        raise EvlibError(
            f"A strip of {T} frames of {H}x{W} needs temporal (n_in,) and spatial (up to {T}, G, G) with G dividing {W}, "
            f"found {seen.temporal.shape} and {seen.spatial.shape}."
        )
    shown = [*_spread(0, n_in - 1, most), n_in - 1, *_spread(n_in, T, most and (most + 1) // 2)]
    step, top = W + GAP, LINE + BAR
    per_line = max(1, (width - 3 * GAP) // step)
    lines = -(-len(shown) // per_line)
    text = LINE if seen.caption else 0
    across = max(min(len(shown), per_line) * step + 3 * GAP, round(mono().getlength(seen.caption)) + 2 * GAP)
    strip = Pillow.new("RGB", (across, lines * (top + H + GAP) + text + 3 * GAP), WHITE)
    draw = ImageDraw.Draw(strip)
    for place, t in enumerate(shown):
        row, column = divmod(place, per_line)
        x, y = (
            GAP + column * step + (2 * GAP if t >= n_in and row == shown.index(n_in) // per_line else 0),
            row * (top + H + GAP),
        )
        pixels = overlay(frames[t], seen.spatial[t]) if t < len(seen.spatial) else frames[t]
        strip.paste(Pillow.fromarray(pixels), (x, y + top))
        if t < n_in:
            share = float(seen.temporal[t])
            colour = tuple(round(255 * c) for c in SCALE(share / max(float(seen.temporal.max()), 1e-9))[:3])
            draw.text(
                (x + W / 2, y),
                f"{share:.2f}" if share >= 0.005 else f"{share:.3f}",
                fill=DARK,
                font=mono(),
                anchor="ma",
            )
            draw.rectangle([x, y + LINE, x + W - 1, y + top - 2], fill=colour)
        if t == n_in:
            draw.rectangle([x - 2 * GAP, y + LINE, x - GAP - 1, y + top + H - 1], fill=RED)
    draw.text((GAP, lines * (top + H + GAP)), seen.caption, fill=DARK, font=mono())
    return strip


def _spread(start: int, stop: int, most: int | None) -> list[int]:
    """start, ..., stop - 1, or `most` of them, evenly spread."""
    if most is None or stop - start <= most:
        return list(range(start, stop))
    return np.linspace(start, stop - 1, most).round().astype(int).tolist()


def _key(width: int) -> Pillow.Image:
    """What the colours mean; at least `width` pixels wide, so that it has a line of its own."""
    ramp, box = (255 * SCALE(np.linspace(0, 1, 60))[None, :, :3]).round().astype(np.uint8), LINE - 4
    looks = [overlay(np.full((1, 1, 3), GREY[0], np.uint8), np.array([[even]])) for even in (0.5, 1.0, 2.0)]
    parts = [
        "share of the temporal attention: 0",
        ramp,
        "the example's largest;  within a frame: half an even look",
        looks[0],
        "even",
        looks[1],
        "twice",
        looks[2],
    ]
    key = Pillow.new("RGB", (max(1000, width), LINE + 2 * GAP), WHITE)
    draw, x = ImageDraw.Draw(key), GAP
    for part in parts:
        if isinstance(part, str):
            draw.text((x, 0), part, fill=DARK, font=mono())
            x += round(mono().getlength(part)) + 6
        else:
            patch = Pillow.fromarray(part).resize((max(box, part.shape[1]), box), Pillow.Resampling.NEAREST)
            key.paste(patch, (x, 2))
            x += patch.width + 6
    return key.crop((0, 0, max(x + GAP, width), key.height))
