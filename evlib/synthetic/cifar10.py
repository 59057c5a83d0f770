"""Drawings of the ten CIFAR-10 classes, in the files of CIFAR-10's binary version.

Shape alone tells the class. Pose (mirrored or not, place, size, tilt), colours and background are drawn without
knowledge of the class, so neither a colour nor a single pixel gives the answer away.
"""

from __future__ import annotations

import colorsys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from evlib.synthetic.figures import FIGURES, Colour, Palette, Pen
from evlib.synthetic.spec import Miniature

SIDE = 32  # pixels
OVERSAMPLING = 4  # figures are drawn this much larger and reduced, for smooth edges
PER_FILE = 640  # records; 10,000 in the real files

# How much a class varies. These ranges set the difficulty.
TILT = 6.0  # degrees, either way
FILLED = (0.88, 1.0)  # part of the frame's width that a figure fills
LEEWAY = 0.02  # how far a figure may leave the frame, as a part of half the frame
GRAIN = 4.0  # standard deviation of the pixel noise, in grey levels

_Y, _X = np.mgrid[-1 : 1 : SIDE * 1j, -1 : 1 : SIDE * 1j]


def fill(folder: Path, rng: np.random.Generator) -> tuple[int, int]:
    """Write data_batch_1..5.bin, test_batch.bin and batches.meta.txt.

    A record is 1 label byte and 3072 pixel bytes: the 32x32 red plane row by row, then green, then blue.
    """
    names = [f"data_batch_{i}.bin" for i in range(1, 6)] + ["test_batch.bin"]
    for name in names:
        labels = rng.permutation(np.arange(PER_FILE) % len(FIGURES)).astype(np.uint8)
        planes = np.stack([picture(int(label), rng) for label in labels]).transpose(0, 3, 1, 2)  # N 3 H W
        records = np.concatenate([labels[:, None], planes.reshape(PER_FILE, -1)], axis=1)
        (folder / name).write_bytes(records.tobytes())
    (folder / "batches.meta.txt").write_bytes(("\n".join(f.__name__ for f in FIGURES) + "\n\n").encode())
    return 5 * PER_FILE, PER_FILE


def picture(label: int, rng: np.random.Generator) -> np.ndarray:
    """One drawing of the class, uint8 (32, 32, 3), RGB."""
    palette, (sky, ground) = _colours(rng)
    size = SIDE * OVERSAMPLING
    # Transparent pixels carry the body's colour, so that reducing the canvas leaves no dark rim.
    canvas = Image.new("RGBA", (size, size), (*palette.body, 0))
    FIGURES[label](_pen(ImageDraw.Draw(canvas), size, rng), palette)
    drawn = np.asarray(canvas.reduce(OVERSAMPLING), dtype=np.float64)
    colour, alpha = drawn[..., :3], drawn[..., 3:] / 255
    mixed = alpha * colour + (1 - alpha) * _background(sky, ground, rng)
    mixed += rng.normal(0, GRAIN, mixed.shape)  # a little grain, as a camera has
    return np.clip(np.rint(mixed), 0, 255).astype(np.uint8)


def _pen(draw: ImageDraw.ImageDraw, size: int, rng: np.random.Generator) -> Pen:
    tilt = np.radians(rng.uniform(-TILT, TILT))
    turn = np.array([[np.cos(tilt), -np.sin(tilt)], [np.sin(tilt), np.cos(tilt)]])
    mirror = np.diag([-1.0 if rng.random() < 0.5 else 1.0, 1.0])
    filled = rng.uniform(*FILLED)
    room = 1.0 - filled + LEEWAY  # a small figure may stand further from the middle
    shift = rng.uniform(-room, room, 2)
    return Pen(draw, filled * size / 2 * turn @ mirror, size / 2 * (1 + shift))


def _colours(rng: np.random.Generator) -> tuple[Palette, tuple[Colour, Colour]]:
    """A palette and two background colours; the figure is lighter than its background or darker, half the time each."""
    light, dark = (0.62, 0.88), (0.1, 0.32)  # luminance; the gap keeps every figure clear
    near, far = (light, dark) if rng.random() < 0.5 else (dark, light)
    hue, ground = rng.random(2)
    palette = Palette(
        body=_colour(hue, near, rng),
        second=_colour(hue + rng.uniform(0.2, 0.8), near, rng),
        ink=_colour(rng.random(), far, rng),
    )
    return palette, (_colour(ground, far, rng), _colour(ground + rng.uniform(-0.15, 0.15), far, rng))


def _colour(hue: float, luminance: tuple[float, float], rng: np.random.Generator) -> Colour:
    """A colour of the given hue (turns) at a random saturation, and a random luminance within 0 .. 1."""
    rgb = np.array(colorsys.hsv_to_rgb(hue % 1, rng.uniform(0.25, 0.8), 1.0))
    want, have = rng.uniform(*luminance), float(rgb @ (0.299, 0.587, 0.114))
    # Darken towards black or lighten towards white, whichever way the wanted luminance lies.
    rgb = rgb * want / have if want < have else 1 - (1 - rgb) * (1 - want) / (1 - have)
    return tuple(int(v) for v in np.rint(255 * rgb))


def _background(first: Colour, second: Colour, rng: np.random.Generator) -> np.ndarray:
    """float64 (32, 32, 3), 0 .. 255: the two colours mixed by a gradient, a horizon, stripes or soft blots."""
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
        blots = Image.fromarray(rng.random((5, 5), dtype=np.float32))
        mix = np.asarray(blots.resize((SIDE, SIDE), Image.Resampling.BICUBIC))
    mix = np.clip(mix, 0, 1)[..., None]
    return (1 - mix) * np.array(first) + mix * np.array(second)


CIFAR10 = Miniature(
    name="cifar10",
    folder="cifar-10-batches-bin",
    version=1,
    about="Drawings of the ten CIFAR-10 classes made by code, in the files of its binary version; not the photographs.",
    fill=fill,
)
