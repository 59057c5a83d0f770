"""Encode a data set once; after that, training knows only frames.

A store is a folder:

    frames.npy       uint8 (N, 64, 64, 3): every distinct frame once, memory-mapped
    sequences.npy    int32 (S, T): which frame stands where, -1 where a sequence has ended
    answers.parquet  one row a sequence: split, n_in, n_out, n_cut (words lost to truncation), answer, source, group
    manifest.json    where it comes from: task, source files, renderer fingerprint, counts

SST-2 is 14,000 word frames and an index, not 700,000 frames.
"""
from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from . import files
from .errors import EvlibError
from .render import Frame, Rendered, fingerprint, render

if TYPE_CHECKING:
    from .tasks import Item, Task

VERSION = 1          # of this layout
SIZE = 64


@dataclass(frozen=True)
class VideoStore:
    """An encoded data set, opened. `frames` stays on disk until it is asked for."""
    path: Path
    manifest: dict
    frames: np.ndarray           # uint8 (N, 64, 64, 3)
    sequences: np.ndarray        # int32 (S, T)
    answers: pd.DataFrame        # split, n_in, n_out, n_cut, answer, source, group

    @classmethod
    def open(cls, path: str | Path) -> VideoStore:
        path = Path(path)
        if not (path / "manifest.json").exists():
            raise EvlibError(f"{path}: expected an encoded data set (manifest.json), found none; make it with `python -m evlib encode`.")
        manifest = json.loads((path / "manifest.json").read_text())
        if manifest["renderer"] != fingerprint() or manifest["version"] != VERSION:
            raise EvlibError(f"{path} was drawn by another renderer ({manifest['renderer']}, version {manifest['version']}; this one is "
                             f"{fingerprint()}, version {VERSION}): remove the folder and encode again.")
        # Copy-on-write mapping: pages come in as they are used, and torch may wrap them without a copy.
        return cls(path, manifest, np.load(path / "frames.npy", mmap_mode="c"), np.load(path / "sequences.npy"),
                   pd.read_parquet(path / "answers.parquet"))

    def split(self, name: str, device: str | torch.device = "cpu") -> Split:
        """The sequences of "train", "validation" or "test", with their frames on `device`."""
        rows = np.flatnonzero(self.answers.split == name)
        table = self.answers.iloc[rows].reset_index(drop=True)
        if torch.device(device).type == "cpu":
            frames, sequences = self.frames, self.sequences[rows]
        else:                                                  # upload only what this split shows
            used, sequences = np.unique(self.sequences[rows], return_inverse=True)
            pad = int(used[0] == -1)
            frames, sequences = self.frames[used[pad:]], sequences.reshape(len(rows), -1).astype(np.int32) - pad
        return Split(name, torch.from_numpy(frames).to(device), torch.from_numpy(sequences).to(device), table)

    @property
    def is_miniature(self) -> bool:
        return self.manifest["data"] == "miniature"


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

    def head(self, rows: int) -> Split:
        """The first `rows` sequences."""
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


# ---------------------------------------------------------------------------------------------- encoding

def encode(task: Task, data: str | Path, out: str | Path | None = None, log: Callable[[str], None] = print) -> VideoStore:
    """Official files under `data` -> a store in `out` (default: data/.evlib/<task>). Does nothing if the store is there
    and neither the files nor the renderer have changed. Written whole or not at all."""
    data = Path(data)
    root = task.root(data)
    out = Path(out) if out else data / ".evlib" / task.name
    made_from = {"version": VERSION, "task": task.name, "renderer": fingerprint(), "settings": task.settings(),
                 "sources": _digest(root, task.files(root)), "data": "miniature" if (root / "MINIATURE.json").exists() else "real"}
    if (out / "manifest.json").exists():
        manifest = json.loads((out / "manifest.json").read_text())
        if {k: manifest.get(k) for k in made_from} == made_from:
            return VideoStore.open(out)
    started = time.perf_counter()
    with files.atomic(out) as folder:
        folder.mkdir()
        counts = _write(task, root, folder, log)
        seconds = time.perf_counter() - started
        manifest = {**made_from, **counts, "seconds": round(seconds, 1), "source": str(root)}
        (folder / "manifest.json").write_text(json.dumps(manifest, indent=2))
    log(f"{task.name}: {counts['sequences']:,} sequences of {counts['frames']:,} distinct frames in {seconds:.1f} s -> {out}")
    return VideoStore.open(out)


def _write(task: Task, root: Path, folder: Path, log: Callable[[str], None]) -> dict:
    index: dict[str | bytes, int] = {}
    sequences, rows, shown, next_report = [], [], 0, time.perf_counter() + 5

    with FrameFile(folder / "frames.npy") as frames:
        for item, answer, drawn in _rendered(task, root):
            sequence = []
            for frame in (*drawn.inputs, *drawn.outputs):
                if frame.key not in index:
                    index[frame.key] = frames.append(frame)
                sequence.append(index[frame.key])
            sequences.append(sequence)
            rows.append((item.split, len(drawn.inputs), len(drawn.outputs), drawn.cut, answer, item.source, item.group))
            shown += len(sequence)
            if time.perf_counter() > next_report:
                log(f"{task.name}: {len(rows):,} encoded ...")
                next_report += 5
    if not rows:
        raise EvlibError(f"{root}: found the files of {task.dataset}, but not one example in them.")
    table = np.full((len(sequences), max(map(len, sequences))), -1, dtype=np.int32)
    for row, sequence in zip(table, sequences):
        row[:len(sequence)] = sequence
    np.save(folder / "sequences.npy", table)
    answers = pd.DataFrame(rows, columns=["split", "n_in", "n_out", "n_cut", "answer", "source", "group"])
    answers.to_parquet(folder / "answers.parquet")
    return {"sequences": len(rows), "frames": len(index), "frames_shown": shown, "splits": answers.split.value_counts().to_dict()}


class Drawn(NamedTuple):
    item: Item
    answer: str
    frames: Rendered


def _rendered(task: Task, root: Path) -> Iterable[Drawn]:
    def one(item: Item) -> Drawn:
        example = item.load()
        return Drawn(item, example.answer, render(example, task.max_inputs))

    items = task.items(root)
    if not task.parallel:
        yield from map(one, items)
        return
    with ThreadPoolExecutor() as pool:                         # reading and transforming release the interpreter
        while chunk := list(islice(items, 512)):               # bounded: what is drawn waits in memory
            yield from pool.map(one, chunk)


class FrameFile:
    """A .npy of uint8 (N, 64, 64, 3) whose N is known at the end."""

    HEADER = 128      # bytes; numpy pads the header of a small array to this

    def __init__(self, path: Path):
        self.file, self.count = open(path, "wb"), 0
        self.file.write(bytes(self.HEADER))

    def append(self, frame: Frame) -> int:
        self.file.write(np.ascontiguousarray(frame.pixels, dtype=np.uint8).data)
        self.count += 1
        return self.count - 1

    def __enter__(self) -> FrameFile:
        return self

    def __exit__(self, *error) -> None:
        with self.file:
            self.file.seek(0)
            np.lib.format.write_array_header_1_0(
                self.file, {"descr": "|u1", "fortran_order": False, "shape": (self.count, SIZE, SIZE, 3)})
            assert self.file.tell() == self.HEADER


def _digest(root: Path, paths: list[Path]) -> str:
    """Changes when a source file is added, removed, resized or rewritten."""
    seen = hashlib.sha256()
    for path in paths:
        stat = path.stat()
        seen.update(f"{path.relative_to(root)}|{stat.st_size}|{stat.st_mtime_ns}\n".encode())
    return seen.hexdigest()[:16]
