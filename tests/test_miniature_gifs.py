"""The TGIF-QA miniature: official files, questions that only the pictures answer, and pictures that do answer them."""

from __future__ import annotations

import hashlib
import re
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy import ndimage

from evlib.data.tasks.base import by_question
from evlib.data.tasks.tgifqa import FRAMES, KINDS
from evlib.data.tasks.tgifqa import TGIFQA as task
from evlib.frames.render import tokenize
from evlib.synthetic import MINIATURES, tgifqa
from evlib.synthetic.tgifqa import COLORS, MOTIONS, NUMBERS, PLACES, THINGS, TYPES, Row, Scene

CHANCE = {"object": 1 / 6, "number": 1 / 3, "color": 1 / 6, "location": 1 / 5}
COLUMNS = ["gif_name", "question", "answer", "type", "vid_id", "key", "description"]


def hashes(folder: Path) -> dict[str, str]:
    return {p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.rglob("*.*")}


def shrink(patch: pytest.MonkeyPatch) -> None:
    """24 + 6 GIFs; the numbers are read in this process alone, so the others need not know."""
    patch.setattr(tgifqa, "TRAIN", 24)
    patch.setattr(tgifqa, "TEST", 6)


def write(folder: Path, patch: pytest.MonkeyPatch) -> tuple[int, int]:
    """A small set."""
    shrink(patch)
    folder.mkdir()
    return MINIATURES["tgifqa"].fill(folder)


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("data") / "tgif-qa"
        assert write(folder, patch) == (72, 24)
    return folder


@pytest.fixture(scope="module")
def contents() -> tuple[list[Scene], list[Row], list[Row]]:
    """The questions of the whole set, without its pictures."""
    return tgifqa.contents(MINIATURES["tgifqa"].rng(0))


def scene(**given) -> Scene:
    return Scene("", "dog", "one", "red", "field", "rocking", seed=0)._replace(**given)


# ---- files -----------------------------------------------------------------------------------------------------------


def test_layout(small):
    tables = {}
    for name in ("Train", "Test", "Total"):
        text = (small / "dataset" / f"{name}_frameqa_question.csv").read_bytes().decode()
        assert text.endswith("\r\n") and text.count("\n") == text.count("\r\n")
        header, *lines = (line.split("\t") for line in text.removesuffix("\r\n").split("\r\n"))
        assert header == COLUMNS and all(len(line) == 7 for line in lines)
        tables[name] = [dict(zip(COLUMNS, line)) for line in lines]
    assert tables["Total"] == tables["Train"] + tables["Test"]
    assert len({row["vid_id"] for row in tables["Total"]}) == 72 + 24
    assert all(re.fullmatch(r"FRAMEQA\d+", row["vid_id"]) and row["key"].isdecimal() for row in tables["Total"])
    names = {name: {row["gif_name"] for row in tables[name]} for name in tables}
    assert (len(names["Train"]), len(names["Test"]), len(names["Total"])) == (24, 6, 30)  # no GIF is in both
    assert all(re.fullmatch(r"tumblr_n\w{8}1\w{6}o1_(250|400|500)", name) for name in names["Total"])
    assert {path.name for path in (small / "gifs").iterdir()} == {f"{name}.gif" for name in names["Total"]}
    assert sorted(path.name for path in small.iterdir()) == ["dataset", "gifs"]


def test_gifs_hold_the_rendered_frames(small, monkeypatch):
    """12 frames of 100 ms; at least a third of the files hold, after the first frame, only parts that changed."""
    shrink(monkeypatch)
    scenes = {s.name: s for s in tgifqa.contents(MINIATURES["tgifqa"].rng(0))[0]}
    partial = 0
    for path in (small / "gifs").iterdir():
        rendered = tgifqa.film(scenes[path.stem])
        assert rendered.shape == (12, 72, 96, 3) and rendered.dtype == np.uint8
        areas = []
        with Image.open(path) as gif:
            assert (gif.format, gif.size, gif.n_frames) == ("GIF", (96, 72), 12)
            for i, frame in enumerate(rendered):
                gif.seek(i)
                assert gif.info["duration"] == 100
                assert np.abs(np.asarray(gif.convert("RGB")).astype(int) - frame).mean() < 1
                x, y, right, bottom = gif.dispose_extent
                areas.append((right - x) * (bottom - y) / (96 * 72))
        assert areas[0] == 1
        partial += np.mean(areas[1:]) < 0.9
    assert partial >= 10  # of 30


def test_same_bytes_with_one_process(small, tmp_path, monkeypatch):
    monkeypatch.setattr(tgifqa, "in_parallel", lambda work, jobs: list(map(work, jobs)))
    write(tmp_path / "tgif-qa", monkeypatch)
    assert hashes(tmp_path / "tgif-qa") == hashes(small)


# ---- questions -------------------------------------------------------------------------------------------------------


def test_sizes_and_wording(contents):
    scenes, train, test = contents
    assert (len(scenes), len(train), len(test)) == (2200, 6000, 800)
    assert Counter(row.type for row in train) == {kind: 1500 for kind in range(4)}
    assert Counter(row.type for row in test) == {kind: 200 for kind in range(4)}
    values = {"object": THINGS, "number": NUMBERS, "color": COLORS, "location": PLACES}
    forms = defaultdict(set)
    by_name = {s.name: s for s in scenes}
    assert len(by_name) == len(scenes)
    for row in train + test:
        s, asked, words = by_name[row.gif_name], TYPES[row.type], row.question.split(" ")
        assert row.answer == getattr(s, asked) in values[asked]
        assert row.question == row.question.lower() and row.question.endswith(" ?") and 5 <= len(words) <= 18
        forms_of_answers = {form for value in values[asked] for form in (value, value + "s")}
        assert not forms_of_answers & {*words}  # the answer is not in the question
        assert not re.search(r"[^a-z ?]", row.question) and "  " not in row.question
        forms[asked].add(
            " ".join(
                word for word in words if word not in {v + e for vs in values.values() for v in vs for e in ("", "s")}
            )
        )
    assert all(len(forms[asked]) >= 5 for asked in TYPES)


@pytest.mark.parametrize("split", [1, 2])
def test_a_tail_of_the_questions_is_longer_than_the_task_shows(contents, split):
    """16 tokens beside 4 frames. Nothing but "in this short gif" is cut off, so that what is left can be answered."""
    questions = [tokenize(row.question) for row in contents[split]]
    lengths = np.array(list(map(len, questions)))
    most = task.max_inputs - FRAMES
    assert lengths.min() == 5 and lengths.max() == 18 and (lengths <= 9).mean() > 0.7
    assert 0.2 < (lengths >= 13).mean() < 0.3 and 0.05 < (lengths > most).mean() < 0.08
    assert {" ".join(words[:-most]) for words in questions} <= {"", "in", "in this"}
    kinds = by_question(pd.DataFrame([row.question for row in contents[split]], columns=["question"]), KINDS)
    types = np.array([row.type for row in contents[split]])
    for kind, name in enumerate(("things", "counts", "colors", "places")):
        assert (kinds[name] == (types == kind)).all()


def test_agreement():
    assert scene().phrase("where {is_} the {noun} ?") == "where is the dog ?"
    assert scene(number="two").phrase("where {is_} the {noun} ?") == "where are the dogs ?"
    assert scene(number="three", location="space").phrase(tgifqa.DESCRIPTION) == "three red dogs are rocking in space ."


def test_no_answer_without_looking(contents):
    """Neither the most frequent training answer to the same question nor the most frequent of all gets far."""
    _, train, test = contents
    known = defaultdict(Counter)
    for row in train:
        known[row.question][row.answer] += 1
        known[row.type][row.answer] += 1
    right = {kind: [] for kind in range(4)}
    for row in test:
        guess = known[row.question] or known[row.type]
        right[row.type].append(guess.most_common(1)[0][0] == row.answer)
    assert np.mean([*right.values()]) <= 0.26
    for kind, asked in enumerate(TYPES):
        assert np.mean(right[kind]) <= CHANCE[asked] + 0.06, asked
    favourite = Counter(row.answer for row in train).most_common(1)[0][0]
    assert np.mean([row.answer == favourite for row in test]) <= 0.10


def test_attributes_know_nothing_of_each_other(contents):
    table = np.array([[s.object, s.number, s.color, s.location, s.motion] for s in contents[0]])
    for a in range(5):
        for b in range(a):
            counts = Counter(zip(table[:, a], table[:, b]))
            rows, columns = len({*table[:, a]}), len({*table[:, b]})
            expected = len(table) / (rows * columns)
            squares = sum((n - expected) ** 2 / expected for n in counts.values()) + expected * (
                rows * columns - len(counts)
            )
            freedom = (rows - 1) * (columns - 1)
            assert squares < freedom + 4 * np.sqrt(2 * freedom)  # chi-square: four standard deviations


# ---- pictures --------------------------------------------------------------------------------------------------------


def share(frame: np.ndarray, color: str) -> float:
    """How much of a frame is close to a color."""
    return float((np.abs(frame.astype(int) - COLORS[color]).max(axis=-1) <= 16).mean())


@pytest.mark.parametrize("place", PLACES)
def test_the_color_is_unmistakable(place):
    for i, thing in enumerate(THINGS):
        for j, color in enumerate(COLORS):
            number = [*NUMBERS][(i + j) % 3]
            frame = tgifqa.film(scene(object=thing, color=color, location=place, number=number, seed=i))[0]
            others = max(share(frame, other) for other in COLORS if other != color)
            assert share(frame, color) > 0.02 and others < 0.01, (thing, color)


@pytest.mark.parametrize("number", NUMBERS)
def test_things_can_be_counted(number):
    """They never touch: on space's black, the red parts of a picture are as many as the answer says."""
    for motion in MOTIONS:
        for seed, thing in enumerate(THINGS):
            film = tgifqa.film(scene(object=thing, number=number, location="space", motion=motion, seed=seed))
            for frame in film[::3]:
                red = frame[..., 0].astype(int) - frame[..., 1] > 50
                _, found = ndimage.label(ndimage.binary_dilation(red, np.ones((3, 3)), iterations=2))
                assert found == ("one", "two", "three").index(number) + 1, (thing, motion)


def test_places_differ_at_a_glance():
    """A mean over 4 x 4 pixels tells them apart: the nearest of one example each is always right."""

    def small(place: str, i: int) -> np.ndarray:
        given = dict(
            object=[*THINGS][i % 6], color=[*COLORS][i // 6 % 6], number=[*NUMBERS][i % 3], motion=[*MOTIONS][i % 4]
        )
        picture = Image.fromarray(tgifqa.film(scene(location=place, seed=i, **given))[0])
        return np.asarray(picture.resize((4, 4), Image.Resampling.BOX), float)

    known = {place: np.mean([small(place, i) for i in range(12)], axis=0) for place in PLACES}
    right = [
        min(known, key=lambda p: np.abs(known[p] - small(place, i)).sum()) == place
        for place in PLACES
        for i in range(12, 36)
    ]
    assert np.mean(right) >= 0.95


@pytest.mark.parametrize("motion", MOTIONS)
def test_every_frame_differs_from_the_one_before(motion):
    """Equal neighbors would be merged when a GIF is written."""
    for number in NUMBERS:
        for seed, thing in enumerate(THINGS):
            film = tgifqa.film(scene(object=thing, number=number, motion=motion, seed=seed)).astype(int)
            assert (np.abs(film - np.roll(film, 1, axis=0)).max(axis=(1, 2, 3)) > 0).all(), (thing, number)
            assert (np.abs(film[3] - film[0]) > 40).mean() > 0.01  # and the frames that a network sees differ clearly
