"""How cost grows: with frames, width, batch, and with the number of sequences in a data set.

The slope of seconds and bytes on logarithmic scales is in the note: 1 is in proportion, 0 is not at all.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from evlib.bench.clock import in_turns, kept_bytes, medians, once, peak_of_a_repeat, place
from evlib.bench.network import name_of, random_split, training_step
from evlib.config import Config, preset
from evlib.data.batches import Batch, Batches, Schedule
from evlib.data.store import COLUMNS as ANSWERS
from evlib.data.store import VERSION, VideoStore
from evlib.model import NextFrame
from evlib.paper import cost
from evlib.training.device import precision_for
from evlib.training.train import answer_loss

FRAMES, WIDTHS, BATCHES = (2, 4, 8, 16, 32, 64), (64, 128, 256, 512), (1, 2, 4, 8, 16, 32, 64)
SEQUENCES = (1_000, 10_000, 100_000, 1_000_000)
FIXED = {"frames": 11, "width": preset("demo").model.width, "batch": 8}  # what does not grow
HOST = ("store opened", "epoch shuffled")  # not the work of a GPU, and measured with a CPU only
DISTINCT, LENGTH = 1_000, 12  # frames of the synthetic store, and of each of its sequences
COLUMNS = [
    "what",
    "axis",
    "value",
    "dtype",
    "seconds",
    "megabytes",
    "formula_megabytes",
    "repeats",
    "device",
    "threads",
    "note",
]


def measure(
    device: torch.device,
    log: Callable[[str], None],
    frames: Sequence[int] = FRAMES,
    widths: Sequence[int] = WIDTHS,
    batches: Sequence[int] = BATCHES,
    sequences: Sequence[int] = SEQUENCES,
) -> pd.DataFrame:
    """COLUMNS. `megabytes` of a training step: on a CPU what is kept for the backward pass, on a GPU the peak of all tensors;
    `formula_megabytes` what evlib.cost says of it. Of a data set: the index, 4 bytes a frame shown."""
    rows = []
    for axis, values in (("frames", frames), ("width", widths), ("batch", batches)):
        rows += steps(axis, values, device)
    for precision in ("float32", "bfloat16"):  # which is faster from which width on: device.WIDE
        rows += steps("width", widths, device, precision)
    rows += stores(sequences, device)
    table = pd.DataFrame(rows).reindex(columns=COLUMNS).assign(**place(device))
    table["note"] = table.groupby(["what", "axis"], sort=False, group_keys=False)[
        ["axis", "value", "seconds", "megabytes"]
    ].apply(lambda group: pd.Series(slopes(group), index=group.index))
    for (what, axis), group in table.groupby(["what", "axis"], sort=False):
        first, last = group.iloc[0], group.iloc[-1]
        log(
            f"{what}, {axis} {first.value:,} to {last.value:,}: {first.seconds:.4g} to {last.seconds:.4g} s; {first.note}"
        )
    return table


def steps(axis: str, values: Sequence[int], device: torch.device, precision: str = "auto") -> Iterable[dict]:
    """A training step of preset demo with one size changed, all sizes in turns."""
    works, bytes_, formulas, types = {}, {}, {}, {}
    for value in values:
        size = {**FIXED, axis: value}
        config = preset("demo").override(
            width=size["width"], heads=size["width"] // 32, batch=size["batch"], precision=precision
        )
        types[value] = name_of(precision_for(config, device))
        works[value], bytes_[value], formulas[value] = one_step(config, size["frames"], device)
    seconds = in_turns(works, device, patience=40)
    for value, took in medians(seconds).items():
        yield {
            "what": "training step" if precision == "auto" else f"training step in {precision}",
            "axis": axis,
            "value": value,
            "dtype": types[value],
            "seconds": round(took, 5),
            "megabytes": round(bytes_[value] / 1e6, 2),
            "formula_megabytes": round(formulas[value] / 1e6, 2),
            "repeats": len(seconds[value]),
        }


def one_step(config: Config, T: int, device: torch.device) -> tuple[Callable, float, float]:
    """A step on T input frames and one of answer; the bytes it takes, and what they should be."""
    torch.manual_seed(0)
    net, dtype, batch = NextFrame(config.model).to(device), precision_for(config, device), config.train.batch
    split = random_split(T, 1, 4 * batch, device)
    step = training_step(net, config, split)
    data = split.frames.nbytes + split.sequences.nbytes
    formula = cost.memory(config.model, batch, T, 1, config.train.optimizer, name_of(dtype), data)
    if device.type == "cuda":
        peak = peak_of_a_repeat(step, device) * 1e6
        held = torch.cuda.memory_allocated(
            device
        )  # between steps; other networks of this axis are on the device as well
        ours = formula.weights + formula.optimizer + formula.data
        return step, peak - held + ours, formula.total
    video = split.gather(range(batch))
    return (
        step,
        kept_bytes(net, lambda: answer_loss(net.train(), Batch(video, T, 1), config.train, dtype)),
        formula.activations,
    )


# ------------------------------------------------------------------------------------ data sets


def stores(sizes: Sequence[int], device: torch.device) -> Iterable[dict]:
    """A store of every size: opened, its training split brought to the device, an epoch shuffled, a batch of 16 gathered (the
    frames are few and shared: what grows is the index)."""
    for size in sizes:
        with tempfile.TemporaryDirectory() as folder:
            write_store(Path(folder), size)
            opened = repeated(lambda: VideoStore.open(folder), device)
            store = VideoStore.open(folder)
            uploaded = repeated(lambda: store.split("train", device), device)
            split = store.split("train", device)
            planned = repeated(lambda: Schedule(split, 16, 0).plan(0), device)
            batches = Batches(split, Schedule(split, 16, 0), slice(0, 16), device)
            rounds = iter(range(10**9))
            gathered = repeated(lambda: [batches[next(rounds) % batches.schedule.per_epoch] for _ in range(20)], device)
            index = store.sequences.nbytes / 1e6
            works = {
                "store opened": opened,
                "split to the device": uploaded,
                "epoch shuffled": planned,
                "batch gathered": gathered / 20,
            }
            for what, seconds in works.items():
                if what in HOST and device.type == "cuda":
                    continue
                yield {
                    "what": what,
                    "axis": "sequences",
                    "value": size,
                    "seconds": round(seconds, 6),
                    "repeats": 3,
                    "megabytes": round(index, 3),
                    "formula_megabytes": round(cost.store_bytes(0, size, LENGTH) / 1e6, 3),
                }


def repeated(work: Callable, device: torch.device, repeats: int = 3) -> float:
    """The median second; the first call is not counted."""
    work()
    return float(np.median([once(work, device) for _ in range(repeats)]))


def write_store(folder: Path, size: int) -> None:
    """A store of `size` sequences in two shapes, over a few frames of noise."""
    rng = np.random.default_rng(0)
    np.save(folder / "frames.npy", rng.integers(256, size=(DISTINCT, 64, 64, 3), dtype=np.uint8))
    n_in = np.where(np.arange(size) % 2, LENGTH - 1, LENGTH - 2)
    sequences = rng.integers(DISTINCT, size=(size, LENGTH), dtype=np.int32)
    sequences[n_in == LENGTH - 2, -1] = -1
    np.save(folder / "sequences.npy", sequences)
    table = {
        "split": "train",
        "n_in": n_in,
        "n_out": 1,
        "n_cut": 0,
        "question": "",
        "answer": "yes",
        "source": "",
        "group": "",
    }
    pd.DataFrame(table)[ANSWERS].to_parquet(folder / "metadata.parquet")
    (folder / "manifest.json").write_text(json.dumps({"version": VERSION, "sequences": size, "frames": DISTINCT}))


# ------------------------------------------------------------------------------------ slopes


def slope(x: Sequence[float], y: Sequence[float]) -> float:
    """The exponent p of y ~ x^p, by least squares on logarithms."""
    return (
        round(float(np.polyfit(np.log(np.asarray(x, float)), np.log(np.asarray(y, float)), 1)[0]), 4) + 0.0
    )  # no minus zero


def slopes(group: pd.DataFrame) -> str:
    """seconds ~ frames^0.93 (1.02 in the last step)"""
    if len(group) < 2:
        return ""
    said = []
    for name, column in (("seconds", group.seconds), ("bytes", group.megabytes)):
        said.append(
            f"{name} ~ {group.axis.iloc[0]}^{slope(group.value, column):.2f} ({slope(group.value[-2:], column[-2:]):.2f} in the last step)"
        )
    return "; ".join(said)
