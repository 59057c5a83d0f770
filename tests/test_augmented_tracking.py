"""Clips made from few real ones: the task reads them, the box stays on the target, nothing leaks between splits."""

import hashlib
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from evlib.data.tasks.base import hold_out
from evlib.data.tasks.lasot import FRAMES, LaSOT, read_annotation
from evlib.scoring.metrics import iou
from evlib.synthetic import augmented_tracking as augmented
from evlib.utils.errors import EvlibError


@pytest.fixture(scope="module", autouse=True)
def in_this_process():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(augmented, "in_parallel", lambda work, jobs: [work(job) for job in jobs])
        yield


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """Ten sequences of a green square that moves over black noise; one is held out for validation, one for testing."""
    root = tmp_path_factory.mktemp("data") / "LaSOT"
    numbers = iter(range(1, 1000))
    kinds = [next(f"square-{n}" for n in numbers if hold_out(f"square-{n}") == "train") for _ in range(8)]
    kinds.append(next(f"square-{n}" for n in numbers if hold_out(f"square-{n}") == "validation"))
    rng = np.random.default_rng(0)
    for name in [*kinds, "square-1000"]:
        folder = root / "square" / name
        (folder / "img").mkdir(parents=True)
        lines = []
        for i in range(augmented.READ):
            x, y = 20 + i, 60 - i
            frame = rng.integers(0, 20, (100, 120, 3), dtype=np.uint8)
            frame[y : y + 24, x : x + 30] = (0, 250, 0) if name != "square-1000" else (0, 0, 250)
            Image.fromarray(frame).save(folder / "img" / f"{i + 1:08d}.jpg", quality=95)
            lines.append(f"{x},{y},30,24")
        (folder / "groundtruth.txt").write_text("\n".join(lines) + "\n")
    (root / "training_set.txt").write_text("\n".join(kinds) + "\n")
    (root / "testing_set.txt").write_text("square-1000\n")
    return root.parent


@pytest.fixture(scope="module")
def out(data, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("out")
    assert augmented.write(data, out, 39) == out / "LaSOT"
    assert len(clips(out)) == 40
    return out


def clips(out: Path) -> list[Path]:
    names = (out / "LaSOT" / "training_set.txt").read_text().splitlines()
    return [out / "LaSOT" / name.rpartition("-")[0] / name for name in names]


def digest(folder: Path) -> str:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()


def test_the_task_reads_every_clip(out):
    items = list(LaSOT().items(out / "LaSOT"))
    assert {"train", "test"} <= {item.split for item in items}
    for item in items:
        example = item.load()
        assert example.outputs[0].frames.shape == (FRAMES, 64, 64, 3) and example.outputs[0].boxes[0] is not None


def test_the_box_is_on_the_target_of_a_crop(out):
    """Black without its target: whatever is bright, under any white balance, is the target."""
    true, seen = [], []
    for folder in clips(out):
        if folder.parent.name == "crop":
            boxes = read_annotation(folder)
            assert boxes[0] is not None and len(boxes) == FRAMES
            for path, box in zip(sorted((folder / "img").iterdir()), boxes, strict=True):
                if box is not None:
                    true.append(box)
                    seen.append(augmented.bounds(np.asarray(Image.open(path)).max(axis=-1) > 60))
    scores = iou(np.array(true), np.array(seen))
    assert scores.mean() > 0.85 and np.quantile(scores, 0.05) > 0.6


def test_the_box_is_on_a_pasted_target(data, monkeypatch):
    """A bright square on a black sequence: what is bright is the target, which moves."""
    monkeypatch.setattr(augmented, "TARGETS", (1, 1))
    square = augmented.read(data / "LaSOT" / "square" / "square-1000")
    black = augmented.Source(np.zeros_like(square.frames), square.boxes)
    true, seen, first = [], [], []
    for seed in range(20):
        frames, boxes = augmented.paste(iter([black, square]), np.random.default_rng(seed))
        for frame, box in zip(frames, boxes, strict=True):
            if box is not None and (bright := frame.max(axis=-1) > 120).any():
                true.append(box)
                seen.append(augmented.bounds(bright))
                first.append(boxes[0])
    scores = iou(np.array(true), np.array(seen))
    assert scores.mean() > 0.85 and np.quantile(scores, 0.05) > 0.6
    assert iou(np.array(first), np.array(true)).mean() < 0.7


def test_a_target_under_another_is_absent(data):
    """Never in the first frame, where the box is given."""
    source = augmented.read(data / "LaSOT" / "square" / "square-1000")
    boxes = [augmented.paste(iter([source] * 4), np.random.default_rng(seed))[1] for seed in range(30)]
    assert None not in [clip[0] for clip in boxes] and any(None in clip for clip in boxes)


def test_splits_do_not_share_sequences(data, tmp_path, monkeypatch):
    """The test sequence is never read; validation clips are made of the held-out sequence, and only they."""
    jobs = []
    monkeypatch.setattr(augmented, "in_parallel", lambda work, todo: jobs.extend(todo))
    augmented.write(data, tmp_path, 200)
    for _, name, folders, _ in jobs:
        assert {hold_out(folder.name) for folder in folders} == {hold_out(name)}
        assert "square-1000" not in {folder.name for folder in folders}
    assert {hold_out(name) for _, name, _, _ in jobs} == {"train", "validation"}


def test_a_seed_gives_the_same_clips(data, out, tmp_path):
    augmented.write(data, tmp_path / "same", 40)
    augmented.write(data, tmp_path / "other", 40, seed=1)
    assert digest(tmp_path / "same") == digest(out) != digest(tmp_path / "other")


def test_without_a_fitting_window_the_whole_picture_is_shown(data, monkeypatch):
    monkeypatch.setattr(augmented, "TRIES", 1)
    monkeypatch.setattr(augmented, "SMALLEST", 1000)
    source = augmented.read(data / "LaSOT" / "square" / "square-1000")
    frames, boxes = augmented.crop(iter([source]), np.random.default_rng(0))
    assert frames.shape == (FRAMES, augmented.SIDE, augmented.SIDE, 3) and None not in boxes


def test_no_training_sequence_is_one_sentence(data, tmp_path):
    shutil.copytree(data, tmp_path / "data")
    (tmp_path / "data" / "LaSOT" / "training_set.txt").write_text("\n")
    with pytest.raises(EvlibError, match=r"LaSOT: expected training sequences in training_set.txt, found none"):
        augmented.write(tmp_path / "data", tmp_path / "out", 10)
    assert not (tmp_path / "out" / "LaSOT").exists()


def test_nothing_is_replaced(data, tmp_path):
    """Least of all the data that the clips are made from."""
    shutil.copytree(data, tmp_path / "data")
    before = digest(tmp_path / "data")
    with pytest.raises(EvlibError, match="LaSOT exists: name another folder, or remove it"):
        augmented.write(tmp_path / "data", tmp_path / "data", 10)
    assert digest(tmp_path / "data") == before


def test_other_data_in_the_layout_keeps_its_name(data, tmp_path):
    """So that no table calls it LaSOT."""
    shutil.copytree(data / "LaSOT", tmp_path / "data" / "tracking")
    assert augmented.write(tmp_path / "data", tmp_path / "out", 2) == tmp_path / "out" / "tracking"


def test_no_clips_are_one_sentence(data, tmp_path):
    with pytest.raises(EvlibError, match="clips must be at least 1; found 0"):
        augmented.write(data, tmp_path, 0)


def test_large_pictures_are_reduced_on_reading(tmp_path):
    folder = tmp_path / "car-1"
    (folder / "img").mkdir(parents=True)
    Image.new("RGB", (1280, 720)).save(folder / "img" / "00000001.jpg")
    (folder / "groundtruth.txt").write_text("640,360,320,180\n")
    source = augmented.read(folder)
    assert source.frames.shape == (1, 180, 320, 3) and source.boxes == [(160, 90, 80, 45)]


def test_a_box_outside_the_picture_is_one_sentence(tmp_path):
    folder = tmp_path / "car-1"
    (folder / "img").mkdir(parents=True)
    Image.new("RGB", (100, 100)).save(folder / "img" / "00000001.jpg")
    (folder / "groundtruth.txt").write_text("200,200,10,10\n")
    with pytest.raises(EvlibError, match="car-1: expected boxes inside the picture, found none in the first 24"):
        augmented.read(folder)
