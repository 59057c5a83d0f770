"""What is lost at other sizes of frame, and which errors are the reader's: measured small, and counted by hand."""

import json

import numpy as np
import pandas as pd
import pytest

from evlib.frames import boxes
from evlib.frames.render import word_frame
from evlib.paper.questions import frame_sizes, reading_against_model
from evlib.scoring import metrics
from evlib.utils.errors import EvlibError


def test_words_are_drawn_alike_at_every_size():
    assert word_frame("frog", 64).tobytes() == word_frame("frog").tobytes()
    for size in (32, 128):
        ink = np.argwhere(word_frame("everything", size)[..., 0] > 64)
        assert word_frame("everything", size).shape == (size, size, 3)
        assert (
            np.ptp(ink[:, 1]) > 0.85 * size and abs(ink[:, 0].mean() - size / 2) < 0.1 * size
        )  # as wide as the frame, in its middle


def test_small_frames_lose_long_words_and_small_boxes(tmp_path):
    table, figure = frame_sizes(words=8, sentences=2, tracks=6, path=tmp_path / "sizes.png")
    assert list(table.columns) == ["measure", "n", "32 px", "64 px", "128 px"] and len(table) == 10
    assert table.n.tolist() == [8, 8, 8, 8, 8, 2, 6, 6, 6, 6]
    shares = table[["32 px", "64 px", "128 px"]]
    assert ((0 <= shares) & (shares <= 1)).all(axis=None)
    assert table.loc["words of 10-12 letters", "32 px"] < 0.6 < 0.8 < table.loc["words of 10-12 letters", "64 px"]
    assert table.loc["words of 13-20 letters", "32 px"] < 0.3 and table.loc["words of 4-6 letters", "64 px"] > 0.8
    assert table.loc["boxes of 3-5 px in 64", "32 px"] < 0.4 < table.loc["boxes of 3-5 px in 64", "128 px"]
    assert table.loc["boxes of 19-38 px in 64", "64 px"] > 0.97
    assert boxes.SIZE == 64 and (tmp_path / "sizes.png").stat().st_size > 10_000
    left = figure.axes[6]
    assert [line.get_ydata()[0] for line in left.lines if line.get_marker() == "o"] == table.iloc[0][
        ["32 px", "64 px", "128 px"]
    ].tolist()


@pytest.mark.parametrize("size", [32, 128])
def test_boxes_are_drawn_and_read_at_other_sizes(size):
    frame = boxes.draw_box(
        np.full((size, size, 3), 90, np.uint8), (0.25 * size, 0.3 * size, 0.5 * size, 0.4 * size), size
    )
    assert metrics.iou(np.array([boxes.read_box(frame, size).box]), size * np.array([[0.25, 0.3, 0.5, 0.4]]))[0] > 0.95
    with pytest.raises(EvlibError):
        boxes.read_box(frame)


def a_run(results, name: str, task: str, rows: list[tuple[str, str, str]], vocabulary: list[str]) -> None:
    """A scored run in a results folder: answer, as Tesseract read it, as the template reader did."""
    run = results / "runs" / name
    run.mkdir(parents=True)
    (run / "metrics.json").write_text(json.dumps({"task": task, "dataset": "a set", "data": "miniature"}))
    (run / "config.json").write_text(json.dumps({"vocabulary": vocabulary}))
    pd.DataFrame(rows, columns=["answer", "answer_read", "template"]).assign(
        source="", question="", tesseract=""
    ).to_csv(run / "predictions.csv", index=False)


def test_errors_are_the_readers_or_the_models(tmp_path):
    a_run(
        tmp_path,
        "cifar10",
        "cifar10",
        [
            ("frog", "frog", "frog"),
            ("frog", "", "frog"),
            ("cat", "dog", "cat"),
            ("cat", "dog", "dog"),
            ("dog", "dog", "cat"),
        ],
        ["cat", "dog", "frog"],
    )
    a_run(
        tmp_path,
        "tinyvirat",
        "tinyvirat",
        [("Riding, activity_walking", "activity_walking, Riding", "Riding"), ("Riding", "", "")],
        ["Riding", "activity_walking"],
    )
    a_run(tmp_path, "lasot", "lasot", [], [])  # answers in boxes are not read as words
    table, figure = reading_against_model(tmp_path, tmp_path / "errors.png")
    assert table.index.tolist() == ["cifar10", "tinyvirat"]
    assert table.loc[
        "cifar10", ["n", "right", "reading_error", "model_error", "template", "clean"]
    ].tolist() == pytest.approx([5, 0.4, 0.4, 0.2, 0.6, 1])
    assert table.loc[
        "tinyvirat", ["n", "right", "reading_error", "model_error", "template", "clean"]
    ].tolist() == pytest.approx([2, 0.5, 0, 0.5, 0, 1])
    assert (table.right + table.reading_error + table.model_error).tolist() == pytest.approx([1, 1])
    assert [bar.get_width() for bar in figure.axes[0].patches] == pytest.approx([0.4, 0.5, 0.4, 0, 0.2, 0.5])
    assert (tmp_path / "errors.png").exists()


def test_a_word_that_tesseract_cannot_read(tmp_path):
    """Its own error: even a clean drawing is taken for another word of the vocabulary."""
    long = "internationalizations" * 3
    a_run(tmp_path, "tgifqa", "tgifqa", [(long, "cat", long), ("cat", "cat", "cat")], ["cat", long])
    table, _ = reading_against_model(tmp_path)
    assert table.loc["tgifqa", ["right", "reading_error", "clean"]].tolist() == [0.5, 0.5, 0.5]


def test_nothing_to_compare(tmp_path):
    with pytest.raises(EvlibError, match="expected runs that answer in words"):
        reading_against_model(tmp_path)
