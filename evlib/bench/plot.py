"""The benchmark on one page, plotted from its CSV files: utilization of the machine, peers, growth."""

from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd

from evlib.utils import files
from evlib.viz.plots import STYLE

COLORS = {"forward": "C5", "training step": "C0", "generation": "C1"}  # of the project's color cycle


def plot(folder: Path) -> Path | None:
    """<folder>/bench.png from as many of network.csv, peers.csv and growth.csv as there are; None if there are none.
    Plots a GPU's rows if there are any, else those of a CPU."""
    tables = {name: measured(folder / f"{name}.csv") for name in ("network", "peers", "growth")}
    if all(table is None for table in tables.values()):
        return None
    panels = (("network", utilization), ("peers", slowdowns), ("growth", sizes))
    with plt.style.context(STYLE):
        figure, places = plt.subplots(1, 3, figsize=(16, 6), layout="constrained")
        for axes, (name, show) in zip(places, panels):
            if tables[name] is None:
                axes.axis("off")
            else:
                show(axes, tables[name])
        with files.atomic(folder / "bench.png") as temporary:
            figure.savefig(temporary)
        plt.close(figure)
    return folder / "bench.png"


def measured(path: Path) -> pd.DataFrame | None:
    """The rows with a measurement, of one kind of device."""
    if not path.exists():
        return None
    table = pd.read_csv(path)
    table = table.dropna(subset="slowdown" if "slowdown" in table else "seconds")
    gpu = table[~table.device.str.startswith("CPU")]
    table = gpu if len(gpu) else table
    return table if len(table) else None


def utilization(axes: plt.Axes, table: pd.DataFrame) -> None:
    """Bars, a group for each preset and shape."""
    shares = 100 * table.pivot_table("utilization", ["preset", "n_in", "n_out"], "what", sort=False)[[*COLORS]]
    shares.index = [f"{preset}, {n_in:.0f} → {n_out:.0f} frames" for preset, n_in, n_out in shares.index]
    shares.plot.barh(ax=axes, color=COLORS, width=0.8)
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


def sizes(axes: plt.Axes, table: pd.DataFrame) -> None:
    """Seconds over size, each line relative to its own first point, both axes logarithmic."""
    longest = 1.0
    for axis, rows in table[table.what == "training step"].groupby("axis", sort=False):
        times, label = rows.value / rows.value.iloc[0], f"{axis}, {rows.value.iloc[0]:,} to {rows.value.iloc[-1]:,}"
        axes.plot(times, rows.seconds / rows.seconds.iloc[0], marker="o", label=label)
        longest = max(longest, times.iloc[-1])
    axes.plot([1, longest], [1, longest], color="gray", linewidth=0.8, linestyle=":", label="in proportion")
    for name in "xy":
        _logarithmic(axes, name)
    axes.set(
        xlabel="size, relative to the smallest",
        ylabel="slowdown",
        title="A training step of preset demo, one size growing",
    )
    axes.legend()


def _logarithmic(axes: plt.Axes, name: str) -> None:
    """A logarithmic axis with 1, 10, 100 on it, not their powers."""
    axes.set(**{f"{name}scale": "log"})
    axis = getattr(axes, f"{name}axis")
    axis.set_major_formatter(lambda value, _: f"{value:,g}")
    axis.set_minor_formatter(lambda value, _: "")
