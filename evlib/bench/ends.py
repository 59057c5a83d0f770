"""How fast the ends of the flow are: drawing, encoding, reading."""

from __future__ import annotations

import resource
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytesseract
import soundfile
import torch

from evlib.data import tasks
from evlib.data.encode import encode
from evlib.data.tasks.audiomnist import DIGITS, PARTS
from evlib.frames.render import tokenize, word_frame
from evlib.frames.video import read_video, spread
from evlib.scoring import ocr as decode
from evlib.synthetic.film import write_mp4
from evlib.training.device import environment
from evlib.utils.errors import EvlibError

READ_FRAMES, READ_SINGLY, SOUNDS, CLIPS = 10_000, 100, 3_000, 300


def measure(data: Path, log: Callable[[str], None]) -> pd.DataFrame:
    """What the data under `data` allows, a row each: what, count, seconds, per_second, note, device."""
    rows = []
    for measured in (drawing, encoding_cifar10, encoding_sounds, decoding_clips, reading):
        try:
            rows.append(measured(data))
        except EvlibError as error:
            rows.append({"what": measured.__name__.replace("_", " "), "note": f"not measured: {error}"})
        log("  ".join(f"{k}: {v}" for k, v in rows[-1].items()))
    columns = ["what", "count", "seconds", "per_second", "note"]
    return pd.DataFrame(rows).reindex(columns=columns).assign(device=environment(torch.device("cpu"))["device"])


def drawing(data: Path) -> dict:
    """Every distinct word of SST-2, once."""
    task = tasks.get("sst2")
    words = {word for item in task.items(task.root(data)) for word in tokenize(item.group)}
    word_frame.cache_clear()
    row, _ = timed("words of SST-2 drawn", lambda: [word_frame(word) for word in words])
    return rated(row, len(words))


def encoding_cifar10(data: Path) -> dict:
    """All of CIFAR-10 to a store, and the most memory this process ever held."""
    with tempfile.TemporaryDirectory() as folder:
        row, store = timed(
            "CIFAR-10 images encoded",
            lambda: encode(tasks.get("cifar10"), data, Path(folder) / "store", log=lambda line: None),
        )
    return {
        **rated(row, store.manifest["sequences"]),
        "note": f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB",
    }


def encoding_sounds(data: Path) -> dict:
    """AudioMNIST's format, 48 kHz and 16 bit, 0.6 s of noise a file: reading, resampling and spectrogram, in threads."""
    rng, speakers = np.random.default_rng(0), sorted(set().union(*PARTS))
    with tempfile.TemporaryDirectory() as folder:
        for speaker in speakers:
            place = Path(folder) / "AudioMNIST" / "data" / f"{speaker:02d}"
            place.mkdir(parents=True)
            for i in range(SOUNDS // len(speakers)):
                wave = 0.1 * rng.standard_normal(28_800)
                soundfile.write(
                    place / f"{i % len(DIGITS)}_{speaker:02d}_{i // len(DIGITS)}.wav", wave, 48_000, subtype="PCM_16"
                )
        row, _ = timed(
            "48 kHz recordings encoded", lambda: encode(tasks.get("audiomnist"), Path(folder), log=lambda line: None)
        )
    row = rated(row, SOUNDS)
    return {**row, "note": f"30,000 would take {30_000 / row['per_second']:.0f} s"}


def decoding_clips(data: Path) -> dict:
    """Ten frames each of mp4 files of 100 frames, 64x64, a pattern that moves: found, decoded and converted, in two threads."""
    y, x = np.mgrid[:64, :64]
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"{i}.mp4" for i in range(CLIPS)]
        for i, path in enumerate(paths):
            write_mp4(
                path,
                np.stack([np.stack([2 * x + 3 * t, 2 * y + i, x + y - t], axis=-1) % 256 for t in range(100)]).astype(
                    np.uint8
                ),
            )
        with ThreadPoolExecutor(2) as pool:
            row, _ = timed(
                "clips of 100 frames read", lambda: list(pool.map(lambda path: read_video(path, spread(10)), paths))
            )
    return {
        **rated(row, CLIPS),
        "note": f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB",
    }


def reading(data: Path) -> dict:
    """10,000 frames by Tesseract as `read_words` does it, against one pytesseract call a frame."""
    words = ["positive", "negative", *DIGITS, *tasks.get("cifar10").answers.classes]
    frames = np.stack([word_frame(words[i % len(words)]) for i in range(READ_FRAMES)])
    row, _ = timed("frames read", lambda: decode.read_words(frames))
    single, _ = timed(
        "",
        lambda: [pytesseract.image_to_string(decode.prepare(f), config=decode.PAGE_MODE) for f in frames[:READ_SINGLY]],
    )
    ratio = (single["seconds"] / READ_SINGLY) / (row["seconds"] / READ_FRAMES)
    return {**rated(row, READ_FRAMES), "note": f"one call a frame takes {ratio:.0f} times as long"}


def timed(what: str, work: Callable) -> tuple[dict, object]:
    started = time.perf_counter()
    result = work()
    return {"what": what, "seconds": time.perf_counter() - started}, result


def rated(row: dict, count: int) -> dict:
    return {
        "what": row["what"],
        "count": count,
        "seconds": round(row["seconds"], 2),
        "per_second": round(count / row["seconds"]),
    }
