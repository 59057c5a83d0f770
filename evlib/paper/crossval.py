"""Leave one group out: every example of a small data set is tested, by a network that has seen nothing of its group (an
actor, a speaker). A test set of three actors says more about the three than about the network."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from evlib.config import Config
from evlib.data import tasks
from evlib.data.store import VideoStore
from evlib.generation import generate_answers
from evlib.scoring.answers import scorer
from evlib.scoring.evaluate import frame_measures
from evlib.scoring.predict import load_run
from evlib.training.checkpoint import training_info
from evlib.training.train import train
from evlib.utils import files
from evlib.utils.errors import EvlibError
from evlib.utils.progress import log_line


def leave_one_out(config: Config, store: VideoStore, out: str | Path, log: Callable[[str], None] = log_line) -> dict:
    """Trains one network per group, in OUT/folds; the next group in the alphabet chooses its weights. Returns what
    OUT/metrics.json holds: the measures of `evaluate` over all examples. Raises EvlibError for fewer than 3 groups."""
    out, task, metadata = Path(out), tasks.get(config.task), store.metadata
    groups = sorted(metadata.group.unique())
    if len(groups) < 3:
        raise EvlibError(f"To leave one group out takes at least 3 of them, {store.path} has {len(groups)}.")
    generated, seconds = np.empty(len(metadata), dtype=object), 0.0
    for tested, chooses in zip(groups, groups[1:] + groups[:1]):
        split = np.select([metadata.group == tested, metadata.group == chooses], ["test", "validation"], "train")
        fold = replace(store, metadata=metadata.assign(split=split))
        run = train(config, fold, out / "folds" / tested, log=log)
        answers = generate_answers(load_run(run)[0], fold.split("test"), task.answer.n_frames)
        for row, frames in zip(np.flatnonzero(split == "test"), answers):
            generated[row] = frames
        seconds += training_info(run)["seconds"]
    everything = replace(store, metadata=metadata.assign(split="test")).split("test")
    vocabulary, by = store.manifest["vocabulary"], scorer(task.answer)
    table = by.read(list(generated), everything, vocabulary)
    result = {
        "task": task.name,
        "table2_row": task.table2_row,
        "dataset": f"{store.manifest['dataset']}, each of {len(groups)} groups left out in turn",
        **{key: getattr(config, key) for key in ("preset", "seed", "init_from")},
        "data": store.manifest["data"],
        "trained_on": store.manifest["data"],
        "n": len(table),
        **frame_measures(list(generated), everything),
        **by.score(table, metadata, vocabulary),
        "subsets": {},
        "training": {**training_info(run), "seconds": round(seconds, 1)},
    }
    with files.atomic(out / "predictions.csv") as temporary:
        table.round(4).to_csv(temporary, index=False)
    files.write_text(out / "config.json", config.to_json())
    files.write_text(out / "metrics.json", json.dumps(result, indent=2))
    log(f"{task.name}: {by.headline(result)}, {len(table):,} examples of {len(groups)} groups, each left out in turn")
    return result
