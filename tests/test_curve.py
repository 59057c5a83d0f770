"""The accuracy during training, by kind of question."""

import numpy as np
import pandas as pd
import torch

from evlib.data.store import VideoStore
from evlib.frames.render import word_frame
from evlib.scoring.curve import AccuracyByKind

ANSWERS = ["red", "two", "red", "blue", "two"]
QUESTIONS = ["What color is it?", "How many are there?", "What is the color?", "What color is it?", "How many?"]


class AlwaysTwo(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.output_bias = torch.nn.Parameter(torch.zeros(1))

    def forward(self, frames, last, cache):
        return torch.tensor(word_frame("two")).movedim(-1, 0).expand(len(frames), last, -1, -1, -1) / 255


def store(path) -> VideoStore:
    words = ["red", "blue", "two"]
    frames = np.stack([np.zeros((64, 64, 3), np.uint8), *map(word_frame, words)])
    sequences = np.array([[0, 0, 1 + words.index(answer)] for answer in ANSWERS], np.int32)
    rows = {"split": "validation", "n_in": 2, "n_out": 1, "question": QUESTIONS, "answer": ANSWERS}
    return VideoStore(path, {"task": "tgifqa", "vocabulary": words}, frames, sequences, pd.DataFrame(rows))


def test_a_row_per_validation_with_the_accuracy_on_every_kind_of_question(tmp_path):
    validation = store(tmp_path).split("validation")
    by_kind = AccuracyByKind(store(tmp_path), tmp_path)
    by_kind(10, AlwaysTwo(), validation)
    by_kind(20, AlwaysTwo(), validation)
    AccuracyByKind(store(tmp_path), tmp_path)(20, AlwaysTwo(), validation)  # continued from before its last validation
    table = pd.read_csv(tmp_path / "validation.csv")
    assert table.step.tolist() == [10, 20]
    assert table["all"].tolist() == [0.4, 0.4] and table.colors.tolist() == [0, 0] and table.counts.tolist() == [1, 1]
