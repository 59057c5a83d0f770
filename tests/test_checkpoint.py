"""Loading and saving weights, and exporting those of finished runs in half precision."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from evlib import load
from evlib.frames.parts import Text
from evlib.training import checkpoint
from evlib.training.checkpoint import (
    EXPORTED,
    WEIGHTS,
    export,
    has_weights,
    load_network,
    load_weights,
    read_config,
    training_info,
    weights_file,
)
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


def test_exported_weights_are_those_of_the_run_rounded(run):
    before = load_file(run / WEIGHTS)
    assert export(run) == run / EXPORTED == weights_file(run) and not (run / WEIGHTS).exists()
    assert {weights.dtype for weights in load_file(run / EXPORTED).values()} == {torch.float16}
    after = load_weights(run)
    assert before.keys() == after.keys()
    for name, weights in after.items():
        assert weights.dtype == torch.float32 and torch.equal(weights, before[name].half().float())
        assert torch.allclose(weights, before[name], rtol=2**-11, atol=1e-7)  # to the nearest float16
    assert any((after[name] != before[name]).any() for name in before)
    assert training_info(run) == {"device": "CPU", "steps": 1, "seconds": 2.5, "exported": "float16"}


def test_loading_writes_nothing(run):
    for prepare in (lambda run: None, export):
        prepare(run)
        before = files_of(run)
        net, config = load_network(run)
        assert not net.training and net.head.weight.dtype == torch.float32 and config["task"] == "sst2"
        assert load(run).predict(Text("a charming film")).frames.shape == (1, 64, 64, 3)
        assert files_of(run) == before


def test_an_export_may_be_repeated(run):
    export(run)
    before = files_of(run)
    assert export(run) == run / EXPORTED and files_of(run) == before


def test_the_command(run, command):
    assert command("export", run) == (0, f"{run / EXPORTED}\n", "")


def test_a_run_without_weights_has_none_to_load(run):
    (run / WEIGHTS).unlink()
    assert not has_weights(run) and not has_weights(run / "nowhere")
    with pytest.raises(EvlibError, match=r"expected trained weights \(.*\), found none; train it first"):
        load_weights(run)


def test_too_large_to_export(run, monkeypatch):
    before, size = files_of(run), sum(2 * weights.numel() for weights in load_file(run / WEIGHTS).values())
    monkeypatch.setattr(checkpoint, "MAX_EXPORT", size)  # the weights would fit, their names do not
    with pytest.raises(EvlibError, match=f"more than {size:,}: too many to export") as refused:
        export(run)
    assert str(run) in str(refused.value) and files_of(run) == before


@pytest.mark.parametrize("missing", ["env.json", WEIGHTS])
def test_an_unfinished_run_is_not_exported(run, missing):
    (run / missing).unlink()
    before = files_of(run)
    with pytest.raises(EvlibError, match="expected a finished run .* train it first"):
        export(run)
    assert files_of(run) == before


# ---- runs that cannot be loaded --------------------------------------------------------------------------------------


def test_neither_a_run_nor_a_model_on_the_hub(run, tmp_path, monkeypatch):
    def unreachable(name, allow_patterns):
        raise ConnectionError

    monkeypatch.setattr(checkpoint, "snapshot_download", unreachable)
    with pytest.raises(
        EvlibError, match=r"someone/evlib: found neither a run folder nor a model .*\(ConnectionError\)"
    ):
        load_network("someone/evlib")
    for nowhere in ("nowhere", "./no/where", run / "config.json", tmp_path / "no" / "where", tmp_path):
        with pytest.raises(
            EvlibError, match="expected a run folder with config.json and model.safetensors, found none"
        ):
            load_network(nowhere)


def test_a_model_on_the_hub_is_loaded_from_its_copy(run, monkeypatch):
    monkeypatch.setattr(checkpoint, "snapshot_download", lambda name, allow_patterns: str(run))
    assert torch.equal(load_network("someone/evlib")[0].head.weight, load_network(run)[0].head.weight)
    assert read_config("someone/evlib")["task"] == "sst2"


@pytest.mark.parametrize("name", [WEIGHTS, EXPORTED])
@pytest.mark.parametrize("left", [0, 100, -100])
def test_damaged_weights(run, name, left):
    if name == EXPORTED:
        export(run)
    (run / name).write_bytes((run / name).read_bytes()[:left])
    with pytest.raises(EvlibError, match=f"{name}: the weights are damaged"):
        load_weights(run)
