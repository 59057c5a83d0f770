"""An encoded data set: from here on, training sees only frames. `evlib.data.encode` writes the store.

A store is a folder:

    frames.npy        uint8 (N, 64, 64, 3): every distinct frame once, memory-mapped
    sequences.npy     int32 (S, T): indices of frames, padded with -1
    metadata.parquet  one row per sequence: split, n_in, n_out, n_truncated (words), question, answer, source, group
    manifest.json     where it comes from: task, source files, renderer fingerprint, counts

SST-2 is 14,000 word frames and an index, not 700,000 frames.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from evlib.utils.errors import EvlibError

VERSION = 4  # of this layout
CHUNK = 512  # frames converted to floats at a time
COLUMNS = ["split", "n_in", "n_out", "n_truncated", "question", "answer", "source", "group"]
SUMMARY = ["task", "dataset", "renderer", "data", "examples", "vocabulary"]  # manifest entries that a run records


@dataclass(frozen=True)
class VideoStore:
    """An encoded data set, opened. The frames stay on disk until they are used."""

    path: Path
    manifest: dict
    frames: np.ndarray  # uint8 (N, 64, 64, 3); of a union: ConcatFrames
    sequences: np.ndarray  # int32 (S, T)
    metadata: pd.DataFrame  # COLUMNS

    @classmethod
    def open(cls, path: str | Path) -> VideoStore:
        """Raises EvlibError if the store at `path` is missing, damaged or of another layout version."""
        path = Path(path)
        again = "remove the folder and encode again."
        if not (path / "manifest.json").exists():
            raise EvlibError(
                f"{path}: expected an encoded data set, found no manifest.json; run `python -m evlib encode`."
            )
        try:
            manifest = json.loads((path / "manifest.json").read_text())
            if (found := manifest["version"]) != VERSION:
                raise EvlibError(f"{path} has a layout of version {found}, expected version {VERSION}: {again}")
            # Copy-on-write mapping: pages are read when they are used, and torch may wrap them without a copy.
            frames = np.load(path / "frames.npy", mmap_mode="c")
            sequences = np.load(path / "sequences.npy")
            return cls(path, manifest, frames, sequences, pd.read_parquet(path / "metadata.parquet"))
        except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
            raise EvlibError(f"{path}: the encoded data set is damaged ({error}): {again}") from None

    def split(self, name: str, device: str | torch.device = "cpu") -> Split:
        """The sequences of "train", "validation" or "test", with their frames on `device`."""
        rows = np.flatnonzero(self.metadata.split == name)
        if not len(rows):
            found = ", ".join(sorted(set(self.metadata.split)))
            raise EvlibError(f"{self.path}: expected examples of the split {name!r}, found only {found}.")
        frames = torch.from_numpy(self.frames) if isinstance(self.frames, np.ndarray) else self.frames
        everything = Split(name, frames, torch.from_numpy(self.sequences), self.metadata)
        return everything.select(rows).to(device)

    def summary(self) -> dict:
        """What a run records about the store it is trained on: task, dataset, renderer (fingerprint), data ("miniature"
        or "real"), examples (their identity) and vocabulary."""
        return {key: self.manifest[key] for key in SUMMARY}


@dataclass(frozen=True)
class Split:
    """Sequences ready to gather: frames uint8 (N, 64, 64, 3) and sequences int32 (S, T) on one device."""

    name: str
    frames: Tensor
    sequences: Tensor
    metadata: pd.DataFrame

    def __len__(self) -> int:
        return len(self.metadata)

    def gather(self, rows: np.ndarray | list[int] | Tensor, T: int | None = None) -> Tensor:
        """Sequences of one shape -> uint8 (B, T, 3, 64, 64). With `T` and rows on the device, nothing synchronizes."""
        if T is None:
            T = int(self.metadata.n_in.values[rows[0]] + self.metadata.n_out.values[rows[0]])
        rows = torch.as_tensor(rows, device=self.sequences.device)
        return self.frames[self.sequences[rows, :T].long()].permute(0, 1, 4, 2, 3)

    def select(self, rows: np.ndarray) -> Split:
        """Only these rows; all frames are kept."""
        sequences = self.sequences[torch.as_tensor(rows, device=self.sequences.device)]
        return replace(self, sequences=sequences, metadata=self.metadata.iloc[rows].reset_index(drop=True))

    def head(self, n: int) -> Split:
        """The first `n` sequences."""
        if n < 1:
            raise EvlibError(f"At least one sequence is needed, found a limit of {n}.")
        return self.select(np.arange(len(self))[:n])

    def compact(self, device: str | torch.device | None = None) -> Split:
        """The same split with only the frames in use, renumbered, on `device` (default: the current one)."""
        used, index = np.unique(self.sequences.cpu().numpy(), return_inverse=True)
        pad = int(used[0] == -1)
        frames = self.frames[torch.as_tensor(used[pad:], device=self.frames.device).long()]
        sequences = torch.from_numpy(index.reshape(self.sequences.shape).astype(np.int32) - pad)
        device = device or self.frames.device
        return replace(self, frames=frames.to(device), sequences=sequences.to(device))

    def to(self, device: str | torch.device) -> Split:
        """The same split on another device; only the frames in use are copied there."""
        return self if torch.device(device) == self.frames.device else self.compact(device)

    def inputs(self, row: int) -> np.ndarray:
        """The input frames of a row, including the separator: uint8 (n_in, 64, 64, 3)."""
        return self.frames[self.sequences[row, : int(self.metadata.n_in.values[row])].long()].cpu().numpy()

    def outputs(self) -> list[np.ndarray]:
        """The true answer frames of every row: uint8 (n_out, 64, 64, 3) each."""
        sequences, n_in, n_out = self.sequences.cpu().numpy(), self.metadata.n_in.values, self.metadata.n_out.values
        index = np.concatenate([row[a : a + n] for row, a, n in zip(sequences, n_in, n_out)])
        frames = self.frames[torch.as_tensor(index, device=self.frames.device).long()].cpu().numpy()
        return np.split(frames, np.cumsum(n_out)[:-1])

    def sample(self, size: int) -> Split:
        """About `size` random sequences in order, the same every time; of a union, equally many of every task."""
        order, tasks = np.random.default_rng(0).permutation(len(self)), self._tasks()
        share = -(-size // tasks.nunique())
        return self.select(np.sort(tasks.iloc[order].groupby(tasks, sort=False).head(share).index.values))

    def by_task(self) -> dict[str, Split]:
        """Of a union, the sequences of each task; otherwise all, under ""."""
        tasks = self._tasks()
        return {name: self.select(np.flatnonzero(tasks == name)) for name in tasks.unique()}

    def _tasks(self) -> pd.Series:
        return self.metadata.task if "task" in self.metadata else pd.Series("", index=self.metadata.index)

    def shapes(self) -> dict[tuple[int, int], np.ndarray]:
        """(n_in, n_out) -> rows of that shape."""
        groups = self.metadata.groupby(["n_in", "n_out"], sort=True).indices
        return {(int(n_in), int(n_out)): rows for (n_in, n_out), rows in groups.items()}

    def batches(self, size: int) -> Iterator[np.ndarray]:
        """Every row once, in order within each shape, in batches of one shape."""
        for rows in self.shapes().values():
            for start in range(0, len(rows), size):
                yield rows[start : start + size]

    def mean_output(self, at_most: int = 1000) -> Tensor:
        """The mean answer frame of a random sample of at most `at_most` rows: float (3, 64, 64) 0..1."""
        device = self.frames.device
        rows = np.random.default_rng(0).permutation(len(self))[:at_most]
        n_in, n_out = (torch.from_numpy(self.metadata[n].values[rows].copy()).to(device) for n in ("n_in", "n_out"))
        t = torch.arange(self.sequences.shape[1], device=device)
        is_output = (t >= n_in[:, None]) & (t < (n_in + n_out)[:, None])
        index, counts = self.sequences[torch.from_numpy(rows)][is_output].unique(return_counts=True)
        weights = (counts / counts.sum()).view(-1, 1, 1, 1)
        chunks = zip(index.long().split(CHUNK), weights.split(CHUNK))
        return sum((self.frames[i].float() / 255 * w).sum(dim=0) for i, w in chunks).permute(2, 0, 1)

    def best_lag(self, mean: Tensor, at_most: int = 32) -> int | None:
        """The lag, in frames, of the given frame most similar to an answer frame, over a random sample of at most
        `at_most` rows; None if `mean` (3, 64, 64), 0..1, is more similar. Lags that a row lacks count as `mean`. Frames
        of the answer itself are left out: the network generates them, and would copy its own errors."""
        rows = np.random.default_rng(0).permutation(len(self))[:at_most]
        mean = mean.to(self.frames.device)
        gain = torch.zeros(self.sequences.shape[1] + 1)  # per lag, relative to `mean`
        for row in rows.tolist():
            n_in = int(self.metadata.n_in.values[row])
            video = self.gather([row])[0].float() / 255
            by_mean = (video[n_in:] - mean).square().mean().cpu()
            for lag in range(len(video) - n_in, n_in + 1):
                gain[lag] += by_mean - (video[n_in:] - video[n_in - lag : len(video) - lag]).square().mean().cpu()
        return int(gain.argmax()) or None
