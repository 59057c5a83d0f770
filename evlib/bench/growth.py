"""How the cost of a training step grows with frames, width and batch.

The note gives the slopes of seconds and bytes on logarithmic scales: 1 is in proportion, 0 is no growth.
"""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pandas as pd
import torch

from evlib.bench.network import name_of, random_split, training_step
from evlib.bench.timing import in_turns, machine, peak_megabytes, saved_bytes
from evlib.config import preset
from evlib.data.batches import Batch
from evlib.model import NextFrame
from evlib.paper import cost
from evlib.training.device import precision_for
from evlib.training.learner import answer_loss

SIZES = {"frames": (2, 4, 8, 16, 32, 64), "width": (64, 128, 256, 512), "batch": (1, 4, 16, 64)}
FIXED = {"frames": 11, "width": preset("demo").model.width, "batch": 8}  # the sizes that do not vary


def measure(device: torch.device, log: Callable[[str], None]) -> pd.DataFrame:
    """One row per size. `megabytes` of a training step: on a CPU what is saved for the backward pass, on a GPU the peak
    of all tensors; `formula_megabytes`: what evlib.paper.cost predicts."""
    usual, other = ("float32", "bfloat16") if device.type == "cpu" else ("bfloat16", "float32")
    rows = [row for axis in SIZES for row in steps("training step", axis, device, usual)]
    rows += steps(f"training step in {other}", "width", device, other)
    table = pd.DataFrame(rows).assign(**machine(device), note="")
    for (what, axis), group in table.groupby(["what", "axis"], sort=False):
        table.loc[group.index, "note"] = note = slopes(group)
        log(f"{what}, {axis} {group.value.iloc[0]:,} to {group.value.iloc[-1]:,}: {note}")
    return table


def steps(what: str, axis: str, device: torch.device, precision: str) -> Iterator[dict]:
    """Times a training step of preset demo with one size varied, all its values alternately."""
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
        step()  # the first creates the optimizer's state
        torch.cuda.reset_peak_memory_stats(device)
        step()
        peak = peak_megabytes(device)
        others = torch.cuda.memory_allocated(device) - formula.weights - formula.optimizer - formula.data
        return step, peak - others / 1e6, formula.total / 1e6  # other networks of this axis are on the device, too
    video = split.gather(range(batch))
    saved = saved_bytes(net, lambda: answer_loss(net.train(), Batch(video, T, 1), config.train, dtype))
    return step, saved / 1e6, formula.activations / 1e6


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
