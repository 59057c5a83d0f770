"""CLEVRER, video and text to text: four frames of a scene and a question, then the answer.

Only descriptive questions, as in the paper: the others are multiple choice. The test set's answers were never
published, so the validation set is the test set. The inputs are frames 0, 32, 64 and 96 of 128, and at most 16 words.
"""

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from evlib.data.tasks.answers import WordAnswer
from evlib.data.tasks.base import Item, LoadOnce, VideoQuestions, hold_out, read_json, require, video_question
from evlib.frames.parts import Clip
from evlib.frames.video import at, read_video
from evlib.utils.errors import EvlibError, UnreadableFile

FRAMES = (0, 32, 64, 96)
ANSWERS = tuple(
    "0 1 2 3 4 5 yes no blue brown cyan gray green purple red yellow metal rubber cube cylinder sphere".split()  # noqa: SIM905
)
KINDS = {
    "colors": "What (is the )?color",
    "shapes": "What (is the )?shape",
    "materials": "What (is the )?material",
    "counts": "How many",
    "yes or no": "",
}
SCENE = {"video_filename": str, "questions": list}  # the fields that are read
QUESTION = {"question": str, "question_id": int, "answer": str}


class CLEVRER(VideoQuestions):
    name, dataset = "clevrer", "CLEVRER"
    folders = ("CLEVRER", "clevrer")
    answer = WordAnswer(ANSWERS, has_question=True)
    kinds = KINDS

    def lists(self, root: Path) -> dict[str, Path]:
        """The question files, in the folder questions/ or beside the videos."""
        folder = root / "questions" if (root / "questions").is_dir() else root
        names = ("train", "validation")
        return dict(zip(names, require(*(folder / f"{name}.json" for name in names))))

    def files(self, root: Path) -> list[Path]:
        return [*self.lists(root).values(), *sorted(root.rglob("video_*.mp4"))]

    def items(self, root: Path) -> Iterator[Item]:
        for name, path in self.lists(root).items():
            places = [root / f"video_{name}", root / name, root / "videos" / name, root]
            videos = next(folder for folder in places if folder.is_dir())
            for scene in _scenes(path):
                file = scene["video_filename"]
                clip = LoadOnce(lambda videos=videos, file=file: self.clip(_find(videos, file)))
                split = "test" if name == "validation" else hold_out(file)
                for question in scene["questions"]:
                    if "choices" not in question:
                        load = partial(video_question, clip, question["question"], question["answer"])
                        yield Item(split, load, f"{name}/{file}:{question['question_id']}", group=file)

    def clip(self, path, box=None):
        return Clip(read_video(path, at(*FRAMES)))


def _find(videos: Path, file: str) -> Path:
    """The path of a video: video_00012.mp4 is in video_00000-01000/."""
    if not (number := re.fullmatch(r"video_(\d+)\.mp4", file)):
        found = f"{file!r}; fetch the questions again"
        raise EvlibError(f"{videos}: expected video names such as video_00012.mp4 in the questions, found {found}.")
    low = int(number[1]) // 1000 * 1000
    path = videos / f"video_{low:05d}-{low + 1000:05d}" / file
    if not path.is_file():
        raise UnreadableFile(f"{path}: questions ask about this video, but it is not there; unpack the archive again.")
    return path


def _scenes(path: Path) -> list[dict]:
    scenes = read_json(path)
    if not isinstance(scenes, list) or not scenes:
        raise EvlibError(f"{path}: expected a list of scenes, found {str(scenes)[:40]}; fetch the file again.")
    for i, scene in enumerate(scenes):
        missing = _missing(scene, SCENE)
        for question in [] if missing else scene["questions"]:
            if not (isinstance(question, dict) and "choices" in question):
                missing += _missing(question, QUESTION)
        if missing:
            raise EvlibError(
                f"{path}: scene {i} has no {missing[0]}; fetch the file again "
                "(the test questions have no answers and cannot be used)."
            )
    return scenes


def _missing(entry: object, fields: dict[str, type]) -> list[str]:
    """The fields that an entry lacks or has with another type."""
    there = entry if isinstance(entry, dict) else {}
    return [f"{key!r} of type {kind.__name__}" for key, kind in fields.items() if not isinstance(there.get(key), kind)]
