"""How fast it all is, on the machine it runs on. Speed is measured here and never tested, because machines are shared and
noisy: what is compared is compared in one process, in turns, and reported as a ratio of medians: of CPU seconds on a CPU, of the
clock's on a GPU (see `clock`). Only `ends` is by the clock alone.

    python -m evlib bench --data DIR        -> results/bench/{ends,network,peers,growth}.csv, bench.png

    ends       drawing, encoding, reading: what happens before and after the network
    network    forward pass, training step and generation for the shapes of Table 1, as a share of what this machine multiplies
    peers      the same work done otherwise: another library, no cache, one call a frame, files at every step
    growth     seconds and memory as frames, width, batch and data set grow

A run replaces the rows of its own device and preset and keeps the others, so that one table holds a laptop and a GPU.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal, get_args

import pandas as pd

from evlib.training.device import find_device
from evlib.utils import files
from evlib.utils.errors import EvlibError

Part = Literal["ends", "network", "peers", "growth"]
PRESETS = (
    "demo",
    "paper",
    "fast",
)  # the last differs from paper by its recipe alone: measured on a GPU, or where it is named
MISSING = "not measured: needs a CUDA GPU; `python -m evlib bench --device cuda` fills it"
GPU = "a CUDA GPU"  # stands in column `device` until one has a name


def bench(
    data: Path,
    out: Path,
    only: Sequence[Part] = (),
    device: str | None = None,
    preset: str | None = None,
    log: Callable[[str], None] = lambda line: print(line, flush=True),
) -> dict[str, pd.DataFrame]:
    """Measures the parts named in `only`, or all; of the network, `preset`, or demo, paper and on a GPU fast. Writes <out>/<part>.csv and bench.png, and
    returns the tables by part. What `data` lacks is a row that says so. Raises EvlibError for an unknown part or preset."""
    from evlib.bench import ends, growth, network, peers, picture

    parts, presets = (
        tuple(only) or get_args(Part),
        (preset,) if preset else PRESETS if find_device(device).type == "cuda" else PRESETS[:2],
    )
    if unknown := {*parts} - {*get_args(Part)}:
        raise EvlibError(f"bench measures {', '.join(get_args(Part))}; found {min(unknown)!r}.")
    if not {*presets} <= {*PRESETS}:
        raise EvlibError(f"bench knows the presets {', '.join(PRESETS)}; found {preset!r}.")
    if Path(out).suffix:
        raise EvlibError(
            f"--out {out}: expected a folder, to which {' '.join(f'{part}.csv' for part in parts)} and bench.png are written."
        )
    on = find_device(device)
    measures = {
        "ends": lambda: ends.measure(data, log),
        "network": lambda: network.measure(presets, on, log),
        "peers": lambda: peers.measure(data, on, log),
        "growth": lambda: growth.measure(on, log),
    }
    tables = {}
    for part in parts:
        tables[part] = measures[part]()
        if part != "ends":
            host = {"peers": peers.HOST, "growth": growth.HOST}.get(part, ())
            tables[part] = joined(tables[part], Path(out) / f"{part}.csv", host)
        with files.atomic(Path(out) / f"{part}.csv") as temporary:
            tables[part].to_csv(temporary, index=False)
    picture.draw(Path(out))
    return tables


def joined(new: pd.DataFrame, path: Path, host: tuple[str, ...] = ()) -> pd.DataFrame:
    """The new rows, and those of an earlier run on the other kind of device or of another preset. The rows that a GPU would have
    are there in any case, empty until one fills them; all but those whose `what` starts as in `host`."""
    parts = [new]
    if path.exists():
        old = pd.read_csv(path)
        if list(old.columns) == list(new.columns):  # else an older version wrote it
            old = old[old.device != GPU]
            parts.append(old[~_origin(old).isin(set(_origin(new)))])
    table = pd.concat([part for part in parts if len(part)], ignore_index=True)
    cpu = table.device.str.startswith("CPU")
    empty = table[
        cpu
        & ~_origin(table).str.replace("cpu", "cuda").isin(set(_origin(table)))
        & ~table.what.str.startswith(tuple(host) or ("\0",))
    ]
    return pd.concat([part for part in (table[cpu], table[~cpu], _emptied(empty)) if len(part)], ignore_index=True)


def _emptied(rows: pd.DataFrame) -> pd.DataFrame:
    """The same rows without what was measured."""
    said = [
        name for name in ("what", "ours", "peer", "shape", "n_in", "n_out", "preset", "axis", "value") if name in rows
    ]
    waiting = rows[said].assign(device=GPU, note=MISSING).reindex(columns=rows.columns)
    return waiting[waiting.what != "matrix product"]


def _origin(table: pd.DataFrame) -> pd.Series:
    """What one run measures as a whole: a kind of device and a preset."""
    kind = table.device.str.startswith("CPU").map({True: "cpu", False: "cuda"})
    return kind + " " + (table.preset.fillna("").astype(str) if "preset" in table else "")
