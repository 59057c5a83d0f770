"""What a network answers while it trains, by kind of question: a callback of `evlib.train`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from evlib.data import tasks
from evlib.data.store import VideoStore
from evlib.generation import generate_answers
from evlib.model import NextFrame
from evlib.scoring.ocr import TemplateReader
from evlib.utils import files

VALIDATION = "validation.csv"


class AccuracyByKind:
    """Adds a row to RUN/validation.csv at every validation: the step, and the accuracy, 0..1, on all validation
    examples and on each of the parts that the task scores separately. One-word answers, read by the nearest rendered
    word, which is instant."""

    def __init__(self, store: VideoStore, run: str | Path):
        self.path, self.split = Path(run) / VALIDATION, store.split("validation")
        self.reader = TemplateReader(store.manifest["vocabulary"])
        self.parts = tasks.get(store.manifest["task"]).subsets(self.split.metadata)

    def __call__(self, step: int, net: NextFrame) -> None:
        split = self.split.to(net.output_bias.device)
        read = self.reader.read(np.concatenate(generate_answers(net, split, lambda n_in: 1)))
        right = self.split.metadata.answer == read
        row = {"step": step, "all": right.mean(), **{name: right[rows].mean() for name, rows in self.parts.items()}}
        before = pd.read_csv(self.path) if self.path.exists() else pd.DataFrame({"step": []}, dtype=int)
        rows = pd.concat([before[before.step < step], pd.DataFrame([row])])  # a stopped run may validate again
        files.write_text(self.path, rows.round(4).to_csv(index=False))
