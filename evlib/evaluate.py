"""A trained run on the test split: draw every answer, read it twice, score it, keep what was seen.

    evaluate(run, store) -> metrics.json, predictions.csv, samples.png, confusion.png in the run folder
"""
from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from . import files, metrics, plots, tasks
from .decode import READER, TemplateReader, nearest_word, read_words
from .errors import EvlibError
from .generate import answer
from .predict import load_network
from .store import VideoStore
from .train import find_device, trained


def evaluate(run: str | Path, store: VideoStore, device: str | None = None, limit: int | None = None,
             log: Callable[[str], None] = print) -> dict:
    """Scores a run on the test split (its first `limit` rows). Returns what metrics.json holds; shares are 0..1.
    Does nothing if metrics.json is newer than the weights and about the same store and limit."""
    run = Path(run)
    device = find_device(device)
    net, config = load_network(run, device)
    if config["task"] != store.manifest["task"]:
        raise EvlibError(f"{run} was trained on {config['task']}, but {store.path} holds {store.manifest['task']}: name the data it belongs to.")
    if config["renderer"] != store.manifest["renderer"]:
        raise EvlibError(f"{store.path} was drawn by the renderer {store.manifest['renderer']}, but {run} was trained on frames of {config['renderer']}: "
                         "remove the store and encode again.")
    about = {"examples": store.manifest["examples"], "renderer": store.manifest["renderer"], "limit": limit, "reader": list(READER)}
    if (done := _already(run, about)) is not None:
        return done

    task, split = tasks.get(config["task"]), store.split("test", device)
    if limit is not None:
        split = split.head(limit)
    started = time.perf_counter()
    drawn = [frames.numpy() for frames in answer(net, split)]
    drawing = time.perf_counter() - started
    table = read(drawn, split.table, list(task.classes))
    reading = time.perf_counter() - started - drawing
    seen, true = np.concatenate(drawn), np.concatenate(split.outputs())
    train_answers = store.answers.answer[store.answers.split == "train"]

    result = {
        "task": task.name, "row": task.row, "dataset": task.dataset, "preset": config["preset"], "seed": config["seed"],
        "data": store.manifest["data"], "n": len(table),
        "psnr": metrics.psnr(seen, true),
        "ssim": metrics.ssim(seen, true),
        **score(table, train_answers),
        "subsets": {name: score(table[mask.values], train_answers) for name, mask in task.subsets(split.table).items() if mask.any()},
        "seconds": {"draw": round(drawing, 1), "read": round(reading, 1)},
        "training": trained(run),
        **about,
    }
    table.to_csv(run / "predictions.csv", index=False)
    plots.samples(split, drawn, table).save(run / "samples.png")
    plots.confusion(metrics.confusion(table.answer_read, table.answer, task.classes), f"{task.dataset}: answers read by Tesseract", run / "confusion.png")
    files.write_text(run / "metrics.json", json.dumps(result, indent=2))
    log(f"{task.name}: {result['accuracy']:.1%} by Tesseract, {result['accuracy_template']:.1%} by template, {len(table):,} test examples "
        f"({result['baseline']['accuracy']:.1%} for always {result['baseline']['answer']!r})")
    return result


def read(drawn: list[np.ndarray], table: pd.DataFrame, vocabulary: list[str]) -> pd.DataFrame:
    """The drawn answers as words: what Tesseract reads, the nearest word of the vocabulary, and the template reader's word."""
    lengths = [len(frames) for frames in drawn]
    frames = np.concatenate(drawn)
    raw = read_words(frames)
    sentences = {"tesseract": raw, "answer_read": [nearest_word(word, vocabulary) for word in raw],
                 "template": TemplateReader(vocabulary).read(frames)}
    ends = np.cumsum(lengths)
    join = {name: [" ".join(words[end - n:end]) for n, end in zip(lengths, ends)] for name, words in sentences.items()}
    return pd.DataFrame({"source": table.source, "answer": table.answer, **join})


def score(table: pd.DataFrame, train_answers: pd.Series) -> dict:
    """Accuracy and F1 by Tesseract and by template; beside them, what always giving the most frequent answer scores."""
    frequent = metrics.most_frequent(train_answers)
    return {
        "n": len(table),
        **metrics.classification(table.answer_read, table.answer),
        "accuracy_exact": metrics.accuracy(table.tesseract, table.answer),
        "accuracy_template": metrics.accuracy(table.template, table.answer),
        "baseline": {"answer": frequent, **metrics.classification([frequent] * len(table), table.answer)},
    }


def _already(run: Path, about: dict) -> dict | None:
    path, weights = run / "metrics.json", run / "model.safetensors"
    if not path.exists() or path.stat().st_mtime_ns < weights.stat().st_mtime_ns:
        return None
    done = json.loads(path.read_text())
    return done if all(done.get(k) == v for k, v in about.items()) else None
