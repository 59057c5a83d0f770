"""Evaluates a trained run on the test split: load, generate, read, score, and plot the results.

evaluate(run, store)           -> metrics.json, predictions.csv, samples.png, errors.png and figures in the run folder
generate_test_set(run, store)  -> generated.npz, which a later `evaluate` reads: for a GPU machine without Tesseract
"""

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from evlib.data import tasks
from evlib.data.store import Split, VideoStore
from evlib.frames.boxes import READER as BOX_READER
from evlib.generation import generate_answers
from evlib.scoring import metrics, ocr
from evlib.scoring.answers import scorer
from evlib.scoring.predict import load_run
from evlib.training.checkpoint import training_info, weights_file
from evlib.training.device import find_device
from evlib.utils import files, progress
from evlib.utils.errors import EvlibError
from evlib.utils.progress import log_line
from evlib.viz import plots
from evlib.viz.galleries import gallery

SCORING = 3  # increase it when the scoring changes: older scores are then computed again
BATCH = 64  # sequences generated at a time
GENERATED = "generated.npz"
PERCENT = ("ssim", "f1", "f1_macro", "f1_positive", "accuracy", "accuracy_template")  # shares, 0..1 in files


def evaluate(
    run: str | Path,
    store: VideoStore,
    device: str | None = None,
    limit: int | None = None,
    out: str | Path | None = None,
    log: Callable[[str], None] = log_line,
) -> dict:
    """Scores a run on the test split (its first `limit` rows). Returns the contents of metrics.json; shares are 0..1.
    Does nothing if metrics.json belongs to the same weights, store and limit, and errors.png exists.

    With `out`, the scores go to that folder instead of the run's: for a network tested on data from another source.
    Raises EvlibError if the store belongs to another task or was rendered by another renderer."""
    run, out = Path(run), Path(out or run)
    about, scores = _about(run, store, limit), out / "metrics.json"
    if scores.exists() and (out / "errors.png").exists():
        done = json.loads(scores.read_text())
        if all(done.get(key) == value for key, value in about.items()):
            return done

    generated, split, config, seconds = _generate(run, store, device, limit, out, about, log)
    task, vocabulary = tasks.get(store.manifest["task"]), store.manifest["vocabulary"]
    by, started = scorer(task.answer), time.perf_counter()
    with progress.bar(f"{task.name}: reading {len(generated):,} answers", log=log):
        table = by.read(generated, split, vocabulary)
    seconds |= {"read": round(time.perf_counter() - started, 1)}

    def score(rows: np.ndarray | slice) -> dict:
        return by.score(table[rows], store.metadata[store.metadata.split == "train"], vocabulary)

    parts = {name: rows.values for name, rows in task.subsets(split.metadata).items() if rows.any()}
    result = {
        **heading(config, store, trained_on=config["store"]["data"]),
        "n": len(table),
        **frame_measures(generated, split),
        **score(slice(None)),
        "subsets": {name: {"n": int(rows.sum()), **score(rows)} for name, rows in parts.items()},
        "seconds": seconds,
        "training": training_info(run),
        **about,
    }
    out.mkdir(parents=True, exist_ok=True)
    show = gallery(task.answer)
    plots.samples(split, generated, show.captions(table), table.example_score.values).save(out / "samples.png")
    title, worst = show.worst(table, generated, split)
    plots.errors(worst, f"{task.name}. {title}", out / "errors.png")
    show.figures(result, table, vocabulary, out)
    if out == run and (run / "log.csv").exists():
        plots.curves([run], out / "curves.png")
    files.write_text(out / "predictions.csv", table.round(4).to_csv(index=False))
    files.write_text(scores, json.dumps(result, indent=2))
    firsts = {name: next(iter(values.items())) for name, values in result["baselines"].items()}
    trivial = "; ".join(f"{name}: {measure} {value:.3f}" for name, (measure, value) in firsts.items())
    log(f"{task.name}: {by.headline(result)}, {len(table):,} test examples ({trivial})")
    return result


def generate_test_set(
    run: str | Path,
    store: VideoStore,
    device: str | None = None,
    limit: int | None = None,
    out: str | Path | None = None,
    log: Callable[[str], None] = log_line,
) -> Path:
    """Generates the answers of the test split (its first `limit` rows) into generated.npz, compressed, in `out` or the
    run's folder. `evaluate` with the same limit and `out` then uses that file, on any machine."""
    run, out, about = Path(run), Path(out or run), _about(run, store, limit)
    generated, *_ = _generate(run, store, device, limit, out, about, log)
    counts = [len(frames) for frames in generated]
    with files.atomic(out / GENERATED) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(file, about=_mark(about), frames=np.concatenate(generated), counts=counts)
    log(f"{store.manifest['task']}: {len(generated):,} answers generated -> {out / GENERATED}")
    return out / GENERATED


def _generate(
    run: Path,
    store: VideoStore,
    device: str | None,
    limit: int | None,
    out: Path,
    about: dict,
    log: Callable[[str], None],
) -> tuple[list[np.ndarray], Split, dict, dict]:
    """Answers uint8 (T, 64, 64, 3) of the test split, the split, the run's settings, and the seconds it took."""
    device = find_device(device)
    net, config = load_run(run, device)
    if store.manifest["task"] not in config["task"].split("+"):
        raise EvlibError(
            f"{run} was trained on {config['task']}, but {store.path} holds {store.manifest['task']}: "
            "name the data it belongs to."
        )
    if (rendered := store.manifest["renderer"]) != config["store"]["renderer"]:
        raise EvlibError(
            f"{store.path} was rendered by the renderer {rendered}, but {run} was trained on frames of "
            f"{config['store']['renderer']}: encode again."
        )
    split, answer = store.split("test", device), tasks.get(store.manifest["task"]).answer
    split = split if limit is None else split.head(limit)
    started = time.perf_counter()
    generated = _generated_before(out, about, split)
    if generated is None:
        with progress.bar(f"{store.manifest['task']}: generating answers", len(split), log=log) as bar:
            generated = generate_answers(net, split, answer.n_frames, BATCH, bar.update)
    return generated, split, config, {"generate": round(time.perf_counter() - started, 1)}


def _generated_before(out: Path, about: dict, split: Split) -> list[np.ndarray] | None:
    """What `generate_test_set` wrote, if it belongs to these weights and these examples."""
    if not (out / GENERATED).exists():
        return None
    with np.load(out / GENERATED, allow_pickle=False) as found:
        if str(found["about"]) != _mark(about) or len(found["counts"]) != len(split):
            return None
        return np.split(found["frames"], np.cumsum(found["counts"])[:-1])


def heading(config: Mapping, store: VideoStore, trained_on: str) -> dict:
    """What a result is about: the task, the data, the run. `trained_on`: "miniature" or "real"."""
    task = tasks.get(store.manifest["task"])
    return {
        "task": task.name,
        "table2_row": task.table2_row,
        "dataset": store.manifest["dataset"],
        **{key: config[key] for key in ("preset", "seed", "init_from")},
        "data": store.manifest["data"],
        "trained_on": trained_on,
    }


def frame_measures(generated: list[np.ndarray], split: Split) -> dict[str, float]:
    """PSNR and SSIM of the generated frames, over the frames that both the generated and the true answer have."""
    pairs = [(g[: len(t)], t[: len(g)]) for g, t in zip(generated, split.outputs())]
    predicted, true = (np.concatenate(frames) for frames in zip(*pairs))
    return {"psnr": metrics.psnr(predicted, true), "ssim": metrics.ssim(predicted, true)}


def _about(run: Path, store: VideoStore, limit: int | None) -> dict:
    """What the scores depend on."""
    weights = hashlib.sha256(weights_file(run).read_bytes()).hexdigest()[:16]
    rendered = {key: store.manifest[key] for key in ("examples", "renderer")}
    reader = [*ocr.READER, *BOX_READER]
    return {"weights": weights, **rendered, "limit": limit, "scoring": SCORING, "reader": reader}


def _mark(about: dict) -> str:
    """What the generated answers depend on."""
    return json.dumps([about[key] for key in ("weights", "examples", "renderer", "limit")])


# ---- scored runs ---------------------------------------------------------------------------------------------------


def scored(results: str | Path, seeds: bool = False) -> dict[Path, dict]:
    """The scored runs of a results folder: run folder -> the contents of its metrics.json. Runs of further seeds are
    included only with `seeds`."""
    paths = sorted(Path(results).glob("runs/*/metrics.json"))
    found = {path.parent: json.loads(path.read_text()) for path in paths}
    return {run: result for run, result in found.items() if seeds or "-seed" not in run.name}


def headline(result: dict) -> tuple[str, float]:
    """The main metric of a row of Table 2, and its value as the paper's table prints it."""
    name = next(name for name in ("iou", "colorfulness", "f1_micro", "accuracy") if name in result)
    name = {"colorfulness": "psnr", "f1_micro": "f1"}.get(name, name)
    return name, as_printed(name, result[name])


def best_trivial(result: dict) -> float | None:
    """The best score of a trivial answer, in the metric of `headline`; None if no trivial answer has that metric."""
    name, _ = headline(result)
    return max((as_printed(name, b[name]) for b in result["baselines"].values() if name in b), default=None)


def as_printed(measure: str, value: float) -> float:
    """A value as the paper's table prints it: shares in percent."""
    return 100 * value if measure in PERCENT else value
