"""What ./reproduce.sh runs: the notebooks, headless, in order, for one profile.

results/local/<profile> gets the executed notebooks (notebooks/), what they trained and scored (runs/) and all rows
together (table2.*). git ignores it: on another machine, seconds differ and, between kinds of processors, the last
bits of the results. The published results/<profile> was made with `--results`.
"""

import base64
import hashlib
import io
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import nbformat
import papermill
import torch
from papermill.exceptions import PapermillExecutionError
from PIL import Image as Pillow
from traitlets.config import Config

from evlib.config import nearest
from evlib.data import tasks
from evlib.data.encode import encode
from evlib.paper.budgets import MINIATURE, REAL, budget
from evlib.paper.joint import one_network
from evlib.paper.notebook import ready
from evlib.paper.showcase import showcase
from evlib.paper.table2 import write_table2
from evlib.scoring.curve import VALIDATION
from evlib.scoring.evaluate import evaluate
from evlib.training.checkpoint import EXPORTED, copy_run
from evlib.training.train import train
from evlib.utils import files
from evlib.utils.errors import EvlibError
from evlib.utils.paths import project

PROFILES = {"demo": "demo", "real": "demo", "paper": "paper", "fast": "fast"}  # profile -> preset
# Notebook -> the tasks it is run for, if their data is found.
NOTEBOOKS: dict[str, tuple[str, ...]] = {
    "01_text_to_text_sst2": ("sst2",),
    "02_image_to_text_cifar10": ("cifar10",),
    "03_video_to_text_tinyvirat": ("tinyvirat",),
    "04_video_and_text_to_text_clevrer_tgifqa": ("tgifqa", "clevrer"),
    "05_video_to_video_colorization": ("colorization",),
    "06_video_to_video_lasot": ("lasot",),
    "07_audio_to_text_audiomnist": ("audiomnist", "fsdd"),
    "08_the_model": (),
    "09_training_on_an_a100": (),
    "11_attention_maps": (),  # before 10, which shows what it measured
    "10_table_2": (),
    "12_add_your_own_modality": (),
    "13_one_network": (),
    "00b_from_scratch": (),
    "00_start_here": (),  # last, because it uses the networks that the others trained
}
ON_MINIATURES = "13_one_network"  # what it shows was trained on all of them
WIDGET = "application/vnd.jupyter.widget-view+json"
SEEDS = (1, 2)  # besides 0, of the main job
Job = tuple[str, str, list[tuple[dict, str]]]  # a notebook, a results folder; its runs: parameters, suffix of the copy
SHORT_ROWS = ("sst2", "cifar10", "audiomnist", "colorization")  # trained in their notebooks, while the reader watches


def run_profile(profile: str, data: Path | None, minutes: float | None, results: Path | None, retrain: bool) -> None:
    """`reproduce`, or one of the profiles without notebooks, seeds and joint. EvlibError for an unknown one, and for
    options that it does not have."""
    if profile in PROFILES:
        reproduce(profile, data, minutes, results, retrain)
    elif profile not in ("seeds", "joint"):
        raise EvlibError(f"Unknown profile {profile!r}{nearest(profile, [*PROFILES, 'seeds', 'joint'])}")
    elif data is not None or minutes is not None:
        raise EvlibError(f"'{profile}' trains on the miniatures for a number of steps: leave out --data and --minutes.")
    elif profile == "joint":
        one_network(results, retrain)
    else:
        write_table2(more_seeds())


def reproduce(
    profile: str,
    data: Path | None = None,
    minutes: float | None = None,
    results: Path | None = None,
    retrain: bool = False,
    lanes: int | None = None,
    log: Callable[[str], None] = print,
) -> Path:
    """Runs the notebooks of a profile into `results` (default: results/local/<profile>, which git ignores), and returns
    that folder. A notebook that has run with the same parameters is skipped. Rows whose weights are published in
    results/<profile> are scored with those, unless `retrain` or `minutes` (of training per row) ask for new ones.
    `lanes` rows are run at a time; by default two on a CPU with two cores."""
    if profile != "demo" and data is None:
        raise EvlibError(f"'{profile}' needs official data: name its folder with --data (`python -m evlib download`).")
    if profile in ("paper", "fast") and not torch.cuda.is_available():
        small = "'./reproduce.sh real --data DIR' trains the small network."
        raise EvlibError(f"'{profile}' trains 41M parameters and needs a CUDA GPU, found none; {small}")
    data, started = ready(".miniatures" if data is None else data.resolve()), time.perf_counter()
    published = project() / "results" / profile
    if results is None:
        kind = profile + ("-retrained" if retrain else "" if minutes is None else f"-{minutes:g}min")
        results = project() / "results" / "local" / kind
        if not retrain and minutes is None:
            copy_exported(published, results, data, log)
    common = {"data": str(data), "results": str(results)} | ({} if minutes is None else {"minutes": minutes})
    there = {task.name for task in tasks.found(data)}
    there &= (MINIATURE if profile == "demo" else REAL).keys()
    rows: list[Job] = []
    others: list[Job] = []  # notebooks that look at all rows, or at none
    for name, candidates in NOTEBOOKS.items():
        found = [task for task in candidates if task in there]  # in order: one may start from another's weights
        if name == ON_MINIATURES and profile != "demo":
            continue
        if candidates and not found:
            log(f"-- {name}: skipped, no data of {' or '.join(candidates)} under {data}")
        runs, known = [], _parameters(name)
        for task in found or [None] * (not candidates):
            own = {} if task is None else {"task": task, "preset": PROFILES[profile]}
            parameters = {key: value for key, value in {**common, **own}.items() if key in known}
            runs.append((parameters, "" if task in (None, *candidates[:1]) else f"_{task}"))
        if runs:
            (rows if candidates else others).append((name, str(results), runs))
    if lanes is None:
        lanes = 1 if torch.cuda.is_available() else min(2, os.cpu_count() or 1)
    run_notebooks(rows, lanes, log)
    run_notebooks(others, 1, log)
    if profile == "demo":
        showcase(results, data, results / "figures" / "answers.gif")
    log(f"-- {profile}: {results / 'table2.md'}, {(time.perf_counter() - started) / 60:.1f} minutes")
    return results


def run_notebooks(jobs: Sequence[Job], lanes: int, log: Callable[[str], None] = print) -> None:
    """Runs notebooks; with `lanes` above 1 so many at a time, each in a process with one thread, because a second one
    does not speed up a small network. Log lines begin with the notebook's number. EvlibError if a notebook fails."""
    if lanes == 1:
        for name, results, runs in jobs:
            for parameters, suffix in runs:
                run_notebook(name, Path(results), parameters, log, suffix)
        return

    def run(job: Job) -> int:
        command = [sys.executable, "-m", "evlib.paper.runner", json.dumps(job)]
        settings = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
        with subprocess.Popen(command, env=environment, **settings) as process:
            for line in process.stdout:
                log(f"{job[0][:2]} | {line.rstrip()}")
        return process.returncode

    with ThreadPoolExecutor(lanes) as pool:
        started = {pool.submit(run, job): job[0] for job in jobs}
        try:
            for future in as_completed(started):
                if status := future.result():
                    name = started[future]
                    why = f"signal {-status} ended it" if status < 0 else f"its lines above, {name[:2]} |, say why"
                    log(f"-- {name} failed; notebooks that are already running will finish")
                    raise EvlibError(f"{name} failed: {why}.")
        except BaseException:  # Ctrl-C reaches the processes, too
            pool.shutdown(cancel_futures=True)
            raise


def copy_exported(published: Path, results: Path, data: Path, log: Callable[[str], None] = print) -> None:
    """Copies published runs to where the notebooks find them, as finished runs: on miniatures those that take long to
    train, on real data those that were trained on exactly the examples and frames found here."""
    for weights in published.glob(f"runs/*/{EXPORTED}"):
        source, run = weights.parent, results / "runs" / weights.parent.name
        trained_on = json.loads((source / "config.json").read_text())["store"]
        if not (source / "metrics.json").exists():  # no row of the table, but what one starts from
            continue
        task = tasks.get(trained_on["task"])
        if (run / EXPORTED).exists() or not task.find(data):
            continue
        if trained_on["data"] == "miniature":
            wanted = task.name not in SHORT_ROWS
        elif not (wanted := encode(task, data, log=log).summary() == trained_on):
            log(
                f"-- {task.name}: trained here: the published weights were trained on other data than {task.root(data)}"
            )
        if wanted:
            copy_run(source, run, VALIDATION)


def run_notebook(
    name: str, results: Path, parameters: dict, log: Callable[[str], None] = print, suffix: str = ""
) -> Path:
    """Executes notebooks/<name>.ipynb into results/notebooks/. EvlibError for an unknown parameter, and for a failing
    cell, with that cell's message. Skipped if the same notebook has run with the same parameters and code."""
    source, copy = project() / "notebooks" / f"{name}.ipynb", results / "notebooks" / f"{name}{suffix}.ipynb"
    known = _parameters(name)
    for parameter in parameters:
        if parameter not in known:
            raise EvlibError(f"{source.name} has no parameter {parameter!r}; it has {', '.join(known)}.")
    stamp, state = results / ".done" / copy.stem, _state(source, results, parameters)
    if copy.exists() and stamp.exists() and stamp.read_text() == state:
        log(f"-- {copy.stem}: done before")
        return copy
    log(f"-- {copy.stem} ...")
    started = time.perf_counter()
    with files.atomic(copy) as temporary, tempfile.TemporaryDirectory(prefix="evlib-kernel-") as sockets:
        private = Config({"KernelManager": {"transport": "ipc", "ip": f"{sockets}/kernel"}})  # no network port
        settings = {"kernel_name": "python3", "cwd": str(project()), "stdout_file": sys.stdout, "config": private}
        try:
            papermill.execute_notebook(str(source), str(temporary), parameters, progress_bar=False, **settings)
        except PapermillExecutionError as error:
            failed = copy.with_name(f"{copy.stem}.failed.ipynb")
            temporary.replace(failed)
            raise EvlibError(
                f"{source.name}, cell {error.exec_count}: {error.ename}: {error.evalue} (the whole story: {failed})"
            ) from None
        _tidy(temporary)
    files.write_text(stamp, _state(source, results, parameters))
    log(f"-- {copy.stem}: {time.perf_counter() - started:.0f} s")
    return copy


def _parameters(name: str) -> list[str]:
    return list(papermill.inspect_notebook(str(project() / "notebooks" / f"{name}.ipynb")))


def more_seeds(log: Callable[[str], None] = print) -> Path:
    """Trains rows of the main job again with other seeds: results/local/demo/runs/<task>-seed<n>."""
    data, results = ready(".miniatures"), project() / "results" / "local" / "demo"
    for seed in SEEDS:
        for name in SHORT_ROWS:
            task = tasks.get(name)
            store = encode(task, data)
            config = task.config("demo", **budget(name, "demo", store.manifest["data"]), seed=seed)
            run = train(config, store, results / "runs" / f"{name}-seed{seed}", log=log)
            evaluate(run, store, log=log)
    return results


def _state(source: Path, results: Path, parameters: dict) -> str:
    """What an executed notebook depends on: its source, its parameters, evlib, and the scores of the runs, those of the
    joint network included."""
    seen = hashlib.sha256(json.dumps(parameters, sort_keys=True).encode())
    code = [path for path in sorted((project() / "evlib").rglob("*.py")) if path.parent.name not in ("site", "bench")]
    for path in [source, project() / "evlib" / "viz" / "evlib.mplstyle", *code]:
        seen.update(path.read_bytes())
    if "task" not in parameters:
        for path in [*sorted(results.glob("runs/*/metrics.json")), *project().glob("results/joint/table.csv")]:
            seen.update(path.read_bytes())
    return seen.hexdigest()


def _smaller(png: str) -> str:
    """A PNG in base64 -> the same in 256 colors: a third of the bytes, with no visible difference."""
    packed = io.BytesIO()
    with Pillow.open(io.BytesIO(base64.b64decode(png))) as picture:
        picture.convert("RGB").quantize(256, dither=Pillow.Dither.NONE).save(packed, "PNG", optimize=True)
    return min(base64.b64encode(packed.getvalue()).decode(), png, key=len)


def _tidy(path: Path) -> None:
    """Removes papermill's and Jupyter's own metadata, widgets, which do not work in a stored file, absolute paths of
    this machine, and pictures stored twice."""
    notebook, here = nbformat.read(path, as_version=4), f"{project()}/"
    for key in ("papermill", "widgets"):
        notebook.metadata.pop(key, None)
    for cell in notebook.cells:
        for key in ("papermill", "execution"):
            cell.metadata.pop(key, None)
        if "injected-parameters" in cell.metadata.get("tags", []):
            cell.source = cell.source.replace(here, "")
        if "outputs" in cell:
            cell.outputs = [output for output in cell.outputs if WIDGET not in output.get("data", {})]
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            data.pop("image/jpeg", None)  # Pillow offers it beside the PNG
            if "image/png" in data:
                data["image/png"] = _smaller(data["image/png"])
            if "text" in output:
                output.text = output.text.replace(here, "")
    nbformat.write(notebook, path)


if __name__ == "__main__":  # a lane of run_notebooks
    try:
        run_notebooks([json.loads(sys.argv[1])], lanes=1)
    except EvlibError as error:
        sys.exit(f"evlib: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
