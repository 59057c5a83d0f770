"""Everything becomes frames (section 3.1): one 64x64 RGB picture per word, image, sound or frame of a clip.

    render(Text("a charming journey"))  -> [frame("a"), frame("charming"), frame("journey")]
    render_example(example)             -> inputs, the separator `|`, outputs

A frame is uint8 (64, 64, 3), RGB, 0..255. It comes with a key: equal keys mean equal pixels, so that a store can
hold each distinct frame once without comparing pixels.
"""

import hashlib
import re
import unicodedata
from functools import cache, lru_cache, singledispatch
from pathlib import Path
from typing import NamedTuple

import matplotlib
import numpy as np
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from evlib.config import SIZE
from evlib.frames.audio import SPECTROGRAM, spectrogram
from evlib.frames.boxes import OVERLAY, render_box
from evlib.frames.image import image_frame
from evlib.frames.parts import Audio, Clip, End, Example, Image, Part, Text, Word
from evlib.utils.errors import EvlibError

SEPARATOR = "|"  # between inputs and outputs (section 3.1)
INK, PAPER = 255, 0  # white on black; the paper does not say
FONT = "DejaVuSansMono.ttf"  # "a fixed-width font"; this one ships with matplotlib
FONT_SHA256 = "602ec86b8948cfcd956482fe64f94c36c867770149ef2f791d4613f443bcecb3"
TALLEST = 55.0  # px, largest font size; above it, accents and descenders leave the frame
SMALLEST = 1.0  # px; a word of 64 letters or more becomes a gray line, cut off at the frame's edge


class Frame(NamedTuple):
    key: str | bytes  # equal keys mean equal pixels
    pixels: np.ndarray  # uint8 (64, 64, 3)


class Rendered(NamedTuple):
    inputs: list[Frame]  # the separator is the last one: Table 1 counts it as input
    outputs: list[Frame]
    n_truncated: int  # words cut from over-long text


def render_example(example: Example, max_inputs: int | None = None) -> Rendered:
    """The frames of an example. Over-long text loses its first words, so that at most `max_inputs` frames precede the
    separator; clips, images and sounds are never truncated."""
    parts = [render(part) for part in example.inputs]
    excess = 0 if max_inputs is None else max(0, sum(map(len, parts)) - max_inputs)
    n_truncated = 0
    for i, part in enumerate(example.inputs):
        if isinstance(part, Text):
            lost = min(excess - n_truncated, len(parts[i]))
            parts[i] = parts[i][lost:]
            n_truncated += lost
    inputs = [frame for frames in parts for frame in frames]
    outputs = [frame for part in example.outputs for frame in render(part)]
    return Rendered([*inputs, separator()], outputs, n_truncated)


@singledispatch
def render(part: Part) -> list[Frame]:
    """The frames of one part. A new modality registers its own function with `@render.register`."""
    todo = "register a function with @evlib.frames.render.render.register"
    raise EvlibError(f"No way to render a {type(part).__name__}: {todo}.")


@render.register
def _(part: Clip) -> list[Frame]:
    frames = [image_frame(pixels) for pixels in part.frames]
    boxes = [None] * len(frames) if part.boxes is None else part.boxes
    if len(boxes) != len(frames):
        found = f"{len(boxes)} for {len(frames)} frames"
        raise EvlibError(f"A clip's boxes must be one per frame, with None for no box; found {found}.")
    return [keyed(frame if box is None else render_box(frame, box)) for frame, box in zip(frames, boxes)]


render.register(Text, lambda part: [Frame(word, word_frame(word)) for word in tokenize(part.text)])
render.register(Word, lambda part: [Frame(part.word, word_frame(part.word))])
render.register(Image, lambda part: [keyed(image_frame(part.pixels))])
render.register(Audio, lambda part: [keyed(np.repeat(spectrogram(part.wave, part.rate)[..., None], 3, axis=2))])
render.register(End, lambda part: [blank()])


def keyed(pixels: np.ndarray) -> Frame:
    """A frame, uint8 (64, 64, 3), with the hash of its pixels as its key."""
    return Frame(hashlib.blake2b(pixels.tobytes(), digest_size=16).digest(), pixels)


def tokenize(text: str) -> list[str]:
    """ "splitting on spaces and also on punctuation": runs of letters and digits, or single other characters."""
    return re.findall(r"\w+|[^\w\s]", text)


@lru_cache(maxsize=32_768)
def word_frame(word: str, size: int = SIZE) -> np.ndarray:
    """One word, as large as the frame's width allows, centered: uint8 (64, 64, 3), read-only. `size`: another side.
    Raises EvlibError naming a character that the font lacks."""
    word = _renderable(word)
    image = Pillow.new("L", (size, size), PAPER)
    ImageDraw.Draw(image).text((size / 2, size / 2), word, fill=INK, font=_font(len(word), size), anchor="mm")
    frame = np.repeat(np.asarray(image)[..., None], 3, axis=2)
    frame.flags.writeable = False
    return frame


def separator() -> Frame:
    """The frame between inputs and outputs."""
    return Frame(SEPARATOR, word_frame(SEPARATOR))


def blank() -> Frame:
    """A frame without a word."""
    return Frame("", word_frame(""))


def _renderable(word: str) -> str:
    """The word; characters that the font lacks become their plain compatibility form, if they have one (① -> 1)."""
    plain = "".join(c if ord(c) in _glyphs() else unicodedata.normalize("NFKC", c) for c in word)
    for c in plain:
        if ord(c) not in _glyphs():
            missing = f"{c!r} (U+{ord(c):04X}) in {word!r}"
            raise EvlibError(f"The font {FONT} has no glyph for {missing}: replace the character.")
    return plain


@cache
def font_file() -> Path:
    """The font file that ships with matplotlib; its hash is checked, as another version renders other frames."""
    path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / FONT
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != FONT_SHA256:
        raise EvlibError(
            f"{path} is another version of the font: expected SHA-256 {FONT_SHA256[:12]}..., found {found[:12]}... "
            "Install the matplotlib version of environment.yml."
        )
    return path


@cache
def _font(n_characters: int, width: int = SIZE) -> ImageFont.FreeTypeFont:
    """The font at the largest size, in steps of 0.25 px, at which `n_characters` fit the width of the frame."""
    size = TALLEST * width / SIZE
    while True:
        # The basic layout engine is the same on every machine; the other one depends on an optional system library.
        font = ImageFont.truetype(font_file(), size, layout_engine=ImageFont.Layout.BASIC)
        if font.getlength("0" * n_characters) <= width or size <= SMALLEST:
            return font
        size -= 0.25


@cache
def _glyphs() -> frozenset[int]:
    from matplotlib.ft2font import FT2Font

    return frozenset(FT2Font(str(font_file())).get_charmap())


@cache
def fingerprint() -> str:
    """A short hash of what determines how frames look: a model only runs on frames rendered as in its training."""
    settings = (SIZE, SEPARATOR, INK, PAPER, FONT_SHA256, TALLEST, SMALLEST, SPECTROGRAM, OVERLAY)
    return hashlib.sha256(repr(settings).encode()).hexdigest()[:12]
