"""What a task is: where its official files lie, how they become examples, and what its row of Table 2 is called."""

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

import pandas as pd

from evlib.config import Augment, Config, preset
from evlib.data.tasks.answers import Answer
from evlib.frames.parts import Clip, Example, Part, Text, Word
from evlib.utils.errors import EvlibError

# Preset demo for questions about a video: with a stem, small shapes are learned, and at the end of a run the network
# commits to one answer, which can be read.
VIDEO_QUESTION = {"stem": 32, "loss_power": 0.5, "power_decay": 0.5, "validations": 10}
VALIDATION_SHARE = 0.05  # fraction of train to hold out, where a data set's authors left no validation split


@dataclass(frozen=True)
class Item:
    """One example not yet loaded, so that many can be loaded at a time."""

    split: str  # "train", "validation" or "test"
    load: Callable[[], Example]
    source: str = ""  # file:record, for error messages and predictions.csv
    group: str = ""  # what training and validation must not share: a speaker, a source video

    @property
    def file(self) -> str:
        return self.source.partition(":")[0]


class Task(ABC):
    name: str  # on the command line
    table2_row: str  # Table 2's first column
    dataset: str  # Table 2's second column
    folders: tuple[str, ...]  # under --data, where the official archive unpacks to; the first one found is used
    fallback_folders: tuple[str, ...] = ()  # other data in the same layout, used if the official one is not there
    batch: int  # Table 1
    inputs: tuple[type, ...] = ()  # types of the input parts, in order; needed if a network has several tasks
    answer: Answer  # what is to be read from the generated frames
    max_inputs: int | None = None  # frames before the separator (Table 1's input length counts the separator, too)
    demo: dict = {}  # settings that differ from preset demo for this task
    fast: dict = {}  # the same for preset fast
    augment: Augment = "none"  # augmentation of the inputs that leaves the answer unchanged
    parallel = False  # load examples in threads: worth it where loading is more than slicing an array

    def root(self, data: str | Path) -> Path:
        """The folder of this data set under `data`; EvlibError if there is none."""
        if not Path(data).is_dir():
            raise EvlibError(f"{data}: expected a folder with data sets, found none; name it with --data.")
        if root := self.find(data):
            return root
        raise EvlibError(
            f"{self.dataset} is not under {data}: expected the folder {' or '.join(self.folders)}; fetch it with "
            f"`python -m evlib download {self.name} --data {data}`, "
            f"or write a miniature with `python -m evlib miniatures {data}`."
        )

    def find(self, data: str | Path) -> Path | None:
        """The first of this data set's folders that exists under `data`."""
        return next(filter(Path.is_dir, (Path(data, name) for name in (*self.folders, *self.fallback_folders))), None)

    def display_name(self, root: Path) -> str:
        """The name of the data in a folder: other data in the official layout must not be mistaken for it."""
        return f"{root.name} (in {self.dataset}'s layout)" if root.name in self.fallback_folders else self.dataset

    @abstractmethod
    def files(self, root: Path) -> list[Path]:
        """The official files that are read; EvlibError if one is missing."""

    @abstractmethod
    def items(self, root: Path) -> Iterator[Item]:
        """All examples of all splits."""

    def clip(self, path: str | Path, box: tuple[float, ...] | None = None) -> Clip:
        """A video file as input of this task; `box`: the target in its first frame, in the video's own pixels."""
        raise EvlibError(f"{self.name} is not about videos: found {path}.")

    def is_meant(self, parts: Sequence[Part]) -> bool:
        """Whether parts of this task's types look like its inputs: decides between tasks with equal types."""
        return True

    def config(self, preset_name: str, **changes) -> Config:
        """The settings of a run: a preset, this task's own settings, then `changes`; default batch as in Table 1."""
        own = {"demo": self.demo, "fast": self.fast}.get(preset_name, {})
        config = preset(preset_name).override(task=self.name, **{**own, **changes})
        return config if config.train.batch else config.override(batch=self.batch)

    def vocabulary(self, root: Path, answers: pd.Series) -> list[str]:
        """What the text read from the frames is matched to, given the answers of all examples."""
        return self.answer.vocabulary(answers)

    def notes(self, root: Path) -> dict:
        """Further facts about the files, for the manifest."""
        return {}

    def subsets(self, metadata: pd.DataFrame) -> dict[str, pd.Series]:
        """Parts of the test set that are also scored separately: for each, a name and a mask over the rows."""
        return {}


class VideoQuestions(Task):
    """Frames of a video and a question, then one word. A subclass defines `kinds` of questions, also scored separately:
    name -> regular expression for their start; the first that matches counts."""

    table2_row = "Video QA"
    inputs = (Clip, Text)
    batch = 16
    max_inputs = 20  # 4 frames and 16 words
    demo = VIDEO_QUESTION
    parallel = True
    kinds: dict[str, str]

    def subsets(self, metadata):
        return by_question(metadata, self.kinds)


def video_question(clip: Callable[[], Clip], question: str, answer: str) -> Example:
    return Example([clip(), Text(question)], [Word(answer)], answer=answer)


def by_question(metadata: pd.DataFrame, kinds: dict[str, str]) -> dict[str, pd.Series]:
    """Masks over the rows by kind of question; the first regular expression that matches a question's start decides."""
    left, found = pd.Series(True, index=metadata.index), {}
    for name, pattern in kinds.items():
        found[name] = left & metadata.question.str.match(pattern, case=False)
        left &= ~found[name]
    return found


class LoadOnce:
    """Loads a file once for all items that share it, in any thread; kept in memory as long as one of them is."""

    def __init__(self, load: Callable):
        self._load, self._lock = load, Lock()

    def __call__(self):
        with self._lock:
            if not hasattr(self, "_loaded"):
                self._loaded = self._load()
            return self._loaded


def require(*paths: Path) -> list[Path]:
    """Returns the paths; EvlibError if one is not a file or is empty."""
    for path in paths:
        if not path.is_file():
            raise EvlibError(f"{path}: expected a file of the official data set, found none; unpack the archive again.")
        if path.stat().st_size == 0:
            raise EvlibError(f"{path}: the file is empty; unpack the archive again.")
    return list(paths)


def read_lines(path: Path) -> list[str]:
    """The lines of a UTF-8 text file, split at LF only; CRs and other separators are kept."""
    try:
        return path.read_bytes().decode("utf-8").removesuffix("\n").split("\n")
    except UnicodeDecodeError as error:
        found = f"something else at byte {error.start}"
        raise EvlibError(f"{path}: expected text in UTF-8, found {found}; fetch the file again.") from None


def read_json(path: Path) -> object:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise EvlibError(f"{path}: expected JSON, found something else ({error}); fetch the file again.") from None


def hold_out(group: str) -> str:
    """ "validation" for 5 % of all groups, by their hash; "train" for the others."""
    digest = hashlib.blake2b(f"0:{group}".encode(), digest_size=8).digest()
    return "validation" if int.from_bytes(digest) / 2**64 < VALIDATION_SHARE else "train"
