"""Pictures: film strips as in the paper's Figure 1, samples with their answers, curves, confusion matrices."""
from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from .render import Rendered, font_file
from .store import Split

RED, GREY, WHITE, DARK = (214, 39, 40), (150, 150, 150), (255, 255, 255), (40, 40, 40)
GAP = 2                     # px between frames


def film_strip(frames: np.ndarray, n_in: int, scale: int = 2, caption: str = "") -> Pillow.Image:
    """Frames side by side, a red line where the input ends and the network's own begin.

    frames: uint8 (T, 64, 64, 3); scale: how many times enlarged; caption: a line of text under the strip.
    """
    T, H, W, _ = frames.shape
    bar, text = 2 * GAP, 16 if caption else 0
    width = max(scale * (T * (W + GAP) + GAP + bar), round(_small().getlength(caption)) + 2 * scale * GAP)
    strip = Pillow.new("RGB", (width, scale * (H + 2 * GAP) + text), WHITE)
    for t, frame in enumerate(frames):
        x = scale * (GAP + t * (W + GAP) + (bar if t >= n_in else 0))
        strip.paste(Pillow.fromarray(frame).resize((scale * W, scale * H), Pillow.Resampling.NEAREST), (x, scale * GAP))
    pen = ImageDraw.Draw(strip)
    if n_in < T:
        x = scale * (GAP + n_in * (W + GAP)) + scale
        pen.rectangle([x - 1, 0, x + scale, scale * (H + 2 * GAP)], fill=RED)
    if caption:
        pen.text((scale * GAP, scale * (H + 2 * GAP)), caption, fill=DARK, font=_small())
    return strip


def strip_of(rendered: Rendered, scale: int = 2, caption: str = "") -> Pillow.Image:
    """An example as it is drawn for training: inputs, the separator, a red line, the true answer."""
    frames = np.stack([frame.pixels for frame in (*rendered.inputs, *rendered.outputs)])
    return film_strip(frames, len(rendered.inputs), scale, caption)


def page(strips: Sequence[Pillow.Image], width: int = 840) -> Pillow.Image:
    """Strips laid out like words: side by side as far as `width` pixels allow, then on the next line."""
    places, x, y, line = [], 0, 0, 0
    for strip in strips:
        if x and x + strip.width > width:
            x, y, line = 0, y + line, 0
        places.append((x, y))
        x, line = x + strip.width + 4 * GAP, max(line, strip.height)
    sheet = Pillow.new("RGB", (max(x + s.width for (x, _), s in zip(places, strips)), y + line), WHITE)
    for place, strip in zip(places, strips):
        sheet.paste(strip, place)
    return sheet


def samples(split: Split, drawn: list[np.ndarray], table: pd.DataFrame, right: int = 4, wrong: int = 4) -> Pillow.Image:
    """Film strips of some right and some wrong answers, each with what was read and what was true."""
    correct = (table.answer_read == table.answer).values
    chosen = [i for rows, n in ((np.flatnonzero(correct), right), (np.flatnonzero(~correct), wrong)) if len(rows)
              for i in rows[np.linspace(0, len(rows) - 1, min(n, len(rows))).astype(int)]]       # spread over the whole set
    strips = []
    for i in chosen:
        n_in = int(split.table.n_in.values[i])
        inputs = split.gather([i])[0, :n_in].movedim(1, -1).cpu().numpy()
        mark = "right" if correct[i] else f"WRONG, true: {table.answer[i]}"
        strips.append(film_strip(np.concatenate([inputs, drawn[i]]), n_in, scale=1, caption=f"{table.answer_read[i] or '(nothing)'}: {mark}"))
    return page(strips)


def confusion(counts: pd.DataFrame, title: str, path: Path | None = None) -> plt.Figure:
    """A confusion matrix, rows true, columns given."""
    if not counts.iloc[:, -1].any():
        counts = counts.iloc[:, :-1]
    side = 1.6 + 0.42 * len(counts)
    figure, axes = plt.subplots(figsize=(side + 0.6, side), layout="constrained")
    axes.imshow(counts.div(counts.sum(axis=1).clip(lower=1), axis=0), cmap="Blues", vmin=0, vmax=1)
    axes.set(xticks=range(counts.shape[1]), yticks=range(len(counts)), xlabel="read", ylabel="true", title=title)
    axes.set_xticklabels(counts.columns, rotation=45, ha="right")
    axes.set_yticklabels(counts.index)
    axes.title.set_size(9)
    for (y, x), n in np.ndenumerate(counts.values):
        if n:
            axes.text(x, y, n, ha="center", va="center", fontsize=7, color="white" if n > 0.5 * counts.values[y].sum() else "black")
    return _finish(figure, path)


def curves(runs: Iterable[str | Path], path: Path | None = None) -> plt.Figure:
    """Training loss and validation SSIM of runs, over minutes."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(8, 2.8), layout="constrained")
    for run in map(Path, runs):
        log = pd.read_csv(run / "log.csv")
        left.plot(log.seconds / 60, log.loss, label=run.name)
        seen = log.dropna(subset="validation_ssim")
        right.plot(seen.seconds / 60, seen.validation_ssim, marker="o", markersize=3, label=run.name)
    left.set(xlabel="minutes", ylabel="loss: 1 - MS-SSIM")
    right.set(xlabel="minutes", ylabel="validation MS-SSIM")
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    left.legend(frameon=False, fontsize=8)
    return _finish(figure, path)


def _finish(figure: plt.Figure, path: Path | None) -> plt.Figure:
    if path is not None:
        figure.savefig(path, dpi=110)
    plt.close(figure)             # else a notebook shows it twice
    return figure


def _small() -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(font_file(), 11)
