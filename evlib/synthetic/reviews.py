"""Short film reviews in the files of GLUE's SST-2: negation decides, so no single word gives the label away.

    the plot is not dull .      1
    hardly a great story        0
    this film was very funny    1

A sentence's label is the polarity of its adjective, turned round by "not", "never" or "hardly". Negations are equally
frequent under both labels, so a negation alone is right half the time, an adjective alone in 1 - NEGATED of the
sentences. All other words are distractors.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from evlib.synthetic.spec import Miniature

GOOD = ("good", "great", "funny", "clever", "fresh", "moving")
BAD = ("bad", "dull", "silly", "weak", "boring", "flat")
NEGATIONS = ("not", "never", "hardly")
NOUNS = ("film", "movie", "plot", "story", "cast", "script", "scene", "ending")
DETERMINERS = ("the", "this", "its")
VERBS = ("is", "was", "seems")
DEGREES = ("very", "really", "quite")
TAILS = (".", "!", "overall", "indeed")

NEGATED = 0.4  # share of sentences with a negation, the same for both labels
TRAIN, DEV, TEST = 4000, 600, 200  # sentences; no sentence occurs twice, within a file or across files


def fill(folder: Path, rng: np.random.Generator) -> tuple[int, int]:
    """Write train.tsv, dev.tsv and test.tsv; like GLUE, test has an index and no label."""
    rows = _unique_rows(rng, TRAIN + DEV + TEST)
    train, dev, test = rows[:TRAIN], rows[TRAIN : TRAIN + DEV], rows[TRAIN + DEV :]
    for name, part in (("train.tsv", train), ("dev.tsv", dev)):
        # GLUE's sentences end in one space in these two files, and in none in test.tsv.
        _write_tsv(folder / name, ("sentence", "label"), [(f"{sentence} ", label) for sentence, label in part])
    _write_tsv(folder / "test.tsv", ("index", "sentence"), [(i, sentence) for i, (sentence, _) in enumerate(test)])
    return TRAIN, DEV  # GLUE's dev split is what everyone tests on


def _unique_rows(rng: np.random.Generator, count: int) -> list[tuple[str, int]]:
    """`count` different sentences, shuffled, with one positive and one negative in every pair of rows."""
    rows: dict[str, int] = {}
    while len(rows) < count:
        label = len(rows) % 2
        negated = rng.random() < NEGATED  # decided once: redrawing it would favour the kind with more sentences
        while (sentence := _sentence(rng, label, negated)) in rows:
            pass
        rows[sentence] = label
    # Unshuffled, the last sentences would be the rarer ones, and they are the development and test sets.
    negative, positive = (rng.permutation([s for s in rows if rows[s] == label]).tolist() for label in (0, 1))
    ordered = []
    for bad, good in zip(negative, positive, strict=True):
        pair = [(bad, 0), (good, 1)]
        ordered += pair if rng.random() < 0.5 else pair[::-1]
    return ordered


def _sentence(rng: np.random.Generator, label: int, negated: bool) -> str:
    def pick(words: tuple[str, ...], chance: float = 1.0) -> list[str]:
        return [words[rng.integers(len(words))]] if rng.random() < chance else []

    negation = pick(NEGATIONS) if negated else []
    adjective = pick(GOOD if bool(label) != negated else BAD)
    if rng.random() < 0.75:  # the plot is not very dull .
        words = pick(DETERMINERS) + pick(NOUNS) + pick(VERBS) + negation + pick(DEGREES, 0.35) + adjective
    else:  # hardly a dull plot .
        words = negation + ["a"] + pick(DEGREES[:2], 0.35) + adjective + pick(NOUNS)
    return " ".join(words + pick(TAILS, 0.5))


def _write_tsv(path: Path, header: tuple[str, str], rows: list[tuple]) -> None:
    lines = ["\t".join(map(str, row)) for row in (header, *rows)]
    path.write_bytes(("\n".join(lines) + "\n").encode())  # bytes: LF on Windows too


SST2 = Miniature(
    name="sst2",
    folder="SST-2",
    version=1,
    about="Synthetic film reviews from a small grammar with negation, in the files of GLUE's SST-2; not the real data.",
    fill=fill,
)
