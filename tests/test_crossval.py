"""Each group is tested by a network that has not seen it."""

import json
from dataclasses import replace

import pytest

from evlib.data import tasks
from evlib.data.encode import encode
from evlib.paper import crossval
from evlib.paper.crossval import leave_one_out
from evlib.utils.errors import EvlibError

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def store(data):
    store = encode(tasks.get("sst2"), data, log=lambda line: None)
    groups = [f"actor-{i % 3}" for i in range(len(store.metadata))]
    return replace(store, metadata=store.metadata.assign(group=groups))


def test_every_group_is_left_out_once(store, tmp_path, monkeypatch):
    seen, train = [], crossval.train

    def spy(config, fold, out, log):
        seen.append({split: set(rows.group) for split, rows in fold.metadata.groupby("split")})
        return train(config, fold, out, log=log)

    monkeypatch.setattr(crossval, "train", spy)
    config = tasks.get("sst2").config("demo", width=32, heads=2, global_blocks=1, steps=2, batch=4)
    result = leave_one_out(config, store, tmp_path, log=lambda line: None)
    assert [fold["test"] for fold in seen] == [{"actor-0"}, {"actor-1"}, {"actor-2"}]
    for fold in seen:
        assert len(fold["train"]) == 1 and fold["train"] | fold["validation"] | fold["test"] == set(
            store.metadata.group
        )
    assert result["n"] == len(store.metadata) and result["dataset"] == "SST-2, each of 3 groups left out in turn"
    assert json.loads((tmp_path / "metrics.json").read_text())["accuracy"] == result["accuracy"]


def test_too_few_groups_are_a_sentence(store, tmp_path):
    two = replace(store, metadata=store.metadata.assign(group=["a", "b"] * (len(store.metadata) // 2)))
    config = tasks.get("sst2").config("demo", steps=2)
    with pytest.raises(EvlibError, match="expected 3 to 50 groups, sst2 has 2"):
        leave_one_out(config, two, tmp_path)
