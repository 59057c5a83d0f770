"""Several encoded data sets as one, for a network that is trained on all of them (section 5.2).

    store = union([encode(task, data) for task in tasks.named("sst2+cifar10")])
    train(config, store, out)      # as ever: the loop sees sequences of frames

The frames of the parts stay where they are, memory-mapped; only the index of sequences is copied. A column "task" of
the metadata says which part a sequence is from, and `Mixture` which part the next batch is from.
"""

import hashlib
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from evlib.data.batches import Batch, Batches
from evlib.data.store import Split, VideoStore
from evlib.utils.errors import EvlibError

PLANNED = 4096  # steps whose parts are drawn at a time


class JoinedFrames:
    """Arrays uint8 (N, 64, 64, 3) one after the other, without a copy. Indexed like one tensor on the CPU."""

    device = torch.device("cpu")

    def __init__(self, parts: Sequence[np.ndarray]):
        self.parts = [torch.from_numpy(part) for part in parts]
        self.starts = [0, *accumulate(map(len, parts))]

    def __getitem__(self, index: Tensor) -> Tensor:
        """Indices int64 (...) -> uint8 (..., 64, 64, 3)."""
        flat = index.flatten()
        if len(flat) and (part := self._part(flat[0])) == self._part(flat.min()) == self._part(flat.max()):
            return self.parts[part][index - self.starts[part]]  # as in every batch
        frames = torch.empty(len(flat), *self.parts[0].shape[1:], dtype=torch.uint8)
        which = torch.bucketize(flat, torch.tensor(self.starts[1:]), right=True)
        for part in which.unique().tolist():
            here = which == part
            frames[here] = self.parts[part][flat[here] - self.starts[part]]
        return frames.view(*index.shape, *frames.shape[1:])

    def _part(self, index: Tensor) -> int:
        return bisect_right(self.starts, int(index)) - 1

    @property
    def nbytes(self) -> int:
        return sum(part.nbytes for part in self.parts)


def union(stores: Sequence[VideoStore]) -> VideoStore:
    """The stores of several tasks as one. Raises EvlibError if they were rendered by different renderers."""
    names = [store.manifest["task"] for store in stores]
    renderers = {store.manifest["renderer"]: str(store.path) for store in stores}
    if len(renderers) > 1:
        found = ", ".join(f"{path} by {renderer}" for renderer, path in renderers.items())
        raise EvlibError(f"All data sets must be rendered by the same renderer, found {found}: encode them again.")
    frames = JoinedFrames([store.frames for store in stores])
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
        "data": "miniature" if any(part["data"] == "miniature" for part in parts.values()) else "real",
        "examples": hashlib.sha256(" ".join(part["examples"] for part in parts.values()).encode()).hexdigest()[:16],
        "vocabulary": {name: part["vocabulary"] for name, part in parts.items()},
    }
    return VideoStore(Path("+".join(str(store.path) for store in stores)), manifest, frames, sequences, metadata)


class Mixture:
    """The batches of a union, each from one task. Which one is drawn at random, with fixed probabilities, and depends
    only on the seed and the step. `make` turns a task's split into its Batches."""

    def __init__(self, split: Split, mixture: str, seed: int, make: Callable[[Split], Batches]):
        rows = {name: np.flatnonzero(split.metadata.task == name) for name in split.metadata.task.unique()}
        self.probabilities = probabilities(mixture, {name: len(part) for name, part in rows.items()})
        self.parts = [make(split.select(part)) for part in rows.values()]
        self.resident, self.seed = all(part.resident for part in self.parts), seed
        self.plan = np.empty((0, 2), int)  # of every step: the part, and which of its batches

    def __getitem__(self, step: int) -> Batch:
        while step >= len(self.plan):
            rng = np.random.default_rng([self.seed, len(self.plan)])
            chosen = rng.choice(len(self.parts), size=PLANNED, p=self.probabilities)
            counts = np.cumsum(chosen[:, None] == np.arange(len(self.parts)), axis=0) - 1
            counts += np.bincount(self.plan[:, 0], minlength=len(self.parts))
            index = np.take_along_axis(counts, chosen[:, None], axis=1)
            self.plan = np.concatenate([self.plan, np.hstack([chosen[:, None], index])])
        part, index = self.plan[step].tolist()
        return self.parts[part][index]

    def one_of_each_shape(self) -> Iterator[Batch]:
        for part in self.parts:
            yield from part.one_of_each_shape()


def probabilities(mixture: str, sizes: dict[str, int]) -> np.ndarray:
    """The share of batches of each task. mixture: "equal", "size" (by the number of sequences), "size^0.5" (by a power
    of it), or one share per task, in order: "0.5,0.25,0.25". EvlibError unless they are positive and add up to 1."""
    power = {"equal": "0", "size": "1"}.get(mixture, mixture.removeprefix("size^"))
    expected = f"mixture: expected equal, size, size^0.5 or a positive share of each of {', '.join(sizes)}"
    try:
        if mixture in ("equal", "size") or mixture.startswith("size^"):
            shares = np.array(list(sizes.values()), float) ** float(power)
            shares /= shares.sum()
        else:
            shares = np.array([float(share) for share in mixture.split(",")])
    except ValueError:
        raise EvlibError(f"{expected}; found {mixture!r}.") from None
    if len(shares) != len(sizes) or not (shares > 0).all() or abs(shares.sum() - 1) > 1e-6:
        raise EvlibError(f"{expected}, which add up to 1; found {mixture!r}.")
    return shares
