"""The parts that a task builds an `Example` from (section 3.1 of the paper).

    Example(inputs=[Text("a charming journey")], outputs=[Word("positive")])
    Example(inputs=[Image(pixels)],              outputs=[Word("frog")])
    Example(inputs=[Audio(wave, 8000)],          outputs=[Word("four")])
    Example(inputs=[Clip(frames), Text("what color is the cube ?")], outputs=[Word("cyan")])
    Example(inputs=[Clip(gray)],                 outputs=[Clip(color)])
    Example(inputs=[Clip(frames, [box, None])],  outputs=[Clip(frames, [box, box])])

A part holds data in its natural form; `evlib.frames.render` turns it into frames. A new modality is a new class, here
or anywhere else, and a render function registered for it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

Box = tuple[float, float, float, float]  # x, y, w, h in frame pixels (64x64), x and y of the upper left corner


@dataclass(frozen=True)
class Text:
    """Words, rendered as one frame per word."""

    text: str


@dataclass(frozen=True)
class Word:
    """One word in one frame, whatever characters are in it: `t-shirt` is one frame (Table 1: output length 1)."""

    word: str


@dataclass(frozen=True, eq=False)
class Image:
    """One picture: uint8 (H, W, 3) RGB of any size."""

    pixels: np.ndarray


@dataclass(frozen=True, eq=False)
class Audio:
    """One sound: float32 (N,) mono in [-1, 1], at `rate` samples per second."""

    wave: np.ndarray
    rate: int


@dataclass(frozen=True, eq=False)
class Clip:
    """A video: uint8 (T, H, W, 3) RGB of any size, and, if given, a box or None for each of its T frames."""

    frames: np.ndarray
    boxes: Sequence[Box | None] | None = None


@dataclass(frozen=True)
class End:
    """A blank frame: marks the end of an answer of variable length."""


Part = Text | Word | Image | Audio | Clip | End


@dataclass(frozen=True)
class Example:
    """One question and its answer; `answer` is compared with the text read from the generated frames."""

    inputs: list[Part]
    outputs: list[Part]
    answer: str = ""
