"""python -m evlib ...: the whole flow from the command line. `--help` after any command explains it."""

import os
import sys
from pathlib import Path
from typing import Annotated, Literal

import tyro
from tyro.conf import Positional, UseAppendAction, arg

from evlib.utils.errors import EvlibError

Data = Annotated[Path, arg(help="folder that holds the data sets, each as its archive unpacks", metavar="DIR")]
Name = Annotated[str, Positional, arg(help="sst2, cifar10, ..., lasot: see `python -m evlib tasks`", metavar="TASK")]
Names = Annotated[str, Positional, arg(help="a task, or several for one network: sst2+cifar10, or all", metavar="TASK")]
Out = Annotated[Path, Positional, arg(help="folder to write to", metavar="OUT")]
Run = Annotated[Path, Positional, arg(help="run folder", metavar="RUN")]
Hub = Annotated[str, Positional, arg(help="run folder or Hugging Face Hub id", metavar="RUN")]
Video = Annotated[Path | None, arg(help="mp4, avi, gif, ... or a folder of pictures")]
Question = Annotated[str | None, arg(help="about the video")]
Box = Annotated[str | None, arg(help="of the target in the video's first frame, in its own pixels", metavar="X,Y,W,H")]
Several = Annotated[tuple[str, ...], UseAppendAction]
Settings = Annotated[Several, arg(help="any other setting of evlib.config: --set lr=1e-4", metavar="NAME=VALUE")]
Variants = Annotated[Several, arg(help="a variant, by its name; all, if none is named", metavar="VARIANT")]
Part = Literal["ends", "network", "variants", "peers", "growth"]
Parts = Annotated[tuple[Part, ...], arg(help="a part or several; all, if none is named")]

app = tyro.extras.SubcommandApp()


@app.command(name="tasks")
def list_tasks(data: Data = Path("data")) -> None:
    """The tasks, their rows of Table 2, and what is found under --data."""
    from evlib.data.sources import is_miniature
    from evlib.data.tasks import TASKS

    for task in TASKS.values():
        found = f"not found under {data}: expected {' or '.join(task.folders)}/"
        if root := task.find(data):
            found = f"{'miniature' if is_miniature(root) else 'real'} data in {root}"
        print(f"{task.name:12} {task.table2_row:22} {task.dataset:20} {found}")


@app.command
def miniatures(out: Out, seed: int = 0) -> None:
    """Write the miniatures in the official layouts under OUT."""
    from evlib import synthetic

    synthetic.write(out, seed)


@app.command
def augment_tracking(out: Out, data: Data = Path("data"), clips: int = 3000, seed: int = 0) -> None:
    """Make many training clips for tracking from the training sequences of LaSOT, or of data in its layout."""
    from evlib.synthetic import augmented_tracking

    print(f"{clips:,} clips in {augmented_tracking.write(data, out, clips, seed)}")


@app.command
def download(task: Name, data: Data = Path("data")) -> None:
    """Fetch, check and unpack an official archive under --data."""
    from evlib.data import tasks
    from evlib.data.download import download

    download(tasks.get(task).name, data)


@app.command
def encode(task: Name, data: Data = Path("data"), out: Path | None = None) -> None:
    """Turn official files into a store of frames (default: DIR/.evlib/TASK); does nothing if it is there."""
    store = _store(task, data, out)
    print("{task}: {sequences:,} sequences of {frames:,} distinct frames".format(**store.manifest), "in", store.path)


@app.command
def train(
    task: Names,
    out: Path,
    data: Data = Path("data"),
    preset: str = "demo",
    minutes: float | None = None,
    steps: int | None = None,
    device: str | None = None,
    seed: int = 0,
    set: Settings = (),
) -> None:
    """Train a network, or resume an interrupted run. It stops after --steps or, without them, after --minutes."""
    from evlib.data import tasks
    from evlib.data.encode import encode
    from evlib.data.union import union
    from evlib.scoring.curve import AccuracyByKind
    from evlib.training.distributed import Distributed
    from evlib.training.train import train

    chosen = tasks.parse(task, data)
    config = tasks.config(chosen, preset, **_settings(set), minutes=minutes, steps=steps, seed=seed)
    config.require_end()  # before a data set is encoded for nothing
    dist = Distributed.start(device)
    if dist.is_main:  # one encodes, the others wait
        for each in chosen:
            encode(each, data)
    dist.barrier()
    store = union([encode(each, data) for each in chosen])
    by_kind = len(chosen) == 1 and chosen[0].answer.has_question
    train(config, store, out, device, on_validation=AccuracyByKind(store, out) if by_kind else None)


@app.command
def crossval(task: Name, steps: int, out: Path, data: Data = Path("data"), seed: int = 0, set: Settings = ()) -> None:
    """Leave-one-group-out cross-validation of a small data set: each actor tested by a network that has not seen it."""
    from evlib.data import tasks
    from evlib.paper.budgets import budget
    from evlib.paper.crossval import leave_one_out

    store = _store(task, data)
    settings = budget(task, "demo", store.manifest["data"]) | _settings(set) | {"steps": steps, "seed": seed}
    leave_one_out(tasks.get(task).config("demo", **settings), store, out)


@app.command
def evaluate(run: Run, data: Data = Path("data"), device: str | None = None, limit: int | None = None) -> None:
    """Score a run on the test split: RUN/metrics.json, predictions.csv, samples.png, errors.png and figures; of a run
    with several tasks, in RUN/TASK."""
    from evlib.scoring.evaluate import evaluate

    for store, out in _rows(run, data):
        evaluate(run, store, device, limit, out)


@app.command
def generate(run: Run, data: Data = Path("data"), device: str | None = None, limit: int | None = None) -> None:
    """Generate the answers of the test split, RUN/generated.npz, for `evaluate` on a machine with Tesseract; of a run
    with several tasks, in RUN/TASK."""
    from evlib.scoring.evaluate import generate_test_set

    for store, out in _rows(run, data):
        generate_test_set(run, store, device, limit, out)


@app.command
def export(run: Run) -> None:
    """Reduce a finished run's weights to half precision, small enough to publish: RUN/model.fp16.safetensors."""
    from evlib.training.checkpoint import export

    print(export(run))


@app.command
def predict(
    run: Hub,
    text: str | None = None,
    image: Path | None = None,
    audio: Path | None = None,
    video: Video = None,
    question: Question = None,
    box: Box = None,
    out: Path = Path("prediction.png"),
) -> None:
    """Answer one question of your own, and save what the network saw and generated as a film strip."""
    from evlib.frames.audio import read_sound
    from evlib.frames.boxes import parse_box
    from evlib.frames.image import read_image
    from evlib.frames.parts import Audio, Image, Text
    from evlib.scoring.predict import load
    from evlib.utils import files

    model = load(run)
    name, answers = model.config["task"], [task.answer for task in model.tasks]
    if video is None and (question is not None or box is not None):
        raise EvlibError(f"--{'box' if question is None else 'question'} is about a video: name its file with --video.")
    if question is not None and not any(answer.has_question for answer in answers):
        raise EvlibError(f"{name} answers no questions: leave out --question.")
    if box is not None and not any(answer.needs_box for answer in answers):
        raise EvlibError(f"{name} does not track objects: leave out --box.")
    if all(answer.has_question for answer in answers) and (video is None or question is None):
        raise EvlibError(f"{name} answers questions about a video: give both --video and --question.")
    parts = [Image(read_image(image))] if image else []
    parts += [Audio(*read_sound(audio))] if audio else []
    parts += [model.film(video, question is not None, parse_box(box) if box is not None else None)] if video else []
    parts += [Text(words) for words in (text, question) if words is not None]
    if not parts:
        raise EvlibError("Nothing to answer: give --text, --image, --audio or --video.")
    prediction = model.predict(*parts)
    with files.atomic(out) as temporary:
        prediction.strip().save(temporary, format="PNG")
    if prediction.n_truncated:
        lost = "word was" if prediction.n_truncated == 1 else f"{prediction.n_truncated} words were"
        print(f"Too long for this network: the first {lost} left out.")
    print(f"{prediction.answer or '(nothing readable)'}   -> {out}")
    if prediction.read:
        print(f"Tesseract read {prediction.read!r}, legibility {prediction.legibility:.2f}")
    if prediction.runners_up:
        print(f"nearest rendered words: {', '.join(list(prediction.runners_up)[:3])}")


@app.command
def table(results: Annotated[Path, Positional, arg(metavar="results/PROFILE")]) -> None:
    """Collect the scored runs of a results folder into table2.csv and table2.md."""
    from evlib.paper.table2 import markdown, write_table2

    print(markdown(write_table2(results)))


@app.command
def pages(results: Path = Path("results")) -> None:
    """Fill the generated tables of README.md and results/README.md."""
    from evlib.paper.pages import blocks, fill

    fill([results.parent / "README.md", results / "README.md"], blocks(results))


@app.command
def baselines(
    task: Name, data: Data = Path("data"), out: Path = Path("results/baselines.csv"), epochs: int = 10, seeds: int = 3
) -> None:
    """Train simple baseline models for comparison, and add their scores to a CSV file."""
    from evlib.paper.baselines import BY_TASK, KEY, fit
    from evlib.utils.files import update_csv

    if task not in BY_TASK:
        raise EvlibError(f"No simple model is written for {task!r}: expected {', '.join(BY_TASK)}.")
    store = _store(task, data)
    for name in BY_TASK[task]:
        for seed in range(seeds):
            row = fit(name, store, epochs, seed)
            update_csv(out, [row], KEY, sort=True)
            score = f"{row['accuracy']:.1%} of {row['n']:,} ({row['seconds']:.0f} s)"
            print(f"{task}: {row['model']}, seed {seed}: {score}")


@app.command
def compare(
    task: Name,
    out: Path,
    data: Data = Path("data"),
    sequences: int = 6400,
    seed: int = 0,
    examples: int | None = None,
    only: Variants = (),
) -> None:
    """Train preset demo with one setting changed at a time; add what each scored on validation data to a CSV file."""
    from evlib.config import nearest
    from evlib.data import tasks
    from evlib.paper.recipes import KEY, VARIANTS, compare, require_words
    from evlib.utils.files import update_csv

    require_words(tasks.get(task))  # before a data set is encoded for nothing
    store = _store(task, data)
    for variant in only or VARIANTS:
        if variant not in VARIANTS:
            raise EvlibError(f"--only {variant!r}: no such variant{nearest(variant, list(VARIANTS))}")
        update_csv(out, [compare(store, sequences, seed, variant, examples)], KEY)


@app.command
def transfer(task: Name, data: Data = Path("data"), steps: int = 500, out: Path = Path("results/joint")) -> None:
    """Train on a task from the weights in OUT/runs/all, from scratch, and from shuffled weights: OUT/transfer.csv."""
    from evlib.paper.joint import RUN
    from evlib.paper.transfer import KEY, transfer
    from evlib.utils.files import update_csv

    update_csv(out / "transfer.csv", transfer(_store(task, data), out / RUN, steps), KEY)


@app.command
def bench(
    data: Data = Path("data"), only: Parts = (), device: str | None = None, out: Path = Path("results/bench")
) -> None:
    """Time the ends of the flow, the network, its variants and peers, and how cost grows: <part>.csv and bench.png in
    --out."""
    from evlib.bench import bench

    bench(data, out, only, device)


@app.command
def reproduce(
    profile: Annotated[str, Positional, arg(help="demo, real, paper, fast, seeds or joint")],
    data: Path | None = None,
    minutes: Annotated[float | None, arg(help="of training per row, instead of the steps it has")] = None,
    retrain: Annotated[bool, arg(help="train the rows whose weights are published, too")] = False,
    results: Annotated[Path | None, arg(help="folder to write (default: results/local/PROFILE)")] = None,
) -> None:
    """What ./reproduce.sh runs: the notebooks of a profile, the demo rows with more seeds, or one network for all."""
    from evlib.paper.runner import run_profile

    run_profile(profile, data, minutes, results, retrain)


def _store(task: str, data: Path, out: Path | None = None):
    from evlib.data import tasks
    from evlib.data.encode import encode

    return encode(tasks.get(task), data, out)


def _rows(run: Path, data: Path):
    """For every task of a run, its store and the folder of its results."""
    from evlib.data import tasks
    from evlib.data.encode import encode
    from evlib.training.checkpoint import read_config

    chosen = tasks.parse(read_config(run)["task"], data)
    for task in chosen:
        yield encode(task, data), run if len(chosen) == 1 else run / task.name


def _settings(pairs: tuple[str, ...]) -> dict:
    import json

    values = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise EvlibError(f"--set {pair}: expected NAME=VALUE, as in --set lr=1e-4.")
        if name in ("task", "preset", "minutes", "steps", "seed"):
            raise EvlibError(f"--set {pair}: {name} has an option of its own.")
        try:
            values[name] = json.loads(value)
        except json.JSONDecodeError:
            values[name] = value
    return values


def main() -> None:
    try:
        if own := os.environ.get("EVLIB_TASKS"):
            from evlib.data import tasks

            tasks.register_files(own)
        app.cli(prog="python -m evlib", description=__doc__)
        return
    except EvlibError as error:
        message, status = error, 2
    except OSError as error:  # a disk that is full or gone, a file that is not ours to read
        message, status = f"{error.filename or 'A file'}: {error.strerror or error}.", 2
    except KeyboardInterrupt:
        message, status = "stopped; the same command continues from the last checkpoint.", 130
    print(f"evlib: {message}", file=sys.stderr)
    sys.exit(status)


if __name__ == "__main__":
    main()
