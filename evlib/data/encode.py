"""Official files -> frames, once (section 3.1). `evlib.data.store` describes the store that this writes."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from evlib.config import SIZE
from evlib.data.fingerprint import code_fingerprint
from evlib.data.sources import is_miniature
from evlib.data.store import COLUMNS, VERSION, VideoStore
from evlib.frames.parts import Example, Text
from evlib.frames.render import Rendered, fingerprint, render_example
from evlib.utils import files, progress
from evlib.utils.errors import EvlibError, UnreadableFile
from evlib.utils.progress import log_line

if TYPE_CHECKING:
    from evlib.data.tasks import Item, Task

HEADER = 128  # bytes of the header of a small .npy file
BROKEN_SHARE = 0.01  # largest fraction of unreadable files in a data set; they are logged, counted and left out


def encode(
    task: Task, data: str | Path, out: str | Path | None = None, log: Callable[[str], None] = log_line
) -> VideoStore:
    """Official files under `data` -> a store in `out` (default: data/.evlib/<task>). Does nothing if the store exists
    and nothing that determines its frames has changed: files, task, renderer. The store is written atomically.

    Unreadable files are logged, counted in the manifest and left out, up to 1 % of all files."""
    root = task.root(data)
    out = Path(out or Path(data) / ".evlib" / task.name)
    made_from = {"version": VERSION, "task": task.name, "dataset": task.display_name(root), "renderer": fingerprint()}
    made_from |= {"code": code_fingerprint(task), "sources": _file_fingerprint(root, task.files(root))}
    made_from |= {"data": "miniature" if is_miniature(root) else "real"}
    if (out / "manifest.json").exists():
        if _is_made_from(out, made_from):
            return VideoStore.open(out)
    elif out.exists() and (out.is_file() or any(out.iterdir())):
        raise EvlibError(f"{out} is not an encoded data set and would be replaced: name another folder with --out.")
    started = time.perf_counter()
    with files.atomic(out) as folder:
        folder.mkdir()
        found = _write(task, root, folder, log)
        seconds = time.perf_counter() - started
        manifest = {**made_from, **found, "seconds": round(seconds, 1), "source": str(root)}
        (folder / "manifest.json").write_text(json.dumps(manifest, indent=2))
    counts = f"{found['sequences']:,} sequences of {found['frames']:,} distinct frames"
    log(f"{task.name}: {counts} in {seconds:.1f} s -> {out}")
    return VideoStore.open(out)


def _is_made_from(out: Path, made_from: dict) -> bool:
    try:
        manifest = json.loads((out / "manifest.json").read_text())
    except ValueError:  # damaged: encode again
        return False
    return isinstance(manifest, dict) and {key: manifest.get(key) for key in made_from} == made_from


def _write(task: Task, root: Path, folder: Path, log: Callable[[str], None]) -> dict:
    """Writes frames, sequences and metadata. Returns their entries for the manifest."""
    index: dict[str | bytes, int] = {}  # key of a frame -> its index in the file
    sequences, rows = [], []
    seen, unreadable = set(), {}  # files; unreadable ones with the reason
    n_items = sum(1 for _ in task.items(root))  # listed, not loaded
    bar = progress.bar(f"{task.name}: encoding", n_items, "examples", log)
    with (folder / "frames.npy").open("wb") as frames, bar:
        frames.write(bytes(HEADER))  # placeholder: the number of frames is only known at the end
        for item, example, rendered in _render_all(task, root):
            bar.update()
            seen.add(item.file)
            if isinstance(rendered, UnreadableFile):
                if item.file not in unreadable:
                    log(f"{task.name}: left out: {rendered}")
                unreadable[item.file] = str(rendered)
                continue
            sequence = [*rendered.inputs, *rendered.outputs]
            for frame in sequence:
                if frame.key not in index:
                    index[frame.key] = len(index)
                    frames.write(np.ascontiguousarray(frame.pixels, dtype=np.uint8).data)
            sequences.append([index[frame.key] for frame in sequence])
            lengths = len(rendered.inputs), len(rendered.outputs), rendered.n_truncated
            question = " ".join(part.text for part in example.inputs if isinstance(part, Text))
            rows.append([item.split, *lengths, question, example.answer, item.source, item.group])
        frames.seek(0)
        header = {"descr": "|u1", "fortran_order": False, "shape": (len(index), SIZE, SIZE, 3)}
        np.lib.format.write_array_header_1_0(frames, header)
        assert frames.tell() == HEADER
    if len(unreadable) > BROKEN_SHARE * len(seen):
        raise EvlibError(
            f"{root}: {len(unreadable)} of {len(seen):,} files cannot be read, more than {BROKEN_SHARE:.0%}: "
            f"fetch them again. The first: {next(iter(unreadable.values()))}"
        )
    if not rows:
        raise EvlibError(f"{root}: found the files of {task.dataset}, but not one example in them.")
    _ensure_validation(rows)
    padded = np.full((len(sequences), max(map(len, sequences))), -1, dtype=np.int32)
    for row, sequence in zip(padded, sequences):
        row[: len(sequence)] = sequence
    np.save(folder / "sequences.npy", padded)
    metadata = pd.DataFrame(rows, columns=COLUMNS)
    metadata.to_parquet(folder / "metadata.parquet")
    return {
        # A hash of names and answers, not of pixels, which may differ by rounding between machines.
        "examples": hashlib.sha256(metadata.to_csv(index=False).encode()).hexdigest()[:16],
        "sequences": len(sequences),
        "frames": len(index),
        "frames_shown": sum(map(len, sequences)),
        "splits": metadata.split.value_counts().to_dict(),
        "vocabulary": task.vocabulary(root, metadata.answer),
        "unreadable": sorted(unreadable),
        "notes": task.notes(root),
    }


def _ensure_validation(rows: list[list]) -> None:
    """In a very small data set, the 5 % held out may be empty. Then the group with the lowest hash is held out."""
    splits, group = {row[0] for row in rows}, COLUMNS.index("group")
    groups = {row[group] for row in rows if row[0] == "train"}
    if "validation" in splits or len(groups) < 2:
        return
    held_out = min(groups, key=lambda name: hashlib.sha256(name.encode()).digest())
    for row in rows:
        if row[0] == "train" and row[group] == held_out:
            row[0] = "validation"


def _render_all(task: Task, root: Path) -> Iterator[tuple[Item, Example | None, Rendered | UnreadableFile]]:
    def load(item: Item) -> tuple:
        try:
            example = item.load()
        except UnreadableFile as error:
            return item, None, error
        try:
            return item, example, render_example(example, task.max_inputs)
        except EvlibError as error:
            raise EvlibError(f"{root / item.source}: {error}") from None

    items = task.items(root)
    if not task.parallel:
        yield from map(load, items)
        return
    with ThreadPoolExecutor() as pool:  # reading and rendering release the GIL
        while chunk := list(islice(items, 512)):  # bounded, because the results wait in memory
            yield from pool.map(load, chunk)


def _file_fingerprint(root: Path, paths: list[Path]) -> str:
    """Changes when a source file is added, removed, resized or rewritten."""
    digest = hashlib.sha256()
    for path in paths:
        stat = path.stat()
        digest.update(f"{path.relative_to(root)}|{stat.st_size}|{stat.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:16]
