"""How cost grows with frames, width and batch, and with the number of sequences in a data set.

The note gives the slopes of seconds and bytes on logarithmic scales: 1 is in proportion, 0 is no growth.
"""

import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from evlib.bench.network import name_of, random_split, training_step
from evlib.bench.timing import in_turns, machine, peak_of_a_repeat, saved_bytes
from evlib.config import preset
from evlib.data.batches import Batch, Batches, Schedule
from evlib.data.store import COLUMNS as METADATA
from evlib.data.store import VERSION, VideoStore
from evlib.model import NextFrame
from evlib.paper import cost
from evlib.training.device import precision_for
from evlib.training.learner import answer_loss

SIZES = {"frames": (2, 4, 8, 16, 32, 64), "width": (64, 128, 256, 512), "batch": (1, 4, 16, 64)}
SEQUENCES = (1_000, 10_000, 100_000, 1_000_000)
FIXED = {"frames": 11, "width": preset("demo").model.width, "batch": 8}  # the sizes that do not vary
DISTINCT, LENGTH = 1_000, 12  # frames of the synthetic store, and of each of its sequences


def measure(device: torch.device, log: Callable[[str], None], host: bool = True) -> pd.DataFrame:
    """One row per size. `megabytes` of a training step: on a CPU what is saved for the backward pass, on a GPU the peak
    of all tensors; `formula_megabytes`: what evlib.paper.cost predicts. Data sets are measured only if `host` is true;
    their `megabytes` are the index, 4 bytes per frame of a sequence."""
    usual, other = ("float32", "bfloat16") if device.type == "cpu" else ("bfloat16", "float32")
    rows = [row for axis in SIZES for row in steps("training step", axis, device, usual)]
    rows += steps(f"training step in {other}", "width", device, other)
    rows += stores(device) if host else ()
    table = pd.DataFrame(rows).assign(**machine(device), note="")
    for (what, axis), group in table.groupby(["what", "axis"], sort=False):
        table.loc[group.index, "note"] = note = slopes(group)
        log(f"{what}, {axis} {group.value.iloc[0]:,} to {group.value.iloc[-1]:,}: {note}")
    return table


def steps(what: str, axis: str, device: torch.device, precision: str) -> Iterator[dict]:
    """Times a training step of preset demo with one size varied, all its values in turns."""
    works, megabytes = {}, {}
    for value in SIZES[axis]:
        works[value], *megabytes[value] = one_step({**FIXED, axis: value}, device, precision)
    timings = in_turns(works, device, patience=12)
    for value, (seconds, repeats) in timings.items():
        row = {"what": what, "axis": axis, "value": value, "dtype": precision, "seconds": seconds}
        yield {**row, **dict(zip(("megabytes", "formula_megabytes"), megabytes[value])), "repeats": repeats}


def one_step(size: dict[str, int], device: torch.device, precision: str) -> tuple[Callable, float, float]:
    """A step of one size, with one answer frame; the megabytes it takes, and what the formula predicts."""
    torch.manual_seed(0)
    T, width, batch = size["frames"], size["width"], size["batch"]
    config = preset("demo").override(width=width, heads=width // 32, batch=batch, precision=precision)
    net, dtype = NextFrame(config.model).to(device), precision_for(config, device)
    split = random_split(T, 1, 4 * batch, device)
    step = training_step(net, config, split)
    data = split.frames.nbytes + split.sequences.nbytes
    formula = cost.memory(config.model, batch, T, 1, config.train.optimizer, name_of(dtype), data)
    if device.type == "cuda":
        peak = peak_of_a_repeat(step, device)
        others = torch.cuda.memory_allocated(device) - formula.weights - formula.optimizer - formula.data
        return step, peak - others / 1e6, formula.total / 1e6  # other networks of this axis are on the device, too
    video = split.gather(range(batch))
    saved = saved_bytes(net, lambda: answer_loss(net.train(), Batch(video, T, 1), config.train, dtype))
    return step, saved / 1e6, formula.activations / 1e6


# ---- data sets -------------------------------------------------------------------------------------------------------


def stores(device: torch.device) -> Iterator[dict]:
    """For a store of each size: opening it, moving its training split to the device, shuffling an epoch, gathering 20
    batches of 16 (the frames are few and shared: only the index grows)."""
    for size in SEQUENCES:
        with tempfile.TemporaryDirectory() as folder:
            write_store(Path(folder), size)
            timings = in_turns(store_works(Path(folder), device), device, repeats=3)
            index = VideoStore.open(folder).sequences.nbytes / 1e6
        formula = cost.store_bytes(0, size, LENGTH) / 1e6
        for what, (seconds, repeats) in timings.items():
            row = {"what": what, "axis": "sequences", "value": size, "seconds": seconds}
            yield {**row, "megabytes": index, "formula_megabytes": formula, "repeats": repeats}


def store_works(folder: Path, device: torch.device) -> dict[str, Callable]:
    store = VideoStore.open(folder)
    split, steps = store.split("train", device), count()
    schedule = Schedule(split, 16, 0)
    batches = Batches(split, schedule, slice(0, 16), device)
    return {
        "store opened": lambda: VideoStore.open(folder),
        "split to the device": lambda: store.split("train", device),
        "epoch shuffled": lambda: Schedule(split, 16, 0).plan(0),
        "20 batches gathered": lambda: [batches[next(steps) % schedule.per_epoch] for _ in range(20)],
    }


def write_store(folder: Path, size: int) -> None:
    """A store of `size` sequences in two shapes, over a few frames of noise."""
    rng = np.random.default_rng(0)
    np.save(folder / "frames.npy", rng.integers(256, size=(DISTINCT, 64, 64, 3), dtype=np.uint8))
    n_in = np.where(np.arange(size) % 2, LENGTH - 1, LENGTH - 2)
    sequences = rng.integers(DISTINCT, size=(size, LENGTH), dtype=np.int32)
    sequences[n_in == LENGTH - 2, -1] = -1
    np.save(folder / "sequences.npy", sequences)
    columns = {name: "" for name in METADATA} | {"split": "train", "n_in": n_in, "n_out": 1, "n_truncated": 0}
    pd.DataFrame(columns)[METADATA].to_parquet(folder / "metadata.parquet")
    (folder / "manifest.json").write_text(json.dumps({"version": VERSION, "sequences": size, "frames": DISTINCT}))


# ---- slopes ----------------------------------------------------------------------------------------------------------


def slope(x: Sequence[float], y: Sequence[float]) -> float:
    """The exponent p of y ~ x^p, by least squares on logarithms."""
    p, _ = np.polyfit(np.log(x), np.log(y), 1)
    return round(float(p), 4) + 0.0  # no minus zero


def slopes(group: pd.DataFrame) -> str:
    """seconds ~ frames^0.93 (1.02 in the last step); bytes ~ ..."""
    axis, parts = group.axis.iloc[0], []
    for name, column in (("seconds", group.seconds), ("bytes", group.megabytes)):
        last = slope(group.value[-2:], column[-2:])
        parts.append(f"{name} ~ {axis}^{slope(group.value, column):.2f} ({last:.2f} in the last step)")
    return "; ".join(parts)
