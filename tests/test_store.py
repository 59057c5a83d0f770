"""Encoded data sets: every frame once, what was rendered is what is gathered, written whole or not at all."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch

from evlib.data import encode as encoding
from evlib.data import tasks
from evlib.data.batches import Batches, Curriculum, Schedule, questions_first, short_first
from evlib.data.encode import encode
from evlib.data.store import Split, VideoStore
from evlib.frames.render import fingerprint, render_example
from evlib.scoring.evaluate import evaluate
from evlib.utils.errors import EvlibError


def quiet(line: str) -> None:
    pass


@pytest.fixture
def store(data) -> VideoStore:
    return encode(tasks.get("sst2"), data, log=quiet)


# ---- encoding --------------------------------------------------------------------------------------------------------


def test_each_distinct_frame_is_stored_once(store, data):
    frames = np.load(store.path / "frames.npy")
    assert (frames.dtype, frames.shape[1:]) == (np.uint8, (64, 64, 3))
    assert len(np.unique(frames.reshape(len(frames), -1), axis=0)) == len(frames)
    lines = [
        line.split("\t")[0]
        for name in ("train.tsv", "dev.tsv")
        for line in (data / "SST-2" / name).read_text().splitlines()[1:]
    ]
    assert len(frames) == len({word for line in lines for word in line.split()[-20:]} | {"|", "negative", "positive"})
    assert store.manifest["frames_shown"] == (store.sequences >= 0).sum() > 10 * len(frames)


@pytest.mark.parametrize("name", ["sst2", "cifar10", "fsdd"])
def test_what_is_gathered_is_what_was_rendered(data, name):
    task = tasks.get(name)
    store = encode(task, data, log=quiet)
    items = list(task.items(task.root(data)))
    for part in ("train", "validation", "test"):
        split, expected = store.split(part), [item for item in items if item.split == part]
        assert split.metadata.source.tolist() == [item.source for item in expected]
        assert split.metadata.answer.tolist() == [item.load().answer for item in expected]
        for rows in split.batches(8):
            videos = split.gather(rows)
            assert videos.dtype == torch.uint8
            for row, video in zip(rows, videos):
                rendered = render_example(expected[row].load(), task.max_inputs)
                frames = np.stack([frame.pixels for frame in (*rendered.inputs, *rendered.outputs)])
                assert (video.permute(0, 2, 3, 1).numpy() == frames).all()  # (T, 3, 64, 64)
                assert split.metadata.n_truncated[row] == rendered.n_truncated


def test_frames_stay_on_disk_and_are_not_changed_there(store):
    assert isinstance(store.frames, np.memmap)
    before = (store.path / "frames.npy").read_bytes()
    store.split("test").frames[0] = 7  # copy on write
    assert (store.path / "frames.npy").read_bytes() == before


def test_manifest_says_what_it_was_made_from(store, data):
    known = {"version": 4, "task": "sst2", "dataset": "SST-2", "data": "real", "sequences": 144}
    assert {**known, "renderer": fingerprint()}.items() <= store.manifest.items()
    assert sum(store.manifest["splits"].values()) == 144 and store.manifest["splits"]["test"] == 24
    assert store.manifest["frames"] == len(store.frames) and store.manifest["source"] == str(data / "SST-2")


def test_the_summary_is_what_a_run_records(store):
    assert store.summary() == {
        "task": "sst2",
        "dataset": "SST-2",
        "renderer": fingerprint(),
        "data": "real",
        "examples": store.manifest["examples"],
        "vocabulary": ["negative", "positive"],
    }


def test_encoding_again_does_nothing_until_something_changes(store, data, monkeypatch):
    manifest = store.path / "manifest.json"
    task, written = tasks.get("sst2"), manifest.stat().st_mtime_ns
    assert encode(task, data, log=pytest.fail).manifest == store.manifest
    assert manifest.stat().st_mtime_ns == written

    with open(data / "SST-2" / "dev.tsv", "a") as file:
        file.write("one more \t1\n")
    assert encode(task, data, log=quiet).manifest["sequences"] == 145
    monkeypatch.setattr(type(task), "max_inputs", 5)
    assert encode(task, data, log=quiet).sequences.shape[1] == 5 + 1 + 1
    monkeypatch.setattr(encoding, "fingerprint", lambda: "another")
    assert encode(task, data, log=quiet).manifest["renderer"] == "another"


def test_the_same_examples_have_the_same_name_elsewhere(store, data, tmp_path):
    again = encode(tasks.get("sst2"), data, tmp_path / "elsewhere", log=quiet)
    assert again.manifest["examples"] == store.manifest["examples"]
    other = encode(tasks.get("cifar10"), data, tmp_path / "other", log=quiet)
    assert other.manifest["examples"] != store.manifest["examples"]


@pytest.mark.parametrize("failure", [RuntimeError, KeyboardInterrupt, EvlibError])
@pytest.mark.parametrize("name", ["sst2", "fsdd"])  # one after the other, in threads
def test_a_failure_in_the_middle_leaves_nothing(data, monkeypatch, failure, name):
    count = iter(range(1000))

    def fail_at_20(*args):
        if next(count) == 20:
            raise failure
        return render_example(*args)

    monkeypatch.setattr(encoding, "render_example", fail_at_20)
    with pytest.raises(failure):
        encode(tasks.get(name), data, log=quiet)
    assert list((data / ".evlib").iterdir()) == []


def test_a_failure_keeps_the_store_that_was_there(store, data, monkeypatch):
    (data / "SST-2" / "dev.tsv").write_text("sentence\tlabel\nbroken\n")
    with pytest.raises(EvlibError, match="dev.tsv:2"):
        encode(tasks.get("sst2"), data, log=quiet)
    assert [p.name for p in store.path.parent.iterdir()] == ["sst2"]
    assert VideoStore.open(store.path).manifest == store.manifest


def test_a_folder_with_other_files_is_not_replaced(data, tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter1.tex").write_text("Once upon a time")
    with pytest.raises(EvlibError, match="thesis is not an encoded data set"):
        encode(tasks.get("sst2"), data, tmp_path / "thesis", log=quiet)
    assert [p.name for p in (tmp_path / "thesis").iterdir()] == ["chapter1.tex"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["data", "thesis"]


def test_a_broken_recording_is_named_and_left_out(tmp_path):
    folder = tmp_path / "free-spoken-digit-dataset" / "recordings"
    folder.mkdir(parents=True)
    for digit, index in np.ndindex(10, 30):
        soundfile.write(folder / f"{digit}_ann_{index}.wav", np.sin(np.arange(300) * 0.1 * (digit + 1)), 8000)
    (folder / "3_ann_20.wav").write_bytes(b"")
    lines = []
    store = encode(tasks.get("fsdd"), tmp_path, log=lines.append)
    assert store.manifest["unreadable"] == ["recordings/3_ann_20.wav"]
    assert store.manifest["sequences"] == len(store.metadata) == 299
    assert "recordings/3_ann_20.wav" not in set(store.metadata.source)
    assert f"fsdd: left out: {folder}/3_ann_20.wav: expected a sound file" in lines[0]
    for index in range(3):
        (folder / f"4_ann_{index}.wav").write_bytes(b"")
    with pytest.raises(
        EvlibError, match="4 of 300 files cannot be read, more than 1%: fetch them again. The first: .*3_ann_20.wav"
    ):
        encode(tasks.get("fsdd"), tmp_path, log=quiet)


# ---- opening ---------------------------------------------------------------------------------------------------------


def test_no_store_another_version_or_a_damaged_one(store, tmp_path):
    with pytest.raises(EvlibError, match="nowhere: expected an encoded data set"):
        VideoStore.open(tmp_path / "nowhere")
    frames = (store.path / "frames.npy").read_bytes()
    (store.path / "frames.npy").write_bytes(frames[:5000])
    with pytest.raises(EvlibError, match="sst2: the encoded data set is damaged"):
        VideoStore.open(store.path)
    (store.path / "frames.npy").write_bytes(b"")
    damaged = "sst2: the encoded data set is damaged .*: remove the folder and encode again"
    with pytest.raises(EvlibError, match=damaged):
        VideoStore.open(store.path)
    (store.path / "manifest.json").write_text("[]")
    with pytest.raises(EvlibError, match=damaged):
        VideoStore.open(store.path)
    (store.path / "manifest.json").write_text(json.dumps({**store.manifest, "version": 0}))
    with pytest.raises(EvlibError, match="layout of version 0, expected version 4"):
        VideoStore.open(store.path)


@pytest.mark.parametrize("damage", ["[]", "null", "{", '{"version": 2}'])
def test_a_store_with_a_damaged_manifest_is_encoded_again(store, data, damage):
    (store.path / "manifest.json").write_text(damage)
    again = encode(tasks.get("sst2"), data, log=quiet)
    assert again.manifest["examples"] == store.manifest["examples"] and (again.sequences == store.sequences).all()


def test_a_run_refuses_a_store_of_another_renderer(store, make_run):
    (store.path / "manifest.json").write_text(json.dumps({**store.manifest, "renderer": "0123456789ab"}))
    with pytest.raises(EvlibError, match="renderer 0123456789ab.*encode again"):
        evaluate(make_run("sst2"), VideoStore.open(store.path), log=quiet)


def test_a_run_refuses_a_store_of_another_task(store, make_run):
    with pytest.raises(EvlibError, match="was trained on cifar10, but .*sst2 holds sst2"):
        evaluate(make_run("cifar10"), store, log=quiet)


# ---- splits ----------------------------------------------------------------------------------------------------------


def test_an_unknown_split_is_named(store):
    with pytest.raises(EvlibError, match="expected examples of the split 'val', found only test, train, validation"):
        store.split("val")


def test_head_keeps_the_first(store):
    split = store.split("test")
    head = split.head(5)
    assert len(head) == 5 and head.metadata.equals(split.metadata.iloc[:5])
    assert (head.gather([4]) == split.gather([4])).all()
    assert len(split.head(1000)) == 24
    with pytest.raises(EvlibError, match="limit of 0"):
        split.head(0)


def test_rows_on_the_device_are_gathered_to_a_given_length(store):
    split = store.split("train")
    rows = next(split.batches(3))
    assert torch.equal(split.gather(torch.from_numpy(rows), 2), split.gather(rows)[:, :2])
    assert torch.equal(split.gather(rows.tolist()), split.gather(rows))


def test_outputs_are_the_last_frames(store):
    split = store.split("test")
    outputs = split.outputs()
    assert len(outputs) == len(split)
    for row, frames in enumerate(outputs):
        assert (split.gather([row])[0, -1].permute(1, 2, 0).numpy() == frames[0]).all() and len(frames) == 1


def test_mean_output(store):
    split = store.split("train")
    expected = np.concatenate(split.outputs()).astype(np.float64).mean(axis=0).transpose(2, 0, 1) / 255
    mean = split.mean_output()
    assert mean.shape == (3, 64, 64) and np.abs(mean.numpy() - expected).max() < 1e-6
    assert 0 < np.abs(split.mean_output(at_most=7).numpy() - expected).max() < 0.5


def test_mean_output_of_many_frames_is_summed_in_chunks(largest_tensor):
    frames = torch.from_numpy(np.random.default_rng(0).integers(256, size=(1300, 64, 64, 3), dtype=np.uint8))
    sequences = torch.arange(1300, dtype=torch.int32).reshape(65, 20)
    split = Split("train", frames, sequences, pd.DataFrame({"n_in": [0] * 65, "n_out": [20] * 65}))
    with largest_tensor() as largest:
        mean = split.mean_output()
    assert largest() == 4 * 512 * frames[0].nbytes
    assert torch.allclose(mean.double(), frames.double().mean(dim=0).permute(2, 0, 1) / 255, rtol=0, atol=1e-6)


def test_rows_of_a_split(store):
    split = store.split("train")
    chosen = split.select(np.array([20, 3, 7]))
    assert len(chosen) == 3 and chosen.frames is split.frames and chosen.name == "train"
    assert chosen.metadata.equals(split.metadata.iloc[[20, 3, 7]].reset_index(drop=True))
    for i, row in enumerate((20, 3, 7)):
        assert torch.equal(chosen.gather([i]), split.gather([row]))


def test_a_device_gets_only_the_frames_of_its_split(store):
    split = store.split("validation")
    before, compact = split.sequences.numpy(), split.compact()
    frames, after = compact.frames.numpy(), compact.sequences.numpy()
    used = before >= 0
    assert len(frames) == len(set(before[used].tolist())) < len(store.frames)
    assert after.dtype == np.int32 and ((after >= 0) == used).all() and not used.all()
    assert (frames[after[used]] == store.frames[before[used]]).all()
    short = replace(split, sequences=split.sequences[:, :2]).compact()  # nothing to pad
    assert (short.frames[short.sequences.long()].numpy() == store.frames[before[:, :2]]).all()


def test_batches_show_every_row_once_in_batches_of_one_shape(store):
    split = store.split("train")
    batches = list(split.batches(4))
    assert sorted(np.concatenate(batches)) == list(range(len(split)))
    for rows in batches:
        assert len(rows) <= 4 and split.metadata.n_in.iloc[rows].nunique() == 1


# ---- the schedule ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def split() -> Split:
    """41 sequences of three shapes."""
    table = pd.DataFrame({"n_in": [3] * 25 + [5] * 10 + [5] * 6, "n_out": [1] * 35 + [2] * 6})
    return Split("train", torch.zeros(1, 64, 64, 3), torch.zeros(41, 7), table)


def test_a_step_has_its_rows_wherever_a_run_starts(split):
    schedule = Schedule(split, batch=4, seed=3)
    rows = [schedule[step].tolist() for step in range(30)]
    assert [Schedule(split, 4, 3)[step].tolist() for step in range(30)] == rows  # each from a fresh start
    assert [schedule[step].tolist() for step in reversed(range(30))] == rows[::-1]
    assert [Schedule(split, 4, 4)[step].tolist() for step in range(30)] != rows


def test_every_epoch_shows_every_row_in_a_new_order(split):
    schedule = Schedule(split, batch=4, seed=0)
    assert schedule.per_epoch == 7 + 3 + 2
    epochs = [[schedule[epoch * 12 + step] for step in range(12)] for epoch in range(3)]
    for epoch in epochs:
        assert {len(rows) for rows in epoch} == {4} and set(np.concatenate(epoch)) == set(range(41))
    assert len({str(np.concatenate(epoch).tolist()) for epoch in epochs}) == 3


def test_the_rows_of_a_batch_have_one_shape(split):
    schedule = Schedule(split, batch=4, seed=0)
    for step in range(24):
        assert len(split.metadata.iloc[schedule[step]].drop_duplicates()) == 1


def test_a_batch_larger_than_the_data_repeats_rows(split):
    schedule = Schedule(split, batch=64, seed=0)
    assert schedule.per_epoch == 3
    counts = [np.unique(schedule[step], return_counts=True)[1] for step in range(3)]
    assert all(c.sum() == 64 and np.ptp(c) <= 1 for c in counts)


def test_shards_deal_the_rows_and_share_every_batch_equally(split):
    schedule = Schedule(split, batch=4, seed=0, shards=2)
    first, second = schedule.rows_in(slice(0, 2)), schedule.rows_in(slice(2, 4))
    assert set(first) | set(second) == set(range(41)) and not set(first) & set(second)
    assert (schedule.rows_in(slice(0, 4)) == np.arange(41)).all()
    seen = np.concatenate([schedule[step] for step in range(schedule.per_epoch)]).reshape(-1, 4)
    assert set(seen[:, :2].ravel()) == set(first) and set(seen[:, 2:].ravel()) == set(second)
    for rows in seen:
        assert len(split.metadata.iloc[rows].drop_duplicates()) == 1


def test_one_shard_is_the_plain_schedule(split):
    assert (Schedule(split, 4, 3, shards=1).plan(2) == Schedule(split, 4, 3).plan(2)).all()
    assert (Schedule(split, 4, 3).rows_in(slice(0, 2)) == np.arange(41)).all()  # each process may need any row


def test_more_shards_than_rows_of_a_shape_repeat_rows():
    table = pd.DataFrame({"n_in": [3] * 3 + [5] * 20, "n_out": 1})
    few = Split("train", torch.zeros(1, 64, 64, 3), torch.zeros(23, 7), table)
    schedule = Schedule(few, batch=8, seed=0, shards=8)
    assert all(len(schedule.rows_in(slice(i, i + 1))) for i in range(8))
    assert set(schedule.plan(0).ravel()) == set(range(23))


@pytest.mark.parametrize("shards", [1, 2])
def test_batches_are_the_rows_of_the_schedule(store, shards):
    split = store.split("train")
    schedule = Schedule(split, batch=4, seed=1, shards=shards)
    whole, half = (Batches(split, schedule, share, torch.device("cpu")) for share in (slice(0, 4), slice(2, 4)))
    for step in (0, 1, schedule.per_epoch, 3):  # also back to an earlier epoch
        batch = whole[step]
        rows = schedule[step]
        assert torch.equal(batch.video, split.gather(rows)) and torch.equal(half[step].video, split.gather(rows[2:]))
        assert (batch.n_in, batch.n_out) == tuple(split.metadata[["n_in", "n_out"]].iloc[rows[0]])
    if shards == 2:
        assert len(half.split) < len(split)  # divided, not copied
    else:
        assert half.split is split


def make(part: Split) -> Batches:
    return Batches(part, Schedule(part, 4, seed=0), slice(0, 4), torch.device("cpu"))


def test_short_sequences_come_first(split):
    batches = Curriculum(split, 30, short_first(split), make)
    length = (split.metadata.n_in + split.metadata.n_out).sort_values(ignore_index=True)
    longest = [max(batches[step].video.shape[1] for step in range(start, start + 10)) for start in (0, 10, 20)]
    assert longest[0] <= length[len(length) // 4] and longest[1] <= length[len(length) // 2]
    assert longest[2] == length.max()
    assert torch.equal(batches[25].video, make(split)[25].video)  # at last, as without a curriculum


def test_some_questions_come_first(split):
    asked = split.metadata.assign(
        question=["What is it?", "Is it?"] * (len(split) // 2) + ["Is it?"] * (len(split) % 2)
    )
    batches = Curriculum(split, 32, questions_first(replace(split, metadata=asked), "what"), make)
    first = make(split.select(np.flatnonzero(asked.question == "What is it?")))
    assert all(torch.equal(batches[step].video, first[step].video) for step in (0, 1))
    assert torch.equal(batches[2].video, make(split)[2].video)
    assert questions_first(replace(split, metadata=asked), "Why") == []


def test_the_best_lag_is_that_of_the_frame_which_comes_back():
    frames = torch.randint(256, (40, 64, 64, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    sequences = torch.arange(40, dtype=torch.int32).view(4, 10)
    sequences[:, 6:] = sequences[:, 1:5]  # four answer frames after six: each came five frames before
    split = Split("train", frames, sequences, pd.DataFrame({"n_in": 4 * [6], "n_out": 4 * [4]}))
    assert split.best_lag(split.mean_output()) == 5
    other = replace(split, sequences=torch.arange(40, dtype=torch.int32).view(4, 10))
    assert other.best_lag(other.mean_output()) is None


def test_the_best_lag_reaches_no_frame_of_the_answer():
    """Each answer frame equals the one before it, which the network would have to generate first."""
    frames = torch.randint(256, (40, 64, 64, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    sequences = torch.arange(40, dtype=torch.int32).view(4, 10)
    sequences[:, 7:] = sequences[:, 6:7]
    split = Split("train", frames, sequences, pd.DataFrame({"n_in": 4 * [6], "n_out": 4 * [4]}))
    assert split.best_lag(split.mean_output()) in (None, 4, 5, 6)
