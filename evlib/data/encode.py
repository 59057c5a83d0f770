"""Official files -> frames, once (section 3.1). The store that it writes is described in `evlib.store`."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd

from evlib.data.sources import is_miniature
from evlib.data.store import COLUMNS, VERSION, VideoStore
from evlib.frames.image import SIZE
from evlib.frames.parts import Example, Text
from evlib.frames.render import Frame, Rendered, fingerprint, render_example
from evlib.utils import files, progress
from evlib.utils.errors import EvlibError, UnreadableFile
from evlib.utils.progress import log_line

if TYPE_CHECKING:
    from evlib.data.tasks import Item, Task

BROKEN_SHARE = 0.01  # of a data set's files that may be unreadable; they are named, counted and left out


def encode(task: Task, data: str | Path, out: str | Path | None = None, log: Callable[[str], None] = log_line) -> VideoStore:
    """Official files under `data` -> a store in `out` (default: data/.evlib/<task>). Does nothing if the store is there
    and neither the files nor the renderer have changed. Written whole or not at all.

    A file that cannot be read is named, counted in the manifest and left out, up to 1 % of the files."""
    data = Path(data)
    root = task.root(data)
    out = Path(out) if out else data / ".evlib" / task.name
    made_from = {
        "version": VERSION,
        "task": task.name,
        "dataset": task.display_name(root),
        "renderer": fingerprint(),
        "settings": task.settings(),
        "sources": _digest(root, task.files(root)),
        "data": "miniature" if is_miniature(root) else "real",
    }
    if (out / "manifest.json").exists():
        if _made_from(out, made_from):
            return VideoStore.open(out)
    elif out.exists() and (out.is_file() or any(out.iterdir())):
        raise EvlibError(f"{out} is not an encoded data set and would be replaced: name another folder with --out.")
    started = time.perf_counter()
    with files.atomic(out) as folder:
        folder.mkdir()
        counts = _write(task, root, folder, log)
        seconds = time.perf_counter() - started
        manifest = {**made_from, **counts, "seconds": round(seconds, 1), "source": str(root)}
        (folder / "manifest.json").write_text(json.dumps(manifest, indent=2))
    log(
        f"{task.name}: {counts['sequences']:,} sequences of {counts['frames']:,} distinct frames in {seconds:.1f} s -> {out}"
    )
    return VideoStore.open(out)


def _made_from(out: Path, made_from: dict) -> bool:
    try:
        manifest = json.loads((out / "manifest.json").read_text())
    except ValueError:  # damaged: encode again
        return False
    return isinstance(manifest, dict) and {k: manifest.get(k) for k in made_from} == made_from


def _write(task: Task, root: Path, folder: Path, log: Callable[[str], None]) -> dict:
    index: dict[str | bytes, int] = {}
    sequences, rows, shown = [], [], 0
    sources: set[str] = set()
    unreadable: dict[str, str] = {}

    count = sum(1 for _ in task.items(root))  # listed, not loaded
    with (
        FrameFile(folder / "frames.npy") as frames,
        progress.bar(f"{task.name}: encoding", count, "examples", log) as bar,
    ):
        for item, example, drawn in _rendered(task, root):
            bar.advance()
            sources.add(item.file)
            if isinstance(drawn, UnreadableFile):
                if item.file not in unreadable:
                    log(f"{task.name}: left out: {drawn}")
                unreadable[item.file] = str(drawn)
                continue
            sequence = []
            for frame in (*drawn.inputs, *drawn.outputs):
                if frame.key not in index:
                    index[frame.key] = frames.append(frame)
                sequence.append(index[frame.key])
            sequences.append(sequence)
            rows.append(
                [
                    item.split,
                    len(drawn.inputs),
                    len(drawn.outputs),
                    drawn.cut,
                    _question(example),
                    example.answer,
                    item.source,
                    item.group,
                ]
            )
            shown += len(sequence)
    if len(unreadable) > BROKEN_SHARE * len(sources):
        raise EvlibError(
            f"{root}: {len(unreadable)} of {len(sources):,} files cannot be read, more than {BROKEN_SHARE:.0%}: fetch them again. "
            f"The first: {next(iter(unreadable.values()))}"
        )
    if not rows:
        raise EvlibError(f"{root}: found the files of {task.dataset}, but not one example in them.")
    _need_validation(rows)
    table = np.full((len(sequences), max(map(len, sequences))), -1, dtype=np.int32)
    for row, sequence in zip(table, sequences):
        row[: len(sequence)] = sequence
    np.save(folder / "sequences.npy", table)
    answers = pd.DataFrame(rows, columns=COLUMNS)
    answers.to_parquet(folder / "metadata.parquet")
    # A run remembers which examples it saw. Of names and answers, not of pixels: those may differ in a rounding
    # from machine to machine, and a run may move.
    identity = hashlib.sha256(answers.to_csv(index=False).encode()).hexdigest()[:16]
    return {
        "examples": identity,
        "sequences": len(rows),
        "frames": len(index),
        "frames_shown": shown,
        "splits": answers.split.value_counts().to_dict(),
        "vocabulary": task.vocabulary(root, answers.answer),
        "unreadable": sorted(unreadable),
        "notes": task.notes(root),
    }


def _need_validation(rows: list[list]) -> None:
    """Very small data sets may have no group among the 5 % that are held out: then one group is, whichever comes first by its hash."""
    splits, group = {row[0] for row in rows}, COLUMNS.index("group")
    groups = sorted(
        {row[group] for row in rows if row[0] == "train"}, key=lambda name: hashlib.sha256(name.encode()).digest()
    )
    if "validation" not in splits and len(groups) > 1:
        for row in rows:
            if row[0] == "train" and row[group] == groups[0]:
                row[0] = "validation"


class Drawn(NamedTuple):
    item: Item
    example: Example | None
    frames: Rendered | UnreadableFile


def _rendered(task: Task, root: Path) -> Iterable[Drawn]:
    def one(item: Item) -> Drawn:
        try:
            example = item.load()
        except UnreadableFile as error:
            return Drawn(item, None, error)
        try:
            return Drawn(item, example, render_example(example, task.max_inputs))
        except EvlibError as error:
            raise EvlibError(f"{root / item.source}: {error}") from None

    items = task.items(root)
    if not task.parallel:
        yield from map(one, items)
        return
    with ThreadPoolExecutor() as pool:  # reading and transforming release the interpreter
        while chunk := list(islice(items, 512)):  # bounded: what is drawn waits in memory
            yield from pool.map(one, chunk)


def _question(example: Example) -> str:
    return " ".join(part.text for part in example.inputs if isinstance(part, Text))


class FrameFile:
    """A .npy of uint8 (N, 64, 64, 3) whose N is known at the end."""

    HEADER = 128  # bytes; numpy pads the header of a small array to this

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
                self.file, {"descr": "|u1", "fortran_order": False, "shape": (self.count, SIZE, SIZE, 3)}
            )
            assert self.file.tell() == self.HEADER


def _digest(root: Path, paths: list[Path]) -> str:
    """Changes when a source file is added, removed, resized or rewritten."""
    seen = hashlib.sha256()
    for path in paths:
        stat = path.stat()
        seen.update(f"{path.relative_to(root)}|{stat.st_size}|{stat.st_mtime_ns}\n".encode())
    return seen.hexdigest()[:16]
