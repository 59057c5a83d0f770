"""TinyVIRAT, two tasks from the same files: video to text, and video to video.

* `tinyvirat`: ten frames spread over a clip, then what happens in it: `vehicle moving , activity walking`, one frame
  per word, and a blank frame. Labels are split at `_`; of a longer answer, the first eight words are used.
* `colorization`: the first ten frames in gray, then the same ten in color.

Both layouts are read: version 1 ({"tubes": [...]}, training and test) and version 2 (lists; its validation set takes
the place of the test set, whose labels were never published). Other data in these layouts may have other labels.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from evlib.data.tasks.answers import ColorAnswer, LabelsAnswer, split_labels
from evlib.data.tasks.base import Item, Task, hold_out, read_json, require
from evlib.frames.parts import Clip, End, Example, Text
from evlib.frames.video import first, read_video, spread
from evlib.utils.errors import EvlibError

FRAMES = 10  # of a clip (Table 1's 11 counts the separator)
LABELS = tuple(
    """Opening Interacts Pull activity_carrying Entering vehicle_moving Exiting Loading Talking activity_running
    vehicle_turning_left vehicle_stopping Riding Closing activity_walking Push specialized_using_tool vehicle_starting
    specialized_miscellaneous activity_standing Transport_HeavyCarry activity_gesturing vehicle_turning_right
    specialized_talking_phone specialized_texting_phone Misc""".split()  # noqa: SIM905
)
LUMA = np.array([0.299, 0.587, 0.114])  # of red, green and blue (ITU-R 601)


class TinyVIRAT(Task):
    name, table2_row, dataset = "tinyvirat", "Video Classification", "TinyVIRAT"
    folders = ("TinyVIRAT", "TinyVIRAT_V2", "TinyVIRAT-v2")
    fallback_folders = ("weizmann-actions",)
    inputs = (Clip,)
    batch = 16
    augment = "shift"  # not mirrored: vehicles turn left or right
    answer = LabelsAnswer(max_words=8)
    parallel = True

    def lists(self, root: Path) -> dict[str, Path]:
        """Split -> its JSON file: version 2's, else version 1's."""
        version_2 = (root / "tiny_train_v2.json").exists()
        names = ("tiny_train_v2.json", "tiny_val_v2.json") if version_2 else ("tiny_train.json", "tiny_test.json")
        return dict(zip(("train", "test"), require(*(root / name for name in names))))

    def files(self, root: Path) -> list[Path]:
        """The lists, and the clips that are there."""
        return [*self.lists(root).values(), *sorted((root / "videos").rglob("*.mp4"))]

    def items(self, root: Path) -> Iterator[Item]:
        for split, path in self.lists(root).items():
            folder = root / "videos" / ("val" if path.name == "tiny_val_v2.json" else split)
            for i, tube in enumerate(_tubes(path)):
                file, labels, camera = _fields(tube, f"{path}: entry {i}")
                part, source = "test" if split == "test" else hold_out(camera), str((folder / file).relative_to(root))
                yield Item(part, partial(self.example, folder / file, labels), source, group=camera)

    def is_meant(self, parts):
        return not parts[0].boxes and not is_gray(parts[0].frames)

    def clip(self, path, box=None):
        return Clip(read_video(path, spread(FRAMES)))

    def example(self, path: Path, labels: list[str]) -> Example:
        words = " , ".join(labels).replace("_", " ").split()[: self.answer.max_words]
        end = [End()] if len(words) < self.answer.max_words else []
        return Example([self.clip(path)], [Text(" ".join(words)), *end], answer=", ".join(labels))

    def notes(self, root: Path) -> dict:
        used = {label for path in self.lists(root).values() for tube in _tubes(path) for label in tube.get("label", [])}
        return {"labels": len(used), "labels that are not TinyVIRAT's": sorted(used - set(LABELS))}


class Colorization(TinyVIRAT):
    name, table2_row = "colorization", "Video Colorization"
    answer = ColorAnswer()
    augment = "none"  # input and answer must stay aligned
    # 4-pixel patches pass through such a narrow network without loss, and with so few steps a higher learning rate
    # works better.
    demo = {"patch": 4, "global_blocks": 2, "batch": 4, "l1": 1.0, "muon_lr": 0.01}

    def is_meant(self, parts):
        return not parts[0].boxes and is_gray(parts[0].frames)

    def clip(self, path, box=None):
        return Clip(to_gray(read_video(path, first(FRAMES))))

    def example(self, path: Path, labels: list[str]) -> Example:
        color = read_video(path, first(FRAMES))
        return Example([Clip(to_gray(color))], [Clip(color)])


def to_gray(frames: np.ndarray) -> np.ndarray:
    """uint8 (T, H, W, 3) -> the same shape, without color."""
    return np.repeat((frames @ LUMA).round().astype(np.uint8)[..., None], 3, axis=-1)


def is_gray(frames: np.ndarray) -> bool:
    return bool((frames == frames[..., :1]).all())


def _tubes(path: Path) -> list[dict]:
    content = read_json(path)
    tubes = content.get("tubes") if isinstance(content, dict) else content
    if not isinstance(tubes, list) or not tubes:
        found = f"{str(content)[:40]}; fetch the file again"
        raise EvlibError(f'{path}: expected a list of clips, or {{"tubes": [...]}}, found {found}.')
    return tubes


def _fields(tube: dict, entry: str) -> tuple[str, list[str], str]:
    """The file name, labels and camera of an entry; `entry` names it in error messages."""
    file, labels = (tube.get("path"), tube.get("label")) if isinstance(tube, dict) else (None, None)
    if not isinstance(file, str) or not isinstance(labels, list) or not labels:
        found = f"{str(tube)[:80]}; fetch the file again"
        raise EvlibError(f"{entry} needs a path and a list of labels, found {found}.")
    if any(not isinstance(label, str) or split_labels(label) != {label} or not label.strip(" _") for label in labels):
        raise EvlibError(f"{entry} has a label that is no name: {str(labels)[:80]}; fetch the file again.")
    if Path(file).is_absolute() or ".." in Path(file).parts:
        raise EvlibError(f"{entry} names {file!r}, which lies outside the data set.")
    return file, labels, str(tube.get("video_id") or Path(file).parent)
