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
from evlib.paper import claims
from evlib.paper import table2 as report
from evlib.paper.claims import CLAIMS, Run

NOWHERE = Path("nowhere")
HOLDS, FAILS, OPEN, UNTESTABLE = "holds", "not seen here", "undecided", "cannot be tested"


def scored(task: str = "sst2", **changes) -> dict:
    """What evaluate writes into metrics.json, in short."""
    return {
        "task": task,
        "row": "Text Classification",
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


def test_two_standard_errors_decide():
    assert [claims.verdict(difference, 1.0) for difference in (2.1, 2.0, 0, -2.0, -2.1)] == [
        HOLDS,
        OPEN,
        OPEN,
        OPEN,
        FAILS,
    ]
    assert claims.verdict(1.0, 0.0) == claims.verdict(float("nan"), float("nan")) == OPEN
    assert claims.paired(np.array([1.0, 2, 3, 4])) == (2.5, pytest.approx(np.sqrt(5 / 3) / 2))
    assert claims.paired(np.array([1.0])) == (1.0, 0.0)


@pytest.mark.parametrize(
    "whole, short, outcome", [(0.80, 0.90, HOLDS), (0.80, 0.70, FAILS), (0.80, 0.81, OPEN), (0.80, None, UNTESTABLE)]
)
def test_short_reviews(whole, short, outcome):
    """Half of the reviews are short; the others score as far below the whole as those above it."""
    subsets = {} if short is None else {"at most 20 tokens": {"n": 500, "accuracy": short, "f1": short}}
    seen, found = claims.truncation(Run(NOWHERE, scored(accuracy=whole, f1=whole, subsets=subsets), None))
    assert found == outcome
    assert seen == (
        "no review is longer than 20 tokens"
        if short is None
        else f"F1 80.0 on all, {100 * short:.1f} on the 500 short reviews"
    )


def test_all_reviews_are_short():
    subsets = {"at most 20 tokens": {"n": 1000, "accuracy": 0.8, "f1": 0.8}}
    assert claims.truncation(Run(NOWHERE, scored(subsets=subsets), None))[1] == UNTESTABLE


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
    assert claims.four_and_five(run)[1] == outcome


def test_errors_are_named():
    run = Run(NOWHERE, {}, predicted({("five", "four"): 3, ("two", ""): 4}))
    assert claims.four_and_five(run)[0] == "7 errors; most often nothing and two 4 times, five and four 3 times"


@pytest.mark.parametrize(
    "accuracy, blind, outcome", [(0.50, 0.40, HOLDS), (0.40, 0.50, FAILS), (0.50, 0.49, OPEN), (0.50, None, UNTESTABLE)]
)
def test_beyond_the_question(accuracy, blind, outcome):
    baselines = {} if blind is None else {"from the question alone": {"accuracy": blind}}
    seen, found = claims.beyond_the_question(
        Run(NOWHERE, scored("clevrer", accuracy=accuracy, baselines=baselines), None)
    )
    assert found == outcome
    assert seen == (
        "no training questions to guess from"
        if blind is None
        else f"accuracy {100 * accuracy:.1f}, from the question alone {100 * blind:.1f}"
    )


def tracks(*overlaps: np.ndarray, absent: slice = slice(0, 0)) -> Run:
    """Boxes of 10 x 10 that are read a little to the right, so far that they overlap so much; some are neither there nor read."""
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
    assert claims.erosion(tracks(*overlaps))[1] == outcome


@pytest.mark.parametrize("absent", [slice(0, 0), slice(2, 4), slice(17, 20)])
def test_erosion_in_numbers(absent):
    """Absent targets neither hide it nor feign it: that no box is read there, which would count as 1, is left out."""
    seen, _ = claims.erosion(tracks(np.r_[1, np.full(14, 0.8), np.full(5, 0.4)], absent=absent))
    assert "IoU 0.80 " in seen and " 0.40 " in seen


def test_a_target_that_never_comes_back_is_left_out():
    gone = tracks(*noisy(0.9, 0.5, count=4), absent=slice(10, 20)).predictions
    there = tracks(*noisy(0.9, 0.5)).predictions
    assert claims.erosion(Run(NOWHERE, {}, pd.concat([gone, there]))) == claims.erosion(Run(NOWHERE, {}, there))


@pytest.mark.parametrize("test, name", [(claims.vividness, "colorfulness"), (claims.inconsistency, "cdc")])
@pytest.mark.parametrize("difference, outcome", [(0.02, HOLDS), (-0.02, FAILS), (0, OPEN)])
def test_colours_beside_the_data(test, name, difference, outcome):
    true = np.random.default_rng(0).uniform(0.1, 0.2, 50)
    noise = 0.01 * np.tile([1, -1], 25)
    table = pd.DataFrame({name: true + difference + noise, f"{name}_true": true})
    assert test(Run(NOWHERE, {}, table))[1] == outcome
    assert test(Run(NOWHERE, {}, table.head(1)))[1] == OPEN


@pytest.mark.parametrize("share, outcome", [(0.5, HOLDS), (0.1, FAILS), (0.25, OPEN)])
def test_key_words(tmp_path, share, outcome):
    """Fifty questions of four words, of which "dull" tells the answer; the others share the rest of the attention."""
    rng = np.random.default_rng(0)
    rows = []
    for row in range(50):
        given = share + rng.uniform(-0.03, 0.03)
        rows += [
            (row, place, word, given if word == "dull" else (1 - given) / 3, 0.4 if word == "dull" else 0.1)
            for place, word in enumerate(("null", "is", "dull", "today"))
        ]
    pd.DataFrame(rows, columns=["row", "place", "word", "attention", "informativeness"]).to_csv(
        tmp_path / "attention.csv", index=False
    )
    seen, found = claims.key_words(Run(tmp_path, {}, None))
    assert found == outcome and f"gets {4 * share:.1f}" in seen
    assert outcome == OPEN or ("most looked at: dull" in seen) == (outcome == HOLDS)


def test_attention_that_nobody_looked_at(tmp_path):
    assert claims.key_words(Run(tmp_path, {}, None)) == ("", "not measured: notebook 01 has not run")


# ------------------------------------------------------------------------------------------------ all claims


def test_every_claim_has_a_line(tmp_path):
    table = claims.claims(tmp_path)
    assert table["The paper (section 5)"].tolist() == [claim.words for claim in CLAIMS]
    assert set(table.Verdict) == {"not measured: no such run"} and not table.Data.any()


def test_claims_of_a_results_folder(tmp_path):
    """Further seeds do not count, spoken digits of either set do, and an answer that was not read is none."""
    write(tmp_path, "sst2", scored())
    write(tmp_path, "clevrer-seed1", scored("clevrer"))
    write(
        tmp_path,
        "fsdd",
        scored("fsdd", dataset="Free Spoken Digits", n=1200),
        predicted({("five", "four"): 40, ("two", ""): 3}),
    )
    table = claims.claims(tmp_path)
    by_words = {
        words.split("”")[0]: (data, seen, verdict) for words, _, data, seen, verdict in table.itertuples(index=False)
    }
    assert by_words["“the most frequent error involves confusion between the spoken digits four and five"] == (
        "Free Spoken Digits, real, n = 1,200",
        "43 errors; most often five and four 40 times, nothing and two 3 times",
        HOLDS,
    )
    assert table.Verdict.tolist().count("not measured: no such run") == len(CLAIMS) - 3
    assert (
        table.Verdict.tolist()[0] == UNTESTABLE
        and table.Verdict.tolist()[-1] == "not measured: notebook 01 has not run"
    )


# ------------------------------------------------------------------------------------------------ words that tell


def reviews(*rows: tuple[str, str, str], most: int = 20) -> VideoStore:
    """A store of (split, question, answer), whose questions keep their last words."""
    shown = [[*tokenize(question)[-most:], separator().key, answer] for _, question, answer in rows]
    vocabulary = sorted(set(sum(shown, [])))
    sequences = np.full((len(rows), max(map(len, shown))), -1, np.int32)
    for sequence, line in zip(sequences, shown):
        sequence[: len(line)] = [vocabulary.index(word) for word in line]
    answers = pd.DataFrame(rows, columns=["split", "question", "answer"]).assign(
        n_in=[len(line) - 1 for line in shown], n_out=1
    )
    return VideoStore(Path("memory"), {}, np.stack([word_frame(word) for word in vocabulary]), sequences, answers)


def test_words_that_tell_the_answer():
    """Of 20 reviews with "good" all are positive, of 40 with "film" half: (20 + 5) / 30 is 1/3 above the usual half, and 1/2 is 0."""
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
    table = claims.label_informativeness(net, store).sort_values(["row", "place"])
    assert table.groupby("row").word.agg(list).tolist() == [
        ["a", "good", "film"],
        ["bad"],
        ["three", "four", "bad", "film"],
    ]
    assert np.allclose(table.groupby("row").attention.sum(), 1, atol=1e-3) and table.place.tolist() == [
        0,
        1,
        2,
        0,
        0,
        1,
        2,
        3,
    ]
    informativeness = table.groupby("word").informativeness.first()
    assert (
        informativeness["good"] == informativeness["bad"] == 0.3333
        and informativeness["film"] == informativeness["a"] == informativeness["three"] == 0
    )
    assert set(claims.label_informativeness(net, store, limit=1).row) == {0}


def test_a_run_that_has_learnt_nothing_tests_nothing(tmp_path):
    track = {
        "answer": json.dumps([[0, 0, 10, 10]] * 8),
        "answer_read": json.dumps([[0, 0, 10, 10]] * 3 + [[30, 30, 10, 10]] * 5),
    }
    for name, iou in (("good", 0.6), ("bad", 0.2)):
        write(
            tmp_path / name,
            "lasot",
            scored("lasot", iou=iou, baselines={"first box kept": {"iou": 0.25}}),
            pd.DataFrame([track, {**track, "answer_read": track["answer"]}] * 8),
        )
    found = [claims.claims(tmp_path / name).query("Notebook == '06'").Verdict.item() for name in ("good", "bad")]
    assert found == [HOLDS, "cannot be tested: the run is no better than a trivial answer"]


# ------------------------------------------------------------------------------------------------ beside the trivial answers


def test_the_best_trivial_answer():
    asked = scored(
        baselines={
            "always “red”": {"accuracy": 0.2, "f1": 0.1},
            "from the question alone": {"accuracy": 0.35, "f1": 0.3},
        }
    )
    labels = scored(f1_micro=0.5, baselines={"always “a”": {"accuracy": 0.9, "f1": 0.25}})
    colours = scored(
        psnr=28.0, cdc=0.2, colorfulness=70.0, baselines={"grey input copied": {"psnr": 25.0}, "the data": {"cdc": 0.1}}
    )
    boxes = scored(iou=0.6, baselines={"first box kept": {"iou": 0.25}})
    assert [report.headline(m) for m in (asked, labels, colours, boxes)] == [
        ("accuracy", 80),
        ("f1", 80),
        ("psnr", 28),
        ("iou", 0.6),
    ]
    assert [report.best_trivial(m) for m in (asked, labels, colours, boxes)] == [35, 25, 25, 0.25]
    assert report.best_trivial(scored(baselines={})) is None


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
            baselines={"grey input copied": {"psnr": 25.5, "cdc": 0.0}, "the data": {"cdc": 0.1, "colorfulness": 71.0}},
        ),
    )
    write(tmp_path, "lasot", scored(iou=0.6, baselines={"first box kept": {"iou": 0.25}}))
    write(tmp_path, "lasot-seed1", scored(iou=0.7, seed=1, baselines={"first box kept": {"iou": 0.25}}))
    table = report.margins(tmp_path)[["Measure", "Ours", "Compared with", "Its score", "Margin"]]
    assert table.values.tolist() == [
        ["Acc", "80.0", "always “red”", "20.0", "+60.0"],
        ["Acc", "80.0", "from the question alone", "85.0", "-5.0"],
        ["PSNR", "28.0", "grey input copied", "25.5", "+2.5"],
        ["CDC", "0.2000", "the data", "0.1000", "2.00 times"],
        ["IoU", "0.600", "first box kept", "0.250", "+0.350"],
    ]


def test_a_run_in_table_2(tmp_path):
    """Our own score, its subsets and what is trivial, below the paper's rows; where the data or the weights are of elsewhere, the label says so."""
    subsets = {"at most 20 tokens": {"n": 400, "accuracy": 0.9, "f1": 0.9}}
    training = {"seconds": 90.0, "device": "CPU", "stored": "float16"}
    write(tmp_path, "sst2", scored(subsets=subsets, trained_on="miniature", training=training))
    write(tmp_path, "sst2-seed1", scored(seed=1))
    table = report.write_table2(tmp_path).set_index("model")
    ours, label = table[table.data == "real"], "evlib demo, seed 0, trained on miniature data, stored weights"
    assert ours.index.tolist() == [label, f"{label}: at most 20 tokens", "always “positive”"]
    assert (
        ours.accuracy.tolist() == [80, 90, 50]
        and ours.n.tolist() == [1000, 400, 1000]
        and ours.train_seconds[label] == 90
    )
    assert table.accuracy["the paper"] == 75.5 and set(table.task) == {"Text Classification"}
    text = (tmp_path / "table2.md").read_text()
    assert "| +30.0 |" in text and text.count("not measured") == len(CLAIMS) - 1


def test_the_overview_of_both_kinds_of_data(tmp_path):
    for seed, accuracy in ((0, 0.8), (1, 0.9)):
        write(tmp_path / "demo", f"sst2-seed{seed}", scored(seed=seed, accuracy=accuracy))
    write(
        tmp_path / "demo",
        "fsdd",
        scored("fsdd", row="Audio Classification", dataset="Free Spoken Digits", baselines={}),
    )
    write(
        tmp_path / "real",
        "lasot",
        scored(
            "lasot",
            row="Object Tracking",
            dataset="LaSOT",
            iou=0.6,
            trained_on="miniature",
            baselines={"first box kept": {"iou": 0.25}},
        ),
    )
    table = report.overview(tmp_path).fillna("").set_index("Dataset")
    assert table.index.tolist() == [
        "SST-2",
        "LaSOT",
        "Free Spoken Digits",
    ]  # the paper's rows in its order, then others
    assert table.loc["SST-2"].tolist()[:6] == [
        "Text Classification",
        "Acc",
        "75.5",
        "80.0 / 90.0",
        "50.0",
        "1.5 min, CPU",
    ]
    assert table.loc["LaSOT"].tolist()[2:] == ["0.63", "", "", "", "0.60", "0.25", "1.5 min, CPU, on the miniature"]
    assert table.loc["Free Spoken Digits", ["Paper", "Ours, miniature", "trivial, miniature"]].tolist() == [
        "",
        "80.0",
        "",
    ]


def test_a_run_that_is_not_finished_has_no_minutes(tmp_path):
    for profile in ("demo", "real", "fast"):
        write(tmp_path / profile, "sst2", scored(training=None, baselines={}))
    assert report.overview(tmp_path)[["trained, miniature", "trained, real data"]].values.tolist() == [["", ""]]
    assert report.seeds(tmp_path)[["best trivial answer", "steps", "trained, s"]].values.tolist() == [["", "", ""]]
    assert report.on_a_gpu(tmp_path).Device[0] == "not finished"


@pytest.mark.parametrize(
    "device, seconds, outcome",
    [("NVIDIA H200", 1.0, (0.5, True)), ("a CUDA GPU", None, (0.4, False)), ("CPU, 1 thread", 1.0, (0.4, False))],
)
def test_utilisation_is_of_the_makers_rate(tmp_path, device, seconds, outcome):
    """On the GPU one big product reaches less than its maker says; minutes and money are counted by what he says."""
    lines = [
        {
            "what": "training step",
            "preset": name,
            "seconds": seconds,
            "gflop_per_second": rate,
            "utilisation": 0.9,
            "device": device,
        }
        for name, rate in (("paper", 989e3 / 2), ("demo", 10.0))
    ]
    (tmp_path / "bench").mkdir()
    pd.DataFrame(lines).to_csv(tmp_path / "bench" / "network.csv")
    assert report.utilisation(tmp_path) == pytest.approx(outcome)


def test_two_answers_are_no_percentage(tmp_path):
    write(tmp_path / "real", "tgifqa", scored("tgifqa", row="Video QA", dataset="TGIF-QA", accuracy=0.5, n=2))
    assert report.overview(tmp_path)["Ours, real data"].tolist() == ["1 of 2"]


def test_what_is_quoted_keeps_its_digits():
    table = pd.DataFrame({"data": ["paper", "real"], "cdc": [0.02, 0.0217], "iou": [0.63, 0.6]})
    assert report.markdown(table).splitlines()[2:] == ["| paper | 0.02 | 0.63 |", "| real | 0.022 | 0.60 |"]
