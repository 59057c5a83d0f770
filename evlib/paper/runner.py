"""What ./reproduce.sh runs: the notebooks, headless, in order, for one profile.

results/<profile>/notebooks/   the executed notebooks
results/<profile>/runs/        what they trained and scored
results/<profile>/table2.*     all rows together
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import nbformat
import papermill
import torch
from papermill.exceptions import PapermillExecutionError
from PIL import Image as Pillow
from traitlets.config import Config

from evlib.data import tasks
from evlib.data.encode import encode
from evlib.paper.notebook import ready
from evlib.scoring.evaluate import evaluate
from evlib.training import checkpoint as stored
from evlib.training.train import train
from evlib.utils import files
from evlib.utils.errors import EvlibError
from evlib.utils.paths import project

PROFILES = {"demo": "demo", "real": "demo", "paper": "paper", "fast": "fast"}  # and their presets
# Minutes of training. In the demo only these rows are trained; where weights are kept beside the scores, not even those.
MINUTES: dict[str, dict[str, float]] = {
    "demo": {
        "sst2": 1.5,
        "cifar10": 1.5,
        "tinyvirat": 20.0,
        "audiomnist": 1.5,
        "tgifqa": 8.0,
        "clevrer": 28.0,
        "colorization": 3.0,
        "lasot": 30.0,
    },
    "real": defaultdict(lambda: 2.0, sst2=25.0, cifar10=25.0, colorization=10.0, lasot=20.0),
    "paper": defaultdict(lambda: 60.0),
    "fast": defaultdict(lambda: 25.0, fsdd=5.0, audiomnist=15.0),
}
# Notebook, and the tasks it is run for, where their data is found.
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
    "10_table_2": (),
    "11_attention_maps": (),
    "12_add_your_own_modality": (),
    "00_start_here": (),  # last, because it plays with what the others trained
}
WIDGET = "application/vnd.jupyter.widget-view+json"
SEEDS = (1, 2)  # besides 0, of the main job


def reproduce(
    profile: str,
    data: Path | None = None,
    minutes: float | None = None,
    results: Path | None = None,
    retrain: bool = False,
    log: Callable[[str], None] = print,
) -> Path:
    """Runs the notebooks of a profile, each unless it has been with the same parameters, into `results` (default:
    results/<profile>), and returns that folder. `minutes` of training a row replace the profile's. Weights that are kept in
    `results` are scored as they are; `retrain` puts them aside and trains them again."""
    if profile != "demo" and data is None:
        raise EvlibError(
            f"'{profile}' needs official data: name the folder with --data DIR; `python -m evlib download` fetches it."
        )
    if profile in ("paper", "fast") and not torch.cuda.is_available():
        raise EvlibError(
            f"'{profile}' trains 41M parameters and needs a CUDA GPU, found none; './reproduce.sh real --data DIR' trains the small network."
        )
    data = ready(".miniatures" if data is None else data.resolve())
    results, started = results or project() / "results" / profile, time.perf_counter()
    for run in sorted(results.glob("runs/*")):
        if (run / stored.NAME).exists() and retrain:
            log(f"-- {run.name}: the weights that were kept are put aside")
            stored.discard(run)
        stored.restore(run)
    for name, candidates in NOTEBOOKS.items():
        common = {"data": str(data), "results": str(results)}
        if not candidates:
            own = {"minutes": minutes} if minutes is not None and "minutes" in _parameters(name) else {}
            run_notebook(name, results, {**common, **own}, log)
            continue
        there = {task.name for task in tasks.found(data)}
        found = [name for name in candidates if name in there]  # in this order: one may start from another's weights
        for task in found:
            if profile != "demo" or task in MINUTES["demo"]:
                settings = {
                    "task": task,
                    "preset": PROFILES[profile],
                    "minutes": MINUTES[profile][task] if minutes is None else minutes,
                }
                run_notebook(
                    name, results, {**common, **settings}, log, suffix="" if task == candidates[0] else f"_{task}"
                )
        if not found:
            log(f"-- {name}: skipped, no data of {' or '.join(candidates)} under {data}")
    log(f"-- {profile}: {results / 'table2.md'}, {(time.perf_counter() - started) / 60:.1f} minutes")
    return results


def run_notebook(
    name: str, results: Path, parameters: dict, log: Callable[[str], None] = print, suffix: str = ""
) -> Path:
    """Executes notebooks/<name>.ipynb into results/notebooks/. An unknown parameter is an error, as is a failing cell,
    whose message it carries. Skipped if the same notebook has run with the same parameters and code."""
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
        try:
            papermill.execute_notebook(
                str(source),
                str(temporary),
                parameters,
                kernel_name="python3",
                cwd=str(project()),
                progress_bar=False,
                stdout_file=sys.stdout,
                config=private,
            )
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
    """The rows of the main job again with other seeds: results/demo/runs/<task>-seed<n>."""
    data, results = ready(".miniatures"), project() / "results" / "demo"
    for seed in SEEDS:
        for task in ("sst2", "cifar10", "audiomnist"):
            store = encode(tasks.get(task), data)
            run = train(
                tasks.get(task).config("demo", minutes=MINUTES["demo"][task], seed=seed),
                store,
                results / "runs" / f"{task}-seed{seed}",
                log=log,
            )
            evaluate(run, store, log=log)
    return results


def _state(source: Path, results: Path, parameters: dict) -> str:
    """What an executed notebook depends on: its source, its parameters, evlib, and the scores of the runs."""
    seen = hashlib.sha256(json.dumps(parameters, sort_keys=True).encode())
    code = [path for path in sorted((project() / "evlib").rglob("*.py")) if path.parent.name not in ("site", "bench")]
    for path in [source, project() / "evlib" / "viz" / "evlib.mplstyle", *code]:
        seen.update(path.read_bytes())
    if "task" not in parameters:
        for path in sorted(results.glob("runs/*/metrics.json")):
            seen.update(path.read_bytes())
    return seen.hexdigest()


def _smaller(png: str) -> str:
    """A picture in base64 -> the same in 256 colours: a third of the bytes, and nobody sees it."""
    packed = io.BytesIO()
    with Pillow.open(io.BytesIO(base64.b64decode(png))) as picture:
        picture.convert("RGB").quantize(256, dither=Pillow.Dither.NONE).save(packed, "PNG", optimize=True)
    return min(base64.b64encode(packed.getvalue()).decode(), png, key=len)


def _tidy(path: Path) -> None:
    """Drops what papermill and Jupyter noted for themselves, controls, which are dead in a file, absolute paths of this machine,
    and pictures stored twice."""
    notebook = nbformat.read(path, as_version=4)
    notebook.metadata.pop("papermill", None)
    notebook.metadata.pop("widgets", None)
    for cell in notebook.cells:
        for key in ("papermill", "execution"):
            cell.metadata.pop(key, None)
        if "outputs" in cell:
            cell.outputs = [output for output in cell.outputs if WIDGET not in output.get("data", {})]
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            data.pop("image/jpeg", None)  # Pillow offers it beside the PNG
            if "image/png" in data:
                data["image/png"] = _smaller(data["image/png"])
            if "text" in output:
                output.text = output.text.replace(f"{project()}/", "")
        if "injected-parameters" in cell.metadata.get("tags", []):
            cell.source = cell.source.replace(f"{project()}/", "")
    nbformat.write(notebook, path)
