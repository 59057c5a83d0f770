"""Short film reviews in the files of GLUE's SST-2: negation decides, so no single word gives the label away.

    the plot is not dull .      1
    hardly a great story        0
    this film was very funny    1

A sentence's label is the polarity of its adjective, turned round by "not", "never" or "hardly". Adjective and negation
are drawn independently of the label's balance: with a negation in NEGATED of the sentences, an adjective alone is right
in 1 - NEGATED of them, a negation alone in half of them. All other words are distractors.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from .spec import Miniature

GOOD = ("good", "great", "funny", "clever", "fresh", "moving")
BAD = ("bad", "dull", "silly", "weak", "boring", "empty")
NEGATIONS = ("not", "never", "hardly")
NOUNS = ("film", "movie", "plot", "story", "cast", "script", "music", "ending")
DETERMINERS = ("the", "this", "its")
VERBS = ("is", "was", "seems")
DEGREES = ("very", "really", "quite")
TAILS = (".", "!", "overall", "again")

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
    """`count` different sentences with labels 0, 1, 0, 1, ... so that every even-sized slice is balanced."""
    rows: dict[str, int] = {}
    while len(rows) < count:
        label = len(rows) % 2
        rows.setdefault(_sentence(rng, label), label)
    # Shuffle within pairs only, which hides the alternation and keeps the balance.
    pairs = np.array(list(rows.items()), dtype=object).reshape(-1, 2, 2)
    flip = rng.random(len(pairs)) < 0.5
    pairs[flip] = pairs[flip, ::-1]
    return [tuple(row) for row in pairs.reshape(-1, 2)]


def _sentence(rng: np.random.Generator, label: int) -> str:
    def pick(words: tuple[str, ...], chance: float = 1.0) -> list[str]:
        return [words[rng.integers(len(words))]] if rng.random() < chance else []

    negation = pick(NEGATIONS, chance=NEGATED)
    adjective = pick(GOOD if bool(label) != bool(negation) else BAD)
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
