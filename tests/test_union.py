"""Several data sets as one: the same frames as in the parts, tasks in fixed shares, runs that continue bit for bit."""

import json
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from evlib.config import preset
from evlib.data import tasks
from evlib.data.batches import Curriculum
from evlib.data.encode import encode
from evlib.data.store import Split
from evlib.data.union import ConcatFrames, Mixture, probabilities, union, with_own_frames
from evlib.frames.parts import Audio, Clip, Image, Text
from evlib.model import NextFrame
from evlib.scoring.predict import Model
from evlib.training.distributed import Distributed
from evlib.training.train import _batches, train, validate
from evlib.utils.errors import EvlibError

NAMES = ["sst2", "cifar10"]


@pytest.fixture(scope="module")
def stores(miniature):
    return [encode(tasks.get(name), miniature, log=lambda line: None) for name in NAMES]


@pytest.fixture(scope="module")
def both(stores):
    return union(stores)


def test_every_sequence_is_that_of_its_part(stores, both):
    for name, store in zip(NAMES, stores, strict=True):
        for split in ("train", "validation", "test"):
            part, whole = store.split(split), both.split(split)
            rows = np.flatnonzero(whole.metadata.task == name)
            assert (whole.metadata.answer.values[rows] == part.metadata.answer.values).all()
            for i in range(0, len(part), len(part) // 5):
                assert torch.equal(whole.gather([rows[i]]), part.gather([i]))
    assert both.manifest["task"] == "sst2+cifar10" and both.summary()["vocabulary"]["sst2"] == ["negative", "positive"]


def test_frames_of_several_parts_are_indexed_in_any_order():
    parts = [np.random.default_rng(i).integers(0, 255, (n, 64, 64, 3), dtype=np.uint8) for i, n in enumerate((3, 1, 4))]
    joined, copied = ConcatFrames(parts), torch.from_numpy(np.concatenate(parts))
    for index in (torch.tensor([[7, 0, 3], [2, 4, 7]]), torch.tensor([5, 6]), torch.tensor([], dtype=torch.long)):
        assert torch.equal(joined[index], copied[index])
    assert joined.nbytes == copied.nbytes


def test_frames_are_not_copied(stores, both):
    assert all(np.shares_memory(part.numpy(), store.frames) for part, store in zip(both.frames.parts, stores))


def test_a_compact_part_and_the_true_answers_are_the_same(both):
    part = both.split("test").head(5)
    compact = part.compact()
    assert isinstance(compact.frames, torch.Tensor) and torch.equal(compact.gather([0]), part.gather([0]))
    for a, b in zip(compact.outputs(), part.outputs(), strict=True):
        assert np.array_equal(a, b)


def test_a_sample_has_equally_many_of_every_task(both):
    sample = both.split("validation").sample(40).metadata
    assert sample.task.value_counts().to_dict() == {"sst2": 20, "cifar10": 20}
    assert sample.equals(both.split("validation").sample(40).metadata)


def test_a_task_without_sequences_to_train_on_is_refused(stores):
    rows = stores[1].metadata.split != "validation"
    less = replace(stores[1], sequences=stores[1].sequences[rows], metadata=stores[1].metadata[rows])
    with pytest.raises(EvlibError, match="cifar10: expected examples of the split 'validation'"):
        union([stores[0], less])


# ---- which task comes next -------------------------------------------------------------------------------------------


class Numbered:
    """In the place of Batches: batch i of a task is its name and i."""

    resident = True

    def __init__(self, split, share):
        self.name = split.metadata.task.iloc[0]

    def __getitem__(self, step):
        return self.name, step


def test_shares_are_kept_and_no_batch_is_left_out(both):
    mixture = Mixture(both.split("train"), "4,1", 0, Numbered)
    seen = [mixture[step] for step in range(9000)]
    for name, share in zip(NAMES, (0.8, 0.2), strict=True):
        numbers = [number for task, number in seen if task == name]
        assert numbers == list(range(len(numbers))) and abs(len(numbers) / 9000 - share) < 0.02


def test_a_mixture_depends_on_seed_and_step_alone(both):
    first, again, other = (Mixture(both.split("train"), "equal", seed, Numbered) for seed in (0, 0, 1))
    assert [first[step] for step in range(5000)][4990:] == [again[step] for step in range(4990, 5000)]
    assert [first[step] for step in range(50)] != [other[step] for step in range(50)]


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        ("equal", [0.5, 0.5]),
        ("size", [0.9, 0.1]),
        ("size^0.5", [0.75, 0.25]),
        ("3,7", [0.3, 0.7]),
        ("0.1,1e-9", [1, 0]),
    ],
)
def test_shares(weights, expected):
    assert probabilities(weights, {"a": 900, "b": 100}) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("weights", ["1,1,1", "-0.5,1.5", "1", "0,1", "much", "size^x", "nan,1", "inf,1", ""])
def test_bad_shares_are_one_sentence(weights):
    with pytest.raises(EvlibError, match=r"task_weights: expected equal, size, .* for each of a, b.*; found"):
        probabilities(weights, {"a": 1, "b": 1})


def test_each_part_has_its_own_frames_alone(stores, both):
    """So that a GPU has to hold no more than these."""
    for name, store in zip(NAMES, stores, strict=True):
        part = with_own_frames(both.split("train").by_task()[name])
        assert np.shares_memory(part.frames.numpy(), store.frames)
        assert torch.equal(part.gather([7]), store.split("train").gather([7]))


# ---- training on a union ---------------------------------------------------------------------------------------------


def config(steps: int):
    small = {"width": 12, "heads": 2, "global_blocks": 1, "batch": 4, "validations": 2, "validation_size": 8}
    return tasks.config([tasks.get(name) for name in NAMES], "demo", steps=steps, **{**small, "stem": 8})


def test_a_run_that_was_stopped_continues_bit_for_bit(both, tmp_path, monkeypatch):
    class Stopped(Exception):
        pass

    def stop(step, net, validation):
        if step == 4:
            raise Stopped

    whole = train(config(8), both, tmp_path / "whole", "cpu", lambda line: None)
    monkeypatch.setattr("evlib.training.train.CHECKPOINT", 0.0)
    with pytest.raises(Stopped):
        train(config(8), both, tmp_path / "parts", "cpu", lambda line: None, stop)
    parts = train(config(8), both, tmp_path / "parts", "cpu", lambda line: None)
    assert (whole / "model.safetensors").read_bytes() == (parts / "model.safetensors").read_bytes()
    assert json.loads((parts / "config.json").read_text())["task"] == "sst2+cifar10"
    log = pd.read_csv(parts / "log.csv").dropna()
    assert np.allclose(log.validation_ssim, log[["validation_ssim_sst2", "validation_ssim_cifar10"]].mean(axis=1))


def test_every_task_counts_equally_in_validation(both):
    """Whatever number of answer frames it has."""
    split = both.split("validation")
    uneven = split.select(np.flatnonzero((split.metadata.task == "sst2") | (split.metadata.index % 7 == 0)))
    _, ssim, by_task = validate(NextFrame(config(1).model), uneven, 1000)
    assert set(by_task) == set(NAMES) and ssim == pytest.approx(sum(by_task.values()) / 2)


def test_augmentation_is_for_one_task():
    with pytest.raises(EvlibError, match="augment is for one task; found 2"):
        tasks.config([tasks.get(task) for task in NAMES], "demo", steps=2, augment="flip")


def test_each_task_has_its_own_curriculum(both, monkeypatch):
    """Its stages are shares of the steps that fall to this task, and a task without such questions has none."""
    seen = []

    class Seen(Curriculum):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            seen.append(arguments)

    monkeypatch.setattr("evlib.training.train.Curriculum", Seen)
    asked = both.metadata.assign(question=np.where(both.metadata.task == "cifar10", "What is it ?", ""))
    settings = config(80).override(questions_first="What", task_weights="3,1")
    _batches(settings, replace(both, metadata=asked).split("train"), Distributed.start("cpu"), print)
    ((split, steps, stages, _),) = seen
    assert set(split.metadata.task) == {"cifar10"} and steps == 20 and [end for end, _ in stages] == [1 / 16]
    with pytest.raises(EvlibError, match="questions_first: no question begins with 'Why'; found: "):
        _batches(settings.override(questions_first="Why"), both.split("train"), Distributed.start("cpu"), print)


def test_tasks_that_copy_other_frames_choose_among_them(both, tmp_path, monkeypatch):
    """At first the longest; and where another task copies nothing, the gate is half open."""
    for found, opened in (([3, 2], 1.0), ([3, None], 0.5), ([None, None], 0.0)):
        lags = iter(found)
        monkeypatch.setattr(Split, "best_lag", lambda split, mean, lags=lags: next(lags))
        out = tmp_path / str(opened)
        run = train(config(1).override(copy=True, lr=0.0), both, out, "cpu", lambda line: None)
        copy = NextFrame.from_pretrained(run).copy
        assert {int(i) + 1 for i in copy.lag.bias.nonzero()} == {*found} - {None} and (copy.gate.bias == opened).all()
        assert found[0] is None or copy.lag.bias.argmax() == 2
        assert copy.lag.weight.abs().max() == copy.gate.weight.abs().max() == 0


def test_bad_weights_leave_no_run(both, tmp_path):
    with pytest.raises(EvlibError, match="task_weights"):
        train(config(2).override(task_weights="1"), both, tmp_path / "run", "cpu", lambda line: None)
    assert not (tmp_path / "run").exists()


def test_one_network_is_scored_on_every_task(command, miniature, tmp_path):
    out, small = tmp_path / "run", ["--set", "width=12", "--set", "heads=2", "--set", "validations=1"]
    status, *_ = command("train", "sst2+cifar10", "--data", miniature, "--out", out, "--steps", "2", *small)
    assert status == 0
    assert command("generate", out, "--data", miniature, "--limit", "4")[0] == 0
    status, printed, _ = command("evaluate", out, "--data", miniature, "--limit", "4")
    assert status == 0 and "sst2:" in printed and "cifar10:" in printed
    for name in NAMES:
        assert json.loads((out / name / "metrics.json").read_text())["task"] == name
        assert (out / name / "generated.npz").exists()
    status, printed, _ = command("predict", out, "--text", "a good film", "--out", tmp_path / "strip.png")
    assert status == 0 and printed.split()[0] in ("negative", "positive")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ("sst2+sst2", "Each task may be named once; found sst2\\+sst2"),
        ("sst2+lasot", "LaSOT is not under"),
        ("sst2+speech", "Unknown task 'speech'"),
        ("", "Unknown task ''"),
    ],
)
def test_tasks_that_cannot_be_joined(command, miniature, tmp_path, names, message):
    status, _, errors = command("train", names, "--data", miniature, "--out", tmp_path / "run", "--steps", "2")
    assert status == 2 and re.search(message, errors) and errors.count("\n") == 1


def test_no_data_at_all(command, tmp_path):
    (tmp_path / "empty").mkdir()
    status, _, errors = command("train", "all", "--data", tmp_path / "empty", "--out", tmp_path / "run", "--steps", "2")
    assert status == 2 and "expected the data of at least one task, found none" in errors


def test_stores_of_different_renderers(stores):
    other = type(stores[1])(**{**stores[1].__dict__, "manifest": {**stores[1].manifest, "renderer": "other"}})
    with pytest.raises(EvlibError, match="by the same renderer, found .* encode them again"):
        union([stores[0], other])


def test_a_preset_stays_what_it_was_for_one_task():
    assert tasks.config([tasks.get("sst2")], "paper") == tasks.get("sst2").config("paper")
    assert tasks.config([tasks.get(name) for name in NAMES], "paper").model == preset("paper").model


GRAY, COLOR = np.full((3, 64, 64, 3), 90, np.uint8), np.random.default_rng(0).integers(0, 255, (3, 64, 64, 3), np.uint8)


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ([Text("a good film")], ["sst2"]),
        ([Image(COLOR[0])], ["cifar10"]),
        ([Audio(np.zeros(8000, np.float32), 8000)], ["audiomnist", "fsdd"]),
        ([Clip(COLOR)], ["tinyvirat"]),
        ([Clip(GRAY)], ["colorization"]),
        ([Clip(COLOR, [(1, 1, 9, 9), None, None])], ["lasot"]),
        ([Clip(GRAY, [(1, 1, 9, 9), None, None])], ["lasot"]),
        ([Clip(COLOR), Text("what color ?")], ["clevrer", "tgifqa"]),
    ],
    ids=lambda value: None if isinstance(value[0], str) else type(value[0]).__name__,
)
def test_what_is_asked_tells_how_to_read(parts, expected):
    model = Model(None, {"task": "+".join(tasks.TASKS), "store": {}})
    assert [task.name for task in model.tasks_for(parts)] == expected


def test_words_of_several_tasks_are_one_vocabulary():
    words = {"clevrer": ["red", "cube"], "tgifqa": ["red", "dog"], "sst2": ["positive"]}
    model = Model(None, {"task": "clevrer+tgifqa+sst2", "store": {"vocabulary": words}})
    assert model.vocabulary(model.tasks_for([Clip(COLOR), Text("what ?")])) == ["cube", "dog", "red"]


def test_parts_that_no_task_has_are_one_sentence():
    model = Model(None, {"task": "sst2+clevrer", "store": {}})
    with pytest.raises(EvlibError, match=r"trained on Text \(sst2\), Clip and Text \(clevrer\); found Image."):
        model.tasks_for([Image(COLOR[0])])


def test_without_another_choice_looks_do_not_matter():
    model = Model(None, {"task": "sst2+tinyvirat", "store": {}})
    assert [task.name for task in model.tasks_for([Clip(GRAY)])] == ["tinyvirat"]
