"""The measures of section 4, as plain functions: of frames, of clips' colors, of boxes, of answers.

Pictures are uint8 arrays (T, 64, 64, 3), 0..255, of any height and width where colors are measured; boxes are rows of
x, y, w, h; answers are lists of strings, or of sets of strings. Shares are 0..1; Table 2 shows percent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytorch_msssim
import torch
from sklearn.metrics import accuracy_score, f1_score
from sklearn.preprocessing import MultiLabelBinarizer

PERFECT_DB = 100.0  # what equal frames count as, whose PSNR is infinite
OTHER = "(other)"  # where answers that are no class are counted
THRESHOLDS = np.linspace(0, 1, 21)  # of the success curve in OTB and LaSOT
GAPS = (1, 2, 4)  # frames apart whose colors CDC compares
CHUNK = 64  # frames converted at a time: memory does not grow with the test set

_LEVELS = np.arange(256) / 255  # sRGB's 256 values, and the light each stands for (IEC 61966-2-1)
_LIGHT = np.where(_LEVELS > 0.04045, ((_LEVELS + 0.055) / 1.055) ** 2.4, _LEVELS / 12.92).astype(np.float32)
_XYZ = np.array([[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]])
_XYZ_OF_WHITE = (_XYZ / _XYZ.sum(axis=1, keepdims=True)).astype(np.float32)  # linear RGB -> X/Xn, Y/Yn, Z/Zn under D65


def psnr(predicted: np.ndarray, target: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB of two clips of one shape (T, H, W, 3), the mean over frames."""
    mse = [((x.astype(np.float64) - y) ** 2).mean() for x, y in zip(predicted, target, strict=True)]
    return float((10 * np.log10(255**2 / np.maximum(mse, 255**2 / 10 ** (PERFECT_DB / 10)))).mean())


def ssim(predicted: np.ndarray, target: np.ndarray) -> float:
    """Structural similarity of two clips of one shape (T, H, W, 3) with its usual Gaussian window of 11 pixels, the
    mean over frames; 1 where they are equal."""
    shares = []
    for start in range(0, len(target), CHUNK):
        chunks = (np.ascontiguousarray(clip[start : start + CHUNK]) for clip in (predicted, target))
        x, y = (torch.from_numpy(chunk).movedim(-1, 1).float() for chunk in chunks)
        shares.append(pytorch_msssim.ssim(x, y, data_range=255, size_average=False))
    return float(torch.cat(shares).mean())


# ---- color ----------------------------------------------------------------------------------------------------------


def cdc(frames: np.ndarray) -> float:
    """Color Distribution Consistency of a clip, uint8 (T, H, W, 3) with T > 4: 0 for colors that stay, at most ln 2 =
    0.693.

    The mean over GAPS of the mean Jensen-Shannon divergence between the histograms (256 bins a channel, natural
    logarithm) of frames so far apart: the divergence itself, not its square root, which SciPy's `jensenshannon`
    returns."""
    T, height, width, _ = frames.shape
    bins = frames + 256 * np.arange(3 * T).reshape(-1, 1, 1, 3)  # a histogram for each frame and channel
    share = np.bincount(bins.ravel(), minlength=256 * 3 * T).reshape(-1, 3, 256) / (height * width)
    own = _entropy(share)
    return float(np.mean([(_entropy((share[:-t] + share[t:]) / 2) - (own[:-t] + own[t:]) / 2).mean() for t in GAPS]))


def _entropy(share: np.ndarray) -> np.ndarray:
    """Of the distributions along the last axis, in nats."""
    return -(share * np.log(np.where(share > 0, share, 1))).sum(axis=-1)


def colorfulness(frames: np.ndarray) -> float:
    """Colorfulness of a clip, uint8 (T, H, W, 3), as the paper's column seems to count it: sigma_ab + 0.37 mu_ab, the
    mean over frames.

    a and b are 8-bit CIELAB's, rounded and stored with an offset of 128 (as OpenCV stores them), and the offset is
    left in: a grey clip scores 0.37 * sqrt(2) * 128 = 66.98 rather than 0. Only so does Table 2 make sense: the paper
    gives its data 70.6, a little above grey, as one expects of surveillance video."""
    scores = []
    for frame in frames:
        xyz = _LIGHT[frame] @ _XYZ_OF_WHITE.T
        x, y, z = np.moveaxis(np.where(xyz > 216 / 24389, np.cbrt(xyz), xyz * (841 / 108) + 4 / 29), -1, 0)
        scores.append(_spread(np.rint(500 * (x - y) + 128), np.rint(200 * (y - z) + 128), 0.37))
    return float(np.mean(scores))


def colorfulness_hs(frames: np.ndarray) -> float:
    """Hasler and Süsstrunk's (2003) colorfulness of a clip, uint8 (T, H, W, 3): sigma + 0.3 mu of the opponents red -
    green and yellow - blue in sRGB, the mean over frames. 0 for grey, about 33 for "moderately" and 82 for "highly
    colorful"."""
    opponents = [(r - g, (r + g) / 2 - b) for r, g, b in np.moveaxis(frames.astype(np.float32), -1, 1)]
    return float(np.mean([_spread(red_green, yellow_blue, 0.3) for red_green, yellow_blue in opponents]))


def _spread(a: np.ndarray, b: np.ndarray, weight: float) -> float:
    """The length of the standard deviations along two color axes, and `weight` times that of the means."""
    sigma, mu = (np.hypot(measure(a, dtype=np.float64), measure(b, dtype=np.float64)) for measure in (np.std, np.mean))
    return sigma + weight * mu


# ---- boxes -----------------------------------------------------------------------------------------------------------


def iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Intersection over union of the boxes in equal rows: two arrays (N, 4) of x, y, w, h in any unit -> float64
    (N,), 0..1.

    A row that is not finite or has w <= 0 or h <= 0 is "no box". It scores 0 against any box, and 1 against another
    "no box": who sees that the object is gone is right."""
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    is_a, is_b = (np.isfinite(box).all(axis=1) & (box[:, 2:] > 0).all(axis=1) for box in (a, b))
    a, b = np.where(is_a[:, None], a, 0), np.where(is_b[:, None], b, 0)
    (low_a, high_a), (low_b, high_b) = ((box[:, :2], box[:, :2] + box[:, 2:]) for box in (a, b))
    common = (np.minimum(high_a, high_b) - np.maximum(low_a, low_b)).clip(min=0).prod(axis=1)
    # Areas from corners, too: rounded alike, equal boxes score exactly 1 and none more.
    union = (high_a - low_a).prod(axis=1) + (high_b - low_b).prod(axis=1) - common
    return np.divide(common, union, out=(~is_a & ~is_b).astype(np.float64), where=union > 0)


def success_curve(ious: np.ndarray, thresholds: np.ndarray = THRESHOLDS) -> np.ndarray:
    """The share of frames (0..1) whose IoU is above each threshold: float64, as many as thresholds. Strictly above, as
    in the toolkits of OTB and LaSOT: a frame without overlap fails at 0 already, and none succeeds at 1. Its mean is
    the area under the curve, 20/21 for perfect boxes."""
    return (np.asarray(ious)[:, None] > np.asarray(thresholds)).mean(axis=0)


# ---- answers ---------------------------------------------------------------------------------------------------------


def accuracy(predicted: Sequence[str], true: Sequence[str]) -> float:
    return float(np.mean([p == t for p, t in zip(predicted, true, strict=True)]))


def classification(predicted: Sequence[str], true: Sequence[str], positive: str | None = None) -> dict[str, float]:
    """Accuracy, and F1 averaged over classes by support (`f1`) and evenly (`f1_macro`); with `positive`, the name of
    one of two classes, also the F1 of that class alone (`f1_positive`). An answer that is no class counts as
    wrong."""
    classes = sorted(set(true))

    def f1(average: str, labels: list[str]) -> float:
        return float(f1_score(true, predicted, labels=labels, average=average, zero_division=0))

    result = {"accuracy": accuracy(predicted, true), "f1": f1("weighted", classes), "f1_macro": f1("macro", classes)}
    return result if positive is None else {**result, "f1_positive": f1("macro", [positive])}


def multilabel(predicted: Sequence[set[str]], true: Sequence[set[str]], classes: Sequence[str]) -> dict:
    """Accuracy, the share of sets that are exactly right, and F1 of each class averaged by its support (`f1`, the
    paper's) and evenly (`f1_macro`), or of all classes' decisions together (`f1_micro`); `f1_by_class` has each.

    The macro average and `f1_by_class` are of the classes that occur in the true answers, as in `classification`
    (scikit-learn's own average counts all). Giving another makes its set wrong and is a false positive in `f1_micro`;
    so do labels that are no class, which together count as one."""
    known = set(classes)
    indicator = MultiLabelBinarizer(classes=[*classes, OTHER])
    y_true = indicator.fit_transform(true)
    y_given = indicator.transform([{label if label in known else OTHER for label in labels} for labels in predicted])

    def f1(average: str | None) -> np.ndarray:
        return f1_score(y_true, y_given, average=average, zero_division=0)

    there = np.flatnonzero(y_true.any(axis=0))
    each = f1(None)[there]
    return {
        "accuracy": float(accuracy_score(y_true, y_given)),
        "f1": float(f1("weighted")),
        "f1_micro": float(f1("micro")),
        "f1_macro": float(each.mean()) if len(each) else 0.0,
        "f1_by_class": {classes[i]: f1 for i, f1 in zip(there, each.round(4).tolist())},
    }


def most_frequent(train: Sequence[str]) -> str:
    """The trivial baseline's only answer."""
    return Counter(train).most_common(1)[0][0]
