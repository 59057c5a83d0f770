"""Answers generated on one machine and read on another are those generated and read on one."""

import numpy as np
import pandas as pd
import pytest

import evlib.scoring.evaluate as evaluation
from evlib.data import tasks
from evlib.data.encode import encode
from evlib.scoring.evaluate import GENERATED, evaluate, generate_test_set

pytestmark = pytest.mark.usefixtures("one_thread")


def quiet(line: str) -> None:
    pass


@pytest.fixture
def store(data):
    return encode(tasks.get("sst2"), data, log=quiet)


def test_generated_before_and_read_later(make_run, store, monkeypatch):
    run = make_run("sst2")
    generate_test_set(run, store, limit=8, log=quiet)
    with np.load(run / GENERATED, allow_pickle=False) as found:
        assert (
            found["frames"].shape == (8, 64, 64, 3)
            and found["frames"].dtype == np.uint8
            and found["counts"].tolist() == [1] * 8
        )
    with monkeypatch.context() as patch:
        patch.setattr(evaluation, "generate_answers", None)  # nothing is generated again
        later = evaluate(run, store, limit=8, log=quiet)
    predictions = pd.read_csv(run / "predictions.csv")
    (run / GENERATED).unlink()
    (run / "metrics.json").unlink()
    at_once = evaluate(run, store, limit=8, log=quiet)
    assert {**later, "seconds": 0} == {**at_once, "seconds": 0} and later["n"] == 8
    pd.testing.assert_frame_equal(predictions, pd.read_csv(run / "predictions.csv"))


@pytest.mark.parametrize("other", ["limit", "weights"])
def test_what_was_generated_of_something_else_is_not_read(make_run, store, monkeypatch, other):
    run = make_run("sst2")
    generate_test_set(run, store, limit=8, log=quiet)
    if other == "weights":
        weights = run / "model.safetensors"
        content = bytearray(weights.read_bytes())
        content[-1] ^= 1
        weights.write_bytes(content)
    calls, usual = [], evaluation.generate_answers
    monkeypatch.setattr(evaluation, "generate_answers", lambda *args: calls.append(1) or usual(*args))
    evaluate(run, store, limit=4 if other == "limit" else 8, log=quiet)
    assert calls == [1]


def test_the_command_says_where(make_run, store, data, command):
    run = make_run("sst2")
    status, out, _ = command("generate", run, "--data", data, "--limit", 3)
    assert status == 0 and f"sst2: 3 answers generated -> {run / GENERATED}" in out
