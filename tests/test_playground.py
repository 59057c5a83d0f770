"""The playground: what it answers, what it plots, what it reports of bad files, and what its controls do."""

import json
import os
from datetime import datetime

import IPython.display
import ipywidgets
import nbformat
import numpy as np
import pytest
import soundfile
import torch
from PIL import Image as Pillow
from PIL import ImageColor

from evlib.config import preset
from evlib.data import tasks
from evlib.frames.boxes import render_box
from evlib.frames.parts import Audio, Clip, Example, Image, Text, Word
from evlib.frames.render import blank, word_frame
from evlib.model import NextFrame
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
    in_words,
    networks,
    plot_answer,
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
    seen, generated = video("a", "dull", "film", "|"), video("negative")
    picture = np.asarray(
        plot_answer(
            Prediction("negative", 1.0, "negative", {"negative": 1.0, "positive": 9.0}, generated, seen),
            np.full(4, 0.25),
        )
    )
    for i, frame in enumerate([*seen, *generated]):
        assert (picture[Y : Y + 64, X + i * STEP + 2 : X + i * STEP + 62] == frame[:, 2:62]).all(), i


def test_bars_are_as_long_as_the_attention_is_large():
    picture = plot_answer(
        Prediction("", 0.0, frames=video("x"), inputs=video("a", "b", "c", "|")), np.array([0.1, 0.2, 0.4, 0.3])
    )
    lengths = np.array([blue(picture, i) for i in range(4)])
    assert lengths[2] >= 15 and np.abs(lengths / lengths[2] - [0.25, 0.5, 1, 0.75]).max() < 0.1
    assert blue(picture, 4) == 0  # none under what was generated


def test_long_questions_go_on_in_a_second_row():
    words = [*"abcdefghijklmnopqrst", "|"]
    picture = plot_answer(Prediction("", 0.0, frames=video("x"), inputs=video(*words)), np.full(21, 1 / 21))
    assert picture.width < 12 * STEP + 20 and picture.height > 2 * (64 + BAR)
    assert blue(picture, 11) > 0 and blue(picture, 8, row=1) > 0 and blue(picture, 9, row=1) == 0


def test_of_a_long_clip_a_few_frames_are_shown_with_their_own_bars():
    clip = np.stack([np.full((64, 64, 3), 10 * t, dtype=np.uint8) for t in range(1, 11)])
    attention = np.zeros(11)
    attention[[0, 4, 9]] = 0.5, 0.3, 0.2  # of ten frames 0, 2, 4, 5, 7 and 9 are shown
    picture = plot_answer(Prediction("", 0.0, frames=clip, inputs=np.concatenate([clip, video("|")])), attention)
    assert [blue(picture, i) > 0 for i in range(7)] == [True, False, True, False, False, True, False]
    assert np.asarray(picture)[Y + 32, X + 2 * STEP + 32, 0] == 50


def shown_as(task: str, prediction: Prediction) -> tuple[str, str]:
    return in_words(prediction, tasks.get(task))


def test_words_are_shown_with_what_was_read():
    assert shown_as("cifar10", Prediction("dog", 0.5, "dgo")) == ("dog", "Tesseract reads “dgo”; legibility 0.50 of 1")
    assert shown_as("cifar10", Prediction("", 0.0)) == ("(nothing that can be read)", "")
    assert shown_as("tinyvirat", Prediction("riding, push, " * 20, 0.4))[0].endswith("...")


def test_frames_in_color_are_counted_and_not_measured():
    prediction = Prediction("10 frames in color (colorfulness 71.3)", 1.0, frames=np.zeros((10, 64, 64, 3), np.uint8))
    assert shown_as("colorization", prediction) == ("10 frames in color", "")


def test_a_track_is_shown_by_its_last_box():
    clear = np.full((64, 64, 3), 90, np.uint8)
    frames = np.stack([render_box(clear, (2, 3, 20, 20)), render_box(clear, (30, 20, 16, 24))])
    assert shown_as("lasot", Prediction("boxes", 1.0, frames=frames)) == (
        "box at 30,20,16,24 (x,y,w,h) in the last frame",
        "",
    )
    assert shown_as("lasot", Prediction("boxes", 1.0, frames=frames[::-1]))[0].startswith("box at 2,3,20,20 ")
    assert shown_as("lasot", Prediction("boxes", 0.0, frames=clear[None])) == ("no box in the last frame", "")


# ------------------------------------------------------------------------------------------------ answers


def test_a_sentence_is_answered(model):
    text, _, picture = answer_text(model("sst2"), "the plot is not dull")
    assert text and (np.asarray(picture)[Y : Y + 64, X + 2 : X + 62] == word_frame("the")[:, 2:62]).all()


def test_words_that_are_left_out_are_counted(model):
    network = model("sst2")
    _, details, picture = answer_text(network, "one two three " + "dull " * 20)
    assert "the first 3 words were left out: the network sees at most 20 frames" in details
    assert (np.asarray(picture)[Y : Y + 64, X + 2 : X + 62] == word_frame("dull")[:, 2:62]).all()
    assert "the first word was left out" in answer_text(network, "dull " * 21).details
    assert "left out" not in answer_text(network, "dull " * 20).details


def test_files_are_answered_like_their_content(model, tmp_path):
    def same(a, b):
        return a[:2] == b[:2] and (np.asarray(a.picture) == np.asarray(b.picture)).all()

    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Pillow.fromarray(pixels).save(tmp_path / "photo.png")
    cifar10 = model("cifar10")
    assert same(answer_image(cifar10, tmp_path / "photo.png"), answer(cifar10, Image(pixels)))
    soundfile.write(tmp_path / "four.wav", wave := np.sin(np.arange(4000) / 5) / 2, 8000, subtype="FLOAT")
    digits = model("audiomnist")
    sound = Audio(wave.astype(np.float32), 8000)
    assert same(answer_sound(digits, tmp_path / "four.wav"), answer(digits, sound))
    frames = [Pillow.fromarray(np.full((64, 64, 3), 20 * t, dtype=np.uint8)) for t in range(8)]
    frames[0].save(tmp_path / "own.gif", save_all=True, append_images=frames[1:])
    gifs = model("tgifqa", ["red", "dog"])
    by_file = answer_clip(gifs, tmp_path / "own.gif", "what is this ?")
    assert same(by_file, answer(gifs, gifs.task.clip(tmp_path / "own.gif"), Text("what is this ?")))


def test_what_follows_the_end_of_a_list_is_not_shown(model):
    frames = np.stack([word_frame("riding"), blank().pixels, word_frame("push"), word_frame("pull")])

    class Certain(Model):
        def predict(self, *parts):
            return Prediction("Riding", 1.0, "riding", frames=frames, inputs=video("a", "|"))

    run = model("tinyvirat", ["Riding"])
    picture = np.asarray(answer(Certain(run.net, run.config), Text("a")).picture)
    shown = picture[Y : Y + 64, X + 2 * STEP + 2 :]
    assert (shown[:, :60] == frames[0][:, 2:62]).all() and picture.shape[1] < X + 4 * STEP + 20


@pytest.mark.parametrize(
    "ask, sentence",
    [
        (lambda model: answer_text(model("sst2"), "  "), "The sentence is empty: type at least one word"),
        (lambda model: answer_clip(model("tgifqa", ["red"]), "x.gif", ""), "x.gif"),
        (
            lambda model: playground.answer_film(model("tgifqa", ["red"]), Clip(np.zeros((2, 64, 64, 3), np.uint8))),
            "tgifqa answers questions about films: ask one",
        ),
        (
            lambda model: answer_clip(model("lasot", []), "x.gif", box="1,2,three,4"),
            "The box '1,2,three,4' is not one: expected four numbers",
        ),
        (lambda model: answer_clip(model("lasot", []), "x.gif"), "a tracker must be told what to follow"),
    ],
)
def test_what_cannot_be_answered(model, ask, sentence):
    with pytest.raises(EvlibError, match=sentence):
        ask(model)


# ------------------------------------------------------------------------------------------------ networks


@pytest.fixture
def runs(make_run, tmp_path, monkeypatch):
    """runs("own", "sst2", 3) -> a run in own/runs, exported 3 s after 1970. What is in published/ counts as
    published."""
    monkeypatch.setattr(playground, "PUBLISHED", {tmp_path / "published": "", tmp_path / "real": " (real)"})

    def make(place: str, task: str, seconds: int = 0, name: str = "") -> None:
        run = make_run(task).rename(tmp_path / "a-run")
        (run / "model.safetensors").rename(weights := run / "model.fp16.safetensors")
        (run / "metrics.json").touch()
        os.utime(weights, (seconds, seconds))
        (tmp_path / place / "runs").mkdir(parents=True, exist_ok=True)
        run.rename(tmp_path / place / "runs" / (name or task))

    return make


def test_networks_come_from_own_runs_and_from_the_published_ones(runs, tmp_path):
    runs("own", "sst2", 1, "a-long-time-ago")
    runs("own", "sst2", 2, "yesterday")
    runs("published", "cifar10")
    runs("published", "sst2", 9)
    runs("published", "sst2", 9, "yesterday")
    models = networks(tmp_path / "own", log=pytest.fail)
    assert list(models) == ["yesterday", "a-long-time-ago", "cifar10", "sst2"]  # the newest of one's own first
    assert list(playground.suited(models, ["sst2"])) == ["yesterday", "a-long-time-ago", "sst2"]
    runs("real", "sst2")
    names = ["cifar10", "sst2", "yesterday", "sst2 (real)"]
    assert list(networks(tmp_path / "nothing", log=pytest.fail)) == names


def test_a_damaged_run_is_left_out(runs, tmp_path):
    runs("own", "sst2")
    runs("own", "cifar10")
    (tmp_path / "own/runs/cifar10/config.json").write_text("{")
    (tmp_path / "own/runs/figures-only").mkdir()
    lines = []
    models = networks(tmp_path / "own", log=lines.append)
    assert list(models) == ["sst2"] and models["sst2"].task.name == "sst2"
    assert len(lines) == 1 and "cifar10 is left out" in lines[0] and "config.json is damaged" in lines[0]


# ------------------------------------------------------------------------------------------------ controls


class Screen(list):
    """What was displayed: controls, and outputs that may be replaced."""

    def display(self, output, display_id=None):
        self.append(output)
        index = len(self) - 1
        return type("Handle", (), {"update": lambda _, output: self.__setitem__(index, output)})()


@pytest.fixture
def screen(monkeypatch):
    screen = Screen()
    monkeypatch.setattr(IPython.display, "display", screen.display)
    return screen


def controls(screen, kind):
    return [widget for widget in screen[0].children if isinstance(widget, kind)]


def choose(button, path):
    content = memoryview(path.read_bytes())
    about = {"name": path.name, "type": "", "size": len(content), "last_modified": datetime.now()}
    button.value = ({**about, "content": content},)


def frame(screen, index: int) -> np.ndarray:
    """An input frame of the picture that is shown, but for its edges."""
    return np.asarray(screen[2])[Y : Y + 64, X + index * STEP + 2 : X + index * STEP + 62]


def test_another_sentence_replaces_the_answer(model, screen):
    playground.ask_text({"sst2": model("sst2")}, "a dull film")
    (field,) = controls(screen, ipywidgets.Text)
    assert len(screen) == 3 and "<b>" in screen[1].data
    before = np.asarray(screen[2])
    field.value = "a charming film"
    assert len(screen) == 3 and (frame(screen, 1) == word_frame("charming")[:, 2:62]).all()
    assert (np.asarray(screen[2]) != before).any()
    field.value = ""
    assert screen[1].data == "<p>⚠ The sentence is empty: type at least one word.</p>" and screen[2].data == ""


def test_a_chosen_picture_replaces_the_example(model, screen, tmp_path):
    example = Example([Image(np.zeros((32, 32, 3), np.uint8))], [Word("dog")])
    playground.ask_image({"cifar10": model("cifar10")}, {"cifar10": example})
    assert (frame(screen, 0) == 0).all()
    (button,) = controls(screen, ipywidgets.FileUpload)
    Pillow.new("RGB", (50, 70), (0, 255, 0)).save(tmp_path / "green.png")
    choose(button, tmp_path / "green.png")
    assert (frame(screen, 0) == (0, 255, 0)).all()
    (tmp_path / "<i>no.png").write_text("not a picture")
    choose(button, tmp_path / "<i>no.png")
    assert "&lt;i&gt;no.png: expected a whole image file" in screen[1].data
    assert "/" not in screen[1].data.replace("</p>", "")


def test_a_button_promises_what_it_does(model, screen):
    """FileUpload opens a dialog; a file that is dropped on it is opened by the browser instead."""
    playground.ask_image({"cifar10": model("cifar10")}, {})
    (button,) = controls(screen, ipywidgets.FileUpload)
    assert button.description == "choose a picture" and button.tooltip.startswith("choose a file")
    assert "choose a file of your own" in screen[1].data
    assert not [text for text in (button.description, button.tooltip, screen[1].data) if "drop" in text]


CLIP = Clip(np.full((4, 64, 64, 3), 90, np.uint8))


def test_another_question_about_the_same_film(model, screen):
    example = Example([CLIP, Text("what is this ?")], [Word("dog")])
    playground.ask_clip({"tgifqa": model("tgifqa", ["red", "dog"])}, {"tgifqa": example})
    question, _ = controls(screen, ipywidgets.Text)
    assert (frame(screen, 4) == word_frame("what")[:, 2:62]).all()
    question.value = "where is the dog ?"
    assert (frame(screen, 4) == word_frame("where")[:, 2:62]).all()


def test_fields_that_a_network_ignores_are_hidden(model, screen):
    answers = {"tinyvirat": ["Riding"], "tgifqa": ["red", "dog"], "colorization": [], "lasot": []}
    models = {task: model(task, vocabulary) for task, vocabulary in answers.items()}
    playground.ask_clip(models, {})
    (network,), (question, box) = controls(screen, ipywidgets.Dropdown), controls(screen, ipywidgets.Text)
    visible = {}
    for network.value in models:
        visible[network.value] = [field.layout.display != "none" for field in (question, box)]
    assert visible == {
        "tinyvirat": [False, False], "tgifqa": [True, False], "colorization": [False, False], "lasot": [False, True],
    }  # fmt: skip


def test_another_box_in_the_same_film(model, screen):
    clip = Clip(CLIP.frames, [(4, 4, 8, 8), None, None, None])
    playground.ask_clip({"lasot": model("lasot", [])}, {"lasot": Example([clip], [])})
    _, box = controls(screen, ipywidgets.Text)
    assert (frame(screen, 0) == render_box(CLIP.frames[0], (4, 4, 8, 8))[:, 2:62]).all()
    box.value = "20,20,30,30"
    assert (frame(screen, 0) == render_box(CLIP.frames[0], (20, 20, 30, 30))[:, 2:62]).all()
    box.value = "20,20"
    assert "expected four numbers" in screen[1].data


def test_without_a_network_it_says_how_to_get_one(screen, capsys):
    playground.ask_sound({}, {})
    assert "run ./reproduce.sh" in capsys.readouterr().out and not screen


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
    output = nbformat.v4.new_output("display_data", {"text/html": "<b>positive</b>"})
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell("ask()", outputs=[view, output])], metadata={"widgets": {"state": {}}}
    )
    nbformat.write(notebook, tmp_path / "n.ipynb")
    _tidy(tmp_path / "n.ipynb")
    written = json.loads((tmp_path / "n.ipynb").read_text())
    assert "widget" not in json.dumps(written) and len(written["cells"][0]["outputs"]) == 1


# ------------------------------------------------------------------------------------------------ one network for all


@pytest.fixture(scope="module")
def joint() -> Model:
    """A tiny network that was never trained, on all tasks."""
    torch.manual_seed(0)
    net = NextFrame(preset("demo").override(width=32, heads=1, global_blocks=1).model)
    known = {name: task.answer.vocabulary(["red", "dog"]) for name, task in tasks.TASKS.items()}
    return Model(net, {"task": "+".join(tasks.TASKS), "store": {"vocabulary": known}})


def test_one_network_for_all_can_be_chosen(joint, model, screen):
    playground.ask_text({"all": joint, "sst2": model("sst2")}, "a dull film")
    (menu,) = controls(screen, ipywidgets.Dropdown)
    assert menu.options == ("sst2", "all")
    menu.value = "all"
    assert "<b>" in screen[1].data


def test_a_film_is_answered_as_it_is_asked(joint, screen):
    """A question, a box or neither decides which example is shown and how the answer is read."""
    gray, box = Clip(np.full((6, 64, 64, 3), 90, np.uint8)), (4, 4, 20, 20)
    boxed = Clip(np.full((3, 64, 64, 3), (9, 9, 90), np.uint8), [box, None, None])
    red = Clip(np.full((3, 64, 64, 3), (90, 9, 9), np.uint8))
    shown = {
        "tinyvirat": Example([red], []),
        "clevrer": Example([gray, Text("is it dull ?")], []),
        "lasot": Example([boxed], []),
    }
    playground.ask_clip({"all": joint}, shown)
    question, target = controls(screen, ipywidgets.Text)
    assert question.layout.display is None and target.layout.display is None
    assert (frame(screen, 0) == (90, 9, 9)).all()
    question.value = "what color ?"
    assert (frame(screen, 6) == word_frame("what")[:, 2:62]).all()
    question.value, target.value = "", "4,4,20,20"
    assert "in the last frame" in screen[1].data
    assert "frames in color" in answer(joint, gray).answer


def test_a_film_is_read_as_its_task_reads_it(joint, tmp_path):
    """Of the networks for films, a gray one's colors are asked for, whatever the order of the tasks."""
    gray = [Pillow.fromarray(np.full((64, 64, 3), 9 * t, np.uint8)) for t in range(12)]
    red = [Pillow.fromarray(np.full((64, 64, 3), (9 * t, 0, 0), np.uint8)) for t in range(5, 17)]
    for name, frames in (("gray", gray), ("red", red)):
        frames[0].save(tmp_path / f"{name}.gif", save_all=True, append_images=frames[1:])
    other_order = Model(joint.net, {**joint.config, "task": "colorization+tinyvirat"})
    for network in (joint, other_order):
        assert "frames in color" in answer_clip(network, tmp_path / "gray.gif").answer
        assert "frames in color" not in answer_clip(network, tmp_path / "red.gif").answer
    assert answer_clip(joint, tmp_path / "red.gif", question="what color ?").answer
    assert "in the last frame" in answer_clip(joint, tmp_path / "red.gif", box="4,4,20,20").answer
    with pytest.raises(EvlibError, match="none of these takes a video and a question and a box"):
        answer_clip(joint, tmp_path / "red.gif", question="what color ?", box="4,4,20,20")


def test_a_sound_and_a_picture_need_no_other_network(joint, screen):
    sound, picture = Audio(np.zeros(8000, np.float32), 8000), Image(np.zeros((32, 32, 3), np.uint8))
    shown = {"audiomnist": Example([sound], []), "cifar10": Example([picture], [])}
    for ask in (playground.ask_sound, playground.ask_image):
        ask({"all": joint}, shown)
    assert screen[1].data.startswith("<p><b>") and screen[4].data.startswith("<p><b>")
