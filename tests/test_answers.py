"""What drawn answers are read as, and what they score: clean drawings, and numbers worked out by hand."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image as Pillow

from evlib.data.store import Split, VideoStore
from evlib.data.tasks.tinyvirat import grey
from evlib.frames.boxes import draw_box
from evlib.frames.parts import Clip, End, Example, Text
from evlib.frames.render import fingerprint, render_example, word_frame
from evlib.generate import answer
from evlib.scoring.answers import (
    Boxes,
    Colours,
    Labels,
    Words,
    box_array,
    label_words,
    legibility_of,
    split_labels,
    to_labels,
    until_blank,
)
from evlib.scoring.evaluate import draw, evaluate
from evlib.scoring.predict import load_network
from evlib.viz import plots

TRAIN = pd.DataFrame(
    {"question": 3 * ["what color ?"] + 2 * ["how many ?"], "answer": ["red", "red", "blue", "two", "two"]}
)
NO_TRAIN = TRAIN.head(0)  # as of data to be scored on only
BLANK = np.zeros((1, 64, 64, 3), np.uint8)


def split_of(*examples: Example) -> Split:
    """The examples as they are drawn, as the test split of a store."""
    drawn = [[frame.pixels for frame in (*r.inputs, *r.outputs)] for r in map(render_example, examples)]
    sequences = np.full((len(drawn), max(map(len, drawn))), -1, np.int32)
    sequences[np.arange(sequences.shape[1]) < [[len(row)] for row in drawn]] = np.arange(sum(map(len, drawn)))
    n_out = [len(render_example(example).outputs) for example in examples]
    table = pd.DataFrame(
        {
            "n_in": [len(row) - n for row, n in zip(drawn, n_out)],
            "n_out": n_out,
            "answer": [e.answer for e in examples],
            "question": [" ".join(p.text for p in e.inputs if isinstance(p, Text)) for e in examples],
            "source": [f"films/{i}" for i in range(len(examples))],
        }
    )
    return Split("test", torch.from_numpy(np.concatenate(drawn)), torch.from_numpy(sequences), table)


def words(*texts: str) -> np.ndarray:
    """One frame a word, "" for a blank one."""
    return np.stack([word_frame(text) for text in texts])


# ------------------------------------------------------------------------------------------------ one word


def answers_to_colour(*answers: str) -> Split:
    return split_of(*(Example([Text("what color ?")], [Text(answer)], answer) for answer in answers))


def test_clean_words_are_read_and_score_everything():
    kind, split = Words(has_question=True), answers_to_colour("green", "purple", "green")
    table = kind.read(split.outputs(), split, ["brown", "green", "purple"])
    assert (
        table.answer_read.tolist()
        == table.template.tolist()
        == table.tesseract.tolist()
        == ["green", "purple", "green"]
    )
    assert table.question.tolist() == 3 * ["what color ?"] and table.source.tolist() == [
        "films/0",
        "films/1",
        "films/2",
    ]
    scored = kind.score(table, TRAIN, ["brown", "green", "purple"])
    assert {scored[name] for name in ("accuracy", "f1", "f1_macro", "accuracy_exact", "accuracy_template")} == {1}
    assert kind.example_score(table).tolist() == [1, 1, 1] and kind.captions(table)[1] == "purple: right"


def test_wrong_words_scored_by_hand():
    """Of three red ones two are found, and the blue one is: F1 of red is 4/5, of blue 2/3."""
    table = pd.DataFrame(
        {
            "answer": ["red", "red", "red", "blue"],
            "answer_read": ["red", "red", "blue", "blue"],
            "question": "",
            "tesseract": ["red", "rcd", "blue", "blue"],
            "template": ["red", "red", "red", "red"],
        }
    )
    scored = Words().score(table, TRAIN, ["red", "blue"])
    assert scored["accuracy"] == 3 / 4 and scored["accuracy_exact"] == 2 / 4 and scored["accuracy_template"] == 3 / 4
    assert scored["f1"] == pytest.approx((3 * 4 / 5 + 2 / 3) / 4) and scored["f1_macro"] == pytest.approx(
        (4 / 5 + 2 / 3) / 2
    )
    assert Words().headline(scored) == "75.0% by Tesseract, 75.0% by template"
    assert Words().example_score(table).tolist() == [1, 1, 0, 1]
    assert Words().captions(table)[2] == "blue: WRONG, true: red"


def test_nothing_read_is_wrong_and_says_so():
    table = pd.DataFrame(
        {"answer": ["red"], "answer_read": [""], "tesseract": [""], "template": ["red"], "question": [""]}
    )
    assert Words().score(table, NO_TRAIN, ["red"])["accuracy"] == 0
    assert Words().captions(table) == ["(nothing): WRONG, true: red"]


def test_trivial_words():
    """Always red: 2 of 4. By question: red, red, two, and red for the question that training never asked: 3 of 4."""
    table = pd.DataFrame(
        {
            "question": ["what color ?", "what color ?", "how many ?", "which one ?"],
            "answer": ["red", "blue", "two", "red"],
        }
    )
    table = table.assign(answer_read="", tesseract="", template="")
    train = pd.concat([TRAIN, TRAIN.head(1)])
    assert Words().score(table, train, [])["baselines"].keys() == {"always “red”"}
    baselines = Words(has_question=True).score(table, train, [])["baselines"]
    assert baselines["always “red”"]["accuracy"] == 2 / 4
    assert baselines["from the question alone"]["accuracy"] == 3 / 4
    assert Words(has_question=True).score(table, NO_TRAIN, [])["baselines"] == {}


def test_fixed_classes_or_every_answer_in_the_files():
    assert Words(("negative", "positive")).vocabulary(TRAIN.answer) == ["negative", "positive"]
    assert Words().vocabulary(TRAIN.answer) == ["blue", "red", "two"]


def test_one_word_and_what_else_it_might_be():
    reading = Words().one(words("green"), ["purple", "greet", "green"])
    assert reading.answer == reading.read == "green" and reading.score == pytest.approx(1, abs=1e-3)
    assert list(reading.runners_up) == ["green", "greet", "purple"] and reading.runners_up["green"] == pytest.approx(
        0, abs=1
    )


def test_nothing_drawn_is_no_answer():
    assert Words().one(BLANK, ["green", "red"])[:3] == ("", 0.0, "")
    assert (
        legibility_of(words("green", ""), ["green", ""]) == pytest.approx(1, abs=1e-3)
        and legibility_of(BLANK[:0], []) == 0
    )


# ------------------------------------------------------------------------------------------------ labels

LABELS = ["Riding", "activity_walking", "vehicle_moving", "vehicle_turning_left"]


def labelled(*lines: str) -> list[np.ndarray]:
    """The frames of such answers, and two more after the blank one: a network draws on."""
    return [words(*line.split(), "", "Riding", "Riding") for line in lines]


def test_clean_labels_are_read_up_to_the_blank_frame():
    lines = ["vehicle turning left , activity walking", "Riding", "activity walking , vehicle moving"]
    true = ["vehicle_turning_left, activity_walking", "Riding", "vehicle_moving, activity_walking"]  # in any order
    split = split_of(*(Example([Text("a clip")], [Text(line), End()], answer) for line, answer in zip(lines, true)))
    kind = Labels()
    for drawn in (split.outputs(), labelled(*lines)):
        table = kind.read(drawn, split, LABELS)
        assert table.answer_read.tolist() == table.template.tolist() == [*true[:2], "activity_walking, vehicle_moving"]
        scored = kind.score(table, pd.DataFrame({"answer": true}), LABELS)
        assert {scored[name] for name in ("accuracy", "f1", "f1_micro", "f1_macro", "accuracy_template")} == {1}
        assert kind.example_score(table).tolist() == [1, 1, 1] and kind.captions(table)[1:] == [
            "Riding: right",
            "activity_walking, vehicle_moving: right",
        ]


def test_labels_named_twice_or_not_at_all():
    split = split_of(*(Example([Text("a clip")], [Text("Riding"), End()], "Riding") for _ in range(2)))
    table = Labels().read([words("Riding", ",", "Riding", ""), words("", "Riding")], split, LABELS)
    assert table.answer_read.tolist() == table.template.tolist() == ["Riding", ""]
    assert Labels().captions(table) == ["Riding: right", "(nothing): WRONG, true: Riding"]


@pytest.mark.parametrize(
    "line, labels",
    [
        ("vehicle moving , activity walking", ["vehicle_moving", "activity_walking"]),
        ("Riding , Riding", ["Riding"]),
        ("vehicle movinq", ["vehicle_moving"]),  # unknown words go to the nearest label
        ("vehicle left", ["vehicle_moving"]),
        (", , Riding ,", ["Riding"]),
        ("", []),
    ],
)
def test_words_to_labels(line, labels):
    assert to_labels(line, LABELS) == labels


def test_labels_to_words():
    assert label_words(["vehicle_moving", "vehicle_left"]) == ["left", "moving", "vehicle", ","]
    assert split_labels("a, b") == {"a", "b"} and split_labels("") == set()
    assert Labels().vocabulary(pd.Series(["b, a", "a", ""])) == ["a", "b"]
    assert len(until_blank(words("a", "b", "", "c"))) == 2 and len(until_blank(words("a", "b"))) == 2


def test_wrong_labels_scored_by_hand():
    """Of four labels two are found, and no false one: a has F1 1, b and c have 0; together 2 * 2 / (2 + 4)."""
    table = pd.DataFrame({"answer": ["a, b", "a", "c"], "answer_read": ["a", "a", ""], "template": ["b, a", "a", "c"]})
    kind, train = Labels(), pd.DataFrame({"answer": ["a", "b, a", "b, a"]})
    scored = kind.score(table, train, ["a", "b", "c"])
    assert scored["accuracy"] == pytest.approx(1 / 3) and scored["accuracy_template"] == 1
    assert scored["f1_by_class"] == {"a": 1, "b": 0, "c": 0}
    assert (
        scored["f1"] == pytest.approx(2 / 4)
        and scored["f1_macro"] == pytest.approx(1 / 3)
        and scored["f1_micro"] == pytest.approx(4 / 6)
    )
    assert kind.example_score(table).tolist() == [1 / 2, 1, 0]
    assert kind.headline(scored) == "F1 50.0% weighted, 33.3% macro, 33.3% exact"
    always = scored["baselines"]["always “b, a”"]
    assert always["accuracy"] == pytest.approx(1 / 3) and always["f1_by_class"] == {"a": 0.8, "b": 0.5, "c": 0}
    assert kind.score(table, train.head(0), ["a", "b", "c"])["baselines"] == {}


def test_one_answer_of_labels():
    reading = Labels().one(labelled("vehicle moving , Riding")[0], LABELS)
    assert reading.answer == "vehicle_moving, Riding" and reading.score == pytest.approx(1, abs=1e-3)
    assert Labels().one(BLANK, LABELS)[:3] == ("", 0.0, "")


# ------------------------------------------------------------------------------------------------ boxes

TRACK = [[10, 12, 20, 16], [13, 12, 20, 16], [16, 13, 21, 16], [19, 13, 22, 17]]


def scene(boxes: list) -> np.ndarray:
    """A grey slope with a box in every frame that has one."""
    slope = np.repeat(np.linspace(40, 200, 64).astype(np.uint8)[None, :, None], 64, axis=0).repeat(3, axis=2)
    return np.stack([slope if box is None else draw_box(slope, box) for box in boxes])


def track(boxes: list) -> Split:
    return split_of(
        Example([Clip(scene([boxes[0], *[None] * (len(boxes) - 1)]))], [Clip(scene(boxes))], json.dumps(boxes))
    )


def test_clean_boxes_are_read_and_score_nearly_everything():
    kind, split = Boxes(), track(TRACK)
    table = kind.read(split.outputs(), split, [])
    assert np.abs(box_array(json.loads(table.answer_read[0])) - TRACK).max() < 0.1
    scored = kind.score(table, NO_TRAIN, [])
    assert scored["iou"] == pytest.approx(table.iou[0], abs=1e-3) and scored["iou"] > 0.98
    assert scored["no_box"] == 0 and len(scored["iou_by_frame"]) == 4 and scored["success_auc"] > 0.94
    assert kind.captions(table)[0] == f"0: IoU {table.iou[0]:.2f}" and table.confidence[0] > 0.9


def test_a_box_that_is_not_read_scores_nothing():
    kind, split = Boxes(), track(TRACK)
    table = kind.read([scene([TRACK[0], None, TRACK[2], None])], split, [])
    assert json.loads(table.answer_read[0])[1] is None
    scored = kind.score(table, NO_TRAIN, [])
    assert (
        table.iou[0] == pytest.approx(0.5, abs=0.01)
        and scored["iou"] == pytest.approx(0.5, abs=0.01)
        and scored["no_box"] == 0.5
    )
    assert scored["iou_by_frame"][1] == scored["iou_by_frame"][3] == 0


@pytest.mark.parametrize("drawn", [None, [40, 40, 10, 10]], ids=["no box there", "a box there"])
def test_an_absent_target_is_left_out(drawn):
    kind, split = Boxes(), track([*TRACK[:3], None])
    table = kind.read([scene([*TRACK[:2], None, drawn])], split, [])
    assert table.iou[0] == pytest.approx(2 / 3, abs=0.01)
    assert kind.score(table, NO_TRAIN, [])["iou"] == pytest.approx(2 / 3, abs=0.01)


def test_a_target_absent_throughout_is_no_score():
    kind, split = Boxes(), track([None, None])
    table = kind.read(split.outputs(), split, [])
    assert np.isnan(table.iou[0]) and kind.example_score(table).tolist() == [0]


def test_wrong_boxes_scored_by_hand():
    here, half, away = [0, 0, 10, 10], [5, 0, 10, 10], [20, 0, 10, 10]  # half beside here: 50 of 150
    true, read = [[here, here, None], [here, None, away]], [[here, half, half], [None, None, away]]
    scored = Boxes().score(
        pd.DataFrame({"answer": map(json.dumps, true), "answer_read": map(json.dumps, read)}), NO_TRAIN, []
    )
    assert scored["iou"] == pytest.approx((1 + 1 / 3 + 0 + 1) / 4)
    assert scored["iou_by_frame"] == [0.5, 0.3333, 1.0] and scored["kept_by_frame"] == [1.0, 1.0, 0.0]
    assert scored["no_box"] == 2 / 6
    assert scored["success_auc"] == pytest.approx((20 + 7 + 0 + 20) / 4 / 21)  # 1/3 is above 0, 0.05, ... 0.30
    assert scored["success"][0] == 0.75 and scored["success"][10] == 0.5 and scored["success"][20] == 0
    assert scored["iou_after_first"] == pytest.approx((1 / 3 + 1) / 2)  # without the two boxes that are given
    assert scored["baselines"] == {
        "first box kept": {"iou": pytest.approx((1 + 1 + 1 + 0) / 4), "iou_after_first": pytest.approx((1 + 0) / 2)}
    }
    assert Boxes().headline(scored) == "IoU 0.583, success AUC 0.560"


def test_one_answer_of_boxes():
    assert Boxes().one(scene([TRACK[0], None]), []).answer == "10,12,20,16; no box"


# ------------------------------------------------------------------------------------------------ colours


def blinking(*colours: tuple[int, int, int]) -> np.ndarray:
    """Ten plain frames that take the colours in turn."""
    return np.stack([np.full((64, 64, 3), colours[t % len(colours)], np.uint8) for t in range(10)])


def colourised(clip: np.ndarray) -> Split:
    return split_of(Example([Clip(grey(clip))], [Clip(clip)]))


def test_equal_colours_are_perfect():
    kind, split = Colours(), colourised(blinking((200, 100, 50), (20, 180, 90)))
    table = kind.read(split.outputs(), split, [])
    assert (table.psnr[0], table.ssim[0]) == (100, 1) and table.cdc[0] == table.cdc_true[0]
    scored = kind.score(table, NO_TRAIN, [])
    assert scored["colorfulness"] == scored["baselines"]["the data"]["colorfulness"]
    assert scored["baselines"]["the data"].keys() == {
        "cdc",
        "colorfulness",
        "colorfulness_hs",
    }  # its own PSNR says nothing
    assert kind.example_score(table).tolist() == [1]


def test_colours_scored_by_hand():
    """Frames 1 apart share one channel of three, frames 2 and 4 apart all: CDC is two thirds of ln 2, and 0 and 0, on average.
    The grey of (200, 100, 50) is 124: 76, 24 and 74 beside it."""
    split = colourised(blinking((200, 100, 50), (50, 100, 0)))
    table = Colours().read([blinking((200, 100, 50))], split, [])
    assert table.cdc_true[0] == pytest.approx(np.log(2) * 2 / 3 / 3) and table.cdc[0] == 0
    one = colourised(blinking((200, 100, 50)))
    scored = Colours().score(Colours().read([blinking((190, 110, 60))], one, []), NO_TRAIN, [])
    assert scored["psnr"] == pytest.approx(20 * np.log10(255 / 10))
    copied = scored["baselines"]["grey input copied"]
    assert copied["psnr"] == pytest.approx(10 * np.log10(255**2 / ((76**2 + 24**2 + 74**2) / 3)))
    assert copied["colorfulness"] == pytest.approx(66.98, abs=0.01) and copied["colorfulness_hs"] == copied["cdc"] == 0
    assert Colours().headline(scored).startswith("28.1 dB, CDC 0.0000, colorfulness")


def test_better_colours_have_better_quality():
    clip = blinking((200, 100, 50))
    split = split_of(*2 * [Example([Clip(grey(clip))], [Clip(clip)])])
    table = Colours().read([clip, grey(clip)], split, [])
    near, far = Colours().example_score(table)
    assert near == 1 and far == pytest.approx(table.psnr[1] / 100)
    assert Colours().captions(table)[1] == f"1: {table.psnr[1]:.1f} dB, grey {table.psnr[1]:.1f}"


def test_one_clip_is_measured():
    assert Colours().one(blinking((90, 90, 90)), []).answer == "colorfulness 67.0, CDC 0.0000"


# ------------------------------------------------------------------------------------------------ pictures


def test_every_kind_draws_its_figures(tmp_path):
    result = {
        "dataset": "a set",
        "f1_by_class": {"a": 0.5, "b": 1.0},
        "iou_by_frame": [1.0, 0.5],
        "kept_by_frame": [1.0, 0.2],
        "success": [1.0, 0.5, 0.0],
        "success_auc": 0.5,
    }
    coloured = colourised(blinking((200, 100, 50), (50, 100, 0)))
    for kind, table in (
        (Words(), pd.DataFrame({"answer": ["red", "blue"], "answer_read": ["red", ""]})),
        (Labels(), None),
        (Boxes(), None),
        (Colours(), Colours().read(coloured.outputs(), coloured, [])),
    ):
        kind.figures(result, table, ["blue", "red"], tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"confusion.png", "f1_by_class.png", "iou.png", "colours.png"}
    for path in tmp_path.iterdir():
        assert np.ptp(np.asarray(Pillow.open(path).convert("L"))) > 100, path.name


def test_figures_show_the_numbers():
    axes = plots.bars({"low": 0.25, "high": 0.75}, "F1").axes[0]
    assert [bar.get_width() for bar in axes.patches] == [0.25, 0.75]  # the largest on top
    left, right = plots.boxes(
        {"iou_by_frame": [0.9, 0.8], "kept_by_frame": [1.0, 0.4], "success": [1.0, 0.5, 0.0], "success_auc": 0.5}
    ).axes
    assert [list(line.get_ydata()) for line in left.lines] == [[0.9, 0.8], [1.0, 0.4]] and list(
        left.lines[0].get_xdata()
    ) == [1, 2]
    assert list(right.lines[0].get_xdata()) == [0, 0.5, 1] and right.get_title() == "success curve, area 0.500"
    table = pd.DataFrame(
        {
            "psnr": [30.0],
            "psnr_grey": [20.0],
            "cdc": [0.2],
            "cdc_true": [0.1],
            "colorfulness": [70.0],
            "colorfulness_true": [75.0],
        }
    )
    assert [place.collections[0].get_offsets().tolist() for place in plots.colours(table).axes] == [
        [[20, 30]],
        [[0.1, 0.2]],
        [[75, 70]],
    ]


def test_long_clips_are_thinned_and_words_are_not():
    clip = blinking((200, 100, 50), (50, 100, 0))
    clip[:, 0, 0, 0] = np.arange(10)
    assert plots.thin(clip)[:, 0, 0, 0].tolist() == [0, 2, 4, 5, 7, 9]
    assert (
        len(plots.thin(clip[:9])) == 9
        and len(plots.thin(words(*12 * ["word"]))) == 12
        and len(plots.thin(BLANK[:0])) == 0
    )


def test_a_strip_is_divided_where_the_network_begins():
    """Three words, the separator, a line, one word: a frame takes 64 px and 2 px beside it, the line 4 px, the labels above 14 px."""
    picture = np.asarray(plots.strip(words("a", "b", "c", "|"), words("green"), scale=1))
    assert picture.shape == (14 + 68, 2 + 5 * 66 + 4, 3)
    red = np.flatnonzero((picture[0] == plots.RED).all(axis=1))
    assert 2 + 4 * 66 <= red.min() and red.max() < 2 + 4 * 66 + 4
    assert (picture[16:80, 270:334] == word_frame("green")).all()
    assert (
        plots.strip(scene(TRACK * 5), scene(TRACK * 5), scale=1).width == 2 + (6 + 1 + 6) * 66 + 4
    )  # of twenty frames six


MOVING = blinking((200, 100, 50), (50, 100, 0))


def test_the_worst_answers_come_first():
    """Wrong before right, and of the wrong ones the faint before the clear."""
    split, kind = answers_to_colour("red", "blue", "red", "green", "red"), Words(has_question=True)
    drawn = [words("red"), words("red"), (words("blue") // 3), words("blue"), words("red") // 2]
    table = split.metadata.assign(answer_read=["red", "red", "blue", "blue", "red"])
    clear = kind.legibility(table, drawn)
    assert clear[[0, 1, 3]].tolist() == pytest.approx([1, 1, 1]) and clear[2] < clear[4] < 0.99
    title, pictures = kind.worst(table, drawn, split)
    assert title.startswith("3 of 5 answers are wrong") and len(pictures) == 5
    first, second = (np.asarray(picture) for picture in pictures[:2])
    assert (first[2:66, 2:66] == drawn[2][0]).all() and (
        first[68:132, 2:66] == word_frame("red")
    ).all()  # drawn above, true below
    assert (second[2:66, 2:66] == drawn[1][0]).all() or (second[2:66, 2:66] == drawn[3][0]).all()


def test_a_favourite_mistake_does_not_fill_the_gallery():
    split = answers_to_colour(*6 * ["red"], "blue", "red")
    table = split.metadata.assign(answer_read=[*6 * ["green"], "purple", "red"])
    pictures = Words(has_question=True).worst(table, [*6 * [words("green")], words("purple"), words("red")], split)[1]
    shown = [np.asarray(picture)[2:66, 2:66] for picture in pictures]
    assert [
        next(word for word in ("green", "purple", "red") if (frame == word_frame(word)).all()) for frame in shown
    ] == [*3 * ["green"], "purple", *3 * ["green"], "red"]


def test_labels_in_the_gallery_end_where_they_end():
    split = split_of(Example([Clip(MOVING)], [Text("Riding"), End()], "Riding"))
    drawn = [np.concatenate([words("vehicle", "moving"), BLANK, words("junk")])]
    table = split.metadata.assign(answer_read=["vehicle_moving"])
    assert Labels().legibility(table, drawn).tolist() == pytest.approx([1]) and Labels().legibility(
        table.assign(answer_read=[""]), drawn
    ).tolist() == [0]
    picture = np.asarray(Labels().worst(table, drawn, split)[1][0])
    assert (picture[2:66, 72:136] == word_frame("vehicle")).all() and (
        picture[2:66, 138:202] == word_frame("moving")
    ).all()
    assert (picture[68:132, 72:136] == word_frame("Riding")).all() and picture.shape[
        1
    ] < 280  # a clip frame, a line, two words
    assert (picture[68:132, 138:] == 255).all()  # one true word, and no blank frame


def test_boxes_and_colours_in_the_gallery():
    split = split_of(Example([Clip(scene(TRACK))], [Clip(scene(TRACK))], json.dumps(TRACK)))
    read = json.dumps([[5, 5, 20, 20]] * len(TRACK))
    table = split.metadata.assign(answer_read=read, iou=0.1)
    picture = np.asarray(Boxes().worst(table, split.outputs(), split)[1][0])
    middle = split.outputs()[0][len(TRACK) // 2]
    assert (picture[68:132, 2:66] == middle).all()  # the true frame, with its box
    changed = (picture[2:66, 2:66] != middle).any(axis=-1)
    assert (
        (picture[2:66, 2:66][changed] == plots.BLUE).all()
        and changed.sum() > 40
        and np.argwhere(changed).min() == 5
        and np.argwhere(changed).max() == 24
    )
    coloured = colourised(MOVING)
    table = Colours().read([grey(MOVING)], coloured, [])
    title, (picture,) = Colours().worst(table, [grey(MOVING)], coloured)
    picture = np.asarray(picture)
    assert title.startswith("Lowest PSNR first, of 1 clips")
    assert (picture[2:66, 2:66] == picture[2:66, 72:136]).all() and (picture[68:132, 72:136] == MOVING[5]).all()


# ------------------------------------------------------------------------------------------------ a run, from end to end

TESTS = {
    "sst2": (
        ["negative", "positive"],
        Example([Text("a charming film")], [Text("positive")], "positive"),
        "always “positive”",
        "confusion.png",
    ),
    "tinyvirat": (
        LABELS,
        Example([Clip(MOVING)], [Text("Riding"), End()], "Riding"),
        "always “Riding”",
        "f1_by_class.png",
    ),
    "lasot": ([], Example([Clip(scene(TRACK))], [Clip(scene(TRACK))], json.dumps(TRACK)), "first box kept", "iou.png"),
    "colorization": ([], Example([Clip(grey(MOVING))], [Clip(MOVING)]), "grey input copied", "colours.png"),
}


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("task", TESTS)
def test_a_run_is_scored_with_every_kind_of_answer(task, make_run, tmp_path):
    vocabulary, example, trivial, figure = TESTS[task]
    run, out, lines = make_run(task, 3, vocabulary), tmp_path / "elsewhere", []
    split = split_of(example, example, example)
    answers = split.metadata.assign(split=["train", "test", "test"], n_cut=0, group="")
    manifest = {
        "task": task,
        "renderer": fingerprint(),
        "vocabulary": vocabulary,
        "dataset": "a set",
        "data": "real",
        "examples": "0123",
    }
    store = VideoStore(Path("memory"), manifest, split.frames.numpy(), split.sequences.numpy(), answers)
    result = evaluate(run, store, device="cpu", out=out, log=lines.append)
    assert result["n"] == 2 and (result["data"], result["trained_on"], result["training"]) == (
        "real",
        "miniature",
        None,
    )
    assert trivial in result["baselines"] and trivial in lines[0] and "2 test examples" in lines[0]
    assert json.loads((out / "metrics.json").read_text()) == result and result["subsets"].keys() == (
        {"at most 20 tokens"} if task == "sst2" else set()
    )
    assert {path.name for path in out.iterdir()} == {
        "metrics.json",
        "predictions.csv",
        "samples.png",
        "errors.png",
        figure,
    }
    assert len(pd.read_csv(out / "predictions.csv")) == 2
    assert evaluate(run, store, device="cpu", out=out, log=lines.append) == result and len(lines) == 1  # done before
    assert evaluate(run, store, device="cpu", out=out, limit=1, log=lines.append)["n"] == 1


@pytest.mark.usefixtures("one_thread")
def test_a_run_keeps_its_curves_and_its_errors(make_run):
    run = make_run("sst2", 1, ["negative", "positive"])
    examples = [
        Example([Text(text)], [Text(answer)], answer)
        for text, answer in (("a film", "positive"), ("no film", "negative"), ("a very long film", "positive"))
    ]
    split = split_of(*examples)
    answers = split.metadata.assign(split="test", n_cut=0, group="")
    manifest = {
        "task": "sst2",
        "renderer": fingerprint(),
        "vocabulary": ["negative", "positive"],
        "dataset": "a set",
        "data": "real",
        "examples": "0123",
    }
    store = VideoStore(Path("memory"), manifest, split.frames.numpy(), split.sequences.numpy(), answers)
    pd.DataFrame(
        {"step": [1], "seconds": [60], "loss": [0.5], "frames_per_second": [9], "validation_ssim": [0.75]}
    ).to_csv(run / "log.csv")
    evaluate(run, store, device="cpu", log=lambda line: None)
    assert Pillow.open(run / "curves.png").width == 110 * plots.WIDTH and (run / "errors.png").stat().st_size <= 80_000
    net = load_network(run)[0]
    drawn = draw(net, store.split("test"), None, "drawing", log=pytest.fail)
    assert all((mine == one.numpy()).all() for mine, one in zip(drawn, answer(net, store.split("test")), strict=True))
    (run / "errors.png").unlink()  # of a run that was scored before there was such a gallery
    evaluate(run, store, device="cpu", log=lambda line: None)
    assert (run / "errors.png").exists()
