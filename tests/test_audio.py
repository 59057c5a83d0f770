"""Sounds of every kind become one spectrogram frame."""

import numpy as np
import pytest
import soundfile

from evlib.frames.audio import read_sound, spectrogram
from evlib.utils.errors import EvlibError, UnreadableFile

RATE = 8000


def chirp(rate: int = RATE, seconds: float = 1.0) -> np.ndarray:
    """From 200 Hz to 3,200 Hz."""
    t = np.arange(int(rate * seconds)) / rate
    return (0.5 * np.sin(2 * np.pi * (200 * t + 1500 / seconds * t**2))).astype(np.float32)


def difference(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a.astype(float) - b).mean())


# ---- the frame -------------------------------------------------------------------------------------------------------


def test_spectrogram_of_a_chirp():
    frame = spectrogram(chirp(), RATE)
    assert (frame.dtype, frame.shape) == (np.uint8, (64, 64))
    assert frame.mean() == pytest.approx(18.73, abs=0.1) and frame.std() == pytest.approx(54.26, abs=0.2)
    loudest = frame.argmax(axis=0)[::9]  # time to the right, frequency upwards
    assert np.abs(loudest - [54, 42, 32, 25, 19, 14, 9, 6]).max() <= 1


def test_loudness_does_not_matter():
    assert difference(spectrogram(chirp(), RATE), spectrogram(chirp() * 0.05, RATE)) < 0.1


@pytest.mark.parametrize("rate", [11025, 16000, 22050, 44100, 48000, 96000])
def test_any_rate_gives_nearly_the_same_frame(rate):
    assert difference(spectrogram(chirp(rate), rate), spectrogram(chirp(), RATE)) < 2.0


@pytest.mark.parametrize("rate", [8001, 11127, 44101, 96001, 399_989])
def test_rates_that_share_no_factor_with_ours_give_nearly_the_same_frame(rate):
    assert difference(spectrogram(chirp(rate), rate), spectrogram(chirp(), RATE)) < 2.0
    tone, same = (0.3 * np.sin(2 * np.pi * 440 * np.arange(n) / n).astype(np.float32) for n in (rate, RATE))
    assert difference(spectrogram(tone, rate), spectrogram(same, RATE)) < 2.0


def test_the_lowest_rate_gives_what_it_can_hold():
    tone, same = (np.sin(2 * np.pi * 200 * np.arange(n) / n).astype(np.float32) for n in (1000, RATE))
    assert difference(spectrogram(tone, 1000), spectrogram(same, RATE)) < 5.0


@pytest.mark.parametrize("rate", [0, 999, 400_001, 1_700_000_000, float("nan")])
def test_rates_outside_are_refused(rate):
    sentence = "rate: expected a sound of 1,000 to 400,000 samples per second, found "
    with pytest.raises(EvlibError, match=f"^{sentence}{rate:,}"):
        spectrogram(chirp(), rate)


def test_a_file_that_claims_a_rate_outside_is_named_before_it_is_read(tmp_path, monkeypatch):
    path = tmp_path / "fast.wav"
    soundfile.write(path, chirp(), 1_700_000_000)
    monkeypatch.setattr(soundfile.SoundFile, "read", None)
    with pytest.raises(UnreadableFile, match="fast.wav: expected a sound of 1,000 to 400,000 .*found 1,700,000,000"):
        read_sound(path)


@pytest.mark.parametrize("wave", [np.zeros(8000), np.zeros(3), np.full(5000, 1e-9)])
def test_silence_is_black(wave):
    assert spectrogram(wave, RATE).max() == 0


@pytest.mark.parametrize("samples", [1, 3, 255, 257])
def test_very_short_sounds_are_rendered(samples):
    for rate in (RATE, 48000):
        frame = spectrogram(chirp()[100 : 100 + samples], rate)
        assert frame.shape == (64, 64) and frame.max() == 255


def test_thirty_seconds_are_one_frame():
    assert difference(spectrogram(chirp(RATE, 30.0), RATE), spectrogram(chirp(), RATE)) < 6.0


@pytest.mark.parametrize("wave", [np.zeros(0), np.zeros((100, 2))])
def test_what_is_not_one_sound_is_refused(wave):
    with pytest.raises(EvlibError, match="non-empty array of shape"):
        spectrogram(wave, RATE)


# ---- files -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "subtype, error",
    [("PCM_U8", 1 / 128), ("PCM_16", 1 / 32768), ("PCM_24", 1e-6), ("FLOAT", 1e-7), ("DOUBLE", 1e-7), ("ULAW", 0.03)],
)
def test_every_sample_format_is_read(tmp_path, subtype, error):
    path = tmp_path / "sound.wav"
    soundfile.write(path, chirp(), RATE, subtype=subtype)
    wave, rate = read_sound(path)
    assert (rate, wave.dtype, wave.shape) == (RATE, np.float32, (8000,))
    assert np.abs(wave - chirp()).max() <= error


def test_stereo_becomes_its_mean(tmp_path):
    path = tmp_path / "stereo.wav"
    soundfile.write(path, np.stack([chirp(), chirp() * 0.5], axis=1), 96000, subtype="FLOAT")
    wave, rate = read_sound(path)
    assert rate == 96000 and np.allclose(wave, chirp() * 0.75, atol=1e-6)


def test_flac_and_ogg_are_read(tmp_path):
    for ending in ("flac", "ogg"):
        soundfile.write(tmp_path / f"sound.{ending}", chirp(), RATE)
        wave, rate = read_sound(tmp_path / f"sound.{ending}")
        assert difference(spectrogram(wave, rate), spectrogram(chirp(), RATE)) < 15


def test_unreadable_sounds_are_named(tmp_path):
    (tmp_path / "text.wav").write_text("this is no sound")
    (tmp_path / "nothing.wav").write_bytes(b"")
    (tmp_path / "headless.raw").write_bytes(bytes(100))
    (tmp_path / "folder.wav").mkdir()
    for name in ("text.wav", "nothing.wav", "missing.wav", "headless.raw", "folder.wav"):
        with pytest.raises(UnreadableFile, match=f"{name}: expected a sound file"):
            read_sound(tmp_path / name)


def test_a_sound_without_samples_is_named(tmp_path):
    soundfile.write(tmp_path / "empty.wav", np.zeros(0), RATE)
    with pytest.raises(UnreadableFile, match=r"empty.wav: the sound is empty \(0 samples\)"):
        read_sound(tmp_path / "empty.wav")


def test_a_sound_that_is_not_a_number_is_named(tmp_path):
    wave = chirp()
    wave[17] = np.nan
    soundfile.write(tmp_path / "nan.wav", wave, RATE, subtype="FLOAT")
    with pytest.raises(UnreadableFile, match="nan.wav"):
        read_sound(tmp_path / "nan.wav")
