"""CLEVRER, video and text to text: four frames of a scene and a question, then the answer.

Descriptive questions alone, as in the paper: the others are multiple choice. Their answers in the test set were never
published, so the validation set is the test set. Frames 0, 32, 64 and 96 of 128 are shown, and at most 16 words.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from evlib.data.tasks.answers import WordAnswer
from evlib.data.tasks.base import Item, LoadOnce, Task, by_question, hold_out, require
from evlib.frames.parts import Clip, Example, Text, Word
from evlib.frames.video import at, read_video
from evlib.utils.errors import EvlibError, UnreadableFile

FRAMES = (0, 32, 64, 96)
ANSWERS = (
    *"012345",
    "yes",
    "no",
    "blue",
    "brown",
    "cyan",
    "gray",
    "green",
    "purple",
    "red",
    "yellow",
    "metal",
    "rubber",
    "cube",
    "cylinder",
    "sphere",
)
KINDS = {
    "colours": "What (is the )?color",
    "shapes": "What (is the )?shape",
    "materials": "What (is the )?material",
    "counts": "How many",
    "yes or no": "",
}
SCENE, QUESTION = (
    {"video_filename": str, "questions": list},
    {"question": str, "question_id": int, "answer": str},
)  # what is read of each


class CLEVRER(Task):
    name, table2_row, dataset = "clevrer", "Video QA", "CLEVRER"
    folders = ("CLEVRER", "clevrer")
    batch = 16
    max_inputs = 20  # 4 frames and 16 words
    answer = WordAnswer(ANSWERS, has_question=True)
    demo = {"init_from": "tgifqa"}  # a network that can read and write already (section 5.2)
    parallel = True

    def lists(self, root: Path) -> dict[str, Path]:
        """The question files, in the folder questions/ or beside the videos."""
        place = root / "questions" if (root / "questions").is_dir() else root
        return {name: require([place / f"{name}.json"])[0] for name in ("train", "validation")}

    def files(self, root: Path) -> list[Path]:
        return [*self.lists(root).values(), *sorted(root.rglob("video_*.mp4"))]

    def items(self, root: Path) -> Iterator[Item]:
        for name, path in self.lists(root).items():
            videos = _videos(root, name)
            for scene in _scenes(path):
                file = scene["video_filename"]
                clip = LoadOnce(lambda videos=videos, file=file: self.clip(_find(videos, file)))
                split = "test" if name == "validation" else hold_out(file)
                for q in scene["questions"]:
                    if "choices" not in q:
                        yield Item(
                            split,
                            partial(self.example, clip, q),
                            source=f"{name}/{file}:{q['question_id']}",
                            group=file,
                        )

    def clip(self, path, box=None):
        return Clip(read_video(path, at(*FRAMES)))

    def subsets(self, table):
        return by_question(table, KINDS)

    @staticmethod
    def example(clip: LoadOnce, question: dict) -> Example:
        return Example([clip(), Text(question["question"])], [Word(question["answer"])], answer=question["answer"])


def _videos(root: Path, name: str) -> Path:
    """Where the archive of a split was unpacked."""
    for folder in (f"video_{name}", name, f"videos/{name}"):
        if (root / folder).is_dir():
            return root / folder
    return root


def _find(videos: Path, file: str) -> Path:
    """video_00012.mp4 lies in video_00000-01000/."""
    digits = file.removeprefix("video_").removesuffix(".mp4")
    if not (digits.isdecimal() and file == f"video_{digits}.mp4"):
        raise EvlibError(
            f"{videos}: expected video names such as video_00012.mp4 in the questions, found {file!r}; fetch the questions again."
        )
    low = int(digits) // 1000 * 1000
    path = videos / f"video_{low:05d}-{low + 1000:05d}" / file
    if not path.is_file():
        raise UnreadableFile(f"{path}: questions ask about this video, but it is not there; unpack the archive again.")
    return path


def _scenes(path: Path) -> list[dict]:
    try:
        scenes = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise EvlibError(
            f"{path}: expected CLEVRER's questions as JSON, found something else ({error}); fetch the file again."
        ) from None
    if not isinstance(scenes, list) or not scenes:
        raise EvlibError(
            f"{path}: expected a list of scenes, found {type(scenes).__name__}{' without any' if scenes == [] else ''}; fetch the file again."
        )
    for i, scene in enumerate(scenes):
        lacks = _lacks(scene, SCENE) or [
            key
            for q in scene["questions"]
            if not (isinstance(q, dict) and "choices" in q)
            for key in _lacks(q, QUESTION)
        ]
        if lacks:
            kind = (SCENE | QUESTION)[lacks[0]].__name__
            raise EvlibError(
                f"{path}: scene {i} has no {lacks[0]!r} of type {kind}; fetch the file again (the test questions have no answers and cannot be used)."
            )
    return scenes


def _lacks(entry: object, fields: dict[str, type]) -> list[str]:
    """The fields that an entry does not have, or has as something else."""
    return [key for key, kind in fields.items() if not isinstance(entry, dict) or not isinstance(entry.get(key), kind)]
