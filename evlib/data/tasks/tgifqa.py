"""TGIF-QA's frame questions, video and text to text: four frames of an animated GIF and a question, then one word.

The official files are tab-separated despite their name, with a header and CRLF line ends. Many of the GIFs they name
are no longer online: questions about a missing GIF are left out, and the manifest counts them.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from weakref import WeakValueDictionary

from evlib.data.tasks.answers import WordAnswer
from evlib.data.tasks.base import Item, LoadOnce, VideoQuestions, hold_out, read_lines, video_question
from evlib.frames.parts import Clip
from evlib.frames.video import read_video, spread
from evlib.utils.errors import EvlibError

FRAMES = 4
COLUMNS = ("gif_name", "question", "answer", "type", "vid_id", "key", "description")
KINDS = {"colors": ".*\\bcolou?rs?\\b", "counts": "(in this .*)?how many", "places": "(in this .*)?where", "things": ""}
SPLITS = {"Train": "train", "Test": "test", "Sample": "test"}  # of <name>_frameqa_question.csv; a sample to look at


class TGIFQA(VideoQuestions):
    name, dataset = "tgifqa", "TGIF-QA"
    folders = ("tgif-qa", "TGIF-QA")
    answer = WordAnswer(has_question=True)  # open: any word that answers a question in the files
    kinds = KINDS

    def lists(self, root: Path) -> dict[str, Path]:
        places = [(name, home / f"{name}_frameqa_question.csv") for name in SPLITS for home in (root, root / "dataset")]
        found = {name: path for name, path in places if path.is_file()}  # in dataset/, if it is in both
        if not found:
            todo = "fetch TGIF-QA's repository again"
            raise EvlibError(f"{root}: expected dataset/Train_frameqa_question.csv and its like, found none; {todo}.")
        return found

    def files(self, root: Path) -> list[Path]:
        return [*self.lists(root).values(), *sorted((root / "gifs").glob("*.gif"))]

    def items(self, root: Path) -> Iterator[Item]:
        clips = WeakValueDictionary()  # a GIF is freed with the last of its questions
        for name, path in self.lists(root).items():
            for number, row in _rows(path):
                gif = root / "gifs" / f"{row['gif_name']}.gif"
                if not gif.is_file():
                    continue
                if (clip := clips.get(gif.name)) is None:
                    clip = clips[gif.name] = LoadOnce(partial(self.clip, gif))
                split = "test" if SPLITS[name] == "test" else hold_out(row["gif_name"])
                load = partial(video_question, clip, row["question"], row["answer"])
                yield Item(split, load, f"gifs/{gif.name}:{path.name}:{number}", group=row["gif_name"])

    def clip(self, path, box=None):
        return Clip(read_video(path, spread(FRAMES)))

    def vocabulary(self, root, answers):
        """The answers to all questions, whether their GIF is there or not."""
        return sorted({row["answer"] for path in self.lists(root).values() for _, row in _rows(path)})

    def notes(self, root: Path) -> dict:
        present = {path.stem for path in (root / "gifs").glob("*.gif")}
        return {
            f"{name}: questions without their GIF": sum(row["gif_name"] not in present for _, row in _rows(path))
            for name, path in self.lists(root).items()
        }


def _rows(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Line number and fields of every question."""
    header, *lines = (line.removesuffix("\r") for line in read_lines(path))
    if tuple(header.split("\t")) != COLUMNS:
        found = f"{header[:80]!r}; this is not TGIF-QA's file"
        raise EvlibError(f"{path}:1: expected the tab-separated columns {', '.join(COLUMNS)}, found {found}.")
    for number, line in enumerate(lines, start=2):
        fields = line.split("\t")
        row = dict(zip(COLUMNS, fields))
        filled = len(fields) == len(COLUMNS) and row["gif_name"] and row["question"].strip() and row["answer"].strip()
        if not filled or "/" in row["gif_name"]:
            wanted = f"{len(COLUMNS)} tab-separated fields with a GIF, a question and an answer"
            raise EvlibError(f"{path}:{number}: expected {wanted}, found {line[:80]!r}.")
        yield number, row
