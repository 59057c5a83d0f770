"""What makes a training step of preset demo cheaper or dearer, all variants of a shape in turns.

    precision    matrix products in float32 or bfloat16 (TrainConfig.precision)
    last_block   "answer frames": the last global block computes queries and MLP for them alone, as the network does;
                 "all frames": for every frame, as a network without this shortcut would
    stem         channels of the convolutional stem (ModelConfig.stem); 0: linear patches

`speedup` is over float32, all frames, linear patches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import product

import pandas as pd
import torch
from torch import Tensor

from evlib.bench.network import random_split, training_step
from evlib.bench.timing import REPEATS, in_turns, machine
from evlib.config import Config, preset
from evlib.model import Block, NextFrame

SHAPES = ((2, 1), (11, 1), (21, 1), (11, 10))  # those of Table 1 but tracking's
STEM = 16  # channels, tried on the shortest shape
BASELINE = ("float32", "all frames", 0)


def measure(
    device: torch.device,
    log: Callable[[str], None],
    shapes: Sequence[tuple[int, int]] = SHAPES,
    config: Config | None = None,
    repeats: int = REPEATS,
) -> pd.DataFrame:
    """One row per shape and variant."""
    rows = []
    for n_in, n_out in shapes:
        for row in steps(config or preset("demo"), n_in, n_out, device, repeats, stem=(n_in, n_out) == shapes[0]):
            rows.append(row)
            log(
                f"training step, {n_in} -> {n_out}, {row['precision']}, last block: {row['last_block']}, "
                f"stem {row['stem']}: {row['seconds']:.3f} s, speedup {row['speedup']:.2f}"
            )
    return pd.DataFrame(rows).assign(**machine(device))


def steps(
    config: Config, n_in: int, n_out: int, device: torch.device, repeats: int = REPEATS, stem: bool = False
) -> Iterable[dict]:
    """A training step of every variant on n_in input and n_out answer frames; with the stem, too, if asked for."""
    variants = list(product(("float32", "bfloat16"), ("all frames", "answer frames"), (0,)))
    if stem:
        variants.append(("float32", "answer frames", STEM))
    split = random_split(n_in, n_out, 4 * config.train.batch, device)
    works = {}
    for precision, last_block, channels in variants:
        settings = config.override(precision=precision, stem=channels, compile="off")
        torch.manual_seed(0)
        net = NextFrame(settings.model).to(device)
        if last_block == "all frames":
            compute_all_frames(net.middle[-1])
        works[precision, last_block, channels] = training_step(net, settings, split)
    timings = in_turns(works, device, repeats, patience=12)
    for variant in variants:
        yield {
            "what": "training step",
            "n_in": n_in,
            "n_out": n_out,
            "batch": config.train.batch,
            **dict(zip(("precision", "last_block", "stem"), variant)),
            "seconds": timings[variant].seconds,
            "speedup": timings[BASELINE].seconds / timings[variant].seconds,
            "repeats": timings[variant].repeats,
        }


def compute_all_frames(block: Block) -> None:
    """The block computes every frame before it hands on the `last` ones: the same numbers at more work."""

    def forward(x: Tensor, cache: dict | None = None, last: int | None = None) -> Tensor:
        y = Block.forward(block, x, cache)
        return y if last is None else y[:, -last:]

    block.forward = forward
