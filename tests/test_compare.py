"""The comparison of recipes: what it can judge, and what it writes."""

from pathlib import Path

import pandas as pd
import pytest

from evlib.data import tasks
from evlib.data.encode import encode
from evlib.data.store import VideoStore
from evlib.paper import recipes as comparing
from evlib.paper.recipes import compare, save
from evlib.utils.errors import EvlibError

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("name", ["tinyvirat", "lasot", "colorization"])
def test_answers_that_are_no_word_are_refused_before_anything_is_done(command, tmp_path, monkeypatch, name):
    monkeypatch.setattr(comparing, "train", pytest.fail)
    says = f"Variants are compared by the one word that they answer, which {name} does not: name one of sst2, cifar10, audiomnist, fsdd, clevrer, tgifqa."
    with pytest.raises(EvlibError, match=says):
        compare(VideoStore(Path("memory"), {"task": name}, None, None, None), 16)
    status, _, complaint = command("compare", name, "--out", tmp_path / "recipe.csv", "--data", tmp_path)
    assert (status, complaint) == (2, f"evlib: {says}\n")


def test_a_variant_is_a_row(data, tmp_path):
    store = encode(tasks.get("sst2"), data, log=lambda line: None)
    for _ in range(2):
        save(compare(store, 16, variants=["batch 8"], log=lambda line: None), tmp_path / "recipe.csv")
    [row] = pd.read_csv(tmp_path / "recipe.csv").to_dict("records")  # the second in place of the first
    assert (row["task"], row["variant"], row["batch"], row["steps"], row["sequences"]) == ("sst2", "batch 8", 8, 2, 16)
    assert 0 <= row["validation_accuracy"] <= 1 and row["n"] == store.manifest["splits"]["validation"]
