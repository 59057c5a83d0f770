"""The metrics of section 4, as plain functions.

    psnr(predicted, target), ssim(predicted, target)              how close the generated frames are
    classification(given, true), multilabel(given, true, names)   how accurate the answers are
    success_curve(iou(read, true))                                how well a box follows its object
    cdc(frames), colorfulness(frames)                             how consistent and how vivid the colors of a clip are

Clips are uint8 arrays (T, 64, 64, 3), 0..255; the color metrics take any height and width. Boxes are rows of
x, y, w, h; answers are lists of strings, or of sets of strings. Shares are 0..1; Table 2 shows percent."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pytorch_msssim
import torch
from sklearn.metrics import accuracy_score, f1_score
from sklearn.preprocessing import MultiLabelBinarizer

from evlib.utils.errors import EvlibError

PERFECT_DB = 100.0  # the value for equal frames, whose PSNR is infinite
OTHER = "(other)"  # counts the answers that are not one of the classes
THRESHOLDS = np.linspace(0, 1, 21)  # of the success curve in OTB and LaSOT
CHUNK = 64  # frames converted at a time, so that long clips and whole test sets fit into the cache and into memory

_LEVELS = np.arange(256) / 255  # sRGB's 256 values, and the linear light of each (IEC 61966-2-1)
_LIGHT = np.where(_LEVELS > 0.04045, ((_LEVELS + 0.055) / 1.055) ** 2.4, _LEVELS / 12.92).astype(np.float32)
_XYZ = np.array([[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]])
_XYZ_OF_WHITE = (_XYZ / _XYZ.sum(axis=1, keepdims=True)).astype(np.float32)  # linear RGB -> X/Xn, Y/Yn, Z/Zn under D65


def psnr(predicted: np.ndarray, target: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB, averaged over frames.
    Raises EvlibError unless both have the same shape (T, H, W, 3)."""
    _check_pair(predicted, target)
    mse = np.concatenate(
        [((x.astype(np.float64) - y).reshape(len(y), -1) ** 2).mean(axis=1) for x, y in _chunks(predicted, target)]
    )
    return float((10 * np.log10(255**2 / np.maximum(mse, 255**2 / 10 ** (PERFECT_DB / 10)))).mean())


def ssim(predicted: np.ndarray, target: np.ndarray) -> float:
    """Structural similarity with its usual Gaussian window of 11 pixels, averaged over frames; 1 for equal frames."""
    _check_pair(predicted, target)
    pairs = (
        [torch.from_numpy(np.ascontiguousarray(a)).movedim(-1, 1).float() for a in pair]
        for pair in _chunks(predicted, target)
    )
    return float(torch.cat([pytorch_msssim.ssim(x, y, data_range=255, size_average=False) for x, y in pairs]).mean())


def _check_pair(predicted: np.ndarray, target: np.ndarray) -> None:
    if predicted.shape != target.shape or not len(target):
        raise EvlibError(
            f"predicted, target: expected clips of one shape (T, H, W, 3), found {predicted.shape} and {target.shape}."
        )


def _chunks(*clips: np.ndarray) -> Iterator[list[np.ndarray]]:
    """The clips in chunks of CHUNK frames."""
    for start in range(0, max(map(len, clips)), CHUNK):
        yield [clip[start : start + CHUNK] for clip in clips]


# ---- color ----------------------------------------------------------------------------------------------------------


def cdc(frames: np.ndarray, gaps: Sequence[int] = (1, 2, 4)) -> float:
    """Color Distribution Consistency of a clip, uint8 (T, H, W, 3): 0 for constant colors, at most ln 2 = 0.693.

    CDC_t is the mean Jensen-Shannon divergence between the histograms (256 bins per channel, natural logarithm) of
    frames that are t apart; CDC is the mean of CDC_t over `gaps`. It is the divergence itself, as in the paper's
    formula, not its square root, which SciPy's `jensenshannon` returns. EvlibError if the clip has no two frames that
    far apart."""
    _check_clip(frames)
    if not len(gaps) or min(gaps) < 1 or max(gaps) >= len(frames):
        raise EvlibError(
            f"cdc: expected gaps of at least 1 and a clip longer than each of them, found gaps {tuple(gaps)} and "
            f"{len(frames)} frames; give a longer clip or shorter gaps."
        )
    height, width = frames.shape[1:3]
    bins = frames + 256 * np.arange(3 * len(frames)).reshape(-1, 1, 1, 3)  # a histogram for each frame and channel
    share = np.bincount(bins.ravel(), minlength=256 * 3 * len(frames)).reshape(-1, 3, 256) / (height * width)
    entropy = _entropy(share)
    return float(
        np.mean([(_entropy((share[:-t] + share[t:]) / 2) - (entropy[:-t] + entropy[t:]) / 2).mean() for t in gaps])
    )


def _entropy(share: np.ndarray) -> np.ndarray:
    """Entropy of the distributions along the last axis, in nats."""
    return -(share * np.log(np.where(share > 0, share, 1))).sum(axis=-1)


def colorfulness(frames: np.ndarray) -> float:
    """Colorfulness of a clip, uint8 (T, H, W, 3), as the paper seems to compute its column: sigma_ab + 0.37 mu_ab,
    averaged over frames.

    a and b are the 8-bit CIELAB channels, rounded and stored with an offset of 128 (as in OpenCV), and the offset is
    left in: a gray clip scores 0.37 * sqrt(2) * 128 = 66.98 rather than 0. This is no better a metric than
    `colorfulness_hs`, but it is the one that explains Table 2: the paper's 70.6 for its data is a little above gray
    here, as one expects of surveillance video, while on a scale from 0 it would be highly colorful. The conversion is
    exact; OpenCV's own uses fixed-point arithmetic, which shifts dark clips by 0.1 or so."""
    return _mean_over_frames(frames, _lab_ab, weight=0.37)


def colorfulness_hs(frames: np.ndarray) -> float:
    """Hasler and Süsstrunk's (2003) colorfulness of a clip, uint8 (T, H, W, 3): sigma + 0.3 mu of the opponent channels
    red - green and yellow - blue in sRGB, averaged over frames. 0 for gray, about 33 for "moderately" and 82 for
    "highly colorful"."""
    return _mean_over_frames(frames, _opponents, weight=0.3)


def _mean_over_frames(frames: np.ndarray, axes: Callable, weight: float) -> float:
    """The norm of the standard deviations along two color axes, plus `weight` times the norm of the means."""
    _check_clip(frames)
    scores = []
    for [part] in _chunks(frames):
        pairs = [axis.reshape(len(axis), -1) for axis in axes(part)]
        sigma, mu = (
            np.hypot(*[measure(pair, axis=1, dtype=np.float64) for pair in pairs]) for measure in (np.std, np.mean)
        )
        scores.append(sigma + weight * mu)
    return float(np.concatenate(scores).mean())


def _opponents(frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    r, g, b = np.moveaxis(frames.astype(np.float32), -1, 0)
    return r - g, (r + g) / 2 - b


def _lab_ab(frames: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    xyz = _LIGHT[frames] @ _XYZ_OF_WHITE.T
    x, y, z = np.moveaxis(np.where(xyz > 216 / 24389, np.cbrt(xyz), xyz * (841 / 108) + 4 / 29), -1, 0)
    return np.rint(500 * (x - y) + 128), np.rint(200 * (y - z) + 128)  # sRGB stays within 0..255


def _check_clip(frames: np.ndarray) -> None:
    if (
        not isinstance(frames, np.ndarray)
        or frames.dtype != np.uint8
        or frames.ndim != 4
        or frames.shape[-1] != 3
        or not frames.size
    ):
        found = f"{frames.dtype} {frames.shape}" if isinstance(frames, np.ndarray) else type(frames).__name__
        raise EvlibError(f"frames: expected a clip, a uint8 array (T, H, W, 3) with at least one frame, found {found}.")


# ---- boxes -----------------------------------------------------------------------------------------------------------


def iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Intersection over union, row by row: two arrays (N, 4) of boxes x, y, w, h in any unit -> float64 (N,), 0..1.

    A row that is not finite or has w <= 0 or h <= 0 is "no box". It scores 0 against any box, and 1 against another
    "no box", because it is correct to report that the object is gone."""
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if a.ndim != 2 or a.shape[1] != 4 or a.shape != b.shape:
        raise EvlibError(
            f"iou: expected two arrays (N, 4) of boxes x, y, w, h with as many rows, found {a.shape} and {b.shape}."
        )
    is_a, is_b = (np.isfinite(box).all(axis=1) & (box[:, 2:] > 0).all(axis=1) for box in (a, b))
    a, b = np.where(is_a[:, None], a, 0), np.where(is_b[:, None], b, 0)
    (low_a, high_a), (low_b, high_b) = ((box[:, :2], box[:, :2] + box[:, 2:]) for box in (a, b))
    common = (np.minimum(high_a, high_b) - np.maximum(low_a, low_b)).clip(min=0).prod(axis=1)
    # Areas are computed from the corners, too: with equal rounding, equal boxes score exactly 1 and none score more.
    union = (high_a - low_a).prod(axis=1) + (high_b - low_b).prod(axis=1) - common
    return np.divide(common, union, out=(~is_a & ~is_b).astype(np.float64), where=union > 0)


def success_curve(ious: np.ndarray, thresholds: np.ndarray = THRESHOLDS) -> np.ndarray:
    """The share of frames whose IoU is above each threshold -> float64, one per threshold. Strictly above, as in the
    toolkits of OTB and LaSOT: a frame without overlap fails even at 0, and none succeeds at 1."""
    ious = np.asarray(ious, dtype=np.float64)
    if ious.ndim != 1 or not ious.size or not ((ious >= 0) & (ious <= 1)).all():
        raise EvlibError(
            f"ious: expected a row of at least one number from 0 to 1, found shape {ious.shape} "
            f"with values {ious.ravel()[:3].tolist()}; `iou` makes such a row."
        )
    return (ious[:, None] > np.asarray(thresholds)).mean(axis=0)


# ---- answers ---------------------------------------------------------------------------------------------------------


def accuracy(predicted: Sequence[str], true: Sequence[str]) -> float:
    return float(np.mean([p == t for p, t in zip(predicted, true, strict=True)]))


def classification(predicted: Sequence[str], true: Sequence[str], positive: str | None = None) -> dict[str, float]:
    """Accuracy, and F1 averaged over classes, weighted by support (`f1`) and unweighted (`f1_macro`); with `positive`,
    the name of one of two classes, also the F1 of that class alone (`f1_positive`). An answer that is not one of the
    classes counts as wrong."""
    classes = sorted(set(true))

    def f1(average: str | None, labels: list[str]) -> float:
        return float(f1_score(true, predicted, labels=labels, average=average, zero_division=0))

    result = {"accuracy": accuracy(predicted, true), "f1": f1("weighted", classes), "f1_macro": f1("macro", classes)}
    return result if positive is None else {**result, "f1_positive": f1("macro", [positive])}


def multilabel(predicted: Sequence[set[str]], true: Sequence[set[str]], classes: Sequence[str]) -> dict:
    """Accuracy, the share of sets that are exactly right, and the F1 of each class, averaged with weights by support
    (`f1`, the paper's) and unweighted (`f1_macro`), or over the decisions of all classes together (`f1_micro`);
    `f1_by_class` has each.

    The macro average and `f1_by_class` cover the classes that occur in the true answers, as in `classification`: the F1
    of any other class is 0 whatever is predicted, and would only show how many of `classes` a test set lacks
    (scikit-learn's own average counts those, too). Predicting one makes its set wrong and is a false positive in
    `f1_micro`, no more; so do labels that are not classes, which together count as one."""
    if not len(predicted) == len(true) > 0:
        raise EvlibError(
            f"multilabel: expected equally many predicted and true sets, found {len(predicted)} and {len(true)}."
        )
    if strange := sorted(set().union(*true) - set(classes)):
        raise EvlibError(
            f"multilabel: expected true labels among the {len(classes)} classes, found {strange[0]!r}; add it."
        )
    known = set(classes)
    indicator = MultiLabelBinarizer(classes=[*classes, OTHER])
    y_true = indicator.fit_transform(true)
    y_given = indicator.transform([{label if label in known else OTHER for label in labels} for labels in predicted])
    there = np.flatnonzero(y_true.any(axis=0))
    each = f1_score(y_true, y_given, average=None, zero_division=0)[there]
    return {
        "accuracy": float(accuracy_score(y_true, y_given)),
        "f1": float(f1_score(y_true, y_given, average="weighted", zero_division=0)),
        "f1_micro": float(f1_score(y_true, y_given, average="micro", zero_division=0)),
        "f1_macro": float(each.mean()) if len(each) else 0.0,
        "f1_by_class": {classes[i]: f1 for i, f1 in zip(there, each.round(4).tolist())},
    }


def most_frequent(train: Sequence[str]) -> str:
    """The most frequent answer, which the trivial baseline always gives."""
    return Counter(train).most_common(1)[0][0]
