"""The same work done in other ways, alternately in one process. The slowdown is the peer's seconds divided by ours.

* a training step of timesformer-pytorch, an implementation of divided space-time attention that people use
* generation without a cache: the whole sequence is computed again for every frame
* reading frames with one pytesseract call each
* a data set that opens, decodes and renders its official files at every step
"""

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytesseract
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from evlib.bench.ends import word_frames
from evlib.bench.network import random_split
from evlib.bench.timing import REPEATS, in_turns, machine
from evlib.config import SIZE, ModelConfig, TrainConfig, preset
from evlib.data import tasks
from evlib.data.batches import Batch
from evlib.data.encode import encode
from evlib.data.tasks.base import Item, Task
from evlib.frames.render import render_example
from evlib.generation import generate
from evlib.model import NextFrame
from evlib.paper import cost
from evlib.scoring import ocr
from evlib.training.device import autocast, precision_for
from evlib.training.learner import answer_loss
from evlib.training.optim import make_optimizers
from evlib.utils.errors import EvlibError

FRAMES, BATCH = 20, 8  # frames generated, sequences at a time
READ, SINGLY = 500, 20  # frames that we read, and frames that the peer reads one by one
COLUMNS = "what ours peer ours_seconds peer_seconds slowdown repeats device note"
TIMESFORMER = "timesformer-pytorch 0.4.1"
FILES = ("fsdd", "audiomnist", "tinyvirat", "lasot")  # data sets with one example per file; measured if present


class Pair(NamedTuple):
    """Two ways to do the same work."""

    ours: Callable
    peer: Callable
    note: str = ""
    counts: tuple[int, int] = (1, 1)  # how many items one call of each handles; seconds are per item


def measure(data: Path, device: torch.device, log: Callable[[str], None]) -> pd.DataFrame:
    """A table with COLUMNS, one row per comparison; those of work outside the network only on a CPU."""
    rows = []
    for what, ours, peer, make in comparisons(data, device):
        try:
            measured = compared(make(), device)
            log(f"{what}, {peer}: slowdown {measured['slowdown']:.2f}")
        except EvlibError as error:
            measured = {"note": f"not measured: {error}"}
            log(f"{what}: {measured['note']}")
        rows.append({"what": what, "ours": ours, "peer": peer, **measured})
    return pd.DataFrame(rows).reindex(columns=COLUMNS.split()).assign(**machine(device))


def comparisons(data: Path, device: torch.device) -> Iterator[tuple[str, str, str, Callable[[], Pair]]]:
    """What is compared, ours and the peer by name, and a function that makes the pair or raises an EvlibError."""
    demo = preset("demo").model
    wide, paper = replace(demo, width=512, heads=8), replace(preset("paper").model, dropout=0.0)
    sizes = [(demo, 8, 2, 16), (demo, 8, 11, 16), (wide, 8, 11, 8), (paper, 8, 11, 2)]
    sizes += [(demo, 16, 2, 16), (demo, 16, 11, 16), (wide, 16, 11, 8)]
    for model, patch, n_in, batch in sizes:
        blocks = "the paper's 9 blocks" if model is paper else "3 blocks"
        equal = "equal patches" if patch == 8 else "equal tokens"
        what = f"training step, width {model.width}, {blocks}, {equal}, {n_in} frames, batch {batch}"
        yield what, "evlib", TIMESFORMER, partial(step_pair, model, patch, n_in, batch, device)
    for n_in in (2, 21):
        what, naive = f"generation, {n_in} -> {FRAMES} frames, batch {BATCH}, preset demo", "the whole sequence again"
        yield what, "a cache of keys and values", f"{naive} for every frame", partial(generation_pair, n_in, device)
    if device.type == "cpu":
        yield "reading a frame", "ocr.read_words", "pytesseract, one call per frame", reading_pair
        for name in FILES:
            what = f"a batch from files, {name}, 16 sequences"
            yield what, "gathered from the store", "files opened at every step", partial(file_pair, name, data)


def compared(pair: Pair, device: torch.device, repeats: int = REPEATS) -> dict:
    """The measured columns of a row."""
    timings = in_turns({"ours": pair.ours, "peer": pair.peer}, device, repeats)
    ours, peer = (timings[name].seconds / count for name, count in zip(("ours", "peer"), pair.counts))
    row = {"ours_seconds": ours, "peer_seconds": peer, "slowdown": peer / ours}
    return {**row, "repeats": timings["ours"].repeats, "note": pair.note}


# ---- another library -------------------------------------------------------------------------------------------------


def step_pair(model: ModelConfig, patch: int, n_in: int, batch: int, device: torch.device) -> Pair:
    """Forward, loss, backward and AdamW, in the same precision, with equal width, heads, blocks, frames and batch. Ours
    predicts the next frame, the peer one of ten classes; ours merges patches of 8 pixels to 16 for its global blocks,
    so with patches of 16 the peer has as many tokens per block as those."""
    torch.manual_seed(0)
    settings = TrainConfig(optimizer="adamw")
    dtype = precision_for(preset("demo").override(width=model.width, heads=model.heads), device)
    video = random_split(n_in, 1, batch, device).gather(range(batch))
    peer, net = timesformer(model, patch, n_in).to(device), NextFrame(model).to(device)
    pixels, classes = video[:, :n_in].float() / 255, torch.arange(batch, device=device) % 10

    def peer_loss() -> Tensor:
        with autocast(dtype, device):
            return F.cross_entropy(peer(pixels).float(), classes)

    def step(network: nn.Module, optimizers: list, loss_of: Callable[[], Tensor]) -> None:
        network.train()
        loss_of().backward()
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)

    with FlopCounterMode(display=False) as counter, torch.no_grad():
        peer(pixels[:1])
    more = counter.get_total_flops() / cost.flops(model, n_in, 1)
    patches = f"{(SIZE // patch) ** 2} patches per frame in every block"
    ours, theirs = make_optimizers(net, settings), torch.optim.AdamW(peer.parameters(), fused=device.type == "cuda")
    return Pair(
        lambda: step(net, ours, lambda: answer_loss(net, Batch(video, n_in, 1), settings, dtype)),
        lambda: step(peer, [theirs], peer_loss),
        f"the peer computes {more:.1f} times as much (gated MLPs, a class token, {patches})",
    )


def timesformer(model: ModelConfig, patch: int, frames: int) -> nn.Module:
    """The peer at our width, heads, and number of blocks: (B, T, 3, 64, 64) float -> (B, 10)."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)  # of the peer's source, when Python first compiles it
            from timesformer_pytorch import TimeSformer
    except ImportError:
        how = "`pip install --no-deps timesformer-pytorch==0.4.1` adds it."
        raise EvlibError(f"timesformer-pytorch is not installed; {how}") from None
    heads = {"heads": model.heads, "dim_head": model.width // model.heads}
    depth = 2 * model.local_blocks + model.global_blocks
    size = {"image_size": SIZE, "patch_size": patch, "num_frames": frames}
    return TimeSformer(dim=model.width, depth=depth, num_classes=10, **size, **heads)


# ---- no cache --------------------------------------------------------------------------------------------------------


def generation_pair(n_in: int, device: torch.device) -> Pair:
    model = preset("demo").model
    net = NextFrame(model).to(device).eval()
    frames = random_split(n_in, 1, BATCH, device).gather(range(BATCH))[:, :n_in]
    more = sum(cost.flops(model, n_in + i, 1) for i in range(FRAMES)) / cost.generation_flops(model, n_in, FRAMES)
    ours, peer = (partial(work, net, frames, FRAMES) for work in (generate, generate_without_cache))
    return Pair(ours, peer, f"{more:.1f} times the arithmetic")


@torch.inference_mode()
def generate_without_cache(net: NextFrame, frames: Tensor, count: int) -> Tensor:
    """As `generate`: uint8 (B, T, 3, 64, 64) -> the `count` frames after them, float 0..1."""
    video = frames.float() / 255
    for _ in range(count):
        video = torch.cat([video, net(video, last=1)], dim=1)
    return video[:, frames.shape[1] :]


# ---- reading ---------------------------------------------------------------------------------------------------------


def reading_pair() -> Pair:
    ocr.require_tesseract()
    frames = word_frames(READ)

    def one_by_one() -> None:
        for frame in frames[:SINGLY]:
            pytesseract.image_to_string(ocr.prepare(frame), config=ocr.PAGE_MODE)

    note = f"{READ} frames in lists of {ocr.PAGES}, against {SINGLY} calls"
    return Pair(lambda: ocr.read_words(frames, torch.get_num_threads()), one_by_one, note, (READ, SINGLY))


# ---- files at every step ---------------------------------------------------------------------------------------------


def from_files(task: Task, items: Sequence[Item]) -> Tensor:
    """A batch made in the most obvious way: every official file read, decoded and rendered. uint8 (B, T, 3, 64, 64)"""
    examples = [render_example(item.load(), task.max_inputs) for item in items]
    frames = [np.stack([frame.pixels for frame in (*example.inputs, *example.outputs)]) for example in examples]
    return torch.from_numpy(np.stack(frames)).permute(0, 1, 4, 2, 3)


def file_pair(name: str, data: Path) -> Pair:
    task = tasks.get(name)
    split = encode(task, data, log=lambda line: None).split("train")
    rows = max(split.shapes().values(), key=len)[:16]
    items = [item for item in task.items(task.root(data)) if item.split == "train"]
    note = "no workers; the peer, too, caches rendered words"
    return Pair(lambda: split.gather(rows), lambda: from_files(task, [items[i] for i in rows]), note)
