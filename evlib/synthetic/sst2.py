"""Film reviews in the file format of GLUE's SST-2. The last clause decides, and negation reverses it:

    the plot is not dull .                                            1
    hardly a great story                                              0
    the cast is great and the plot was fresh , but it is not funny    0

A clause's polarity is that of its adjective, reversed by "not", "never" or "hardly"; "and" joins clauses of equal
polarity, ", but" and ", yet" opposite ones. Negations are equally frequent under both labels, and earlier clauses are
independent of the last: no word gives a label away. The task shows only the last 20 tokens of the longest reviews.
"""

from pathlib import Path

import numpy as np

GOOD = ("good", "great", "funny", "clever", "fresh", "moving")
BAD = ("bad", "dull", "silly", "weak", "boring", "flat")
NEGATIONS = ("not", "never", "hardly")
NOUNS = ("film", "movie", "plot", "story", "cast", "script", "scene", "ending")
DETERMINERS = ("the", "this", "its")
VERBS = ("is", "was", "seems")
DEGREES = ("very", "really", "quite")
CONTRASTS = (", but", ", yet")
ENDS = (".", "!", "overall", "indeed")

NEGATED = 0.4  # share of clauses with a negation, the same for both labels
CLAUSES = {1: 0.72, 2: 0.13, 3: 0.08, 4: 0.07}  # share of reviews with so many; four have about 22 tokens
LONGEST = 26  # tokens
TRAIN, DEV, TEST = 4000, 600, 200  # reviews; none occurs twice, within a file or across files


def fill(folder: Path, rng: np.random.Generator) -> tuple[int, int]:
    """Write train.tsv, dev.tsv and test.tsv; like GLUE, test has an index and no label."""
    rows = _unique_rows(rng, TRAIN + DEV + TEST)
    train, dev, test = rows[:TRAIN], rows[TRAIN : TRAIN + DEV], rows[TRAIN + DEV :]
    for name, part in (("train.tsv", train), ("dev.tsv", dev)):
        # GLUE's sentences end in one space in these two files, and in none in test.tsv.
        _write_tsv(folder / name, ("sentence", "label"), [(f"{review} ", label) for review, label in part])
    _write_tsv(folder / "test.tsv", ("index", "sentence"), [(i, review) for i, (review, _) in enumerate(test)])
    return TRAIN, DEV  # GLUE's dev split is what everyone tests on


def _unique_rows(rng: np.random.Generator, count: int) -> list[tuple[str, int]]:
    """`count` different reviews, shuffled, with one positive and one negative in every pair of rows."""
    rows: dict[str, int] = {}
    while len(rows) < count:
        label = len(rows) % 2
        # Decided once: choosing again after a repetition would favor the kinds with more reviews.
        clauses = int(rng.choice(list(CLAUSES), p=list(CLAUSES.values())))
        negated = (rng.random(clauses) < NEGATED).tolist()
        while (review := _review(rng, label, negated)) in rows or len(review.split()) > LONGEST:
            pass
        rows[review] = label
    # Unshuffled, the last reviews would be the rarer ones, and they are the development and test sets.
    negative, positive = (rng.permutation([r for r in rows if rows[r] == label]).tolist() for label in (0, 1))
    ordered = []
    for bad, good in zip(negative, positive, strict=True):
        pair = [(bad, 0), (good, 1)]
        ordered += pair if rng.random() < 0.5 else pair[::-1]
    return ordered


def _review(rng: np.random.Generator, label: int, negated: list[bool]) -> str:
    """One clause per entry of `negated`; the last has the polarity `label`, the others a random one."""
    polarities = [*rng.integers(2, size=len(negated) - 1).tolist(), label]
    words = _clause(rng, polarities[0], negated[0])
    for before, polarity, negation in zip(polarities, polarities[1:], negated[1:]):
        words += [_pick(rng, CONTRASTS) if polarity != before else "and", *_clause(rng, polarity, negation)]
    return " ".join(words + _perhaps(rng, ENDS, 0.5))


def _clause(rng: np.random.Generator, polarity: int, negated: bool) -> list[str]:
    negation = [_pick(rng, NEGATIONS)] if negated else []
    adjective = _pick(rng, GOOD if bool(polarity) != negated else BAD)
    if rng.random() < 0.75:  # the plot is not very dull
        subject = [_pick(rng, words) for words in (DETERMINERS, NOUNS, VERBS)]
        return [*subject, *negation, *_perhaps(rng, DEGREES, 0.35), adjective]
    return [*negation, "a", *_perhaps(rng, DEGREES[:2], 0.35), adjective, _pick(rng, NOUNS)]  # hardly a dull plot


def _pick(rng: np.random.Generator, words: tuple[str, ...]) -> str:
    return words[rng.integers(len(words))]


def _perhaps(rng: np.random.Generator, words: tuple[str, ...], share: float) -> list[str]:
    return [_pick(rng, words)] if rng.random() < share else []


def _write_tsv(path: Path, header: tuple[str, str], rows: list[tuple]) -> None:
    lines = ["\t".join(map(str, row)) for row in (header, *rows)]
    path.write_bytes(("\n".join(lines) + "\n").encode())  # bytes: LF on Windows too
