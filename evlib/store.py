"""An encoded data set: from here on, training knows only frames. `evlib.encode` writes one.

A store is a folder:

    frames.npy       uint8 (N, 64, 64, 3): every distinct frame once, memory-mapped
    sequences.npy    int32 (S, T): which frame stands where, -1 where a sequence has ended
    answers.parquet  one row a sequence: split, n_in, n_out, n_cut (words lost to truncation), question, answer, source, group
    manifest.json    where it comes from: task, source files, renderer fingerprint, counts

SST-2 is 14,000 word frames and an index, not 700,000 frames.
"""
from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from .errors import EvlibError

VERSION = 2          # of this layout
COLUMNS = ["split", "n_in", "n_out", "n_cut", "question", "answer", "source", "group"]


@dataclass(frozen=True)
class VideoStore:
    """An encoded data set, opened. `frames` stays on disk until it is asked for."""
    path: Path
    manifest: dict
    frames: np.ndarray           # uint8 (N, 64, 64, 3)
    sequences: np.ndarray        # int32 (S, T)
    answers: pd.DataFrame        # COLUMNS

    @classmethod
    def open(cls, path: str | Path) -> VideoStore:
        path = Path(path)
        if not (path / "manifest.json").exists():
            raise EvlibError(f"{path}: expected an encoded data set (manifest.json), found none; make it with `python -m evlib encode`.")
        try:
            manifest = json.loads((path / "manifest.json").read_text())
            if manifest["version"] != VERSION:
                raise EvlibError(f"{path} is laid out as version {manifest['version']}, this is version {VERSION}: remove the folder and encode again.")
            # Copy-on-write mapping: pages come in as they are used, and torch may wrap them without a copy.
            return cls(path, manifest, np.load(path / "frames.npy", mmap_mode="c"), np.load(path / "sequences.npy"),
                       pd.read_parquet(path / "answers.parquet"))
        except (OSError, ValueError, KeyError) as error:
            raise EvlibError(f"{path}: the encoded data set is damaged ({error}): remove the folder and encode again.") from None

    def split(self, name: str, device: str | torch.device = "cpu") -> Split:
        """The sequences of "train", "validation" or "test", with their frames on `device`."""
        rows = np.flatnonzero(self.answers.split == name)
        if not len(rows):
            raise EvlibError(f"{self.path}: expected examples of the split {name!r}, found only {', '.join(sorted(set(self.answers.split)))}.")
        table = self.answers.iloc[rows].reset_index(drop=True)
        frames, sequences = self.frames, self.sequences[rows]
        if torch.device(device).type != "cpu":                 # upload only what this split shows
            frames, sequences = only_shown(frames, sequences)
        return Split(name, torch.from_numpy(frames).to(device), torch.from_numpy(sequences).to(device), table)

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
        return len(self.table)

    def gather(self, rows: np.ndarray | list[int]) -> Tensor:
        """Sequences of one shape -> uint8 (B, T, 3, 64, 64): one read of the frames, no file."""
        rows = np.asarray(rows)
        T = int(self.table.n_in.values[rows[0]] + self.table.n_out.values[rows[0]])
        index = self.sequences[torch.as_tensor(rows, device=self.sequences.device), :T].long()
        return self.frames[index].permute(0, 1, 4, 2, 3)

    def outputs(self) -> list[np.ndarray]:
        """The true answer frames of every row: uint8 (n_out, 64, 64, 3) each."""
        frames, sequences = self.frames.cpu().numpy(), self.sequences.cpu().numpy()
        return [frames[row[a:a + n]] for row, a, n in zip(sequences, self.table.n_in.values, self.table.n_out.values)]

    def inputs(self, row: int) -> np.ndarray:
        """The frames of a row's question, with the separator: uint8 (n_in, 64, 64, 3)."""
        return self.frames[self.sequences[row, :int(self.table.n_in.values[row])].long()].cpu().numpy()

    def head(self, rows: int) -> Split:
        """The first `rows` sequences."""
        if rows < 1:
            raise EvlibError(f"At least one sequence is needed, found a limit of {rows}.")
        return Split(self.name, self.frames, self.sequences[:rows], self.table.iloc[:rows])

    def shapes(self) -> dict[tuple[int, int], np.ndarray]:
        """(n_in, n_out) -> rows of that shape."""
        groups = self.table.groupby(["n_in", "n_out"], sort=True).indices
        return {(int(n_in), int(n_out)): rows for (n_in, n_out), rows in groups.items()}

    def batches(self, size: int) -> Iterator[np.ndarray]:
        """Every row once, in batches of one shape, in order."""
        for rows in self.shapes().values():
            for start in range(0, len(rows), size):
                yield rows[start:start + size]

    def mean_output(self, at_most: int = 1000) -> Tensor:
        """The mean answer frame, float (3, 64, 64) 0..1."""
        rows = np.random.default_rng(0).permutation(len(self))[:at_most]
        n_in, n_out = (torch.from_numpy(self.table[n].values[rows].copy()).to(self.frames.device) for n in ("n_in", "n_out"))
        place = torch.arange(self.sequences.shape[1], device=self.frames.device)
        shown = (place >= n_in[:, None]) & (place < (n_in + n_out)[:, None])
        index, counts = self.sequences[torch.from_numpy(rows)][shown].unique(return_counts=True)
        weights = (counts / counts.sum()).view(-1, 1, 1, 1)
        return (self.frames[index.long()].float() / 255 * weights).sum(dim=0).permute(2, 0, 1)


class Schedule:
    """Which rows make up batch number `step`: an endless shuffle that depends on the seed and the step alone, so that
    a run continues where it stopped. All rows of a batch have one shape; every epoch shows every row."""

    def __init__(self, split: Split, batch: int, seed: int):
        self.shapes, self.batch, self.seed = list(split.shapes().values()), batch, seed
        self.per_epoch = sum(-(-len(rows) // batch) for rows in self.shapes)
        self.epoch, self.plan = -1, []

    def __getitem__(self, step: int) -> np.ndarray:
        epoch, place = divmod(step, self.per_epoch)
        if epoch != self.epoch:
            self.epoch, self.plan = epoch, self._shuffle(epoch)
        return self.plan[place]

    def _shuffle(self, epoch: int) -> list[np.ndarray]:
        rng = np.random.default_rng([self.seed, epoch])
        plan = []
        for rows in self.shapes:
            whole = -(-len(rows) // self.batch) * self.batch          # the last batch is filled up from the start
            plan.extend(np.resize(rng.permutation(rows), whole).reshape(-1, self.batch))
        return [plan[i] for i in rng.permutation(len(plan))]
