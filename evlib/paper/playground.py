"""Ask a trained network something of your own: a sentence, a picture, a sound, a film.

    models = networks("results/demo")                       # the runs that are there
    answer_text(models["sst2"], "the plot is not dull")     # -> Answer(words, picture)
    ask_text(models, "the plot is not dull")                # the same in Jupyter, with a field to type into

Every `answer_*` is a plain function. Every `ask_*` shows its answer as an ordinary output, which the controls above it
replace: so a stored notebook holds a picture and no widget.
"""

from __future__ import annotations

import html
import re
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
import torch
from PIL import Image as Pillow

from evlib import synthetic
from evlib.data import tasks
from evlib.data.encode import encode
from evlib.frames.audio import read_sound
from evlib.frames.boxes import parse_box
from evlib.frames.image import SIZE, read_image
from evlib.frames.parts import Audio, Clip, Example, Image, Part, Text
from evlib.frames.render import tokenize
from evlib.scoring.answers import until_blank
from evlib.scoring.predict import Model, Prediction, load
from evlib.training import checkpoint as stored
from evlib.training.train import train
from evlib.utils.errors import EvlibError
from evlib.utils.paths import here
from evlib.viz import plots
from evlib.viz.attention import temporal

# What can be asked -> the tasks whose networks have learnt it, and the notebook that trains the first of them.
SENTENCES, PICTURES, SOUNDS = ("sst2",), ("cifar10",), ("audiomnist", "fsdd")
FILMS = ("tinyvirat", "tgifqa", "clevrer", "colorization", "lasot")
TRAINED_BY = {
    "sst2": "01_text_to_text_sst2",
    "cifar10": "02_image_to_text_cifar10",
    "tinyvirat": "03_video_to_text_tinyvirat",
    "audiomnist": "07_audio_to_text_audiomnist",
}
LARGEST = "10 MB; under ./reproduce.sh lab 200 MB"  # what Jupyter passes on in one piece

GAP, TOP = 2, 16  # px between frames, and above them
STEP = SIZE + GAP  # px from frame to frame
BAR, WORD, BESIDE = 34, 17, 200  # px: the bars of attention, the bar of a word, all that is beside the frames
IN_A_ROW = 12  # frames
NEAREST = 5  # words with a bar
DPI = 100
BLUE, ORANGE, RED = "#0072b2", "#d55e00", "#d62728"


class Answer(NamedTuple):
    words: str  # the answer, what was read, how clearly
    picture: Pillow.Image  # frames seen, with the attention on each; frames drawn; the nearest words


# ---------------------------------------------------------------------------------------------- answers


def answer(model: Model, *parts: Part) -> Answer:
    """What a network says to some parts, and where it looked while it drew the first frame of its answer."""
    prediction = model.predict(*parts)
    if model.task.answers.variable_length:  # the length is drawn, too: what follows its end is no answer
        prediction = replace(prediction, frames=prediction.frames[: len(until_blank(prediction.frames)) + 1])
    seen = torch.from_numpy(prediction.inputs).movedim(-1, -3)[None].to(next(model.net.parameters()).device)
    return Answer(in_words(prediction), draw_answer(prediction, temporal(model.net, seen)[0].cpu().numpy()))


def answer_text(model: Model, sentence: str) -> Answer:
    """EvlibError if there is no word in the sentence, or more frames than the network can see."""
    if not tokenize(sentence):
        raise EvlibError("The sentence is empty: type at least one word.")
    return answer(model, Text(sentence))


def answer_image(model: Model, path: str | Path) -> Answer:
    """The answer to an image file; EvlibError names a file that cannot be read. So do the next two."""
    return answer(model, Image(read_image(path)))


def answer_sound(model: Model, path: str | Path) -> Answer:
    return answer(model, Audio(*read_sound(path)))


def answer_clip(model: Model, path: str | Path, question: str = "", box: str = "") -> Answer:
    """`question` where the task answers one; `box` is x,y,w,h of a target in the film's own pixels, where it follows one."""
    clip = model.task.clip(path, parse_box(box) if model.task.answers.needs_box and box else None)
    return answer_film(model, clip, question)


def answer_film(model: Model, clip: Clip, question: str = "") -> Answer:
    """The answer to a clip as the task shows it; the question is left out where the task answers none."""
    if not model.task.answers.has_question:
        return answer(model, clip)
    if not tokenize(question):
        raise EvlibError(f"{model.task.name} answers questions about films: ask one.")
    return answer(model, clip, Text(question))


def in_words(prediction: Prediction) -> str:
    said = textwrap.shorten(prediction.answer or "(nothing that can be read)", 60, placeholder=" ...")
    return (
        f"{said}; Tesseract reads “{prediction.read}”, legibility {prediction.score:.2f} of 1"
        if prediction.read
        else said
    )


# ---------------------------------------------------------------------------------------------- the picture


def draw_answer(prediction: Prediction, attention: np.ndarray) -> Pillow.Image:
    """Input frames with a bar of attention under each, a red line, the drawn frames; beside them the words drawn most alike.

    attention: float (T,), one share a frame of prediction.inputs, adding up to 1. Of long clips a few frames are shown.
    """
    clip, drawn = prediction.inputs[:-1], prediction.frames
    kept, last = few(clip), len(clip)
    frames = [*clip[kept], prediction.inputs[last], *drawn[few(drawn)]]
    shares = [*attention[kept], attention[last]]
    words = list(prediction.runners_up.items())[:NEAREST]

    starts = range(0, len(frames), IN_A_ROW)
    heights = [SIZE + (BAR if start < len(shares) else 0) + 4 * GAP for start in starts]
    height = max(sum(heights), TOP + WORD * len(words)) + TOP
    across = min(len(frames), IN_A_ROW) * STEP + 4 * GAP
    figure = plt.figure(figsize=((across + (BESIDE if words else 0)) / DPI, height / DPI), dpi=DPI)

    def place(x: float, y: float, w: float, h: float) -> plt.Axes:
        """Axes at pixels, counted from the upper left corner."""
        return figure.add_axes((x / figure.bbox.width, 1 - (y + h) / height, w / figure.bbox.width, h / height))

    for start, below in zip(starts, np.cumsum([TOP, *heights])):
        row, seen = frames[start : start + IN_A_ROW], shares[start : start + IN_A_ROW]
        _frames(place(2 * GAP, below, len(row) * STEP, SIZE), row, len(shares) - start, "" if start else "input")
        if seen:
            _bars(place(2 * GAP, below + SIZE, len(seen) * STEP, BAR), seen, max(shares))
    if words:
        _nearest(place(across + BESIDE / 2, TOP, BESIDE / 2 - 4 * GAP, WORD * len(words)), words)
    figure.canvas.draw()
    picture = Pillow.fromarray(np.asarray(figure.canvas.buffer_rgba())[..., :3].copy())
    plt.close(figure)
    return picture


def few(frames: np.ndarray) -> np.ndarray:
    """Which frames are shown: those that `plots.thin` keeps."""
    return np.linspace(0, len(frames) - 1, len(plots.thin(frames))).round().astype(int) if len(frames) else np.arange(0)


def _frames(axes: plt.Axes, frames: Sequence[np.ndarray], n_in: int, label: str) -> None:
    for i, frame in enumerate(frames):
        axes.imshow(frame, extent=(i * STEP, i * STEP + SIZE, SIZE, 0), interpolation="nearest")
    if 0 <= n_in < len(frames):
        axes.axvline(n_in * STEP - GAP / 2, -0.06, 1.06, color=RED, linewidth=2.5, clip_on=False)
    for i, text, colour in ((0, label, "dimgray"), (n_in, "predicted", RED)):
        if 0 <= i < len(frames):
            axes.text(i * STEP, -4, text, fontsize=7, color=colour)
    axes.set(xlim=(0, len(frames) * STEP), ylim=(SIZE, 0))
    axes.axis("off")


def _bars(axes: plt.Axes, shares: Sequence[float], largest: float) -> None:
    """Bars that hang from the frames above them: the attention on each."""
    centres = np.arange(len(shares)) * STEP + SIZE / 2
    axes.bar(centres, shares, width=SIZE, color=BLUE)
    for x, share in zip(centres, shares):
        axes.text(x, share + 0.05 * largest, f"{share:.0%}", ha="center", va="top", fontsize=7)
    axes.text(len(shares) * STEP, 0.05 * largest, " attention", va="top", fontsize=7, color="dimgray", clip_on=False)
    axes.set(xlim=(0, len(shares) * STEP), ylim=(1.7 * largest, -0.1 * largest))
    axes.axis("off")


def _nearest(axes: plt.Axes, words: list[tuple[str, float]]) -> None:
    """A bar a word: the smallest distance of all, as a share of this word's."""
    least = max(words[0][1], 1e-6)
    axes.barh(
        [word for word, _ in words],
        [least / max(distance, least) for _, distance in words],
        height=0.7,
        color=[ORANGE, *["silver"] * (len(words) - 1)],
    )
    axes.set(xlim=(0, 1), ylim=(len(words) - 0.5, -0.5), xticks=[])
    axes.set_title("drawn most alike", fontsize=7, color="dimgray", pad=3)
    axes.tick_params(labelsize=8, length=0)
    axes.spines[:].set_visible(False)


# ---------------------------------------------------------------------------------------------- networks, examples


def networks(results: str | Path, minutes: float = 1.0, log: Callable[[str], None] = print) -> dict[str, Model]:
    """The trained networks under results/runs, by the name of their run. Where none can read a sentence, one learns to, on the
    miniature of SST-2, in so many minutes; it is kept beside the miniatures, apart from the results."""
    models = {}
    for run in sorted(here(results).glob("runs/*")):
        if any((run / name).is_file() for name in ("model.safetensors", stored.NAME)):
            try:
                model = load(run)
                tasks.get(
                    model.config["task"]
                )  # one that this version does not know is an error now, not when it is asked
                models[run.name] = model
            except EvlibError as error:
                log(f"{run.name} is left out: {error}")
    if not suited(models, SENTENCES):
        log(
            f"No network that reads sentences under {results}: one learns it now, in about {60 * minutes:.0f} seconds (./reproduce.sh trains all of them)."
        )
        task, data = tasks.get("sst2"), here(".miniatures")
        synthetic.write(data, names=["sst2"], log=lambda line: None)
        run = train(
            task.config("demo", minutes=minutes),
            encode(task, data, log=log),
            data / ".evlib" / f"playground-{minutes:g}-minutes",
            log=log,
        )
        models["sst2"] = load(run)
    return models


def suited(models: dict[str, Model], names: Sequence[str]) -> dict[str, Model]:
    """The networks of these tasks, in the order of the tasks."""
    return {run: model for name in names for run, model in models.items() if model.task.name == name}


def examples(found: Iterable[tasks.Task], data: Path, row: int = 0) -> dict[str, Example]:
    """A test example of each task, by the task's name."""

    def of(task: tasks.Task) -> Example:
        tests = (item for item in task.items(task.root(data)) if item.split == "test")
        return next(item for i, item in enumerate(tests) if i == row).load()

    return {task.name: of(task) for task in found}


# ---------------------------------------------------------------------------------------------- controls


def ask_text(models: dict[str, Model], sentence: str) -> None:
    """Shows a field for a sentence, and the answer to it."""
    field = _field("sentence", sentence)
    _live(models, SENTENCES, [field], lambda model: answer_text(model, field.value))


def ask_image(models: dict[str, Model], shown: dict[str, Example]) -> None:
    """Shows a button for a picture of your own, and the answer to it; until there is one, to the example `shown` for the task."""
    file = _button("a picture", "image/*")
    _live(
        models,
        PICTURES,
        [file],
        lambda model: _of_file(file, answer_image, model) or answer(model, *_example(shown, model)),
    )


def ask_sound(models: dict[str, Model], shown: dict[str, Example]) -> None:
    """The same for a sound."""
    file = _button("a sound", ".wav,.flac,.ogg,.mp3")
    _live(
        models,
        SOUNDS,
        [file],
        lambda model: _of_file(file, answer_sound, model) or answer(model, *_example(shown, model)),
    )


def ask_clip(models: dict[str, Model], shown: dict[str, Example]) -> None:
    """The same for a film, with a question or the box of a target for the networks that need one."""
    file, question, box = _button("a film", "video/*,.gif,.avi,.mkv"), _field("question"), _field("box x,y,w,h")

    def look(model: Model) -> Answer:
        if file.value:
            return _of_file(file, answer_clip, model, question.value, box.value)
        clip, *own = _example(shown, model)
        return answer_film(model, clip, question.value or " ".join(part.text for part in own))

    _live(models, FILMS, [file, question, box], look)


def _live(models: dict[str, Model], names: Sequence[str], controls: list, look: Callable[[Model], Answer]) -> None:
    """Shows a choice of networks, the controls, and what `look` answers; again whenever one of them changes."""
    import ipywidgets
    from IPython.display import display

    choice = suited(models, names)
    if not choice:
        print(f"No network has learnt this yet: run {TRAINED_BY[names[0]]} first, or ./reproduce.sh.")
        return
    network = ipywidgets.Dropdown(options=list(choice), description="network")
    display(ipywidgets.VBox([network, *controls]))
    handles = [display(output, display_id=True) for output in _outputs(look, choice[network.value])]

    def again(_change) -> None:
        for handle, output in zip(handles, _outputs(look, choice[network.value])):
            handle.update(output)

    for control in (network, *controls):
        control.observe(again, names="value")


def _outputs(look: Callable[[Model], Answer], model: Model) -> tuple:
    """Words and picture for display; or the one sentence that says what is wrong."""
    from IPython.display import HTML

    try:
        started = time.perf_counter()
        words, picture = look(model)
    except EvlibError as error:
        return HTML(f"<p>⚠ {html.escape(str(error))}</p>"), HTML("")
    said, *rest = (html.escape(part) for part in words.split("; Tesseract", 1))
    return HTML(
        f"<p><b>{said}</b>{''.join(f'; Tesseract{part}' for part in rest)}; {time.perf_counter() - started:.1f} s</p>"
    ), picture


def _field(description: str, value: str = ""):
    import ipywidgets

    return ipywidgets.Text(
        value=value,
        description=description,
        placeholder="type, then press Enter",
        continuous_update=False,
        layout=ipywidgets.Layout(width="36em"),
    )


def _button(what: str, accept: str):
    import ipywidgets

    return ipywidgets.FileUpload(description=what, accept=accept, tooltip=f"{what} of your own, up to {LARGEST}")


def _example(shown: dict[str, Example], model: Model) -> list[Part]:
    if model.task.name not in shown:
        raise EvlibError(
            f"There is no data of {model.task.name} to show an example of: drop a file of your own on the button."
        )
    return shown[model.task.name].inputs


def _of_file(button, of: Callable[..., Answer], model: Model, *more) -> Answer | None:
    """The answer to what was dropped on a button; None if nothing was."""
    if not button.value:
        return None
    upload = button.value[0]
    with as_file(upload["name"], bytes(upload["content"])) as path:
        return of(model, path, *more)


@contextmanager
def as_file(name: str, content: bytes) -> Iterator[Path]:
    """Uploaded bytes as a temporary file, which errors call by its own name."""
    with tempfile.TemporaryDirectory(prefix="evlib-upload-") as folder:
        path = Path(folder) / ("upload" + re.sub(r"[^.\w]", "", Path(name).suffix)[:8])
        path.write_bytes(content)
        try:
            yield path
        except EvlibError as error:
            raise EvlibError(str(error).replace(str(path), name)) from None
