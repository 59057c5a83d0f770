"""Atomic writes: a reader finds a complete file or none."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd

from evlib.utils.errors import EvlibError


@contextmanager
def atomic(path: Path) -> Iterator[Path]:
    """A temporary path, of a file or a folder, renamed to `path` if the block succeeds and removed if not. A full disk
    or a folder that cannot be written raises an EvlibError that names it; other errors of the block pass through."""
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    except OSError as error:
        todo = "Choose a folder that can be written"
        raise EvlibError(f"Cannot write {path}: {error.strerror or error}. {todo}.") from None
    try:
        temporary = folder / path.name
        yield temporary
        if path.is_dir() and temporary.is_dir():  # a folder is never replaced by a file
            old, new = ({entry.name for entry in place.iterdir()} for place in (path, temporary))
            if old and not old & new:
                found = f"{path} holds something else ({min(old)}, ...)"
                raise EvlibError(f"{found}, and would be replaced: name another folder.")
            shutil.rmtree(path)
        os.replace(temporary, path)
    except OSError as error:
        if not _about(error, folder, path):  # a file that the block reads
            raise
        raise EvlibError(
            f"Cannot write {path}: {error.strerror or error}. Nothing was left behind; "
            "free some space or choose another folder, and run the same command again."
        ) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _about(error: OSError, *places: Path) -> bool:
    """Whether the error is about a path in these places. That of a full disk names no file."""
    if not isinstance(error.filename, (str, bytes, os.PathLike)):
        return True
    return any(
        Path(os.path.abspath(os.fsdecode(error.filename))).is_relative_to(os.path.abspath(place)) for place in places
    )


def write_text(path: Path, text: str) -> None:
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def update_csv(path: Path, rows: list[dict], key: list[str], sort: bool = False) -> None:
    """Adds rows to a CSV file, each in place of an earlier one that is equal in the columns `key`; with `sort`, all are
    sorted by these."""
    table = pd.DataFrame(rows)
    if path.exists():
        table = pd.concat([pd.read_csv(path), table]).drop_duplicates(key, keep="last")
    table = table.sort_values(key) if sort else table
    write_text(path, table.round(4).to_csv(index=False))
