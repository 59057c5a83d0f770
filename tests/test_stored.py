"""Weights that are kept with the results, in half precision."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from evlib import load
from evlib.config import preset
from evlib.data.store import VideoStore
from evlib.frames.parts import Text
from evlib.training import checkpoint as stored
from evlib.training.checkpoint import discard, keep, restore, trained
from evlib.training.train import train
from evlib.utils.errors import EvlibError

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def run(make_run) -> Path:
    """A finished run of SST-2."""
    run = make_run("sst2")
    (run / "env.json").write_text(json.dumps({"device": "CPU", "steps": 1, "seconds": 2.5}))
    return run


def files_of(run: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in run.iterdir()}


def assert_rounded(before: dict[str, torch.Tensor], after: dict[str, torch.Tensor]) -> None:
    """The same weights as float32, each rounded to the nearest float16: by at most one part in 2048."""
    assert before.keys() == after.keys()
    for name, weights in after.items():
        assert weights.dtype == torch.float32 and torch.equal(weights, before[name].half().float())
        assert torch.allclose(weights, before[name], rtol=2**-11, atol=1e-7)


def test_kept_weights_are_those_of_the_run_rounded(run):
    before = load_file(run / "model.safetensors")
    assert keep(run) == run / stored.NAME
    assert_rounded(before, load_file(run / "model.safetensors"))
    assert any(
        (load_file(run / "model.safetensors")[name] != before[name]).any() for name in before
    )  # what is kept is what is scored
    assert {weights.dtype for weights in load_file(run / stored.NAME).values()} == {torch.float16}
    assert trained(run) == {"device": "CPU", "steps": 1, "seconds": 2.5, "stored": "float16"}
    assert load(run).predict(Text("a charming film")).frames.shape == (1, 64, 64, 3)


def test_weights_that_are_missing_are_restored(run):
    keep(run)
    everything = files_of(run)
    (run / "model.safetensors").unlink()
    assert restore(run) and files_of(run) == everything
    assert restore(run) and files_of(run) == everything  # a second time changes nothing
    assert keep(run) == run / stored.NAME and files_of(run) == everything  # nor does keeping what is kept


def test_a_run_without_kept_weights_has_nothing_to_restore(run):
    (run / "model.safetensors").unlink()
    assert not restore(run) and not (run / "model.safetensors").exists()
    assert not restore(run / "nowhere")


def test_too_large_to_keep(run, monkeypatch):
    before, size = files_of(run), sum(2 * weights.numel() for weights in load_file(run / "model.safetensors").values())
    monkeypatch.setattr(stored, "LARGEST", size)  # the weights would fit, their names do not
    with pytest.raises(EvlibError, match=f"more than {size:,}: too many to keep") as refused:
        keep(run)
    assert str(run) in str(refused.value) and files_of(run) == before


@pytest.mark.parametrize("missing", ["env.json", "model.safetensors"])
def test_an_unfinished_run_is_not_kept(run, missing):
    (run / missing).unlink()
    before = files_of(run)
    with pytest.raises(EvlibError, match="expected a finished run .* train it first"):
        keep(run)
    assert files_of(run) == before


def test_put_aside_is_as_if_never_trained(run):
    keep(run)
    (run / "resume.pt").write_bytes(b"")
    discard(run)
    assert set(files_of(run)) == {"config.json"} and trained(run) is None and not restore(run)
    discard(run)  # nothing left to remove


# ------------------------------------------------------------------------------------------------ and training


def pictures() -> VideoStore:
    """Eight sequences of three random frames."""
    rng = np.random.default_rng(0)
    answers = pd.DataFrame(
        {"split": 4 * ["train"] + 4 * ["validation"], "n_in": 2, "n_out": 1, "question": "", "answer": ""}
    )
    manifest = {"renderer": "a renderer", "data": "miniature", "examples": "0123", "vocabulary": []}
    return VideoStore(
        Path("memory"),
        manifest,
        rng.integers(256, size=(5, 64, 64, 3), dtype=np.uint8),
        rng.integers(5, size=(8, 3), dtype=np.int32),
        answers,
    )


def trains(out: Path, **changes) -> list[str]:
    """The lines of progress."""
    lines = []
    settings = dict(
        task="tiny",
        width=32,
        heads=1,
        global_blocks=1,
        max_frames=3,
        batch=2,
        steps=2,
        validations=1,
        validation_size=2,
    )
    train(preset("demo").override(**{**settings, **changes}), pictures(), out, device="cpu", log=lines.append)
    return lines


def test_a_kept_run_is_already_trained_until_it_is_put_aside(tmp_path):
    out = tmp_path / "run"
    first = trains(out)
    learnt = load_file(out / "model.safetensors")
    keep(out)
    assert_rounded(learnt, load_file(out / "model.safetensors"))
    for lost in ("resume.pt", "model.safetensors"):  # neither comes with a copy of the source
        (out / lost).unlink()
        restore(out)
        kept = files_of(out)
        assert trains(out) == [f"tiny: already trained -> {out}"] and files_of(out) == kept
    with pytest.raises(EvlibError, match="other settings .*steps 2 there, 3 here"):
        trains(out, steps=3)
    discard(out)
    again = trains(out)
    assert len(again) == len(first) and again[0].startswith("tiny: step 2")
    assert all(
        torch.equal(weights, learnt[name]) for name, weights in load_file(out / "model.safetensors").items()
    )  # not the rounded ones
    assert "stored" not in trained(out)
