"""Galleries of answers, worst first, and the figures for each kind of answer, from the table that a scorer made."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image as Pillow

from evlib.data.store import Split
from evlib.data.tasks.answers import Answer, BoxesAnswer, ColorAnswer, LabelsAnswer, WordAnswer, split_labels
from evlib.frames.image import until_blank
from evlib.viz import plots

SAME_READING = 3  # at most so many answers with the same reading in a row, before others get their turn


class Gallery:
    """How answers of one kind are shown. Tables are those of `Scorer.read`."""

    def __init__(self, answer: Answer):
        self.answer = answer

    def captions(self, table: pd.DataFrame) -> list[str]:
        """A short caption for each answer."""
        rows = zip(table.answer_read.replace("", "(nothing)"), table.answer, table.example_score)
        return [f"{read}: right" if score == 1 else f"{read}: WRONG, true: {true}" for read, true, score in rows]

    def title(self, table: pd.DataFrame) -> str:
        """The title of the worst answers."""
        return (
            f"{(table.example_score < 1).sum():,} of {len(table):,} answers are wrong: those first, the least legible "
            f"first, at most {SAME_READING} in a row with the same reading. Generated above, true below."
        )

    def mistake(self, row, inputs: np.ndarray, generated: np.ndarray, true: np.ndarray, caption: str) -> Pillow.Image:
        """One picture of that gallery; `row`: its row of the table."""
        return plots.mistake(inputs, row.question, generated, true, caption)

    def figures(self, result: dict, table: pd.DataFrame, vocabulary: Sequence[str], run: Path) -> None:
        """Saves this kind's figures in the run folder."""

    def worst(self, table, generated: list[np.ndarray], split: Split) -> tuple[str, list[Pillow.Image]]:
        """A title, and pictures of twelve answers, the worst first: question, generated answer, true one."""
        true, captions, score = split.outputs(), self.captions(table), table.example_score.values
        order = np.lexsort((table.legibility, score))
        readings = table.answer_read.iloc[order]
        turn = readings.groupby(readings).cumcount().values // SAME_READING
        order = order[np.lexsort((turn, score[order] == 1))]  # so that one frequent mistake does not fill the page
        return self.title(table), [
            self.mistake(table.iloc[i], split.inputs(i), generated[i], true[i], captions[i]) for i in order[:12]
        ]


class WordGallery(Gallery):
    def figures(self, result, table, vocabulary, run):
        common = table.answer.value_counts().index[:20]  # nobody can read a confusion matrix of 1,700 words
        classes = [word for word in vocabulary if word in set(common)]
        shown = table[table.answer.isin(classes)]
        counts = plots.confusion_counts(shown.answer_read, shown.answer, classes)
        plots.confusion(counts, f"{result['dataset']}: answers read by Tesseract", run / "confusion.png")


class LabelsGallery(Gallery):
    def captions(self, table):
        same = [split_labels(read) == split_labels(true) for read, true in zip(table.answer_read, table.answer)]
        return super().captions(table.assign(example_score=np.array(same, float)))

    def mistake(self, row, inputs, generated, true, caption):
        return super().mistake(row, inputs, until_blank(generated), until_blank(true), caption)

    def figures(self, result, table, vocabulary, run):
        plots.bars(result["f1_by_class"], f"{result['dataset']}: F1 of each label", run / "f1_by_class.png")


class BoxesGallery(Gallery):
    def captions(self, table):
        return [f"{Path(source).name}: IoU {iou:.2f}" for source, iou in zip(table.source, table.iou)]

    def title(self, table):
        return f"Lowest IoU first, of {len(table):,} tracks: generated above, the box read from it in blue; true below."

    def mistake(self, row, inputs, generated, true, caption):
        boxes, moments = json.loads(row.answer_read), [len(generated) // 2, len(generated) - 1]
        frames = np.stack([plots.outlined(generated[t], boxes[t]) for t in moments])
        return plots.film_strip(frames, 0, 1, caption, true=true[moments])

    def figures(self, result, table, vocabulary, run):
        plots.boxes(result, run / "iou.png")


class ColorGallery(Gallery):
    def captions(self, table):
        rows = zip(table.source, table.psnr, table.psnr_gray)
        return [f"{Path(source).name}: {psnr:.1f} dB, gray {gray:.1f}" for source, psnr, gray in rows]

    def title(self, table):
        return f"Lowest PSNR first, of {len(table):,} clips: the middle frame in gray, as generated; true below."

    def mistake(self, row, inputs, generated, true, caption):
        middle = len(generated) // 2
        frames = np.stack([inputs[middle], generated[middle]])
        return plots.film_strip(frames, 1, 1, caption, true=true[middle : middle + 1])

    def figures(self, result, table, vocabulary, run):
        plots.colors(table, run / "colors.png")


GALLERIES = {WordAnswer: WordGallery, LabelsAnswer: LabelsGallery, BoxesAnswer: BoxesGallery, ColorAnswer: ColorGallery}


def gallery(answer: Answer) -> Gallery:
    """How this kind of answer is shown."""
    return next(GALLERIES[kind] for kind in type(answer).__mro__ if kind in GALLERIES)(answer)
