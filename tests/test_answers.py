"""What drawn answers are read as, and what they score: clean drawings, and numbers worked out by hand."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image as Pillow

from evlib.data.store import Split, VideoStore
from evlib.data.tasks.answers import BoxesAnswer, ColorAnswer, LabelsAnswer, WordAnswer, label_words, split_labels
from evlib.data.tasks.tinyvirat import to_gray
from evlib.frames.image import until_blank
from evlib.frames.parts import Clip, End, Example, Text, Word
from evlib.frames.render import fingerprint, render, render_example, word_frame
from evlib.scoring.answers import Prediction, box_array, clean_frames, legibility, scorer, to_labels
from evlib.scoring.evaluate import evaluate
from evlib.viz import plots
from evlib.viz.galleries import gallery

WORD, QUESTION = WordAnswer(), WordAnswer(has_question=True)
WORDS, LABELS_SCORER, BOXES, COLORS = (
    scorer(answer) for answer in (WORD, LabelsAnswer(), BoxesAnswer(), ColorAnswer())
)

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


def answers_to_color(*answers: str) -> Split:
    return split_of(*(Example([Text("what color ?")], [Text(answer)], answer) for answer in answers))


def test_clean_words_are_read_and_score_everything():
    kind, split = scorer(QUESTION), answers_to_color("green", "purple", "green")
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
    assert table.example_score.tolist() == [1, 1, 1] and gallery(kind.answer).captions(table)[1] == "purple: right"


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
    scored = WORDS.score(table, TRAIN, ["red", "blue"])
    assert scored["accuracy"] == 3 / 4 and scored["accuracy_exact"] == 2 / 4 and scored["accuracy_template"] == 3 / 4
    assert scored["f1"] == pytest.approx((3 * 4 / 5 + 2 / 3) / 4) and scored["f1_macro"] == pytest.approx(
        (4 / 5 + 2 / 3) / 2
    )
    assert WORDS.headline(scored) == "75.0% by Tesseract, 75.0% by template"
    table = table.assign(example_score=[1, 1, 0, 1])
    assert gallery(WORD).captions(table)[2] == "blue: WRONG, true: red"
    two = scorer(WordAnswer(("blue", "red"))).score(table, TRAIN, ["blue", "red"])
    assert two["f1_positive"] == pytest.approx(4 / 5) and "f1_positive" not in scored  # of the second class alone


def test_nothing_read_is_wrong_and_says_so():
    table = pd.DataFrame(
        {"answer": ["red"], "answer_read": [""], "tesseract": [""], "template": ["red"], "question": [""]}
    )
    assert WORDS.score(table, NO_TRAIN, ["red"])["accuracy"] == 0
    assert gallery(WORD).captions(table.assign(example_score=0.0)) == ["(nothing): WRONG, true: red"]


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
    assert WORDS.score(table, train, [])["baselines"].keys() == {"always “red”"}
    baselines = scorer(QUESTION).score(table, train, [])["baselines"]
    assert baselines["always “red”"]["accuracy"] == 2 / 4
    assert baselines["from the question alone"]["accuracy"] == 3 / 4
    assert scorer(QUESTION).score(table, NO_TRAIN, [])["baselines"] == {}


def test_fixed_classes_or_every_answer_in_the_files():
    assert WordAnswer(("negative", "positive")).vocabulary(TRAIN.answer) == ["negative", "positive"]
    assert WORD.vocabulary(TRAIN.answer) == ["blue", "red", "two"]


def test_one_word_and_what_else_it_might_be():
    reading = WORDS.read_one(words("green"), ["purple", "greet", "green"])
    assert reading.answer == reading.read == "green" and reading.legibility == pytest.approx(1, abs=1e-3)
    assert list(reading.runners_up) == ["green", "greet", "purple"]
    assert reading.runners_up["green"] == pytest.approx(0, abs=1)


def test_a_word_with_a_sign_in_it_is_one_frame_and_one_reading():
    """Evaluation and prediction read it alike, and neither learns the answer's length from the truth."""
    example = Example([Text("what is it ?")], [Word("t-shirt")], "t-shirt")
    split, vocabulary = split_of(example), ["shirt", "skirt", "t-shirt"]
    assert len(split.outputs()[0]) == 1 and QUESTION.n_frames(n_in=21) == 1
    table = scorer(QUESTION).read(split.outputs(), split, vocabulary)
    assert (
        table.answer_read.tolist() == [scorer(QUESTION).read_one(split.outputs()[0], vocabulary).answer] == ["t-shirt"]
    )


def test_lengths_follow_from_the_question_alone():
    assert [LabelsAnswer().n_frames(11), BoxesAnswer().n_frames(21), ColorAnswer().n_frames(11)] == [8, 20, 10]


def test_a_clean_rendering_of_every_kind_of_text():
    assert np.array_equal(clean_frames(WORD, "t-shirt"), words("t-shirt"))
    assert np.array_equal(clean_frames(LabelsAnswer(), "b_c, a"), words("a", ",", "b", "c"))


def test_a_blank_frame_is_no_answer():
    reading = WORDS.read_one(BLANK, ["green", "red"])
    assert (reading.answer, reading.legibility, reading.read) == ("", 0.0, "")
    assert (
        legibility(words("green", ""), ["green", ""]) == pytest.approx(1, abs=1e-3) and legibility(BLANK[:0], []) == 0
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
    kind = LABELS_SCORER
    for drawn in (split.outputs(), labelled(*lines)):
        table = kind.read(drawn, split, LABELS)
        assert table.answer_read.tolist() == table.template.tolist() == [*true[:2], "activity_walking, vehicle_moving"]
        scored = kind.score(table, pd.DataFrame({"answer": true}), LABELS)
        assert {scored[name] for name in ("accuracy", "f1", "f1_micro", "f1_macro", "accuracy_template")} == {1}
        assert table.example_score.tolist() == [1, 1, 1]
        assert gallery(kind.answer).captions(table)[1:] == ["Riding: right", "activity_walking, vehicle_moving: right"]


def test_labels_named_twice_or_not_at_all():
    split = split_of(*(Example([Text("a clip")], [Text("Riding"), End()], "Riding") for _ in range(2)))
    table = LABELS_SCORER.read([words("Riding", ",", "Riding", ""), words("", "Riding")], split, LABELS)
    assert table.answer_read.tolist() == table.template.tolist() == ["Riding", ""]
    assert gallery(LabelsAnswer()).captions(table) == ["Riding: right", "(nothing): WRONG, true: Riding"]


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
    assert to_labels(line.split(), LABELS) == labels


def test_labels_to_words():
    assert label_words(["vehicle_moving", "vehicle_left"]) == ["left", "moving", "vehicle", ","]
    assert split_labels("a, b") == {"a", "b"} and split_labels("") == set()
    assert LabelsAnswer().vocabulary(pd.Series(["b, a", "a", ""])) == ["a", "b"]
    assert len(until_blank(words("a", "b", "", "c"))) == 2 and len(until_blank(words("a", "b"))) == 2


def test_wrong_labels_scored_by_hand():
    """Of four labels two are found, and no false one: a has F1 1, b and c have 0; together 2 * 2 / (2 + 4)."""
    table = pd.DataFrame({"answer": ["a, b", "a", "c"], "answer_read": ["a", "a", ""], "template": ["b, a", "a", "c"]})
    kind, train = LABELS_SCORER, pd.DataFrame({"answer": ["a", "b, a", "b, a"]})
    scored = kind.score(table, train, ["a", "b", "c"])
    assert scored["accuracy"] == pytest.approx(1 / 3) and scored["accuracy_template"] == 1
    assert scored["f1_by_class"] == {"a": 1, "b": 0, "c": 0}
    assert (
        scored["f1"] == pytest.approx(2 / 4)
        and scored["f1_macro"] == pytest.approx(1 / 3)
        and scored["f1_micro"] == pytest.approx(4 / 6)
    )
    assert kind.headline(scored) == "F1 50.0% weighted, 33.3% macro, 33.3% exact"
    always = scored["baselines"]["always “b, a”"]
    assert always["accuracy"] == pytest.approx(1 / 3) and always["f1_by_class"] == {"a": 0.8, "b": 0.5, "c": 0}
    assert kind.score(table, train.head(0), ["a", "b", "c"])["baselines"] == {}


def test_one_answer_of_labels():
    reading = LABELS_SCORER.read_one(labelled("vehicle moving , Riding")[0], LABELS)
    assert reading.answer == "vehicle_moving, Riding" and reading.legibility == pytest.approx(1, abs=1e-3)
    assert LABELS_SCORER.read_one(BLANK, LABELS) == Prediction("", 0.0, "")


# ------------------------------------------------------------------------------------------------ boxes

TRACK = [[10, 12, 20, 16], [13, 12, 20, 16], [16, 13, 21, 16], [19, 13, 22, 17]]


def scene(boxes: list) -> np.ndarray:
    """A gray slope with a box in every frame that has one."""
    slope = np.repeat(np.linspace(40, 200, 64).astype(np.uint8)[None, :, None], 64, axis=0).repeat(3, axis=2)
    return np.stack([frame.pixels for frame in render(Clip(np.stack([slope] * len(boxes)), boxes))])


def track(boxes: list) -> Split:
    return split_of(
        Example([Clip(scene([boxes[0], *[None] * (len(boxes) - 1)]))], [Clip(scene(boxes))], json.dumps(boxes))
    )


def test_clean_boxes_are_read_and_score_nearly_everything():
    kind, split = BOXES, track(TRACK)
    table = kind.read(split.outputs(), split, [])
    assert np.abs(box_array(json.loads(table.answer_read[0])) - TRACK).max() < 0.1
    scored = kind.score(table, NO_TRAIN, [])
    assert scored["iou"] == pytest.approx(table.iou[0], abs=1e-3) and scored["iou"] > 0.98
    assert scored["no_box"] == 0 and len(scored["iou_by_frame"]) == 4 and scored["success_auc"] > 0.94
    assert gallery(kind.answer).captions(table)[0] == f"0: IoU {table.iou[0]:.2f}" and table.legibility[0] > 0.9


def test_a_box_that_is_not_read_scores_nothing():
    kind, split = BOXES, track(TRACK)
    table = kind.read([scene([TRACK[0], None, TRACK[2], None])], split, [])
    assert json.loads(table.answer_read[0])[1] is None
    scored = kind.score(table, NO_TRAIN, [])
    assert table.iou[0] == pytest.approx(1 / 3, abs=0.01)  # of the three boxes that are not given
    assert scored["iou"] == pytest.approx(1 / 3, abs=0.01) and scored["iou_with_first"] == pytest.approx(0.5, abs=0.01)
    assert scored["no_box"] == 0.5
    assert scored["iou_by_frame"][1] == scored["iou_by_frame"][3] == 0


@pytest.mark.parametrize("generated", [None, [40, 40, 10, 10]], ids=["no box there", "a box there"])
def test_an_absent_target_is_left_out(generated):
    kind, split = BOXES, track([*TRACK[:3], None])
    table = kind.read([scene([*TRACK[:2], None, generated])], split, [])
    assert table.iou[0] == pytest.approx(1 / 2, abs=0.01)
    assert kind.score(table, NO_TRAIN, [])["iou_with_first"] == pytest.approx(2 / 3, abs=0.01)


def test_a_target_absent_throughout_is_no_score():
    kind, split = BOXES, track([None, None])
    table = kind.read(split.outputs(), split, [])
    assert np.isnan(table.iou[0]) and table.example_score.tolist() == [0]


def test_wrong_boxes_scored_by_hand():
    here, half, away = [0, 0, 10, 10], [5, 0, 10, 10], [20, 0, 10, 10]  # half beside here: 50 of 150
    true, read = [[here, here, None], [here, None, away]], [[here, half, half], [None, None, away]]
    scored = BOXES.score(
        pd.DataFrame({"answer": map(json.dumps, true), "answer_read": map(json.dumps, read)}), NO_TRAIN, []
    )
    assert scored["iou"] == pytest.approx((1 / 3 + 1) / 2)  # without the two boxes that are given
    assert scored["iou_with_first"] == pytest.approx((1 + 1 / 3 + 0 + 1) / 4)
    assert scored["iou_by_frame"] == [0.5, 0.3333, 1.0] and scored["first_box_by_frame"] == [1.0, 1.0, 0.0]
    assert scored["no_box"] == 2 / 6
    assert scored["success_auc"] == pytest.approx((7 + 20) / 2 / 21)  # 1/3 is above 0, 0.05, ... 0.30
    assert scored["success"][0] == 1 and scored["success"][10] == 0.5 and scored["success"][20] == 0
    first = {"iou": pytest.approx((1 + 0) / 2), "iou_with_first": pytest.approx((1 + 1 + 1 + 0) / 4)}
    assert scored["baselines"] == {"first box kept": first}
    assert BOXES.headline(scored) == "IoU 0.667 without the given first box, 0.583 with it"


def test_one_answer_of_boxes():
    assert BOXES.read_one(scene([TRACK[0], None]), []).answer == "boxes x,y,w,h: 10,12,20,16; no box"


# ------------------------------------------------------------------------------------------------ colors


def blinking(*colors: tuple[int, int, int]) -> np.ndarray:
    """Ten plain frames that take the colors in turn."""
    return np.stack([np.full((64, 64, 3), colors[t % len(colors)], np.uint8) for t in range(10)])


def colorized(clip: np.ndarray) -> Split:
    return split_of(Example([Clip(to_gray(clip))], [Clip(clip)]))


def test_equal_colors_are_perfect():
    kind, split = COLORS, colorized(blinking((200, 100, 50), (20, 180, 90)))
    table = kind.read(split.outputs(), split, [])
    assert (table.psnr[0], table.ssim[0]) == (100, 1) and table.cdc[0] == table.cdc_true[0]
    scored = kind.score(table, NO_TRAIN, [])
    assert scored["colorfulness"] == scored["baselines"]["the data"]["colorfulness"]
    assert scored["baselines"]["the data"].keys() == {
        "cdc",
        "colorfulness",
        "colorfulness_hs",
    }  # its own PSNR says nothing
    assert table.example_score.tolist() == [1]


def test_colors_scored_by_hand():
    """Frames 1 apart share one channel of three, frames 2 and 4 apart all: CDC is two thirds of ln 2, and 0 and 0, on
    average. The gray of (200, 100, 50) is 124: 76, 24 and 74 beside it."""
    split = colorized(blinking((200, 100, 50), (50, 100, 0)))
    table = COLORS.read([blinking((200, 100, 50))], split, [])
    assert table.cdc_true[0] == pytest.approx(np.log(2) * 2 / 3 / 3) and table.cdc[0] == 0
    one = colorized(blinking((200, 100, 50)))
    scored = COLORS.score(COLORS.read([blinking((190, 110, 60))], one, []), NO_TRAIN, [])
    assert scored["psnr"] == pytest.approx(20 * np.log10(255 / 10))
    copied = scored["baselines"]["gray input copied"]
    assert copied["psnr"] == pytest.approx(10 * np.log10(255**2 / ((76**2 + 24**2 + 74**2) / 3)))
    assert copied["colorfulness"] == pytest.approx(66.98, abs=0.01) and copied["colorfulness_hs"] == copied["cdc"] == 0
    assert COLORS.headline(scored).startswith("28.1 dB, CDC 0.0000, colorfulness")


def test_better_colors_have_better_example_score():
    clip = blinking((200, 100, 50))
    split = split_of(*2 * [Example([Clip(to_gray(clip))], [Clip(clip)])])
    table = COLORS.read([clip, to_gray(clip)], split, [])
    near, far = table.example_score
    assert near == 1 and far == pytest.approx(table.psnr[1] / 100)
    assert gallery(ColorAnswer()).captions(table)[1] == f"1: {table.psnr[1]:.1f} dB, gray {table.psnr[1]:.1f}"


def test_one_clip_is_measured():
    assert COLORS.read_one(blinking((90, 90, 90)), []).answer == "10 frames in color (colorfulness 67.0, CDC 0.0000)"


# ------------------------------------------------------------------------------------------------ pictures


def test_figures_show_the_numbers():
    axes = plots.bars({"low": 0.25, "high": 0.75}, "F1").axes[0]
    assert [bar.get_width() for bar in axes.patches] == [0.25, 0.75]  # the largest on top
    left, right = plots.boxes(
        {"iou_by_frame": [0.9, 0.8], "first_box_by_frame": [1.0, 0.4], "success": [1.0, 0.5, 0.0], "success_auc": 0.5}
    ).axes
    assert [list(line.get_ydata()) for line in left.lines] == [[0.9, 0.8], [1.0, 0.4]] and list(
        left.lines[0].get_xdata()
    ) == [1, 2]
    assert list(right.lines[0].get_xdata()) == [0, 0.5, 1] and right.get_title() == "success curve, area 0.500"
    row = dict(psnr=30.0, psnr_gray=20.0, cdc=0.2, cdc_true=0.1, colorfulness=70.0, colorfulness_true=75.0)
    points = [place.collections[0].get_offsets().tolist() for place in plots.colors(pd.DataFrame([row])).axes]
    assert points == [[[20, 30]], [[0.1, 0.2]], [[75, 70]]]


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
    """Three words, the separator, a line, one word: a frame takes 64 px and 2 px beside it, the line 4 px, the labels
    above 14 px."""
    picture = np.asarray(plots.strip(words("a", "b", "c", "|"), words("green"), scale=1))
    assert picture.shape == (14 + 68, 2 + 5 * 66 + 4, 3)
    red = np.flatnonzero((picture[0] == plots.RED).all(axis=1))
    assert red.min() >= 2 + 4 * 66 and red.max() < 2 + 4 * 66 + 4
    assert (picture[16:80, 270:334] == word_frame("green")).all()
    assert (
        plots.strip(scene(TRACK * 5), scene(TRACK * 5), scale=1).width == 2 + (6 + 1 + 6) * 66 + 4
    )  # of twenty frames six


MOVING = blinking((200, 100, 50), (50, 100, 0))


def test_the_worst_answers_come_first():
    """Wrong before right, and of the wrong ones the faint before the clear."""
    split = answers_to_color("red", "blue", "red", "green", "red")
    generated = [words("red"), words("red"), (words("blue") // 3), words("blue"), words("red") // 2]
    table = scorer(QUESTION).read(generated, split, ["blue", "green", "red"])
    assert table.answer_read.tolist() == ["red", "red", "blue", "blue", "red"]
    assert table.legibility[[0, 1, 3]].tolist() == pytest.approx([1, 1, 1])
    assert table.legibility[2] < table.legibility[4] < 0.99
    title, pictures = gallery(QUESTION).worst(table, generated, split)
    assert title.startswith("3 of 5 answers are wrong") and len(pictures) == 5
    first, second = (np.asarray(picture) for picture in pictures[:2])
    assert (first[2:66, 2:66] == generated[2][0]).all()
    assert (first[68:132, 2:66] == word_frame("red")).all()  # generated above, true below
    assert any((second[2:66, 2:66] == generated[i][0]).all() for i in (1, 3))


def test_a_favorite_mistake_does_not_fill_the_gallery():
    split = answers_to_color(*6 * ["red"], "blue", "red")
    table = split.metadata.assign(
        answer_read=[*6 * ["green"], "purple", "red"], example_score=[*7 * [0.0], 1.0], legibility=1.0
    )
    generated = [*6 * [words("green")], words("purple"), words("red")]
    frames = [np.asarray(picture)[2:66, 2:66] for picture in gallery(QUESTION).worst(table, generated, split)[1]]
    known = ("green", "purple", "red")
    seen = [next(word for word in known if (frame == word_frame(word)).all()) for frame in frames]
    assert seen == [*3 * ["green"], "purple", *3 * ["green"], "red"]


def test_labels_in_the_gallery_end_where_they_end():
    split = split_of(Example([Clip(MOVING)], [Text("Riding"), End()], "Riding"))
    generated = [np.concatenate([words("vehicle", "moving"), BLANK, words("junk")])]
    table = LABELS_SCORER.read(generated, split, LABELS)
    assert table.answer_read.tolist() == ["vehicle_moving"] and table.legibility[0] == pytest.approx(1, abs=1e-3)
    picture = np.asarray(gallery(LabelsAnswer()).worst(table, generated, split)[1][0])
    assert (picture[2:66, 72:136] == word_frame("vehicle")).all() and (
        picture[2:66, 138:202] == word_frame("moving")
    ).all()
    assert (picture[68:132, 72:136] == word_frame("Riding")).all() and picture.shape[
        1
    ] < 280  # a clip frame, a line, two words
    assert (picture[68:132, 138:] == 255).all()  # one true word, and no blank frame


def test_boxes_and_colors_in_the_gallery():
    split = split_of(Example([Clip(scene(TRACK))], [Clip(scene(TRACK))], json.dumps(TRACK)))
    read = json.dumps([[5, 5, 20, 20]] * len(TRACK))
    table = split.metadata.assign(answer_read=read, iou=0.1, example_score=0.1, legibility=1.0)
    picture = np.asarray(gallery(BoxesAnswer()).worst(table, split.outputs(), split)[1][0])
    middle = split.outputs()[0][len(TRACK) // 2]
    assert (picture[68:132, 2:66] == middle).all()  # the true frame, with its box
    changed = (picture[2:66, 2:66] != middle).any(axis=-1)
    assert (
        (picture[2:66, 2:66][changed] == plots.BLUE).all()
        and changed.sum() > 40
        and np.argwhere(changed).min() == 5
        and np.argwhere(changed).max() == 24
    )
    clip = colorized(MOVING)
    table = COLORS.read([to_gray(MOVING)], clip, [])
    title, (picture,) = gallery(ColorAnswer()).worst(table, [to_gray(MOVING)], clip)
    picture = np.asarray(picture)
    assert title.startswith("Lowest PSNR first, of 1 clips")
    assert (picture[2:66, 2:66] == picture[2:66, 72:136]).all() and (picture[68:132, 72:136] == MOVING[5]).all()


# ------------------------------------------------------------------------------------------------ a run, from end to

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
    "colorization": ([], Example([Clip(to_gray(MOVING))], [Clip(MOVING)]), "gray input copied", "colors.png"),
}


def store_of(task: str, vocabulary: list[str], split: Split, parts: list[str]) -> VideoStore:
    answers = split.metadata.assign(split=parts, n_truncated=0, group="")
    manifest = {"task": task, "renderer": fingerprint(), "vocabulary": vocabulary, "dataset": "a set"}
    manifest |= {"data": "real", "examples": "0123"}
    return VideoStore(Path("memory"), manifest, split.frames.numpy(), split.sequences.numpy(), answers)


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("task", TESTS)
def test_a_run_is_scored_with_every_kind_of_answer(task, make_run, tmp_path):
    vocabulary, example, trivial, figure = TESTS[task]
    run, out, lines = make_run(task, vocabulary), tmp_path / "elsewhere", []
    store = store_of(task, vocabulary, split_of(example, example, example), ["train", "test", "test"])
    result = evaluate(run, store, device="cpu", out=out, log=lines.append)
    assert (result["n"], result["data"], result["trained_on"], result["training"]) == (2, "real", "miniature", None)
    assert trivial in result["baselines"] and trivial in lines[0] and "2 test examples" in lines[0]
    assert json.loads((out / "metrics.json").read_text()) == result and result["subsets"].keys() == (
        {"at most 20 tokens"} if task == "sst2" else set()
    )
    written = {"metrics.json", "predictions.csv", "samples.png", "errors.png", figure}
    assert {path.name for path in out.iterdir()} == written
    assert np.ptp(np.asarray(Pillow.open(out / figure).convert("L"))) > 100
    assert len(pd.read_csv(out / "predictions.csv")) == 2
    assert evaluate(run, store, device="cpu", out=out, log=lines.append) == result and len(lines) == 1  # done before
    assert evaluate(run, store, device="cpu", out=out, limit=1, log=lines.append)["n"] == 1


@pytest.mark.usefixtures("one_thread")
def test_a_run_keeps_its_curves_and_its_errors(make_run):
    run = make_run("sst2")
    examples = [
        Example([Text(text)], [Text(answer)], answer)
        for text, answer in (("a film", "positive"), ("no film", "negative"), ("a very long film", "positive"))
    ]
    store = store_of("sst2", ["negative", "positive"], split_of(*examples), 3 * ["test"])
    log = {"step": [1], "seconds": [60], "loss": [0.5], "frames_per_second": [9], "validation_ssim": [0.75]}
    pd.DataFrame(log).to_csv(run / "log.csv")
    evaluate(run, store, device="cpu", log=lambda line: None)
    assert Pillow.open(run / "curves.png").width == 110 * plots.WIDTH and (run / "errors.png").stat().st_size <= 80_000
    (run / "errors.png").unlink()  # of a run that was scored before there was such a gallery
    evaluate(run, store, device="cpu", log=lambda line: None)
    assert (run / "errors.png").exists()
