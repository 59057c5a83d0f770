"""Clips made from few real ones: the task reads them, the box stays on the target, and nothing leaks between splits."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from evlib.data.tasks.base import hold_out
from evlib.data.tasks.lasot import FRAMES, LaSOT, read_annotation
from evlib.scoring.metrics import iou
from evlib.synthetic import refilm
from evlib.utils.errors import EvlibError


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
        for i in range(refilm.READ):
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
    assert refilm.write(data, out, 39) == 40
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
    marker = json.loads((out / "LaSOT" / "MINIATURE.json").read_text())
    assert marker["miniature"] and marker["train"] == 40


def test_the_box_is_on_the_target_of_a_film_shown_again(out):
    """Black without its target: whatever is bright, under any white balance, is the target."""
    true, seen = [], []
    for folder in clips(out):
        if folder.parent.name == "refilmed":
            boxes = read_annotation(folder)
            assert boxes[0] is not None and len(boxes) == FRAMES
            for path, box in zip(sorted((folder / "img").iterdir()), boxes, strict=True):
                if box is not None:
                    true.append(box)
                    seen.append(refilm.bounds(np.asarray(Image.open(path)).max(axis=-1) > 60))
    scores = iou(np.array(true), np.array(seen))
    assert scores.mean() > 0.85 and np.quantile(scores, 0.05) > 0.6


def test_a_pasted_target_moves_and_may_be_hidden(out):
    folders = [folder for folder in clips(out) if folder.parent.name == "pasted"]
    boxes = [[box or (0, 0, 0, 0) for box in read_annotation(folder)] for folder in folders]
    kept = np.concatenate([iou(np.array([b[0]] * (FRAMES - 1)), np.array(b[1:])) for b in boxes])
    assert len(folders) == 20 and 0.1 < kept.mean() < 0.7


def test_splits_do_not_share_sequences(data, tmp_path, monkeypatch):
    """The test sequence is never read; validation clips are made of the held-out sequence, and only they."""
    jobs = []
    monkeypatch.setattr(refilm, "in_parallel", lambda work, todo: jobs.extend(todo))
    refilm.write(data, tmp_path, 200)
    for _, name, folders, _ in jobs:
        assert {hold_out(folder.name) for folder in folders} == {hold_out(name)}
        assert "square-1000" not in {folder.name for folder in folders}
    assert {hold_out(name) for _, name, _, _ in jobs} == {"train", "validation"}


def test_a_seed_gives_the_same_clips(data, out, tmp_path):
    refilm.write(data, tmp_path / "same", 40)
    refilm.write(data, tmp_path / "other", 40, seed=1)
    assert digest(tmp_path / "same") == digest(out) != digest(tmp_path / "other")


def test_a_film_without_luck_is_shown_whole(data, monkeypatch):
    monkeypatch.setattr(refilm, "TRIES", 1)
    monkeypatch.setattr(refilm, "SMALLEST", 1000)
    film = refilm.read(data / "LaSOT" / "square" / "square-1000")
    frames, boxes = refilm.refilmed([film], np.random.default_rng(0))
    assert frames.shape == (FRAMES, refilm.SIDE, refilm.SIDE, 3) and None not in boxes


def test_no_training_sequence_is_one_sentence(data, tmp_path):
    shutil.copytree(data, tmp_path / "data")
    (tmp_path / "data" / "LaSOT" / "training_set.txt").write_text("\n")
    with pytest.raises(EvlibError, match=r"LaSOT: expected training sequences in training_set.txt, found none"):
        refilm.write(tmp_path / "data", tmp_path / "out", 10)
    assert not (tmp_path / "out" / "LaSOT").exists()


def test_other_data_is_not_replaced(data, tmp_path):
    (tmp_path / "LaSOT").mkdir()
    (tmp_path / "LaSOT" / "mine.txt").write_text("mine")
    with pytest.raises(EvlibError, match="holds something else"):
        refilm.write(data, tmp_path, 10)
