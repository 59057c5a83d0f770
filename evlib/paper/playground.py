"""Ask a trained network something of your own: a sentence, a picture, a sound, a film.

    models = networks("results/local/demo")                 # the runs that are there, and the published ones
    answer_text(models["sst2"], "the plot is not dull")     # -> Reply(answer, details, picture)
    ask_text(models, "the plot is not dull")                # the same in Jupyter, with a text field

Every `ask_*` shows its reply as an ordinary output, which the controls above it update: a stored notebook holds a
picture and no widget.
"""

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

import numpy as np
import torch
from PIL import Image as Pillow
from PIL import ImageDraw

from evlib.config import SIZE
from evlib.data import tasks
from evlib.data.tasks.answers import BoxesAnswer, ColorAnswer, LabelsAnswer
from evlib.frames.audio import read_sound
from evlib.frames.boxes import parse_box, read_box
from evlib.frames.image import read_image, until_blank
from evlib.frames.parts import Audio, Clip, Example, Image, Part, Text
from evlib.frames.render import tokenize
from evlib.scoring.predict import Model, Prediction, load
from evlib.training.checkpoint import has_weights, weights_file
from evlib.utils.errors import EvlibError
from evlib.utils.paths import here
from evlib.viz import plots
from evlib.viz.attention import attention_maps

# What can be asked -> the tasks whose networks have learned it.
SENTENCES, PICTURES, SOUNDS = ("sst2",), ("cifar10",), ("audiomnist", "fsdd")
FILMS = ("tinyvirat", "tgifqa", "clevrer", "colorization", "lasot")
# Published runs, and what is added to their names.
PUBLISHED = {"results/demo": "", "results/real": " (real)", "results/joint": " tasks, one network"}
LARGEST = "10 MB; under ./reproduce.sh lab 200 MB"  # Jupyter's limit for one upload

GAP, TOP = 2, 16  # px between frames, and above them
STEP = SIZE + GAP  # px from frame to frame
BAR, WORD, BESIDE = 34, 17, 190  # px: the bars of attention, the bar of a word, everything beside the frames
PER_ROW = 12  # frames
NEAREST = 5  # words with a bar
BLUE, ORANGE, RED = "#0072b2", "#d55e00", "#d62728"


class Reply(NamedTuple):
    answer: str  # a word, labels, the last box, or how many frames in color
    details: str  # what was read, how legible it is, how many words were left out; may be empty
    picture: Pillow.Image  # input frames with the attention on each; generated frames; the nearest rendered words


# ---- answers ---------------------------------------------------------------------------------------------------------


def answer(model: Model, *parts: Part) -> Reply:
    """A network's answer to some parts, and where it looked while it generated the first answer frame."""
    prediction, task = model.predict(*parts), model.tasks_for(parts)[0]
    if isinstance(task.answer, LabelsAnswer):  # frames after the blank one are not part of the answer
        prediction = replace(prediction, frames=prediction.frames[: len(until_blank(prediction.frames)) + 1])
    video = torch.from_numpy(prediction.inputs).movedim(-1, -3)[None].to(next(model.net.parameters()).device)
    picture = plot_answer(prediction, attention_maps(model.net, video).temporal[0].cpu().numpy())
    return Reply(*in_words(prediction, task), picture)


def answer_text(model: Model, sentence: str) -> Reply:
    """EvlibError if there is no word in the sentence."""
    if not tokenize(sentence):
        raise EvlibError("The sentence is empty: type at least one word.")
    return answer(model, Text(sentence))


def answer_image(model: Model, path: str | Path) -> Reply:
    """The answer to an image file. Like the next two, raises an EvlibError that names a file it cannot read."""
    return answer(model, Image(read_image(path)))


def answer_sound(model: Model, path: str | Path) -> Reply:
    return answer(model, Audio(*read_sound(path)))


def answer_clip(model: Model, path: str | Path, question: str = "", box: str = "") -> Reply:
    """`question` and `box`, the target's x,y,w,h in the film's own pixels, are used only where the task needs them; of
    several tasks, they decide which one is meant."""
    target = parse_box(box) if box and any(task.answer.needs_box for task in model.tasks) else None
    return answer_film(model, model.film(path, bool(question), target), question)


def answer_film(model: Model, clip: Clip, question: str = "") -> Reply:
    """The answer to a clip as the task shows it. A single task asks for the question it needs, and leaves out one that
    it does not answer."""
    several = len(model.tasks) > 1
    if not (question if several else model.task.answer.has_question):
        return answer(model, clip)
    if not tokenize(question):
        raise EvlibError(f"{model.config['task']} answers questions about films: ask one.")
    return answer(model, clip, Text(question))


def in_words(prediction: Prediction, task: tasks.Task) -> tuple[str, str]:
    """The answer and details of a `Reply`."""
    details = []
    if isinstance(task.answer, ColorAnswer):
        text = f"{len(prediction.frames)} frames in color"
    elif isinstance(task.answer, BoxesAnswer):
        found = read_box(prediction.frames[-1])
        box = found and ",".join(f"{value:.0f}" for value in found.box)
        text = f"box at {box} (x,y,w,h) in the last frame" if found else "no box in the last frame"
    else:
        text = textwrap.shorten(prediction.answer or "(nothing that can be read)", 60, placeholder=" ...")
        if prediction.read:
            details = [f"Tesseract reads “{prediction.read}”", f"legibility {prediction.legibility:.2f} of 1"]
    if n := prediction.n_truncated:
        lost = "the first word was" if n == 1 else f"the first {n} words were"
        details.append(f"{lost} left out: the network sees at most {task.max_inputs} frames")
    return text, "; ".join(details)


# ---- the picture -----------------------------------------------------------------------------------------------------


def plot_answer(prediction: Prediction, attention: np.ndarray) -> Pillow.Image:
    """Input frames with a bar of attention under each, a red line, the generated frames; beside them the nearest
    rendered words. Only a few frames of a long clip are shown.

    attention: float (T,), one share per frame of prediction.inputs, adding up to 1."""
    shown = plots.thinned(prediction.inputs[:-1])
    frames = [*prediction.inputs[shown], prediction.inputs[-1], *plots.thin(prediction.frames)]
    shares = np.append(attention[shown], attention[-1])
    words = list(prediction.runners_up.items())[:NEAREST]

    rows = -(-len(frames) // PER_ROW)
    left = min(len(frames), PER_ROW) * STEP + 4 * GAP
    height = TOP + max(rows * (SIZE + BAR + 4 * GAP), WORD * len(words) + TOP)
    sheet = Pillow.new("RGB", (left + (BESIDE if words else GAP), height), "white")
    pen, font = ImageDraw.Draw(sheet), plots.sans()
    for i, frame in enumerate(frames):
        row, column = divmod(i, PER_ROW)
        x, y = 2 * GAP + column * STEP, TOP + row * (SIZE + BAR + 4 * GAP)
        sheet.paste(Pillow.fromarray(frame), (x, y))
        if i < len(shares):  # a bar below the frame
            end = y + SIZE + 2 + round(16 * shares[i] / max(shares))
            pen.rectangle([x, y + SIZE + 2, x + SIZE - 1, end], fill=BLUE if shares[i] else "white")
            pen.text((x + SIZE / 2, end + 1), f"{shares[i]:.0%}", fill="black", font=font, anchor="ma")
        if i == len(shares):
            pen.rectangle([x - GAP, y - 4, x - 1, y + SIZE + 3], fill=RED)
            pen.text((x + 4, y + SIZE + 2), "attention", fill="dimgray", font=font)
        if label := {0: "input", len(shares): "predicted"}.get(i):
            pen.text((x, y - 13), label, fill=RED if i else "dimgray", font=font)
    for i, (word, distance) in enumerate(words):  # bar length: the smallest distance divided by this word's
        y, nearest = TOP + i * WORD, max(words[0][1], 1e-6)
        length = round(60 * nearest / max(distance, nearest))
        pen.text((left + 110, y + WORD / 2), word, fill="black", font=font, anchor="rm")
        pen.rectangle([left + 116, y + 3, left + 116 + length, y + WORD - 3], fill="silver" if i else ORANGE)
    if words:
        pen.text((left + 116 + 60, 1), "nearest rendered words", fill="dimgray", font=font, anchor="ra")
    return sheet


# ---- networks, examples ----------------------------------------------------------------------------------------------


def networks(results: str | Path, log: Callable[[str], None] = print) -> dict[str, Model]:
    """The trained networks by the name of their run: those under results/runs, the newest first, then the published
    ones."""
    own = [run for run in here(results).glob("runs/*") if has_weights(run)]
    own.sort(key=lambda run: weights_file(run).stat().st_mtime, reverse=True)
    published = [(run, end) for home, end in PUBLISHED.items() for run in sorted(here(home).glob("runs/*"))]
    # Without scores, it is what another run starts from, as lasot-augmented.
    published = [(run, end) for run, end in published if any(run.rglob("metrics.json"))]
    models: dict[str, Model] = {}
    for run, end in [(run, "") for run in own] + [(run, end) for run, end in published if has_weights(run)]:
        try:
            if (name := run.name + end) not in models:
                model = load(run)
                _ = model.tasks  # a task that this version does not know fails now, not when asked
                models[name] = model
        except EvlibError as error:
            log(f"{run.name} is left out: {error}")
    return models


def suited(models: dict[str, Model], names: Sequence[str]) -> dict[str, Model]:
    """The networks that have learned one of these tasks: first those of a single one, in the order of the tasks."""
    learned = {run: [task.name for task in model.tasks] for run, model in models.items()}
    alone = {run: models[run] for name in names for run, known in learned.items() if known == [name]}
    return alone | {run: models[run] for run, known in learned.items() if len(known) > 1 and {*known} & {*names}}


def examples(found: Iterable[tasks.Task], data: Path) -> dict[str, Example]:
    """The first test example of each task, by the task's name."""
    tests = {task.name: (item for item in task.items(task.root(data)) if item.split == "test") for task in found}
    return {name: next(items).load() for name, items in tests.items()}


# ---- controls --------------------------------------------------------------------------------------------------------


def ask_text(models: dict[str, Model], sentence: str) -> None:
    """Shows a field for a sentence, and the answer to it."""
    field = _field("sentence", sentence)
    _show(models, SENTENCES, [field], lambda model: answer_text(model, field.value))


def ask_image(models: dict[str, Model], shown: dict[str, Example]) -> None:
    """Shows a button to choose a picture, and the answer to it; before that, to the task's example in `shown`."""
    _ask_file(models, PICTURES, shown, _button("a picture", "image/*"), answer_image)


def ask_sound(models: dict[str, Model], shown: dict[str, Example]) -> None:
    """The same for a sound."""
    _ask_file(models, SOUNDS, shown, _button("a sound", ".wav,.flac,.ogg,.mp3"), answer_sound)


def _ask_file(models, names, shown, file, answer_file) -> None:
    def look(model: Model) -> Reply:
        task = next(task for task in model.tasks if task.name in names)
        return _of_file(file, answer_file, model) or answer(model, *_example(shown, task))

    _show(models, names, [file], look)


def ask_clip(models: dict[str, Model], shown: dict[str, Example]) -> None:
    """The same for a film, with a question or the box of a target for the networks that need one."""
    file, question, box = _button("a film", "video/*,.gif,.avi,.mkv"), _field("question"), _field("box x,y,w,h")

    def look(model: Model) -> Reply:
        if file.value:
            return _of_file(file, answer_clip, model, question.value, box.value)
        task = model.film_tasks(bool(question.value), bool(box.value))[0]
        clip, *texts = _example(shown, task)
        if task.answer.needs_box and box.value:
            clip = Clip(clip.frames, [parse_box(box.value), *[None] * (len(clip.frames) - 1)])
        return answer_film(model, clip, question.value or " ".join(part.text for part in texts))

    _show(models, FILMS, [file, question, box], look, has_question=question, needs_box=box)


def _show(models, names: Sequence[str], controls: list, look: Callable[[Model], Reply], **fields) -> None:
    """Shows a choice of networks, the controls, and the reply of `look`, updated whenever one of them changes.
    `fields`: attribute of a task's answer -> the control that is shown only for networks with this attribute."""
    import ipywidgets
    from IPython.display import display

    choice = suited(models, names)
    if not choice:
        print("No network has learned this yet: run ./reproduce.sh.")
        return
    network = ipywidgets.Dropdown(options=list(choice), description="network")

    def outputs() -> tuple:
        model = choice[network.value]
        for attribute, control in fields.items():
            needed = any(getattr(task.answer, attribute) for task in model.tasks)
            control.layout.display = None if needed else "none"
        return _outputs(look, model)

    def update(_change) -> None:
        for handle, output in zip(handles, outputs()):
            handle.update(output)

    first = outputs()
    display(ipywidgets.VBox([network, *controls]))
    handles = [display(output, display_id=True) for output in first]
    for control in (network, *controls):
        control.observe(update, names="value")


def _outputs(look: Callable[[Model], Reply], model: Model) -> tuple:
    """Words and picture for display; or the error message."""
    from IPython.display import HTML

    try:
        started = time.perf_counter()
        text, details, picture = look(model)
    except EvlibError as error:
        return HTML(f"<p>⚠ {html.escape(str(error))}</p>"), HTML("")
    rest = "; ".join([*([html.escape(details)] if details else []), f"{time.perf_counter() - started:.1f} s"])
    return HTML(f"<p><b>{html.escape(text)}</b>; {rest}</p>"), picture


def _field(description: str, value: str = ""):
    from ipywidgets import Layout, Text

    settings = {"placeholder": "type, then press Enter", "continuous_update": False, "layout": Layout(width="36em")}
    return Text(value=value, description=description, **settings)


def _button(what: str, accept: str):
    from ipywidgets import FileUpload, Layout

    tooltip = f"choose a file with {what} of your own, up to {LARGEST}"
    return FileUpload(description=f"choose {what}", accept=accept, tooltip=tooltip, layout=Layout(width="auto"))


def _example(shown: dict[str, Example], task: tasks.Task) -> list[Part]:
    if task.name not in shown:
        raise EvlibError(f"There is no data of {task.name} to show an example of: choose a file of your own.")
    return shown[task.name].inputs


def _of_file(button, answer_file: Callable[..., Reply], model: Model, *more) -> Reply | None:
    """The answer to the chosen file; None if there is none."""
    if not button.value:
        return None
    upload = button.value[0]
    with as_file(upload["name"], bytes(upload["content"])) as path:
        return answer_file(model, path, *more)


@contextmanager
def as_file(name: str, content: bytes) -> Iterator[Path]:
    """Uploaded bytes as a temporary file; errors name it by its original name."""
    with tempfile.TemporaryDirectory(prefix="evlib-upload-") as folder:
        path = Path(folder) / ("upload" + re.sub(r"[^.\w]", "", Path(name).suffix)[:8])
        path.write_bytes(content)
        try:
            yield path
        except EvlibError as error:
            raise EvlibError(str(error).replace(str(path), name)) from None
