"""The paper's Figure 10: film strips with the spatial attention on every frame and its temporal attention above it."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib import colormaps
from PIL import Image as Pillow
from PIL import ImageDraw

from evlib.viz.plots import DARK, GAP, GRAY, LINE, RED, WHITE, mono, page

SCALE = colormaps["cividis"]  # readable for the color-blind and in gray, too
BAR = 12  # px: height of the bar above a frame
VEIL = 0.6  # largest opacity of the overlay on a patch


class Strip(NamedTuple):
    """One example of the figure."""

    frames: np.ndarray  # uint8 (T, 64, 64, 3): the input frames, the last one the separator, then the generated ones
    temporal: np.ndarray  # float (n_in,): attention on each input frame, sums to 1
    # float (up to T, G, G): attention on each patch relative to uniform attention; other frames stay as they are
    spatial: np.ndarray
    caption: str = ""


def figure10(strips: Sequence[Strip], max_frames: int | None = None, width: int = 1000) -> Pillow.Image:
    """Examples as in the paper's Figure 10, short ones side by side, with a key below: an image of 256 colors.

    Above each input frame is its share of the temporal attention, as a number and as a color from 0 (dark) to the
    example's largest (bright). Patches are lighter where attention within the frame is above uniform, darker where it
    is below: a white or black overlay, 60 % opaque at twice or half of it. The answer is right of the red line.

    max_frames: at most so many input frames before the separator, and half as many generated ones, are shown, evenly
    spread (None: all); their shares remain those of the whole. width: px, at which lines wrap."""
    return page([*(_plot(strip, max_frames, width) for strip in strips), _key(width)], width)


def overlay(frame: np.ndarray, patches: np.ndarray) -> np.ndarray:
    """A frame, uint8 (64, 64, 3), with its spatial attention, float (G, G) relative to uniform attention, as an overlay
    -> uint8 (64, 64, 3)."""
    times = len(frame) // len(patches)
    strength = np.clip(np.log2(np.maximum(patches, 1e-6)), -1, 1)  # -1: half of uniform attention, 1: twice
    veil = VEIL * np.kron(strength, np.ones((times, times)))[..., None]
    return np.rint(frame * (1 - np.abs(veil)) + 255 * np.maximum(veil, 0)).astype(np.uint8)


def _plot(strip: Strip, max_frames: int | None, width: int) -> Pillow.Image:
    """One example, wrapped into lines."""
    frames, n_in = strip.frames, len(strip.temporal)
    T, H, W, _ = frames.shape
    chosen = [*_spread(0, n_in - 1, max_frames), n_in - 1, *_spread(n_in, T, max_frames and (max_frames + 1) // 2)]
    step, top = W + GAP, LINE + BAR
    per_line = max(1, (width - 3 * GAP) // step)
    bottom = -(-len(chosen) // per_line) * (top + H + GAP)
    across = max(min(len(chosen), per_line) * step + 3 * GAP, round(mono().getlength(strip.caption)) + 2 * GAP)
    image = Pillow.new("RGB", (across, bottom + (LINE if strip.caption else 0) + 3 * GAP), WHITE)
    pen = ImageDraw.Draw(image)
    for i, t in enumerate(chosen):
        row, column = divmod(i, per_line)
        after_line = t >= n_in and row == chosen.index(n_in) // per_line
        x, y = GAP + column * step + 2 * GAP * after_line, row * (top + H + GAP)
        pixels = overlay(frames[t], strip.spatial[t]) if t < len(strip.spatial) else frames[t]
        image.paste(Pillow.fromarray(pixels), (x, y + top))
        if t < n_in:
            share = float(strip.temporal[t])
            color = tuple(round(255 * c) for c in SCALE(share / max(float(strip.temporal.max()), 1e-9))[:3])
            text = f"{share:.2f}" if share >= 0.005 else f"{share:.3f}"
            pen.text((x + W / 2, y), text, fill=DARK, font=mono(), anchor="ma")
            pen.rectangle([x, y + LINE, x + W - 1, y + top - 2], fill=color)
        if t == n_in:
            pen.rectangle([x - 2 * GAP, y + LINE, x - GAP - 1, y + top + H - 1], fill=RED)
    pen.text((GAP, bottom), strip.caption, fill=DARK, font=mono())
    return image


def _spread(start: int, stop: int, most: int | None) -> list[int]:
    """start, ..., stop - 1, or `most` of them, evenly spread."""
    if most is None or stop - start <= most:
        return list(range(start, stop))
    return np.linspace(start, stop - 1, most).round().astype(int).tolist()


def _key(width: int) -> Pillow.Image:
    """The key to the colors; at least `width` pixels wide, so that it gets a line of its own."""
    ramp, box = (255 * SCALE(np.linspace(0, 1, 60))[None, :, :3]).round().astype(np.uint8), LINE - 4
    half, uniform, twice = (overlay(np.full((1, 1, 3), GRAY[0], np.uint8), np.array([[x]])) for x in (0.5, 1.0, 2.0))
    parts = ["share of the temporal attention: 0", ramp, "the example's largest;  within a frame: half of uniform"]
    parts += [half, "uniform", uniform, "twice", twice]
    key = Pillow.new("RGB", (max(1000, width), LINE + 2 * GAP), WHITE)
    pen, x = ImageDraw.Draw(key), GAP
    for part in parts:
        if isinstance(part, str):
            pen.text((x, 0), part, fill=DARK, font=mono())
            x += round(mono().getlength(part)) + 6
        else:
            patch = Pillow.fromarray(part).resize((max(box, part.shape[1]), box), Pillow.Resampling.NEAREST)
            key.paste(patch, (x, 2))
            x += patch.width + 6
    return key.crop((0, 0, max(x + GAP, width), key.height))
