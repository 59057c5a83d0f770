"""Several encoded data sets as one, for a network that is trained on all of them.

    store = union([encode(task, data) for task in tasks.parse("sst2+cifar10", data)])
    train(config, store, out)      # as ever: the loop sees sequences of frames

As with torch's ConcatDataset, nothing is copied but the index: the frames stay where they are, memory-mapped. A column
"task" of the metadata says which data set a sequence is from, and `Mixture` which one the next batch is from.
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import accumulate
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from evlib.data.batches import Batch, Batches, Curriculum
from evlib.data.store import Split, VideoStore
from evlib.utils.errors import EvlibError

PLANNED = 4096  # steps whose tasks are drawn at a time


class ConcatFrames:
    """Arrays uint8 (N, 64, 64, 3) one after the other, without a copy. Indexed like one tensor on the CPU."""

    device = torch.device("cpu")

    def __init__(self, parts: Sequence[np.ndarray]):
        self.parts = [torch.from_numpy(part) for part in parts]
        self.starts = [0, *accumulate(map(len, parts))]

    def __getitem__(self, index: Tensor) -> Tensor:
        """Indices int64 (...) -> uint8 (..., 64, 64, 3)."""
        which = self.part_of(index)
        frames = torch.empty(*index.shape, *self.parts[0].shape[1:], dtype=torch.uint8)
        for part in which.unique().tolist():
            frames[which == part] = self.parts[part][index[which == part] - self.starts[part]]
        return frames

    def part_of(self, index: Tensor) -> Tensor:
        return torch.bucketize(index, torch.tensor(self.starts[1:]), right=True)

    @property
    def nbytes(self) -> int:
        return sum(part.nbytes for part in self.parts)


def union(stores: Sequence[VideoStore]) -> VideoStore:
    """The stores of several tasks as one; a single store is returned as it is. Raises EvlibError if one of several has
    no sequences to train on or to be validated on, or if they were rendered by different renderers."""
    if len(stores) == 1:
        return stores[0]
    names = [store.manifest["task"] for store in stores]
    for store in stores:
        for split in ("train", "validation"):
            store.split(split)  # EvlibError if a task has nothing to train on, or to be validated on
    renderers = {store.manifest["renderer"]: str(store.path) for store in stores}
    if len(renderers) > 1:
        found = ", ".join(f"{path} by {renderer}" for renderer, path in renderers.items())
        raise EvlibError(f"All data sets must be rendered by the same renderer, found {found}: encode them again.")
    frames = ConcatFrames([store.frames for store in stores])
    length = max(store.sequences.shape[1] for store in stores)
    sequences = np.full((sum(len(store.sequences) for store in stores), length), -1, np.int32)
    row = 0
    for store, start in zip(stores, frames.starts):
        part = store.sequences
        sequences[row : row + len(part), : part.shape[1]] = np.where(part < 0, -1, part + start)
        row += len(part)
    metadata = pd.concat([store.metadata.assign(task=name) for name, store in zip(names, stores)], ignore_index=True)
    parts = {name: store.summary() for name, store in zip(names, stores)}
    manifest = {
        "task": "+".join(names),
        "dataset": ", ".join(part["dataset"] for part in parts.values()),
        "renderer": stores[0].manifest["renderer"],
        "data": " and ".join(sorted({part["data"] for part in parts.values()})),
        "examples": hashlib.sha256(" ".join(part["examples"] for part in parts.values()).encode()).hexdigest()[:16],
        "vocabulary": {name: part["vocabulary"] for name, part in parts.items()},
    }
    return VideoStore(Path("+".join(str(store.path) for store in stores)), manifest, frames, sequences, metadata)


class Mixture:
    """The batches of a union, each from one task. The task of a batch is drawn at random, with fixed probabilities, and
    depends only on the seed and the step. `make` turns a task's split, and its share of the steps, into its batches."""

    def __init__(self, split: Split, weights: str, seed: int, make: Callable[[Split, float], Batches | Curriculum]):
        parts = split.by_task()
        self.probabilities = probabilities(weights, {name: len(part) for name, part in parts.items()})
        self.parts = [make(with_own_frames(part), p) for part, p in zip(parts.values(), self.probabilities)]
        self.resident, self.seed = all(part.resident for part in self.parts), seed
        self.plan = np.empty((0, 2), int)  # of every step: the task's number, and which of its batches

    def __getitem__(self, step: int) -> Batch:
        while step >= len(self.plan):
            rng, n = np.random.default_rng([self.seed, len(self.plan)]), len(self.parts)
            chosen = rng.choice(n, size=PLANNED, p=self.probabilities)
            counts = np.cumsum(chosen[:, None] == np.arange(n), axis=0) - 1
            counts += np.bincount(self.plan[:, 0], minlength=n)
            index = np.take_along_axis(counts, chosen[:, None], axis=1)
            self.plan = np.concatenate([self.plan, np.hstack([chosen[:, None], index])])
        part, index = self.plan[step].tolist()
        return self.parts[part][index]

    def one_of_each_shape(self) -> Iterator[Batch]:
        for part in self.parts:
            yield from part.one_of_each_shape()


def with_own_frames(split: Split) -> Split:
    """A union's split of one task, with the frames of that task alone: so many have to fit on a GPU."""
    part = int(split.frames.part_of(split.sequences[0, 0]))
    sequences = torch.where(split.sequences < 0, -1, split.sequences - split.frames.starts[part])
    return replace(split, frames=split.frames.parts[part], sequences=sequences)


def probabilities(weights: str, sizes: dict[str, int]) -> np.ndarray:
    """How often each task is drawn: float (tasks,), which add up to 1. weights: "equal", "size" (by the number of
    sequences), "size^0.5" (by a power of it), or a number per task, in order: "3,1". EvlibError unless all are
    positive."""
    try:
        if weights in ("equal", "size"):
            values = np.ones(len(sizes)) if weights == "equal" else np.array([*sizes.values()], float)
        elif weights.startswith("size^"):
            values = np.array([*sizes.values()], float) ** float(weights.removeprefix("size^"))
        else:
            values = np.array([float(weight) for weight in weights.split(",")])
    except ValueError:
        values = np.empty(0)
    if len(values) != len(sizes) or not (values > 0).all() or not np.isfinite(values).all():
        names = ", ".join(sizes)
        expected = f"equal, size, size^0.5 or a positive number for each of {names}, such as 3,1"
        raise EvlibError(f"task_weights: expected {expected}; found {weights!r}.")
    return values / values.sum()
