"""Validation accuracy during training, by kind of question: a callback for `evlib.train`."""

from pathlib import Path

import numpy as np
import pandas as pd

from evlib.data import tasks
from evlib.data.store import Split, VideoStore
from evlib.generation import generate_answers
from evlib.model import NextFrame
from evlib.scoring.ocr import TemplateReader
from evlib.utils import files

VALIDATION = "validation.csv"


class AccuracyByKind:
    """Adds a row to RUN/validation.csv at every validation: the step, and the accuracy, 0..1, on all validation
    examples and on each of the parts that the task scores separately. Only for one-word answers, read by the nearest
    rendered word, which is instant."""

    def __init__(self, store: VideoStore, run: str | Path):
        self.path, self.task = Path(run) / VALIDATION, tasks.get(store.manifest["task"])
        self.reader = TemplateReader(store.manifest["vocabulary"])

    def __call__(self, step: int, net: NextFrame, validation: Split) -> None:
        read = self.reader.read(np.concatenate(generate_answers(net, validation, self.task.answer.n_frames)))
        right, parts = validation.metadata.answer == read, self.task.subsets(validation.metadata)
        row = {"step": step, "all": right.mean(), **{name: right[rows].mean() for name, rows in parts.items()}}
        table = pd.DataFrame([row])
        if self.path.exists():  # a resumed run may repeat a validation
            table = pd.concat([pd.read_csv(self.path).query("step < @step"), table])
        files.write_text(self.path, table.round(4).to_csv(index=False))
