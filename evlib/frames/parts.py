"""What a task says: parts, of which a few make an `Example` (section 3.1 of the paper).

    Example(inputs=[Text("a charming journey")], outputs=[Text("positive")])
    Example(inputs=[Image(pixels)],              outputs=[Text("frog")])
    Example(inputs=[Audio(wave, 8000)],          outputs=[Text("four")])
    Example(inputs=[Clip(frames), Text("what color is the cube ?")], outputs=[Text("cyan")])
    Example(inputs=[Clip(grey)],                 outputs=[Clip(colour)])

A part holds data in its own natural form; `evlib.render` turns it into frames. A new modality is a new
class here (or anywhere) and a render function registered for it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Text:
    """Words, drawn one per frame."""

    text: str


@dataclass(frozen=True)
class Word:
    """One word in one frame, whatever signs are in it: the answer `t-shirt` is one frame (Table 1: output length 1)."""

    word: str


@dataclass(frozen=True, eq=False)
class Image:
    """One picture: uint8 (H, W, 3) RGB of any size."""

    pixels: np.ndarray


@dataclass(frozen=True, eq=False)
class Audio:
    """One sound: float32 (N,) mono in [-1, 1], at `rate` samples a second."""

    wave: np.ndarray
    rate: int


@dataclass(frozen=True, eq=False)
class Clip:
    """A moving picture: uint8 (T, H, W, 3) RGB of any size."""

    frames: np.ndarray


@dataclass(frozen=True)
class End:
    """A frame without a word: where an answer of variable length ends."""


Part = Text | Word | Image | Audio | Clip | End


@dataclass(frozen=True)
class Example:
    """One question and its answer; `answer` is the text that what is read is scored against."""

    inputs: list[Part]
    outputs: list[Part]
    answer: str = ""
