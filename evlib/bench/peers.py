"""The same work done otherwise, in turns in one process. A ratio above 1 says how many times longer the other way takes.

* a training step of timesformer-pytorch, an implementation of divided space-time attention that people use
* generation without a cache: the whole sequence again for every frame
* reading frames with one pytesseract call each
* a data set that opens, decodes and draws its official files at every step
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytesseract
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import Dataset
from torch.utils.flop_counter import FlopCounterMode

from evlib.bench.clock import REPEATS, in_turns, medians, place
from evlib.bench.network import random_split
from evlib.config import ModelConfig, TrainConfig, preset
from evlib.data import tasks
from evlib.data.batches import Batch
from evlib.data.encode import encode
from evlib.data.tasks.base import Task
from evlib.frames.render import render_example, word_frame
from evlib.generate import generate
from evlib.model import SIZE, NextFrame
from evlib.paper import cost
from evlib.scoring import ocr as decode
from evlib.training.device import autocast, precision_for
from evlib.training.optim import make_optimizers
from evlib.training.train import answer_loss
from evlib.utils.errors import EvlibError

HOST = (
    "reading a frame",
    "a batch from files",
)  # starts of what is not the work of a GPU, and measured with a CPU only
FRAMES = 20  # generated
COLUMNS = ["what", "ours", "peer", "ours_seconds", "peer_seconds", "ratio", "repeats", "device", "threads", "note"]
TIMESFORMER = "timesformer-pytorch 0.4.1"
FILES = ("fsdd", "audiomnist", "tinyvirat", "lasot")  # of these a file holds one example; as far as they are there

Pair = dict[str, Callable]  # "ours" and "peer"


def measure(data: Path, device: torch.device, log: Callable[[str], None]) -> pd.DataFrame:
    """COLUMNS, a row a comparison."""
    comparisons = [lambda: steps(device), lambda: generation(device)]
    if device.type == "cpu":
        comparisons += [reading, lambda: from_files(data)]
    rows = []
    for comparison in comparisons:
        for row in comparison():
            rows.append(row)
            log(
                f"{row['what']}: {row['ours_seconds']:.4f} s, {row['peer']}: {row['peer_seconds']:.4f} s, {row['ratio']:.2f} times as long"
                if "ratio" in row
                else f"{row['what']}: {row['note']}"
            )
    return pd.DataFrame(rows).reindex(columns=COLUMNS).assign(**place(device))


def compared(
    what: str,
    ours: str,
    peer: str,
    pair: Pair,
    device: torch.device,
    note: str = "",
    each: dict[str, int] | None = None,
    repeats: int = REPEATS,
) -> dict:
    """A row. `each`: things that one call does, by name, where the two do different numbers of them; then seconds are per thing."""
    seconds = in_turns(pair, device, repeats)
    took = {name: value / (each or {}).get(name, 1) for name, value in medians(seconds).items()}
    return {
        "what": what,
        "ours": ours,
        "peer": peer,
        "ours_seconds": round(took["ours"], 6),
        "peer_seconds": round(took["peer"], 6),
        "ratio": round(took["peer"] / took["ours"], 2),
        "repeats": len(seconds["ours"]),
        "note": note,
    }


# ------------------------------------------------------------------------------------ another library


def steps(device: torch.device) -> Iterable[dict]:
    """Forward, loss, backward, AdamW. Ours draws the next frame and is scored by MS-SSIM, the peer names one of ten classes. At
    equal width, heads, number of blocks, frames and batch: once with equal patches of 8 pixels, which ours merges to 16 for its
    global blocks, and once with the peer's patches of 16, so that both have equally many tokens in a block."""
    demo, paper = preset("demo").model, preset("paper").model
    wide = replace(demo, width=512, heads=8)
    small, large, whole = f"width {demo.width}, 3 blocks", "width 512, 3 blocks", "width 512, the paper's 9 blocks"
    for name, model, patch, n_in, batch in (
        (f"{small}, equal patches", demo, 8, 2, 16),
        (f"{small}, equal patches", demo, 8, 11, 16),
        (f"{large}, equal patches", wide, 8, 11, 8),
        (f"{whole}, equal patches", replace(paper, dropout=0.0), 8, 11, 2),
        (f"{small}, equal tokens", demo, 16, 2, 16),
        (f"{small}, equal tokens", demo, 16, 11, 16),
        (f"{large}, equal tokens", wide, 16, 11, 8),
    ):
        what = f"training step, {name}, {n_in} frames, batch {batch}"
        try:
            pair, note = step_pair(model, patch, n_in, batch, device)
        except EvlibError as error:
            yield {"what": what, "ours": "evlib", "peer": TIMESFORMER, "note": f"not measured: {error}"}
            continue
        yield compared(what, "evlib", TIMESFORMER, pair, device, note)


def step_pair(model: ModelConfig, patch: int, n_in: int, batch: int, device: torch.device) -> tuple[Pair, str]:
    """The two steps, with the same AdamW, in the same precision, on frames that are already on the device."""
    torch.manual_seed(0)
    settings = TrainConfig(optimizer="adamw")
    dtype = precision_for(preset("demo").override(width=model.width, heads=model.heads), device)
    video = random_split(n_in, 1, batch, device).gather(range(batch))
    peer, net = timesformer(model, patch, n_in).to(device), NextFrame(model).to(device)
    pixels, classes = video[:, :n_in].float() / 255, torch.arange(batch, device=device) % 10

    def step(network: nn.Module, loss_of: Callable[[], Tensor]) -> Callable[[], None]:
        own = network is net
        optimizers = (
            make_optimizers(net, settings)
            if own
            else [torch.optim.AdamW(network.parameters(), lr=settings.lr, fused=device.type == "cuda")]
        )

        def work() -> None:
            network.train()
            loss_of().backward()
            for optimizer in optimizers:
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)

        return work

    def named() -> Tensor:
        with autocast(dtype, device):
            return F.cross_entropy(peer(pixels).float(), classes)

    with FlopCounterMode(display=False) as counter, torch.no_grad():
        peer(pixels[:1])
    more = counter.get_total_flops() / cost.flops(model, n_in, 1)
    note = f"the peer computes {more:.1f} times as much (gated MLPs, a class token, {(SIZE // patch) ** 2} patches a frame in every block)"
    return {
        "ours": step(net, lambda: answer_loss(net, Batch(video, n_in, 1), settings, dtype)),
        "peer": step(peer, named),
    }, note


def timesformer(model: ModelConfig, patch: int, frames: int) -> nn.Module:
    """The peer at our width, heads, and number of blocks: (B, T, 3, 64, 64) float -> (B, 10)."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)  # of the peer's source, when Python first compiles it
            from timesformer_pytorch import TimeSformer
    except ImportError:
        raise EvlibError(
            "timesformer-pytorch is not installed; `pip install --no-deps timesformer-pytorch==0.4.1` adds it."
        ) from None
    return TimeSformer(
        dim=model.width,
        image_size=SIZE,
        patch_size=patch,
        num_frames=frames,
        num_classes=10,
        depth=2 * model.local_blocks + model.global_blocks,
        heads=model.heads,
        dim_head=model.width // model.heads,
    )


# ------------------------------------------------------------------------------------ no cache


def generation(device: torch.device, batch: int = 8) -> Iterable[dict]:
    model = preset("demo").model
    net = NextFrame(model).to(device).eval()
    for n_in in (2, 21):
        frames = random_split(n_in, 1, batch, device).gather(range(batch))[:, :n_in]
        more = cost.naive_generation_flops(model, n_in, FRAMES) / cost.generation_flops(model, n_in, FRAMES)
        pair = {
            "ours": lambda frames=frames: generate(net, frames, FRAMES),
            "peer": lambda frames=frames: generate_again(net, frames, FRAMES),
        }
        yield compared(
            f"generation, {n_in} -> {FRAMES} frames, batch {batch}, preset demo",
            "keys and values kept",
            "the whole sequence again for every frame",
            pair,
            device,
            f"{more:.1f} times the arithmetic",
        )


@torch.inference_mode()
def generate_again(net: NextFrame, frames: Tensor, count: int) -> Tensor:
    """`generate.generate` without its cache."""
    shown, given = frames.float() / 255 if frames.dtype == torch.uint8 else frames, frames.shape[1]
    for _ in range(count):
        shown = torch.cat([shown, net(shown, last=1)], dim=1)
    return shown[:, given:]


# ------------------------------------------------------------------------------------ reading


def reading(count: int = 500, singly: int = 20) -> Iterable[dict]:
    words = ["positive", "negative", *tasks.get("cifar10").answers.classes, *tasks.get("fsdd").answers.classes]
    frames = np.stack([word_frame(words[i % len(words)]) for i in range(count)])

    def one_by_one() -> None:
        for frame in frames[:singly]:
            pytesseract.image_to_string(decode.prepare(frame), config=decode.PAGE_MODE)

    try:
        decode.require_tesseract()
    except EvlibError as error:
        yield {
            "what": "reading a frame",
            "ours": "decode.read_words",
            "peer": "pytesseract, one call a frame",
            "note": f"not measured: {error}",
        }
        return
    pair = {"ours": lambda: decode.read_words(frames), "peer": one_by_one}
    yield compared(
        "reading a frame",
        "decode.read_words",
        "pytesseract, one call a frame",
        pair,
        torch.device("cpu"),
        f"{count} frames in lists of {decode.PAGES}, against {singly} calls",
        {"ours": count, "peer": singly},
    )


# ------------------------------------------------------------------------------------ files at every step


class FromFiles(Dataset):
    """A data set as one would write it first: sample i is read from its official file, decoded and drawn, every time."""

    def __init__(self, task: Task, data: Path, split: str = "train"):
        self.task, self.items = task, [item for item in task.items(task.root(data)) if item.split == split]

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, i: int) -> Tensor:
        """uint8 (T, 64, 64, 3)"""
        drawn = render_example(self.items[i].load(), self.task.max_inputs)
        return torch.from_numpy(np.stack([frame.pixels for frame in (*drawn.inputs, *drawn.outputs)]))


def from_files(data: Path, batch: int = 16) -> Iterable[dict]:
    for name in FILES:
        task, what = tasks.get(name), f"a batch from files, {name}, {batch} sequences"
        try:
            split = encode(task, data, log=lambda line: None).split("train")
        except EvlibError as error:
            yield {
                "what": what,
                "ours": "gathered from the store",
                "peer": "files opened for every sample",
                "note": f"not measured: {error}",
            }
            continue
        rows = max(split.shapes().values(), key=len)[:batch]
        samples = FromFiles(task, data)
        yield compared(
            what,
            "gathered from the store",
            "files opened for every sample",
            {
                "ours": lambda: split.gather(rows),
                "peer": lambda: torch.stack([samples[i] for i in rows]).permute(0, 1, 4, 2, 3),
            },
            torch.device("cpu"),
            "no worker processes; drawn words are kept by the peer, too",
        )
