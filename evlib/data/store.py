"""An encoded data set: from here on, training knows only frames. `evlib.encode` writes one.

A store is a folder:

    frames.npy       uint8 (N, 64, 64, 3): every distinct frame once, memory-mapped
    sequences.npy    int32 (S, T): which frame stands where, -1 where a sequence has ended
    metadata.parquet  one row a sequence: split, n_in, n_out, n_cut (words lost to truncation), question, answer, source, group
    manifest.json    where it comes from: task, source files, renderer fingerprint, counts

SST-2 is 14,000 word frames and an index, not 700,000 frames.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from evlib.utils.errors import EvlibError

VERSION = 2  # of this layout
CHUNK = 512  # frames converted to floats at a time
COLUMNS = ["split", "n_in", "n_out", "n_cut", "question", "answer", "source", "group"]


@dataclass(frozen=True)
class VideoStore:
    """An encoded data set, opened. `frames` stays on disk until it is asked for."""

    path: Path
    manifest: dict
    frames: np.ndarray  # uint8 (N, 64, 64, 3)
    sequences: np.ndarray  # int32 (S, T)
    answers: pd.DataFrame  # COLUMNS

    @classmethod
    def open(cls, path: str | Path) -> VideoStore:
        path = Path(path)
        if not (path / "manifest.json").exists():
            raise EvlibError(
                f"{path}: expected an encoded data set (manifest.json), found none; make it with `python -m evlib encode`."
            )
        try:
            manifest = json.loads((path / "manifest.json").read_text())
            if manifest["version"] != VERSION:
                raise EvlibError(
                    f"{path} is laid out as version {manifest['version']}, this is version {VERSION}: remove the folder and encode again."
                )
            # Copy-on-write mapping: pages come in as they are used, and torch may wrap them without a copy.
            return cls(
                path,
                manifest,
                np.load(path / "frames.npy", mmap_mode="c"),
                np.load(path / "sequences.npy"),
                pd.read_parquet(path / "metadata.parquet"),
            )
        except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
            raise EvlibError(
                f"{path}: the encoded data set is damaged ({error}): remove the folder and encode again."
            ) from None

    def split(self, name: str, device: str | torch.device = "cpu") -> Split:
        """The sequences of "train", "validation" or "test", with their frames on `device`."""
        rows = np.flatnonzero(self.metadata.split == name)
        if not len(rows):
            raise EvlibError(
                f"{self.path}: expected examples of the split {name!r}, found only {', '.join(sorted(set(self.metadata.split)))}."
            )
        return (
            Split(name, torch.from_numpy(self.frames), torch.from_numpy(self.sequences), self.metadata)
            .rows(rows)
            .to(device)
        )

    @property
    def is_miniature(self) -> bool:
        return self.manifest["data"] == "miniature"


def only_shown(frames: np.ndarray, sequences: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The frames that the sequences show, in memory, and the sequences renumbered to them; -1 stays."""
    used, renumbered = np.unique(sequences, return_inverse=True)
    pad = int(used[0] == -1)
    return frames[used[pad:]], renumbered.reshape(sequences.shape).astype(np.int32) - pad


@dataclass(frozen=True)
class Split:
    """Sequences ready to gather: frames uint8 (N, 64, 64, 3) and sequences int32 (S, T) on one device."""

    name: str
    frames: Tensor
    sequences: Tensor
    table: pd.DataFrame

    def __len__(self) -> int:
        return len(self.metadata)

    def gather(self, rows: np.ndarray | list[int]) -> Tensor:
        """Sequences of one shape -> uint8 (B, T, 3, 64, 64): one read of the frames, no file."""
        rows = np.asarray(rows)
        return self.videos(
            torch.as_tensor(rows, device=self.sequences.device),
            int(self.metadata.n_in.values[rows[0]] + self.metadata.n_out.values[rows[0]]),
        )

    def videos(self, rows: Tensor, T: int) -> Tensor:
        """The same for rows (B,) that are on the device already: nothing waits."""
        return self.frames[self.sequences[rows, :T].long()].permute(0, 1, 4, 2, 3)

    def rows(self, rows: np.ndarray) -> Split:
        """Only these rows; all frames stay."""
        return replace(
            self,
            sequences=self.sequences[torch.as_tensor(rows, device=self.sequences.device)],
            table=self.metadata.iloc[rows].reset_index(drop=True),
        )

    def part(self, rows: np.ndarray) -> Split:
        """Only these rows, and only the frames that they show."""
        return self if len(rows) == len(self) else self.rows(rows)._shown(self.frames.device)

    def to(self, device: str | torch.device) -> Split:
        """The same on a device; of the frames only those that are shown."""
        return self if torch.device(device) == self.frames.device else self._shown(device)

    def _shown(self, device: str | torch.device) -> Split:
        frames, sequences = (
            torch.from_numpy(a).to(device) for a in only_shown(self.frames.cpu().numpy(), self.sequences.cpu().numpy())
        )
        return replace(self, frames=frames, sequences=sequences)

    def outputs(self) -> list[np.ndarray]:
        """The true answer frames of every row: uint8 (n_out, 64, 64, 3) each."""
        frames, sequences = self.frames.cpu().numpy(), self.sequences.cpu().numpy()
        return [
            frames[row[a : a + n]]
            for row, a, n in zip(sequences, self.metadata.n_in.values, self.metadata.n_out.values)
        ]

    def inputs(self, row: int) -> np.ndarray:
        """The frames of a row's question, with the separator: uint8 (n_in, 64, 64, 3)."""
        return self.frames[self.sequences[row, : int(self.metadata.n_in.values[row])].long()].cpu().numpy()

    def head(self, rows: int) -> Split:
        """The first `rows` sequences."""
        if rows < 1:
            raise EvlibError(f"At least one sequence is needed, found a limit of {rows}.")
        return self.rows(np.arange(len(self))[:rows])

    def shapes(self) -> dict[tuple[int, int], np.ndarray]:
        """(n_in, n_out) -> rows of that shape."""
        groups = self.metadata.groupby(["n_in", "n_out"], sort=True).indices
        return {(int(n_in), int(n_out)): rows for (n_in, n_out), rows in groups.items()}

    def batches(self, size: int) -> Iterator[np.ndarray]:
        """Every row once, in batches of one shape, in order."""
        for rows in self.shapes().values():
            for start in range(0, len(rows), size):
                yield rows[start : start + size]

    def mean_output(self, at_most: int = 1000) -> Tensor:
        """The mean answer frame, float (3, 64, 64) 0..1."""
        rows = np.random.default_rng(0).permutation(len(self))[:at_most]
        n_in, n_out = (
            torch.from_numpy(self.metadata[n].values[rows].copy()).to(self.frames.device) for n in ("n_in", "n_out")
        )
        place = torch.arange(self.sequences.shape[1], device=self.frames.device)
        shown = (place >= n_in[:, None]) & (place < (n_in + n_out)[:, None])
        index, counts = self.sequences[torch.from_numpy(rows)][shown].unique(return_counts=True)
        weights = (counts / counts.sum()).view(-1, 1, 1, 1)
        chunks = zip(index.long().split(CHUNK), weights.split(CHUNK))
        return sum((self.frames[i].float() / 255 * w).sum(dim=0) for i, w in chunks).permute(2, 0, 1)


class Schedule:
    """Which rows make up batch number `step`: an endless shuffle that depends on the seed, the step and the number of
    shards alone, so that a run continues where it stopped. All rows of a batch have one shape; every epoch shows every row.

    With `shards`, the rows are dealt to so many parts and every batch takes equally many of each part, in the parts' order:
    a process that has a share of the batch needs only some of the parts.
    """

    def __init__(self, split: Split, batch: int, seed: int, shards: int = 1):
        self.batch, self.seed, self.shards = batch, seed, shards
        self.parts = [
            [rows[s::shards] for s in range(shards)]
            for rows in (np.resize(rows, max(len(rows), shards)) for rows in split.shapes().values())
        ]  # no part is empty
        self.per_epoch = sum(self._steps(parts) for parts in self.parts)
        self.epoch, self._plan = -1, np.empty(0)

    def __getitem__(self, step: int) -> np.ndarray:
        epoch, place = divmod(step, self.per_epoch)
        return self.plan(epoch)[place]

    def plan(self, epoch: int) -> np.ndarray:
        """The rows of all batches of an epoch: int32 (per_epoch, batch)."""
        if epoch != self.epoch:
            self.epoch, self._plan = epoch, self._shuffle(epoch)
        return self._plan

    def rows(self, share: slice) -> np.ndarray:
        """All rows that ever stand in this share of a batch, in order; the share's ends must fall between shards, if there are several."""
        first, last = share.start * self.shards // self.batch, share.stop * self.shards // self.batch
        chosen = range(self.shards) if self.shards == 1 else range(first, last)
        return np.unique(np.concatenate([parts[s] for parts in self.parts for s in chosen]))

    def _steps(self, parts: list[np.ndarray]) -> int:
        return -(-len(parts[0]) // (self.batch // self.shards))  # the first part is the longest

    def _shuffle(self, epoch: int) -> np.ndarray:
        rng = np.random.default_rng([self.seed, epoch])
        plan = []
        for parts in self.parts:
            steps, each = self._steps(parts), self.batch // self.shards
            # The last batch is filled up from the start.
            plan.append(
                np.concatenate(
                    [np.resize(rng.permutation(rows), steps * each).reshape(steps, each) for rows in parts], axis=1
                )
            )
        return np.concatenate(plan)[rng.permutation(self.per_epoch)].astype(np.int32)


class Batch(NamedTuple):
    video: Tensor  # uint8 (B, T, 3, 64, 64)
    n_in: int  # frames of the question, with the separator
    n_out: int  # frames of the answer


class Batches:
    """The batches of a run as one process needs them: its share of the schedule's rows, with their frames on the device. The
    plan of an epoch is uploaded once; from then on a step is one gather, and the host waits for nothing.

    Frames that do not fit into a GPU stay in main memory, and each batch travels; `resident` says which.
    """

    def __init__(self, split: Split, schedule: Schedule, share: slice, device: torch.device):
        rows = schedule.rows(share)
        part = split.part(rows)
        self.resident = fits(part, device)
        self.split, self.device = part.to(device if self.resident else "cpu"), device
        self.schedule, self.share, self.epoch = schedule, share, -1
        self.place = np.zeros(len(split), np.int32)  # of a row within the part
        self.place[rows] = np.arange(len(rows))
        self.shapes = split.metadata[["n_in", "n_out"]].values

    def one_of_each_shape(self) -> Iterator[Batch]:
        """A batch of every shape that the first epoch shows."""
        shapes = self.shapes[self.schedule.plan(0)[:, 0]].tolist()
        yield from (self[step] for step in {tuple(shape): step for step, shape in enumerate(shapes)}.values())

    def __getitem__(self, step: int) -> Batch:
        epoch, place = divmod(step, self.schedule.per_epoch)
        if epoch != self.epoch:
            plan = self.schedule.plan(epoch)
            self.epoch, self.plan_shapes = epoch, self.shapes[plan[:, 0]].tolist()
            self.plan = upload(torch.from_numpy(self.place[plan[:, self.share]]), self.split.frames.device)
        n_in, n_out = self.plan_shapes[place]
        video = self.split.videos(self.plan[place], n_in + n_out)
        return Batch(video if self.resident else upload(video, self.device), n_in, n_out)


def upload(tensor: Tensor, device: torch.device) -> Tensor:
    """To a device without waiting for what it is doing."""
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


def fits(split: Split, device: torch.device, share: float = 0.6) -> bool:
    """Whether the frames take no more than `share` of the device's free memory; the rest is the network's."""
    if device.type != "cuda":
        return True
    return split.frames.nbytes + split.sequences.nbytes <= share * torch.cuda.mem_get_info(device)[0]
