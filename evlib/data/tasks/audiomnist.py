"""AudioMNIST and Free Spoken Digits, audio to text: the spectrogram of a spoken digit, then its name."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

from evlib.data.tasks.answers import WordAnswer
from evlib.data.tasks.base import Item, Task
from evlib.frames.audio import read_sound
from evlib.frames.parts import Audio, Example, Word
from evlib.utils.errors import EvlibError

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
PARTS = (  # speakers, as the data set's authors divide them
    {28, 56, 7, 19, 35, 1, 6, 16, 23, 34, 46, 53},
    {36, 57, 9, 24, 37, 2, 8, 17, 29, 39, 48, 54},
    {43, 58, 14, 25, 38, 3, 10, 20, 30, 40, 49, 55},
    {12, 47, 59, 15, 27, 41, 4, 11, 21, 31, 44, 50},
    {26, 52, 60, 18, 32, 42, 5, 13, 22, 33, 45, 51},
)


class SpokenDigits(Task):
    """A subclass defines `split`, which returns the split of a speaker's recording number `index`."""

    table2_row = "Audio Classification"
    inputs = (Audio,)
    batch = 256
    augment = "mask"
    answer = WordAnswer(DIGITS)
    parallel = True
    pattern: str  # glob of the recordings; there are other files beside them

    def files(self, root: Path) -> list[Path]:
        found = sorted(p for p in root.glob(self.pattern) if re.fullmatch(r"[0-9]_[^_]+_[0-9]+\.wav", p.name))
        if not found:
            raise EvlibError(f"{root}: expected recordings {self.pattern}, found none; unpack the archive again.")
        return found

    def items(self, root: Path) -> Iterator[Item]:
        for path in self.files(root):
            digit, speaker, index = path.stem.split("_")
            split, load = self.split(path, speaker, int(index)), spoken(path, DIGITS[int(digit)])
            yield Item(split, load, str(path.relative_to(root)), group=speaker)


class AudioMNIST(SpokenDigits):
    """Split by speaker. The paper names no split; ours is the data set's fold 0: 36 train, 12 validation, 12 test."""

    name, dataset = "audiomnist", "AudioMNIST"
    folders = ("AudioMNIST", "AudioMNIST-master")
    pattern = "data/[0-9][0-9]/[0-9]_[0-9][0-9]_*.wav"

    def split(self, path: Path, speaker: str, index: int) -> str:
        for split, speakers in zip(("train", "train", "train", "validation", "test"), PARTS):
            if int(speaker) in speakers:
                return split
        raise EvlibError(f"{path}: expected a speaker from 01 to 60, found {speaker}.")


class FSDD(SpokenDigits):
    """A smaller relative of AudioMNIST: 3,000 recordings of six speakers. The official test set is recordings 0 to 4 of
    every speaker and digit, so every test speaker is also in training; the same holds for validation, 5 to 7."""

    name, dataset = "fsdd", "Free Spoken Digits"
    folders = ("free-spoken-digit-dataset",)
    pattern = "recordings/*.wav"

    def split(self, path: Path, speaker: str, index: int) -> str:
        return "test" if index < 5 else "validation" if index < 8 else "train"


def spoken(path: Path, word: str) -> Callable[[], Example]:
    return lambda: Example([Audio(*read_sound(path))], [Word(word)], answer=word)
