"""Notebook 12: a new modality and a new task in under 40 lines, from files to a score far above chance."""

import importlib
import re
import sys
from types import SimpleNamespace

import nbformat
import numpy as np
import pytest

from evlib.data import tasks
from evlib.data.encode import encode
from evlib.data.tasks import SST2
from evlib.frames.render import render
from evlib.scoring.evaluate import evaluate
from evlib.training.train import train
from evlib.utils.errors import EvlibError, UnreadableFile
from evlib.utils.paths import project

pytestmark = pytest.mark.usefixtures("one_thread")
SOURCES = [
    cell.source
    for cell in nbformat.read(project() / "notebooks" / "12_add_your_own_modality.ipynb", as_version=4).cells
    if cell.cell_type == "code"
]
# What the notebook writes: file name -> its text.
MODULES = {
    source.split("\n", 1)[0].rpartition("/")[2]: source.split("\n", 1)[1]
    for source in SOURCES
    if source.startswith("%%writefile $own/")
}


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """A folder with the notebook's files and modules, and its modules, imported; afterwards the task is forgotten."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "traces").mkdir()
    exec(next(source for source in SOURCES if "np.savetxt" in source), {"np": np, "own": folder})
    for name, text in MODULES.items():
        (folder / name).write_text(text)
    names = [name.removesuffix(".py") for name in MODULES]
    sys.path.insert(0, str(folder))
    yield folder, SimpleNamespace(**{name: importlib.import_module(name) for name in names})
    sys.path.remove(str(folder))
    for name in names:
        del sys.modules[name]
    del tasks.TASKS["traces"]


@pytest.fixture(scope="module")
def store(own):
    return encode(tasks.get("traces"), own[0], log=lambda line: None)


def test_it_takes_less_than_40_lines():
    lines = [line for text in MODULES.values() for line in text.splitlines() if line.strip()]
    assert 20 < len(lines) < 40 and max(map(len, lines)) <= 120


def test_each_axis_is_a_curve_of_its_color(own):
    values = np.zeros((128, 3))
    values[64:, 0], values[:, 1] = 1, -0.5  # red jumps up by a g, green lies below
    (frame,) = render(own[1].accelerometer.Trace(values))
    assert frame.pixels.shape == (64, 64, 3) and frame.pixels.dtype == np.uint8
    rows = frame.pixels.argmax(axis=0)
    assert (frame.pixels.sum(axis=0) == 255).all()  # a pixel a column
    assert rows[:32, 0].tolist() == [40] * 32 and rows[32:, 0].tolist() == [24] * 32
    assert rows[:, 1].tolist() == [48] * 64 and rows[:, 2].tolist() == [40] * 64


def test_the_store_holds_what_the_files_say(store):
    table = store.metadata
    assert table.groupby("split").size().to_dict() == {"train": 420, "validation": 60, "test": 120}
    assert (table.n_in == 2).all() and (table.n_out == 1).all() and store.manifest["data"] == "miniature"
    assert (table.answer == table.source.str.split("_").str[0]).all()
    assert not set(table.group[table.split == "test"]) & set(table.group[table.split != "test"])
    assert table.answer[table.split == "test"].value_counts().to_dict() == dict.fromkeys(
        ("rest", "walk", "run", "jump"), 30
    )


def test_seconds_of_training_are_far_above_chance(store, tmp_path):
    config = tasks.get("traces").config("demo", width=64, heads=2, global_blocks=2, steps=70, validations=1)
    metrics = evaluate(train(config, store, tmp_path / "run", log=lambda line: None), store, log=lambda line: None)
    assert metrics["n"] == 120 and metrics["table2_row"] == "Activity Recognition"
    assert next(iter(metrics["baselines"].values()))["accuracy"] == 0.25
    assert metrics["accuracy_template"] > 0.6


@pytest.mark.parametrize("text", ["x,y,z\n1,2,3\n", "x,y,z\n" + "1,2\n" * 70, "x,y,z\n" + "1,two,3\n" * 70])
def test_a_trace_that_is_none_is_named(own, tmp_path, text):
    (tmp_path / "walk_1_000.csv").write_text(text)
    with pytest.raises(UnreadableFile, match="walk_1_000.csv: expected at least 64 lines of three numbers"):
        own[1].recording.read(tmp_path / "walk_1_000.csv", "walk")


# ------------------------------------------------------------------------------------------------ tasks.register


@pytest.fixture
def registry(monkeypatch):
    monkeypatch.setattr(tasks, "TASKS", dict(tasks.TASKS))


def test_a_registered_task_is_found_by_its_name(registry, tmp_path):
    mine = tasks.register(type("Mine", (SST2,), {"name": "mine", "folders": ("mine",)}))
    (tmp_path / "mine").mkdir()
    assert type(tasks.get("mine")) is mine and [task.name for task in tasks.found(tmp_path)] == ["mine"]


def test_defined_again_it_takes_its_own_place(registry):
    first, second = (tasks.register(type("Mine", (SST2,), {"name": "mine"})) for _ in range(2))
    assert type(tasks.get("mine")) is second is not first


def test_a_name_that_is_taken_is_refused(registry):
    with pytest.raises(EvlibError, match="Mine: the name 'sst2' is that of evlib.data.tasks.sst2.SST2; choose another"):
        tasks.register(type("Mine", (SST2,), {}))
    assert type(tasks.get("sst2")) is SST2


def test_the_command_line_joins_it_with_other_tasks(own, miniature, command, tmp_path, monkeypatch):
    """One word in the list of tasks, and its files in the folder of data."""
    folder, _ = own
    data = tmp_path / "data"
    data.mkdir()
    (data / "traces").symlink_to(folder / "traces")
    (data / "SST-2").symlink_to(miniature / "SST-2")
    monkeypatch.setenv("EVLIB_TASKS", str(folder / "traces.py"))
    monkeypatch.delitem(tasks.TASKS, "traces")  # the command line knows nothing of it
    small = ["--set", "width=12", "--set", "heads=2", "--set", "validations=1", "--set", "validation_size=8"]
    names, run = "sst2+traces", tmp_path / "run"
    assert command("train", names, "--data", data, "--out", run, "--steps", "2", *small)[0] == 0
    monkeypatch.delitem(tasks.TASKS, "traces")
    status, printed, _ = command("evaluate", run, "--data", data, "--limit", "4")
    assert status == 0 and "traces: " in printed and (run / "traces" / "metrics.json").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "expected Python files that register tasks; .*mine.py is not there"),
        ("import nothing_there", "mine.py fails with ModuleNotFoundError: No module named 'nothing_there'"),
        ("x = 1", "mine.py registers no task; put `@register` above its class"),
    ],
)
def test_files_of_tasks_that_do_not_work(command, tmp_path, monkeypatch, text, message):
    if text is not None:
        (tmp_path / "mine.py").write_text(text)
    monkeypatch.setenv("EVLIB_TASKS", str(tmp_path / "mine.py"))
    monkeypatch.setattr(sys, "path", [*sys.path])
    status, _, errors = command("tasks")
    assert status == 2 and re.search(message, errors) and errors.count("\n") == 1
