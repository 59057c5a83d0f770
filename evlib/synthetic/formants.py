"""A small formant synthesizer: the ten English digit words, spoken by a voice.

The classic source-filter model of speech, computed frame by frame in the frequency domain:

    glottal pulses ──► x formant resonances, lips ──┐
                                                    + ──► microphone ──► overlap-add ──► room noise
    white noise ─────► x noise band ────────────────┘

A word is a list of phonemes, each with targets for its parameters, which glide from one target to the next. F is the
number of analysis frames of a recording, K = WINDOW // 2 + 1 the number of frequency bins.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

RATE = 8000  # Hz
HOP, WINDOW = 64, 256  # samples: 8 ms, 32 ms
BINS = np.fft.rfftfreq(WINDOW, 1 / RATE)  # (K,) Hz
_HANN = np.hanning(WINDOW + 1)[:-1]  # periodic: squared and shifted by HOP it sums to 1.5

# What varies from speaker to speaker and from recording to recording. These ranges set the difficulty.
ACCENT = 0.06  # standard deviation of the logarithm of a speaker's formant factors
WOBBLE = (0.93, 1.07)  # factor on a formant: nobody says the same vowel twice
LAZINESS = (0.0, 0.35)  # how far vowels slide towards the relaxed mouth's
STRETCH = (0.7, 1.4)  # factor on a phoneme's length
CONSONANTS = (-14.0, 3.0)  # dB, strength of a hiss or burst
ROOM = (-60.0, -28.0)  # dB, background noise below the peak of the speech
MICROPHONE = 6.0  # dB, coloring of the spectrum
LOUDNESS = (-18.0, -1.0)  # dB of full scale


@dataclass(frozen=True)
class Phoneme:
    """Targets of one speech sound."""

    seconds: float  # length at normal tempo
    formants: tuple[float, float, float]  # Hz, for a vocal tract of length 1
    voiced: float = 1.0  # strength of the glottal source
    noise: float = 0.0  # strength of the noise source
    band: tuple[float, float] = (2500.0, 1500.0)  # Hz, center and half width of the noise
    glide: float = 0.03  # s, how early the parameters begin to move towards the next phoneme


# Formants after Peterson and Barney's averages, noise bands as they look below 4 kHz. A slash marks the second half
# of a diphthong: "a", "/I" make the vowel of "five".
PHONEMES = {
    "z": Phoneme(0.09, (280, 1700, 2600), voiced=0.35, noise=0.5, band=(3600, 700)),
    "s": Phoneme(0.11, (300, 1700, 2600), voiced=0.0, noise=0.9, band=(3700, 800)),
    "f": Phoneme(0.10, (320, 1100, 2300), voiced=0.0, noise=0.35, band=(2600, 2200)),
    "th": Phoneme(0.09, (320, 1400, 2500), voiced=0.0, noise=0.3, band=(3000, 1600)),
    "v": Phoneme(0.07, (280, 1100, 2300), voiced=0.4, noise=0.15, band=(2600, 2200)),
    "closure": Phoneme(0.05, (300, 1700, 2600), voiced=0.0, glide=0.006),
    "t": Phoneme(0.035, (350, 1800, 2700), voiced=0.0, noise=1.0, band=(3200, 1200), glide=0.01),
    "k": Phoneme(0.035, (350, 1900, 2300), voiced=0.0, noise=0.9, band=(1900, 500), glide=0.01),
    "n": Phoneme(0.09, (260, 1300, 2500), voiced=0.45, glide=0.02),
    "w": Phoneme(0.07, (300, 650, 2200), voiced=0.6, glide=0.05),
    "r": Phoneme(0.07, (380, 1150, 1550), voiced=0.7, glide=0.04),
    "ih": Phoneme(0.10, (400, 1950, 2550)),
    "iy": Phoneme(0.20, (280, 2300, 3000)),
    "eh": Phoneme(0.11, (550, 1800, 2500)),
    "ah": Phoneme(0.15, (680, 1200, 2450)),
    "uh": Phoneme(0.06, (500, 1400, 2400), voiced=0.7),
    "ao": Phoneme(0.17, (560, 850, 2450)),
    "uw": Phoneme(0.20, (310, 900, 2250)),
    "oh": Phoneme(0.11, (480, 900, 2400), glide=0.06),
    "/U": Phoneme(0.08, (350, 750, 2300), voiced=0.8),
    "a": Phoneme(0.13, (740, 1200, 2450), glide=0.07),
    "e": Phoneme(0.11, (480, 1950, 2550), glide=0.06),
    "/I": Phoneme(0.09, (320, 2150, 2700), voiced=0.85),
}

WORDS = (
    ("z", "ih", "r", "oh", "/U"),
    ("w", "ah", "n"),
    ("t", "uw"),
    ("th", "r", "iy"),
    ("f", "ao", "r"),
    ("f", "a", "/I", "v"),
    ("s", "ih", "closure", "k", "s"),
    ("s", "eh", "v", "uh", "n"),
    ("e", "/I", "closure", "t"),
    ("n", "a", "/I", "n"),
)  # the index is the digit

_SYMBOLS = {symbol: i for i, symbol in enumerate(PHONEMES)}
NEUTRAL = np.array([500.0, 1500.0, 2500.0])  # Hz, the vowel of a relaxed mouth


@dataclass(frozen=True)
class Voice:
    """One speaker."""

    pitch: float  # Hz, mean
    tract: float  # vocal tract length relative to the phoneme table; formants are divided by it
    tempo: float  # 1 is normal, larger is faster
    breath: float  # noise mixed into the voiced source, 0 .. 1
    tilt: float  # dB per octave, negative
    accent: np.ndarray  # (phonemes, 3), factors on the formants of the table

    @classmethod
    def sample(cls, rng: np.random.Generator) -> Voice:
        """A random speaker. Short vocal tracts tend to go with high voices, as in life."""
        tract = rng.uniform(0.85, 1.2)
        pitch = float(np.clip(160 / tract**2 * rng.uniform(0.7, 1.3), 80, 260))
        accent = np.exp(ACCENT * rng.standard_normal((len(PHONEMES), 3)))
        return cls(pitch, tract, rng.uniform(0.85, 1.2), rng.uniform(0.0, 0.1), rng.uniform(-10.0, -4.0), accent)


def speak(digit: int, voice: Voice, rng: np.random.Generator) -> np.ndarray:
    """One recording of a digit: float64 samples in [-1, 1] at RATE, 0.3 to 0.9 s long."""
    symbols = WORDS[digit]
    tempo = voice.tempo * rng.uniform(0.85, 1.15)
    spans = np.array([PHONEMES[s].seconds for s in symbols]) * rng.uniform(*STRETCH, len(symbols)) / tempo
    before, after = rng.uniform(0.02, 0.14, 2)  # s of silence
    samples = int(RATE * np.clip(before + spans.sum() + after, 0.3, 0.9))

    bounds = before + np.concatenate([[0.0], np.cumsum(spans)])
    tracks = _tracks(symbols, bounds, samples, voice, rng)
    pulses = _pulses(voice, samples, rng) + voice.breath * rng.standard_normal(samples)
    hiss = rng.standard_normal(samples)
    spectrum = _frames(pulses) * _resonances(tracks, voice) + _frames(hiss) * _noise_band(tracks, voice)
    ripple = np.sin(2 * np.pi * (rng.uniform(0.5, 2.0) * BINS / BINS[-1] + rng.random()))
    microphone = 10 ** (rng.uniform(0, MICROPHONE) * ripple / 20)  # a cheap one: its gain varies gently over frequency
    speech = _overlap_add(spectrum * microphone, samples)
    speech /= np.abs(speech).max()

    speech += 10 ** (rng.uniform(*ROOM) / 20) * rng.standard_normal(samples)
    return np.clip(10 ** (rng.uniform(*LOUDNESS) / 20) * speech, -1.0, 1.0)


def _tracks(symbols: tuple, bounds: np.ndarray, samples: int, voice: Voice, rng: np.random.Generator) -> np.ndarray:
    """Parameters over time, (7, F): three formants, voicing, noise, noise center, noise half width. `bounds` are the
    phonemes' limits in seconds; silence keeps its neighbor's formants, so that the word fades without a sweep."""
    lazy = rng.uniform(*LAZINESS)
    strength = 10 ** (rng.uniform(*CONSONANTS, len(symbols)) / 20)
    times, targets = [], []
    for symbol, start, end, loud in zip(symbols, bounds[:-1], bounds[1:], strength, strict=True):
        phoneme = PHONEMES[symbol]
        formants = np.array(phoneme.formants) * voice.accent[_SYMBOLS[symbol]] * rng.uniform(*WOBBLE, 3)
        formants += lazy * (NEUTRAL - formants)
        edge = min(phoneme.glide, 0.4 * (end - start))
        times += [start + edge, end - edge]
        targets += 2 * [[*formants, phoneme.voiced, loud * phoneme.noise, *phoneme.band]]

    fade = 0.02  # s
    silent = np.array([1, 1, 1, 0, 0, 1, 1])
    times = [bounds[0] - fade, *times, bounds[-1] + fade]
    targets = np.array([targets[0] * silent, *targets, targets[-1] * silent])
    frame_times = np.arange(samples // HOP + 1) * HOP / RATE
    return np.stack([np.interp(frame_times, times, column) for column in targets.T])


def _pulses(voice: Voice, samples: int, rng: np.random.Generator) -> np.ndarray:
    """Glottal pulses, (samples,): one unit impulse per period of a gently falling, wavering pitch."""
    t = np.linspace(0, 1, samples)
    start, end = rng.uniform(0.98, 1.2), rng.uniform(0.75, 1.02)
    bump = rng.uniform(-0.06, 0.06) * np.sin(np.pi * t)
    pitch = np.clip(voice.pitch * (start + (end - start) * t + bump), 70, 300)
    phase = np.cumsum(pitch) / RATE + rng.random()
    at = np.flatnonzero(np.diff(np.floor(phase)) > 0)
    # An impulse falls between two samples: split it between them, or high voices sound rough.
    late = 1 - (phase[at + 1] % 1) * RATE / pitch[at + 1]
    pulses = np.zeros(samples)
    pulses[at] += 1 - late
    pulses[at + 1] += late
    return pulses * np.sqrt(RATE / voice.pitch)  # equal power whatever the pitch


def _resonances(tracks: np.ndarray, voice: Voice) -> np.ndarray:
    """Gain of the vocal tract on the glottal source, (F, K)."""
    square = 1.0
    for formant, width in zip(tracks[:3], (70.0, 100.0, 150.0), strict=True):
        center = (formant / voice.tract)[:, None]
        # |H|^-2 of a two-pole resonator, 1 at 0 Hz
        square = square * ((1 - (BINS / center) ** 2) ** 2 + (width * BINS / center**2) ** 2)
    slope = (np.maximum(BINS, 100.0) / 500.0) ** (voice.tilt / 6.02)
    radiation = BINS / 500.0  # the lips pass high frequencies better, 6 dB per octave
    return tracks[3][:, None] * slope * radiation / np.sqrt(square)


def _noise_band(tracks: np.ndarray, voice: Voice) -> np.ndarray:
    """Gain on the noise source, (F, K): a bell around the band's center."""
    center, width = tracks[5][:, None] / voice.tract**0.5, tracks[6][:, None]
    return tracks[4][:, None] * np.exp(-0.5 * ((BINS - center) / width) ** 2)


def _frames(signal: np.ndarray) -> np.ndarray:
    """Short-time spectrum, (F, K): frame i is centered on sample i * HOP."""
    padded = np.pad(signal, WINDOW // 2)
    windows = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP]
    return np.fft.rfft(windows * _HANN)


def _overlap_add(spectrum: np.ndarray, samples: int) -> np.ndarray:
    """Back to (samples,), the inverse of `_frames` for an unchanged spectrum."""
    pieces = np.fft.irfft(spectrum, WINDOW) * _HANN
    out = np.zeros(HOP * len(pieces) + WINDOW)
    # Windows overlap WINDOW // HOP times; adding the pieces in that many interleaved rows needs no loop over F.
    lap = WINDOW // HOP
    for k in range(lap):
        rows = pieces[k::lap]
        out[k * HOP : k * HOP + rows.size] += rows.ravel()
    return out[WINDOW // 2 : WINDOW // 2 + samples] / 1.5
