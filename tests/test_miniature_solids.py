"""The miniature of CLEVRER: official files, true physics, visible events, and no question that tells its answer."""

import json
import re
from collections import Counter, defaultdict
from itertools import combinations

import av
import numpy as np
import pytest

from evlib.data.tasks.clevrer import CLEVRER, FRAMES
from evlib.frames.image import image_frame
from evlib.frames.render import tokenize
from evlib.synthetic import MINIATURES, clevrer, scenes, sprites


@pytest.fixture(scope="module")
def composed():
    """All scenes and question files of seed 0, without the films: split -> (scenes, entries)."""
    films = list(clevrer.compose(MINIATURES["clevrer"].rng(0)))
    return {split: tuple(zip(*((scene, entry) for s, scene, entry in films if s == split))) for split in clevrer.SPLITS}


@pytest.fixture(scope="module")
def asked(composed):
    """Questions: split -> [(scene, question)]."""
    return {
        split: [(scene, q) for scene, entry in zip(*pair) for q in entry["questions"]]
        for split, pair in composed.items()
    }


# ---- files -----------------------------------------------------------------------------------------------------------


def test_files_are_the_official_ones_and_repeat_to_the_byte(tmp_path, monkeypatch):
    monkeypatch.setattr(clevrer, "SPLITS", {"train": (6, 0), "validation": (3, 10000)})
    monkeypatch.setattr(clevrer, "in_parallel", lambda work, jobs: list(map(work, jobs)))  # one process here, two below
    written = []
    for name in ("one", "two"):
        (folder := tmp_path / name).mkdir()
        assert MINIATURES["clevrer"].fill(folder) == (30, 15)
        written.append({p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()})
        monkeypatch.undo()
        monkeypatch.setattr(clevrer, "SPLITS", {"train": (6, 0), "validation": (3, 10000)})
    assert written[0] == written[1]
    expected = {f"video_train/video_00000-01000/video_{i:05d}.mp4" for i in range(6)}
    expected |= {f"video_validation/video_10000-11000/video_{i:05d}.mp4" for i in range(10000, 10003)}
    assert set(written[0]) == expected | {"questions/train.json", "questions/validation.json"}
    entries = json.loads(written[0]["questions/validation.json"])
    assert [e["scene_index"] for e in entries] == [10000, 10001, 10002]
    with av.open(str(tmp_path / "one/video_train/video_00000-01000/video_00000.mp4")) as file:
        assert file.streams.video[0].average_rate == 25
        frames = [frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)]
    assert len(frames) == 128 and frames[0].shape == (80, 120, 3)


def test_question_file(composed):
    for (_, entries), (number, first) in zip(composed.values(), clevrer.SPLITS.values()):
        assert [e["scene_index"] for e in entries] == list(range(first, first + number))
        for entry in entries:
            assert entry["video_filename"] == f"video_{entry['scene_index']:05d}.mp4"
            assert [q["question_id"] for q in entry["questions"]] == list(range(5))
            openings = "|".join(opening for pair in clevrer.OPENINGS.values() for opening in pair)
            about = {(q["question_subtype"], re.sub(openings, "", q["question"])) for q in entry["questions"]}
            assert len(about) == 5  # not twice the same in other words
            for q in entry["questions"]:
                assert set(q) == {"question_id", "question", "question_type", "question_subtype", "answer"}
                assert q["question"].endswith("?")


def test_answers_are_clevrers(asked):
    official = {*"012345", "yes", "no", *sprites.COLORS, *sprites.MATERIALS, *sprites.SHAPES}
    assert {q["answer"] for pairs in asked.values() for _, q in pairs} <= official
    assert len({word for _, q in asked["train"] for word in tokenize(q["question"])}) <= 60


@pytest.mark.parametrize("split", clevrer.SPLITS)
def test_a_tail_of_the_questions_is_longer_than_the_task_shows(asked, split):
    """16 tokens beside 4 frames. What is cut off is not needed: "the material of" and "there any" are enough."""
    questions = [tokenize(q["question"]) for _, q in asked[split]]
    lengths, most = np.array(list(map(len, questions))), CLEVRER.max_inputs - len(FRAMES)
    assert lengths.min() == 5 and lengths.max() == 18 and np.median(lengths) <= 10
    assert 0.2 < (lengths > 12).mean() < 0.3 and 0.05 < (lengths > most).mean() < 0.08
    assert {" ".join(words[:-most]) for words in questions} <= {"", "What", "What is", "Are"}
    kept = [" ".join(words[-most:]) for words in questions if len(words) > most]
    assert all(re.match(r"(is )?the (color|shape|material) of the|there any", text) for text in kept)


# ---- truth -----------------------------------------------------------------------------------------------------------


def test_collisions_keep_momentum_and_energy(monkeypatch):
    monkeypatch.setattr(scenes, "FRICTION", 1e-12)
    places = np.array([[[0.0, 0.0], [60.0, 10.0], [300.0, 0.0]]])
    velocities = np.array([[[1.0, 0.0], [0.0, 0.0], [-1.0, 0.5]]])
    paths, hits = scenes.roll(places, velocities)
    steps = np.diff(paths[0], axis=0)
    assert hits[0].sum(axis=0).tolist() == [1, 0, 1]  # the first strikes the second, which meets the third
    assert np.allclose(steps.sum(axis=1), velocities[0].sum(axis=0))
    assert np.allclose((steps**2).sum(axis=(1, 2)), (velocities**2).sum())


def test_friction_stops_a_disc_for_good():
    paths, _ = scenes.roll(np.zeros((1, 1, 2)), np.array([[[0.2, 0.0]]]))
    assert paths[0, 60, 0, 0] == paths[0, 127, 0, 0] == pytest.approx(0.2**2 / (2 * scenes.FRICTION), rel=0.05)


def test_a_question_is_about_what_four_frames_show(composed):
    for scene in composed["validation"][0]:
        path, seen = scene.path, scenes.sight(scene) >= 0.5
        assert (seen.sum(axis=0) >= 2).all()
        screen = scenes.on_screen(path[list(scenes.SEEN)]) * 64 / (120, 80)
        for k, solid in enumerate(scene.solids):
            ways = [np.linalg.norm(a - b) for a, b in combinations(screen[seen[:, k], k], 2)]
            assert max(ways) >= 5 if solid.moves else (path[:, k] == path[0, k]).all()
            inside = 0 <= path[0, k, 0] <= 120
            assert inside != solid.enters and (not solid.enters or not scenes.sight(scene)[0, k])
        for i, j in combinations(range(len(scene.solids)), 2):
            met = np.linalg.norm(path[:, i] - path[:, j], axis=1).min() < 2 * scenes.RADIUS
            assert met == ((i, j) in scene.collisions)
            assert (scene.solids[i].color, scene.solids[i].shape) != (scene.solids[j].color, scene.solids[j].shape)


def test_answers_follow_from_the_scene(asked):
    """Another reading of the same words: the last noun phrase names solids, the rest says what is asked of them."""
    for scene, q in asked["validation"]:
        words = tokenize(q["question"])[:-1]
        if {"collide", "collisions"} & {*words} or " when " in q["question"]:  # tested below
            continue
        chosen = list(scene.solids)
        for word in words:
            word = word.removesuffix("s") if word not in ("is", "does") else word
            for attribute, values in (
                ("color", sprites.COLORS),
                ("shape", sprites.SHAPES),
                ("material", sprites.MATERIALS),
            ):
                if word in values:
                    chosen = [s for s in chosen if getattr(s, attribute) == word]
            if word in ("moving", "stationary"):
                chosen = [s for s in chosen if s.moves == (word == "moving")]
            if word == "enter":
                chosen = [s for s in chosen if s.enters]
        kind = q["question_subtype"]
        if kind.startswith("query_"):
            assert [getattr(s, kind.removeprefix("query_")) for s in chosen] == [q["answer"]], q
        else:
            assert q["answer"] == (str(len(chosen)) if kind == "count" else "yes" if chosen else "no"), q


def test_questions_about_collisions():
    one = scenes.Solid("red", "cube", "metal", True, True)
    two = scenes.Solid("blue", "sphere", "rubber", False, True)
    three = scenes.Solid("gray", "cylinder", "metal", False, True)
    path = np.tile([[60.0, 30.0]], (128, 3, 1))
    path[:20, 0, 0] = -40  # the first is yet to enter
    scene = scenes.Scene((one, two, three), path, ((0, 1), (1, 2)), 200)
    answers = {q.text: q.answer for q in clevrer.descriptive(scene)}
    assert answers["What color is the object to collide with the cube?"] == "blue"
    assert answers["What shape is the object to collide with the gray object?"] == "sphere"
    assert (
        answers["What is the material of the object to collide with the metal cube that enters the scene?"] == "rubber"
    )
    assert "What color is the object to collide with the sphere?" not in answers  # it has two partners
    assert answers["How many collisions happen?"] == "2"


def test_answers_about_a_moment_follow_from_the_path(asked):
    """When the video begins or something enters, with a bare look at where the solids are from frame to frame."""
    seen = Counter()
    for scene, q in asked["validation"]:
        text, _, event = q["question"].rstrip("?").partition(" when the ")
        if not event:
            continue
        moment = 0
        if event != "video begins":
            *looks, _, _, _ = event.split()
            (entering,) = (
                k for k, s in enumerate(scene.solids) if s.enters and {*looks} <= {s.color, s.shape, s.material}
            )
            moment = int(np.flatnonzero(np.abs(scene.path[:, entering, 0] - 60) < 60)[0])
        moving = (scene.path[moment + 1] != scene.path[moment]).any(axis=1) & (
            np.abs(scene.path[moment, :, 0] - 60) < 60
        )
        resting = (scene.path[moment + 1] == scene.path[moment]).all(axis=1)
        words = [word.removesuffix("s") for word in tokenize(text)]
        names = {*sprites.SHAPES, *sprites.MATERIALS, *sprites.COLORS} & {*words}
        chosen = [
            s
            for s, moves, rests in zip(scene.solids, moving, resting)
            if names <= {s.color, s.shape, s.material} and (moves if "moving" in words else rests)
        ]
        kind = q["question_subtype"]
        if kind.startswith("query_"):
            assert [getattr(s, kind.removeprefix("query_")) for s in chosen] == [q["answer"]], q
        else:
            assert q["answer"] == (str(len(chosen)) if kind == "count" else "yes" if chosen else "no"), q
        seen[kind, event == "video begins"] += 1
    assert min(seen[kind, True] for kind in clevrer.SHARES) >= 10
    assert min(seen[kind, False] for kind in ("exist", "count")) >= 5


# ---- no shortcut -----------------------------------------------------------------------------------------------------


def test_shares_of_the_kinds_of_question(asked):
    for pairs in asked.values():
        share = Counter(q["question_subtype"] for _, q in pairs)
        for subtype, target in clevrer.SHARES.items():
            assert share[subtype] / len(pairs) == pytest.approx(target, abs=0.02)
        assert 0 < np.mean(["collide" in q["question"] for _, q in pairs]) <= 0.10


def test_the_question_alone_does_not_tell_the_answer(asked):
    given = defaultdict(Counter)
    for _, q in asked["train"]:
        given[q["question"]][q["answer"]] += 1
        given[q["question_subtype"]][q["answer"]] += 1
    frequent = Counter(q["answer"] for _, q in asked["train"]).most_common(1)[0][0]
    right, lazy = defaultdict(list), []
    for _, q in asked["validation"]:
        guess = (given[q["question"]] or given[q["question_subtype"]]).most_common(1)[0][0]
        right[q["question_subtype"]].append(guess == q["answer"])
        lazy.append(frequent == q["answer"])
    limits = {"query_color": 0.16, "query_shape": 0.38, "query_material": 0.54, "exist": 0.54, "count": 0.40}
    assert {kind: float(np.mean(r)) for kind, r in right.items() if np.mean(r) > limits[kind]} == {}
    assert np.mean(sum(right.values(), [])) <= 0.33 and np.mean(lazy) <= 0.15


# ---- pictures --------------------------------------------------------------------------------------------------------


def test_silhouettes_differ():
    masks = [sprites.silhouette(shape) for shape in sprites.SHAPES]
    assert all(18 <= np.ptp(np.where(mask)[1]) * 64 / 120 + 0.5 <= 26 for mask in masks)
    for a, b in combinations(masks, 2):
        assert (a & b).sum() / (a | b).sum() < 0.85


def test_colors_and_materials_are_told_apart_by_a_glance():
    """Mean colors of the stretched sprites on the floor: any other color is far, whatever shape and material."""

    def middle(color, shape, material):
        solid = scenes.Solid(color, shape, material, False, False)
        scene = scenes.Scene((solid,), np.full((128, 1, 2), (60.0, 30.0)), (), 205)
        return image_frame(scenes.film(scene)[0])[18:46, 24:41].reshape(-1, 3)

    for shape in sprites.SHAPES:
        rubber = {color: np.median(middle(color, shape, "rubber"), axis=0) for color in sprites.COLORS}
        for a, b in combinations(rubber.values(), 2):
            assert np.linalg.norm(a - b) > 45
        for color in sprites.COLORS:
            glint = [(middle(color, shape, material).min(axis=1) > 235).mean() for material in ("metal", "rubber")]
            assert glint[0] > 0.04 and glint[1] < 0.01
