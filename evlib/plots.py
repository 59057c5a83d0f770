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
BLUE, ORANGE = "#0072b2", "#d55e00"      # told apart by the colour-blind, too
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


def strip(inputs: np.ndarray, outputs: np.ndarray, scale: int = 2, caption: str = "") -> Pillow.Image:
    """Inputs, which end in the separator, a red line, and outputs: uint8 (T, 64, 64, 3) each. Of long clips a few frames."""
    clip, separator = np.split(inputs, [-1])
    shown = [thin(clip), separator, thin(outputs)]
    return film_strip(np.concatenate(shown), len(shown[0]) + 1, scale, caption)


def strip_of(rendered: Rendered, scale: int = 2, caption: str = "") -> Pillow.Image:
    """An example as it is drawn for training: inputs, the separator, a red line, the true answer."""
    inputs, outputs = (np.stack([frame.pixels for frame in part]) for part in (rendered.inputs, rendered.outputs))
    return strip(inputs, outputs, scale, caption)


def thin(frames: np.ndarray) -> np.ndarray:
    """All frames, or a few of a clip of ten and more. Words, grey on black, all stay."""
    is_clip = len(frames) >= 10 and (np.median(frames[-1]) > 0 or np.ptp(frames[-1], axis=-1).max() > 0)
    return frames[np.linspace(0, len(frames) - 1, 6).round().astype(int)] if is_clip else frames


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
    return sheet.quantize(256, dither=Pillow.Dither.NONE)      # a third of the bytes, and nobody sees it


def samples(split: Split, drawn: list[np.ndarray], captions: list[str], quality: np.ndarray, good: int = 4, bad: int = 4) -> Pillow.Image:
    """Film strips of some answers better than the mean and some worse, each with its caption; of long clips every few frames."""
    order = np.argsort(-quality, kind="stable")
    right = quality >= quality.mean()
    better, worse = order[right[order]], order[~right[order]]
    chosen = [i for rows, n in ((np.sort(better), good), (worse, bad)) if len(rows)
              for i in rows[np.linspace(0, len(rows) - 1, min(n, len(rows))).astype(int)]]       # spread over the whole set
    strips = []
    for i in chosen:
        strips.append(strip(split.inputs(i), drawn[i], scale=1, caption=captions[i]))
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


def bars(values: dict[str, float], title: str, path: Path | None = None) -> plt.Figure:
    """Shares by name, the largest on top."""
    series = pd.Series(values, dtype=float).sort_values()
    figure, axes = plt.subplots(figsize=(6, 0.8 + 0.24 * len(series)), layout="constrained")
    axes.barh(series.index, series.values, color=BLUE)
    axes.set(xlim=(0, 1), title=title)
    axes.title.set_size(9)
    axes.spines[["top", "right"]].set_visible(False)
    return _finish(figure, path)


def boxes(result: dict, path: Path | None = None) -> plt.Figure:
    """Tracking: IoU by frame beside that of the first box kept, and the success curve."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(8, 2.8), layout="constrained")
    frames = range(1, len(result["iou_by_frame"]) + 1)
    left.plot(frames, result["iou_by_frame"], color=BLUE, marker="o", markersize=3, label="drawn boxes")
    left.plot(frames, result["kept_by_frame"], color=ORANGE, linestyle="--", label="first box kept")
    left.set(xlabel="frame", ylabel="mean IoU", ylim=(0, 1))
    left.legend(frameon=False, fontsize=8)
    right.plot(np.linspace(0, 1, len(result["success"])), result["success"], color=BLUE)
    right.set(xlabel="IoU threshold", ylabel="share of frames above", ylim=(0, 1), title=f"area {result['success_auc']:.3f}")
    right.title.set_size(9)
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    return _finish(figure, path)


def colours(table: pd.DataFrame, path: Path | None = None) -> plt.Figure:
    """Colourised clips against the data, a dot a clip: PSNR, consistency, colorfulness."""
    figure, places = plt.subplots(1, 3, figsize=(9, 2.9), layout="constrained")
    pairs = (("psnr_grey", "psnr", "grey input copied, dB", "ours, dB"), ("cdc_true", "cdc", "CDC of the data", "CDC, ours"),
             ("colorfulness_true", "colorfulness", "colorfulness of the data", "colorfulness, ours"))
    for axes, (x, y, across, up) in zip(places, pairs):
        axes.scatter(table[x], table[y], s=8, color=BLUE)
        low, high = table[[x, y]].min().min(), table[[x, y]].max().max()
        axes.plot([low, high], [low, high], color="grey", linewidth=0.8)
        axes.set(xlabel=across, ylabel=up)
        axes.spines[["top", "right"]].set_visible(False)
    return _finish(figure, path)


def _finish(figure: plt.Figure, path: Path | None) -> plt.Figure:
    if path is not None:
        figure.savefig(path, dpi=110)
    plt.close(figure)             # else a notebook shows it twice
    return figure


def _small() -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(font_file(), 11)
