"""LaSOT's miniature: official files, boxes that are true, an object too fast for its first box, repeatable bytes."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from evlib.data.tasks.lasot import FRAMES, LaSOT
from evlib.scoring.metrics import iou
from evlib.synthetic import MINIATURES, lasot

PER_CLASS = 28  # sequences; enough to measure, quick to write


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("LaSOT")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lasot, "PER_CLASS", PER_CLASS)
        assert MINIATURES["lasot"].fill(out) == (5 * 24, 5 * 4)
    return out


def names(root: Path, split: str) -> list[str]:
    return (root / f"{split}_set.txt").read_text().splitlines()


def folder(root: Path, name: str) -> Path:
    return root / name.rpartition("-")[0] / name


def boxes_of(root: Path, name: str) -> np.ndarray:
    return np.loadtxt(folder(root, name) / "groundtruth.txt", delimiter=",", ndmin=2)


def pictures_of(root: Path, name: str) -> np.ndarray:
    return np.stack([np.asarray(Image.open(path)) for path in sorted((folder(root, name) / "img").iterdir())])


def flags(path: Path) -> np.ndarray:
    (line,) = path.read_text().splitlines()
    assert re.fullmatch(r"[01](,[01])*", line)
    return np.array(line.split(","), dtype=int)


def test_layout_is_lasots(root):
    train, test = names(root, "training"), names(root, "testing")
    assert not set(train) & set(test)
    assert sorted(train + test) == sorted(path.name for path in root.glob("*/*"))
    for name in train + test:
        home, frames = folder(root, name), lasot.FRAMES
        texts = {f"{name}.txt" for name in ("groundtruth", "full_occlusion", "out_of_view", "nlp")}
        assert {path.name for path in home.iterdir()} == {"img", *texts}
        assert sorted(path.name for path in (home / "img").iterdir()) == [f"{i:08d}.jpg" for i in range(1, frames + 1)]
        lines = (home / "groundtruth.txt").read_text().splitlines()
        assert len(lines) == frames and all(re.fullmatch(r"\d+,\d+,\d+,\d+", line) for line in lines)
        hidden = flags(home / "full_occlusion.txt")
        assert (hidden == [line == "0,0,0,0" for line in lines]).all() and not hidden.any()
        assert not flags(home / "out_of_view.txt").any() and len(flags(home / "out_of_view.txt")) == frames
        assert name.rpartition("-")[0] in (home / "nlp.txt").read_text()
    assert pictures_of(root, train[0]).shape == (lasot.FRAMES, 96, 96, 3)


def test_boxes_lie_inside_the_picture(root):
    boxes = np.concatenate([boxes_of(root, name) for name in names(root, "training") + names(root, "testing")])
    seen = boxes[boxes[:, 2] > 0]
    assert seen[:, :2].min() >= 0 and (seen[:, :2] + seen[:, 2:]).max() <= lasot.SIDE
    assert 25 <= np.median(seen[:, 2]) <= 31 and seen[:, 2].max() <= 36


def around(x: np.ndarray, y: np.ndarray) -> list[float]:
    """The box x, y, w, h around columns x and rows y."""
    return [x[0], y[0], np.ptp(x) + 1, np.ptp(y) + 1] if len(x) and len(y) else [0.0] * 4


def test_boxes_are_true(root):
    """What differs from the still background, the median over time, is the object."""
    overlaps = []
    for name in names(root, "training")[::4]:
        pictures, boxes = pictures_of(root, name).astype(int), boxes_of(root, name)
        change = np.abs(pictures - np.median(pictures, axis=0)).max(axis=-1) > 48
        # A pixel or two of JPEG noise is no object.
        columns, rows = change.sum(axis=1) > 1, change.sum(axis=2) > 1
        found = np.array([around(*map(np.flatnonzero, pair)) for pair in zip(columns, rows, strict=True)], float)
        overlaps.append(iou(found, boxes)[boxes[:, 2] > 0])
    assert np.median(np.concatenate(overlaps)) > 0.75  # the median keeps traces of a slow object
    assert np.quantile(list(map(np.median, overlaps)), 0.1) > 0.5


def test_the_first_box_does_not_do(root):
    """The mean IoU of a box that stays where it was in the first frame, in the others of a clip."""
    boxes = [boxes_of(root, name) for split in ("training", "testing") for name in names(root, split)]
    kept = [iou(np.repeat(b[:1], FRAMES - 1, axis=0), b[1:FRAMES]).mean() for b in boxes]
    assert 0.3 < np.mean(kept) < 0.4


def test_clips_are_as_long_as_the_papers(root):
    """Three different clips of a training sequence, and the beginning of a test sequence."""
    starts = {name: LaSOT().starts(folder(root, name)) for name in names(root, "training")}
    assert all(s == [0, 3, 6] and s[-1] + FRAMES <= lasot.FRAMES for s in starts.values())
    example = LaSOT.example(folder(root, names(root, "testing")[0]), 0)
    assert len(example.inputs[0].frames) == len(json.loads(example.answer)) == FRAMES == 20


def test_bars_hide_a_part():
    """Nothing of the object in the first frame, never all of it, and some of it at some time."""
    rows, columns = np.mgrid[: lasot.SIDE, : lasot.SIDE] + 0.5
    met = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        discs = [
            np.hypot(columns - x, rows - y) < radius
            for (x, y), radius in zip(*lasot.path(lasot.FRAMES, rng), strict=True)
        ]
        masks = np.stack(discs)
        bar = lasot._bar(masks, rng)
        hidden = (masks & bar).sum(axis=(1, 2)) / masks.sum(axis=(1, 2))
        assert hidden[0] == 0 and hidden.max() < 1 - lasot.GONE
        assert hidden.max() > 0.1 or not bar.any()
        met += hidden.max() > 0.3
    assert met > 15


def test_no_object_is_red(root):
    for name in names(root, "training")[::6]:
        red, green, blue = np.moveaxis(pictures_of(root, name).astype(int), -1, 0)
        assert (red - np.maximum(green, blue) > 160).mean() < 1e-3


def test_same_seed_same_bytes_whatever_the_processes(root, tmp_path, monkeypatch):
    monkeypatch.setattr(lasot, "PER_CLASS", PER_CLASS)
    monkeypatch.setattr(lasot, "in_parallel", lambda work, jobs: list(map(work, jobs)))  # one process, this one
    monkeypatch.setattr(lasot, "OBJECTS", {"ball": lasot.ball})
    lasot.fill(tmp_path, MINIATURES["lasot"].rng(0))
    for path in sorted((tmp_path / "ball").rglob("*.*")):
        twin = root / path.relative_to(tmp_path)
        assert hashlib.sha256(path.read_bytes()).digest() == hashlib.sha256(twin.read_bytes()).digest(), path.name
    other = lasot.sequence("ball", 5, np.random.default_rng(1))[0]
    assert (other != lasot.sequence("ball", 5, np.random.default_rng(2))[0]).mean() > 0.5
