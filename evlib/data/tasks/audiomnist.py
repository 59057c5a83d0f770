"""AudioMNIST, audio to text: the spectrogram of a spoken digit, then its name.

Split by speaker, by the five folds of the data set's authors. The paper names no split, so fold 0 is the default: 36
speakers to train on, 12 to validate, 12 to test.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

from evlib.data.tasks.answers import WordAnswer
from evlib.data.tasks.base import Item, Task
from evlib.frames.audio import read_sound
from evlib.frames.parts import Audio, Example, Word
from evlib.utils.errors import EvlibError

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
PARTS = (
    {28, 56, 7, 19, 35, 1, 6, 16, 23, 34, 46, 53},
    {36, 57, 9, 24, 37, 2, 8, 17, 29, 39, 48, 54},
    {43, 58, 14, 25, 38, 3, 10, 20, 30, 40, 49, 55},
    {12, 47, 59, 15, 27, 41, 4, 11, 21, 31, 44, 50},
    {26, 52, 60, 18, 32, 42, 5, 13, 22, 33, 45, 51},
)


class AudioMNIST(Task):
    name, table2_row, dataset = "audiomnist", "Audio Classification", "AudioMNIST"
    folders = ("AudioMNIST", "AudioMNIST-master")
    batch = 256
    augment = "mask"
    answer = WordAnswer(DIGITS)
    parallel = True

    def __init__(self, fold: int = 0):
        self.fold = fold

    def settings(self) -> dict:
        return {**super().settings(), "fold": self.fold}

    def files(self, root: Path) -> list[Path]:
        """data/<SS>/<d>_<SS>_<r>.wav; the folder holds a stray text file, too."""
        return recordings(root, "data/[0-9][0-9]/*.wav", r"[0-9]_[0-9]{2}_[0-9]+\.wav")

    def items(self, root: Path) -> Iterator[Item]:
        for path in self.files(root):
            digit, speaker, _ = path.stem.split("_")
            part = next((i for i, speakers in enumerate(PARTS) if int(speaker) in speakers), None)
            if part is None:
                raise EvlibError(f"{path}: expected a speaker from 01 to 60, found {speaker}.")
            split = ("train", "train", "train", "validation", "test")[(part - self.fold) % 5]
            yield Item(split, spoken(path, DIGITS[int(digit)]), str(path.relative_to(root)), group=speaker)


def recordings(root: Path, pattern: str, name: str) -> list[Path]:
    found = sorted(path for path in root.glob(pattern) if re.fullmatch(name, path.name))
    if not found:
        raise EvlibError(f"{root}: expected recordings {pattern}, found none; unpack the archive again.")
    return found


def spoken(path: Path, word: str) -> Callable[[], Example]:
    return lambda: Example([Audio(*read_sound(path))], [Word(word)], answer=word)
