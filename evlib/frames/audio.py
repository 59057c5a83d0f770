"""A sound becomes one spectrogram frame (section 3.1, Audio-to-Text).

The paper says "each audio sample is preprocessed into a spectrogram" and no more. Ours: mono, 8 kHz, 64 mel bands
over 32 ms windows, decibels, stretched in time to 64 columns, low frequencies at the bottom.
"""

import math
import sys
import types
import warnings
from functools import cache
from pathlib import Path

import numpy as np
import soundfile
import soxr
import torch
from PIL import Image as Pillow

from evlib.config import SIZE
from evlib.utils.errors import EvlibError, UnreadableFile

RATE = 8000  # Hz; the vowels and most fricatives of speech lie below 4 kHz
LOWEST_RATE, HIGHEST_RATE = 1_000, 400_000  # Hz; a file header with a rate outside this range is wrong
RESAMPLER = "HQ"  # soxr's quality setting for 16-bit audio
BANDS = SIZE  # mel bands, one per row of the frame
WINDOW = 256  # samples: 32 ms
HOP = 64  # samples: 8 ms
FFT = 512  # zero-padded, so that the narrow low bands are not empty
RANGE_DB = 60.0  # anything quieter than the loudest point by more than this is black
SPECTROGRAM = (RATE, RESAMPLER, BANDS, WINDOW, HOP, FFT, RANGE_DB)


def _import_torchaudio():
    """torchaudio's wheel links CUDA libraries and fails to import with a CPU-only torch. Nothing used here needs its
    compiled extension, so in that case torchaudio is imported without it."""
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
    """A sound file of any sample format and channel count -> float32 (N,) mono in [-1, 1], and its sample rate in Hz.
    Raises UnreadableFile if it cannot be read, is empty, holds a NaN, or claims a rate outside 1 to 400 kHz."""
    try:
        with soundfile.SoundFile(path) as file:
            rate = file.samplerate
            _check_rate(rate, str(path))  # before anything is read
            wave = file.read(dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, OSError, TypeError) as error:  # TypeError: raw samples without a header
        found = f"something that cannot be read ({error})"
        raise UnreadableFile(f"{path}: expected a sound file (wav, flac, ogg, mp3), found {found}.") from None
    if len(wave) == 0:
        raise UnreadableFile(f"{path}: the sound is empty (0 samples); record it again or leave it out.")
    if not np.isfinite(wave).all():
        todo = "record it again or leave it out"
        raise UnreadableFile(f"{path}: expected samples from -1 to 1, found NaN or infinity; {todo}.")
    return wave.mean(axis=1), rate


def spectrogram(wave: np.ndarray, rate: float) -> np.ndarray:
    """float32 (N,) at `rate` samples per second, 1,000 to 400,000 -> uint8 (64, 64): time to the right, frequency
    upwards, 0 is silence. Raises EvlibError for an empty sound, another shape or a rate out of range."""
    if wave.ndim != 1 or len(wave) == 0:
        raise EvlibError(f"A sound must be a non-empty array of shape (N,); found shape {wave.shape}.")
    _check_rate(rate, "rate")
    least = math.ceil(FFT * rate / RATE)  # samples that the transform needs
    wave = np.pad(wave.astype(np.float32, copy=False), (0, max(0, least - len(wave))))
    if rate != RATE:
        wave = soxr.resample(wave, rate, RATE, quality=RESAMPLER)
    power = _mel()(torch.from_numpy(wave))  # (64 bands, columns)
    decibels = 10 * power.clamp(min=1e-10).log10()
    loudest = decibels.max()
    if loudest <= -99:
        return np.zeros((SIZE, SIZE), np.uint8)
    decibels = (decibels - loudest).clamp(min=-RANGE_DB)
    gray = ((decibels / RANGE_DB + 1) * 255).round().to(torch.uint8).flip(0).numpy()
    return np.asarray(Pillow.fromarray(gray).resize((SIZE, SIZE), Pillow.Resampling.BILINEAR))


def _check_rate(rate: float, name: str) -> None:
    if not LOWEST_RATE <= rate <= HIGHEST_RATE:
        wanted = f"a sound of {LOWEST_RATE:,} to {HIGHEST_RATE:,} samples per second"
        todo = "correct the file's header or resample the sound"
        raise UnreadableFile(f"{name}: expected {wanted}, found {rate:,}; {todo}.")


@cache
def _mel():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the lowest bands are narrower than a bin of the spectrum
        return torchaudio.transforms.MelSpectrogram(RATE, n_fft=FFT, win_length=WINDOW, hop_length=HOP, n_mels=BANDS)
