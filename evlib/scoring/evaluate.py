"""A trained run on the test split: draw every answer, read it, score it, keep what was seen.

evaluate(run, store) -> metrics.json, predictions.csv, samples.png, errors.png, curves.png and figures in the run folder
draw_only(run, store) -> drawn.npz, which a later evaluate reads instead of drawing: on a GPU machine without Tesseract
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from evlib.data import tasks
from evlib.data.store import Split, VideoStore
from evlib.frames.boxes import READER as BOX_READER
from evlib.generate import answer
from evlib.model import NextFrame
from evlib.scoring import metrics
from evlib.scoring.ocr import READER
from evlib.scoring.predict import load_network
from evlib.training.checkpoint import restore, trained
from evlib.training.device import find_device
from evlib.utils import files, progress
from evlib.utils.errors import EvlibError
from evlib.utils.progress import say
from evlib.viz import plots

SCORING = 2  # raised when what is scored changes: older scores are then made again
BATCH = 64  # sequences drawn at a time
DRAWN = "drawn.npz"
PERCENT = ("ssim", "f1", "f1_macro", "accuracy", "accuracy_template")  # shares, 0..1 in files


def evaluate(
    run: str | Path,
    store: VideoStore,
    device: str | None = None,
    limit: int | None = None,
    out: str | Path | None = None,
    log: Callable[[str], None] = say,
) -> dict:
    """Scores a run on the test split (its first `limit` rows). Returns what metrics.json holds; shares are 0..1.
    Does nothing if metrics.json is newer than the weights, about the same store and limit, and the gallery of errors is there.

    With `out`, the scores go to that folder instead of the run's: for a network that meets data of another source."""
    run, out = Path(run), Path(out or run)
    net, config, about = _opened(run, store, find_device(device), limit)
    if (done := _already(out, run, about)) is not None:
        return done

    task, split = tasks.get(config["task"]), _test(store, limit, next(net.parameters()).device)
    vocabulary, kind = store.manifest["vocabulary"], task.answers
    started = time.perf_counter()
    drawn = _drawn_before(run, about, split) or draw(
        net, split, config["answer_frames"] if kind.variable_length else None, f"{task.name}: drawing answers", log
    )
    drawing = time.perf_counter() - started
    with progress.bar(f"{task.name}: reading {len(drawn):,} answers", log=log):
        table = kind.read(drawn, split, vocabulary)
    reading = time.perf_counter() - started - drawing
    true = split.outputs()
    seen, true = np.concatenate([frames[: len(t)] for frames, t in zip(drawn, true)]), np.concatenate(true)
    train = store.metadata[store.metadata.split == "train"]

    result = {
        "task": task.name,
        "row": task.table2_row,
        "dataset": store.manifest["dataset"],
        "preset": config["preset"],
        "seed": config["seed"],
        "data": store.manifest["data"],
        "trained_on": config["data"],
        "init_from": config["init_from"],
        "n": len(table),
        "psnr": metrics.psnr(seen, true),
        "ssim": metrics.ssim(seen, true),
        **kind.score(table, train, vocabulary),
        "subsets": {
            name: {"n": int(mask.sum()), **kind.score(table[mask.values], train, vocabulary)}
            for name, mask in task.subsets(split.metadata).items()
            if mask.any()
        },
        "seconds": {"draw": round(drawing, 1), "read": round(reading, 1)},
        "training": trained(run),
        **about,
    }
    with files.atomic(out / "predictions.csv") as temporary:
        table.to_csv(temporary, index=False)
    plots.samples(split, drawn, kind.captions(table), kind.example_score(table)).save(out / "samples.png")
    title, worst = kind.worst(table, drawn, split)
    plots.errors(worst, f"{task.name}. {title}", out / "errors.png")
    kind.figures(result, table, vocabulary, out)
    if out == run and (run / "log.csv").exists():
        plots.curves([run], out / "curves.png")
    files.write_text(out / "metrics.json", json.dumps(result, indent=2))
    trivial = "; ".join(
        f"{name}: {measure} {value:.3f}"
        for name, values in result["baselines"].items()
        for measure, value in [next(iter(values.items()))]
    )
    log(f"{task.name}: {kind.headline(result)}, {len(table):,} test examples ({trivial})")
    return result


def draw_only(
    run: str | Path,
    store: VideoStore,
    device: str | None = None,
    limit: int | None = None,
    log: Callable[[str], None] = say,
) -> Path:
    """Draws the answers of the test split (its first `limit` rows) and keeps them, compressed: RUN/drawn.npz. `evaluate` with the
    same limit reads them there, on whichever machine, and then needs no network to draw."""
    run = Path(run)
    net, config, about = _opened(run, store, find_device(device), limit)
    task, split = tasks.get(config["task"]), _test(store, limit, next(net.parameters()).device)
    drawn = draw(
        net,
        split,
        config["answer_frames"] if task.answers.variable_length else None,
        f"{task.name}: drawing answers",
        log,
    )
    with files.atomic(run / DRAWN) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(
            file, about=_mark(run, about), frames=np.concatenate(drawn), counts=[len(frames) for frames in drawn]
        )
    log(f"{task.name}: {len(drawn):,} answers drawn -> {run / DRAWN}")
    return run / DRAWN


def _drawn_before(run: Path, about: dict, split: Split) -> list[np.ndarray] | None:
    """What `draw_only` kept, if it is of these weights and these examples."""
    if not (run / DRAWN).exists():
        return None
    with np.load(run / DRAWN, allow_pickle=False) as kept:
        if str(kept["about"]) != _mark(run, about) or len(kept["counts"]) != len(split):
            return None
        return np.split(kept["frames"], np.cumsum(kept["counts"])[:-1])


def _mark(run: Path, about: dict) -> str:
    """What drawn answers depend on."""
    weights = hashlib.sha256((run / "model.safetensors").read_bytes()).hexdigest()[:16]
    return json.dumps([weights, about["examples"], about["renderer"], about["limit"]])


def _opened(run: Path, store: VideoStore, device: torch.device, limit: int | None) -> tuple[NextFrame, dict, dict]:
    """The network, its settings, and what a score of it is about. EvlibError if the store is of another task or renderer."""
    restore(run)
    net, config = load_network(run, device)
    if config["task"] != store.manifest["task"]:
        raise EvlibError(
            f"{run} was trained on {config['task']}, but {store.path} holds {store.manifest['task']}: name the data it belongs to."
        )
    if config["renderer"] != store.manifest["renderer"]:
        raise EvlibError(
            f"{store.path} was drawn by the renderer {store.manifest['renderer']}, but {run} was trained on frames of {config['renderer']}: "
            "remove the store and encode again."
        )
    return (
        net,
        config,
        {
            "examples": store.manifest["examples"],
            "renderer": store.manifest["renderer"],
            "limit": limit,
            "scoring": SCORING,
            "reader": [*READER, *BOX_READER],
        },
    )


def _test(store: VideoStore, limit: int | None, device: torch.device) -> Split:
    split = store.split("test", device)
    return split if limit is None else split.head(limit)


def draw(
    net: NextFrame, split: Split, count: int | None, what: str, log: Callable[[str], None] = say
) -> list[np.ndarray]:
    """The answer of every row, as `generate.answer` draws it: uint8 (count, 64, 64, 3) each. Says how far it is."""
    with progress.bar(what, len(split), log=log) as bar:
        return [frames.numpy() for frames in answer(net, split, BATCH, count, bar.advance)]


def scored(results: str | Path, seeds: bool = False) -> dict[Path, dict]:
    """The scored runs of a results folder: run folder -> what its metrics.json holds. Those of further seeds only with `seeds`."""
    paths = sorted(Path(results).glob("runs/*/metrics.json"))
    return {path.parent: json.loads(path.read_text()) for path in paths if seeds or "-seed" not in path.parent.name}


def headline(metrics: dict) -> tuple[str, float]:
    """The measure that a row of Table 2 is judged by, and its value as in the paper's table."""
    name = next(name for name in ("iou", "colorfulness", "f1_micro", "accuracy") if name in metrics)
    name = {"colorfulness": "psnr", "f1_micro": "f1"}.get(name, name)
    return name, as_printed(name, metrics[name])


def best_trivial(metrics: dict) -> float | None:
    """The best that a trivial answer scores, by the measure of `headline`; None where there was nothing to take it from."""
    name, _ = headline(metrics)
    return max(
        (as_printed(name, values[name]) for values in metrics["baselines"].values() if name in values), default=None
    )


def as_printed(measure: str, value: float) -> float:
    """As in the paper's table: shares in percent."""
    return 100 * value if measure in PERCENT else value


def _already(out: Path, run: Path, about: dict) -> dict | None:
    path, weights = out / "metrics.json", run / "model.safetensors"
    if not path.exists() or not (out / "errors.png").exists() or path.stat().st_mtime_ns < weights.stat().st_mtime_ns:
        return None
    done = json.loads(path.read_text())
    return done if all(done.get(k) == v for k, v in about.items()) else None
