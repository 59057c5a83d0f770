"""Many training clips for tracking, made from a few real ones, in LaSOT's layout.

    python -m evlib refilm refilmed --data data --clips 3000

Half of them film a real sequence again: a window moves and zooms over it, while it is played forwards or backwards, at
another speed. In the other half, cut-out targets of real sequences fly over such a film. Then a clip may be mirrored,
and its colors change. So a network sees real textures and more motion than the real clips hold.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image

from evlib.data.sources import MINIATURE
from evlib.data.tasks.base import hold_out
from evlib.data.tasks.lasot import FRAMES, LaSOT, read_annotation
from evlib.frames.parts import Box
from evlib.frames.video import at, read_video
from evlib.synthetic.video_writer import in_parallel
from evlib.utils import files
from evlib.utils.errors import EvlibError

SIDE = 96  # pixels of a clip
READ = 24  # frames of a real sequence; a clip has FRAMES
SEEN = 0.3  # an object of which a smaller share is visible counts as absent
SPEEDS = (0.5, 1.0, 1.0, 1.5)  # of playing a film, one as likely as another
WINDOW, ASPECT, ZOOM = (0.5, 1.0), 0.1, 0.01  # of the film's sides; and how much both change, over clips and frames
PAN = 0.015  # of the film's sides per frame
TARGETS = (1, 3)  # objects pasted on a film; the first one is tracked
SIZE, GROWTH, SPEED = (9.0, 34.0), 0.012, (0.0, 2.8)  # of a pasted object: px, change per frame, px per frame
SMALLEST, ABSENT, TRIES = 4, 5, 50  # px of the target at first; frames without it, at most; random windows, at most

Boxes = list[Box | None]


@dataclass(frozen=True)
class Film:
    frames: np.ndarray  # uint8 (T, H, W, 3); the target is in all of them
    boxes: list[Box]  # x, y, w, h in its pixels, inside it


def write(data: Path, out: Path, clips: int, seed: int = 0) -> int:
    """Writes at least `clips` clips of FRAMES frames to the folder LaSOT under `out`, made from the training sequences
    of the tracking data under `data`. Those that the task holds out for validation serve only clips that it holds out,
    too. Returns the number of clips. Raises EvlibError without training sequences, or if `out` has other data."""
    root, folders = LaSOT().root(data), {"train": [], "validation": []}
    for split, folder in LaSOT().sequences(root):
        if split == "train" and any(read_annotation(folder)[:READ]):
            folders[hold_out(folder.name)].append(folder)
    if not folders["train"]:
        raise EvlibError(f"{root}: expected training sequences in training_set.txt, found none that shows its target.")
    names = [f"{how}-{number}" for number in range(1, -(-clips // len(CLIPS)) + 1) for how in CLIPS]
    with files.atomic(out / "LaSOT") as draft:
        draft.mkdir()
        sources = (folders[hold_out(name)] or folders["train"] for name in names)
        in_parallel(write_clip, [(draft, name, next(sources), [seed, i]) for i, name in enumerate(names)])
        for file, listed in (("training_set.txt", names), ("testing_set.txt", names[: len(CLIPS)])):
            (draft / file).write_text("\n".join(listed) + "\n", encoding="utf-8")
        about = (
            f"Clips made by code from the training sequences of {root.name}; the test list only repeats two of them."
        )
        marker = {"miniature": True, "seed": seed, "train": len(names), "test": len(CLIPS), "about": about}
        (draft / MINIATURE).write_text(json.dumps(marker, indent=2) + "\n", encoding="utf-8")
    return len(names)


def write_clip(job: tuple[Path, str, list[Path], list[int]]) -> None:
    """<how>/<how>-N/ with img/ and groundtruth.txt, from some of the folders."""
    draft, name, folders, seed = job
    rng, how = np.random.default_rng(seed), name.rpartition("-")[0]
    frames, boxes = CLIPS[how]([read(folders[i]) for i in rng.integers(len(folders), size=1 + TARGETS[1])], rng)
    if rng.random() < 0.5:
        frames, boxes = frames[:, :, ::-1], [box and (SIDE - box[0] - box[2], *box[1:]) for box in boxes]
    folder = draft / how / name
    (folder / "img").mkdir(parents=True)
    for i, frame in enumerate(recolor(frames, rng), start=1):
        Image.fromarray(frame).save(folder / "img" / f"{i:08d}.jpg", quality=90)
    lines = (",".join(f"{value:.2f}" for value in box or (0, 0, 0, 0)) for box in boxes)
    (folder / "groundtruth.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


@lru_cache(maxsize=128)
def read(folder: Path) -> Film:
    boxes = read_annotation(folder)[:READ]
    frames = read_video(folder / "img", at(*range(len(boxes))), size=None)
    there = [(i, cut) for i, box in enumerate(boxes) if (cut := inside(box, frames.shape[2:0:-1]))]
    return Film(frames[[i for i, _ in there]], [box for _, box in there])


def refilmed(films: Sequence[Film], rng: np.random.Generator) -> tuple[np.ndarray, Boxes]:
    """A film through a moving window: uint8 (FRAMES, SIDE, SIDE, 3) and its boxes, the first of which is not None."""
    film = films[0]
    for _ in range(TRIES):
        times = replay(film, rng)
        windows = camera(film, rng, film.boxes[times[0]])
        boxes = [through(film.boxes[t], window) for t, window in zip(times, windows, strict=True)]
        if boxes[0] and min(boxes[0][2:]) >= SMALLEST and boxes.count(None) <= ABSENT:
            return shoot(film, times, windows), boxes
    whole = np.tile((0, 0, *film.frames.shape[2:0:-1]), (FRAMES, 1))
    return shoot(film, times, whole), [through(film.boxes[t], whole[0]) for t in times]


def pasted(films: Sequence[Film], rng: np.random.Generator) -> tuple[np.ndarray, Boxes]:
    """The targets of other films fly over the first one: the same. What is pasted later hides what is under it."""
    frames = shoot(films[0], replay(films[0], rng), camera(films[0], rng)).astype(np.float32)
    layers = [fly(film, rng) for film in films[1 : 1 + rng.integers(TARGETS[0], TARGETS[1], endpoint=True)]]
    visible = first = layers[0][1]
    for colors, opacity in layers:
        frames += opacity[..., None] * (colors - frames)
        visible = visible if opacity is first else visible * (1 - opacity)
    share = visible.sum((1, 2)) / first.sum((1, 2))
    boxes = [bounds(mask) if i == 0 or share[i] >= SEEN else None for i, mask in enumerate(first > 0.5)]
    return np.rint(frames).astype(np.uint8), boxes


CLIPS = {"refilmed": refilmed, "pasted": pasted}  # how clips are made, equally many each


def replay(film: Film, rng: np.random.Generator) -> np.ndarray:
    """The frames to show, int (FRAMES,): from anywhere, forwards or backwards, turning around at the ends."""
    last = len(film.frames) - 1
    times = rng.uniform(0, last + 1) + rng.choice([-1, 1]) * rng.choice(SPEEDS) * np.arange(FRAMES)
    return np.abs((np.floor(times).astype(int) + last) % max(2 * last, 1) - last)


def wander(rng: np.random.Generator, size: int, step: float) -> np.ndarray:
    """A smooth random path from 0 in steps of about `step`: float (FRAMES, size)."""
    steps = step * rng.normal(size=size) + np.cumsum(0.3 * step * rng.normal(size=(FRAMES, size)), axis=0)
    return np.cumsum(steps, axis=0) - steps[0]


def camera(film: Film, rng: np.random.Generator, target: Box | None = None) -> np.ndarray:
    """A window that moves and zooms, inside the film: left, top, right, bottom in its pixels, (FRAMES, 4). With a
    target, it begins around its center."""
    sides = np.array(film.frames.shape[2:0:-1])
    size = np.clip(rng.uniform(*WINDOW) * np.exp(ASPECT * rng.normal(size=2) + wander(rng, 1, ZOOM)), 0.3, 1)
    start = (np.array(target[:2]) + np.array(target[2:]) / 2) / sides if target else rng.uniform(0, 1, 2)
    center = start + rng.uniform(-0.45, 0.45, 2) * size[0] + wander(rng, 2, PAN)
    center = np.clip(center, size / 2, 1 - size / 2)
    return np.concatenate([center - size / 2, center + size / 2], axis=1) * np.tile(sides, 2)


def shoot(film: Film, times: np.ndarray, windows: np.ndarray) -> np.ndarray:
    """What the windows show of these frames: uint8 (FRAMES, SIDE, SIDE, 3)."""
    windows = np.clip(windows, 0, np.tile(film.frames.shape[2:0:-1], 2))
    pairs = zip(film.frames[times], windows.tolist(), strict=True)
    shots = (Image.fromarray(f).resize((SIDE, SIDE), Image.Resampling.BILINEAR, window) for f, window in pairs)
    return np.stack([np.asarray(shot) for shot in shots])


def through(box: Box, window: np.ndarray) -> Box | None:
    """A box in a film's pixels -> in those of what the window shows."""
    scale = SIDE / (window[2:] - window[:2])
    return inside((*(box[:2] - window[:2]) * scale, *np.array(box[2:]) * scale), (SIDE, SIDE))


def inside(box: Box | None, size: Sequence[int]) -> Box | None:
    """The part of a box inside a picture of this width and height; None if it is less than SEEN of it."""
    if box is None:
        return None
    low, high = np.clip(box[:2], 0, size), np.clip(np.add(box[:2], box[2:]), 0, size)
    return (*low, *(high - low)) if (high - low).prod() >= SEEN * box[2] * box[3] else None


def fly(film: Film, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A film's target, cut out as a rounded shape, on a random path that bounces off the borders: its colors,
    (FRAMES, SIDE, SIDE, 3) 0..255, and its opacity, (FRAMES, SIDE, SIDE) 0..1."""
    times, roundness = replay(film, rng), rng.uniform(2, 5)  # 2: an ellipse; 5: nearly a rectangle
    _, _, w, h = film.boxes[times[0]]
    aspect = np.clip(np.sqrt(w / h), 0.5, 2)
    sizes = np.clip(rng.uniform(*SIZE) * np.exp(wander(rng, 1, GROWTH)), *SIZE) * (aspect, 1 / aspect)
    centers = rng.uniform(0.15, 0.85, 2) * SIDE + wander(rng, 2, rng.uniform(*SPEED))
    centers = np.abs((centers + SIDE) % (2 * SIDE) - SIDE)
    colors, opacity, grid = [], [], np.arange(SIDE) + 0.5
    for t, center, size in zip(times, centers, sizes, strict=True):
        x, y, w, h = film.boxes[t]
        scale = np.array([w, h]) / size  # px of the film per px of the clip
        by = max(1, int(max(scale)))  # first reduced, because a transformation does not average
        left, top = (x, y) - (center - size / 2) * scale
        matrix = tuple(value / by for value in (scale[0], 0, left, 0, scale[1], top))
        picture = Image.fromarray(film.frames[t]).reduce(by)
        colors.append(picture.transform((SIDE, SIDE), Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR))
        across, down = (np.abs(grid - c) / (s / 2) for c, s in zip(center, size))
        distance = (across**roundness + down[:, None] ** roundness) ** (1 / roundness)  # 1 at the edge
        opacity.append(np.clip((1 - distance) * min(size) / 2 + 0.5, 0, 1))
    return np.stack(colors).astype(np.float32), np.stack(opacity).astype(np.float32)


def bounds(mask: np.ndarray) -> Box | None:
    """The smallest box around the pixels of a mask, bool (H, W)."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return (columns[0], rows[0], np.ptp(columns) + 1, np.ptp(rows) + 1) if len(rows) else None


def recolor(frames: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Another white balance and brightness; a quarter with colors swapped, a seventh without any."""
    kind = rng.random()
    if kind < 1 / 7:
        frames = np.repeat(frames.mean(-1, keepdims=True), 3, axis=-1)
    elif kind < 1 / 7 + 1 / 4:
        frames = frames[..., rng.permutation(3)]
    gain, gamma = rng.uniform(0.75, 1.25) * rng.uniform(0.85, 1.15, 3), rng.uniform(0.7, 1.4)
    return np.rint(np.clip((frames / 255) ** gamma * gain, 0, 1) * 255).astype(np.uint8)
