"""What a task is: where its official files lie, how they become examples, and what its row of Table 2 is called."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

import pandas as pd

from evlib.config import Augment, Config, preset
from evlib.data.tasks.answers import Answer
from evlib.frames.parts import Clip, Example
from evlib.utils.errors import EvlibError

# How preset demo differs where the answer is pictures: patches of 4 pixels pass through so narrow a network without a loss.
PICTORIAL = {"patch": 4, "global_blocks": 2, "batch": 4, "l1": 1.0}
VALIDATION_SHARE = 0.05  # of train, where the authors of a data set left no validation split


@dataclass(frozen=True)
class Item:
    """One example not yet loaded, so that a store can load many at a time."""

    split: str  # "train", "validation" or "test"
    load: Callable[[], Example]
    source: str = ""  # file:record, for error messages and predictions.csv
    group: str = ""  # what training and validation must not share: a speaker, a source video

    @property
    def file(self) -> str:
        return self.source.partition(":")[0]


class Task(ABC):
    name: str  # of the command line
    table2_row: str  # Table 2's first column
    dataset: str  # Table 2's second column
    folders: tuple[str, ...]  # where the official archive unpacks to, under --data; the first that is found
    fallback_folders: tuple[
        str, ...
    ] = ()  # folders of other data in the same layout, taken if the official one is not there
    batch: int  # Table 1
    answer: Answer  # how an answer is read and scored
    max_inputs: int | None = None  # frames before the separator (Table 1's input length counts it, too)
    demo: dict = {}  # settings in which preset demo differs for this task
    fast: dict = {}  # and preset fast
    augment: Augment = "none"  # what may be done to a question without changing its answer
    parallel = False  # load examples in threads: worth it where loading is more than slicing an array

    def root(self, data: Path) -> Path:
        """The folder of this data set under `data`; EvlibError if there is none."""
        if not Path(data).is_dir():
            raise EvlibError(f"{data}: expected a folder with data sets, found none; name it with --data.")
        for folder in (*self.folders, *self.fallback_folders):
            if (Path(data) / folder).is_dir():
                return Path(data) / folder
        raise EvlibError(
            f"{self.dataset} is not under {data}: expected the folder {' or '.join(self.folders)}; fetch it with "
            f"`python -m evlib download {self.name} --data {data}`, or write a miniature with `python -m evlib miniatures {data}`."
        )

    def display_name(self, root: Path) -> str:
        """The name of the data in a folder: other data in the official layout must not pass for the official one."""
        return f"{root.name} (in {self.dataset}'s layout)" if root.name in self.fallback_folders else self.dataset

    @abstractmethod
    def files(self, root: Path) -> list[Path]:
        """The official files that are read; EvlibError if one is missing."""

    @abstractmethod
    def items(self, root: Path) -> Iterator[Item]:
        """All examples of all splits."""

    def clip(self, path: str | Path, box: tuple[float, ...] | None = None) -> Clip:
        """A video file as this task shows it to the network. `box` is a target in its first frame: x, y, w, h in its own pixels."""
        raise EvlibError(f"{self.name} is not about videos: found {path}.")

    def settings(self) -> dict:
        """What besides the files decides how examples look."""
        return {"max_inputs": self.max_inputs}

    def config(self, preset_name: str, **changes) -> Config:
        """The settings of a run of this task: a preset, what the task says to it, Table 1's batch size where the preset has
        none, `changes`."""
        own = {"demo": self.demo, "fast": self.fast}.get(preset_name, {})
        config = preset(preset_name).override(task=self.name, **{**own, **changes})
        return config if config.train.batch else config.override(batch=self.batch)

    def vocabulary(self, root: Path, answers: pd.Series) -> list[str]:
        """What an answer is matched to, given the answers of all examples."""
        return self.answer.vocabulary(answers)

    def notes(self, root: Path) -> dict:
        """What else is worth knowing about the files: for the manifest."""
        return {}

    def subsets(self, table: pd.DataFrame) -> dict[str, pd.Series]:
        """Parts of the test set whose scores stand beside that of the whole: a name and a mask over the rows."""
        return {}


def by_question(table: pd.DataFrame, kinds: dict[str, str]) -> dict[str, pd.Series]:
    """Rows by the kind of their question: a name and the regular expression that its beginning matches; the first that does counts."""
    left, found = pd.Series(True, index=table.index), {}
    for name, pattern in kinds.items():
        found[name] = left & table.question.str.match(pattern, case=False)
        left &= ~found[name]
    return found


class LoadOnce:
    """Loads once for all items that share a file, however many threads ask; kept as long as one of them is."""

    def __init__(self, load: Callable):
        self._load, self._lock = load, Lock()

    def __call__(self):
        with self._lock:
            if not hasattr(self, "_loaded"):
                self._loaded = self._load()
            return self._loaded


def require(paths: list[Path]) -> list[Path]:
    for path in paths:
        if not path.is_file():
            raise EvlibError(f"{path}: expected a file of the official data set, found none; unpack the archive again.")
        if path.stat().st_size == 0:
            raise EvlibError(f"{path}: the file is empty; unpack the archive again.")
    return paths


def hold_out(group: str, seed: int = 0) -> str:
    """ "validation" for a seeded 5 % of all groups, "train" for the others; depends on nothing but the two arguments."""
    digest = hashlib.blake2b(f"{seed}:{group}".encode(), digest_size=8).digest()
    return "validation" if int.from_bytes(digest) / 2**64 < VALIDATION_SHARE else "train"
