"""Other sizes of frame, losses of blends, whose the errors are: measured small, and counted by hand."""

import json

import numpy as np
import pandas as pd
import pytest

from evlib.frames import boxes
from evlib.frames.render import word_frame
from evlib.paper.questions import blend_losses, frame_sizes, reading_against_model
from evlib.scoring import metrics
from evlib.utils.errors import EvlibError


def test_words_look_alike_at_every_size():
    assert word_frame("frog", 64).tobytes() == word_frame("frog").tobytes()
    for size in (32, 128):
        ink = np.argwhere(word_frame("everything", size)[..., 0] > 64)
        assert word_frame("everything", size).shape == (size, size, 3)
        assert np.ptp(ink[:, 1]) > 0.85 * size  # as wide as the frame
        assert abs(ink[:, 0].mean() - size / 2) < 0.1 * size  # in its middle


def test_small_frames_lose_long_words_and_small_boxes():
    table, figure = frame_sizes(words=8, sentences=2, tracks=6)
    assert list(table.columns) == ["measure", "n", "32 px", "64 px", "128 px"] and len(table) == 10
    assert table.n.tolist() == [8, 8, 8, 8, 8, 2, 6, 6, 6, 6]
    shares = table[["32 px", "64 px", "128 px"]]
    assert ((shares >= 0) & (shares <= 1)).all(axis=None)
    assert table.loc["words of 10-12 letters", "32 px"] < 0.6 < 0.8 < table.loc["words of 10-12 letters", "64 px"]
    assert table.loc["words of 13-20 letters", "32 px"] < 0.3 and table.loc["words of 4-6 letters", "64 px"] > 0.8
    assert table.loc["boxes of 3-5 px in 64", "32 px"] < 0.4 < table.loc["boxes of 3-5 px in 64", "128 px"]
    assert table.loc["boxes of 19-38 px in 64", "64 px"] > 0.97
    assert boxes.SIZE == 64
    left = figure.axes[6]
    assert [line.get_ydata()[0] for line in left.lines if line.get_marker() == "o"] == shares.iloc[0].tolist()


def test_a_plain_loss_rewards_a_blend_and_a_concave_one_does_not():
    table, figure = blend_losses("cat", "dog")
    assert list(table.columns) == [1.0, 0.5] and table.index[[0, -1]].tolist() == [0, 1]
    assert table[1.0].iloc[[0, -1]].tolist() == pytest.approx([table[1.0].max()] * 2)  # either word: half right
    assert 0.3 < table[1.0].idxmin() < 0.7 and table[1.0].min() < 0.85 * table[1.0].max()
    assert table[0.5].idxmin() in (0, 1) and table[0.5].loc[0.5] > 1.15 * table[0.5].min()
    assert figure.axes[-1].lines[0].get_ydata().tolist() == table[1.0].tolist()


def test_a_blend_of_a_word_with_itself_loses_nothing():
    table, _ = blend_losses("cat", "cat")
    assert table.shape == (41, 2) and np.abs(table.values).max() < 1e-3


@pytest.mark.parametrize("size", [32, 128])
def test_boxes_are_rendered_and_read_at_other_sizes(size):
    box = size * np.array([0.25, 0.3, 0.5, 0.4])
    frame = boxes.render_box(np.full((size, size, 3), 90, np.uint8), box, size)
    assert metrics.iou(np.array([boxes.read_box(frame, size).box]), box[None])[0] > 0.95
    with pytest.raises(EvlibError):
        boxes.read_box(frame)


def a_run(results, name: str, task: str, rows: list[tuple[str, str, str]], vocabulary: list[str]) -> None:
    """A scored run in a results folder: answer, as Tesseract read it, as the template reader did."""
    run = results / "runs" / name
    run.mkdir(parents=True)
    (run / "metrics.json").write_text(json.dumps({"task": task, "dataset": "a set", "data": "miniature"}))
    (run / "config.json").write_text(json.dumps({"store": {"vocabulary": vocabulary}}))
    table = pd.DataFrame(rows, columns=["answer", "answer_read", "template"])
    table.to_csv(run / "predictions.csv", index=False)


def test_errors_are_the_readers_or_the_models(tmp_path):
    rows = [("frog", "frog", "frog"), ("frog", "", "frog"), ("cat", "dog", "cat"), ("cat", "dog", "dog")]
    a_run(tmp_path, "cifar10", "cifar10", [*rows, ("dog", "dog", "cat")], ["cat", "dog", "frog"])
    rows = [("Riding, activity_walking", "activity_walking, Riding", "Riding"), ("Riding", "", "")]
    a_run(tmp_path, "tinyvirat", "tinyvirat", rows, ["Riding", "activity_walking"])
    a_run(tmp_path, "lasot", "lasot", [], [])  # answers in boxes are not read as words
    table, figure = reading_against_model(tmp_path)
    columns = ["n", "right", "reading_error", "model_error", "template", "clean"]
    assert table.index.tolist() == ["cifar10", "tinyvirat"]
    assert table.loc["cifar10", columns].tolist() == pytest.approx([5, 0.4, 0.4, 0.2, 0.6, 1])
    assert table.loc["tinyvirat", columns].tolist() == pytest.approx([2, 0.5, 0, 0.5, 0, 1])
    assert (table.right + table.reading_error + table.model_error).tolist() == pytest.approx([1, 1])
    assert [bar.get_width() for bar in figure.axes[0].patches] == pytest.approx([0.4, 0.5, 0.4, 0, 0.2, 0.5])


def test_a_word_that_tesseract_cannot_read(tmp_path):
    """Its own error: even a clean frame is taken for another word of the vocabulary."""
    long = "internationalizations" * 3
    a_run(tmp_path, "tgifqa", "tgifqa", [(long, "cat", long), ("cat", "cat", "cat")], ["cat", long])
    table, _ = reading_against_model(tmp_path)
    assert table.loc["tgifqa", ["right", "reading_error", "clean"]].tolist() == [0.5, 0.5, 0.5]


def test_nothing_to_compare(tmp_path):
    with pytest.raises(EvlibError, match="expected runs that answer in words"):
        reading_against_model(tmp_path)
