"""Benchmarks on this machine: they measure anything in the layers below, and nothing there imports them.

    python -m evlib bench --data DIR        -> results/bench/{ends,network,variants,peers,growth}.csv, bench.png

    ends       rendering, encoding, reading: what happens before and after the network
    network    forward pass, training step and generation for the shapes of Table 1, as a share of the machine's rate
    variants   what bfloat16 and a last block on answer frames only save in a training step, and what a stem costs
    peers      the same work done in other ways: another library, no cache, one call per frame, files at every step
    growth     seconds and memory as frames, width, batch and data set grow

Comparisons run in one process, alternately, and are ratios of medians; `timing` explains which seconds are measured.
On a CPU, all parts but `ends` use one thread. A run replaces the rows of its own kind of device, so that one table
holds a laptop and a GPU.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd

from evlib.bench.timing import cores, torch_threads
from evlib.training.device import find_device
from evlib.utils import files
from evlib.utils.errors import EvlibError
from evlib.utils.progress import log_line

PARTS = ("ends", "network", "variants", "peers", "growth")
PRESETS = ("demo", "paper", "fast")  # fast differs from paper only in its recipe: on a GPU only


def bench(
    data: Path, out: Path, only: Sequence[str] = (), device: str | None = None, log: Callable[[str], None] = log_line
) -> dict[str, pd.DataFrame]:
    """Measures the PARTS named in `only`, or all. Writes <out>/<part>.csv and bench.png, and returns the tables by
    part. A row says so if `data` lacks what it needs."""
    from evlib.bench import ends, growth, network, peers, plot, variants

    on = find_device(device)
    if out.suffix:
        raise EvlibError(f"--out {out}: expected a folder for <part>.csv and bench.png.")
    measures = {
        "ends": lambda: ends.measure(data, log),
        "network": lambda: network.measure(PRESETS if on.type == "cuda" else PRESETS[:2], on, log),
        "variants": lambda: variants.measure(on, log),
        "peers": lambda: peers.measure(data, on, log),
        "growth": lambda: growth.measure(on, log),
    }
    tables = {}
    for part in only or PARTS:
        path = out / f"{part}.csv"
        with torch_threads(1 if part != "ends" and on.type == "cpu" else cores()):
            table = measures[part]()
        if path.exists():
            old, on_cpu = pd.read_csv(path), table.device.iloc[0].startswith("CPU")
            table = pd.concat([table, old[old.device.str.startswith("CPU") != on_cpu]], ignore_index=True)
        tables[part] = table
        files.write_text(path, table.to_csv(index=False, float_format="%.5g"))
    plot.plot(out)
    return tables
