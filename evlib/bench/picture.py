"""The benchmark on one page, drawn from its CSV files: what the network makes of the machine, peers, growth."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd

from evlib.utils import files
from evlib.viz.plots import STYLE

COLOURS = {"forward": "C5", "training step": "C0", "generation": "C1"}  # of the project's cycle


def draw(folder: Path) -> Path | None:
    """<folder>/bench.png from as many of network.csv, peers.csv and growth.csv as are there; None if none is. A GPU's rows are
    drawn where there are any, else a CPU's."""
    tables = {
        name: table
        for name in ("network", "peers", "growth")
        if (table := measured(folder / f"{name}.csv")) is not None
    }
    if not tables:
        return None
    panels = [name for name in ("network", "peers") if name in tables]
    rows = ([panels] if panels else []) + ([["steps", "stores"]] if "growth" in tables else [])
    with plt.style.context(STYLE):
        figure = plt.figure(figsize=(11, 1 + 3.6 * len(rows)))
        parts = figure.subfigures(
            len(rows), 1, squeeze=False, height_ratios=[1.5 if row == panels else 1 for row in rows]
        )
        for part, names in zip(parts[:, 0], rows):
            for name, axes in zip(names, part.subplots(1, len(names), squeeze=False)[0]):
                PANELS[name](axes, tables["growth" if name in ("steps", "stores") else name])
        with files.atomic(folder / "bench.png") as temporary:
            figure.savefig(temporary)
        plt.close(figure)
    return folder / "bench.png"


def measured(path: Path) -> pd.DataFrame | None:
    """The rows with a number, of the fastest kind of device there is."""
    if not path.exists():
        return None
    table = pd.read_csv(path)
    table = table.dropna(subset="ratio" if "ratio" in table else "seconds")
    gpu = table[~table.device.str.startswith("CPU")]
    table = gpu if len(gpu) else table
    return table if len(table) else None


def utilisation(axes: plt.Axes, table: pd.DataFrame) -> None:
    """Bars, a group for each preset and shape."""
    table = table.dropna(subset="utilisation")
    groups = list(dict.fromkeys(zip(table.preset, table["shape"], table.n_in, table.n_out)))
    for k, (what, colour) in enumerate(COLOURS.items()):
        rows = table[table.what == what].set_index(["preset", "shape"]).utilisation
        shares = [100 * rows.get((preset, shape), float("nan")) for preset, shape, *_ in groups]
        axes.barh([i + 0.27 * (k - 1) for i in range(len(groups))], shares, height=0.25, color=colour, label=what)
    axes.set_yticks(
        range(len(groups)), [f"{preset}, {n_in:.0f} → {n_out:.0f} frames" for preset, _, n_in, n_out in groups]
    )
    axes.invert_yaxis()
    axes.set(
        xlim=(0, 100),
        xlabel="% of the FLOP/s of one big matrix product",
        title=f"What the network makes of the machine ({table.device.iloc[0]})",
    )
    axes.legend(loc="upper right")


def ratios(axes: plt.Axes, table: pd.DataFrame) -> None:
    """Bars on a logarithmic scale; the line is "as long as ours"."""
    bars = axes.barh(
        range(len(table)),
        table.ratio - 1,
        left=1,
        color=["C0" if ratio >= 1 else "C1" for ratio in table.ratio],
        height=0.65,
    )
    axes.bar_label(bars, [f"{ratio:.{2 if ratio < 2 else 1}f}" for ratio in table.ratio], padding=3)
    axes.axvline(1, color="black", linewidth=0.8)
    axes.set_yticks(range(len(table)), [f"{row.what}\nagainst {row.peer}" for row in table.itertuples()], fontsize=6.5)
    axes.invert_yaxis()
    _plain(axes, "x")
    axes.set(
        xlim=(min(0.5, table.ratio.min() * 0.8), table.ratio.max() * 2),
        xlabel="times as long as ours",
        title="The same done otherwise",
    )


def steps(axes: plt.Axes, table: pd.DataFrame) -> None:
    _growth(axes, table[table.what == "training step"], "axis", "A training step of preset demo, one size growing")


def stores(axes: plt.Axes, table: pd.DataFrame) -> None:
    _growth(axes, table[table.axis == "sequences"], "what", "A data set growing from a thousand sequences to a million")


def _growth(axes: plt.Axes, table: pd.DataFrame, by: str, title: str) -> None:
    """Seconds over what grows, each line from its own first point, both axes logarithmic."""
    longest = 1.0
    for name, rows in table.groupby(by, sort=False):
        times = rows.value / rows.value.iloc[0]
        label = f"{name}, {rows.value.iloc[0]:,} to {rows.value.iloc[-1]:,}" if by == "axis" else name
        axes.plot(times, rows.seconds / rows.seconds.iloc[0], marker="o", label=label)
        longest = max(longest, times.iloc[-1])
    axes.plot([1, longest], [1, longest], color="grey", linewidth=0.8, linestyle=":", label="in proportion")
    for axis in "xy":
        _plain(axes, axis)
    axes.set(xlabel="times as many", ylabel="times as long", title=title)
    axes.legend()


def _plain(axes: plt.Axes, axis: str) -> None:
    """A logarithmic axis with 1, 10, 100 on it, not their powers."""
    getattr(axes, f"set_{axis}scale")("log")
    place = getattr(axes, f"{axis}axis")
    place.set_major_formatter(lambda value, _: f"{value:,g}")
    place.set_minor_formatter(lambda value, _: "")


PANELS = {"network": utilisation, "peers": ratios, "steps": steps, "stores": stores}
