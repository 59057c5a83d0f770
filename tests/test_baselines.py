"""Simple models on the same examples, and how long every row is trained."""

import numpy as np
import pandas as pd
import pytest
import torch

from evlib.data import tasks
from evlib.data.encode import encode
from evlib.paper import baselines
from evlib.paper.budgets import MINIATURE, REAL, budget
from evlib.utils.files import update_csv

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def stores(miniature):
    return {name: encode(tasks.get(name), miniature, log=lambda line: None) for name in ("sst2", "cifar10")}


def test_a_bag_of_words_reads_the_miniature(stores):
    """Negation takes word pairs; the most frequent answer has half of them."""
    row = baselines.fit("bag-of-words", stores["sst2"])
    assert row["model"] == "bag of words" and row["n"] == len(stores["sst2"].split("test")) and row["accuracy"] > 0.7


def test_a_convnet_learns_drawings(stores):
    assert baselines.fit("convnet", stores["cifar10"], epochs=2)["accuracy"] > 0.5  # 0.1 is guessing


def test_an_lstm_sees_the_words_and_with_a_cnn_the_clip():
    torch.manual_seed(0)
    words, clip = torch.randint(1, 9, (2, 5)), torch.randint(0, 255, (2, 4, 3, 64, 64), dtype=torch.uint8)
    for frames in (False, True):
        net = baselines.QuestionNet(9, 3, frames, width=16).eval()
        same, other_words = net(words, clip), net(words.flip(0), clip)
        assert same.shape == (2, 3) and not torch.allclose(same, other_words)
        assert torch.allclose(same, net(words, 255 - clip)) != frames


def test_a_row_replaces_its_older_self(tmp_path):
    path, row = tmp_path / "rows.csv", {"task": "a", "data": "real", "model": "m", "seed": 0, "accuracy": 0.5}
    update_csv(path, [row, {**row, "seed": 1}], baselines.KEY, sort=True)
    update_csv(path, [{**row, "accuracy": 0.75}], baselines.KEY, sort=True)
    assert pd.read_csv(path).accuracy.tolist() == [0.75, 0.5]


def test_every_row_has_an_end():
    assert set(REAL) == set(tasks.TASKS) and set(MINIATURE) == set(tasks.TASKS) - {"fsdd"}
    assert np.all([budget(name, "demo", data)["steps"] > 0 for name in tasks.TASKS for data in ("miniature", "real")])
    timed = budget("sst2", "demo", "real", minutes=2.0)
    assert timed["minutes"] == 2.0 and timed["batch"] == REAL["sst2"]["batch"] and "short_first" not in timed
    assert budget("sst2", "fast", "real") == {"minutes": 25.0} and budget("fsdd", "fast", "real") == {"minutes": 5.0}
