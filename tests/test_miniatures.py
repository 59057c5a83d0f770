"""The miniatures: official formats, repeatable bytes, and no shortcut to the label."""

from __future__ import annotations

import hashlib
import json
import re
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from evlib import synthetic
from evlib.data.tasks.sst2 import SST2
from evlib.frames.render import tokenize
from evlib.synthetic import audiomnist
from evlib.synthetic.sst2 import GOOD, NEGATIONS
from evlib.utils.errors import EvlibError

# The authors' first fold of AudioMNIST: speakers of D and E are heard by nobody during training.
UNSEEN = {12, 47, 59, 15, 27, 41, 4, 11, 21, 31, 44, 50} | {26, 52, 60, 18, 32, 42, 5, 13, 22, 33, 45, 51}
STILL = ("sst2", "cifar10", "audiomnist", "fsdd")
CLASSES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """The miniatures without films, which have tests of their own; written once for the whole module."""
    out = tmp_path_factory.mktemp("data")
    synthetic.write(out, names=STILL, log=lambda line: None)
    return out


def hashes(folder: Path) -> dict[str, str]:
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return {p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


# ---- writing ---------------------------------------------------------------------------------------------------------


def test_markers_and_nothing_left_over(root):
    folders = {"SST-2", "cifar-10-batches-bin", "AudioMNIST", "free-spoken-digit-dataset"}
    assert folders <= {p.name for p in root.iterdir()}
    assert not [p for p in root.iterdir() if p.name.startswith(".")]
    expected = {
        "SST-2": (4000, 600),
        "cifar-10-batches-bin": (3200, 640),
        "AudioMNIST": (2160, 720),
        "free-spoken-digit-dataset": (900, 300),
    }
    for folder, (train, test) in expected.items():
        marker = json.loads((root / folder / "MINIATURE.json").read_text())
        assert marker["miniature"] is True and marker["seed"] == 0
        assert (marker["train"], marker["test"]) == (train, test)
        assert set(marker) == {"miniature", "seed", "version", "train", "test", "about"}


def test_same_seed_same_bytes(root, tmp_path):
    names = ["fsdd", "cifar10", "sst2"]  # another order, and without audiomnist
    synthetic.write(tmp_path, names=names, log=lambda line: None)
    for folder in ("SST-2", "cifar-10-batches-bin", "free-spoken-digit-dataset"):
        assert hashes(tmp_path / folder) == hashes(root / folder)


def test_same_seed_same_bytes_audiomnist(root, tmp_path, monkeypatch):
    monkeypatch.setattr(audiomnist, "SPEAKERS", 2)  # speakers are sampled one after the other, so two will do
    synthetic.MINIATURES["audiomnist"].fill(tmp_path)
    for speaker in ("01", "02"):
        assert hashes(tmp_path / "data" / speaker) == hashes(root / "AudioMNIST" / "data" / speaker)


def test_other_seed_other_bytes_and_replaced(tmp_path):
    synthetic.write(tmp_path, seed=1, names=["sst2"], log=lambda line: None)
    first = hashes(tmp_path / "SST-2")
    (tmp_path / "SST-2" / "leftover.txt").write_text("from an older version")
    synthetic.write(tmp_path, seed=2, names=["sst2"], log=lambda line: None)
    second = hashes(tmp_path / "SST-2")
    assert first.keys() == second.keys()
    assert all(first[name] != second[name] for name in first)


def test_an_older_version_is_replaced(root, tmp_path):
    """So that a folder of miniatures that is there already follows the code."""
    synthetic.write(tmp_path, names=["sst2"], log=lambda line: None)
    marker = tmp_path / "SST-2" / "MINIATURE.json"
    older = json.loads(marker.read_text())
    marker.write_text(json.dumps(older | {"version": older["version"] - 1}))
    (tmp_path / "SST-2" / "dev.tsv").write_text("sentence\tlabel\ndull \t0\n")
    synthetic.write(tmp_path, names=["sst2"], log=lambda line: None)
    assert hashes(tmp_path / "SST-2") == hashes(root / "SST-2")


def test_second_write_is_skipped(root):
    before = hashes(root / "SST-2")
    lines: list[str] = []
    start = time.perf_counter()
    synthetic.write(root, names=STILL, log=lines.append)
    assert time.perf_counter() - start < 0.5
    assert len(lines) == len(STILL) and all("already" in line for line in lines)
    assert hashes(root / "SST-2") == before


def test_refuses_what_may_be_real_data(tmp_path):
    precious = tmp_path / "cifar-10-batches-bin" / "data_batch_1.bin"
    precious.parent.mkdir()
    precious.write_bytes(b"photographs")
    with pytest.raises(EvlibError, match="may be real data"):
        synthetic.write(tmp_path, names=["sst2", "cifar10"], log=lambda line: None)
    assert precious.read_bytes() == b"photographs"
    assert [p.name for p in tmp_path.iterdir()] == ["cifar-10-batches-bin"]  # refused before anything was written


def test_interrupted_write_leaves_nothing(tmp_path, monkeypatch):
    def stop(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(audiomnist, "speak", stop)
    with pytest.raises(KeyboardInterrupt):
        synthetic.write(tmp_path, names=["fsdd"], log=lambda line: None)
    assert list(tmp_path.iterdir()) == []


def test_unknown_name_offers_the_nearest(tmp_path):
    with pytest.raises(EvlibError, match="did you mean 'cifar10'"):
        synthetic.write(tmp_path, names=["cifar"], log=lambda line: None)


# ---- SST-2 -----------------------------------------------------------------------------------------------------------


def reviews(root: Path, name: str) -> tuple[list[str], np.ndarray]:
    header, *lines = (root / "SST-2" / name).read_bytes().decode().removesuffix("\n").split("\n")
    assert header == "sentence\tlabel"
    rows = [line.split("\t") for line in lines]
    assert all(len(row) == 2 and row[1] in ("0", "1") for row in rows)
    return [sentence for sentence, _ in rows], np.array([int(label) for _, label in rows])


def test_reviews_format(root):
    for name, count in (("train.tsv", 4000), ("dev.tsv", 600)):
        sentences, labels = reviews(root, name)
        assert len(sentences) == count and labels.sum() == count // 2
        assert all(s.endswith(" ") and not s.endswith("  ") and s == s.lower() for s in sentences)
        lengths = np.array([len(tokenize(s)) for s in sentences])
        assert lengths.tolist() == [len(s.split()) for s in sentences]
        assert lengths.min() == 3 and lengths.max() == 26 and np.median(lengths) == 6
        assert 0.2 < (lengths > 10).mean() < 0.3
        assert 0.05 < (lengths > SST2.max_inputs).mean() < 0.08  # of these the task cuts off the beginning
    header, *lines = (root / "SST-2" / "test.tsv").read_text(encoding="utf-8").splitlines()
    assert header == "index\tsentence" and len(lines) == 200
    assert [line.split("\t")[0] for line in lines] == [str(i) for i in range(200)]
    assert not any(line.endswith(" ") for line in lines)
    assert b"\r" not in (root / "SST-2" / "train.tsv").read_bytes()


def test_reviews_have_no_shortcut(root):
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.linear_model import LogisticRegression

    train, y = reviews(root, "train.tsv")
    dev, y_dev = reviews(root, "dev.tsv")
    test = [line.split("\t")[1] + " " for line in (root / "SST-2" / "test.tsv").read_text().splitlines()[1:]]
    assert len({*train, *dev, *test}) == 4000 + 600 + 200  # nothing occurs twice

    words = CountVectorizer(token_pattern=r"\S+", binary=True)
    x, x_dev = words.fit_transform(train), words.transform(dev)
    assert 30 <= len(words.vocabulary_) <= 45
    present = x.toarray().astype(bool)
    for column in present.T:
        agree = (column == y).mean()  # the rule "positive if and only if the word is there", or its opposite
        assert max(agree, 1 - agree) <= 0.55
        given = y[column].mean()  # how sure one can be of the label where the word occurs
        assert max(given, 1 - given) <= 0.68
    assert LogisticRegression().fit(x, y).score(x_dev, y_dev) <= 0.70

    # The rule that the network has to find is exact: the last clause decides. It is among the tokens that are shown.
    last = [
        re.split(r" (?:and|, but|, yet) ", " " + " ".join(tokenize(s)[-SST2.max_inputs :]))[-1].split() for s in dev
    ]
    assert ([bool({*s} & {*GOOD}) != bool({*s} & {*NEGATIONS}) for s in last] == y_dev).all()
    assert max(map(len, last)) <= 9


# ---- CIFAR-10 --------------------------------------------------------------------------------------------------------


def records(root: Path, name: str) -> np.ndarray:
    return np.fromfile(root / "cifar-10-batches-bin" / name, np.uint8).reshape(-1, 3073)


@pytest.fixture(scope="module")
def pictures(root) -> tuple[np.ndarray, np.ndarray]:
    return np.concatenate([records(root, f"data_batch_{i}.bin") for i in range(1, 6)]), records(root, "test_batch.bin")


def test_pictures_format(root, pictures):
    for name in [f"data_batch_{i}.bin" for i in range(1, 6)] + ["test_batch.bin"]:
        assert (root / "cifar-10-batches-bin" / name).stat().st_size == 640 * 3073
        assert (np.bincount(records(root, name)[:, 0]) == 64).all()
    assert (root / "cifar-10-batches-bin" / "batches.meta.txt").read_text().split() == CLASSES
    everything = np.concatenate(pictures)
    assert len(np.unique(everything[:, 1:], axis=0)) == len(everything)


def test_pictures_are_planes_of_rows(pictures):
    """Read as 3 x 32 x 32, neighbors are alike; read in any other order they are not."""
    planes = pictures[0][:, 1:].reshape(-1, 3, 32, 32).astype(float)
    for axis in (2, 3):
        assert np.abs(np.diff(planes, axis=axis)).mean() < 25
    interleaved = pictures[0][:, 1:].reshape(-1, 32, 32, 3).astype(float)
    assert np.abs(np.diff(interleaved, axis=1)).mean() > 30


def stump(train: np.ndarray, y: np.ndarray, test: np.ndarray, y_test: np.ndarray, cells: int = 16) -> float:
    """Accuracy of the best rule that looks only at which of `cells` equal cells (0 .. cells - 1) a number is in."""
    rule = np.array([np.bincount(y[train == i], minlength=10).argmax() for i in range(cells)])
    return float((rule[test] == y_test).mean())


def test_pictures_have_no_shortcut(pictures):
    from sklearn.linear_model import LogisticRegression

    train, test = pictures
    y, y_test = train[:, 0], test[:, 0]
    assert max(stump(train[:, i] // 16, y, test[:, i] // 16, y_test) for i in range(1, 3073, 5)) < 0.22
    color, color_test = (d[:, 1:].reshape(-1, 3, 1024).mean(2) / 255 for d in pictures)
    assert LogisticRegression(max_iter=500).fit(color, y).score(color_test, y_test) < 0.2


# ---- sound -----------------------------------------------------------------------------------------------------------


def check_wav(path: Path) -> float:
    """Seconds of a recording, after looking at its format."""
    info = soundfile.info(path)
    assert (info.format, info.subtype, info.samplerate, info.channels) == ("WAV", "PCM_16", 8000, 1)
    assert path.stat().st_size == 44 + 2 * info.frames
    return info.duration


def test_audiomnist_format(root):
    home = root / "AudioMNIST" / "data"
    speakers = [f"{i:02d}" for i in range(1, 61)]
    assert sorted(p.name for p in home.iterdir()) == [*speakers, "audioMNIST_meta.txt"]
    for speaker in speakers:
        names = {f"{digit}_{speaker}_{r}.wav" for digit in range(10) for r in range(6)}
        assert {p.name for p in (home / speaker).iterdir()} == names
    seconds = [check_wav(p) for p in home.glob("*/*_[05].wav")]
    assert min(seconds) >= 0.3 and max(seconds) <= 0.9

    meta = json.loads((home / "audioMNIST_meta.txt").read_text())
    keys = ["accent", "age", "gender", "native speaker", "origin", "recordingdate", "recordingroom"]
    assert list(meta) == speakers
    assert all(list(record) == keys and set(record.values()) == {"synthetic"} for record in meta.values())


def test_fsdd_format(root):
    home = root / "free-spoken-digit-dataset" / "recordings"
    parts = [p.stem.split("_") for p in home.iterdir()]
    assert len(parts) == 10 * 6 * 20 and len({speaker for _, speaker, _ in parts}) == 6
    assert {int(d) for d, _, _ in parts} == set(range(10)) and {int(i) for _, _, i in parts} == set(range(20))
    for path in home.glob("*_0.wav"):
        check_wav(path)


@pytest.fixture(scope="module")
def digits(root):
    """AudioMNIST as log power of 32 bands x 32 instants in [0, 1], labels, seconds, is the speaker unseen?"""
    images, labels, seconds, unseen = [], [], [], []
    window = np.hanning(256)
    for path in sorted((root / "AudioMNIST" / "data").glob("*/*.wav")):
        digit, speaker, _ = path.stem.split("_")
        samples = np.frombuffer(path.read_bytes()[44:], "<i2") / 32768
        power = np.abs(np.fft.rfft(np.lib.stride_tricks.sliding_window_view(samples, 256)[::64] * window)) ** 2
        bands = np.log10(power[:, 1:].reshape(len(power), 32, 4).sum(2) + 1e-7)  # 125 Hz each
        at = np.linspace(0, len(bands) - 1, 32).round().astype(int)
        images.append(np.clip((bands[at].T - bands.max() + 6) / 6, 0, 1))
        labels.append(int(digit)), seconds.append(len(samples) / 8000), unseen.append(int(speaker) in UNSEEN)
    return np.stack(images), np.array(labels), np.array(seconds), np.array(unseen)


def test_speech_has_no_shortcut(digits):
    images, y, seconds, unseen = digits
    cells = ((seconds - 0.3) / 0.6 * 15.99).astype(int)
    assert stump(cells[~unseen], y[~unseen], cells[unseen], y[unseen]) < 0.3
    level = images.mean(2)  # one number per band
    for band in range(32):
        cells = np.searchsorted(np.quantile(level[~unseen, band], np.linspace(0, 1, 17)[1:-1]), level[:, band])
        assert stump(cells[~unseen], y[~unseen], cells[unseen], y[unseen]) < 0.4
    loudest = images.max(1).mean(1)
    cells = np.searchsorted(np.quantile(loudest[~unseen], np.linspace(0, 1, 17)[1:-1]), loudest)
    assert stump(cells[~unseen], y[~unseen], cells[unseen], y[unseen]) < 0.3


def test_digits_can_be_told_apart_on_unseen_speakers(digits):
    from sklearn.linear_model import LogisticRegression

    images, y, _, unseen = digits
    x = images.reshape(len(images), -1)
    model = LogisticRegression(C=0.1, max_iter=50, tol=0.01).fit(x[~unseen], y[~unseen])
    accuracy = model.score(x[unseen], y[unseen])
    assert 0.90 <= accuracy <= 0.995  # neither noise nor child's play
