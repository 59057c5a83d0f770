"""Free Spoken Digits, audio to text: AudioMNIST's small sister, 3,000 recordings of six speakers.

The official test set is recordings 0 to 4 of every speaker and digit, so every test speaker is heard in training.
Validation mirrors that: recordings 5 to 7. To hold out a speaker instead would select for another question.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from evlib.data.tasks.answers import WordAnswer
from evlib.data.tasks.audiomnist import DIGITS, recordings, spoken
from evlib.data.tasks.base import Item, Task


class FSDD(Task):
    name, table2_row, dataset = "fsdd", "Audio Classification", "Free Spoken Digits"
    folders = ("free-spoken-digit-dataset",)
    batch = 256
    augment = "mask"
    answer = WordAnswer(DIGITS)
    parallel = True

    def files(self, root: Path) -> list[Path]:
        return recordings(root, "recordings/*.wav", r"[0-9]_[^_]+_[0-9]+\.wav")

    def items(self, root: Path) -> Iterator[Item]:
        for path in self.files(root):
            digit, speaker, index = path.stem.split("_")
            split = "test" if int(index) < 5 else "validation" if int(index) < 8 else "train"
            yield Item(split, spoken(path, DIGITS[int(digit)]), str(path.relative_to(root)), group=speaker)
