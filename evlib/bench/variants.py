"""What makes a training step of preset demo faster or slower; all variants of a shape are timed alternately.

    precision    matrix products in float32 or bfloat16 (TrainConfig.precision)
    last_block   "answer frames": the last global block computes queries and MLP for them only, as the network does;
                 "all frames": for every frame, as a network without this shortcut would
    stem         channels of the convolutional stem (ModelConfig.stem); 0: linear patches

`speedup` is relative to float32, all frames, linear patches.
"""

from collections.abc import Callable

import pandas as pd
import torch
from torch import Tensor

from evlib.bench.network import random_split, training_step
from evlib.bench.timing import in_turns, machine
from evlib.config import Config, preset
from evlib.model import Block, NextFrame

SHAPES = ((2, 1), (11, 1), (21, 1), (11, 10))  # those of Table 1 but tracking's
VARIANTS = (
    ("float32", "all frames", 0),  # the first is what the others are compared with
    ("float32", "answer frames", 0),
    ("bfloat16", "all frames", 0),
    ("bfloat16", "answer frames", 0),
    ("float32", "answer frames", 16),  # on the shortest shape alone
)


def measure(
    device: torch.device, log: Callable[[str], None], base: Config | None = None, repeats: int = 5
) -> pd.DataFrame:
    """One row per shape and variant of `base`, or preset demo."""
    base, rows = base or preset("demo"), []
    for n_in, n_out in SHAPES:
        split = random_split(n_in, n_out, 4 * base.train.batch, device)
        variants = [variant for variant in VARIANTS if not variant[2] or (n_in, n_out) == SHAPES[0]]
        works = {}
        for precision, last_block, stem in variants:
            config = base.override(precision=precision, stem=stem, compile="off")
            torch.manual_seed(0)
            net = NextFrame(config.model).to(device)
            if last_block == "all frames":
                compute_all_frames(net.middle[-1])
            works[precision, last_block, stem] = training_step(net, config, split)
        timings = in_turns(works, device, repeats, patience=12)
        for variant in variants:
            row = {"what": "training step", "n_in": n_in, "n_out": n_out, "batch": base.train.batch}
            row |= dict(zip(("precision", "last_block", "stem"), variant)) | {"seconds": timings[variant].seconds}
            row |= {"speedup": timings[VARIANTS[0]].seconds / row["seconds"], "repeats": timings[variant].repeats}
            rows.append(row)
            log("  ".join(f"{name} {value}" for name, value in row.items()))
    return pd.DataFrame(rows).assign(**machine(device))


def compute_all_frames(block: Block) -> None:
    """Makes the block compute every frame before it returns the `last` ones: the same numbers with more work."""

    def forward(x: Tensor, cache: dict | None = None, last: int | None = None) -> Tensor:
        y = Block.forward(block, x, cache)
        return y if last is None else y[:, -last:]

    block.forward = forward
