"""LaSOT, video to video: 20 frames, the first with a red box around the target; then the same 20, each with its box.
Of a shorter sequence, all frames are used.

Both layouts are read: <class>/<class>-N/ as published, and <class>-N/ as its class archives unpack. Where the target is
absent (full_occlusion, out_of_view, a box without size), no box is rendered and none is expected.
"""

import json
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from evlib.config import SIZE
from evlib.data.tasks.answers import BoxesAnswer
from evlib.data.tasks.base import Item, Task, hold_out, require
from evlib.frames.parts import Box, Clip, Example
from evlib.frames.video import at, read_video
from evlib.utils.errors import EvlibError, UnreadableFile

FRAMES = 20  # of a clip, at most (Table 1's 21 counts the separator)
CLIPS = 3  # per training sequence, evenly spread; only the first one of a test sequence


class LaSOT(Task):
    name, table2_row, dataset = "lasot", "Object Tracking", "LaSOT"
    folders = ("LaSOT",)
    fallback_folders = ("tracking",)
    inputs = (Clip,)
    batch = 8
    answer = BoxesAnswer()
    # With copying, only the box has to be drawn; with more depth, it follows its target better; faded context teaches
    # it to look for the target again in every frame.
    demo = {
        "stem": 32,
        "global_blocks": 4,
        "copy": True,
        "fade_context": True,
        "batch": 8,
        "l1": 1.0,
        "muon_lr": 0.005,
        "loss_power": 0.5,
        "power_decay": 0.5,
    }
    parallel = True

    def lists(self, root: Path) -> dict[str, Path]:
        return dict(zip(("train", "test"), require(root / "training_set.txt", root / "testing_set.txt")))

    def files(self, root: Path) -> list[Path]:
        """The lists and the annotations; the 3.5 million images are not checked."""
        annotations = [folder / "groundtruth.txt" for _, folder in self.sequences(root)]
        return [*self.lists(root).values(), *filter(Path.is_file, annotations)]

    def sequences(self, root: Path) -> Iterator[tuple[str, Path]]:
        """Split and folder of every sequence in the lists."""
        for split, path in self.lists(root).items():
            for number, line in enumerate(_lines(path), start=1):
                if not (name := line.strip()):
                    continue
                if not re.fullmatch(r"\w[\w-]*-\d+", name):
                    wanted, found = "one sequence per line, such as airplane-1", f"{name[:60]!r}; fetch the list again"
                    raise EvlibError(f"{path}:{number}: expected {wanted}, found {found}.")
                published = root / name.rpartition("-")[0] / name
                yield split, published if published.is_dir() else root / name

    def items(self, root: Path) -> Iterator[Item]:
        for split, folder in self.sequences(root):
            starts = [0] if split == "test" else self.starts(folder)
            split, name = "test" if split == "test" else hold_out(folder.name), folder.relative_to(root)
            for start in starts:
                yield Item(split, partial(self.example, folder, start), f"{name}:{start + 1}", group=folder.name)

    def starts(self, folder: Path) -> list[int]:
        """First frames of the clips of a training sequence: no clip starts where the target is absent."""
        try:
            boxes = read_annotation(folder)
        except UnreadableFile:
            return [0]  # loading the item raises it again
        starts = np.linspace(0, max(0, len(boxes) - FRAMES), CLIPS).round().astype(int).tolist()
        return [start for start in dict.fromkeys(starts) if start == 0 or boxes[start] is not None]

    def is_meant(self, parts):
        return bool(parts[0].boxes)

    def clip(self, path, box=None):
        if box is None:
            todo = "give the target's box in the first frame, x,y,w,h in the video's own pixels"
            raise EvlibError(f"{path}: a tracker must be told what to follow: {todo}.")
        height, width = read_video(path, at(0), size=None).shape[1:3]
        if (target := scale(box, width, height)) is None:
            where = f"the first frame of {path}, which is {width} x {height} pixels"
            raise EvlibError(f"The box {','.join(f'{v:g}' for v in box)} has no part in {where}.")
        return boxed_first(read_video(path, lambda n: range(min(n, FRAMES))), target)

    @staticmethod
    def example(folder: Path, start: int) -> Example:
        boxes, n_images = read_annotation(folder), len(list((folder / "img").glob("*.jpg")))
        if n_images != len(boxes):
            found = f"{n_images} images in img/ and {len(boxes)} lines in groundtruth.txt"
            raise UnreadableFile(f"{folder}: expected as many images as boxes, found {found}.")
        if not boxes:
            raise UnreadableFile(f"{folder / 'groundtruth.txt'}: expected one box per line, found an empty file.")
        indices = range(start, min(start + FRAMES, len(boxes)))
        height, width = read_video(folder / "img", at(start), size=None).shape[1:3]
        boxes = [None if boxes[i] is None else scale(boxes[i], width, height) for i in indices]
        if boxes[0] is None:
            raise UnreadableFile(f"{folder}: the target is absent from frame {start + 1}, so no box can point at it.")
        frames = read_video(folder / "img", at(*indices))
        answer = json.dumps([None if box is None else [round(v, 2) for v in box] for box in boxes])
        return Example([boxed_first(frames, boxes[0])], [Clip(frames, boxes)], answer=answer)


def boxed_first(frames: np.ndarray, box: Box) -> Clip:
    """The input of the tracking task: uint8 (T, 64, 64, 3), with a box in the first frame only."""
    return Clip(frames, [box, *[None] * (len(frames) - 1)])


def scale(box: Box, width: int, height: int) -> Box | None:
    """x, y, w, h in an image of that size -> in the 64x64 frame, clipped to it; None if the box is entirely outside."""
    x, y, w, h = box
    left, right = (min(max(v * SIZE / width, 0), SIZE) for v in (x, x + w))
    top, bottom = (min(max(v * SIZE / height, 0), SIZE) for v in (y, y + h))
    return (left, top, right - left, bottom - top) if right > left and bottom > top else None


def read_annotation(folder: Path) -> list[Box | None]:
    """The x, y, w, h of every frame of a sequence, in the video's own pixels; None where the target is absent."""
    path = folder / "groundtruth.txt"
    if not path.is_file():
        raise UnreadableFile(f"{path}: expected the boxes of the sequence, found none; unpack the archive again.")
    lines, boxes = _lines(path), []
    absent = _flags(folder / "full_occlusion.txt", len(lines)) | _flags(folder / "out_of_view.txt", len(lines))
    for number, line in enumerate(lines, start=1):
        try:
            x, y, w, h = (float(v) for v in line.split(","))
            if not np.isfinite([x, y, w, h]).all():
                raise ValueError
        except ValueError:
            raise UnreadableFile(f"{path}:{number}: expected a box x,y,w,h in numbers, found {line[:60]!r}.") from None
        boxes.append(None if w <= 0 or h <= 0 or absent[number - 1] else (x, y, w, h))
    return boxes


def _flags(path: Path, count: int) -> np.ndarray:
    """A file of 0 and 1, in lines or comma-separated -> bool (count,); all False where there is no such file."""
    if not path.is_file():
        return np.zeros(count, dtype=bool)
    fields = ",".join(_lines(path)).strip(" ,").split(",")
    wrong = [f"{field[:20]!r} for box {i}" for i, field in enumerate(fields, start=1) if field not in ("0", "1")]
    if wrong or len(fields) != count:
        wanted = f"0 or 1 for each of the {count} boxes in groundtruth.txt"
        raise UnreadableFile(f"{path}: expected {wanted}, found {wrong[0] if wrong else len(fields)}.")
    return np.array(fields) == "1"


def _lines(path: Path) -> list[str]:
    """Bytes that are not UTF-8 become a character that no number or name has, so the line is reported as wrong."""
    return path.read_text(encoding="utf-8", errors="replace").splitlines()
