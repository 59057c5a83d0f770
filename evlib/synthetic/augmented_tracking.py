"""Many training clips for tracking, made from a few real ones by data augmentation, in LaSOT's layout.

    python -m evlib augment-tracking augmented --data data --clips 3000

Half of them crop a real sequence: the window moves and zooms, and the sequence is played forwards or backwards, at
another speed. For the other half, targets of real sequences are cut out and pasted on such a clip, where they move
(copy-paste augmentation). Then a clip may be mirrored, and its colors change.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path

import numpy as np
from PIL import Image

from evlib.data.tasks.base import hold_out
from evlib.data.tasks.lasot import FRAMES, LaSOT, read_annotation
from evlib.frames.parts import Box
from evlib.frames.video import at, read_video
from evlib.synthetic.lasot import SIDE, bounds, write_lists, write_pictures
from evlib.synthetic.video_writer import in_parallel
from evlib.utils import files
from evlib.utils.errors import EvlibError

READ, LARGEST = 24, 320  # frames that are read of a real sequence; px, longest side to which they are reduced
SEEN = 0.3  # a target of which a smaller share is visible counts as absent
SPEEDS = (0.5, 1.0, 1.0, 1.5)  # frames of the sequence per frame of the clip, each as likely
WINDOW = (0.5, 1.0)  # share of the sequence's width and height that a clip shows, before the next three change it
ASPECT = 0.1  # standard deviation of the logarithm of the window's two sides
ZOOM, PAN = 0.01, 0.015  # change of the window's size and position per frame, as a share
TARGETS = (1, 3)  # pasted targets; the first one is tracked
SIZE = (9.0, 34.0)  # px: root of the area of a pasted target
GROWTH, SPEED = 0.012, (0.0, 2.8)  # change of its size per frame, as a share; px per frame that it moves
SMALLEST, ABSENT = 4, 5  # px of a target's shorter side in the first frame; frames without it, at most
TRIES = 50  # random windows, until one keeps the target in sight

Boxes = list[Box | None]


@dataclass(frozen=True)
class Source:
    """Frames of a real sequence that show its target."""

    frames: np.ndarray  # uint8 (T, H, W, 3)
    boxes: list[Box]  # x, y, w, h in their pixels, cut off at the border


def write(data: Path, out: Path, clips: int, seed: int = 0) -> Path:
    """Writes `clips` clips of FRAMES frames (one more, if odd) to a folder under `out` that is named as that of the
    tracking data under `data`, from whose training sequences they are made; clips that the task holds out for
    validation from sequences that it holds out. Its test list only repeats two clips. Returns the folder.

    Raises EvlibError without training sequences, or if the folder exists."""
    root, folders = LaSOT().root(data), {"train": [], "validation": []}
    target = Path(out) / root.name
    if target.exists():
        raise EvlibError(f"{target} exists: name another folder, or remove it.")
    if clips < 1:
        raise EvlibError(f"clips must be at least 1; found {clips}.")
    for split, folder in LaSOT().sequences(root):
        if split == "train" and any(read_annotation(folder)[:READ]):
            folders[hold_out(folder.name)].append(folder)
    if not folders["train"]:
        raise EvlibError(f"{root}: expected training sequences in training_set.txt, found none that shows its target.")
    names = [f"{how}-{number}" for number in range(1, -(-clips // len(CLIPS)) + 1) for how in CLIPS]
    with files.atomic(target) as draft:
        draft.mkdir()
        jobs = [(draft, n, folders[hold_out(n)] or folders["train"], [seed, i]) for i, n in enumerate(names)]
        in_parallel(write_clip, jobs)
        write_lists(draft, names, names[: len(CLIPS)])
    return target


def write_clip(job: tuple[Path, str, list[Path], list[int]]) -> None:
    """<how>/<how>-N/ with img/ and groundtruth.txt, from some of the folders."""
    draft, name, folders, seed = job
    rng, how = np.random.default_rng(seed), name.rpartition("-")[0]
    sources = (read(folders[i]) for i in rng.integers(len(folders), size=1 + TARGETS[1]))
    frames, boxes = CLIPS[how](sources, rng)
    if rng.random() < 0.5:
        frames, boxes = frames[:, :, ::-1], [box and (SIDE - box[0] - box[2], *box[1:]) for box in boxes]
    folder = draft / how / name
    write_pictures(folder, recolor(frames, rng))
    lines = (",".join(f"{value:.2f}" for value in box or (0, 0, 0, 0)) for box in boxes)
    (folder / "groundtruth.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


@lru_cache(maxsize=100)
def read(folder: Path) -> Source:
    boxes, frames, kept = read_annotation(folder)[:READ], [], []
    pictures = read_video(folder / "img", at(*range(len(boxes))), size=None)
    sides = pictures.shape[2:0:-1]
    scale = min(1.0, LARGEST / max(sides))
    size = tuple(max(1, round(side * scale)) for side in sides)
    for picture, box in zip(pictures, boxes, strict=True):
        if box and (box := cut(tuple(value * scale for value in box), size)):
            frames.append(np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BOX)))
            kept.append(box)
    if not frames:
        raise EvlibError(f"{folder}: expected boxes inside the picture, found none in the first {READ} frames.")
    return Source(np.stack(frames), kept)


def crop(sources: Iterator[Source], rng: np.random.Generator) -> tuple[np.ndarray, Boxes]:
    """A sequence through a moving window: uint8 (FRAMES, SIDE, SIDE, 3), and its boxes; the first is not None."""
    source = next(sources)
    for _ in range(TRIES):
        times = sample_times(source, rng)
        windows = random_windows(source, rng, source.boxes[times[0]])
        boxes = [to_window(source.boxes[t], window) for t, window in zip(times, windows, strict=True)]
        if boxes[0] and min(boxes[0][2:]) >= SMALLEST and boxes.count(None) <= ABSENT:
            return crop_frames(source, times, windows), boxes
    whole = np.tile((0, 0, *source.frames.shape[2:0:-1]), (FRAMES, 1))
    return crop_frames(source, times, whole), [to_window(source.boxes[t], whole[0]) for t in times]


def paste(sources: Iterator[Source], rng: np.random.Generator) -> tuple[np.ndarray, Boxes]:
    """Targets of other sequences on the first one: the same. What is pasted later hides what is under it."""
    source = next(sources)
    frames = crop_frames(source, sample_times(source, rng), random_windows(source, rng)).astype(np.float32)
    targets = list(islice(sources, int(rng.integers(*TARGETS, endpoint=True))))
    for _ in range(TRIES):
        layers = [moving_target(target, rng) for target in targets]
        visible = layers[0][1]
        for _, opacity in layers[1:]:
            visible = visible * (1 - opacity)
        share = visible.sum((1, 2)) / layers[0][1].sum((1, 2))
        if share[0] >= SEEN:
            break
    for colors, opacity in layers:
        frames += opacity[..., None] * (colors - frames)
    boxes = [bounds(mask) if share[i] >= SEEN or i == 0 else None for i, mask in enumerate(layers[0][1] > 0.5)]
    return np.rint(frames).astype(np.uint8), boxes


CLIPS = {"crop": crop, "paste": paste}  # how clips are made, equally many each


def sample_times(source: Source, rng: np.random.Generator) -> np.ndarray:
    """The frames to show, int (FRAMES,): from anywhere, forwards or backwards, turning around at the ends."""
    last = len(source.frames) - 1
    times = rng.uniform(0, last + 1) + rng.choice([-1, 1]) * rng.choice(SPEEDS) * np.arange(FRAMES)
    return np.abs((np.floor(times).astype(int) + last) % max(2 * last, 1) - last)


def random_walk(rng: np.random.Generator, size: int, step: float) -> np.ndarray:
    """A smooth random path from 0 in steps of about `step`: float (FRAMES, size)."""
    steps = step * rng.normal(size=size) + np.cumsum(0.3 * step * rng.normal(size=(FRAMES, size)), axis=0)
    return np.cumsum(steps, axis=0) - steps[0]


def random_windows(source: Source, rng: np.random.Generator, target: Box | None = None) -> np.ndarray:
    """A window that moves and zooms, inside the picture: left, top, right, bottom in its pixels, (FRAMES, 4). With a
    target, it begins around its center."""
    sides = np.array(source.frames.shape[2:0:-1])
    size = np.clip(rng.uniform(*WINDOW) * np.exp(ASPECT * rng.normal(size=2) + random_walk(rng, 1, ZOOM)), 0.3, 1)
    start = (np.array(target[:2]) + np.array(target[2:]) / 2) / sides if target else rng.uniform(0, 1, 2)
    center = start + rng.uniform(-0.45, 0.45, 2) * size[0] + random_walk(rng, 2, PAN)
    center = np.clip(center, size / 2, 1 - size / 2)
    return np.concatenate([center - size / 2, center + size / 2], axis=1) * np.tile(sides, 2)


def crop_frames(source: Source, times: np.ndarray, windows: np.ndarray) -> np.ndarray:
    """What the windows show of these frames: uint8 (FRAMES, SIDE, SIDE, 3)."""
    windows = np.clip(windows, 0, np.tile(source.frames.shape[2:0:-1], 2)).tolist()
    pairs = zip(source.frames[times], windows, strict=True)
    shown = (Image.fromarray(f).resize((SIDE, SIDE), Image.Resampling.BILINEAR, window) for f, window in pairs)
    return np.stack([np.asarray(picture) for picture in shown])


def to_window(box: Box, window: np.ndarray) -> Box | None:
    """A box in a picture -> in what the window shows of it."""
    scale = SIDE / (window[2:] - window[:2])
    return cut((*(box[:2] - window[:2]) * scale, *np.array(box[2:]) * scale), (SIDE, SIDE))


def cut(box: Box, size: Sequence[int]) -> Box | None:
    """The part of a box inside a picture of this width and height; None if it is less than SEEN of it."""
    low, high = np.clip(box[:2], 0, size), np.clip(np.add(box[:2], box[2:]), 0, size)
    return (*low, *(high - low)) if (high - low).prod() >= SEEN * box[2] * box[3] else None


def moving_target(source: Source, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A target, cut out as a rounded shape, on a random path that bounces off the borders: its colors, float32
    (FRAMES, SIDE, SIDE, 3) 0..255, and its opacity, float32 (FRAMES, SIDE, SIDE) 0..1."""
    times, roundness = sample_times(source, rng), rng.uniform(2, 5)  # 2: an ellipse; 5: nearly a rectangle
    _, _, w, h = source.boxes[times[0]]
    aspect = np.clip(np.sqrt(w / h), 0.5, 2)
    sizes = np.clip(rng.uniform(*SIZE) * np.exp(random_walk(rng, 1, GROWTH)), *SIZE) * (aspect, 1 / aspect)
    centers = rng.uniform(0.15, 0.85, 2) * SIDE + random_walk(rng, 2, rng.uniform(*SPEED))
    centers = np.abs((centers + SIDE) % (2 * SIDE) - SIDE)
    colors, opacity, grid = [], [], np.arange(SIDE) + 0.5
    for t, center, size in zip(times, centers, sizes, strict=True):
        x, y, w, h = source.boxes[t]
        scale = np.array([w, h]) / size  # px of the source per px of the clip
        by = max(1, int(max(scale)))  # first reduced, because a transformation does not average
        left, top = (x, y) - (center - size / 2) * scale
        matrix = tuple(value / by for value in (scale[0], 0, left, 0, scale[1], top))
        picture = Image.fromarray(source.frames[t]).reduce(by)
        colors.append(picture.transform((SIDE, SIDE), Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR))
        across, down = (np.abs(grid - c) / (s / 2) for c, s in zip(center, size))
        distance = (across**roundness + down[:, None] ** roundness) ** (1 / roundness)  # 1 at the edge
        opacity.append(np.clip((1 - distance) * min(size) / 2 + 0.5, 0, 1))
    return np.stack(colors).astype(np.float32), np.stack(opacity).astype(np.float32)


def recolor(frames: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Another brightness and white balance; one clip in seven is gray, in two of seven colors are swapped."""
    kind, tint = rng.integers(7), rng.uniform(0.85, 1.15, 3)
    if kind == 0:
        frames, tint = np.repeat(frames.mean(-1, keepdims=True), 3, axis=-1), 1.0
    elif kind <= 2:
        frames = frames[..., rng.permutation(3)]
    gain, gamma = rng.uniform(0.75, 1.25) * tint, rng.uniform(0.7, 1.4)
    return np.rint(np.clip((frames / 255) ** gamma * gain, 0, 1) * 255).astype(np.uint8)
