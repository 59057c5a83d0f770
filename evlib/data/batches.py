"""The batches of a training run: which sequences, in which order, and their frames on the device."""

from bisect import bisect_right
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from evlib.data.store import Split

Stage = tuple[float, np.ndarray]  # of a curriculum, see Curriculum


class Schedule:
    """The rows of batch number `step`: an endless shuffle that depends only on the seed, the step and the number of
    shards, so that a run continues where it stopped. All rows of a batch have the same shape; an epoch uses every row.

    The rows are divided into `shards` shards, and every batch takes equally many rows from each, in the order of the
    shards: a process that computes a slice of the batch needs only some of the shards.
    """

    def __init__(self, split: Split, batch: int, seed: int, shards: int = 1):
        self.batch, self.seed, self.shards = batch, seed, shards
        filled = [np.resize(rows, max(len(rows), shards)) for rows in split.shapes().values()]  # no shard is empty
        self.groups = [[rows[s::shards] for s in range(shards)] for rows in filled]  # per shape: the rows of each shard
        self.per_epoch = sum(self._steps(group) for group in self.groups)
        self.epoch, self._plan = -1, np.empty(0)

    def __getitem__(self, step: int) -> np.ndarray:
        epoch, index = divmod(step, self.per_epoch)
        return self.plan(epoch)[index]

    def plan(self, epoch: int) -> np.ndarray:
        """The rows of all batches of an epoch: int32 (per_epoch, batch)."""
        if epoch != self.epoch:
            self.epoch, self._plan = epoch, self._shuffle(epoch)
        return self._plan

    def rows_in(self, local: slice) -> np.ndarray:
        """All rows that ever appear in this slice of a batch, in ascending order. With several shards, the slice must
        start and end at shard boundaries."""
        first, last = local.start * self.shards // self.batch, local.stop * self.shards // self.batch
        chosen = range(self.shards) if self.shards == 1 else range(first, last)
        return np.unique(np.concatenate([group[s] for group in self.groups for s in chosen]))

    def _steps(self, group: list[np.ndarray]) -> int:
        return -(-len(group[0]) // (self.batch // self.shards))  # the first shard is the longest

    def _shuffle(self, epoch: int) -> np.ndarray:
        rng = np.random.default_rng([self.seed, epoch])
        plan, size = [], self.batch // self.shards
        for group in self.groups:
            steps = self._steps(group)
            # The last batch is filled up with the first of the shuffled rows.
            columns = [np.resize(rng.permutation(rows), steps * size).reshape(steps, size) for rows in group]
            plan.append(np.concatenate(columns, axis=1))
        return np.concatenate(plan)[rng.permutation(self.per_epoch)].astype(np.int32)


class Batch(NamedTuple):
    video: Tensor  # uint8 (B, T, 3, 64, 64)
    n_in: int  # input frames, including the separator
    n_out: int  # answer frames


class Batches:
    """The batches of a run for one process: its slice of the schedule's rows, with their frames on the device. The plan
    of an epoch is uploaded once; after that, a step is one gather, and the CPU does not wait for the device.

    Frames that do not fit into GPU memory stay in main memory (`resident` is False), and each batch is uploaded.
    """

    def __init__(self, split: Split, schedule: Schedule, local: slice, device: torch.device):
        rows = schedule.rows_in(local)
        mine = split if len(rows) == len(split) else split.select(rows).compact()
        self.resident = fits(mine, device)
        self.split, self.device = mine.to(device if self.resident else "cpu"), device
        self.schedule, self.local, self.epoch = schedule, local, -1
        self.index = np.zeros(len(split), np.int32)  # row of the whole split -> row of this process's part
        self.index[rows] = np.arange(len(rows))
        self.shapes = split.metadata[["n_in", "n_out"]].values

    def one_of_each_shape(self) -> Iterator[Batch]:
        """One batch of every shape that occurs in the first epoch."""
        shapes = self.shapes[self.schedule.plan(0)[:, 0]].tolist()
        yield from (self[step] for step in {tuple(shape): step for step, shape in enumerate(shapes)}.values())

    def __getitem__(self, step: int) -> Batch:
        epoch, index = divmod(step, self.schedule.per_epoch)
        if epoch != self.epoch:
            plan = self.schedule.plan(epoch)
            self.epoch, self.plan_shapes = epoch, self.shapes[plan[:, 0]].tolist()
            self.plan = upload(torch.from_numpy(self.index[plan[:, self.local]]), self.split.frames.device)
        n_in, n_out = self.plan_shapes[index]
        video = self.split.gather(self.plan[index], n_in + n_out)
        return Batch(video if self.resident else upload(video, self.device), n_in, n_out)


class Curriculum:
    """Batches of a run of `steps` steps, easier sequences first. A stage is the fraction of the run at which it ends
    and the rows of `split` it uses; after the last stage, all rows are used. `make` turns a split into its Batches."""

    def __init__(self, split: Split, steps: float, stages: list[Stage], make: Callable[[Split], Batches]):
        everything = make(split)  # made first, while GPU memory is free
        self.ends = [end * steps for end, _ in stages]
        self.stages = [*(make(split.select(rows)) for _, rows in stages), everything]
        self.resident, self.one_of_each_shape = everything.resident, everything.one_of_each_shape

    def __getitem__(self, step: int) -> Batch:
        return self.stages[bisect_right(self.ends, step)][step]


def short_first(split: Split) -> list[Stage]:
    """The shortest quarter of the sequences for the first third of the steps, the shorter half for the second third."""
    length = split.metadata.n_in + split.metadata.n_out
    limits = [(end, length.quantile(share, interpolation="lower")) for end, share in ((1 / 3, 0.25), (2 / 3, 0.5))]
    return [(end, np.flatnonzero(length <= limit)) for end, limit in limits]


def questions_first(split: Split, pattern: str) -> list[Stage]:
    """For the first sixteenth of the steps, only sequences whose question starts with a match of the regex; no stage
    without such a question."""
    rows = np.flatnonzero(split.metadata.question.str.match(pattern, case=False))
    return [(1 / 16, rows)] if len(rows) else []


def upload(tensor: Tensor, device: torch.device) -> Tensor:
    """Copies a tensor to a device without waiting for the work queued there."""
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


def fits(split: Split, device: torch.device, share: float = 0.6) -> bool:
    """Whether the frames take at most `share` of the device's free memory; the rest is for the network."""
    if device.type != "cuda":
        return True
    return split.frames.nbytes + split.sequences.nbytes <= share * torch.cuda.mem_get_info(device)[0]
