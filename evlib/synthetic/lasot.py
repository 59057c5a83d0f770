"""Objects that fly in front of a still background, in the file format of LaSOT: one object to track in each sequence.

The object moves fast: the first frame's box, kept for the next 19, has a mean IoU of 0.34. It turns, bounces off the
borders, grows and shrinks slowly, and passes behind a bar or a post that hides a part of it. Its colors are vivid and
everything else is muted, but no object is red: red is reserved for the box.
"""

from pathlib import Path

import numpy as np
from PIL import Image

from evlib.frames.parts import Box
from evlib.synthetic.figures import Palette, Pen, automobile, cutout, enlarged, ship, turn
from evlib.synthetic.video_writer import in_parallel

SIDE = 96  # pixels
FRAMES = 26  # of a sequence; 1,000 and more in the real set. The task shows 20 of them at a time
PER_CLASS = 140  # sequences; every 7th is for testing
OVERSAMPLING = 3  # the object is painted this much larger and reduced, for smooth edges

# These ranges set the difficulty.
RADIUS = (12.0, 17.0)  # pixels; half of the object's width
SPEED = (0.9, 2.4)  # pixels a frame
TURN = 0.05  # radians a frame, standard deviation of the change of the turning rate
WAVES = (0.05, 0.12)  # radians a frame: how fast it grows and shrinks, and turns about itself
POST = (6, 13)  # pixels; width of the bar that hides a part of the object
GONE = 0.1  # an object counts as fully hidden if less than this share of it is visible

COLORS = {
    "yellow": (250, 215, 40), "orange": (250, 140, 20), "green": (40, 190, 60), "cyan": (40, 215, 225),
    "blue": (40, 80, 235), "purple": (145, 50, 215), "pink": (245, 120, 200), "white": (245, 245, 245),
}  # fmt: skip
INK = (25, 20, 35)


def ball(pen: Pen, c: Palette) -> None:
    pen.ellipse(0, 0, 1, 1, c.body)
    for start in np.radians((0, 120, 240)):
        arc = start + np.radians(np.linspace(0, 60, 9))
        pen.shape([(0, 0), *zip(np.cos(arc), np.sin(arc), strict=True)], c.second)
    pen.ellipse(0, 0, 0.2, 0.2, c.ink)


def fish(pen: Pen, c: Palette) -> None:
    pen.shape([(-0.4, 0), (-1, -0.5), (-0.85, 0), (-1, 0.5)], c.second)  # tail
    pen.shape([(0.35, -0.3), (-0.05, -0.75), (-0.35, -0.3)], c.second)  # fin
    pen.ellipse(0.2, 0, 0.8, 0.55, c.body)
    for x, reach in ((-0.25, 0.36), (0.05, 0.46), (0.35, 0.46)):
        pen.shape([(x - 0.07, -reach), (x + 0.07, -reach), (x + 0.07, reach), (x - 0.07, reach)], c.second)  # stripes
    pen.ellipse(0.7, -0.1, 0.1, 0.1, c.ink)


def kite(pen: Pen, c: Palette) -> None:
    top, right, bottom, left, middle = (0, -0.95), (0.9, -0.2), (0, 0.95), (-0.9, -0.2), (0, -0.2)
    pen.shape([top, right, middle], c.body)
    pen.shape([right, bottom, middle], c.second)
    pen.shape([bottom, left, middle], c.body)
    pen.shape([left, top, middle], c.second)
    pen.line([top, bottom], 0.08, c.ink)
    pen.line([left, right], 0.08, c.ink)


OBJECTS = {"ball": ball, "boat": ship, "car": automobile, "fish": fish, "kite": kite}


def fill(folder: Path, rng: np.random.Generator) -> tuple[int, int]:
    """Write <class>/<class>-N/ with its pictures and annotations, training_set.txt and testing_set.txt."""
    train, test, jobs = [], [], []
    for kind in OBJECTS:
        for number in range(1, PER_CLASS + 1):
            name = f"{kind}-{number}"
            (train if number % 7 else test).append(name)
            jobs.append((folder / kind / name, int(rng.integers(2**63))))
    in_parallel(write_sequence, jobs)
    write_lists(folder, train, test)
    return len(train), len(test)


def write_lists(folder: Path, train: list[str], test: list[str]) -> None:
    """training_set.txt and testing_set.txt."""
    for file, names in (("training_set.txt", train), ("testing_set.txt", test)):
        (folder / file).write_bytes(("\n".join(names) + "\n").encode())


def write_sequence(job: tuple[Path, int]) -> None:
    """The folder of one sequence: img/, groundtruth.txt, full_occlusion.txt, out_of_view.txt and nlp.txt."""
    folder, seed = job
    pictures, boxes, sentence = sequence(folder.parent.name, FRAMES, np.random.default_rng(seed))
    write_pictures(folder, pictures)
    hidden = (boxes[:, 2] == 0).astype(int)
    texts = {
        "groundtruth": "\n".join(",".join(map(str, box)) for box in boxes.tolist()),
        "full_occlusion": ",".join(map(str, hidden)),
        "out_of_view": ",".join("0" for _ in hidden),  # it bounces off the borders
        "nlp": sentence,
    }
    for name, text in texts.items():
        (folder / f"{name}.txt").write_bytes(f"{text}\n".encode())


def write_pictures(folder: Path, pictures: np.ndarray) -> None:
    """uint8 (T, H, W, 3) -> img/ in a sequence's new folder."""
    (folder / "img").mkdir(parents=True)
    for i, picture in enumerate(pictures, start=1):
        Image.fromarray(picture).save(folder / "img" / f"{i:08d}.jpg", quality=90)


def sequence(kind: str, frames: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, str]:
    """One moving object: uint8 (T, 96, 96, 3) pictures, int (T, 4) boxes x, y, w, h in pixels (0, 0, 0, 0 where it is
    hidden), and a sentence that says what to follow."""
    first, second = rng.choice(list(COLORS), 2, replace=False)
    palette = Palette(_shade(first, rng), _shade(second, rng), INK)
    scene, cover = texture(rng), texture(rng)
    poses = zip(*path(frames, rng), angles(kind, frames, rng), strict=True)
    layers = np.stack([_layer(kind, palette, *pose) for pose in poses])  # RGB and opacity
    masks = layers[..., 3] > 127
    bar = _bar(masks, rng)
    still = np.where(bar[..., None], cover, scene)
    pictures, boxes = [], []
    for pixels, mask in zip(layers, masks, strict=True):
        alpha = np.where(bar, 0, pixels[..., 3] / np.float32(255))[..., None]
        pictures.append(np.rint(alpha * pixels[..., :3] + (1 - alpha) * still).astype(np.uint8))
        seen = mask & ~bar
        boxes.append(bounds(seen) if seen.sum() >= GONE * mask.sum() else (0, 0, 0, 0))
    sentence = f"{first} and {second} {kind} moving quickly in front of a still background"
    return np.stack(pictures), np.stack(boxes), sentence


def path(frames: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Where the object is and how large: float64 (T, 2) centers x, y and (T,) radii, in pixels, inside the picture."""
    waves = np.sin(rng.uniform(0, 2 * np.pi) + np.arange(frames) * rng.uniform(*WAVES))
    middle, swing = np.mean(RADIUS), (RADIUS[1] - RADIUS[0]) / 2
    share = rng.uniform(0.2, 0.5)  # of the range of sizes that the waves take up; the rest is this object's own size
    radii = middle + swing * (share * waves + (1 - share) * rng.uniform(-1, 1))
    heading, turning, speed = rng.uniform(0, 2 * np.pi), 0.0, rng.uniform(*SPEED)
    step = speed * np.array([np.cos(heading), np.sin(heading)])
    center, centers = rng.uniform(RADIUS[1], SIDE - RADIUS[1], 2), []
    for radius in radii:
        outside = (center < radius) | (center > SIDE - radius)
        center = np.where(outside, 2 * np.clip(center, radius, SIDE - radius) - center, center)  # a bounce
        step = np.where(outside, np.abs(step) * np.where(center < SIDE / 2, 1, -1), step)
        centers.append(center)
        turning = 0.8 * turning + rng.normal(0, TURN)
        step = step @ turn(turning).T
        center = center + step
    return np.stack(centers), radii


def angles(kind: str, frames: int, rng: np.random.Generator) -> np.ndarray:
    """float64 (T,), radians: a ball keeps rolling, the other things rock a little."""
    t, start, rate = np.arange(frames), rng.uniform(0, 2 * np.pi), rng.uniform(*WAVES)
    return start + rate * t if kind == "ball" else 0.2 * np.sin(start + rate * t)


def _layer(kind: str, palette: Palette, center: np.ndarray, radius: float, angle: float) -> np.ndarray:
    matrix, origin = radius * OVERSAMPLING * turn(angle), center * OVERSAMPLING
    return np.asarray(cutout(OBJECTS[kind], palette, SIDE * OVERSAMPLING, matrix, origin, by=OVERSAMPLING))


def texture(rng: np.random.Generator) -> np.ndarray:
    """A muted surface, float32 (96, 96, 3), 0 .. 255: large and small blots of two grayish colors, and some grain."""
    light = rng.uniform(60, 190)
    colors = light + rng.uniform(12, 30) * np.array([[-1.0], [1.0]]) + rng.normal(0, 7, (2, 3))
    large, small = (enlarged(rng.random((cells, cells), dtype=np.float32), SIDE)[..., None] for cells in (4, 16))
    mix = 0.6 * large + 0.4 * small
    grain = rng.normal(0, 2, (SIDE, SIDE, 1))
    return np.clip((1 - mix) * colors[0] + mix * colors[1] + grain, 0, 255).astype(np.float32)


def _bar(masks: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The obstacle, bool (96, 96), given the object in every frame, bool (T, 96, 96): a post or a bar that leaves the
    first box free, never hides the whole object, and hides a part of it at some time. Empty if no place fits."""
    bar, upright = np.zeros((SIDE, SIDE), bool), rng.random() < 0.5
    width = int(rng.integers(*POST))
    # (T, 96): how much of the object is in every column or row
    share = masks.sum(axis=1 if upright else 2) / masks.sum(axis=(1, 2))[:, None]
    hidden = np.lib.stride_tricks.sliding_window_view(share, width, axis=1).sum(axis=2)  # (T, places)
    fits = (hidden[0] == 0) & (hidden.max(axis=0) < 1 - 2 * GONE) & (hidden.max(axis=0) > 0.1)
    if fits.any():
        start = rng.choice(np.flatnonzero(fits))
        bar[:, start : start + width] = True
    return bar if upright else bar.T


def bounds(mask: np.ndarray) -> Box:
    """The smallest x, y, w, h around the pixels of a mask, bool (H, W), which has some."""
    columns, rows = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
    return (columns[0], rows[0], np.ptp(columns) + 1, np.ptp(rows) + 1)


def _shade(name: str, rng: np.random.Generator) -> tuple[int, int, int]:
    return tuple(int(v) for v in np.clip(COLORS[name] + rng.normal(0, 8, 3), 0, 255))
