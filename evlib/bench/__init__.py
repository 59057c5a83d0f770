"""Benchmarks on this machine: they measure anything in the layers below, and nothing there imports them.

    python -m evlib bench --data DIR        -> results/bench/{ends,network,variants,peers,growth}.csv, bench.png

    ends       rendering, encoding, reading: what happens before and after the network
    network    forward pass, training step and generation for the shapes of Table 1, as a share of the machine's rate
    variants   what bfloat16 and a last block on answer frames only save in a training step, and what a stem costs
    peers      the same work done in other ways: another library, no cache, one call per frame, files at every step
    growth     seconds and memory as frames, width, batch and data set grow

Comparisons run in one process, in turns, and are ratios of medians; `timing` explains which seconds are measured. All
parts but `ends` are measured with one thread and with two. A run replaces the rows of its own kind of device, number of
threads and preset, so that one table holds a laptop and a GPU.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd
import torch

from evlib.bench.timing import cores, torch_threads
from evlib.training.device import find_device
from evlib.utils import files
from evlib.utils.errors import EvlibError
from evlib.utils.progress import log_line

PARTS = ("ends", "network", "variants", "peers", "growth")
PRESETS = ("demo", "paper", "fast")  # fast differs from paper only in its recipe: for a GPU, or if it is named


def bench(
    data: Path,
    out: Path,
    only: Sequence[str] = (),
    device: str | None = None,
    preset: str | None = None,
    threads: int | None = None,
    log: Callable[[str], None] = log_line,
) -> dict[str, pd.DataFrame]:
    """Measures the PARTS named in `only`, or all; the network with `preset`, or with demo, paper and, on a GPU, fast.
    Writes <out>/<part>.csv and bench.png, and returns the tables by part. A row says so if `data` lacks what it needs.
    EvlibError if `threads` is more than there are cores."""
    from evlib.bench import ends, growth, network, peers, plot, variants

    on = find_device(device)
    if out.suffix:
        raise EvlibError(f"--out {out}: expected a folder for <part>.csv and bench.png.")
    presets = (preset,) if preset else PRESETS if on.type == "cuda" else PRESETS[:2]
    counts = thread_counts(threads, on)
    measures = {
        "network": lambda first: network.measure(presets, on, log),
        "variants": lambda first: variants.measure(on, log),
        "peers": lambda first: peers.measure(data, on, log, host=first),
        "growth": lambda first: growth.measure(on, log, host=first),
    }
    tables = {}
    for part in only or PARTS:
        path, measured = out / f"{part}.csv", []
        for count in counts if part != "ends" else ():
            with torch_threads(count):
                log(f"{part}: {count} thread{'s' if count > 1 else ''}")
                measured.append(measures[part](count == counts[0]))
        tables[part] = joined(pd.concat(measured, ignore_index=True), path) if measured else ends.measure(data, log)
        files.write_text(path, tables[part].to_csv(index=False, float_format="%.5g"))
    plot.plot(out)
    return tables


def thread_counts(threads: int | None, device: torch.device) -> tuple[int, ...]:
    """The numbers of threads to measure with, checked: torch would report more threads than there are cores."""
    if device.type == "cuda":
        return (threads or torch.get_num_threads(),)
    if threads is None:
        return (1, 2)[: cores()]
    if not 1 <= threads <= cores():
        raise EvlibError(f"--threads {threads}: expected 1 to {cores()}, the cores that this process may use.")
    return (threads,)


def joined(new: pd.DataFrame, path: Path) -> pd.DataFrame:
    """The new rows, and those of an earlier run on another kind of device, with other threads or another preset."""
    if not path.exists():
        return new
    old = pd.read_csv(path)
    old = old[~_origin(old).isin(set(_origin(new)))]
    table = pd.concat([new, old], ignore_index=True) if len(old) else new
    return table.sort_values("device", key=lambda device: ~device.str.startswith("CPU"), kind="stable")


def _origin(table: pd.DataFrame) -> pd.Series:
    """The key of the rows that one run replaces: the kind of device, on a CPU the number of threads, and the preset."""
    kind = table.device.where(table.device.str.startswith("CPU"), "GPU")
    return kind + " " + (table.preset if "preset" in table else "")
