"""Pictures: film strips as in the paper's Figure 1, animations, galleries of answers, curves, confusion matrices.

All frames are uint8 (T, 64, 64, 3), RGB. Strips and animations have a white background, and figures share one style
(evlib.mplstyle) and one width, so that all are as readable on a dark page as on a white one.
"""

from __future__ import annotations

import base64
import html
import io
import json
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from evlib.config import SIZE
from evlib.data.store import Split
from evlib.frames.render import Rendered, font_file, tokenize, word_frame
from evlib.utils import files

if TYPE_CHECKING:
    import IPython.display

STYLE = Path(__file__).with_name("evlib.mplstyle")
WIDTH = 8  # inches, of every figure
RED, GRAY, WHITE, DARK, BLUE = (214, 39, 40), (110, 110, 110), (255, 255, 255), (40, 40, 40), (86, 180, 233)
GAP = 2  # px between frames
LINE = 14  # px, a line of text
SECONDS = 0.3  # per frame of an animation
OTHER = "(other)"  # counts the answers that are not one of the classes


# ---- film strips ---------------------------------------------------------------------------------------------------


def film_strip(
    frames: np.ndarray,
    n_in: int,
    scale: int = 2,
    caption: str = "",
    labels: Mapping[int, str] | None = None,
    true: np.ndarray | None = None,
) -> Pillow.Image:
    """Frames side by side, with a red line between the input and the network's own frames.

    scale: enlargement factor; caption: lines of text under the strip; labels: frame index -> a few words above it;
    true: the true frames, in a second row under the network's own.
    """
    side, edge, top, words = scale * (SIZE + GAP), scale * GAP, LINE if labels else 0, caption.splitlines()
    rows = [(0, frames)] if true is None else [(0, frames), (n_in, true)]  # index of the first frame, and the frames
    across = max(start + len(shown) for start, shown in rows)
    places = [edge + t * side + (2 * edge if 0 < n_in <= t else 0) for t in range(across)]
    width = max(max(places, default=0) + side, *(round(mono().getlength(text)) + 2 * edge for text in ("", *words)))
    bottom = top + edge + len(rows) * side
    strip = Pillow.new("RGB", (width, bottom + LINE * len(words) + (edge if words else 0)), WHITE)
    pen = ImageDraw.Draw(strip)
    for row, (start, shown) in enumerate(rows):
        for t, frame in enumerate(shown, start):
            strip.paste(enlarged(frame, scale), (places[t], top + edge + row * side))
    x = edge + n_in * side
    if 0 < n_in < len(frames):
        pen.rectangle([x + scale - 1, 0, x + 2 * scale, bottom - 1], fill=RED)
    if true is not None and n_in:
        pen.text((x - 2 * GAP, bottom - edge - scale * SIZE / 2), "true", fill=GRAY, font=sans(), anchor="rm")
    for t, text in (labels or {}).items():
        pen.text((places[t], 1), text, fill=RED if t == n_in else GRAY, font=sans())
    for i, text in enumerate(words):
        pen.text((edge, bottom + i * LINE), text, fill=DARK, font=mono())
    return strip


def enlarged(frame: np.ndarray, scale: int) -> Pillow.Image:
    return Pillow.fromarray(frame).resize((scale * SIZE, scale * SIZE), Pillow.Resampling.NEAREST)


def strip(
    inputs: np.ndarray, outputs: np.ndarray, scale: int = 2, caption: str = "", output_label: str = "predicted"
) -> Pillow.Image:
    """Inputs, which end in the separator, a red line, and outputs, labelled `output_label`. Long clips are reduced to a
    few frames."""
    shown = [thin(inputs[:-1]), inputs[-1:], thin(outputs)]
    n_in = len(shown[0]) + 1
    labels = {0: "input", n_in: output_label} if len(outputs) else {0: "input"}
    return film_strip(np.concatenate(shown), n_in, scale, caption, labels)


def strip_of(rendered: Rendered, scale: int = 2, caption: str = "") -> Pillow.Image:
    """An example as it is rendered for training: inputs, the separator, a red line, the true answer."""
    inputs, outputs = (np.stack([frame.pixels for frame in part]) for part in (rendered.inputs, rendered.outputs))
    return strip(inputs, outputs, scale, caption, output_label="true answer")


def thin(frames: np.ndarray) -> np.ndarray:
    """All frames, or six of a clip of ten or more. Frames of words, gray on black, all stay."""
    return frames[thinned(frames)]


def thinned(frames: np.ndarray) -> np.ndarray:
    """The indices of the frames that `thin` returns."""
    is_clip = len(frames) >= 10 and (np.median(frames[-1]) > 0 or np.ptp(frames[-1], axis=-1).max() > 0)
    return np.linspace(0, len(frames) - 1, 6).round().astype(int) if is_clip else np.arange(len(frames))


def page(strips: Sequence[Pillow.Image], width: int = 840, title: str = "") -> Pillow.Image:
    """Strips laid out like words of a text, under a title: side by side up to `width` pixels, then on the next line. In
    256 colors."""
    places, x, y, line = [], 0, LINE + 2 * GAP if title else 0, 0
    for strip in strips:
        if x and x + strip.width > width:
            x, y, line = 0, y + line, 0
        places.append((x, y))
        x, line = x + strip.width + 4 * GAP, max(line, strip.height)
    across = max([x + s.width for (x, _), s in zip(places, strips)] + [round(sans().getlength(title)) + 2 * GAP])
    sheet = Pillow.new("RGB", (across, y + line), WHITE)
    ImageDraw.Draw(sheet).text((GAP, GAP), title, fill=DARK, font=sans())
    for place, strip in zip(places, strips):
        sheet.paste(strip, place)
    return sheet.quantize(256, dither=Pillow.Dither.NONE)  # a third of the bytes, with no visible difference


def samples(split: Split, generated: list[np.ndarray], captions: list[str], scores: np.ndarray) -> Pillow.Image:
    """Film strips of up to four answers better than the mean and four worse, spread over the whole set, each with its
    caption."""
    right = scores >= scores.mean()
    chosen = []
    for rows in (np.flatnonzero(right), np.flatnonzero(~right)):
        chosen += rows[np.linspace(0, len(rows) - 1, min(4, len(rows))).astype(int)].tolist()
    return page([strip(split.inputs(i), generated[i], scale=1, caption=captions[i]) for i in chosen])


def mistake(inputs: np.ndarray, question: str, generated: np.ndarray, true: np.ndarray, caption: str) -> Pillow.Image:
    """One answer of a gallery: one frame of the input clip, a red line, the generated answer, the true one under it;
    the words of the question become text. `inputs` end in the separator."""
    text = [word_frame(word) for word in tokenize(question)]
    seen = [frame for frame in inputs[:-1] if not any(np.array_equal(frame, word) for word in text)]
    seen = seen[len(seen) // 2 :][:1]
    lines = [*textwrap.wrap(question, 34, max_lines=4), caption]
    return film_strip(np.stack([*seen, *generated]), len(seen), 1, "\n".join(lines), true=true)


def outlined(frame: np.ndarray, box: Sequence[float] | None) -> np.ndarray:
    """A frame with a thin blue line around x, y, w, h, in pixels; None leaves it as it is."""
    picture = Pillow.fromarray(frame)
    if box is not None:
        x, y, w, h = box
        left, top, right, bottom = round(x), round(y), round(x + w) - 1, round(y + h) - 1
        ImageDraw.Draw(picture).rectangle([left, top, max(left, right), max(top, bottom)], outline=BLUE)
    return np.asarray(picture)


def errors(worst: Sequence[Pillow.Image], title: str, path: Path, most: int = 80_000) -> Pillow.Image:
    """Saves a gallery of answers, the worst first, under a title. It takes at most `most` bytes: if need be with fewer
    colors, and if 64 colors are still too many, without the last answers."""
    for count, colors in [(len(worst), 256), (len(worst), 128), *((n, 64) for n in range(len(worst), -1, -1))]:
        sheet = page(worst[:count], title=title)
        if colors < 256:
            sheet = sheet.convert("RGB").quantize(colors, dither=Pillow.Dither.NONE)
        packed = io.BytesIO()
        sheet.save(packed, "PNG", optimize=True)
        if packed.tell() <= most:
            break
    with files.atomic(path) as temporary:
        temporary.write_bytes(packed.getvalue())
    return sheet


# ---- films ---------------------------------------------------------------------------------------------------------


def animation(
    inputs: np.ndarray,
    outputs: np.ndarray,
    caption: str = "",
    true: np.ndarray | None = None,
    most: int = 100_000,
    scale: int = 2,
) -> bytes:
    """A GIF that loops forever: the input (without its separator), what the network generated, and the true answer if
    given, side by side.

    The longest of them sets the length and the others are stretched to it, so that a word stands still beside a clip.
    At most `most` bytes: if need be, some frames are left out and the others stay longer; a noisy clip is also shown
    smaller."""
    films = [film for film in (inputs[:-1], outputs, true) if film is not None and len(film)]
    labels = dict(enumerate(("input", "predicted", "true")[: len(films)])) if len(films) > 1 else None
    length, palette = max(map(len, films)), _palette(np.concatenate(films))
    for size, count in [*((scale, n) for n in (length, 16, 12, 8, 6)), *((1, n) for n in (8, 4, 2, 1))]:
        if count > length:
            continue
        moments = [[film[t * len(film) // count] for film in films] for t in range(count)]
        pictures = [film_strip(np.stack(frames), 1, size, caption, labels) for frames in moments]
        gif = packed_gif(pictures, palette, SECONDS * length / count)
        if len(gif) <= most:
            break
    return gif


def moving(inputs: np.ndarray, outputs: np.ndarray, caption: str = "", **settings) -> IPython.display.HTML:
    """The same animation for a notebook, shown where it is the value of a cell or passed to `display`. It is HTML,
    because the pages made from notebooks omit outputs of type image/gif."""
    from IPython.display import HTML

    film = base64.b64encode(animation(inputs, outputs, caption, **settings)).decode()
    said = html.escape(caption or "a film and the answer to it")
    return HTML(f'<img src="data:image/gif;base64,{film}" alt="{said}">')


def _palette(frames: np.ndarray, colors: int = 64) -> Pillow.Image:
    """The colors of an animation, plus white, black, red and the gray of the text: one palette for all frames, so that
    what stands still is stored once."""
    fixed = [*WHITE, 0, 0, 0, *RED, *DARK, *GRAY]
    picture = Pillow.fromarray(frames.reshape(-1, *frames.shape[2:]))
    found = picture.quantize(colors - len(fixed) // 3, dither=Pillow.Dither.NONE).getpalette()
    palette = Pillow.new("P", (1, 1))
    palette.putpalette((fixed + found)[: 3 * colors])
    return palette


def packed_gif(pictures: Sequence[Pillow.Image], palette: Pillow.Image, seconds: float) -> bytes:
    """A GIF that loops forever, in the colors of a palette, with `seconds` per picture."""
    first, *others = (picture.quantize(palette=palette, dither=Pillow.Dither.NONE) for picture in pictures)
    packed = io.BytesIO()
    first.save(packed, "GIF", save_all=True, append_images=others, loop=0, duration=round(1000 * seconds), disposal=1)
    return packed.getvalue()


# ---- figures -------------------------------------------------------------------------------------------------------

styled = plt.style.context(STYLE)  # a decorator: figures have the project's look, whatever matplotlib is set to


def confusion_counts(predicted: Sequence[str], true: Sequence[str], classes: Sequence[str]) -> pd.DataFrame:
    """Counts: one row per true answer, one column per predicted one; the last column is "(other)"."""
    predicted = [p if p in classes else OTHER for p in predicted]
    counts = pd.crosstab(pd.Series(list(true)), pd.Series(predicted))
    return counts.reindex(index=list(classes), columns=[*classes, OTHER], fill_value=0)


@styled
def confusion(counts: pd.DataFrame, title: str, path: Path | None = None) -> plt.Figure:
    """A confusion matrix, rows true, columns predicted."""
    if not counts.iloc[:, -1].any():
        counts = counts.iloc[:, :-1]
    figure, axes = plt.subplots(figsize=(WIDTH, 1.3 + 0.3 * len(counts)))
    shares = counts.div(counts.sum(axis=1).clip(lower=1), axis=0)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    axes.set(xlabel="read", ylabel="true", title=title)
    axes.set_xticks(range(counts.shape[1]), counts.columns, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(counts)), counts.index)
    for (y, x), n in np.ndenumerate(counts.values):
        if n:
            color = "white" if shares.values[y, x] > 0.5 else "black"
            axes.text(x, y, n, ha="center", va="center", fontsize=7, color=color)
    return finish(figure, path)


@styled
def curves(runs: Iterable[str | Path], path: Path | None = None) -> plt.Figure:
    """Training loss and validation SSIM of runs, over steps: the same picture on every machine."""
    figure, (left, right) = plt.subplots(1, 2)
    runs = [Path(run) for run in runs]
    for run in runs:
        log = pd.read_csv(run / "log.csv")
        left.plot(log.step, log.loss, label=run.name)
        seen = log.dropna(subset="validation_ssim")
        right.plot(seen.step, seen.validation_ssim, marker="o", label=run.name)
    pictorial = any(json.loads((run / "config.json").read_text())["train"].get("l1") for run in runs)
    left.set(xlabel="steps", ylabel="loss, training" if pictorial else "loss: 1 - MS-SSIM, training")
    right.set(xlabel="steps", ylabel="validation MS-SSIM")
    if len(runs) > 6:
        figure.legend(handles=left.lines, loc="outside right center")
    else:
        left.legend()
    return finish(figure, path)


@styled
def bars(values: dict[str, float], title: str, path: Path | None = None) -> plt.Figure:
    """Shares by name, the largest on top."""
    series = pd.Series(values, dtype=float).sort_values()
    figure, axes = plt.subplots(figsize=(WIDTH, 0.8 + 0.24 * len(series)))
    axes.barh(series.index, series.values, color="C0")
    axes.set(xlim=(0, 1), title=title)
    return finish(figure, path)


@styled
def boxes(result: dict, path: Path | None = None) -> plt.Figure:
    """Tracking: IoU by frame, next to that of always keeping the first box, and the success curve."""
    figure, (left, right) = plt.subplots(1, 2)
    frames = range(1, len(result["iou_by_frame"]) + 1)
    left.plot(frames, result["iou_by_frame"], marker="o", label="generated boxes")
    left.plot(frames, result["first_box_by_frame"], linestyle="--", label="first box kept")
    left.set(xlabel="frame", ylabel="mean IoU", ylim=(0, 1))
    left.legend()
    right.plot(np.linspace(0, 1, len(result["success"])), result["success"])
    right.set(xlabel="IoU threshold", ylabel="share of frames above it", ylim=(0, 1))
    right.set(title=f"success curve, area {result['success_auc']:.3f}")
    return finish(figure, path)


@styled
def colors(table: pd.DataFrame, path: Path | None = None) -> plt.Figure:
    """Colorized clips against the data, one dot per clip: PSNR, consistency, colorfulness."""
    figure, places = plt.subplots(1, 3)
    pairs = (
        ("psnr_gray", "psnr", "gray input copied, dB", "ours, dB"),
        ("cdc_true", "cdc", "CDC of the data", "CDC, ours"),
        ("colorfulness_true", "colorfulness", "colorfulness of the data", "colorfulness, ours"),
    )
    for axes, (x, y, across, up) in zip(places, pairs):
        axes.scatter(table[x], table[y], s=8, color="C0")
        low, high = table[[x, y]].min().min(), table[[x, y]].max().max()
        axes.plot([low, high], [low, high], color="gray", linewidth=0.8)
        axes.set(xlabel=across, ylabel=up)
    return finish(figure, path)


def finish(figure: plt.Figure, path: Path | None = None) -> plt.Figure:
    """Saves a figure if there is a path, and closes it: otherwise a notebook shows it twice."""
    if path is not None:
        figure.savefig(path)
    plt.close(figure)
    return figure


@cache
def mono() -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(font_file(), 11)


@cache
def sans(size: int = 10, bold: bool = False) -> ImageFont.FreeTypeFont:
    fonts = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    return ImageFont.truetype(fonts / f"DejaVuSans{'-Bold' if bold else ''}.ttf", size)
