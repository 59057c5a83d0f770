"""Figures of the ten CIFAR-10 classes, in the format of CIFAR-10's binary version.

Only the shape tells the class. Pose (mirrored or not, place, size, tilt), colors and background are independent of it,
so neither a color nor a single pixel gives the answer away.
"""

import colorsys
from pathlib import Path

import numpy as np

from evlib.synthetic.figures import FIGURES, Color, Palette, cutout, enlarged, turn

SIDE = 32  # pixels
OVERSAMPLING = 4  # figures are painted this much larger and reduced, for smooth edges
PER_FILE = 640  # records; 10,000 in the real files

# How much a class varies. These ranges set the difficulty.
TILT = 6.0  # degrees, either way
FILLED = (0.88, 1.0)  # part of the frame's width that a figure fills
LEEWAY = 0.02  # how far a figure may leave the frame, as a part of half the frame
GRAIN = 4.0  # standard deviation of the pixel noise, in gray levels

_Y, _X = np.mgrid[-1 : 1 : SIDE * 1j, -1 : 1 : SIDE * 1j]


def fill(folder: Path, rng: np.random.Generator) -> tuple[int, int]:
    """Write data_batch_1..5.bin, test_batch.bin and batches.meta.txt; records of a label and three planes of pixels."""
    names = [f"data_batch_{i}.bin" for i in range(1, 6)] + ["test_batch.bin"]
    for name in names:
        labels = rng.permutation(np.arange(PER_FILE) % len(FIGURES)).astype(np.uint8)
        planes = np.stack([picture(int(label), rng) for label in labels]).transpose(0, 3, 1, 2)  # N 3 H W
        records = np.concatenate([labels[:, None], planes.reshape(PER_FILE, -1)], axis=1)
        (folder / name).write_bytes(records.tobytes())
    (folder / "batches.meta.txt").write_bytes(("\n".join(f.__name__ for f in FIGURES) + "\n\n").encode())
    return 5 * PER_FILE, PER_FILE


def picture(label: int, rng: np.random.Generator) -> np.ndarray:
    """One picture of the class, uint8 (32, 32, 3), RGB."""
    palette, (sky, ground) = _colors(rng)
    size = SIDE * OVERSAMPLING
    figure = cutout(FIGURES[label], palette, size, *_pose(size, rng), by=OVERSAMPLING)
    pixels = np.asarray(figure, dtype=np.float64)
    color, alpha = pixels[..., :3], pixels[..., 3:] / 255
    mixed = alpha * color + (1 - alpha) * _background(sky, ground, rng)
    mixed += rng.normal(0, GRAIN, mixed.shape)  # a little grain, as a camera has
    return np.clip(np.rint(mixed), 0, 255).astype(np.uint8)


def _pose(size: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """The matrix and the origin of a pen on a canvas of that size."""
    tilt = turn(np.radians(rng.uniform(-TILT, TILT)))
    mirror = np.diag([-1.0 if rng.random() < 0.5 else 1.0, 1.0])
    filled = rng.uniform(*FILLED)
    room = 1.0 - filled + LEEWAY  # a small figure may stand further from the middle
    shift = rng.uniform(-room, room, 2)
    return filled * size / 2 * tilt @ mirror, size / 2 * (1 + shift)


def _colors(rng: np.random.Generator) -> tuple[Palette, tuple[Color, Color]]:
    """A palette and two background colors; the figure is lighter than its background or darker, half the time each."""
    light, dark = (0.62, 0.88), (0.1, 0.32)  # luminance; the gap keeps every figure clear
    near, far = (light, dark) if rng.random() < 0.5 else (dark, light)
    hue, ground = rng.random(2)
    body = _color(hue, near, rng)
    second = _color(hue + rng.uniform(0.2, 0.8), near, rng)
    palette = Palette(body, second, ink=_color(rng.random(), far, rng))
    return palette, (_color(ground, far, rng), _color(ground + rng.uniform(-0.15, 0.15), far, rng))


def _color(hue: float, luminance: tuple[float, float], rng: np.random.Generator) -> Color:
    """A color of the given hue (turns) at a random saturation, and a random luminance within 0 .. 1."""
    rgb = np.array(colorsys.hsv_to_rgb(hue % 1, rng.uniform(0.25, 0.8), 1.0))
    want, have = rng.uniform(*luminance), float(rgb @ (0.299, 0.587, 0.114))
    # Darken towards black or lighten towards white, whichever way the wanted luminance lies.
    rgb = rgb * want / have if want < have else 1 - (1 - rgb) * (1 - want) / (1 - have)
    return tuple(int(v) for v in np.rint(255 * rgb))


def _background(first: Color, second: Color, rng: np.random.Generator) -> np.ndarray:
    """float64 (32, 32, 3), 0 .. 255: the two colors mixed by a gradient, a horizon, stripes or soft blots."""
    kind = rng.integers(4)
    angle = rng.uniform(0, 2 * np.pi)
    across = np.cos(angle) * _X + np.sin(angle) * _Y  # -1.4 .. 1.4
    if kind == 0:
        mix = 0.5 + across / 2.8
    elif kind == 1:
        mix = np.clip((_Y + 0.2 * across - rng.uniform(-0.3, 0.7)) * 6, 0, 1)
    elif kind == 2:
        mix = 0.5 + 0.5 * np.sin(across * rng.uniform(4, 9) + angle)
    else:
        mix = enlarged(rng.random((5, 5), dtype=np.float32), SIDE)
    mix = np.clip(mix, 0, 1)[..., None]
    return (1 - mix) * np.array(first) + mix * np.array(second)
