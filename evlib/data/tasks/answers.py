"""What kind of answer a task expects. A declaration only: `evlib.scoring` reads and scores it, `evlib.viz` plots it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Answer:
    has_question = False  # the inputs hold a question, which might be answered without looking at the rest
    needs_box = False  # the first input frame holds a box around the target

    def n_frames(self, n_in: int) -> int:
        """Frames to generate after `n_in` input frames (including the separator). Never taken from the true answer."""
        return n_in - 1

    def vocabulary(self, answers: Iterable[str]) -> list[str]:
        """What the text read from the frames is matched to, given all answers of a data set."""
        return []


@dataclass(frozen=True)
class WordAnswer(Answer):
    """One word, in one frame (Table 1: output length 1): a class, or the answer to a question."""

    classes: tuple[str, ...] = ()  # the fixed vocabulary; if empty, every answer in the data set's files
    has_question: bool = False

    def n_frames(self, n_in: int) -> int:
        return 1

    def vocabulary(self, answers: Iterable[str]) -> list[str]:
        return list(self.classes) or sorted(set(answers))


@dataclass(frozen=True)
class LabelsAnswer(Answer):
    """Several labels of several words, one word per frame: `vehicle moving , activity walking`, then a blank frame."""

    max_words: int = 8

    def n_frames(self, n_in: int) -> int:
        return self.max_words

    def vocabulary(self, answers: Iterable[str]) -> list[str]:
        return sorted({label for answer in answers for label in split_labels(answer)})


@dataclass(frozen=True)
class BoxesAnswer(Answer):
    """The input frames again, each with a red box. As text: a JSON list of x, y, w, h in frame pixels, null where the
    target is absent."""

    needs_box = True


@dataclass(frozen=True)
class ColorAnswer(Answer):
    """The input frames again, in color. No text is read: the frames themselves are scored."""


def split_labels(answer: str) -> set[str]:
    """`a, b` -> {a, b}."""
    return {label for label in answer.split(", ") if label}


def label_words(labels: Sequence[str]) -> list[str]:
    """The words that answers with these labels are rendered with, and the comma."""
    return [*sorted({word for label in labels for word in label.split("_")}), ","]
