"""The benchmark on one page, plotted from its CSV files: what the network makes of the machine, peers, growth."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd

from evlib.utils import files
from evlib.viz.plots import STYLE

COLORS = {"forward": "C5", "training step": "C0", "generation": "C1"}  # of the project's cycle


def plot(folder: Path) -> Path | None:
    """<folder>/bench.png from as many of network.csv, peers.csv and growth.csv as are there; None if none is. A GPU's
    rows where there are any, else those of a CPU's fewest threads."""
    tables = {name: measured(folder / f"{name}.csv") for name in ("network", "peers", "growth")}
    tables = {name: table for name, table in tables.items() if table is not None}
    if not tables:
        return None
    panels = [name for name in ("network", "peers") if name in tables]
    rows = ([panels] if panels else []) + ([["steps", "stores"]] if "growth" in tables else [])
    with plt.style.context(STYLE):
        figure = plt.figure(figsize=(11, 1 + 3.6 * len(rows)))
        ratios = [1.5 if row == panels else 1 for row in rows]
        parts = figure.subfigures(len(rows), 1, squeeze=False, height_ratios=ratios)
        for part, names in zip(parts[:, 0], rows):
            for name, axes in zip(names, part.subplots(1, len(names), squeeze=False)[0]):
                PANELS[name](axes, tables["growth" if name in ("steps", "stores") else name])
        with files.atomic(folder / "bench.png") as temporary:
            figure.savefig(temporary)
        plt.close(figure)
    return folder / "bench.png"


def measured(path: Path) -> pd.DataFrame | None:
    """The rows with a number, of one kind of device."""
    if not path.exists():
        return None
    table = pd.read_csv(path)
    table = table.dropna(subset="slowdown" if "slowdown" in table else "seconds")
    gpu = table[~table.device.str.startswith("CPU")]
    table = gpu if len(gpu) else table[table.threads == table.threads.min()]
    return table if len(table) else None


def utilisation(axes: plt.Axes, table: pd.DataFrame) -> None:
    """Bars, a group for each preset and shape."""
    table = table.dropna(subset="utilisation")
    groups = list(dict.fromkeys(zip(table.preset, table.n_in, table.n_out)))
    for k, (what, color) in enumerate(COLORS.items()):
        shares = table[table.what == what].set_index(["preset", "n_in", "n_out"]).utilisation
        lengths = [100 * shares.get(group, float("nan")) for group in groups]
        axes.barh([i + 0.27 * (k - 1) for i in range(len(groups))], lengths, height=0.25, color=color, label=what)
    labels = [f"{preset}, {n_in:.0f} → {n_out:.0f} frames" for preset, n_in, n_out in groups]
    axes.set_yticks(range(len(groups)), labels)
    axes.invert_yaxis()
    title = f"What the network makes of the machine ({table.device.iloc[0]})"
    axes.set(xlim=(0, 100), xlabel="% of the FLOP/s of one big matrix product", title=title)
    axes.legend(loc="upper right")


def slowdowns(axes: plt.Axes, table: pd.DataFrame) -> None:
    """Bars on a logarithmic scale; the line is our own time."""
    colors = ["C0" if slowdown >= 1 else "C1" for slowdown in table.slowdown]
    bars = axes.barh(range(len(table)), table.slowdown - 1, left=1, color=colors, height=0.65)
    axes.bar_label(bars, [f"{slowdown:.{2 if slowdown < 2 else 1}f}" for slowdown in table.slowdown], padding=3)
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_yticks(range(len(table)), [f"{row.what}\nagainst {row.peer}" for row in table.itertuples()], fontsize=6.5)
    axes.invert_yaxis()
    _logarithmic(axes, "x")
    limits = (min(0.5, table.slowdown.min() * 0.8), table.slowdown.max() * 2)
    axes.set(xlim=limits, xlabel="slowdown", title="The same work done otherwise")


def growth(axes: plt.Axes, table: pd.DataFrame, of_store: bool) -> None:
    """Seconds over what grows, each line from its own first point, both axes logarithmic."""
    by, title, longest = "axis", "A training step of preset demo, one size growing", 1.0
    table, stores = table[table.what == "training step"], table[table.axis == "sequences"]
    if of_store:
        table, by, title = stores, "what", "A data set growing from a thousand sequences to a million"
    for name, rows in table.groupby(by, sort=False):
        times = rows.value / rows.value.iloc[0]
        label = f"{name}, {rows.value.iloc[0]:,} to {rows.value.iloc[-1]:,}" if by == "axis" else name
        axes.plot(times, rows.seconds / rows.seconds.iloc[0], marker="o", label=label)
        longest = max(longest, times.iloc[-1])
    axes.plot([1, longest], [1, longest], color="grey", linewidth=0.8, linestyle=":", label="in proportion")
    for axis in "xy":
        _logarithmic(axes, axis)
    axes.set(xlabel="size, relative to the smallest", ylabel="slowdown", title=title)
    axes.legend()


def _logarithmic(axes: plt.Axes, name: str) -> None:
    """A logarithmic axis with 1, 10, 100 on it, not their powers."""
    getattr(axes, f"set_{name}scale")("log")
    axis = getattr(axes, f"{name}axis")
    axis.set_major_formatter(lambda value, _: f"{value:,g}")
    axis.set_minor_formatter(lambda value, _: "")


PANELS = {
    "network": utilisation,
    "peers": slowdowns,
    "steps": partial(growth, of_store=False),
    "stores": partial(growth, of_store=True),
}
