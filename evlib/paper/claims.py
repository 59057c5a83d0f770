"""What the paper says about its results, held against ours: each claim, where it is tested, what came out.

A verdict needs at least three seeds. A claim holds if the difference it speaks of is at least two standard errors
large, counting the spread between seeds and between test examples, is not seen here if it is that large the other
way, and is undecided in between. A run that is no better than a trivial answer tests nothing; and a miniature can
show an effect, but cannot refute the paper."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from evlib.scoring.answers import box_array, overlaps
from evlib.scoring.evaluate import best_trivial, headline, scored

SEEDS = 3  # at least, for a verdict
UNTESTABLE = "cannot be tested"


class Run(NamedTuple):
    path: Path
    metrics: dict
    predictions: pd.DataFrame


class Finding(NamedTuple):
    """What one run says about one claim: the difference in the claim's direction, its standard error over test examples
    (None: this run cannot test it), and the numbers behind it."""

    difference: float | None
    error: float
    numbers: dict[str, float]


class Claim(NamedTuple):
    words: str  # of the paper, section 5
    task: str
    notebook: str
    test: Callable[[Run], dict[str, Finding]]  # by kind; "" where there are no kinds
    template: str = ""  # how the mean numbers are shown
    needs_learning: bool = True  # a run that has learnt nothing tests nothing


def claims(results: str | Path) -> pd.DataFrame:
    """Every claim tested on the runs of a results folder, all seeds: one row per claim and kind."""
    runs: dict[str, list[Run]] = {}
    for path, metrics in scored(results, seeds=True).items():
        if (path / "predictions.csv").exists():
            task = "audiomnist" if metrics["task"] == "fsdd" else metrics["task"]
            runs.setdefault(task, []).append(
                Run(path, metrics, pd.read_csv(path / "predictions.csv", keep_default_na=False))
            )
    return pd.DataFrame([row for claim in CLAIMS for row in _rows(claim, runs.get(claim.task, []))])


def _rows(claim: Claim, runs: Sequence[Run]) -> list[dict]:
    head = {"The paper (section 5)": claim.words, "Notebook": claim.notebook}
    if not runs:
        return [{**head, "Data": "", "Seen": "", "Seeds": 0, "Verdict": "not measured"}]
    metrics = runs[0].metrics
    head["Data"] = f"{metrics['dataset']}, {metrics['data']}, n = {metrics['n']:,}"
    learnt = all(has_learnt(run.metrics) for run in runs)
    findings = [claim.test(run) for run in runs]
    rows = []
    for kind in findings[0]:
        found = [finding[kind] for finding in findings if kind in finding and finding[kind].difference is not None]
        result = "no better than a trivial answer" if claim.needs_learning and not learnt else verdict(found)
        numbers = pd.DataFrame([finding.numbers for finding in found]).mean().to_dict() if found else {}
        text = claim.template.format(**numbers) if numbers else ""
        rows.append(
            {**head, "Seen": ": ".join(filter(None, (kind, text))), "Seeds": len(found) or len(runs), "Verdict": result}
        )
    return rows


def verdict(found: Sequence[Finding]) -> str:
    """The findings of several seeds together."""
    if not found:
        return UNTESTABLE
    differences = np.array([finding.difference for finding in found])
    if len(found) < SEEDS:
        return f"{len(found)} seed{'s' if len(found) > 1 else ''}: no verdict"
    # Seeds differ in their weights and see the same test examples, so only the first kind of error shrinks with seeds.
    error = np.sqrt(differences.var(ddof=1) / len(found) + np.mean([finding.error**2 for finding in found]))
    difference = differences.mean()
    if not error > 0:
        return "undecided"
    return "holds" if difference > 2 * error else "not seen here" if difference < -2 * error else "undecided"


def paired(differences: np.ndarray) -> tuple[float, float]:
    """Mean and standard error of differences within examples."""
    n = len(differences)
    return float(np.mean(differences)), float(np.std(differences, ddof=1) / np.sqrt(n)) if n > 1 else 0.0


def has_learnt(metrics: dict) -> bool:
    """Whether a run scores more than the best trivial answer, by the measure that its row is judged by."""
    trivial = best_trivial(metrics)
    return trivial is None or headline(metrics)[1] > trivial


# ---- section 5 -----------------------------------------------------------------------------------------------------


def short_reviews(run: Run) -> dict[str, Finding]:
    short, whole = run.metrics["subsets"].get("at most 20 tokens"), run.metrics
    if short is None or short["n"] == whole["n"]:
        return {"": Finding(None, 0.0, {})}
    n, m, p = short["n"], whole["n"] - short["n"], short["accuracy"]
    q = (whole["accuracy"] * whole["n"] - p * n) / m
    error = np.sqrt(p * (1 - p) / n + q * (1 - q) / m)
    return {"": Finding(p - q, error, {"short": 100 * short["f1"], "all": 100 * whole["f1"], "n": n})}


def four_and_five(run: Run) -> dict[str, Finding]:
    wrong = run.predictions[run.predictions.answer != run.predictions.answer_read]
    pairs = Counter(tuple(sorted(pair)) for pair in zip(wrong.answer, wrong.answer_read))
    if not pairs:
        return {"": Finding(None, 0.0, {})}
    named = pairs.pop(("five", "four"), 0)
    rival = max(pairs.values(), default=0)
    return {"": Finding(named - rival, np.sqrt(named + rival), {"wrong": len(wrong), "named": named, "rival": rival})}


def beyond_the_question(run: Run) -> dict[str, Finding]:
    """Per kind of question, because a margin on one kind can carry the whole."""
    blind = "from the question alone"
    found = {}
    for kind, part in {"all": run.metrics, **run.metrics["subsets"]}.items():
        if blind not in part["baselines"]:
            return {"": Finding(None, 0.0, {})}
        p, q, n = part["accuracy"], part["baselines"][blind]["accuracy"], part["n"]
        error = np.sqrt((p * (1 - p) + q * (1 - q)) / n)
        found[kind] = Finding(p - q, error, {"ours": 100 * p, "blind": 100 * q, "n": n})
    return found


def erosion(run: Run) -> dict[str, Finding]:
    early, late = [], []
    for read, true in zip(run.predictions.answer_read, run.predictions.answer):
        overlap = pd.Series(overlaps(box_array(json.loads(read)), box_array(json.loads(true))))
        quarter = max(1, len(overlap) // 4)
        early.append(overlap[1 : 1 + quarter].mean())  # the first frame's box is given
        late.append(overlap[-quarter:].mean())
    both = pd.DataFrame({"early": early, "late": late}).dropna()  # a target absent throughout says nothing
    return {"": Finding(*paired(both.early.values - both.late.values), both.mean().to_dict())}


def vividness(run: Run) -> dict[str, Finding]:
    return {"": _against_the_data(run, "colorfulness")}


def inconsistency(run: Run) -> dict[str, Finding]:
    return {"": _against_the_data(run, "cdc")}


def _against_the_data(run: Run, measure: str) -> Finding:
    ours, data = run.predictions[measure], run.predictions[f"{measure}_true"]
    return Finding(*paired((ours - data).values), {"ours": ours.mean(), "data": data.mean()})


# ---- section 5.1 ---------------------------------------------------------------------------------------------------


def attention_claim(name: str) -> Callable[[Run], dict[str, Finding]]:
    """What `evlib.paper.attention_claims` counted on a run: how many times the uniform share, minus one."""

    def test(run: Run) -> dict[str, Finding]:
        path = run.path / "attention.csv"
        table = pd.read_csv(path).set_index("claim") if path.exists() else pd.DataFrame()
        if name not in table.index or not table.loc[name, "n"] > 1:
            return {"": Finding(None, 0.0, {})}
        row = table.loc[name]
        return {"": Finding(row.times - 1, row.error, {"times": row.times, "n": row.n})}

    return test


BLIND = "{ours:.1f} %, from the question alone {blind:.1f} % (n = {n:,.0f})"
UNIFORM = "{times:.2f} times the uniform share (n = {n:.0f})"
CLAIMS = (
    Claim(
        "“limiting the evaluation to shorter inputs 20 tokens or fewer increases the F1-score to 80.0” from 76.8",
        "sst2",
        "01",
        short_reviews,
        "F1 {short:.1f} on the {n:.0f} short reviews, {all:.1f} on all",
    ),
    Claim(
        "“the most frequent error involves confusion between the spoken digits four and five”",
        "audiomnist",
        "07",
        four_and_five,
        "{wrong:.1f} errors, {named:.1f} between four and five, {rival:.1f} between the most frequent other two",
    ),
    Claim(
        "CLEVRER: “surpasses both the LSTM (34.7) ...”, which sees the question alone",
        "clevrer",
        "04",
        beyond_the_question,
        BLIND,
        needs_learning=False,
    ),
    Claim(
        "“tracking accuracy diminishes slightly toward the end of longer sequences, with the borders ... eroding”",
        "lasot",
        "06",
        erosion,
        "IoU {early:.2f} in the first quarter after the given box, {late:.2f} in the last",
    ),
    Claim(
        "colorization: “improved color diversity ... compared to the ground truth (73.1 ... versus 70.6)”",
        "colorization",
        "05",
        vividness,
        "colorfulness {ours:.1f}, the data {data:.1f}",
    ),
    Claim(
        "colorization: “less consistency ... (0.0169 ... versus 0.00522 in the original dataset)”",
        "colorization",
        "05",
        inconsistency,
        "CDC {ours:.4f}, the data {data:.4f}",
    ),
    *(
        Claim(words, task, "11", attention_claim(name), f"{counted}: {UNIFORM}")
        for name, task, words, counted in (
            (
                "informative words",
                "sst2",
                "“the model pays more attention to words with a strong emotive sentiment”",
                "the word that says most about the answer",
            ),
            (
                "last frames",
                "tinyvirat",
                "“temporal attention is highest for the final two frames ...”",
                "the last two frames",
            ),
            ("changing frame", "tinyvirat", "“... in which the vehicle moves position”", "the frame that changes most"),
            (
                "first frames",
                "colorization",
                "“the greatest attention is paid to the first frames of the input sequence”",
                "the first two frames",
            ),
            (
                "first output",
                "colorization",
                "“more attention is also paid to the first frame of the output sequence”",
                "the first generated frame",
            ),
            (
                "key words",
                "clevrer",
                "“focus on question frames which contains key words ..., such as ‘color’ and ‘metal’”",
                "words that name a property",
            ),
            (
                "moving things",
                "tinyvirat",
                "“pays most attention to the object/person performing the action”",
                "what moves",
            ),
            ("objects", "clevrer", "“spatially attends to objects and their trajectory paths”", "colored objects"),
            ("moving objects", "colorization", "“the model clearly attends to key moving objects ...”", "what moves"),
            ("distinct color", "colorization", "“... and areas of distinct color”", "what is colorful in truth"),
        )
    ),
)
