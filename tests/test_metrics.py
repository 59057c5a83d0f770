"""The measures against independent references and examples done by hand."""

import tracemalloc

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon
from skimage import data
from skimage.color import rgb2lab
from skimage.metrics import peak_signal_noise_ratio, structural_similarity
from sklearn.metrics import f1_score

from evlib.frames.render import word_frame
from evlib.scoring.metrics import (
    PERFECT_DB,
    accuracy,
    cdc,
    classification,
    colorfulness,
    colorfulness_hs,
    iou,
    most_frequent,
    multilabel,
    psnr,
    ssim,
    success_curve,
)
from evlib.utils.errors import EvlibError


def reference_psnr(predicted: np.ndarray, target: np.ndarray) -> float:
    return float(np.mean([peak_signal_noise_ratio(b, a, data_range=255) for a, b in zip(predicted, target)]))


def reference_ssim(predicted: np.ndarray, target: np.ndarray) -> float:
    """Its mean leaves out the border of 5 pixels where the window would not lie wholly inside the picture, as ours
    does."""
    return float(
        np.mean(
            [
                structural_similarity(
                    a, b, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255, channel_axis=-1
                )
                for a, b in zip(predicted, target)
            ]
        )
    )


def noisy(frames: np.ndarray, sigma: float) -> np.ndarray:
    return np.clip(frames + np.random.default_rng(1).normal(0, sigma, frames.shape), 0, 255).astype(np.uint8)


WORDS = np.stack([word_frame(word) for word in ("positive", "frog", "a")])
NOISE = np.random.default_rng(0).integers(0, 256, (70, 64, 64, 3), dtype=np.uint8)  # more than one batch of ssim
SMOOTH = np.stack([np.add.outer(np.arange(64) * 2, np.arange(64))[..., None].repeat(3, -1)] * 2).astype(np.uint8)


@pytest.mark.parametrize(
    "target, predicted",
    [
        (WORDS, noisy(WORDS, 20)),
        (WORDS, np.roll(WORDS, 1, axis=0)),
        (NOISE, noisy(NOISE, 5)),
        (SMOOTH, noisy(SMOOTH, 30)),
        (SMOOTH, SMOOTH + np.uint8(9)),
    ],
    ids=["noisy words", "wrong words", "noise", "a noisy slope", "a brighter slope"],
)
def test_psnr_and_ssim_agree_with_references(predicted, target):
    assert psnr(predicted, target) == pytest.approx(reference_psnr(predicted, target), rel=1e-4)
    assert ssim(predicted, target) == pytest.approx(reference_ssim(predicted, target), rel=1e-4)


def test_equal_frames_are_perfect():
    assert psnr(WORDS, WORDS) == PERFECT_DB == 100 and ssim(WORDS, WORDS) == pytest.approx(1.0, abs=1e-6)


def test_memory_does_not_grow_with_the_test_set(largest_tensor):
    """A chunk of frames is converted at a time."""
    target = np.concatenate([NOISE] * 10)  # as floats of psnr 69 MB, of ssim 34 MB
    predicted, chunk = target // 2, 64 * target[0].nbytes
    tracemalloc.start()
    decibel = psnr(predicted, target)
    assert tracemalloc.get_traced_memory()[1] < 30 * chunk < 8 * target.nbytes
    tracemalloc.stop()
    assert decibel == pytest.approx(psnr(NOISE // 2, NOISE), rel=1e-12)
    with largest_tensor() as largest:
        assert ssim(predicted, target) == pytest.approx(ssim(NOISE // 2, NOISE), abs=1e-6)
    assert largest() == 4 * chunk


@pytest.mark.parametrize("measure", [psnr, ssim])
@pytest.mark.parametrize("frames", [1, 2, 0])
def test_clips_of_different_lengths_are_not_compared(measure, frames):
    """NumPy would broadcast one frame against three."""
    with pytest.raises(EvlibError, match="expected clips of one shape"):
        measure(np.zeros((frames, 64, 64, 3), np.uint8), np.zeros((3 if frames else 0, 64, 64, 3), np.uint8))


def test_psnr_is_a_mean_over_frames():
    target = np.full((2, 64, 64, 3), 100, np.uint8)
    predicted = target.copy()
    predicted[0] += 10  # 28.13 dB; the other is perfect
    assert psnr(predicted, target) == pytest.approx((20 * np.log10(25.5) + 100) / 2)
    assert psnr(target, predicted) == psnr(predicted, target)  # no wrap-around of 8-bit numbers


# ---- color ----------------------------------------------------------------------------------------------------------

PHOTO = np.stack(
    [data.astronaut()[i : i + 128, i : i + 128] for i in range(0, 350, 70)]
)  # 5 frames, panned over a photograph
DARK = PHOTO // 8
GRAY = NOISE[..., :1].repeat(3, axis=-1)


def reference_cdc(frames: np.ndarray, gaps=(1, 2, 4)) -> float:
    def distance(x, y):
        return (
            jensenshannon(*(np.histogram(z, bins=256, range=(0, 256))[0] for z in (x, y))) ** 2
        )  # SciPy returns the root

    return float(
        np.mean(
            [
                np.mean(
                    [
                        distance(frames[i, ..., c], frames[i + t, ..., c])
                        for c in range(3)
                        for i in range(len(frames) - t)
                    ]
                )
                for t in gaps
            ]
        )
    )


@pytest.mark.parametrize(
    "frames", [NOISE[:10], PHOTO, DARK, np.concatenate([WORDS, WORDS[::-1]])], ids=["noise", "photo", "dark", "words"]
)
def test_cdc_agrees_with_scipy(frames):
    assert cdc(frames) == pytest.approx(reference_cdc(frames), rel=1e-4)
    assert cdc(frames, gaps=[3]) == pytest.approx(reference_cdc(frames, [3]), rel=1e-4)


def test_cdc_runs_from_0_to_ln_2():
    assert cdc(NOISE[:1].repeat(5, axis=0)) == 0
    blink = np.zeros((6, 8, 8, 3), np.uint8)
    blink[::2] = 255
    assert (
        cdc(blink, gaps=(1,)) == pytest.approx(np.log(2))
        and cdc(blink, gaps=(2,)) == 0
        and cdc(blink) == pytest.approx(np.log(2) / 3)
    )


@pytest.mark.parametrize("frames, gaps", [(NOISE[:4], (1, 2, 4)), (NOISE[:4], (0,)), (NOISE[:4], ())])
def test_cdc_needs_frames_that_far_apart(frames, gaps):
    with pytest.raises(EvlibError, match="found gaps .* and 4 frames"):
        cdc(frames, gaps)


@pytest.mark.parametrize("frames", [NOISE, PHOTO, DARK, GRAY, WORDS], ids=["noise", "photo", "dark", "gray", "words"])
def test_colorfulness_agrees_with_skimage(frames):
    values = []
    for frame in frames:
        _, a, b = np.moveaxis(np.rint(rgb2lab(frame) + [0, 128, 128]), -1, 0)
        values.append(np.sqrt(a.var() + b.var()) + 0.37 * np.sqrt(a.mean() ** 2 + b.mean() ** 2))
    assert colorfulness(frames) == pytest.approx(np.mean(values), rel=1e-4)


@pytest.mark.parametrize("frames", [NOISE, PHOTO, DARK], ids=["noise", "photo", "dark"])
def test_colorfulness_hs_agrees_with_the_formula(frames):
    values = []
    for r, g, b in np.moveaxis(frames.astype(float), -1, 1):
        rg, yb = r - g, (r + g) / 2 - b
        values.append(np.sqrt(rg.std() ** 2 + yb.std() ** 2) + 0.3 * np.sqrt(rg.mean() ** 2 + yb.mean() ** 2))
    assert colorfulness_hs(frames) == pytest.approx(np.mean(values), rel=1e-4)


def test_grey_is_where_the_scales_start():
    every = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1).repeat(3, axis=-1)
    for gray in (GRAY, every, WORDS):
        assert colorfulness(gray) == pytest.approx(66.98, abs=0.01) and colorfulness_hs(gray) == 0


@pytest.mark.parametrize("measure", [cdc, colorfulness, colorfulness_hs])
@pytest.mark.parametrize(
    "frames, found",
    [
        (PHOTO / 255, r"float64 \(5, 128, 128, 3\)"),
        (PHOTO[0], r"uint8 \(128, 128, 3\)"),
        (PHOTO[:0], r"uint8 \(0, 128, 128, 3\)"),
        (PHOTO[..., :1], r"uint8 \(5, 128, 128, 1\)"),
        ([], "list"),
    ],
)
def test_what_is_no_clip_is_refused(measure, frames, found):
    with pytest.raises(EvlibError, match=f"uint8 array .* found {found}"):
        measure(frames)


# ---- boxes -----------------------------------------------------------------------------------------------------------


def test_iou_counts_pixels():
    rng = np.random.default_rng(2)
    a, b = (np.concatenate([rng.integers(0, 20, (300, 2)), rng.integers(1, 20, (300, 2))], axis=1) for _ in range(2))
    counted = []
    for boxes in zip(a, b):
        masks = np.zeros((2, 40, 40), bool)
        for mask, (x, y, w, h) in zip(masks, boxes):
            mask[y : y + h, x : x + w] = True
        counted.append(masks.all(axis=0).sum() / masks.any(axis=0).sum())
    assert 0 in counted and max(counted) > 0.5
    np.testing.assert_allclose(iou(a, b), counted, rtol=1e-4)
    np.testing.assert_allclose(
        iou((a - [9, 9, 0, 0]) / 7, (b - [9, 9, 0, 0]) / 7), counted, rtol=1e-4, atol=1e-12
    )  # fractions, below 0


def test_equal_boxes_score_exactly_one():
    boxes = np.random.default_rng(3).uniform(0.1, 50, (1000, 4))
    assert (iou(boxes, boxes) == 1).all() and iou(boxes, boxes * (1 + 1e-15)).max() <= 1


def test_no_box():
    box, gone = [10, 10, 5, 5], [[np.nan] * 4, [10, 10, 0, 5], [10, 10, 5, -5], [0, 0, 0, 0], [10, 10, np.inf, 5]]
    assert iou([box] * 5, gone).tolist() == iou(gone, [box] * 5).tolist() == [0] * 5
    assert iou(gone, gone[::-1]).tolist() == [1] * 5
    assert iou(np.empty((0, 4)), np.empty((0, 4))).shape == (0,)


@pytest.mark.parametrize(
    "a, b", [(np.ones((2, 4)), np.ones((3, 4))), (np.ones(4), np.ones(4)), (np.ones((2, 5)), np.ones((2, 5)))]
)
def test_iou_needs_rows_of_four(a, b):
    with pytest.raises(EvlibError, match=r"\(N, 4\) of boxes x, y, w, h"):
        iou(a, b)


def test_success_curve_by_hand():
    assert success_curve([0, 0.5, 0.5, 1], [0, 0.25, 0.5, 0.75, 1]).tolist() == [0.75, 0.75, 0.25, 0.25, 0]
    assert success_curve([0.3]).shape == (21,) and success_curve([0.3, 0.52]).mean() == pytest.approx((6 + 11) / 42)
    assert success_curve([1, 1]).mean() == pytest.approx(20 / 21) and success_curve([0, 0]).mean() == 0


@pytest.mark.parametrize("ious", [[], [63.0], [np.nan], [[0.5]]])
def test_success_needs_shares(ious):
    with pytest.raises(EvlibError, match="from 0 to 1"):
        success_curve(ious)


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


def test_multilabel_by_hand():
    true = [{"walk"}, {"walk", "run"}, {"run"}, {"walk"}]
    given = [{"walk"}, {"walk"}, {"run", "walk"}, {"wolk", "rum", "run"}]
    # walk: 2 right of 3 given and 3 true, F1 4/6; run: 1 of 2 and 2, 1/2; dig: neither given nor true, left out;
    # "wolk" and "rum" are no class.
    scores = multilabel(given, true, ["dig", "walk", "run"])
    assert scores["f1"] == pytest.approx((3 * 4 / 6 + 2 / 4 * 2) / 5)
    assert scores["f1_macro"] == pytest.approx((4 / 6 + 1 / 2) / 2)
    assert scores["f1_by_class"] == {"walk": 0.6667, "run": 0.5}
    assert scores["f1_micro"] == pytest.approx(2 * 3 / (6 + 5))  # the strays count once: 3 + 2 + 1 given
    assert scores["accuracy"] == 0.25


def test_a_class_that_the_test_set_lacks_counts_where_it_is_given():
    true, given = [{"walk"}, {"walk", "run"}, {"run"}], [{"walk"}, {"walk", "run"}, {"run", "dig"}]
    scores = multilabel(given, true, ["walk", "run", "dig"])
    assert (scores["f1"], scores["f1_macro"], scores["f1_micro"], scores["accuracy"]) == (
        1,
        1,
        pytest.approx(2 * 4 / (4 + 5)),
        pytest.approx(2 / 3),
    )
    assert multilabel(given, true, ["walk", "run", "dig", "fly"]) == scores  # however many are known
    assert f1_score([[1, 0, 0]], [[1, 0, 1]], average="macro", zero_division=0) == pytest.approx(
        1 / 3
    )  # scikit-learn's own counts all


def test_multilabel_of_one_label_each_is_classification():
    many, one = (
        multilabel([{g} for g in GIVEN], [{t} for t in TRUE], ["cat", "dog", "frog"]),
        classification(GIVEN, TRUE),
    )
    assert {key: many[key] for key in one} == pytest.approx(one)


def test_multilabel_at_its_ends():
    perfect = multilabel([{"a"}, set()], [{"a"}, set()], ["a"])
    assert perfect == {"accuracy": 1, "f1": 1, "f1_micro": 1, "f1_macro": 1, "f1_by_class": {"a": 1}}
    assert multilabel([set(), {"b"}], [{"a"}, {"a"}], ["a", "b"]) == {
        "accuracy": 0,
        "f1": 0,
        "f1_micro": 0,
        "f1_macro": 0,
        "f1_by_class": {"a": 0},
    }
    assert multilabel([set()], [set()], ["a"]) == {
        "accuracy": 1,
        "f1": 0,
        "f1_micro": 0,
        "f1_macro": 0,
        "f1_by_class": {},
    }
    with pytest.raises(EvlibError, match="found 1 and 2"):
        multilabel([{"a"}], [{"a"}, {"a"}], ["a"])
    with pytest.raises(EvlibError, match="found 'c'"):
        multilabel([{"a"}], [{"c"}], ["a", "b"])


def test_accuracy_needs_as_many_answers_as_questions():
    with pytest.raises(ValueError):
        accuracy(["cat"], ["cat", "dog"])


def test_most_frequent():
    assert most_frequent(["a", "b", "b", "c"]) == "b"
