"""A waveform becomes one spectrogram frame (section 3.1, Audio-to-Text).

The paper says "each audio sample is preprocessed into a spectrogram" and no more. Ours: mono, 8 kHz, 64 mel bands
over 32 ms windows, decibels, stretched in time to 64 columns, low frequencies at the bottom.
"""

from __future__ import annotations

import sys
import types
import warnings
from functools import cache
from pathlib import Path

import numpy as np
import soundfile
import torch
from PIL import Image as Pillow

from evlib.utils.errors import EvlibError, UnreadableFile

RATE = 8000  # Hz; speech keeps its vowels and most of its fricatives below 4 kHz
BANDS = 64  # mel bands, one per row of the frame
WINDOW = 256  # samples: 32 ms
HOP = 64  # samples: 8 ms
FFT = 512  # zero-padded, so that the narrow low bands are not empty
RANGE_DB = 60.0  # quieter than the loudest point by more than this is black
SPECTROGRAM = (RATE, BANDS, WINDOW, HOP, FFT, RANGE_DB)


def _import_torchaudio():
    """torchaudio's wheel links CUDA libraries and fails to import beside a CPU-only torch. Nothing used here needs
    its compiled extension, so there it is imported without."""
    try:
        import torchaudio
    except OSError:
        for name in [name for name in sys.modules if name.split(".")[0] == "torchaudio"]:
            del sys.modules[name]
        extension = types.ModuleType("torchaudio._extension")
        extension._IS_TORCHAUDIO_EXT_AVAILABLE = extension._IS_ALIGN_AVAILABLE = False
        extension.fail_if_no_align = lambda function: function
        sys.modules[extension.__name__] = extension
        import torchaudio
    return torchaudio


torchaudio = _import_torchaudio()


def read_sound(path: str | Path) -> tuple[np.ndarray, int]:
    """A sound file of any rate, width and channel count -> float32 (N,) mono in [-1, 1], samples a second."""
    try:
        wave, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, OSError, TypeError) as error:  # TypeError: samples without a header
        raise UnreadableFile(
            f"{path}: expected a sound file (wav, flac, ogg, mp3), found something that cannot be read ({error})."
        ) from None
    if len(wave) == 0:
        raise UnreadableFile(f"{path}: the sound is empty (0 samples); record it again or leave it out.")
    if not np.isfinite(wave).all():
        raise UnreadableFile(
            f"{path}: expected samples from -1 to 1, found some that are no numbers; record it again or leave it out."
        )
    return wave.mean(axis=1), rate


def spectrogram(wave: np.ndarray, rate: int) -> np.ndarray:
    """float32 (N,) at `rate` -> uint8 (64, 64): time to the right, frequency upwards, 0 is silence."""
    if wave.ndim != 1 or len(wave) == 0:
        raise EvlibError(f"A sound must be a non-empty array of shape (N,); found shape {wave.shape}.")
    sound = torch.from_numpy(np.ascontiguousarray(wave, dtype=np.float32))
    if rate != RATE:
        sound = torchaudio.functional.resample(sound, rate, RATE)
    sound = torch.nn.functional.pad(sound, (0, max(0, FFT - len(sound))))  # the transform needs that much
    power = _mel()(sound)  # (64 bands, columns)
    decibel = 10 * power.clamp(min=1e-10).log10()
    decibel = (
        (decibel - decibel.max()).clamp(min=-RANGE_DB) if decibel.max() > -99 else torch.full_like(power, -RANGE_DB)
    )
    grey = ((decibel / RANGE_DB + 1) * 255).round().to(torch.uint8).flip(0).numpy()
    return np.asarray(Pillow.fromarray(grey).resize((BANDS, BANDS), Pillow.Resampling.BILINEAR))


@cache
def _mel():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the lowest bands are narrower than a bin of the spectrum
        return torchaudio.transforms.MelSpectrogram(RATE, n_fft=FFT, win_length=WINDOW, hop_length=HOP, n_mels=BANDS)
