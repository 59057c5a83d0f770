"""Turns generated frames into text, and text into scores (section 4). One scorer per kind of answer.

A scorer reads the answers of a whole test split into a table, and scores that table or a part of it. Each score comes
with what a trivial answer would have scored on the same rows."""

import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import torch
from PIL import Image as Pillow

from evlib.data.store import Split
from evlib.data.tasks.answers import (
    Answer,
    BoxesAnswer,
    ColorAnswer,
    LabelsAnswer,
    WordAnswer,
    label_words,
    split_labels,
)
from evlib.frames.boxes import read_boxes
from evlib.frames.image import until_blank
from evlib.frames.render import tokenize, word_frame
from evlib.scoring import metrics
from evlib.scoring.ocr import TemplateReader, nearest_word, read_words
from evlib.training.loss import ms_ssim
from evlib.viz import plots


@dataclass(frozen=True)
class Prediction:
    """An answer as text, and the frames it was read from. The task decides what the text is: a word, labels, boxes
    x,y,w,h, or the measured colors of a clip."""

    answer: str  # matched to the vocabulary
    legibility: float  # 0..1: similarity to a clean rendering of that answer; not how likely it is right
    read: str = ""  # Tesseract's output, before matching to the vocabulary
    runners_up: dict[str, float] = field(default_factory=dict, repr=False)  # word -> distance, nearest first
    frames: np.ndarray = field(default=None, repr=False)  # uint8 (T, 64, 64, 3): what the network generated
    inputs: np.ndarray = field(default=None, repr=False)  # uint8 (T, 64, 64, 3): what the network saw
    n_truncated: int = 0  # words that were left out because a text was too long

    def strip(self, scale: int = 2, caption: str = "") -> Pillow.Image:
        """Input frames, a red line, the generated frames, as in the paper's Figure 1."""
        return plots.strip(self.inputs, self.frames, scale, caption)


class Scorer(ABC):
    """How one kind of answer is read and scored."""

    def __init__(self, answer: Answer):
        self.answer = answer

    @abstractmethod
    def read(self, generated: list[np.ndarray], split: Split, vocabulary: Sequence[str]) -> pd.DataFrame:
        """generated: uint8 (T, 64, 64, 3) per example -> one row per example, with at least the columns source,
        question, answer (the true one), answer_read, example_score (0..1, 1 is best) and legibility (0..1)."""

    @abstractmethod
    def score(self, table: pd.DataFrame, train: pd.DataFrame, vocabulary: Sequence[str]) -> dict:
        """The metrics of a table, and `baselines`: trivial answer -> its metrics. `train` has the columns question and
        answer; it is empty for data that is only scored, not trained on."""

    @abstractmethod
    def read_one(self, frames: np.ndarray, vocabulary: Sequence[str]) -> Prediction:
        """Reads a single answer, uint8 (T, 64, 64, 3), in the same way as `read`."""

    @abstractmethod
    def headline(self, result: dict) -> str:
        """The score in a few words."""


def scorer(answer: Answer) -> Scorer:
    """The scorer of this kind of answer."""
    return next(SCORERS[kind] for kind in type(answer).__mro__ if kind in SCORERS)(answer)


def _asked(split: Split) -> pd.DataFrame:
    return split.metadata[["source", "question", "answer"]].reset_index(drop=True)


class WordScorer(Scorer):
    def read(self, generated, split, vocabulary):
        frames = np.stack([frames[0] for frames in generated])
        raw, words = read_and_match(frames, vocabulary)
        table = _asked(split).assign(tesseract=raw, answer_read=words, template=TemplateReader(vocabulary).read(frames))
        legible = [legibility(frame[None], [word]) for frame, word in zip(frames, words)]
        return table.assign(example_score=(table.answer == words).astype(float), legibility=legible)

    def read_one(self, frames, vocabulary):
        (raw,), (word,) = read_and_match(frames[:1], vocabulary)
        distances = TemplateReader(vocabulary).distances(frames[:1])[0]
        runners_up = {vocabulary[i]: round(float(distances[i]), 1) for i in distances.argsort().tolist()[:100]}
        return Prediction(word, legibility(frames[:1], [word]), raw, runners_up)

    def score(self, table, train, vocabulary):
        positive = self.answer.classes[1] if len(self.answer.classes) == 2 else None

        def measure(guess: Sequence[str]) -> dict[str, float]:
            return metrics.classification(guess, table.answer, positive)

        guesses = {}
        if len(train):
            frequent = metrics.most_frequent(train.answer)
            guesses[f"always “{frequent}”"] = [frequent] * len(table)
            if self.answer.has_question:
                blind = train.groupby("question").answer.agg(metrics.most_frequent).to_dict()
                guesses["from the question alone"] = [blind.get(question, frequent) for question in table.question]
        return {
            **measure(table.answer_read),
            "accuracy_exact": metrics.accuracy(table.tesseract, table.answer),
            "accuracy_template": metrics.accuracy(table.template, table.answer),
            "baselines": {name: measure(guess) for name, guess in guesses.items()},
        }

    def headline(self, result):
        return f"{result['accuracy']:.1%} by Tesseract, {result['accuracy_template']:.1%} by template"


class LabelsScorer(Scorer):
    def read(self, generated, split, vocabulary):
        generated = [until_blank(frames) for frames in generated]
        flat, words = np.concatenate(generated), label_words(vocabulary)
        template = TemplateReader(words).read(flat) if len(flat) else []
        ends = np.cumsum([len(frames) for frames in generated])[:-1]
        raw, matched, template = (
            [line.tolist() for line in np.split(np.array(tokens, dtype=object), ends)]
            for tokens in (*read_and_match(flat, words), template)
        )
        table = _asked(split).assign(
            tesseract=[" ".join(tokens) for tokens in raw],
            answer_read=[", ".join(to_labels(tokens, vocabulary)) for tokens in matched],
            template=[", ".join(to_labels(tokens, vocabulary)) for tokens in template],
            legibility=[legibility(frames, tokens) for frames, tokens in zip(generated, matched)],
        )
        pairs = [(split_labels(read), split_labels(true)) for read, true in zip(table.answer_read, table.answer)]
        return table.assign(example_score=[len(read & true) / max(1, len(read | true)) for read, true in pairs])

    def read_one(self, frames, vocabulary):
        frames = until_blank(frames)
        raw, words = read_and_match(frames, label_words(vocabulary))
        return Prediction(", ".join(to_labels(words, vocabulary)), legibility(frames, words), " ".join(raw))

    def score(self, table, train, vocabulary):
        def measure(guess: Sequence[str]) -> dict:
            given, true = ([split_labels(answer) for answer in answers] for answers in (guess, table.answer))
            return metrics.multilabel(given, true, vocabulary)

        frequent = [metrics.most_frequent(train.answer)] if len(train) else []
        return {
            **measure(table.answer_read),
            "accuracy_template": measure(table.template)["accuracy"],
            "baselines": {f"always “{answer}”": measure([answer] * len(table)) for answer in frequent},
        }

    def headline(self, result):
        return f"F1 {result['f1']:.1%} weighted, {result['f1_macro']:.1%} macro, {result['accuracy']:.1%} exact"


class BoxesScorer(Scorer):
    def read(self, generated, split, vocabulary):
        rows = []
        for frames, true in zip(generated, split.metadata.answer):
            found = read_boxes(frames)
            boxes = [box and [round(float(v), 2) for v in box.box] for box in found]
            overlap = overlaps(box_array(boxes), box_array(json.loads(true)))[1:]  # the first box is given
            rows.append((json.dumps(boxes), pd.Series(overlap).mean(), _confidence(found)))
        table = _asked(split).join(pd.DataFrame(rows, columns=["answer_read", "iou", "legibility"]))
        return table.assign(example_score=table.iou.fillna(0))

    def read_one(self, frames, vocabulary):
        found = read_boxes(frames)
        text = "; ".join("no box" if box is None else ",".join(f"{v:.0f}" for v in box.box) for box in found)
        return Prediction(f"boxes x,y,w,h: {text}", _confidence(found))

    def score(self, table, train, vocabulary):
        boxes, true = ([box_array(json.loads(a)) for a in answers] for answers in (table.answer_read, table.answer))
        read = [overlaps(*pair) for pair in zip(boxes, true)]
        first = [overlaps(np.repeat(t[:1], len(t), axis=0), t) for t in true]
        every = np.concatenate([track[1:] for track in read])
        every = every[~np.isnan(every)]
        curve = metrics.success_curve(every) if len(every) else np.zeros(len(metrics.THRESHOLDS))

        def mean(tracks: list[np.ndarray]) -> dict[str, float]:
            return {"iou": without_first(tracks), "iou_with_first": float(np.nanmean(np.concatenate(tracks)))}

        return {
            **mean(read),
            "success_auc": float(curve.mean()),
            "success": np.round(curve, 4).tolist(),
            "iou_by_frame": pd.DataFrame(read).mean().round(4).tolist(),
            "first_box_by_frame": pd.DataFrame(first).mean().round(4).tolist(),
            "no_box": float(np.isnan(np.concatenate(boxes)[:, 0]).mean()),
            "baselines": {"first box kept": mean(first)},
        }

    def headline(self, result):
        return f"IoU {result['iou']:.3f} without the given first box, {result['iou_with_first']:.3f} with it"


class ColorScorer(Scorer):
    def read(self, generated, split, vocabulary):
        rows = []
        for i, (frames, true) in enumerate(zip(generated, split.outputs())):
            clips = {"": frames, "_gray": split.inputs(i)[:-1], "_true": true}  # without the separator
            rows.append({f"{m}{end}": v for end, clip in clips.items() for m, v in self.measure(clip, true).items()})
        table = _asked(split).assign(answer_read="").join(pd.DataFrame(rows))
        return table.assign(example_score=table.psnr / table.psnr.max(), legibility=1.0)

    def measure(self, frames: np.ndarray, true: np.ndarray) -> dict[str, float]:
        """Metrics of a clip, uint8 (T, 64, 64, 3): compared with the true clip, and of the clip alone."""
        measures = (metrics.cdc, metrics.colorfulness, metrics.colorfulness_hs)
        alone = {measure.__name__: measure(frames) for measure in measures}
        return {"psnr": metrics.psnr(frames, true), "ssim": metrics.ssim(frames, true), **alone}

    def read_one(self, frames, vocabulary):
        measured = f"colorfulness {metrics.colorfulness(frames):.1f}, CDC {metrics.cdc(frames):.4f}"
        return Prediction(f"{len(frames)} frames in color ({measured})", 1.0)

    def score(self, table, train, vocabulary):
        alone = ("cdc", "colorfulness", "colorfulness_hs")

        def mean(ending: str, measures: Sequence[str] = ("psnr", "ssim", *alone)) -> dict:
            return {measure: float(table[f"{measure}{ending}"].mean()) for measure in measures}

        return {**mean(""), "baselines": {"gray input copied": mean("_gray"), "the data": mean("_true", alone)}}

    def headline(self, result):
        return f"{result['psnr']:.1f} dB, CDC {result['cdc']:.4f}, colorfulness {result['colorfulness']:.1f}"


SCORERS = {WordAnswer: WordScorer, LabelsAnswer: LabelsScorer, BoxesAnswer: BoxesScorer, ColorAnswer: ColorScorer}


# ---- words ---------------------------------------------------------------------------------------------------------


def read_and_match(frames: np.ndarray, vocabulary: Sequence[str]) -> tuple[list[str], list[str]]:
    """uint8 (N, 64, 64, 3) -> what Tesseract reads, and the nearest words of the vocabulary."""
    raw = read_words(frames)
    match = {word: nearest_word(word, vocabulary) for word in set(raw)}
    return raw, [match[word] for word in raw]


def legibility(frames: np.ndarray, words: Sequence[str]) -> float:
    """0..1: MS-SSIM between generated frames and a clean rendering of the words that were read from them."""
    if not any(words):  # nothing was read, so nothing is legible
        return 0.0
    clean = np.stack([word_frame(word) for word in words])
    x, y = (torch.from_numpy(a.copy()).movedim(-1, 1).float() / 255 for a in (frames, clean))
    return float(ms_ssim(x, y).mean())


def to_labels(words: Sequence[str], labels: Sequence[str]) -> list[str]:
    """`vehicle`, `moving`, `,`, `activity`, `walking` -> the nearest labels, without duplicates."""
    names = ["_".join(name.split()) for name in " ".join(words).split(",")]
    return list(dict.fromkeys(nearest_word(name, labels) for name in names if name))


def clean_frames(answer: Answer, text: str) -> np.ndarray:
    """A true answer as it should be generated: uint8 (T, 64, 64, 3)."""
    if isinstance(answer, LabelsAnswer):
        words = tokenize(" , ".join(label.replace("_", " ") for label in sorted(split_labels(text))))
        return np.stack([word_frame(word) for word in words])
    return word_frame(text)[None]


# ---- boxes ---------------------------------------------------------------------------------------------------------


def _confidence(found: list) -> float:
    return float(np.mean([0 if box is None else box.confidence for box in found]))


def overlaps(read: np.ndarray, true: np.ndarray) -> np.ndarray:
    """IoU of every frame, NaN where the target is absent: LaSOT's own toolkit leaves those frames out, too."""
    return np.where(np.isnan(true).any(axis=1), np.nan, metrics.iou(read, true))


def without_first(tracks: list[np.ndarray]) -> float:
    """Mean IoU without the first frame of each track, whose box is given."""
    later = np.concatenate([track[1:] for track in tracks])
    return float(np.nanmean(later)) if len(later) and not np.isnan(later).all() else 0.0


def box_array(boxes: list) -> np.ndarray:
    """[[x, y, w, h], None, ...] -> float (T, 4), NaN where there is no box."""
    return np.array([[np.nan] * 4 if box is None else box for box in boxes], dtype=float).reshape(-1, 4)
