"""Three questions that readers ask, answered by measurements. Each function returns a table and a figure."""

import json
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from pydoc_data.topics import topics

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from PIL import Image as Pillow

from evlib.config import SIZE
from evlib.data import tasks
from evlib.data.store import Split
from evlib.data.tasks.answers import Answer, LabelsAnswer, WordAnswer, split_labels
from evlib.frames import boxes
from evlib.frames.render import tokenize, word_frame
from evlib.scoring import metrics
from evlib.scoring.answers import clean_frames, scorer
from evlib.scoring.evaluate import scored
from evlib.scoring.ocr import read_words
from evlib.training.loss import concave, ms_ssim
from evlib.utils.errors import EvlibError
from evlib.viz.plots import WIDTH, finish, styled

SIZES = (32, 64, 128)  # px, sides of a frame
LETTERS = ((2, 3), (4, 6), (7, 9), (10, 12), (13, 20))  # of a word, from and to
SIDES = ((0.04, 0.08), (0.08, 0.15), (0.15, 0.3), (0.3, 0.6))  # of a box, as shares of the frame's
SENTENCES = "sentences of 6-12 words"
PROSE = " ".join(topics.values())  # Python's own language reference, which every installation has


# ---- why 64 x 64 -----------------------------------------------------------------------------------------------------


def frame_sizes(words: int = 100, sentences: int = 30, tracks: int = 60) -> tuple[pd.DataFrame, plt.Figure]:
    """Words, sentences and boxes, rendered by the same rules in frames of SIZES and read by the same readers.

    words: how many of each length, at most; sentences: how many of 6 to 12 words, without punctuation, each read if all
    its words are; tracks: how many boxes of each size, on smooth backgrounds. About 20 s on one core.

    The table: one row per kind, with n, the measure (share read exactly, or mean IoU; 0..1) and a column `<size> px`
    for each size."""
    rng = np.random.default_rng(0)
    groups = {f"words of {low}-{high} letters": found for (low, high), found in zip(LETTERS, _words(words, rng))}
    sentence_words = _sentences(sentences, rng)
    vocabulary = sorted({word for found in (*groups.values(), *sentence_words) for word in found})
    right = {}
    for size in SIZES:
        read = read_words([word_frame(word, size) for word in vocabulary])
        right[size] = {word for word, found in zip(vocabulary, read) if word == found}

    rows = [
        (name, "share read", len(found), *(np.mean([word in right[size] for word in found]) for size in SIZES))
        for name, found in groups.items()
    ]
    whole = [np.mean([right[size].issuperset(sentence) for sentence in sentence_words]) for size in SIZES]
    rows.append((SENTENCES, "share read", len(sentence_words), *whole))
    for low, high in SIDES:
        cases = [(rng.integers(40, 215, (6, 6, 3), dtype=np.uint8), _box(low, high, rng)) for _ in range(tracks)]
        overlap = [np.mean([_overlap(*case, size) for case in cases]) for size in SIZES]
        rows.append((f"boxes of {low * SIZE:.0f}-{high * SIZE:.0f} px in 64", "IoU", tracks, *overlap))
    table = pd.DataFrame(rows, columns=["what", "measure", "n", *(f"{size} px" for size in SIZES)]).set_index("what")
    return table, _plot_sizes(table)


def _words(count: int, rng: np.random.Generator) -> list[list[str]]:
    """At most `count` English words of each length class, found at least twice each, so that few are made up."""
    seen = Counter(re.findall(r"(?<![\w*`\"'._-])[a-z]+(?![\w`\"'*._-])", PROSE))
    pools = [sorted(word for word, n in seen.items() if n > 1 and low <= len(word) <= high) for low, high in LETTERS]
    return [[pool[i] for i in rng.permutation(len(pool))[:count]] for pool in pools]


def _sentences(count: int, rng: np.random.Generator) -> list[list[str]]:
    found = re.findall(r"(?<=\. )[A-Z][a-z]+(?: [a-z]+){5,11}(?=\.)", " ".join(PROSE.split()))
    pool = [tokenize(sentence) for sentence in sorted(set(found))]
    return [pool[i] for i in rng.permutation(len(pool))[:count]]


def _box(low: float, high: float, rng: np.random.Generator) -> np.ndarray:
    """A random box x, y, w, h as shares of the frame, entirely inside."""
    sides = rng.uniform(low, high, 2)
    return np.concatenate([rng.uniform(0, 1 - sides), sides])


def _overlap(colors: np.ndarray, box: np.ndarray, size: int) -> float:
    """IoU of a rendered box and the box that is read from the frame; 0 if none is found."""
    found = boxes.read_box(_boxed(colors, box, size), size)
    return 0.0 if found is None else float(metrics.iou(np.array([found.box]), box[None] * size)[0])


def _boxed(colors: np.ndarray, box: np.ndarray, size: int) -> np.ndarray:
    """A box on a smooth background, in a frame of some size."""
    background = np.asarray(Pillow.fromarray(colors).resize((size, size), Pillow.Resampling.BICUBIC))
    return boxes.render_box(background, box * size, size)


@styled
def _plot_sizes(table: pd.DataFrame) -> plt.Figure:
    figure = plt.figure(figsize=(WIDTH, 4.5))
    figure.get_layout_engine().set(h_pad=0.08)
    above, below = figure.subfigures(2, 1, height_ratios=[1, 1.9])
    colors = np.random.default_rng(3).integers(40, 215, (6, 6, 3), dtype=np.uint8)
    frames = [word_frame("everything", size) for size in SIZES]
    frames += [_boxed(colors, np.array([0.4, 0.3, 0.12, 0.2]), size) for size in SIZES]
    _show(above.subplots(1, len(frames)), frames, [f"{len(frame)} px" for frame in frames])
    left, right = below.subplots(1, 2, sharey=True)
    for axes, kind in ((left, "words"), (right, "boxes")):
        part = table[table.index.str.startswith(kind)]
        for size in SIZES:
            zorder = 3 if size == SIZE else 2
            axes.plot(range(len(part)), part[f"{size} px"], marker="o", label=f"{size} px", zorder=zorder)
        axes.set_xticks(range(len(part)), [re.search(r"\d+-\d+", name)[0] for name in part.index])
    for i, size in enumerate(SIZES):  # a single point each, beside the words
        left.plot([len(LETTERS)], table.loc[SENTENCES, f"{size} px"], marker="D", color=f"C{i}")
    left.set_xticks(range(len(LETTERS) + 1), [*(f"{low}-{high}" for low, high in LETTERS), "sentence"])
    left.set(xlabel="letters of a word; a sentence of 6-12 words", ylabel="share read exactly", ylim=(-0.03, 1.03))
    right.set(xlabel="sides of a box, in pixels of a 64 px frame", ylabel="IoU of the box that is read")
    right.legend(loc="lower right")
    return finish(figure)


def _show(places: Sequence[plt.Axes], frames: Sequence[np.ndarray], titles: Sequence[str]) -> None:
    for axes, frame, title in zip(places, frames, titles):
        axes.imshow(frame, interpolation="nearest")
        axes.set_title(title)
        axes.axis("off")


# ---- a loss that commits ---------------------------------------------------------------------------------------------


def blend_losses(first: str, second: str) -> tuple[pd.DataFrame, plt.Figure]:
    """The loss of a network that cannot know which of two words is right and generates a blend of their frames.

    The table: one row per weight w of `first` (0..1), one column per power, 1.0 and 0.5: the loss ((1 - MS-SSIM) made
    `concave` by that power) of w * first + (1 - w) * second, averaged over both words as the target."""
    a, b = (torch.from_numpy(word_frame(word).copy()).movedim(-1, 0) / 255 for word in (first, second))
    w = torch.linspace(0, 1, 41).view(-1, 1, 1, 1)
    blends = w * a + (1 - w) * b
    distances = [1 - ms_ssim(blends, target.expand_as(blends)) for target in (a, b)]
    losses = {power: sum(concave(d, power) for d in distances).numpy() / 2 for power in (1.0, 0.5)}
    table = pd.DataFrame(losses, index=pd.Index(w.flatten().numpy().round(3), name="w"))
    return table, _plot_blends(table, blends.movedim(1, -1).numpy(), first, second)


@styled
def _plot_blends(table: pd.DataFrame, blends: np.ndarray, first: str, second: str) -> plt.Figure:
    figure = plt.figure(figsize=(WIDTH, 3.6))
    above, below = figure.subfigures(2, 1, height_ratios=[1, 1.9])
    shown = np.linspace(0, len(blends) - 1, 5).round().astype(int)
    _show(above.subplots(1, len(shown)), blends[shown], [f"w = {table.index[i]:.2f}" for i in shown])
    axes = below.subplots()
    for power in table:
        axes.plot(table.index, table[power], label=f"power {power:g}")
        best = table[power].idxmin()
        axes.plot([best], [table[power][best]], marker="o", color=axes.lines[-1].get_color(), linestyle="none")
    axes.set(xlabel=f"w of the blend: 0 is {second}, 1 is {first}", ylabel="loss, mean over both", ylim=(0, None))
    axes.legend(loc="lower center")
    return finish(figure)


# ---- whose error is it -----------------------------------------------------------------------------------------------


def reading_against_model(results: str | Path) -> tuple[pd.DataFrame, plt.Figure]:
    """Which wrong answers are the network's, and which were only misread? For every run whose answers are words.

    The table has one row per run, in shares of its test answers, 0..1: `right` is what Tesseract reads correctly, the
    paper's metric. A wrong answer is a `reading_error` if the nearest rendered word is the true one, else a
    `model_error`. `template` is the share whose nearest rendered word is right; `clean` is what Tesseract reads
    correctly when given clean frames of the true answers, so 1 - clean is the reader's own error. EvlibError if there
    is no such run with its predictions.csv."""
    rows = []
    for run, result in scored(results).items():
        answer, needed = tasks.get(result["task"]).answer, [run / "predictions.csv", run / "config.json"]
        if isinstance(answer, (WordAnswer, LabelsAnswer)) and all(file.exists() for file in needed):
            about = {"run": run.name, "dataset": result["dataset"], "data": result["data"]}
            rows.append({**about, **_split_errors(run, answer)})
    if not rows:
        raise EvlibError(
            f"{results}: expected runs that answer in words, each with metrics.json, config.json and predictions.csv, "
            "found none; `python -m evlib evaluate` writes them."
        )
    table = pd.DataFrame(rows).set_index("run")
    return table, _plot_errors(table)


def _split_errors(run: Path, answer: Answer) -> dict:
    vocabulary = json.loads((run / "config.json").read_text())["store"]["vocabulary"]
    table = pd.read_csv(run / "predictions.csv", keep_default_na=False, dtype=str)
    same = split_labels if isinstance(answer, LabelsAnswer) else str  # the order of labels does not matter
    right, template = (table[read].map(same) == table.answer.map(same) for read in ("answer_read", "template"))
    return {
        "n": len(table),
        "right": right.mean(),
        "reading_error": (~right & template).mean(),
        "model_error": (~right & ~template).mean(),
        "template": template.mean(),
        "clean": table.answer.map(_clean_is_read(table.answer.drop_duplicates(), answer, vocabulary)).mean(),
    }


def _clean_is_read(texts: pd.Series, answer: Answer, vocabulary: list[str]) -> dict[str, bool]:
    """Whether Tesseract correctly reads a clean rendering of each answer."""
    asked = pd.DataFrame({"source": "", "question": "", "answer": texts})
    split = Split("clean", torch.empty(0), torch.empty(0), asked)
    read = scorer(answer).read([clean_frames(answer, text) for text in texts], split, vocabulary)
    return dict(zip(texts, read.example_score == 1))


@styled
def _plot_errors(table: pd.DataFrame) -> plt.Figure:
    figure, axes = plt.subplots(figsize=(WIDTH, 1.1 + 0.34 * len(table)))
    labels = {"right": "read right", "reading_error": "legible, misread", "model_error": "wrong"}
    shares = table[list(labels)].rename(columns=labels)
    shares.plot.barh(ax=axes, stacked=True, color=["C2", "C4", "C1"], width=0.7, legend=False)
    for bars in axes.containers:
        percent = [f"{100 * bar.get_width():.0f}" if bar.get_width() > 0.04 else "" for bar in bars]
        axes.bar_label(bars, percent, label_type="center", fontsize=7)
    style = {"marker": "|", "s": 160, "color": "black", "zorder": 3}
    axes.scatter(table.clean, range(len(table)), label="clean frames of the answers read right", **style)
    axes.invert_yaxis()
    axes.set(xlim=(0, 1), xlabel="share of the test answers (numbers: percent)", ylabel="")
    figure.legend(loc="outside upper center", ncols=4)
    return finish(figure)
