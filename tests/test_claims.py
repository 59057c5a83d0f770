"""Claims held against made-up runs whose outcome is plain, and the tables that stand beside them."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from evlib.config import ModelConfig
from evlib.data.store import VideoStore
from evlib.frames.render import separator, tokenize, word_frame
from evlib.model import NextFrame
from evlib.paper import attention_claims, claims, pages, table2
from evlib.paper.claims import CLAIMS, Finding, Run
from evlib.scoring.evaluate import best_trivial, headline
from evlib.viz.attention import attention_maps

NOWHERE = Path("nowhere")
HOLDS, FAILS, OPEN, UNTESTABLE = "holds", "not seen here", "undecided", "cannot be tested"


def outcome_of(found: dict[str, Finding], kind: str = "") -> str:
    """The verdict if three seeds found the same."""
    return claims.verdict([f for f in [found[kind]] * 3 if f.difference is not None])


def scored(task: str = "sst2", **changes) -> dict:
    """What evaluate writes into metrics.json, in short."""
    return {
        "task": task,
        "table2_row": "Text Classification",
        "dataset": "SST-2",
        "preset": "demo",
        "seed": 0,
        "data": "real",
        "trained_on": "real",
        "init_from": None,
        "n": 1000,
        "psnr": 20.0,
        "ssim": 0.9,
        "accuracy": 0.8,
        "f1": 0.8,
        "f1_macro": 0.75,
        "accuracy_exact": 0.7,
        "accuracy_template": 0.85,
        "subsets": {},
        "baselines": {"always “positive”": {"accuracy": 0.5, "f1": 0.4, "f1_macro": 0.3}},
        "training": {"seconds": 90.0, "device": "CPU", "steps": 10},
        **changes,
    }


def predicted(answers: dict[tuple[str, str], int]) -> pd.DataFrame:
    """(true, read) -> how often."""
    return pd.DataFrame(
        [pair for pair, count in answers.items() for _ in range(count)], columns=["answer", "answer_read"]
    )


def write(results: Path, name: str, metrics: dict, predictions: pd.DataFrame | None = None) -> Path:
    run = results / "runs" / name
    run.mkdir(parents=True)
    (run / "metrics.json").write_text(json.dumps(metrics))
    (predicted({("positive", "positive"): 1}) if predictions is None else predictions).to_csv(
        run / "predictions.csv", index=False
    )
    return run


# ------------------------------------------------------------------------------------------------ when a claim holds


def seeds(*differences: float, error: float = 0.5) -> list[Finding]:
    return [Finding(difference, error, {}) for difference in differences]


def test_two_standard_errors_decide():
    """Equal seeds: only the test examples err."""
    outcomes = [claims.verdict(seeds(*[d] * 3)) for d in (1.1, 1.0, 0, -1.0, -1.1)]
    assert outcomes == [HOLDS, OPEN, OPEN, OPEN, FAILS]
    assert claims.verdict(seeds(1, 1, 1, error=0.0)) == OPEN
    assert claims.paired(np.array([1.0, 2, 3, 4])) == (2.5, pytest.approx(np.sqrt(5 / 3) / 2))
    assert claims.paired(np.array([1.0])) == (1.0, 0.0)


def test_seeds_that_disagree_decide_nothing():
    """Mean 2 and a standard error of 1.15 between seeds, whatever the single runs are sure of."""
    assert claims.verdict(seeds(0, 2, 4, error=0.01)) == OPEN
    assert claims.verdict(seeds(1.9, 2, 2.1, error=0.01)) == HOLDS


def test_fewer_than_three_seeds_are_no_verdict():
    assert claims.verdict(seeds(9.0)) == "1 seed: no verdict" and claims.verdict(seeds(9, 9)) == "2 seeds: no verdict"
    assert claims.verdict([]) == UNTESTABLE


@pytest.mark.parametrize(
    "whole, short, outcome", [(0.80, 0.90, HOLDS), (0.80, 0.70, FAILS), (0.80, 0.81, OPEN), (0.80, None, UNTESTABLE)]
)
def test_short_reviews(whole, short, outcome):
    """Half of the reviews are short; the others score as far below the whole as those above it."""
    subsets = {} if short is None else {"at most 20 tokens": {"n": 500, "accuracy": short, "f1": short}}
    found = claims.short_reviews(Run(NOWHERE, scored(accuracy=whole, f1=whole, subsets=subsets), None))
    assert outcome_of(found) == outcome
    assert short is None or found[""].numbers == {"short": 100 * short, "all": 100 * whole, "n": 500}


def test_all_reviews_are_short():
    subsets = {"at most 20 tokens": {"n": 1000, "accuracy": 0.8, "f1": 0.8}}
    assert outcome_of(claims.short_reviews(Run(NOWHERE, scored(subsets=subsets), None))) == UNTESTABLE


@pytest.mark.parametrize(
    "errors, outcome",
    [
        ({("five", "four"): 20, ("four", "five"): 20, ("one", "nine"): 5}, HOLDS),  # both directions together
        ({("five", "four"): 5, ("one", "nine"): 40}, FAILS),
        ({("one", "nine"): 40, ("two", "three"): 39}, FAILS),  # nobody takes a five for a four
        ({("five", "four"): 6, ("one", "nine"): 4}, OPEN),
        ({}, UNTESTABLE),
    ],
)
def test_four_and_five(errors, outcome):
    run = Run(NOWHERE, {}, predicted({("one", "one"): 100, ("five", "five"): 100, **errors}))
    assert outcome_of(claims.four_and_five(run)) == outcome


def test_errors_are_counted():
    run = Run(NOWHERE, {}, predicted({("five", "four"): 3, ("two", ""): 4}))
    assert claims.four_and_five(run)[""].numbers == {"wrong": 7, "named": 3, "rival": 4}


@pytest.mark.parametrize(
    "accuracy, blind, outcome", [(0.50, 0.40, HOLDS), (0.40, 0.50, FAILS), (0.50, 0.49, OPEN), (0.50, None, UNTESTABLE)]
)
def test_beyond_the_question(accuracy, blind, outcome):
    baselines = {} if blind is None else {"from the question alone": {"accuracy": blind}}
    found = claims.beyond_the_question(Run(NOWHERE, scored("clevrer", accuracy=accuracy, baselines=baselines), None))
    assert outcome_of(found, "" if blind is None else "all") == outcome


def test_a_margin_on_one_kind_of_question_does_not_carry_the_others():
    def part(accuracy: float, blind: float) -> dict:
        return {"n": 500, "accuracy": accuracy, "baselines": {"from the question alone": {"accuracy": blind}}}

    kinds = {"colors": part(0.6, 0.1), "counts": part(0.3, 0.4)}
    found = claims.beyond_the_question(Run(NOWHERE, {**part(0.45, 0.25), "subsets": kinds}, None))
    assert [outcome_of(found, kind) for kind in ("all", "colors", "counts")] == [HOLDS, HOLDS, FAILS]


def tracks(*overlaps: np.ndarray, absent: slice = slice(0, 0)) -> Run:
    """Boxes of 10 x 10 that are read a little to the right, so far that they overlap so much; some are neither there
    nor read."""
    rows = []
    for overlap in overlaps:
        shift = 10 * (1 - overlap) / (1 + overlap)  # (10 - s) / (10 + s)
        true, read = [[20, 20, 10, 10] for _ in overlap], [[20 + s, 20, 10, 10] for s in shift]
        true[absent], read[absent] = ([None] * len(true[absent]) for _ in range(2))
        rows.append((json.dumps(true), json.dumps(read)))
    return Run(NOWHERE, {}, pd.DataFrame(rows, columns=["answer", "answer_read"]))


def noisy(start: float, end: float, count: int = 12) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [np.linspace(start, end, 20) + rng.normal(0, 0.02) + rng.normal(0, 0.02, 20) for _ in range(count)]


@pytest.mark.parametrize(
    "overlaps, outcome",
    [(noisy(0.9, 0.5), HOLDS), (noisy(0.5, 0.9), FAILS), (noisy(0.7, 0.7), OPEN), (noisy(0.9, 0.5, count=1), OPEN)],
)
def test_erosion(overlaps, outcome):
    assert outcome_of(claims.erosion(tracks(*overlaps))) == outcome


@pytest.mark.parametrize("absent", [slice(0, 0), slice(2, 4), slice(17, 20)])
def test_erosion_in_numbers(absent):
    """Absent targets neither hide it nor feign it: that no box is read there, which would count as 1, is left out."""
    finding = claims.erosion(tracks(np.r_[1, np.full(14, 0.8), np.full(5, 0.4)], absent=absent))[""]
    assert finding.numbers == pytest.approx({"early": 0.8, "late": 0.4})


def test_a_target_that_never_comes_back_is_left_out():
    gone = tracks(*noisy(0.9, 0.5, count=4), absent=slice(10, 20)).predictions
    there = tracks(*noisy(0.9, 0.5)).predictions
    assert claims.erosion(Run(NOWHERE, {}, pd.concat([gone, there]))) == claims.erosion(Run(NOWHERE, {}, there))


@pytest.mark.parametrize("name", ["colorfulness", "cdc"])
@pytest.mark.parametrize("difference, outcome", [(0.02, HOLDS), (-0.02, FAILS), (0, OPEN)])
def test_colors_beside_the_data(name, difference, outcome):
    test = claims.against_the_data(name)
    true = np.random.default_rng(0).uniform(0.1, 0.2, 50)
    noise = 0.01 * np.tile([1, -1], 25)
    table = pd.DataFrame({name: true + difference + noise, f"{name}_true": true})
    assert outcome_of(test(Run(NOWHERE, {}, table))) == outcome
    assert outcome_of(test(Run(NOWHERE, {}, table.head(1)))) == OPEN


@pytest.mark.parametrize("times, outcome", [(1.5, HOLDS), (0.5, FAILS), (1.05, OPEN)])
def test_attention_that_was_counted(tmp_path, times, outcome):
    row = {"claim": "objects", "counted": "colored objects", "times": times, "error": 0.1, "n": 24}
    pd.DataFrame([row]).to_csv(tmp_path / "attention.csv", index=False)
    run = Run(tmp_path, {}, None)
    assert outcome_of(claims.attention_claim("objects")(run)) == outcome
    assert outcome_of(claims.attention_claim("key words")(run)) == UNTESTABLE
    assert outcome_of(claims.attention_claim("objects")(Run(NOWHERE, {}, None))) == UNTESTABLE


def test_every_sentence_that_is_counted_is_a_claim(tmp_path):
    counted = {claim for rows in attention_claims.COUNTED.values() for claim, *_ in rows} | {"informative words"}
    rows = [{"claim": claim, "counted": "", "times": 2.0, "error": 0.1, "n": 9} for claim in counted]
    pd.DataFrame(rows).to_csv(tmp_path / "attention.csv", index=False)
    tests = [claim for claim in CLAIMS if claim.notebook == "11"]
    run = Run(tmp_path, {}, None)
    assert len(tests) == len(counted) and all(outcome_of(claim.test(run)) == HOLDS for claim in tests)


# ------------------------------------------------------------------------------------------------ all claims


def test_every_claim_has_a_line(tmp_path):
    table = claims.claims(tmp_path)
    assert table["The paper (section 5)"].tolist() == [claim.words for claim in CLAIMS]
    assert set(table.Verdict) == {"not measured"} and not table.Data.any()


def test_claims_of_a_results_folder(tmp_path):
    """All seeds count, spoken digits of either set do, and an answer that was not read is none."""
    for seed in range(3):
        write(
            tmp_path,
            f"fsdd-seed{seed}",
            scored("fsdd", dataset="Free Spoken Digits", n=1200, seed=seed),
            predicted({("five", "four"): 40, ("two", ""): 3}),
        )
    write(tmp_path, "sst2", scored())
    table = claims.claims(tmp_path).set_index("Notebook")
    digits = table.loc["07"]
    assert (digits.Data, digits.Seeds, digits.Verdict) == ("Free Spoken Digits, real, n = 1,200", 3, HOLDS)
    assert digits.Seen.startswith("43.0 errors, 40.0 between four and five")
    assert table.loc["01"].Verdict == UNTESTABLE and (table.Verdict == "not measured").sum() == len(CLAIMS) - 3


# ------------------------------------------------------------------------------------------------ informative words


def reviews(*rows: tuple[str, str, str], most: int = 20) -> VideoStore:
    """A store of (split, question, answer), whose questions keep their last words."""
    shown = [[*tokenize(question)[-most:], separator().key, answer] for _, question, answer in rows]
    vocabulary = sorted(set(sum(shown, [])))
    sequences = np.full((len(rows), max(map(len, shown))), -1, np.int32)
    for sequence, line in zip(sequences, shown):
        sequence[: len(line)] = [vocabulary.index(word) for word in line]
    answers = pd.DataFrame(rows, columns=["split", "question", "answer"]).assign(
        n_in=[len(line) - 1 for line in shown], n_out=1, n_truncated=0
    )
    return VideoStore(Path("memory"), {}, np.stack([word_frame(word) for word in vocabulary]), sequences, answers)


def test_informative_words():
    """Of 20 reviews with "good" all are positive, of 40 with "film" half: (20 + 5) / 30 is 1/3 above the usual half,
    and 1/2 is 0."""
    store = reviews(
        *20 * [("train", "good film", "positive")],
        *20 * [("train", "bad film", "negative")],
        ("test", "a good film", "positive"),
        ("test", "bad", "negative"),
        ("test", "one two three four bad film", "negative"),
        most=4,
    )
    torch.manual_seed(0)
    net = NextFrame(ModelConfig(width=32, heads=1, local_blocks=1, global_blocks=1, max_frames=8))
    found = attention_claims.on_most_informative_word(net, store)
    split, expected = store.split("test"), []
    for row, place in enumerate((1, 0, 2)):  # good; bad; bad, of the four words that are left
        n_in = split.metadata.n_in[row]
        weights = attention_maps(net, split.gather([row])[:, :n_in]).temporal[0, :-1]  # without the separator's own
        expected.append(float(weights[place] / weights.mean()))
    assert sorted(found) == pytest.approx(sorted(expected), rel=1e-4)
    assert len(attention_claims.on_most_informative_word(net, store, limit=1)) == 1


def test_a_run_that_has_learned_nothing_tests_nothing(tmp_path):
    track = {
        "answer": json.dumps([[0, 0, 10, 10]] * 8),
        "answer_read": json.dumps([[0, 0, 10, 10]] * 3 + [[30, 30, 10, 10]] * 5),
    }
    for name, iou in (("good", 0.6), ("bad", 0.2)):
        for seed in range(3):
            metrics = scored("lasot", iou=iou, seed=seed, baselines={"first box kept": {"iou": 0.25}})
            predictions = pd.DataFrame([track, {**track, "answer_read": track["answer"]}] * 8)
            write(tmp_path / name, f"lasot-seed{seed}", metrics, predictions)
    found = [claims.claims(tmp_path / name).query("Notebook == '06'").Verdict.item() for name in ("good", "bad")]
    assert found == [HOLDS, "no better than a trivial answer"]


# ------------------------------------------------------------------------------------------------ beside the trivial


def test_the_best_trivial_answer():
    asked = scored(
        baselines={
            "always “red”": {"accuracy": 0.2, "f1": 0.1},
            "from the question alone": {"accuracy": 0.35, "f1": 0.3},
        }
    )
    labels = scored(f1_micro=0.5, baselines={"always “a”": {"accuracy": 0.9, "f1": 0.25}})
    colors = scored(
        psnr=28.0, cdc=0.2, colorfulness=70.0, baselines={"gray input copied": {"psnr": 25.0}, "the data": {"cdc": 0.1}}
    )
    boxes = scored(iou=0.6, baselines={"first box kept": {"iou": 0.25}})
    assert [headline(m) for m in (asked, labels, colors, boxes)] == [
        ("accuracy", 80),
        ("f1", 80),
        ("psnr", 28),
        ("iou", 0.6),
    ]
    assert [best_trivial(m) for m in (asked, labels, colors, boxes)] == [35, 25, 25, 0.25]
    assert best_trivial(scored(baselines={})) is None


def test_margins_over_every_trivial_answer(tmp_path):
    write(
        tmp_path,
        "clevrer",
        scored(baselines={"always “red”": {"accuracy": 0.2}, "from the question alone": {"accuracy": 0.85}}),
    )
    write(
        tmp_path,
        "colorization",
        scored(
            "colorization",
            psnr=28.0,
            cdc=0.2,
            colorfulness=70.0,
            baselines={"gray input copied": {"psnr": 25.5, "cdc": 0.0}, "the data": {"cdc": 0.1, "colorfulness": 71.0}},
        ),
    )
    write(tmp_path, "lasot", scored(iou=0.6, baselines={"first box kept": {"iou": 0.25}}))
    write(tmp_path, "lasot-seed1", scored(iou=0.7, seed=1, baselines={"first box kept": {"iou": 0.25}}))
    table = table2.margins(tmp_path)[["Measure", "Ours", "Compared with", "Its score", "Margin"]]
    assert table.values.tolist() == [
        ["Acc", "80.0", "always “red”", "20.0", "+60.0"],
        ["Acc", "80.0", "from the question alone", "85.0", "-5.0"],
        ["PSNR", "28.0", "gray input copied", "25.5", "+2.5"],
        ["CDC", "0.2000", "the data", "0.1000", "2.00 times"],
        ["IoU", "0.600", "first box kept", "0.250", "+0.350"],
    ]


def test_a_run_in_table_2(tmp_path):
    """Our own score, its subsets and what is trivial, below the paper's rows; where the data or the weights are of
    elsewhere, the label says so."""
    subsets = {"at most 20 tokens": {"n": 400, "accuracy": 0.9, "f1": 0.9}}
    training = {"seconds": 90.0, "device": "CPU", "exported": "float16"}
    write(tmp_path, "sst2", scored(subsets=subsets, trained_on="miniature", training=training))
    write(tmp_path, "sst2-seed1", scored(seed=1))
    table = table2.write_table2(tmp_path).set_index("model")
    ours, label = table[table.data == "real"], "evlib demo, seed 0, trained on miniature data"
    assert ours.index.tolist() == [label, f"{label}: at most 20 tokens", "always “positive”"]
    assert (
        ours.accuracy.tolist() == [80, 90, 50]
        and ours.n.tolist() == [1000, 400, 1000]
        and ours.train_seconds[label] == 90
    )
    assert table.accuracy["the paper"] == 75.5 and set(table.task) == {"Text Classification"}
    text = (tmp_path / "table2.md").read_text()
    assert "| +30.0 |" in text and text.count("not measured") == len(CLAIMS) - 2


def test_the_tables_of_the_front_page(tmp_path):
    for seed, accuracy in ((0, 0.8), (1, 0.9)):
        write(
            tmp_path / "demo",
            f"sst2-seed{seed}",
            scored(seed=seed, accuracy=accuracy, data="miniature", trained_on="miniature"),
        )
    tracking = scored(
        "lasot",
        table2_row="Object Tracking",
        dataset="LaSOT",
        iou=0.6,
        trained_on="miniature",
        baselines={"first box kept": {"iou": 0.25}},
    )
    write(tmp_path / "real", "lasot", tracking)
    write(tmp_path / "real", "sst2", scored())
    model = {"task": "sst2", "dataset": "SST-2", "data": "real", "model": "bag of words", "accuracy": 0.825}
    pd.DataFrame([model]).to_csv(tmp_path / "baselines.csv", index=False)
    small = pages.miniatures(tmp_path)
    assert small.values.tolist() == [["Text Classification", "SST-2", "Acc", "80.0 / 90.0", "1,000", "2", "50.0"]]
    real = pages.real_data(tmp_path).set_index("Data set")
    assert real.index.tolist() == ["SST-2", "LaSOT"]  # in the paper's order
    assert real.Task.tolist() == ["Text Classification", "Object Tracking"]
    assert real.loc["SST-2"].tolist()[1:] == ["Acc", "75.5", "80.0", "1,000", "2", "50.0", "bag of words 82.5"]
    assert real.loc["LaSOT"].tolist()[1:] == ["IoU", "0.63", "0.60", "1,000", "2 (on the miniature)", "0.25", ""]
    table = pages.baselines(tmp_path)
    assert table.values.tolist() == [
        ["SST-2, real", "bag of words", "82.5"],
        ["SST-2, real", "evlib, preset demo", "80.0"],
    ]


def test_a_run_that_is_not_finished_has_no_minutes(tmp_path):
    for profile in ("demo", "real"):
        write(tmp_path / profile, "sst2", scored(training=None, baselines={}))
    assert pages.miniatures(tmp_path).Minutes.tolist() == pages.real_data(tmp_path).Minutes.tolist() == [""]
    assert set(pages.seeds(tmp_path)[["Best trivial answer", "Steps", "Minutes"]].values.ravel()) == {""}


def test_two_answers_are_no_percentage(tmp_path):
    write(tmp_path / "real", "tgifqa", scored("tgifqa", table2_row="Video QA", dataset="TGIF-QA", accuracy=0.5, n=2))
    assert pages.real_data(tmp_path).Ours.tolist() == ["1 of 2"]


def test_what_is_quoted_keeps_its_digits():
    table = pd.DataFrame({"data": ["paper", "real"], "cdc": [0.02, 0.0217], "iou": [0.63, 0.6]})
    assert table2.markdown(table).splitlines()[2:] == ["| paper | 0.02 | 0.63 |", "| real | 0.0217 | 0.60 |"]
