"""The measures against independent references and examples done by hand."""
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from evlib.metrics import PERFECT_DB, accuracy, classification, confusion, most_frequent, psnr, ssim
from evlib.render import word_frame


def reference_psnr(predicted: np.ndarray, target: np.ndarray) -> float:
    values = []
    for a, b in zip(predicted.astype(float), target.astype(float)):
        values.append(20 * np.log10(255 / np.sqrt(np.mean((a - b) ** 2))))
    return float(np.mean(values))


def reference_ssim(predicted: np.ndarray, target: np.ndarray) -> float:
    """Wang et al. 2004: a Gaussian window of 11 pixels and sigma 1.5, wholly inside the picture; each channel by itself."""
    def mean(x):
        return gaussian_filter(x, 1.5, truncate=3.5)[5:-5, 5:-5]               # int(3.5 * 1.5 + 0.5) = 5 to each side

    values = []
    for a, b in zip(predicted.astype(float), target.astype(float)):
        for x, y in zip(np.moveaxis(a, -1, 0), np.moveaxis(b, -1, 0)):
            mx, my = mean(x), mean(y)
            vx, vy, cov = mean(x * x) - mx ** 2, mean(y * y) - my ** 2, mean(x * y) - mx * my
            c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
            values.append(np.mean((2 * mx * my + c1) * (2 * cov + c2) / ((mx ** 2 + my ** 2 + c1) * (vx + vy + c2))))
    return float(np.mean(values))


def noisy(frames: np.ndarray, sigma: float) -> np.ndarray:
    return np.clip(frames + np.random.default_rng(1).normal(0, sigma, frames.shape), 0, 255).astype(np.uint8)


WORDS = np.stack([word_frame(word) for word in ("positive", "frog", "a")])
NOISE = np.random.default_rng(0).integers(0, 256, (70, 64, 64, 3), dtype=np.uint8)          # more than one batch of ssim
SMOOTH = np.stack([np.add.outer(np.arange(64) * 2, np.arange(64))[..., None].repeat(3, -1)] * 2).astype(np.uint8)


@pytest.mark.parametrize("target, predicted", [
    (WORDS, noisy(WORDS, 20)), (WORDS, np.roll(WORDS, 1, axis=0)), (NOISE, noisy(NOISE, 5)), (SMOOTH, noisy(SMOOTH, 30)), (SMOOTH, SMOOTH + np.uint8(9)),
], ids=["noisy words", "wrong words", "noise", "a noisy slope", "a brighter slope"])
def test_psnr_and_ssim_agree_with_references(predicted, target):
    assert psnr(predicted, target) == pytest.approx(reference_psnr(predicted, target), rel=1e-4)
    assert ssim(predicted, target) == pytest.approx(reference_ssim(predicted, target), rel=1e-4)


def test_equal_frames_are_perfect():
    assert psnr(WORDS, WORDS) == PERFECT_DB == 100 and ssim(WORDS, WORDS) == pytest.approx(1.0, abs=1e-6)


def test_psnr_is_a_mean_over_frames():
    target = np.full((2, 64, 64, 3), 100, np.uint8)
    predicted = target.copy()
    predicted[0] += 10                                       # 28.13 dB; the other is perfect
    assert psnr(predicted, target) == pytest.approx((20 * np.log10(25.5) + 100) / 2)
    assert psnr(target, predicted) == psnr(predicted, target)               # no wrap-around of 8-bit numbers


# ---- answers ---------------------------------------------------------------------------------------------------------

TRUE = ["cat"] * 4 + ["dog"] * 4 + ["frog"] * 2
GIVEN = ["cat", "cat", "cat", "dog", "dog", "dog", "cat", "fog", "frog", ""]
# cat: 3 right of 4 given and 4 true, F1 6/8; dog: 2 of 3 and 4, 4/7; frog: 1 of 1 and 2, 2/3.


def test_classification_by_hand():
    scores = classification(GIVEN, TRUE)
    assert scores["accuracy"] == accuracy(GIVEN, TRUE) == pytest.approx(0.6)
    assert scores["f1"] == pytest.approx(0.4 * 6 / 8 + 0.4 * 4 / 7 + 0.2 * 2 / 3)
    assert scores["f1_macro"] == pytest.approx((6 / 8 + 4 / 7 + 2 / 3) / 3)


def test_answers_that_were_never_given_score_zero():
    scores = classification(["cat"] * 4, ["cat", "cat", "dog", "dog"])
    assert scores == {"accuracy": 0.5, "f1": pytest.approx(1 / 3), "f1_macro": pytest.approx(1 / 3)}


def test_accuracy_needs_as_many_answers_as_questions():
    with pytest.raises(ValueError):
        accuracy(["cat"], ["cat", "dog"])


def test_confusion_collects_what_is_no_class():
    table = confusion(GIVEN, TRUE, ["cat", "dog", "frog"])
    assert table.index.tolist() == ["cat", "dog", "frog"] and table.columns.tolist() == ["cat", "dog", "frog", "(other)"]
    assert table.values.tolist() == [[3, 1, 0, 0], [1, 2, 0, 1], [0, 0, 1, 1]]


def test_most_frequent():
    assert most_frequent(["a", "b", "b", "c"]) == "b"
