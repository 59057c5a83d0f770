"""What the frames of an answer mean: how they are read, scored and shown (section 4). A task names its kind:

    Words    one drawn word: a class, or the answer to a question
    Labels   a comma-separated list of class names, a word a frame, until a blank frame
    Boxes    the input's frames again, each with a red box
    Colours  the input's frames again, in colour

Every kind reads a whole test split into a table with a row an example, and scores such a table: so a part of a test
set is scored like the whole. Beside each score stands what trivial answers would have got on the same rows.
"""
from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from PIL import Image as Pillow

from . import metrics, plots
from .boxes import read_boxes
from .decode import TemplateReader, is_blank, nearest_word, read_words
from .loss import ms_ssim
from .render import tokenize, word_frame
from .store import Split


ALIKE = 3        # answers read alike that follow each other in a gallery, before others get their turn


class Reading(NamedTuple):
    """One answer, read."""
    answer: str                          # what was read, matched to the vocabulary
    score: float                         # 0..1, how clearly it was drawn
    read: str = ""                       # Tesseract's words, before matching
    runners_up: dict[str, float] = {}    # word -> distance of its drawing, nearest first


class Answers(ABC):
    variable = False      # the answer's length is drawn, too: it ends at a blank frame
    asked = False         # the inputs hold a question, which might be answered blindly
    pointed = False       # the inputs hold a box around what is meant

    def vocabulary(self, answers: pd.Series) -> list[str]:
        """What an answer is matched to, from all answers of a data set."""
        return []

    @abstractmethod
    def read(self, drawn: list[np.ndarray], split: Split, vocabulary: Sequence[str]) -> pd.DataFrame:
        """drawn: uint8 (T, 64, 64, 3) an example. Returns at least source, question, answer (the true one), answer_read."""

    @abstractmethod
    def score(self, table: pd.DataFrame, train: pd.DataFrame, vocabulary: Sequence[str]) -> dict:
        """The measures of a table, and `baselines`: what is trivial -> its measures. `train` has question and answer."""

    @abstractmethod
    def one(self, frames: np.ndarray, vocabulary: Sequence[str]) -> Reading:
        """A single answer, uint8 (T, 64, 64, 3)."""

    @abstractmethod
    def quality(self, table: pd.DataFrame) -> np.ndarray:
        """How good each answer is, 0 (worst) to 1."""

    @abstractmethod
    def captions(self, table: pd.DataFrame) -> list[str]:
        """A few words about each answer."""

    def clearness(self, table: pd.DataFrame, drawn: list[np.ndarray]) -> np.ndarray:
        """How clearly each answer is drawn, 0..1: which of two equally bad ones is worse."""
        return np.zeros(len(table))

    def worst(self, table: pd.DataFrame, drawn: list[np.ndarray], split: Split, count: int = 12) -> tuple[str, list[Pillow.Image]]:
        """A title, and pictures of the worst answers, the worst first: what was asked, drawn and true."""
        quality, true, captions = self.quality(table), split.outputs(), self.captions(table)
        order = np.lexsort((self.clearness(table, drawn), quality))
        alike = table.answer_read.iloc[order].groupby(table.answer_read.iloc[order]).cumcount().values // ALIKE
        order = order[np.lexsort((alike, quality[order] == 1))]              # a favourite mistake does not fill the page
        return self.gallery(table), [self.mistake(table.iloc[i], split.inputs(i), drawn[i], true[i], captions[i]) for i in order[:count]]

    def gallery(self, table: pd.DataFrame) -> str:
        """The title of a gallery of the worst answers."""
        return f"{(self.quality(table) < 1).sum():,} of {len(table):,} answers are wrong: those first, the least clear first, at most {ALIKE} in a row with the same reading. Drawn above, true below."

    def mistake(self, row: pd.Series, inputs: np.ndarray, drawn: np.ndarray, true: np.ndarray, caption: str) -> Pillow.Image:
        """One picture of that gallery."""
        return plots.mistake(inputs, row.question, drawn, true, caption)

    def figures(self, result: dict, table: pd.DataFrame, vocabulary: Sequence[str], run: Path) -> None:
        """Draws what there is to see into the run folder."""

    @abstractmethod
    def headline(self, result: dict) -> str:
        """The score in a few words."""


class Words(Answers):
    """One word. `classes` is the fixed vocabulary; without, it is every answer that the data set's files hold."""

    def __init__(self, classes: Sequence[str] = (), asked: bool = False):
        self.classes, self.asked = list(classes), asked

    def vocabulary(self, answers: pd.Series) -> list[str]:
        return self.classes or sorted(set(answers))

    def read(self, drawn, split, vocabulary):
        # A few of TGIF-QA's words, such as t-shirt, are drawn in pieces.
        raw, _, template = ([line.replace(" ", "") for line in lines] for lines in read_twice(drawn, pieces(vocabulary)))
        match = {line: nearest_word(line, vocabulary) for line in {*raw, *template}}
        return pd.DataFrame({"source": split.table.source, "question": split.table.question, "answer": split.table.answer,
                             "tesseract": raw, "answer_read": [match[line] for line in raw], "template": [match[line] for line in template]})

    def score(self, table, train, vocabulary):
        if not len(train):                                       # data to be scored on only
            return {**self._right(table), "baselines": {}}
        frequent = metrics.most_frequent(train.answer)
        baselines = {f"always “{frequent}”": metrics.classification([frequent] * len(table), table.answer)}
        if self.asked:
            blind = train.groupby("question").answer.agg(metrics.most_frequent).to_dict()
            baselines["from the question alone"] = metrics.classification([blind.get(q, frequent) for q in table.question], table.answer)
        return {**self._right(table), "baselines": baselines}

    @staticmethod
    def _right(table: pd.DataFrame) -> dict:
        return {**metrics.classification(table.answer_read, table.answer), "accuracy_exact": metrics.accuracy(table.tesseract, table.answer),
                "accuracy_template": metrics.accuracy(table.template, table.answer)}

    def one(self, frames, vocabulary):
        frames = frames[:1]                                      # of the pieces of a word, that which says most
        raw = read_words(frames)
        words = [nearest_word(word, vocabulary) for word in raw]
        distances = TemplateReader(vocabulary).distances(frames).mean(dim=0)
        runners_up = {vocabulary[i]: round(float(distances[i]), 1) for i in distances.argsort().tolist()[:100]}
        return Reading(" ".join(words), likeness(frames, words), " ".join(raw), runners_up)

    def quality(self, table):
        return (table.answer_read == table.answer).values.astype(float)

    def clearness(self, table, drawn):
        return np.array([likeness(frames[:1], [read][:1]) for frames, read in zip(drawn, table.answer_read)])

    def captions(self, table):
        said = [read or "(nothing)" for read in table.answer_read]
        return [f"{s}: right" if s == true else f"{s}: WRONG, true: {true}" for s, true in zip(said, table.answer)]

    def figures(self, result, table, vocabulary, run):
        common = table.answer.value_counts().index[:20]                  # a confusion matrix of 1,700 words tells nothing
        classes = [word for word in vocabulary if word in set(common)]
        kept = table[table.answer.isin(classes)]
        plots.confusion(metrics.confusion(kept.answer_read, kept.answer, classes), f"{result['dataset']}: answers read by Tesseract", run / "confusion.png")

    def headline(self, result):
        return f"{result['accuracy']:.1%} by Tesseract, {result['accuracy_template']:.1%} by template"


class Labels(Answers):
    """Several class names of several words: `vehicle moving , activity walking`, then a blank frame."""
    variable = True

    def vocabulary(self, answers):
        return sorted({label for answer in answers for label in split_labels(answer)})

    def read(self, drawn, split, vocabulary):
        table = split.table
        drawn = [until_blank(frames) for frames in drawn]
        raw, words, template = read_twice(drawn, label_words(vocabulary))
        match = [[", ".join(to_labels(line, vocabulary)) for line in lines] for lines in (words, template)]
        return pd.DataFrame({"source": table.source, "question": table.question, "answer": table.answer, "tesseract": raw,
                             "answer_read": match[0], "template": match[1]})

    def score(self, table, train, vocabulary):
        def measure(column):
            return metrics.multilabel([split_labels(a) for a in column], [split_labels(a) for a in table.answer], vocabulary)

        frequent = [metrics.most_frequent(train.answer)] if len(train) else []          # none: data to be scored on only
        return {**measure(table.answer_read), "accuracy_template": measure(table.template)["accuracy"],
                "baselines": {f"always “{answer}”": measure([answer] * len(table)) for answer in frequent}}

    def one(self, frames, vocabulary):
        frames = until_blank(frames)
        raw = read_words(frames)
        words = [nearest_word(word, label_words(vocabulary)) for word in raw]
        return Reading(", ".join(to_labels(" ".join(words), vocabulary)), likeness(frames, words), " ".join(raw))

    def quality(self, table):
        pairs = [(split_labels(read), split_labels(true)) for read, true in zip(table.answer_read, table.answer)]
        return np.array([len(read & true) / max(1, len(read | true)) for read, true in pairs])

    def clearness(self, table, drawn):
        clean = [tokenize(read.replace("_", " ")) for read in table.answer_read]
        return np.array([likeness(frames[:len(words)], words[:len(frames)]) for frames, words in zip(drawn, clean)])

    def mistake(self, row, inputs, drawn, true, caption):
        return super().mistake(row, inputs, until_blank(drawn), until_blank(true), caption)

    def captions(self, table):
        return [f"{read or '(nothing)'}: right" if split_labels(read) == split_labels(true) else f"{read or '(nothing)'}: WRONG, true: {true}"
                for read, true in zip(table.answer_read, table.answer)]

    def figures(self, result, table, vocabulary, run):
        plots.bars(result["f1_by_class"], f"{result['dataset']}: F1 of each label", run / "f1_by_class.png")

    def headline(self, result):
        return f"F1 {result['f1']:.1%} weighted, {result['f1_macro']:.1%} macro, {result['accuracy']:.1%} exact"


class Boxes(Answers):
    """A red box in every frame. The true answer is a list of x, y, w, h in frame pixels, null where the target is absent."""
    pointed = True

    def read(self, drawn, split, vocabulary):
        rows = []
        for frames, true in zip(drawn, split.table.answer):
            found = read_boxes(frames)
            boxes = [None if box is None else [round(float(v), 2) for v in box.box] for box in found]
            rows.append((json.dumps(boxes), pd.Series(self.overlaps(box_array(boxes), box_array(json.loads(true)))).mean(),
                         float(np.mean([0 if box is None else box.confidence for box in found]))))
        read = pd.DataFrame(rows, columns=["answer_read", "iou", "confidence"])
        return pd.concat([split.table[["source", "question", "answer"]].reset_index(drop=True), read], axis=1)

    def score(self, table, train, vocabulary):
        true = [box_array(json.loads(a)) for a in table.answer]
        overlaps = [self.overlaps(box_array(json.loads(read)), t) for read, t in zip(table.answer_read, true)]
        kept = [self.overlaps(np.repeat(t[:1], len(t), axis=0), t) for t in true]
        every, by_frame = np.concatenate(overlaps), pd.DataFrame(overlaps).mean()
        curve, area = metrics.success_curve(every[~np.isnan(every)]), metrics.success_auc(every[~np.isnan(every)])
        return {"iou": float(np.nanmean(every)), "iou_after_first": after_first(overlaps), "success_auc": float(area), "success": np.round(curve, 4).tolist(),
                "iou_by_frame": by_frame.round(4).tolist(), "kept_by_frame": pd.DataFrame(kept).mean().round(4).tolist(),
                "no_box": float(np.mean([box is None for a in table.answer_read for box in json.loads(a)])),
                "baselines": {"first box kept": {"iou": float(np.nanmean(np.concatenate(kept))), "iou_after_first": after_first(kept)}}}

    @staticmethod
    def overlaps(read: np.ndarray, true: np.ndarray) -> np.ndarray:
        """IoU of every frame, NaN where the target is absent: as LaSOT's own toolkit, which leaves those out."""
        return np.where(np.isnan(true).any(axis=1), np.nan, metrics.iou(read, true))

    def one(self, frames, vocabulary):
        found = read_boxes(frames)
        said = "; ".join("no box" if box is None else ",".join(f"{v:.0f}" for v in box.box) for box in found)
        return Reading(said, float(np.mean([0 if box is None else box.confidence for box in found])))

    def quality(self, table):
        return table.iou.fillna(0).values

    def gallery(self, table):
        return f"Lowest IoU first, of {len(table):,} tracks: drawn above, with the box that was read in blue; true below."

    def mistake(self, row, inputs, drawn, true, caption):
        read = json.loads(row.answer_read)
        moments = [len(drawn) // 2, len(drawn) - 1]                          # the first frame's box is given
        return plots.film_strip(np.stack([plots.outlined(drawn[t], read[t]) for t in moments]), 0, 1, caption, true=true[moments])

    def captions(self, table):
        return [f"{Path(source).name}: IoU {iou:.2f}" for source, iou in zip(table.source, table.iou)]

    def figures(self, result, table, vocabulary, run):
        plots.boxes(result, run / "iou.png")

    def headline(self, result):
        return f"IoU {result['iou']:.3f}, success AUC {result['success_auc']:.3f}"


class Colours(Answers):
    """The same frames in colour. Nothing is read: the pictures themselves are measured, and so are the data's own."""

    def read(self, drawn, split, vocabulary):
        rows = []
        for i, (frames, true) in enumerate(zip(drawn, split.outputs())):
            grey = split.inputs(i)[:-1]                                       # without the separator
            rows.append({name: measure(a, true) for name, a in (("", frames), ("_grey", grey), ("_true", true))})
        wide = [{f"{key}{name}": value for name, row in r.items() for key, value in row.items()} for r in rows]
        return pd.concat([split.table[["source", "question", "answer"]].assign(answer_read="").reset_index(drop=True), pd.DataFrame(wide)], axis=1)

    def score(self, table, train, vocabulary):
        def mean(ending: str) -> dict:
            return {key: float(table[f"{key}{ending}"].mean()) for key in MEASURES}

        data = mean("_true")
        return {**mean(""), "baselines": {"grey input copied": mean("_grey"), "the data": {k: v for k, v in data.items() if k not in ("psnr", "ssim")}}}

    def one(self, frames, vocabulary):
        return Reading(f"colorfulness {metrics.colorfulness(frames):.1f}, CDC {metrics.cdc(frames):.4f}", 1.0)

    def quality(self, table):
        return (table.psnr / table.psnr.max()).values

    def gallery(self, table):
        return f"Lowest PSNR first, of {len(table):,} clips: the middle frame in grey, as it was drawn, and the true one below."

    def mistake(self, row, inputs, drawn, true, caption):
        middle = len(drawn) // 2
        return plots.film_strip(np.stack([inputs[middle], drawn[middle]]), 1, 1, caption, true=true[middle:][:1])

    def captions(self, table):
        return [f"{Path(source).name}: {psnr:.1f} dB, grey {grey:.1f}" for source, psnr, grey in zip(table.source, table.psnr, table.psnr_grey)]

    def figures(self, result, table, vocabulary, run):
        plots.colours(table, run / "colours.png")

    def headline(self, result):
        return f"{result['psnr']:.1f} dB, CDC {result['cdc']:.4f}, colorfulness {result['colorfulness']:.1f}"


MEASURES = ("psnr", "ssim", "cdc", "colorfulness", "colorfulness_hs")       # of a colourised clip


def measure(frames: np.ndarray, true: np.ndarray) -> dict[str, float]:
    """MEASURES of a clip, uint8 (T, 64, 64, 3), against the true one."""
    return dict(zip(MEASURES, (metrics.psnr(frames, true), metrics.ssim(frames, true), metrics.cdc(frames), metrics.colorfulness(frames),
                               metrics.colorfulness_hs(frames))))


def read_twice(drawn: list[np.ndarray], vocabulary: Sequence[str]) -> tuple[list[str], list[str], list[str]]:
    """The words of every answer: what Tesseract reads, the nearest words of the vocabulary, and the template reader's."""
    frames = np.concatenate(drawn)
    raw = read_words(frames)
    words = [nearest_word(word, vocabulary) for word in raw]
    ends = np.cumsum([len(frames) for frames in drawn])
    template = TemplateReader(vocabulary).read(frames) if len(frames) else []
    return tuple([" ".join(said[end - len(d):end]) for d, end in zip(drawn, ends)] for said in (raw, words, template))


def pieces(vocabulary: Sequence[str]) -> list[str]:
    """What the words of a vocabulary are drawn as: themselves, but for signs within."""
    return list(dict.fromkeys(piece for word in vocabulary for piece in tokenize(word)))


def likeness(frames: np.ndarray, words: Sequence[str]) -> float:
    """0..1: MS-SSIM of drawn frames and a clean drawing of the words that were read in them."""
    if not any(words):                                           # nothing drawn is nothing clear
        return 0.0
    clean = np.stack([word_frame(word) for word in words])
    x, y = (torch.from_numpy(a.copy()).movedim(-1, 1).float() / 255 for a in (frames, clean))
    return float(ms_ssim(x, y).mean())


def until_blank(frames: np.ndarray) -> np.ndarray:
    """The frames before the first blank one."""
    return frames[:next((t for t, frame in enumerate(frames) if is_blank(frame)), len(frames))]


def split_labels(answer: str) -> set[str]:
    return {label for label in answer.split(", ") if label}


def label_words(labels: Sequence[str]) -> list[str]:
    """The words that such answers are drawn with, and the comma."""
    return [*sorted({word for label in labels for word in label.split("_")}), ","]


def to_labels(line: str, labels: Sequence[str]) -> list[str]:
    """`vehicle moving , activity walking` -> the nearest labels, each once."""
    names = ["_".join(name.split()) for name in line.split(",")]
    return list(dict.fromkeys(nearest_word(name, labels) for name in names if name))


def after_first(overlaps: list[np.ndarray]) -> float:
    """Mean IoU without each track's first frame, whose box is given."""
    later = np.concatenate([track[1:] for track in overlaps])
    return float(np.nanmean(later)) if len(later) and not np.isnan(later).all() else 0.0


def box_array(boxes: list) -> np.ndarray:
    """[[x, y, w, h], None, ...] -> float (T, 4), NaN where there is none."""
    return np.array([[np.nan] * 4 if box is None else box for box in boxes], dtype=float).reshape(-1, 4)
