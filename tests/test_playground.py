"""The playground: what it answers, what it draws, what it says to files that are none, and what its controls do."""

import json
from datetime import datetime

import IPython.display
import ipywidgets
import nbformat
import numpy as np
import pytest
import soundfile
from PIL import Image as Pillow
from PIL import ImageColor

from evlib.frames.parts import Audio, Clip, Example, Image, Text
from evlib.frames.render import blank, word_frame
from evlib.paper import playground
from evlib.paper.playground import (
    BAR,
    BLUE,
    GAP,
    STEP,
    TOP,
    answer,
    answer_clip,
    answer_image,
    answer_sound,
    answer_text,
    as_file,
    draw_answer,
    in_words,
    networks,
)
from evlib.paper.runner import _tidy
from evlib.scoring.predict import Model, Prediction, load
from evlib.utils.errors import EvlibError

pytestmark = pytest.mark.usefixtures("one_thread")
X, Y = 2 * GAP, TOP  # px, where the first frame stands


@pytest.fixture
def model(make_run):
    return lambda task, *more: load(make_run(task, *more))


def video(*words: str) -> np.ndarray:
    return np.stack([word_frame(word) for word in words])


def blue(picture: Pillow.Image, frame: int, row: int = 0) -> int:
    """Pixels of the bar that hangs from a frame, in its middle column but one, where no number stands over it."""
    top = Y + row * (64 + BAR + 4 * GAP) + 64
    column = np.asarray(picture)[top : top + BAR, X + frame * STEP + 4]
    return int((np.abs(column.astype(int) - ImageColor.getrgb(BLUE)).sum(axis=1) < 30).sum())


# ------------------------------------------------------------------------------------------------ the picture


def test_the_picture_shows_the_frames_themselves():
    seen, drawn = video("a", "dull", "film", "|"), video("negative")
    picture = np.asarray(
        draw_answer(
            Prediction("negative", 1.0, "negative", {"negative": 1.0, "positive": 9.0}, drawn, seen), np.full(4, 0.25)
        )
    )
    for i, frame in enumerate([*seen, *drawn]):
        assert (picture[Y : Y + 64, X + i * STEP + 2 : X + i * STEP + 62] == frame[:, 2:62]).all(), i


def test_bars_are_as_long_as_the_attention_is_large():
    picture = draw_answer(
        Prediction("", 0.0, frames=video("x"), inputs=video("a", "b", "c", "|")), np.array([0.1, 0.2, 0.4, 0.3])
    )
    lengths = np.array([blue(picture, i) for i in range(4)])
    assert lengths[2] >= 15 and np.abs(lengths / lengths[2] - [0.25, 0.5, 1, 0.75]).max() < 0.1
    assert blue(picture, 4) == 0  # none under what was drawn


def test_long_questions_go_on_in_a_second_row():
    words = [*"abcdefghijklmnopqrst", "|"]
    picture = draw_answer(Prediction("", 0.0, frames=video("x"), inputs=video(*words)), np.full(21, 1 / 21))
    assert picture.width < 12 * STEP + 20 and picture.height > 2 * (64 + BAR)
    assert blue(picture, 11) > 0 and blue(picture, 8, row=1) > 0 and blue(picture, 9, row=1) == 0


def test_of_a_long_clip_a_few_frames_are_shown_with_their_own_bars():
    clip = np.stack([np.full((64, 64, 3), 10 * t, dtype=np.uint8) for t in range(1, 11)])
    attention = np.zeros(11)
    attention[[0, 4, 9]] = 0.5, 0.3, 0.2  # of ten frames 0, 2, 4, 5, 7 and 9 are shown
    picture = draw_answer(Prediction("", 0.0, frames=clip, inputs=np.concatenate([clip, video("|")])), attention)
    assert [blue(picture, i) > 0 for i in range(7)] == [True, False, True, False, False, True, False]
    assert np.asarray(picture)[Y + 32, X + 2 * STEP + 32, 0] == 50


def test_words():
    assert in_words(Prediction("dog", 0.5, "dgo")) == "dog; Tesseract reads “dgo”, legibility 0.50 of 1"
    assert in_words(Prediction("", 0.0)) == "(nothing that can be read)"
    assert in_words(Prediction("1,2,3,4; " * 20, 0.4)).endswith("...")


# ------------------------------------------------------------------------------------------------ answers


def test_a_sentence_is_answered(model):
    words, picture = answer_text(model("sst2"), "the plot is not dull")
    assert words and (np.asarray(picture)[Y : Y + 64, X + 2 : X + 62] == word_frame("the")[:, 2:62]).all()


def test_files_are_answered_like_their_content(model, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Pillow.fromarray(pixels).save(tmp_path / "photo.png")
    cifar10 = model("cifar10")
    assert answer_image(cifar10, tmp_path / "photo.png").words == answer(cifar10, Image(pixels)).words
    soundfile.write(tmp_path / "four.wav", wave := np.sin(np.arange(4000) / 5) / 2, 8000, subtype="FLOAT")
    digits = model("audiomnist")
    assert (
        answer_sound(digits, tmp_path / "four.wav").words == answer(digits, Audio(wave.astype(np.float32), 8000)).words
    )
    frames = [Pillow.fromarray(np.full((64, 64, 3), 20 * t, dtype=np.uint8)) for t in range(8)]
    frames[0].save(tmp_path / "own.gif", save_all=True, append_images=frames[1:])
    gifs = model("tgifqa", 1, ["red", "dog"])
    assert (
        answer_clip(gifs, tmp_path / "own.gif", "what is this ?").words
        == answer(gifs, gifs.task.clip(tmp_path / "own.gif"), Text("what is this ?")).words
    )


def test_what_follows_the_end_of_a_list_is_not_shown(make_run):
    frames = np.stack([word_frame("riding"), blank().pixels, word_frame("push"), word_frame("pull")])

    class Certain(Model):
        def predict(self, *parts):
            return Prediction("Riding", 1.0, "riding", frames=frames, inputs=video("a", "|"))

    run = load(make_run("tinyvirat", 8, ["Riding"]))
    picture = np.asarray(answer(Certain(run.net, run.config), Text("a")).picture)
    shown = picture[Y : Y + 64, X + 2 * STEP + 2 :]
    assert (shown[:, :60] == frames[0][:, 2:62]).all() and picture.shape[1] < X + 4 * STEP + 20


@pytest.mark.parametrize(
    "asked, sentence",
    [
        (lambda model: answer_text(model("sst2"), "  "), "The sentence is empty: type at least one word"),
        (lambda model: answer_clip(model("tgifqa", 1, ["red"]), "x.gif", ""), "x.gif"),
        (
            lambda model: playground.answer_film(model("tgifqa", 1, ["red"]), Clip(np.zeros((2, 64, 64, 3), np.uint8))),
            "tgifqa answers questions about films: ask one",
        ),
        (
            lambda model: answer_clip(model("lasot", 20, []), "x.gif", box="1,2,three,4"),
            "The box '1,2,three,4' is not one: expected four numbers",
        ),
        (lambda model: answer_clip(model("lasot", 20, []), "x.gif"), "a tracker must be told what to follow"),
    ],
)
def test_what_cannot_be_asked(model, asked, sentence):
    with pytest.raises(EvlibError, match=sentence):
        asked(model)


# ------------------------------------------------------------------------------------------------ networks


def test_the_runs_that_are_there(make_run, tmp_path):
    for task in ("sst2", "cifar10"):
        (tmp_path / "runs").mkdir(exist_ok=True)
        make_run(task).rename(tmp_path / "runs" / task)
    (tmp_path / "runs/cifar10/config.json").write_text("{")
    (tmp_path / "runs/figures-only").mkdir()
    said = []
    models = networks(tmp_path, log=said.append)
    assert list(models) == ["sst2"] and models["sst2"].task.name == "sst2"
    assert len(said) == 1 and "cifar10 is left out" in said[0] and "config.json is damaged" in said[0]


def test_one_learns_to_read_where_none_can(miniature, tmp_path, monkeypatch):
    monkeypatch.setattr(playground, "here", lambda path: miniature if path == ".miniatures" else path)
    said = []
    models = networks(tmp_path / "nothing", minutes=1 / 60, log=said.append)
    assert "one learns it now, in about 1 seconds" in said[0] and not (tmp_path / "nothing").exists()
    assert answer_text(models["sst2"], "a charming film").words
    said.clear()
    networks(tmp_path / "nothing", minutes=1 / 60, log=said.append)
    assert any("already trained" in line for line in said)


# ------------------------------------------------------------------------------------------------ controls


class Screen(list):
    """What was displayed: controls, and outputs that may be replaced."""

    def display(self, output, display_id=None):
        self.append(output)
        place = len(self) - 1
        return type("Handle", (), {"update": lambda _, output: self.__setitem__(place, output)})()


@pytest.fixture
def screen(monkeypatch):
    screen = Screen()
    monkeypatch.setattr(IPython.display, "display", screen.display)
    return screen


def controls(screen, kind):
    return [widget for widget in screen[0].children if isinstance(widget, kind)]


def drop(button, path):
    content = path.read_bytes()
    button.value = (
        {
            "name": path.name,
            "type": "",
            "size": len(content),
            "content": memoryview(content),
            "last_modified": datetime.now(),
        },
    )


def test_another_sentence_replaces_the_answer(model, screen):
    playground.ask_text({"sst2": model("sst2")}, "a dull film")
    (field,) = controls(screen, ipywidgets.Text)
    assert len(screen) == 3 and "<b>" in screen[1].data
    before = np.asarray(screen[2])
    field.value = "a charming film"
    assert (
        len(screen) == 3
        and (np.asarray(screen[2])[Y : Y + 64, X + STEP + 2 : X + STEP + 62] == word_frame("charming")[:, 2:62]).all()
    )
    assert (np.asarray(screen[2]) != before).any()
    field.value = ""
    assert screen[1].data == "<p>⚠ The sentence is empty: type at least one word.</p>" and screen[2].data == ""


def test_a_picture_that_is_dropped_replaces_the_example(model, screen, tmp_path):
    example = Example([Image(np.zeros((32, 32, 3), np.uint8))], [Text("dog")])
    playground.ask_image({"cifar10": model("cifar10")}, {"cifar10": example})
    assert (np.asarray(screen[2])[Y : Y + 64, X + 2 : X + 62] == 0).all()
    (button,) = controls(screen, ipywidgets.FileUpload)
    Pillow.new("RGB", (50, 70), (0, 255, 0)).save(tmp_path / "green.png")
    drop(button, tmp_path / "green.png")
    assert (np.asarray(screen[2])[Y : Y + 64, X + 2 : X + 62] == (0, 255, 0)).all()
    (tmp_path / "<i>no.png").write_text("not a picture")
    drop(button, tmp_path / "<i>no.png")
    assert "&lt;i&gt;no.png: expected a whole image file" in screen[1].data and "/" not in screen[1].data.replace(
        "</p>", ""
    )


def test_another_question_about_the_same_film(model, screen):
    clip = Clip(np.full((4, 64, 64, 3), 90, np.uint8))
    playground.ask_clip(
        {"tgifqa": model("tgifqa", 1, ["red", "dog"])},
        {"tgifqa": Example([clip, Text("what is this ?")], [Text("dog")])},
    )
    question, _box = controls(screen, ipywidgets.Text)
    words = {}
    for asked in ("", "where is the dog ?"):
        question.value = asked
        words[asked] = np.asarray(screen[2])[Y : Y + 64, X + 4 * STEP + 2 : X + 4 * STEP + 62]
    assert (words[""] == word_frame("what")[:, 2:62]).all() and (
        words["where is the dog ?"] == word_frame("where")[:, 2:62]
    ).all()


def test_without_a_network_it_says_how_to_get_one(screen, capsys):
    playground.ask_sound({}, {})
    assert "run 07_audio_to_text_audiomnist first" in capsys.readouterr().out and not screen


def test_without_an_example_it_asks_for_a_file(model, screen):
    playground.ask_sound({"audiomnist": model("audiomnist")}, {})
    assert "drop a file of your own" in screen[1].data


@pytest.mark.parametrize("name", ["cat.png", "../../cat.png", "cat", "", ".", "a" * 400 + ".png", "cat.p/ng"])
def test_uploads_keep_to_their_folder(name):
    with as_file(name, b"abc") as path:
        assert path.read_bytes() == b"abc" and path.name.startswith("upload")
    assert not path.exists()


# ------------------------------------------------------------------------------------------------ what is stored


def test_a_stored_notebook_holds_no_controls(tmp_path):
    view = nbformat.v4.new_output(
        "display_data", {"application/vnd.jupyter.widget-view+json": {"model_id": "1"}, "text/plain": "VBox()"}
    )
    kept = nbformat.v4.new_output("display_data", {"text/html": "<b>positive</b>"})
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell("ask()", outputs=[view, kept])], metadata={"widgets": {"state": {}}}
    )
    nbformat.write(notebook, tmp_path / "n.ipynb")
    _tidy(tmp_path / "n.ipynb")
    stored = json.loads((tmp_path / "n.ipynb").read_text())
    assert "widget" not in json.dumps(stored) and len(stored["cells"][0]["outputs"]) == 1
