"""One network for all rows of Table 2, beside one network per row: the joint training that the paper leaves
as future work (section 4).

    ./reproduce.sh joint      # trains it on the miniatures, or scores the published one -> results/local/joint

The separate networks are the runs of the main job, with all their seeds.
"""

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from evlib.config import Config
from evlib.data import tasks
from evlib.data.encode import encode
from evlib.data.store import VideoStore
from evlib.data.union import probabilities, union
from evlib.paper import cost
from evlib.paper.budgets import JOINT, MINIATURE
from evlib.paper.notebook import ready
from evlib.paper.table2 import HEADS, markdown
from evlib.scoring.evaluate import as_printed, best_trivial, evaluate, headline, scored
from evlib.training.checkpoint import EXPORTED, copy_run, has_weights, training_info
from evlib.training.train import train
from evlib.utils import files
from evlib.utils.paths import here, project

RUN = "runs/all"  # in a results folder
DIGITS = {"iou": 3}  # of a measure; all others have 1
NOTE = (
    "A network per task: the mean of its seeds on the miniature, ± their standard deviation (number of seeds). One "
    "network: a single seed. Accuracy and F1 in percent, by Tesseract; PSNR in dB. Updates of the one network are its "
    "steps times the task's share of them. FLOP count every frame, although on a CPU a stem computes equal frames of a "
    "batch only once. The one network includes the runs it starts from, one after the other; what the first of these "
    "started from (CIFAR-10's network on real data, for CLEVRER) is not counted."
)


def one_network(results: Path | None = None, retrain: bool = False, log: Callable[[str], None] = print) -> Path:
    """Trains the joint network on the miniatures, unless its weights are published, scores it on every task, and writes
    table.csv and table.md into `results` (default: results/local/joint). Returns that folder."""
    data, published = ready(".miniatures"), project() / "results" / "joint" / RUN
    results = results or project() / "results" / "local" / ("joint-retrained" if retrain else "joint")
    stores = {name: encode(tasks.get(name), data, log=log) for name in MINIATURE}
    run = results / RUN
    if not retrain and (published / EXPORTED).exists() and not has_weights(run):
        copy_run(published, run)
    config = tasks.config([tasks.get(name) for name in MINIATURE], "demo", **JOINT)
    train(config, union(list(stores.values())), run, log=log)
    for name, store in stores.items():
        evaluate(run, store, out=run / name, log=log)
    write_table(results, stores, project() / "results" / "demo")
    return results


def compare(joint: Path, separate: Path) -> pd.DataFrame:
    """A line per task and kind of question: measure, n, trivial (the best trivial answer), separate (the mean of the
    networks that were trained on this task alone), sd and seeds of those, joint, difference; percent, IoU or dB.

    joint, separate: results folders. A task that lacks one of the two is left out."""
    alone: dict[str, list[dict]] = {}
    for metrics in scored(separate, seeds=True).values():
        alone.setdefault(metrics["task"], []).append(metrics)
    lines = []
    for name in MINIATURE:
        path = joint / RUN / name / "metrics.json"
        if name not in alone or not path.exists():
            continue
        ours, measure = json.loads(path.read_text()), headline(alone[name][0])[0]
        for kind in ("", *ours["subsets"]):
            mine = pd.Series([as_printed(measure, _part(m, kind)[measure]) for m in alone[name]])
            part = _part(ours, kind)
            line = {"task": name, "kind": kind, "measure": measure, "n": part["n"], "trivial": best_trivial(part)}
            line |= {"separate": mine.mean(), "sd": mine.std(), "seeds": len(mine)}
            lines.append({**line, "joint": as_printed(measure, part[measure])})
    table = pd.DataFrame(lines)
    return table.assign(difference=table.joint - table.separate)


def _part(metrics: dict, kind: str) -> dict:
    return metrics["subsets"][kind] if kind else metrics


def costs(results: Path, stores: dict[str, VideoStore], separate: Path) -> pd.DataFrame:
    """What training took, by task: updates, sequences and TFLOP of the separate network (its first seed), and of the
    joint one on this task, as its probability has it; the minutes of the separate run. The run that the joint one
    starts from counts as part of it."""
    sizes = {name: len(store.split("train")) for name, store in stores.items()}
    joint = []
    for config in map(_config, joint_runs(results, separate)):
        its = {name: sizes[name] for name in config.task.split("+")}
        joint.append((config, dict(zip(its, probabilities(config.train.task_weights, its)))))
    lines = []
    for name, store in stores.items():
        if not training_info(own := separate / "runs" / name):
            continue
        line = {"task": name, "minutes_separate": training_info(own)["seconds"] / 60}
        alone = [(_config(own), 1.0)]
        together = [(config, shares.get(name, 0.0)) for config, shares in joint]
        for which, runs in (("separate", alone), ("joint", together)):
            updates = [share * config.steps for config, share in runs]
            line[f"updates_{which}"] = round(sum(updates))
            line[f"sequences_{which}"] = round(sum(n * config.train.batch for n, (config, _) in zip(updates, runs)))
            line[f"tflop_{which}"] = sum(n * _step_flops(config, store) for n, (config, _) in zip(updates, runs)) / 1e12
        lines.append(line)
    return pd.DataFrame(lines)


def joint_runs(results: Path, separate: Path) -> list[Path]:
    """The joint run and the runs that it starts from, latest first: an earlier joint one, and a separate network."""
    runs, places = [results / RUN], [folder / "runs" for folder in (results, project() / "results" / "joint", separate)]
    while (start := here(_config(runs[-1]).init_from or "")).parent in places and training_info(start):
        runs.append(start)
    return runs


def _config(run: Path) -> Config:
    return Config.from_json((run / "config.json").read_text())


def _step_flops(config: Config, store: VideoStore) -> float:
    """FLOP of a training step on this data, on average over the lengths of its sequences."""
    shapes = store.metadata[store.metadata.split == "train"].groupby(["n_in", "n_out"]).size()
    train = config.train
    each = [cost.step_flops(config.model, *shape, train.batch, train.optimizer) for shape in shapes.index]
    return float((each * shapes / shapes.sum()).sum())


def write_table(results: Path, stores: dict[str, VideoStore], separate: Path) -> None:
    """table.csv, a line per task and kind; table.md, the same to read."""
    about = costs(results, stores, separate)
    table = compare(results, separate).merge(about, on="task")
    files.write_text(results / "table.csv", table.round(4).to_csv(index=False))
    ours = [training_info(run) for run in joint_runs(results, separate)]
    minutes = sum(info["seconds"] for info in ours) / 60
    total = (
        f"All together: {about.minutes_separate.sum():.0f} minutes and {about.tflop_separate.sum():,.0f} TFLOP for "
        f"{len(about)} networks, {minutes:.0f} minutes ({ours[0]['device']}) and "
        f"{about.tflop_joint.sum():,.0f} TFLOP for one."
    )
    text = f"# One network\n\n{markdown(readable(table))}\n\n{markdown(readable_costs(about))}\n\n{total} {NOTE}\n"
    files.write_text(results / "table.md", text)


def read_table(results: Path) -> pd.DataFrame:
    """table.csv."""
    return pd.read_csv(results / "table.csv").fillna({"kind": ""})


def readable(table: pd.DataFrame) -> pd.DataFrame:
    """The scores of `compare`, for Markdown."""
    lines = []
    for row in table.itertuples():
        digits = DIGITS.get(row.measure, 1)
        line = {"Task": row.task, "Kind": row.kind, "Measure": HEADS[row.measure]}
        spread = f" ± {row.sd:.{digits}f} ({row.seeds})" if row.seeds > 1 else ""
        trivial = "" if pd.isna(row.trivial) else f"{row.trivial:.{digits}f}"
        line |= {"Trivial": trivial, "A network per task": f"{row.separate:.{digits}f}{spread}"}
        lines.append({**line, "One network": f"{row.joint:.{digits}f}", "Difference": f"{row.difference:+.{digits}f}"})
    return pd.DataFrame(lines)


def readable_costs(table: pd.DataFrame) -> pd.DataFrame:
    """What `costs` counts, for Markdown; also of the table in table.csv."""
    lines = []
    for row in table.drop_duplicates("task").itertuples():
        line = {"Task": row.task}
        for head, name in (("Updates", "updates"), ("Sequences", "sequences"), ("TFLOP", "tflop")):
            for which in ("separate", "joint"):
                line[f"{head}, {which}"] = f"{getattr(row, f'{name}_{which}'):,.0f}"
        lines.append(line)
    return pd.DataFrame(lines)
