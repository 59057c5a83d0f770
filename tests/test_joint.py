"""One network beside one per task: what is compared, what is counted, and the whole way from data to the table."""

import json
import shutil

import pandas as pd
import pytest
import torch

from evlib.data import tasks
from evlib.data.encode import encode
from evlib.paper import cost, joint, transfer
from evlib.scoring.evaluate import evaluate
from evlib.training.checkpoint import EXPORTED, export, load_network
from evlib.training.train import train
from evlib.viz import joint_plots

NAMES = ("sst2", "cifar10")
SMALL = {"width": 12, "heads": 2, "global_blocks": 1, "stem": 8, "batch": 4, "validations": 1, "validation_size": 8}


def silent(line: str) -> None:
    pass


@pytest.fixture(scope="module")
def project(miniature, tmp_path_factory):
    """A project with a separate network per task, of two seeds for sst2, and no joint one."""
    home = tmp_path_factory.mktemp("project")
    for name, seed in (("sst2", 0), ("sst2", 1), ("cifar10", 0)):
        store = encode(tasks.get(name), miniature, log=silent)
        config = tasks.get(name).config("demo", steps=2, seed=seed, **SMALL)
        run = home / "results/demo/runs" / (f"{name}-seed{seed}" if seed else name)
        train(config, store, run, log=silent)
        evaluate(run, store, limit=12, log=silent)
    return home


@pytest.fixture
def small(project, miniature, monkeypatch):
    """`joint` with two tasks, few steps, and this project."""
    monkeypatch.setattr(joint, "project", lambda: project)
    monkeypatch.setattr(joint, "ready", lambda data: miniature)
    monkeypatch.setattr(joint, "MINIATURE", dict.fromkeys(NAMES))
    common = {"copy": True, **SMALL}
    start = str(project / "results/demo/runs/cifar10")
    monkeypatch.setattr(joint, "JOINT", {"steps": 6, "task_weights": "2,1", "init_from": start, **common})
    monkeypatch.setattr(joint, "evaluate", lambda *given, **more: evaluate(*given, limit=12, **more))
    return project


def test_from_data_to_the_table(small, tmp_path):
    results = joint.one_network(tmp_path / "joint", log=silent)
    table = pd.read_csv(results / "table.csv").fillna({"kind": ""})
    assert table.task.tolist() == ["sst2", "sst2", "cifar10"] and table.kind.tolist() == ["", "at most 20 tokens", ""]
    assert table.seeds.tolist() == [2, 2, 1] and table.measure.eq("accuracy").all()
    ours = json.loads((results / "runs/all/cifar10/metrics.json").read_text())
    assert table.joint.iloc[2] == pytest.approx(100 * ours["accuracy"], abs=1e-3)
    assert (table.difference - (table.joint - table.separate)).abs().max() < 1e-3
    assert table.updates_joint.tolist() == [4, 4, 4] and table.sequences_joint.tolist() == [
        16,
        16,
        16,
    ]  # with the start
    text = (results / "table.md").read_text()
    assert "| cifar10 |  | Acc |" in text and "(2) |" in text and "networks" in text


def test_flop_are_those_of_the_sequences_it_saw(small, miniature):
    """Reviews differ in length."""
    config = tasks.config([tasks.get(name) for name in NAMES], "demo", **SMALL, copy=True, steps=1)
    for name in NAMES:
        store = encode(tasks.get(name), miniature, log=silent)
        n_in = store.metadata.n_in[store.metadata.split == "train"]
        each = [cost.step_flops(config.model, n, 1, 4, "muon") for n in n_in]
        assert joint._step_flops(config, store) == pytest.approx(sum(each) / len(each))


def test_published_weights_are_scored_and_not_trained_again(small, tmp_path, monkeypatch):
    first = joint.one_network(tmp_path / "joint", log=silent)
    export(first / joint.RUN)
    shutil.copytree(first, small / "results/joint")
    lines = []
    try:
        again = joint.one_network(tmp_path / "again", log=lines.append)
    finally:
        shutil.rmtree(small / "results/joint")
    assert any("already trained" in line for line in lines) and (again / joint.RUN / EXPORTED).exists()
    assert pd.read_csv(again / "table.csv").joint.notna().all()


def test_an_earlier_joint_run_counts_as_well_as_its_own_start(small, tmp_path):
    results, separate = joint.one_network(tmp_path / "joint", log=silent), small / "results/demo"
    run, first = results / joint.RUN, results / "runs/first"
    assert joint.joint_runs(results, separate) == [run, separate / "runs/cifar10"]
    shutil.copytree(run, first)
    settings = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps({**settings, "init_from": str(first)}))
    assert joint.joint_runs(results, separate) == [run, first, separate / "runs/cifar10"]


def test_a_task_without_a_network_of_its_own_has_no_line(small, miniature, tmp_path):
    results = joint.one_network(tmp_path / "joint", log=silent)
    (tmp_path / "alone/runs").mkdir(parents=True)
    shutil.copytree(small / "results/demo/runs/cifar10", tmp_path / "alone/runs/cifar10")
    stores = {name: encode(tasks.get(name), miniature, log=silent) for name in NAMES}
    joint.write_table(results, stores, tmp_path / "alone")
    assert pd.read_csv(results / "table.csv").task.tolist() == ["cifar10"]
    assert " for 1 networks" in (results / "table.md").read_text()


def test_pictures_of_the_table_and_of_the_run(small, tmp_path):
    results = joint.one_network(tmp_path / "joint", log=silent)
    axes = joint_plots.scores(joint.read_table(results)).axes[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["sst2", "sst2: at most 20 tokens", "cifar10"]
    lines = joint_plots.validation(results / joint.RUN).axes[0].lines
    assert [line.get_label() for line in lines] == list(NAMES) and lines[0].get_xdata()[-1] == 6


# ---- what it passes on to a ninth task -------------------------------------------------------------------------------


def test_three_starts_of_one_task(small, miniature, tmp_path):
    run = joint.one_network(tmp_path / "joint", log=silent) / joint.RUN
    store = encode(tasks.get("cifar10"), miniature, log=silent)
    table = pd.DataFrame(transfer.transfer(store, run, steps=3, seeds=2, log=silent))
    assert set(table.start) == {transfer.SCRATCH, transfer.JOINT, transfer.SHUFFLED} and set(table.seed) == {0, 1}
    assert (
        set(table.step) == {1, 2, 3}
        and table.accuracy.between(0, 1).all()
        and not table[transfer.KEY].duplicated().any()
    )
    assert joint_plots.transfer(table).axes[0].lines[0].get_label() == "from scratch"


def test_shuffled_weights_are_the_same_numbers(small, tmp_path):
    run = joint.one_network(tmp_path / "joint", log=silent) / joint.RUN
    net, about = load_network(run)
    transfer.write_shuffled(net, about, tmp_path / "shuffled", seed=0)
    other, _ = load_network(tmp_path / "shuffled")
    for a, b in zip(net.parameters(), other.parameters(), strict=True):
        assert torch.equal(a.flatten().sort().values, b.flatten().sort().values)
    assert not torch.equal(net.merge.weight, other.merge.weight)


def test_steps_until_most_of_the_accuracy_is_reached():
    rows = [("scratch", 0, 10, 0.1), ("scratch", 0, 20, 0.9), ("scratch", 0, 30, 1.0), ("one network", 0, 10, 0.85)]
    rows += [("shuffled", 0, 30, 0.2)]
    table = pd.DataFrame(rows, columns=["start", "seed", "step", "accuracy"]).assign(task="fsdd", data="real")
    found = transfer.steps_to_reach(table).set_index("Start")
    assert found.Steps.tolist() == ["20", "10", ""] and found["Reached by"].tolist() == [1, 1, 0]
    assert (found.Goal == "80 %").all()
