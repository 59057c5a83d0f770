"""The comparison of recipes: what it can judge, what each variant is, and what it writes."""

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from evlib.data import tasks
from evlib.data.encode import encode
from evlib.data.store import VideoStore
from evlib.paper import recipes
from evlib.paper.recipes import KEY, VARIANTS, compare
from evlib.utils.errors import EvlibError
from evlib.utils.files import update_csv
from evlib.utils.paths import project

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("name", ["tinyvirat", "lasot", "colorization"])
def test_answers_that_are_no_word_are_refused_before_anything_is_done(command, tmp_path, monkeypatch, name):
    monkeypatch.setattr(recipes, "train", pytest.fail)
    sentence = (
        f"Variants are compared by the one word that they answer, which {name} does not: "
        "name one of sst2, cifar10, audiomnist, fsdd, clevrer, tgifqa."
    )
    with pytest.raises(EvlibError, match=sentence):
        compare(VideoStore(Path("memory"), {"task": name}, None, None, None), 16, 0, "batch 8")
    status, _, complaint = command("compare", name, "--out", tmp_path / "recipe.csv", "--data", tmp_path)
    assert (status, complaint) == (2, f"evlib: {sentence}\n")


@pytest.fixture
def store(data):
    return encode(tasks.get("sst2"), data, log=lambda line: None)


def test_a_variant_is_a_row(store, tmp_path):
    for _ in range(2):
        row = compare(store, 16, 0, "batch 8", log=lambda line: None)
        update_csv(tmp_path / "recipe.csv", [row], KEY)
    [row] = pd.read_csv(tmp_path / "recipe.csv").to_dict("records")  # the second in place of the first
    assert (row["task"], row["variant"], row["batch"], row["steps"], row["sequences"]) == ("sst2", "batch 8", 8, 2, 16)
    assert 0 <= row["validation_accuracy"] <= 1 and row["n"] == store.manifest["splits"]["validation"]


def test_each_variant_differs_from_demo_in_what_it_names(store, monkeypatch):
    """In one of two tasks at least: SST-2 has no stem and power 1 all the time, TGIF-QA no augmentation."""
    seen = []

    def note(config, used, run, log):
        seen.append((config, used.frames[0].mean() > 128, len(used.split("train"))))
        raise EvlibError("not trained")

    monkeypatch.setattr(recipes, "train", note)
    other = replace(store, manifest={**store.manifest, "task": "tgifqa"})
    for name in VARIANTS:
        for used in (store, other):
            with pytest.raises(EvlibError, match="not trained"):
                compare(used, 160, 0, name, examples=40)
    assert len(set(zip(seen[::2], seen[1::2]))) == len(VARIANTS) and {number for *_, number in seen} == {40}
    assert [inverted for _, inverted, _ in seen[::2]].count(True) == 1  # black on white
    assert {config.steps * config.train.batch for config, *_ in seen} == {160}


def test_published_comparisons_are_of_variants_that_are_known():
    files = list((project() / "results" / "recipe").glob("*.csv"))
    assert files and {name for path in files for name in pd.read_csv(path).variant} <= set(VARIANTS)
