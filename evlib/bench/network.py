"""The network alone: forward pass, training step and generation for the shapes of Table 1.

The main result is the utilization: FLOP (evlib.paper.cost) per second, divided by those of one big matrix product of
the same dtype, measured alternately. It is the share of the machine that the network uses.
"""

from collections.abc import Callable, Sequence
from itertools import count

import numpy as np
import pandas as pd
import torch

from evlib.bench.timing import in_turns, machine, product
from evlib.config import Config, preset
from evlib.data.batches import Batches, Schedule
from evlib.data.store import Split
from evlib.generation import generate
from evlib.model import NextFrame
from evlib.paper import cost, table1
from evlib.training.device import precision_for
from evlib.training.learner import Learner

SHAPES = table1.distinct()
WORKS = ("forward", "training step", "generation")
ON_CPU = {"demo": 16, "paper": 1, "fast": 1}  # sequences per step at most: those of Table 1 would take minutes


def measure(presets: Sequence[str], device: torch.device, log: Callable[[str], None]) -> pd.DataFrame:
    """One row per preset, shape and work. `frames_per_second` counts input and answer frames."""
    rows = []
    for name in presets:
        for shape, (n_in, n_out, batch) in SHAPES.items():
            config = preset(name).override(batch=batch if device.type == "cuda" else min(batch, ON_CPU[name]))
            for what in WORKS:
                row = utilization(what, config, n_in, n_out, device)
                rows.append({"what": what, "shape": shape, "preset": name, **row})
                log(
                    f"{name} {what}, {n_in} -> {n_out}, batch {row['batch']}: {row['seconds']:.3f} s, "
                    f"{row['frames_per_second']:,.0f} frames/s, {row['utilization']:.0%} of this machine's "
                    f"{row['matmul_gflop_per_second']:,.0f} GFLOP/s in {row['dtype']}"
                )
    return pd.DataFrame(rows)


def utilization(what: str, config: Config, n_in: int, n_out: int, on: torch.device) -> dict:
    """Times one of WORKS, alternately with the matrix product it is compared with."""
    batch = config.train.batch
    dtype = precision_for(config, on) if what == "training step" else torch.float32  # as evlib validates and generates
    work, flop = work_of(what, config, n_in, n_out, on)
    yardstick, unit = product(dtype, on)
    timings = in_turns({"work": work, "yardstick": yardstick}, on)
    seconds = timings["work"].seconds
    rate, limit = flop / seconds, unit / timings["yardstick"].seconds
    row = {"n_in": n_in, "n_out": n_out, "batch": batch, "dtype": name_of(dtype), "seconds": seconds}
    row |= {"frames_per_second": batch * (n_in + n_out) / seconds, "gflop": flop / 1e9}
    row |= {"gflop_per_second": rate / 1e9, "matmul_gflop_per_second": limit / 1e9, "utilization": rate / limit}
    return {**row, "repeats": timings["work"].repeats, **machine(on)}


def work_of(what: str, config: Config, n_in: int, n_out: int, device: torch.device) -> tuple[Callable, float]:
    """One of WORKS, as evlib does it, for a batch of one shape, and its FLOP."""
    model, batch = config.model, config.train.batch
    torch.manual_seed(config.seed)
    net, split, rows = NextFrame(model).to(device), random_split(n_in, n_out, 4 * batch, device), np.arange(batch)
    if what == "training step":
        flop = cost.step_flops(model, n_in, n_out, batch, config.train.optimizer)
        return training_step(net, config, split), flop
    if what == "generation":
        flop = batch * cost.generation_flops(model, n_in, n_out)
        return lambda: generate(net, split.gather(rows)[:, :n_in], n_out), flop
    net.eval()
    forward = torch.inference_mode()(lambda: net(split.gather(rows)[:, :-1], last=n_out))
    return forward, batch * cost.flops(model, n_in, n_out)


def training_step(net: NextFrame, config: Config, split: Split) -> Callable[[], None]:
    """What `train` does at every step: gather, forward, loss, backward, clip, optimizers. Each call is one step."""
    learner, batch, steps = Learner(config, net), config.train.batch, count()
    batches = Batches(split, Schedule(split, batch, config.seed), slice(0, batch), split.frames.device)
    return lambda: learner.step(batches[next(steps)])


def random_split(n_in: int, n_out: int, sequences: int, device: torch.device) -> Split:
    """Sequences of one shape over 256 frames of noise. Speed does not depend on the pixels."""
    rng = np.random.default_rng(0)
    pixels = torch.from_numpy(rng.integers(256, size=(256, 64, 64, 3), dtype=np.uint8))
    index = torch.from_numpy(rng.integers(256, size=(sequences, n_in + n_out), dtype=np.int32))
    lengths = pd.DataFrame({"n_in": n_in, "n_out": n_out}, index=range(sequences))
    return Split("train", pixels.to(device), index.to(device), lengths)


def name_of(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
