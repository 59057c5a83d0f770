"""Reads words from frames (section 4: "we perform OCR on the output frames using ... tesseract", "matched to the
closest vocabulary word"). A second reader, by the nearest rendered word, separates reading errors from model errors."""

import os
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import chain
from pathlib import Path

import numpy as np
import pytesseract
import torch
from PIL import Image as Pillow
from PIL import ImageFilter, ImageOps
from rapidfuzz.distance import Levenshtein

from evlib.frames.image import FAINT
from evlib.frames.render import word_frame
from evlib.utils.errors import EvlibError

HEIGHT = 32  # px, of the ink; Tesseract reads letters of about this size best
BLUR = 1.5  # px at that height; generated letters have ragged edges, and Tesseract reads soft ones better
BORDER = 10  # px of white around the ink
PAGE_MODE = "--psm 7"  # a single line of text
READER = (HEIGHT, BLUR, BORDER, FAINT, PAGE_MODE)
PAGES = 250  # frames per call; a call costs 0.1 s before its first page
CHUNK = 256  # frames compared with the vocabulary at a time: memory does not grow with the test set


def read_words(frames: np.ndarray, workers: int | None = None) -> list[str]:
    """Tesseract's reading of frames, uint8 (N, 64, 64, 3): N strings, "" for blank frames and where nothing is
    recognized. EvlibError if Tesseract is not installed."""
    require_tesseract()
    # Tesseract's own threads slow small pages down threefold. This limits its processes only: ours keeps its threads.
    pytesseract.pytesseract.environ = {**os.environ, "OMP_THREAD_LIMIT": "1"}
    prepared = [prepare(frame) for frame in frames]
    inked = [i for i, image in enumerate(prepared) if image is not None]
    calls = [inked[i : i + PAGES] for i in range(0, len(inked), PAGES)]
    with tempfile.TemporaryDirectory(prefix="evlib-read-") as folder:

        def read(call: list[int]) -> list[str]:
            return _read_pages([prepared[i] for i in call], Path(folder) / f"{call[0]}.tiff")

        with ThreadPoolExecutor(workers or os.cpu_count()) as pool:
            words = dict(zip(inked, chain.from_iterable(pool.map(read, calls))))
    return [words.get(i, "") for i in range(len(frames))]


def prepare(frame: np.ndarray) -> Pillow.Image | None:
    """The image that Tesseract gets: the ink, cropped, enlarged, softened, black on white with a border; None for a
    blank frame. Of clean single-word frames, it reads 42 % exactly as they are, and 99.6 % prepared like this."""
    gray = frame.mean(axis=2)
    background = np.median(gray)
    ink = np.abs(gray - background)
    if ink.max() < FAINT:
        return None
    rows, columns = np.nonzero(ink.max(axis=1) >= FAINT)[0], np.nonzero(ink.max(axis=0) >= FAINT)[0]
    crop = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    page = Pillow.fromarray((255 - crop * (255 / ink.max())).astype(np.uint8))
    width = max(1, round(page.width * HEIGHT / page.height))
    page = ImageOps.expand(page.resize((width, HEIGHT), Pillow.Resampling.BICUBIC), BORDER, 255)
    return page.filter(ImageFilter.GaussianBlur(BLUR))


def _read_pages(pages: list[Pillow.Image], path: Path) -> list[str]:
    pages[0].save(path, save_all=True, append_images=pages[1:])
    try:
        text = pytesseract.image_to_string(str(path), config=PAGE_MODE)
    except pytesseract.TesseractError as error:
        raise EvlibError(
            f"Tesseract cannot read: {' '.join(error.message.split())[:200]} "
            "Install its English data (Debian and Ubuntu: apt-get install tesseract-ocr-eng)."
        ) from None
    words = ["".join(page.split()) for page in text.split("\f")]
    if len(words) == len(pages) + 1 and not words[-1]:  # some versions end the last page with a form feed, too
        words.pop()
    if len(words) != len(pages):
        raise EvlibError(
            f"{path.name}: Tesseract was given {len(pages)} pages and answered {len(words)}; read them again."
        )
    return words


@cache
def require_tesseract() -> str:
    """The version of Tesseract, or an EvlibError that says how to install it."""
    try:
        return str(pytesseract.get_tesseract_version())
    except (pytesseract.TesseractNotFoundError, SystemExit):
        raise EvlibError(
            "Tesseract is not installed, and answers cannot be read without it: install it "
            "(Debian and Ubuntu: apt-get install tesseract-ocr; macOS: brew install tesseract; "
            "conda: conda install -c conda-forge tesseract)."
        ) from None


def nearest_word(word: str, vocabulary: Sequence[str]) -> str:
    """The vocabulary word at the smallest edit distance. Upper and lower case count as equal (an enlarged c alone looks
    like C) unless the vocabulary has both; "" stays "", because nothing was read."""

    def distance(known: str) -> tuple[int, int]:
        return Levenshtein.distance(word.casefold(), known.casefold()), Levenshtein.distance(word, known)

    return min(vocabulary, key=distance) if word else ""


class TemplateReader:
    """Reads a frame as the vocabulary word whose rendering has the smallest squared pixel error."""

    def __init__(self, vocabulary: Sequence[str]):
        self.vocabulary = list(vocabulary)
        rendered = torch.from_numpy(np.stack([word_frame(word) for word in self.vocabulary]))
        self.templates = rendered.float().mean(dim=-1).flatten(1)  # (V, 64*64)

    def distances(self, frames: np.ndarray) -> torch.Tensor:
        """uint8 (N, 64, 64, 3) -> (N, V): mean squared error against each word, for gray levels 0..255."""
        gray = torch.from_numpy(frames).float().mean(dim=-1).flatten(1)
        return torch.cdist(gray, self.templates).square() / gray.shape[1]

    def read(self, frames: np.ndarray) -> list[str]:
        chunks = (frames[start : start + CHUNK] for start in range(0, len(frames), CHUNK))
        return [self.vocabulary[i] for chunk in chunks for i in self.distances(chunk).argmin(dim=1).tolist()]
