"""Speed of the steps before and after the network: rendering, encoding, reading. Wall-clock seconds on all cores: these
steps use threads and programs of their own."""

import tempfile
import time
from collections.abc import Callable, Sized
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile
import torch

from evlib.bench.timing import cores, machine, peak_megabytes
from evlib.data import tasks
from evlib.data.encode import encode
from evlib.data.tasks.audiomnist import DIGITS, PARTS
from evlib.frames.render import tokenize, word_frame
from evlib.frames.video import read_video, spread
from evlib.scoring import ocr
from evlib.synthetic.video_writer import write_mp4
from evlib.utils.errors import EvlibError

READ_FRAMES, SOUNDS, CLIPS = 3_000, 3_000, 300
COLUMNS = "what count seconds per_second note device"
CPU = torch.device("cpu")


def measure(data: Path, log: Callable[[str], None]) -> pd.DataFrame:
    """A table with COLUMNS: one row per measurement, with a note if the data under `data` does not allow it."""
    rows = []
    for measured in (rendering, encoding_cifar10, encoding_sounds, decoding_clips, reading):
        try:
            rows.append(measured(data))
        except EvlibError as error:
            rows.append({"what": measured.__name__.replace("_", " "), "note": f"not measured: {error}"})
        log("  ".join(f"{name}: {value}" for name, value in rows[-1].items()))
    return pd.DataFrame(rows).reindex(columns=COLUMNS.split()).assign(**machine(CPU))


def rendering(data: Path) -> dict:
    """Renders every distinct word of SST-2, once."""
    task = tasks.get("sst2")
    words = {word for item in task.items(task.root(data)) for word in tokenize(item.group)}
    word_frame.cache_clear()
    return timed("words of SST-2 rendered", lambda: [word_frame(word) for word in words])


def encoding_cifar10(data: Path) -> dict:
    """Encodes all of CIFAR-10 into a store."""
    with tempfile.TemporaryDirectory() as folder:
        row = timed("CIFAR-10 images encoded", lambda: encoded("cifar10", data, Path(folder) / "store"))
    return {**row, "note": peak_memory()}


def encoding_sounds(data: Path) -> dict:
    """AudioMNIST's format, 48 kHz and 16 bit, 0.6 s of noise per file: reading, resampling and spectrogram."""
    rng, speakers = np.random.default_rng(0), sorted(set().union(*PARTS))
    with tempfile.TemporaryDirectory() as folder:
        for speaker in speakers:
            recordings = Path(folder) / "AudioMNIST" / "data" / f"{speaker:02d}"
            recordings.mkdir(parents=True)
            for i in range(SOUNDS // len(speakers)):
                path = recordings / f"{i % len(DIGITS)}_{speaker:02d}_{i // len(DIGITS)}.wav"
                soundfile.write(path, 0.1 * rng.standard_normal(28_800), 48_000, subtype="PCM_16")
        row = timed("48 kHz recordings encoded", lambda: encoded("audiomnist", Path(folder)))
    return {**row, "note": f"30,000 would take {30_000 / row['per_second']:.0f} s"}


def decoding_clips(data: Path) -> dict:
    """Ten frames each from mp4 files of 100 frames, 64x64, a moving pattern: found, decoded and converted."""
    y, x = np.mgrid[:64, :64]
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{i}.mp4" for i in range(CLIPS)]
        for i, path in enumerate(paths):
            clip = [np.stack([2 * x + 3 * t, 2 * y + i, x + y - t], axis=-1) % 256 for t in range(100)]
            write_mp4(path, np.stack(clip).astype(np.uint8))
        with ThreadPoolExecutor(cores()) as pool:
            read = partial(read_video, choose=spread(10))
            row = timed("clips of 100 frames read", lambda: list(pool.map(read, paths)))
    return {**row, "note": peak_memory()}


def reading(data: Path) -> dict:
    """Reads frames with Tesseract."""
    frames = word_frames(READ_FRAMES)
    return timed("frames read", lambda: ocr.read_words(frames))


def word_frames(count: int) -> np.ndarray:
    """Rendered words of three data sets, repeated: uint8 (count, 64, 64, 3)."""
    words = ["positive", "negative", *DIGITS, *tasks.get("cifar10").answer.classes]
    return np.stack([word_frame(words[i % len(words)]) for i in range(count)])


def encoded(task: str, data: Path, out: Path | None = None) -> pd.DataFrame:
    """The rows of a data set, encoded without log output."""
    return encode(tasks.get(task), data, out, log=lambda line: None).metadata


def timed(what: str, work: Callable[[], Sized]) -> dict:
    """The seconds of one call, and how many things it returned."""
    started = time.perf_counter()
    count = len(work())
    seconds = time.perf_counter() - started
    return {"what": what, "count": count, "seconds": round(seconds, 2), "per_second": round(count / seconds)}


def peak_memory() -> str:
    return f"peak memory {peak_megabytes(CPU) / 1000:.2f} GB"
