"""Leave-one-group-out cross-validation: every example of a small data set is tested, by a network that has seen nothing
of its group (an actor, a speaker). A test set of three actors says more about the three than about the network."""

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from evlib.config import Config
from evlib.data import tasks
from evlib.data.store import VideoStore
from evlib.generation import generate_answers
from evlib.scoring.answers import scorer
from evlib.scoring.evaluate import frame_measures, heading
from evlib.scoring.predict import load_run
from evlib.training.checkpoint import training_info
from evlib.training.train import train
from evlib.utils import files
from evlib.utils.errors import EvlibError
from evlib.utils.progress import log_line

AT_MOST = 50  # groups


def leave_one_out(config: Config, store: VideoStore, out: str | Path, log: Callable[[str], None] = log_line) -> dict:
    """Trains one network per group, in OUT/folds; its weights are selected on the next group in alphabetical order.
    Returns the contents of OUT/metrics.json: the metrics of `evaluate` over all examples; trivial answers are chosen
    among all of them, too, which favors them. Raises EvlibError unless there are 3 to 50 groups."""
    out, task, metadata = Path(out), tasks.get(config.task), store.metadata
    groups = sorted(metadata.group.unique())
    if not 3 <= len(groups) <= AT_MOST:
        raise EvlibError(
            f"Leaving one group out trains a network for each: expected 3 to {AT_MOST} groups, {task.name} has "
            f"{len(groups):,} (the first is {groups[0]!r}); use its own test split instead."
        )
    log(f"{task.name}: {len(groups)} networks, each without one of {groups[0]} .. {groups[-1]}")
    generated, seconds = np.empty(len(metadata), dtype=object), 0.0
    for fold, (tested, chooses) in enumerate(zip(groups, groups[1:] + groups[:1])):
        split = np.select([metadata.group == tested, metadata.group == chooses], ["test", "validation"], "train")
        divided = replace(store, metadata=metadata.assign(split=split))
        run = train(config, divided, out / "folds" / str(fold), log=log)
        answers = generate_answers(load_run(run)[0], divided.split("test"), task.answer.n_frames)
        for row, frames in zip(np.flatnonzero(split == "test"), answers):
            generated[row] = frames
        seconds += training_info(run)["seconds"]
    everything = replace(store, metadata=metadata.assign(split="test")).split("test")
    vocabulary, by = store.manifest["vocabulary"], scorer(task.answer)
    table = by.read(list(generated), everything, vocabulary)
    result = {
        **heading(asdict(config), store, trained_on=store.manifest["data"]),
        "dataset": f"{store.manifest['dataset']}, each of {len(groups)} groups left out in turn",
        "groups": len(groups),
        "n": len(table),
        **frame_measures(list(generated), everything),
        **by.score(table, metadata, vocabulary),
        "subsets": {},
        "training": {key: training_info(run)[key] for key in ("device", "torch", "precision", "steps", "parameters")},
    }
    result["training"]["seconds"] = round(seconds, 1)
    files.write_text(out / "predictions.csv", table.round(4).to_csv(index=False))
    files.write_text(out / "config.json", config.to_json())
    files.write_text(out / "metrics.json", json.dumps(result, indent=2))
    log(f"{task.name}: {by.headline(result)}, {len(table):,} examples of {len(groups)} groups, each left out in turn")
    return result
