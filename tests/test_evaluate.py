"""Answers drawn on one machine and read on another are those drawn and read on one."""

import numpy as np
import pandas as pd
import pytest

import evlib.scoring.evaluate as evaluation
from evlib.data import tasks
from evlib.data.encode import encode
from evlib.scoring.evaluate import DRAWN, draw_only, evaluate

pytestmark = pytest.mark.usefixtures("one_thread")


def quiet(line: str) -> None:
    pass


@pytest.fixture
def store(data):
    return encode(tasks.get("sst2"), data, log=quiet)


def test_drawn_before_and_read_later(make_run, store, monkeypatch):
    run = make_run("sst2")
    draw_only(run, store, limit=8, log=quiet)
    with np.load(run / DRAWN, allow_pickle=False) as kept:
        assert (
            kept["frames"].shape == (8, 64, 64, 3)
            and kept["frames"].dtype == np.uint8
            and kept["counts"].tolist() == [1] * 8
        )
    with monkeypatch.context() as patch:
        patch.setattr(evaluation, "draw", None)  # nothing is drawn again
        later = evaluate(run, store, limit=8, log=quiet)
    predictions = pd.read_csv(run / "predictions.csv")
    (run / DRAWN).unlink()
    (run / "metrics.json").unlink()
    at_once = evaluate(run, store, limit=8, log=quiet)
    assert {**later, "seconds": 0} == {**at_once, "seconds": 0} and later["n"] == 8
    pd.testing.assert_frame_equal(predictions, pd.read_csv(run / "predictions.csv"))


@pytest.mark.parametrize("other", ["limit", "weights"])
def test_what_was_drawn_of_something_else_is_not_read(make_run, store, monkeypatch, other):
    run = make_run("sst2")
    draw_only(run, store, limit=8, log=quiet)
    if other == "weights":
        weights = run / "model.safetensors"
        content = bytearray(weights.read_bytes())
        content[-1] ^= 1
        weights.write_bytes(content)
    drawn, draw = [], evaluation.draw
    monkeypatch.setattr(evaluation, "draw", lambda *args: drawn.append(1) or draw(*args))
    evaluate(run, store, limit=4 if other == "limit" else 8, log=quiet)
    assert drawn == [1]


def test_the_command_says_where(make_run, store, data, command):
    run = make_run("sst2")
    status, out, _ = command("draw", run, "--data", data, "--limit", 3)
    assert status == 0 and f"sst2: 3 answers drawn -> {run / DRAWN}" in out
