"""The paper's Table 1, "Training configurations for each task": sequence lengths and batch sizes."""

from typing import NamedTuple


class Shape(NamedTuple):
    n_in: int  # input frames, with the separator
    n_out: int  # answer frames
    batch: int  # sequences per step


SHAPES = {
    "Text Classification": Shape(21, 1, 16),
    "Image Classification": Shape(2, 1, 128),
    "Video Classification": Shape(11, 1, 16),
    "Audio Classification": Shape(2, 1, 256),
    "Video QA": Shape(21, 1, 16),
    "Object Tracking": Shape(21, 20, 8),
    "Video Colorization": Shape(11, 10, 16),
}


def distinct() -> dict[str, Shape]:
    """Tasks of equal lengths merged into one: their names joined by commas, and the smallest of their batch sizes."""
    names: dict[tuple[int, int], list[str]] = {}
    for name, shape in SHAPES.items():
        names.setdefault(shape[:2], []).append(name)
    return {", ".join(same): min(SHAPES[name] for name in same) for same in names.values()}
