"""The paper's claims about its results (claims.csv, copied by hand from section 5), compared with our results.

A verdict needs at least three seeds. A claim "holds" if its difference is at least two standard errors large, counting
the spread between seeds and between test examples; it is "not seen here" if the difference is that large in the other
direction, and "undecided" in between. A run that is no better than a trivial answer tests nothing; and a miniature can
show an effect, but cannot refute the paper."""

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


Findings = dict[str, Finding]  # by kind of question; "" where there are no kinds
NOTHING = {"": Finding(None, 0.0, {})}


class Claim(NamedTuple):
    words: str  # of the paper, section 5
    task: str
    notebook: str
    test: Callable[[Run], Findings]
    template: str  # how the mean numbers are shown


def claims(results: str | Path) -> pd.DataFrame:
    """Every claim tested on the runs of a results folder, all seeds: one row per claim and kind."""
    runs: dict[str, list[Run]] = {}
    for path, metrics in scored(results, seeds=True).items():
        if (path / "predictions.csv").exists() and "groups" not in metrics:  # cross-validation is not another seed
            task = "audiomnist" if metrics["task"] == "fsdd" else metrics["task"]
            predictions = pd.read_csv(path / "predictions.csv", keep_default_na=False)
            runs.setdefault(task, []).append(Run(path, metrics, predictions))
    return pd.DataFrame([row for claim in CLAIMS for row in _rows(claim, runs.get(claim.task, []))])


def _rows(claim: Claim, runs: Sequence[Run]) -> list[dict]:
    head = {"The paper (section 5)": claim.words, "Notebook": claim.notebook}
    if not runs:
        return [{**head, "Data": "", "Seen": "", "Seeds": 0, "Verdict": "not measured"}]
    metrics = runs[0].metrics
    head["Data"] = f"{metrics['dataset']}, {metrics['data']}, n = {metrics['n']:,}"
    learned = claim.test is beyond_the_question or all(
        headline(run.metrics)[1] > best_trivial(run.metrics) for run in runs if best_trivial(run.metrics) is not None
    )
    findings, rows = [claim.test(run) for run in runs], []
    for kind in findings[0]:
        found = [finding[kind] for finding in findings if kind in finding and finding[kind].difference is not None]
        text = claim.template.format(**pd.DataFrame([f.numbers for f in found]).mean()) if found else ""
        seen = {"Seen": ": ".join(filter(None, (kind, text))), "Seeds": len(found) or len(runs)}
        rows.append({**head, **seen, "Verdict": verdict(found) if learned else "no better than a trivial answer"})
    return rows


def verdict(found: Sequence[Finding]) -> str:
    """The verdict on the findings of several seeds."""
    if not found:
        return "cannot be tested"
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


# ---- section 5 -----------------------------------------------------------------------------------------------------


def short_reviews(run: Run) -> Findings:
    short, whole = run.metrics["subsets"].get("at most 20 tokens"), run.metrics
    if short is None or short["n"] == whole["n"]:
        return NOTHING
    n, m, p = short["n"], whole["n"] - short["n"], short["accuracy"]
    q = (whole["accuracy"] * whole["n"] - p * n) / m
    error = np.sqrt(p * (1 - p) / n + q * (1 - q) / m)
    return {"": Finding(p - q, error, {"short": 100 * short["f1"], "all": 100 * whole["f1"], "n": n})}


def four_and_five(run: Run) -> Findings:
    wrong = run.predictions[run.predictions.answer != run.predictions.answer_read]
    pairs = Counter(tuple(sorted(pair)) for pair in zip(wrong.answer, wrong.answer_read))
    if not pairs:
        return NOTHING
    named = pairs.pop(("five", "four"), 0)
    rival = max(pairs.values(), default=0)
    return {"": Finding(named - rival, np.sqrt(named + rival), {"wrong": len(wrong), "named": named, "rival": rival})}


def beyond_the_question(run: Run) -> Findings:
    """Per kind of question, because a large margin on one kind can carry the overall result."""
    blind = "from the question alone"
    found = {}
    for kind, part in {"all": run.metrics, **run.metrics["subsets"]}.items():
        if blind not in part["baselines"]:
            return NOTHING
        p, q, n = part["accuracy"], part["baselines"][blind]["accuracy"], part["n"]
        error = np.sqrt((p * (1 - p) + q * (1 - q)) / n)
        found[kind] = Finding(p - q, error, {"ours": 100 * p, "blind": 100 * q, "n": n})
    return found


def erosion(run: Run) -> Findings:
    early, late = [], []
    for read, true in zip(run.predictions.answer_read, run.predictions.answer):
        overlap = pd.Series(overlaps(box_array(json.loads(read)), box_array(json.loads(true))))
        quarter = max(1, len(overlap) // 4)
        early.append(overlap[1 : 1 + quarter].mean())  # the first frame's box is given
        late.append(overlap[-quarter:].mean())
    both = pd.DataFrame({"early": early, "late": late}).dropna()  # a target absent throughout says nothing
    return {"": Finding(*paired(both.early.values - both.late.values), both.mean().to_dict())}


def against_the_data(measure: str) -> Callable[[Run], Findings]:
    """How much larger a metric of our clips is than that of the data, clip by clip."""

    def test(run: Run) -> Findings:
        ours, data = run.predictions[measure], run.predictions[f"{measure}_true"]
        return {"": Finding(*paired((ours - data).values), {"ours": ours.mean(), "data": data.mean()})}

    return test


# ---- section 5.1 ---------------------------------------------------------------------------------------------------


def attention_claim(name: str) -> Callable[[Run], Findings]:
    """What `evlib.paper.attention_claims` measured on a run: the multiple of the uniform share, minus one."""

    def test(run: Run) -> Findings:
        path = run.path / "attention.csv"
        table = pd.read_csv(path).set_index("claim") if path.exists() else pd.DataFrame()
        if name not in table.index or not table.loc[name, "n"] > 1:
            return NOTHING
        row = table.loc[name]
        return {"": Finding(row.times - 1, row.error, {"times": row.times, "n": row.n})}

    return test


TESTS = {
    "short reviews": short_reviews,
    "four and five": four_and_five,
    "beyond the question": beyond_the_question,
    "erosion": erosion,
    "vividness": against_the_data("colorfulness"),
    "inconsistency": against_the_data("cdc"),
}
TABLE = pd.read_csv(Path(__file__).with_name("claims.csv"), dtype=str)
CLAIMS = tuple(
    Claim(row.words, row.task, row.notebook, TESTS.get(row.test) or attention_claim(row.test), row.template)
    for row in TABLE.itertuples()
)
