"""Does a network that has learned eight tasks learn a ninth one faster? Validation accuracy over the first steps, from
its weights, from scratch, and, as a control, from the same numbers in a random order.

    python -m evlib transfer fsdd --data data
"""

import copy
import json
import tempfile
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import torch

from evlib.data import tasks
from evlib.data.store import VideoStore
from evlib.model import NextFrame
from evlib.paper.recipes import require_words
from evlib.scoring.curve import VALIDATION, AccuracyByKind
from evlib.training.checkpoint import load_network, save_weights
from evlib.training.train import train
from evlib.utils.progress import log_line

KEY = ["task", "data", "start", "seed", "step"]  # of a row
SCRATCH, JOINT, SHUFFLED = "scratch", "one network", "its weights, shuffled"
REACHED = 0.8  # share of the best accuracy from scratch, see steps_to_reach


def transfer(
    store: VideoStore, joint: str | Path, steps: int = 500, seeds: int = 3, log: Callable[[str], None] = log_line
) -> list[dict]:
    """Trains a network of the joint one's shape on one task, with preset demo's recipe, from three starts each. One row
    per validation: task, data, start, seed, step, accuracy (0..1, by the nearest rendered word) and n, the number of
    validation examples. EvlibError unless the task's answer is one word."""
    task, rows = tasks.get(store.manifest["task"]), []
    require_words(task)
    net, about = load_network(joint)
    n = int((store.metadata.split == "validation").sum())
    for seed in range(seeds):
        with tempfile.TemporaryDirectory() as folder:
            starts = {SCRATCH: None, JOINT: str(Path(joint).resolve()), SHUFFLED: f"{folder}/shuffled"}
            write_shuffled(net, about, Path(starts[SHUFFLED]), seed)
            for i, (start, weights) in enumerate(starts.items()):
                config = task.config(
                    "demo", **about["model"], steps=steps, seed=seed, validations=25, init_from=weights
                )
                run = Path(folder, str(i))
                train(config, store, run, log=lambda line: None, on_validation=AccuracyByKind(store, run))
                curve = pd.read_csv(run / VALIDATION)
                common = {"task": task.name, "data": store.manifest["data"], "start": start, "seed": seed}
                rows += [{**common, "step": r.step, "accuracy": r.all, "n": n} for r in curve.itertuples()]
                log(f"{task.name}, from {start}, seed {seed}: {curve['all'].iloc[-1]:.1%} after {steps} steps")
    return rows


def write_shuffled(net: NextFrame, about: dict, run: Path, seed: int) -> None:
    """A run folder with the entries of each of the network's tensors in a random order."""
    other, generator = copy.deepcopy(net), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for tensor in other.parameters():
            tensor.copy_(tensor.flatten()[torch.randperm(tensor.numel(), generator=generator)].view_as(tensor))
    run.mkdir()
    save_weights(other, run)
    (run / "config.json").write_text(json.dumps(about))


def steps_to_reach(table: pd.DataFrame) -> pd.DataFrame:
    """For every task and start: after how many steps REACHED of the best accuracy from scratch (a mean over seeds) is
    reached, how many seeds reach it, and the accuracy after the last step."""
    lines = []
    for (task, data), part in table.groupby(["task", "data"], sort=False):
        best = part[part.start == SCRATCH].groupby("step").accuracy.mean().max()
        for start, rows in part.groupby("start", sort=False):
            seeds = [curve.sort_values("step") for _, curve in rows.groupby("seed")]
            firsts = [curve.step[curve.accuracy >= REACHED * best] for curve in seeds]
            reached = [int(steps.iloc[0]) for steps in firsts if len(steps)]
            line = {"Task": task, "Data": data, "Start": start, "Seeds": len(seeds), "Reached by": len(reached)}
            line |= {
                "Goal": f"{100 * REACHED * best:.0f} %",
                "Steps": f"{sum(reached) / len(reached):.0f}" if reached else "",
            }
            lines.append({**line, "At last": f"{100 * sum(c.accuracy.iloc[-1] for c in seeds) / len(seeds):.1f}"})
    return pd.DataFrame(lines)
