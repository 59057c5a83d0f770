"""What the paper says about its results, held against ours: each claim, where it is tested, what came out.

A claim holds if the difference it speaks of is at least two standard errors large on the data at hand, is not seen here if
it is that large the other way, and is undecided in between. A run that is no better than a trivial answer tests nothing;
and a miniature can show an effect, but cannot refute the paper.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from evlib.data.store import VideoStore
from evlib.frames.render import tokenize
from evlib.model import NextFrame
from evlib.scoring.answers import Boxes, box_array
from evlib.scoring.evaluate import best_trivial, headline, scored
from evlib.viz.attention import temporal


class Run(NamedTuple):
    path: Path
    metrics: dict
    predictions: pd.DataFrame


class Claim(NamedTuple):
    words: str  # of the paper, section 5
    task: str
    notebook: str
    test: Callable[[Run], tuple[str, str]]  # -> what was seen, verdict


def claims(results: str | Path) -> pd.DataFrame:
    """Every claim tested on the runs of a results folder: claim, notebook, data, seen, verdict."""
    runs = {}
    for run, found in scored(results).items():
        if (run / "predictions.csv").exists():
            key = "audiomnist" if found["task"] == "fsdd" else found["task"]
            runs.setdefault(key, Run(run, found, pd.read_csv(run / "predictions.csv", keep_default_na=False)))
    rows = []
    for claim in CLAIMS:
        run = runs.get(claim.task)
        seen, verdict = claim.test(run) if run else ("", "not measured: no such run")
        if run and claim.test is not beyond_the_question and not has_learnt(run.metrics):
            verdict = "cannot be tested: the run is no better than a trivial answer"
        data = f"{run.metrics['dataset']}, {run.metrics['data']}, n = {run.metrics['n']:,}" if run else ""
        rows.append(
            {
                "The paper (section 5)": claim.words,
                "Notebook": claim.notebook,
                "Data": data,
                "Seen": seen,
                "Verdict": verdict,
            }
        )
    return pd.DataFrame(rows)


def label_informativeness(net: NextFrame, store: VideoStore, limit: int = 500) -> pd.DataFrame:
    """Which words of the test questions are looked at, and which tell the answer. One row a word: row, place, word, attention (a share of
    all words of its question), informativeness (0..1: how far the training answers of questions with this word are from the usual mix)."""
    train, split = store.metadata[store.metadata.split == "train"], store.split("test").head(limit)
    words = train.question.map(tokenize).explode()
    usual = train.answer.value_counts(normalize=True)
    counts = pd.crosstab(words.values, train.answer.loc[words.index].values)[usual.index]
    shares = (counts + 10 * usual).div(counts.sum(axis=1) + 10, axis=0)  # rare words prove little
    informativeness = ((shares - usual).abs().sum(axis=1) / 2).to_dict()
    rows = []
    for batch in split.batches(64):
        n_in = int(split.metadata.n_in.values[batch[0]])
        weights = temporal(net, split.gather(batch)[:, :n_in])[:, :-1]  # without the separator's own
        for row, line in zip(batch, weights / weights.sum(dim=1, keepdim=True)):
            shown = tokenize(split.metadata.question.values[row])[-len(line) :]  # the first of many are cut
            rows += [
                (row, place, word, round(w, 4), round(informativeness.get(word, 0.0), 4))
                for place, (word, w) in enumerate(zip(shown, line.tolist()))
            ]
    return pd.DataFrame(rows, columns=["row", "place", "word", "attention", "informativeness"])


def verdict(difference: float, error: float) -> str:
    """`difference` in the direction of the claim, with its standard error."""
    if not error > 0:
        return "undecided"
    return "holds" if difference > 2 * error else "not seen here" if difference < -2 * error else "undecided"


def paired(differences: np.ndarray) -> tuple[float, float]:
    """Mean and standard error."""
    return float(np.mean(differences)), float(np.std(differences, ddof=1) / np.sqrt(len(differences))) if len(
        differences
    ) > 1 else 0.0


def has_learnt(metrics: dict) -> bool:
    """Whether a run scores more than the best trivial answer, by the measure that its row is judged by."""
    trivial = best_trivial(metrics)
    return trivial is None or headline(metrics)[1] > trivial


def truncation(run: Run) -> tuple[str, str]:
    short = run.metrics["subsets"].get("at most 20 tokens")
    if short is None or short["n"] == run.metrics["n"]:
        return "no review is longer than 20 tokens", "cannot be tested"
    n, m = short["n"], run.metrics["n"] - short["n"]
    p = short["accuracy"]
    q = (run.metrics["accuracy"] * run.metrics["n"] - p * n) / m
    error = np.sqrt(p * (1 - p) / n + q * (1 - q) / m)
    return f"F1 {100 * run.metrics['f1']:.1f} on all, {100 * short['f1']:.1f} on the {n} short reviews", verdict(
        p - q, error
    )


def four_and_five(run: Run) -> tuple[str, str]:
    wrong = run.predictions[run.predictions.answer != run.predictions.answer_read]
    pairs = Counter(tuple(sorted(pair)) for pair in zip(wrong.answer, wrong.answer_read))
    if not pairs:
        return "no digit was confused", "cannot be tested"
    seen = ", ".join(
        f"{' and '.join(word or 'nothing' for word in pair)} {count} times" for pair, count in pairs.most_common(2)
    )
    named = pairs.pop(("five", "four"), 0)
    rival = max(pairs.values(), default=0)
    return f"{len(wrong)} errors; most often {seen}", verdict(named - rival, np.sqrt(named + rival))


def erosion(run: Run) -> tuple[str, str]:
    early, late = [], []
    for read, true in zip(run.predictions.answer_read, run.predictions.answer):
        overlap = pd.Series(Boxes.overlaps(box_array(json.loads(read)), box_array(json.loads(true))))
        quarter = max(1, len(overlap) // 4)
        early.append(overlap[1 : 1 + quarter].mean())  # the first frame's box is given
        late.append(overlap[-quarter:].mean())
    both = pd.DataFrame({"early": early, "late": late}).dropna()  # a target that is absent throughout tells nothing
    difference, error = paired(both.early.values - both.late.values)
    return (
        f"IoU {both.early.mean():.2f} in the first quarter after the box that is given, {both.late.mean():.2f} in the last",
        verdict(difference, error),
    )


def vividness(run: Run) -> tuple[str, str]:
    difference, error = paired((run.predictions.colorfulness - run.predictions.colorfulness_true).values)
    return (
        f"colorfulness {run.predictions.colorfulness.mean():.1f}, the data {run.predictions.colorfulness_true.mean():.1f}",
        verdict(difference, error),
    )


def inconsistency(run: Run) -> tuple[str, str]:
    difference, error = paired((run.predictions.cdc - run.predictions.cdc_true).values)
    return f"CDC {run.predictions.cdc.mean():.4f}, the data {run.predictions.cdc_true.mean():.4f}", verdict(
        difference, error
    )


def beyond_the_question(run: Run) -> tuple[str, str]:
    if "from the question alone" not in run.metrics["baselines"]:
        return "no training questions to guess from", "cannot be tested"
    blind, n = run.metrics["baselines"]["from the question alone"]["accuracy"], run.metrics["n"]
    p = run.metrics["accuracy"]
    parts = [
        f"{name} {100 * part['accuracy']:.1f} ({100 * part['baselines']['from the question alone']['accuracy']:.1f})"
        for name, part in run.metrics["subsets"].items()
    ]
    return (
        f"accuracy {100 * p:.1f}, from the question alone {100 * blind:.1f}{': ' if parts else ''}{', '.join(parts)}",
        verdict(p - blind, np.sqrt((p * (1 - p) + blind * (1 - blind)) / n)),
    )


def key_words(run: Run) -> tuple[str, str]:
    if not (run.path / "attention.csv").exists():
        return "", "not measured: notebook 01 has not run"
    words = pd.read_csv(run.path / "attention.csv", keep_default_na=False)
    words["gain"] = words.attention * words.groupby("row").word.transform("size")  # 1: no more than any other word
    most = words.loc[words.groupby("row").informativeness.idxmax()]
    difference, error = paired(most.gain.values - 1)
    top = words.groupby("word").gain.agg(["mean", "size"]).query("size >= 10")["mean"].nlargest(3)
    seen = ", ".join(f"{word} {gain:.1f}" for word, gain in top.items())
    return (
        f"the most informativeness word of each of {len(most)} reviews gets {most.gain.mean():.2f} times the average attention; most looked at: {seen}",
        verdict(difference, error),
    )


CLAIMS = (
    Claim(
        "“limiting the evaluation to shorter inputs 20 tokens or fewer increases the F1-score to 80.0” from 76.8",
        "sst2",
        "01",
        truncation,
    ),
    Claim(
        "“the most frequent error involves confusion between the spoken digits four and five”",
        "audiomnist",
        "07",
        four_and_five,
    ),
    Claim(
        "CLEVRER: “surpasses both the LSTM (34.7) ...”, which hears the question alone",
        "clevrer",
        "04",
        beyond_the_question,
    ),
    Claim(
        "“tracking accuracy diminishes slightly toward the end of longer sequences, with the borders ... eroding”",
        "lasot",
        "06",
        erosion,
    ),
    Claim(
        "colorization: “improved color diversity ... compared to the ground truth (73.1 ... versus 70.6)”",
        "colorization",
        "05",
        vividness,
    ),
    Claim(
        "colorization: “less consistency ... (0.0169 ... versus 0.00522 in the original dataset)”",
        "colorization",
        "05",
        inconsistency,
    ),
    Claim("5.1: “the model pays more attention to words with a strong emotive sentiment”", "sst2", "01", key_words),
)
