"""The official files of every data set become the right examples, in the right splits."""

import os
import pickle
import struct
from collections import Counter

import numpy as np
import pytest

from evlib.data import tasks
from evlib.data.tasks.audiomnist import DIGITS, AudioMNIST
from evlib.data.tasks.base import hold_out
from evlib.frames.parts import Audio, Image, Text, Word
from evlib.utils.errors import EvlibError


def items(task, root) -> dict[str, list]:
    found = {"train": [], "validation": [], "test": []}
    for item in task.items(root):
        found[item.split].append(item)
    return found


# ---- the registry ----------------------------------------------------------------------------------------------------


def test_every_task_has_its_row_of_table_2():
    assert {name: (task.batch, task.max_inputs) for name, task in tasks.TASKS.items()} == {
        "sst2": (16, 20),
        "cifar10": (128, None),
        "tinyvirat": (16, None),
        "audiomnist": (256, None),
        "fsdd": (256, None),
        "clevrer": (16, 20),
        "tgifqa": (16, 20),
        "lasot": (8, None),
        "colorization": (16, None),
    }


def test_unknown_task_offers_the_nearest():
    with pytest.raises(EvlibError, match="Unknown task 'cifar': did you mean 'cifar10'?"):
        tasks.get("cifar")


def test_root_is_the_first_folder_found(tmp_path):
    task = tasks.get("cifar10")
    with pytest.raises(
        EvlibError, match="CIFAR-10 is not under .*cifar-10-batches-bin or cifar-10-batches-py; fetch it with"
    ):
        task.root(tmp_path)
    (tmp_path / "cifar-10-batches-py").mkdir()
    assert task.root(tmp_path).name == "cifar-10-batches-py"
    (tmp_path / "cifar-10-batches-bin").mkdir()
    assert task.root(tmp_path).name == "cifar-10-batches-bin"


def test_hold_out_is_about_5_percent_and_always_the_same():
    held = [hold_out(f"example {i}") == "validation" for i in range(20_000)]
    assert 0.045 < np.mean(held) < 0.055
    assert [i for i, is_held in enumerate(held[:100]) if is_held] == [17, 18, 32, 44, 59, 60]


# ---- SST-2 -----------------------------------------------------------------------------------------------------------


def test_sst2(miniature):
    found = items(tasks.get("sst2"), miniature / "SST-2")
    assert len(found["test"]) == 600 and len(found["train"]) + len(found["validation"]) == 4000
    assert 150 < len(found["validation"]) < 250
    header, first, *_ = (miniature / "SST-2" / "dev.tsv").read_text().splitlines()
    example = found["test"][0].load()
    assert example.inputs == [Text(first.split("\t")[0].strip())]
    assert example.outputs == [Word(example.answer)] and example.answer == ("negative", "positive")[int(first[-1])]
    assert found["test"][0].source == "dev.tsv:2"


def test_the_same_sentence_is_never_in_train_and_validation(data):
    found = items(tasks.get("sst2"), data / "SST-2")
    assert not {i.group for i in found["train"]} & {i.group for i in found["validation"]}


def test_sst2_keeps_what_looks_like_the_end_of_a_line_or_a_quote(tmp_path):
    for name in ("train.tsv", "dev.tsv"):
        (tmp_path / name).write_bytes(
            'sentence\tlabel\r\n"open quote \t1\r\nform\x0cfeed and line\u2028separator \t0\r\n'.encode()
        )
    found = items(tasks.get("sst2"), tmp_path)["test"]
    assert [item.load().inputs[0].text for item in found] == ['"open quote', "form\x0cfeed and line\u2028separator"]
    assert [item.load().answer for item in found] == ["positive", "negative"]


def test_sst2_official_counts(official):
    found = items(tasks.get("sst2"), official("SST-2"))
    assert len(found["train"]) + len(found["validation"]) == 67_349 and len(found["test"]) == 872
    assert Counter(item.load().answer for item in found["test"]) == {"positive": 444, "negative": 428}
    assert found["test"][0].load().inputs[0].text == "it 's a charming and often affecting journey ."
    assert 0.04 < len(found["validation"]) / 67_349 < 0.06


# ---- CIFAR-10 --------------------------------------------------------------------------------------------------------


def test_cifar10(data):
    found = items(tasks.get("cifar10"), data / "cifar-10-batches-bin")
    assert len(found["test"]) == 20 and len(found["train"]) + len(found["validation"]) == 100
    record = np.fromfile(data / "cifar-10-batches-bin" / "test_batch.bin", np.uint8)[3073 : 2 * 3073]
    example = found["test"][1].load()
    assert example.answer == "automobile" and found["test"][1].source == "test_batch:1"
    [image] = example.inputs
    assert isinstance(image, Image) and image.pixels.shape == (32, 32, 3)
    for row, column, channel in [(0, 0, 0), (3, 17, 1), (31, 30, 2)]:
        assert image.pixels[row, column, channel] == record[1 + channel * 1024 + row * 32 + column]


def test_cifar10_miniature_is_about_the_same_for_every_class(miniature):
    found = items(tasks.get("cifar10"), miniature / "cifar-10-batches-bin")
    assert Counter(item.load().answer for item in found["test"]) == {
        word: 64 for word in tasks.get("cifar10").answer.classes
    }


def by_python_3(protocol: int):
    return lambda labels, planes: pickle.dumps(
        {"data": planes, "labels": labels.tolist(), "batch_label": "a", "filenames": ["b.png"]}, protocol
    )


def by_python_2(labels, planes) -> bytes:
    """The official file, opcode by opcode: byte strings, and numpy's functions under their old names."""

    def string(text: bytes) -> bytes:
        return b"T" + struct.pack("<i", len(text)) + text

    dtype = b"cnumpy\ndtype\n%bK\0K\1\x87R(K\3%bNNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tb" % (
        string(b"u1"),
        string(b"|"),
    )
    shape = b"".join(b"J" + struct.pack("<i", n) for n in planes.shape) + b"\x86"
    array = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\0\x85%b\x87R(K\1%b%b\x89%btb" % (
        string(b"b"),
        shape,
        dtype,
        string(planes.tobytes()),
    )
    data, listed = string(b"data") + array, b"".join(b"K" + bytes([n]) for n in labels)
    files = string(b"filenames") + b"](" + string(b"leptodactylus.png") + b"e"
    return b"\x80\2}(" + data + string(b"labels") + b"](" + listed + b"e" + files + b"u."


@pytest.mark.parametrize(
    "dump",
    [by_python_2, by_python_3(2), by_python_3(3), by_python_3(4)],
    ids=["python 2", "protocol 2", "protocol 3", "protocol 4"],
)
def test_cifar10_pickled_and_binary_are_equal(data, dump):
    binary, pickled = data / "cifar-10-batches-bin", data / "cifar-10-batches-py"
    pickled.mkdir()
    for path in binary.glob("*.bin"):
        records = np.fromfile(path, np.uint8).reshape(-1, 3073)
        (pickled / path.stem).write_bytes(dump(records[:, 0], records[:, 1:]))
    for a, b in zip(tasks.get("cifar10").items(binary), tasks.get("cifar10").items(pickled), strict=True):
        one, two = a.load(), b.load()
        assert (one.inputs[0].pixels == two.inputs[0].pixels).all() and one.answer == two.answer
        assert a.split == b.split and a.source == b.source  # also which are held out
    assert {item.split for item in tasks.get("cifar10").items(binary)} == {"train", "validation", "test"}


class Malicious:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_malicious_pickle_is_refused_and_not_run(tmp_path, protocol):
    root = tmp_path / "cifar-10-batches-py"
    root.mkdir()
    for name in (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"):
        (root / name).write_bytes(pickle.dumps({"labels": [1], "data": Malicious(tmp_path / "it ran")}, protocol))
    with pytest.raises(EvlibError, match="data_batch_1 wants to call posix.mkdir, .* it was not run"):
        next(tasks.get("cifar10").items(root))
    assert not (tmp_path / "it ran").exists()


def test_cifar10_official_counts(official):
    found = items(tasks.get("cifar10"), official("cifar-10-batches-bin"))
    assert len(found["train"]) + len(found["validation"]) == 50_000 and len(found["test"]) == 10_000
    assert 0.045 < len(found["validation"]) / 50_000 < 0.055
    assert Counter(item.load().answer for item in found["test"]) == {
        word: 1000 for word in tasks.get("cifar10").answer.classes
    }


# ---- speech ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def audiomnist(tmp_path_factory):
    """The names of AudioMNIST's files, of which only names are read here: 60 speakers, two digits, and strays."""
    root = tmp_path_factory.mktemp("AudioMNIST")
    for speaker in range(1, 61):
        (root / "data" / f"{speaker:02d}").mkdir(parents=True)
        for digit in (0, 7):
            (root / "data" / f"{speaker:02d}" / f"{digit}_{speaker:02d}_49.wav").touch()
    (root / "data" / "36" / "notes.txt").touch()
    (root / "data" / "36" / "copy of 1_36_0.wav").touch()
    (root / "data" / "audioMNIST_meta.txt").touch()
    return root


def test_audiomnist_is_the_authors_fold_0_by_speaker(audiomnist):
    found = items(tasks.get("audiomnist"), audiomnist)
    speakers = {split: {int(item.group) for item in there} for split, there in found.items()}
    assert speakers["test"] == {26, 52, 60, 18, 32, 42, 5, 13, 22, 33, 45, 51}
    assert speakers["validation"] == {12, 47, 59, 15, 27, 41, 4, 11, 21, 31, 44, 50}
    assert speakers["train"] == set(range(1, 61)) - speakers["test"] - speakers["validation"]
    assert {split: len(there) for split, there in found.items()} == {"train": 72, "validation": 24, "test": 24}


def test_audiomnist_speaker_out_of_range(audiomnist, tmp_path):
    (tmp_path / "data" / "61").mkdir(parents=True)
    (tmp_path / "data" / "61" / "0_61_0.wav").touch()
    with pytest.raises(EvlibError, match="0_61_0.wav: expected a speaker from 01 to 60, found 61"):
        list(AudioMNIST().items(tmp_path))


def test_fsdd(data):
    found = items(tasks.get("fsdd"), data / "free-spoken-digit-dataset")
    index = {
        split: {int(item.source.removesuffix(".wav").split("_")[-1]) for item in there}
        for split, there in found.items()
    }
    assert index == {"test": {0, 1, 2, 3, 4}, "validation": {5, 6, 7}, "train": {8, 9}}
    example = next(item for item in found["test"] if item.source == "recordings/2_ann_0.wav").load()
    [sound] = example.inputs
    assert isinstance(sound, Audio) and sound.rate == 8000 and len(sound.wave) == 2000
    assert example.answer == DIGITS[2] == "two"


def test_fsdd_official_counts(official):
    found = items(tasks.get("fsdd"), official("free-spoken-digit-dataset"))
    assert {split: len(there) for split, there in found.items()} == {"train": 2520, "validation": 180, "test": 300}
    assert len({item.group for item in found["test"]}) == 6
