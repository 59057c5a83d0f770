"""Synthesized spoken digits, in the file formats of AudioMNIST and of the Free Spoken Digit Dataset.

Every speaker has a pitch, a vocal tract length and a tempo; every recording adds its own melody, tempo, articulation,
loudness, background noise and silence at both ends. The voices themselves are in `formants.py`.
Both sets are mono, 16 bit, 8 kHz (the real AudioMNIST is 48 kHz; 8 kHz keeps the miniature small and the words clear).
"""

import json
import wave
from pathlib import Path

import numpy as np

from evlib.synthetic.formants import RATE, Voice, speak

SPEAKERS = 60  # AudioMNIST: 01 .. 60, as in the real set, so that the authors' folds apply
REPETITIONS = 6  # AudioMNIST: recordings of a digit by a speaker (50 in the real set)
META = ("accent", "age", "gender", "native speaker", "origin", "recordingdate", "recordingroom")
FSDD_SPEAKERS = ("alma", "bruno", "carla", "dmitri", "elif", "felix")  # invented
FSDD_INDICES = 20  # recordings of a digit by a speaker (50 in the real set)


def fill(folder: Path, rng: np.random.Generator) -> tuple[int, int]:
    """Write data/<SS>/<digit>_<SS>_<r>.wav and data/audioMNIST_meta.txt; returns counts as in the authors' folds."""
    meta = {}
    for speaker in range(1, SPEAKERS + 1):
        name = f"{speaker:02d}"
        voice = Voice.sample(rng)
        home = folder / "data" / name
        home.mkdir(parents=True)
        for digit in range(10):
            for repetition in range(REPETITIONS):
                _record(home / f"{digit}_{name}_{repetition}.wav", digit, voice, rng)
        meta[name] = dict.fromkeys(META, "synthetic")
    (folder / "data" / "audioMNIST_meta.txt").write_bytes((json.dumps(meta, indent=4) + "\n").encode())
    return 36 * 10 * REPETITIONS, 12 * 10 * REPETITIONS  # and 12 speakers validate


def fill_fsdd(folder: Path, rng: np.random.Generator) -> tuple[int, int]:
    """Write recordings/<digit>_<speaker>_<index>.wav; by the set's own rule, indices 0 to 4 are the test set."""
    home = folder / "recordings"
    home.mkdir()
    voices = [Voice.sample(rng) for _ in FSDD_SPEAKERS]
    for name, voice in zip(FSDD_SPEAKERS, voices, strict=True):
        for digit in range(10):
            for index in range(FSDD_INDICES):
                _record(home / f"{digit}_{name}_{index}.wav", digit, voice, rng)
    per_index = 10 * len(FSDD_SPEAKERS)
    return (FSDD_INDICES - 5) * per_index, 5 * per_index


def _record(path: Path, digit: int, voice: Voice, rng: np.random.Generator) -> None:
    samples = np.rint(32767 * speak(digit, voice, rng)).astype("<i2")
    # The standard library writes thousands of small files far faster than libsndfile does.
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, RATE, 0, "NONE", None))
        file.writeframes(samples.tobytes())
