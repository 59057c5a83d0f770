"""The measures of section 4, as plain functions.

Pictures are uint8 arrays (T, 64, 64, 3), 0..255; answers are lists of strings. Shares are 0..1; Table 2 shows percent.
"""
from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytorch_msssim
import torch
from sklearn.metrics import confusion_matrix, f1_score

PERFECT_DB = 100.0     # what equal frames count as, whose PSNR is infinite


def psnr(predicted: np.ndarray, target: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB, the mean over frames."""
    error = (predicted.astype(np.float64) - target).reshape(len(target), -1)
    mse = np.maximum((error ** 2).mean(axis=1), 255 ** 2 / 10 ** (PERFECT_DB / 10))
    return float((10 * np.log10(255 ** 2 / mse)).mean())


def ssim(predicted: np.ndarray, target: np.ndarray) -> float:
    """Structural similarity with its usual Gaussian window of 11 pixels, the mean over frames; 1 where they are equal."""
    x, y = (torch.from_numpy(np.ascontiguousarray(a)).movedim(-1, 1).float() for a in (predicted, target))
    return float(torch.cat([pytorch_msssim.ssim(a, b, data_range=255, size_average=False) for a, b in zip(x.split(64), y.split(64))]).mean())


def accuracy(predicted: Sequence[str], true: Sequence[str]) -> float:
    return float(np.mean([p == t for p, t in zip(predicted, true, strict=True)]))


def classification(predicted: Sequence[str], true: Sequence[str]) -> dict[str, float]:
    """Accuracy, and F1 of each class averaged by its support (`f1`, the paper's) and evenly (`f1_macro`).
    An answer that is no class counts as wrong."""
    classes = sorted(set(true))
    f1 = {average: float(f1_score(true, predicted, labels=classes, average=average, zero_division=0)) for average in ("weighted", "macro")}
    return {"accuracy": accuracy(predicted, true), "f1": f1["weighted"], "f1_macro": f1["macro"]}


def confusion(predicted: Sequence[str], true: Sequence[str], classes: Sequence[str]) -> pd.DataFrame:
    """Counts: a row a true answer, a column an answer given; the last column is "(other)"."""
    given = [p if p in classes else "(other)" for p in predicted]
    labels = [*classes, "(other)"]
    counts = confusion_matrix(list(true), given, labels=labels)[:-1]
    return pd.DataFrame(counts, index=list(classes), columns=labels)


def most_frequent(train: Sequence[str]) -> str:
    """The trivial baseline's only answer."""
    return Counter(train).most_common(1)[0][0]
