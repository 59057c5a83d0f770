"""Two questions that readers ask, answered by measuring.

    frame_sizes()                   why 64x64 pixels, and what is lost: words, sentences and boxes drawn at 32, 64 and 128
    reading_against_model(results)  how far the answer is from the picture: which errors are the network's, which the reader's

Each returns a table and a figure.
"""

from __future__ import annotations

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

from evlib.data import tasks
from evlib.data.store import Split
from evlib.frames import boxes
from evlib.frames.image import SIZE
from evlib.frames.render import tokenize, word_frame
from evlib.scoring import metrics
from evlib.scoring.answers import Labels, Words, split_labels
from evlib.scoring.evaluate import scored
from evlib.scoring.ocr import read_words
from evlib.utils.errors import EvlibError
from evlib.viz.plots import WIDTH, finish, styled

SIZES = (32, 64, 128)  # px, sides of a frame
LETTERS = ((2, 3), (4, 6), (7, 9), (10, 12), (13, 20))  # of a word, from and to
SIDES = ((0.04, 0.08), (0.08, 0.15), (0.15, 0.3), (0.3, 0.6))  # of a box, as shares of the frame's
SENTENCES = "sentences of 6-12 words"


# ---- why 64 x 64 -------------------------------------------------------------------------------------------------------------


def frame_sizes(
    sizes: Sequence[int] = SIZES,
    words: int = 100,
    sentences: int = 30,
    tracks: int = 60,
    seed: int = 0,
    path: Path | None = None,
) -> tuple[pd.DataFrame, plt.Figure]:
    """Words, sentences and boxes, drawn by the same rules in frames of several sizes and read back by the same readers.

    words: at most so many of each length; tracks: boxes of each size, on smooth backgrounds; sentences: of 6 to 12 words, without
    signs, read if all their words are. The words are those of Python's own language reference, which is everywhere. About 20 s of one core.

    The table: a row a kind, with n, the measure (share read exactly, or mean IoU; 0..1) and a column `<size> px` for each size.
    """
    rng = np.random.default_rng(seed)
    groups = {f"words of {low}-{high} letters": chosen for (low, high), chosen in zip(LETTERS, _words(words, rng))}
    said = _sentences(sentences, rng)
    drawn = sorted(
        {word for chosen in groups.values() for word in chosen} | {word for sentence in said for word in sentence}
    )
    read = read_words([word_frame(word, size) for size in sizes for word in drawn])
    right = {
        size: {word for word, seen in zip(drawn, read[i * len(drawn) :]) if word == seen}
        for i, size in enumerate(sizes)
    }

    rows = [
        (name, "share read", len(chosen), *(np.mean([word in right[size] for word in chosen]) for size in sizes))
        for name, chosen in groups.items()
    ]
    rows.append(
        (
            SENTENCES,
            "share read",
            len(said),
            *(np.mean([right[size].issuperset(sentence) for sentence in said]) for size in sizes),
        )
    )
    for low, high in SIDES:
        cases = [(rng.integers(40, 215, (6, 6, 3), dtype=np.uint8), _box(low, high, rng)) for _ in range(tracks)]
        rows.append(
            (
                f"boxes of {low * SIZE:.0f}-{high * SIZE:.0f} px in 64",
                "IoU",
                tracks,
                *(np.mean([_overlap(*case, size) for case in cases]) for size in sizes),
            )
        )
    table = pd.DataFrame(rows, columns=["what", "measure", "n", *(f"{size} px" for size in sizes)]).set_index("what")
    return table, _draw_sizes(table, sizes, path)


def _words(count: int, rng: np.random.Generator) -> list[list[str]]:
    """English words of each length class, at most `count`; such as appear at least twice, so that few are made up."""
    seen = Counter(re.findall(r"(?<![\w*`\"'._-])[a-z]+(?![\w`\"'*._-])", " ".join(topics.values())))
    pools = [sorted(word for word, n in seen.items() if n > 1 and low <= len(word) <= high) for low, high in LETTERS]
    return [[pool[i] for i in rng.permutation(len(pool))[:count]] for pool in pools]


def _sentences(count: int, rng: np.random.Generator) -> list[list[str]]:
    prose = " ".join(" ".join(topics.values()).split())
    pool = [
        tokenize(sentence) for sentence in sorted(set(re.findall(r"(?<=\. )[A-Z][a-z]+(?: [a-z]+){5,11}(?=\.)", prose)))
    ]
    return [pool[i] for i in rng.permutation(len(pool))[:count]]


def _box(low: float, high: float, rng: np.random.Generator) -> np.ndarray:
    """x, y, w, h as shares of the frame, wholly inside."""
    sides = rng.uniform(low, high, 2)
    return np.concatenate([rng.uniform(0, 1 - sides), sides])


def _overlap(colours: np.ndarray, box: np.ndarray, size: int) -> float:
    """IoU of a box and what is read of its drawing; 0 where none is found."""
    found = _boxed(colours, box, size)[1]
    return 0.0 if found is None else float(metrics.iou(np.array([found.box]), box[None] * size)[0])


def _boxed(colours: np.ndarray, box: np.ndarray, size: int) -> tuple[np.ndarray, boxes.ReadBox | None]:
    """A box on a smooth background, in a frame of some size, and what is read of it."""
    background = np.asarray(Pillow.fromarray(colours).resize((size, size), Pillow.Resampling.BICUBIC))
    frame = boxes.draw_box(background, box * size, size)
    return frame, boxes.read_box(frame, size)


@styled
def _draw_sizes(table: pd.DataFrame, sizes: Sequence[int], path: Path | None) -> plt.Figure:
    figure = plt.figure(figsize=(WIDTH, 4.5))
    figure.get_layout_engine().set(h_pad=0.08)
    above, below = figure.subfigures(2, 1, height_ratios=[1, 1.9])
    colours, box = (
        np.random.default_rng(3).integers(40, 215, (6, 6, 3), dtype=np.uint8),
        np.array([0.4, 0.3, 0.12, 0.2]),
    )
    pictures = [(size, word_frame("everything", size)) for size in sizes] + [
        (size, _boxed(colours, box, size)[0]) for size in sizes
    ]
    for axes, (size, frame) in zip(above.subplots(1, len(pictures)), pictures):
        axes.imshow(frame, interpolation="nearest")
        axes.set_title(f"{size} px")
        axes.axis("off")
    left, right = below.subplots(1, 2, sharey=True)
    for axes, what in ((left, "words"), (right, "boxes")):
        part = table[table.index.str.startswith(what)]
        for size in sizes:
            axes.plot(
                range(len(part)), part[f"{size} px"], marker="o", label=f"{size} px", zorder=3 if size == SIZE else 2
            )
        axes.set_xticks(range(len(part)), [re.search(r"\d+-\d+", name)[0] for name in part.index])
    for i, size in enumerate(sizes):  # a single point each, beside the words
        left.plot([len(LETTERS)], table.loc[SENTENCES, f"{size} px"], marker="D", color=f"C{i}")
    left.set_xticks(range(len(LETTERS) + 1), [*(f"{low}-{high}" for low, high in LETTERS), "sentence"])
    left.set(xlabel="letters of a word; a sentence of 6-12 words", ylabel="share read exactly", ylim=(-0.03, 1.03))
    right.set(xlabel="sides of a box, in pixels of a 64 px frame", ylabel="IoU of the box that is read")
    right.legend(loc="lower right")
    return finish(figure, path)


# ---- how far the answer is from the picture ----------------------------------------------------------------------------------


def reading_against_model(results: str | Path, path: Path | None = None) -> tuple[pd.DataFrame, plt.Figure]:
    """Which wrong answers were drawn wrong, and which were only misread? For every run in results/runs whose answers are words.

    The table, a row a run, in shares of its test answers, 0..1:
    `right` is what Tesseract reads right, the paper's measure, and `right + reading_error + model_error` = 1. A wrong answer is a
    `reading_error` if the template reader, which knows only the vocabulary's drawings, finds the true word in it, else a `model_error`.
    `template` is what that reader reads right, `clean` what Tesseract reads right of clean drawings of the same true answers: 1 - clean
    is the reader's own error, which no network could avoid.

    EvlibError if there is no such run with its predictions.csv."""
    rows = []
    for run, result in scored(results).items():
        kind = tasks.get(result["task"]).answers
        if isinstance(kind, (Words, Labels)) and all(
            (run / name).exists() for name in ("predictions.csv", "config.json")
        ):
            rows.append(
                {
                    "run": run.name,
                    "dataset": result["dataset"],
                    "data": result["data"],
                    **_split_errors(run, kind, _vocabulary(run)),
                }
            )
    if not rows:
        raise EvlibError(
            f"{results}: expected runs that answer in words, each with metrics.json, config.json and predictions.csv, found none; "
            "`python -m evlib evaluate` writes them."
        )
    table = pd.DataFrame(rows).set_index("run")
    return table, _draw_errors(table, path)


def _vocabulary(run: Path) -> list[str]:
    return json.loads((run / "config.json").read_text())["vocabulary"]


def _split_errors(run: Path, kind: Words | Labels, vocabulary: list[str]) -> dict:
    table = pd.read_csv(run / "predictions.csv", keep_default_na=False, dtype=str)
    right, template = kind.example_score(table) == 1, kind.example_score(table.assign(answer_read=table.template)) == 1
    answers = table.answer.drop_duplicates()
    clean = _read_clean(answers.tolist(), kind, vocabulary)
    return {
        "n": len(table),
        "right": right.mean(),
        "reading_error": (~right & template).mean(),
        "model_error": (~right & ~template).mean(),
        "template": template.mean(),
        "clean": table.answer.map(clean).mean(),
    }


def _read_clean(answers: list[str], kind: Words | Labels, vocabulary: list[str]) -> dict[str, bool]:
    """Whether each answer, drawn as it should be, is read right."""
    said = [
        " , ".join(label.replace("_", " ") for label in sorted(split_labels(answer)))
        if isinstance(kind, Labels)
        else answer
        for answer in answers
    ]
    drawn = [np.stack([word_frame(word) for word in tokenize(text)]) for text in said]
    asked = pd.DataFrame({"source": "", "question": "", "answer": answers})
    read = kind.read(drawn, Split("clean", torch.empty(0), torch.empty(0), asked), vocabulary)
    return dict(zip(answers, (kind.example_score(read) == 1).tolist()))


@styled
def _draw_errors(table: pd.DataFrame, path: Path | None) -> plt.Figure:
    figure, axes = plt.subplots(figsize=(WIDTH, 1.1 + 0.34 * len(table)))
    start = np.zeros(len(table))
    for column, label, colour in (
        ("right", "read right", "C2"),
        ("reading_error", "drawn right, misread", "C4"),
        ("model_error", "drawn wrong", "C1"),
    ):
        axes.barh(table.index, table[column], left=start, color=colour, label=label, height=0.7)
        for y, (x, width) in enumerate(zip(start, table[column])):
            if width > 0.04:
                axes.text(x + width / 2, y, f"{100 * width:.0f}", ha="center", va="center", fontsize=7)
        start = start + table[column].values
    axes.scatter(
        table.clean,
        table.index,
        marker="|",
        s=160,
        color="black",
        label="clean drawings of the answers read right",
        zorder=3,
    )
    axes.invert_yaxis()
    axes.set(xlim=(0, 1), xlabel="share of the test answers (numbers: percent)")
    figure.legend(loc="outside upper center", ncols=4)
    return finish(figure, path)
