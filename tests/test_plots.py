"""Pictures: one look, strips whose parts are told apart, films that move and stay small, galleries of a bounded
size."""

import base64
import io
import re

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from PIL import Image as Pillow

from evlib.frames.parts import Clip, Example, Image, Text
from evlib.frames.render import render_example, word_frame
from evlib.viz import plots


def words(*texts: str) -> np.ndarray:
    return np.stack([word_frame(text) for text in texts])


def noise(frames: int, seed: int = 0) -> np.ndarray:
    """What compresses worst."""
    return np.random.default_rng(seed).integers(0, 256, (frames, 64, 64, 3), dtype=np.uint8)


def sliding(frames: int) -> np.ndarray:
    """A bright square that moves 2 px a frame over green."""
    clip = np.full((frames, 64, 64, 3), (20, 120, 60), np.uint8)
    for t, frame in enumerate(clip):
        frame[20:40, 2 * t : 2 * t + 20] = (250, 220, 40)
    return clip


# ---- strips --------------------------------------------------------------------------------------------------------


def test_labels_say_what_is_input_and_what_is_not():
    inputs, outputs = words("a", "|"), words("green")
    picture = np.asarray(plots.strip(inputs, outputs, scale=1))
    top, left, right = (
        picture[:14].astype(int),
        slice(0, 130),
        slice(142, None),
    )  # the line of labels; the red line is between
    assert (top[:, left].min(axis=(0, 1)) < 150).all() and np.ptp(top[:, left], axis=-1).max() == 0  # gray words
    assert (top[:, right, 0] - top[:, right, 1]).max() > 100  # red ones: the network's
    true = np.asarray(plots.strip_of(render_example(Example([Text("a")], [Text("green")])), scale=1))
    assert true.shape == picture.shape and (true[14:] == picture[14:]).all() and (true[:14] != picture[:14]).any()


def test_the_true_answer_stands_under_the_drawn_one():
    picture = np.asarray(plots.film_strip(words("a", "|", "red"), 2, 1, labels={0: "a"}, true=words("green", "blue")))
    drawn, true = picture[16:80], picture[82:146]
    assert (drawn[:, 138:202] == word_frame("red")).all()
    assert (true[:, 138:202] == word_frame("green")).all() and (true[:, 204:268] == word_frame("blue")).all()
    assert (drawn[:, 204:268] == 255).all()  # nothing was drawn there
    red = (picture == plots.RED).all(axis=-1)
    assert red[:, 133:138].any(axis=1).all()  # the line passes both rows


def test_a_strip_without_input_has_no_boundary():
    picture = np.asarray(plots.film_strip(words("red", "green"), 0, scale=1))
    assert picture.shape == (68, 134, 3) and not (picture == plots.RED).all(axis=-1).any()
    assert (picture[2:66, 68:132] == word_frame("green")).all()


def test_captions_have_lines_and_room():
    frame = words("red")
    one, two = (
        plots.film_strip(frame, 1, scale=1, caption=text)
        for text in ("read", "read\nand a much longer line than the frame is wide")
    )
    assert two.height == one.height + 14 and two.width > 300 > one.width
    last = np.asarray(two)[-16:]
    assert (last < 100).any() and (last[:, -2:] == 255).all()  # drawn, and not cut off
    assert (np.asarray(plots.film_strip(frame, 1))[[0, -1]] == 255).all()  # a white card all around: dark pages show it


def test_a_page_wraps_and_has_a_title():
    strips = [plots.film_strip(words("red"), 1, scale=1)] * 5
    sheet = plots.page(strips, width=160)
    assert sheet.size == (2 * 68 + 8, 3 * 68)
    titled = plots.page(strips, width=160, title="five")
    assert titled.height == sheet.height + 18 and (np.asarray(titled.convert("RGB"))[:18] < 100).any()
    assert (np.asarray(titled.convert("RGB"))[18:] == np.asarray(sheet.convert("RGB"))).all()


# ---- films ---------------------------------------------------------------------------------------------------------


def seen(gif: bytes) -> tuple[Pillow.Image, list[np.ndarray]]:
    film = Pillow.open(io.BytesIO(gif))
    frames = []
    for t in range(film.n_frames):
        film.seek(t)
        frames.append(np.asarray(film.convert("RGB")).astype(int))
    return film, frames


def test_a_film_plays_side_by_side_for_ever():
    clip = sliding(10)
    gif = plots.animation(np.concatenate([clip, words("|")]), 255 - clip, caption="a square", true=clip)
    film, frames = seen(gif)
    assert film.format == "GIF" and film.n_frames == 10 and film.info["loop"] == 0 and film.info["duration"] == 300
    assert len(gif) < 30_000
    for t, frame in enumerate(frames):
        for x, panel in ((4, clip), (144, 255 - clip), (276, clip)):  # input, the red line, drawn, true
            shown = frame[18:146:2, x : x + 128 : 2]
            assert np.abs(shown - panel[t]).max() <= 8, (t, x)  # of 64 colors the nearest
    assert (
        frames[0].mean() > 50 and frames[0][18:146, 4:132].mean() > 50
    )  # the first, which a still shows, is not black


def test_a_word_stands_still_beside_a_clip():
    clip = sliding(6)
    film, frames = seen(plots.animation(np.concatenate([clip, words("|")]), words("green"), scale=1))
    assert film.n_frames == 6
    assert all(np.abs(frame[16:80, 72:136] - word_frame("green")).max() <= 40 for frame in frames)
    _, frames = seen(plots.animation(np.concatenate([clip, words("|")]), words("turning", "left"), scale=1))
    halves = [frame[16:80, 72:136] for frame in frames]
    assert all(
        np.abs(half - word_frame(word)).max() <= 40 for half, word in zip(halves, [*3 * ["turning"], *3 * ["left"]])
    )


@pytest.mark.parametrize("most", [100_000, 300_000])
def test_even_noise_stays_small(most):
    clip = noise(21)
    gif = plots.animation(clip, clip[:20], scale=3, true=noise(20, 1), most=most)
    film, frames = seen(gif)
    assert len(gif) <= most and film.n_frames >= 4
    assert film.n_frames * film.info["duration"] == pytest.approx(20 * 300, rel=0.01)  # fewer frames, each longer


def test_one_picture_is_a_film_of_one_frame():
    film, (frame,) = seen(plots.animation(words("frog", "|"), words("frog")))
    assert film.size == (276, 150)
    assert seen(plots.animation(words("frog", "|"), np.empty((0, 64, 64, 3), np.uint8)))[0].size == (
        136,
        136,
    )  # nothing was drawn


def test_a_notebook_shows_a_film():
    shown = plots.moving(np.concatenate([sliding(4), words("|")]), sliding(4), caption='is it <a> "frog"?')
    film, said = re.fullmatch(r'<img src="data:image/gif;base64,([^"]+)" alt="([^"]+)">', shown.data).groups()
    assert base64.b64decode(film).startswith(b"GIF89a") and said == "is it &lt;a&gt; &quot;frog&quot;?"


# ---- galleries -----------------------------------------------------------------------------------------------------


def test_a_mistake_shows_what_was_asked():
    inputs = np.concatenate([sliding(3), words("what", "is", "it", "?", "|")])
    picture = np.asarray(plots.mistake(inputs, "what is it?", words("cat"), words("dog"), "cat: WRONG"))
    assert (picture[2:66, 2:66] == sliding(3)[1]).all()  # the middle of the clip; no word of the question
    assert (picture[2:66, 72:136] == word_frame("cat")).all() and (picture[68:132, 72:136] == word_frame("dog")).all()
    assert picture.shape[0] == 2 + 2 * 66 + 2 * 14 + 2  # the question and the caption, as text
    review = np.asarray(plots.mistake(words("so", "so", "|"), "so so", words("cat"), words("dog"), "cat: WRONG"))
    assert (review[2:66, 2:66] == word_frame("cat")).all()  # of a text alone no frame is shown


def test_a_gallery_fits_its_bytes(tmp_path):
    plain = [plots.film_strip(sliding(1), 1, 1, str(i)) for i in range(12)]
    sheet = plots.errors(plain, "all of them", tmp_path / "small.png")
    assert Pillow.open(tmp_path / "small.png").size == sheet.size and sheet.size[0] > 840 - 76
    loud = [plots.film_strip(noise(3, i), 1, 1, str(i)) for i in range(10)]
    kept = plots.errors(loud, "some of them", tmp_path / "large.png")
    packed = (tmp_path / "large.png").stat().st_size
    assert 40_000 < packed <= 80_000 and len(kept.getcolors()) <= 64
    assert kept.height < plots.page(loud, title="x").height  # the last ones are left out
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


# ---- figures -------------------------------------------------------------------------------------------------------


@pytest.fixture
def figures(tmp_path) -> dict[str, plt.Figure]:
    """One of each kind."""
    run = tmp_path / "a run"
    run.mkdir()
    pd.DataFrame(
        {
            "step": [1, 2],
            "seconds": [60, 120],
            "loss": [0.5, 0.25],
            "frames_per_second": 9,
            "validation_ssim": [None, 0.75],
        }
    ).to_csv(run / "log.csv")
    (run / "config.json").write_text('{"train": {}}')
    counts = pd.DataFrame([[3, 1, 0], [0, 2, 0]], index=["cat", "dog"], columns=["cat", "dog", "(other)"])
    table = pd.DataFrame(
        {name: [1.0, 2.0] for name in ("psnr", "psnr_gray", "cdc", "cdc_true", "colorfulness", "colorfulness_true")}
    )
    result = {"iou_by_frame": [0.9], "first_box_by_frame": [1.0], "success": [1.0, 0.0], "success_auc": 0.5}
    return {
        "curves": plots.curves([run]),
        "many": plots.curves([run] * 8),
        "confusion": plots.confusion(counts, "two"),
        "bars": plots.bars({"a": 0.5}, "one"),
        "boxes": plots.boxes(result),
        "colors": plots.colors(table),
    }


def test_one_look(figures, tmp_path):
    assert {figure.get_figwidth() for figure in figures.values()} == {plots.WIDTH}
    for name, figure in figures.items():
        assert not any(axes.spines[side].get_visible() for axes in figure.axes for side in ("top", "right")), name
        assert to_hex(figure.get_facecolor()) == "#ffffff" and {
            axes.xaxis.label.get_color() for axes in figure.axes
        } == {"#222222"}
    assert [to_hex(line.get_color()) for line in figures["boxes"].axes[0].lines] == ["#0072b2", "#d55e00"]
    with plt.style.context("dark_background"):  # whatever else is set
        plots.bars({"a": 0.5}, "one", tmp_path / "bars.png")
    picture = np.asarray(Pillow.open(tmp_path / "bars.png").convert("RGBA"))
    assert (picture[[0, -1]] == 255).all() and picture.shape[1] == 8 * 110  # white and opaque to the edge
    assert plt.rcParams["axes.spines.top"] and plt.get_fignums() == []  # nobody else's settings are touched


def test_curves_show_the_log(figures):
    left, right = figures["curves"].axes
    assert left.lines[0].get_xydata().tolist() == [[1, 0.5], [2, 0.25]] and right.lines[0].get_xydata().tolist() == [
        [2, 0.75]
    ]
    assert [text.get_text() for text in left.get_legend().get_texts()] == ["a run"]
    lines = figures["many"].axes[0].lines
    assert len({(line.get_color(), line.get_linestyle()) for line in lines}) == 8  # more than colors: dashes
    assert figures["many"].axes[0].get_legend() is None and len(figures["many"].legends[0].get_texts()) == 8


def test_a_confusion_matrix_counts(figures):
    axes = figures["confusion"].axes[0]
    assert {(text.get_position(), text.get_text()) for text in axes.texts} == {
        ((0, 0), "3"),
        ((1, 0), "1"),
        ((1, 1), "2"),
    }
    assert [label.get_text() for label in axes.get_xticklabels()] == [
        "cat",
        "dog",
    ]  # "(other)" has none and is left out


def test_pictures_of_examples_of_every_kind():
    """What the notebooks do with an example."""
    for example, frames in (
        (Example([Text("a fresh story")], [Text("positive")]), 5),
        (Example([Image(sliding(1)[0])], [Text("frog")]), 3),
        (Example([Clip(sliding(20))], [Clip(sliding(20))]), 13),
    ):
        assert plots.strip_of(render_example(example), scale=1).size == (2 + 66 * frames + 4, 82)


def test_confusion_collects_what_is_no_class():
    true = ["cat"] * 4 + ["dog"] * 4 + ["frog"] * 2
    given = ["cat", "cat", "cat", "dog", "dog", "dog", "cat", "fog", "frog", ""]
    table = plots.confusion_counts(given, true, ["cat", "dog", "frog"])
    assert table.index.tolist() == ["cat", "dog", "frog"] and table.columns.tolist() == [
        "cat",
        "dog",
        "frog",
        "(other)",
    ]
    assert table.values.tolist() == [[3, 1, 0, 0], [1, 2, 0, 1], [0, 0, 1, 1]]
