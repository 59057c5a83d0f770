"""One network for all tasks: its scores beside those of one network per task, its curves, and what it passes on."""

from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd

from evlib.viz.plots import finish, styled


@styled
def scores(table: pd.DataFrame, path: Path | None = None) -> plt.Figure:
    """`paper.joint.compare` as dots: the mean over the separate networks' seeds with a line of two standard deviations,
    the best trivial answer, and the joint network. IoU is shown in hundredths."""
    figure, axes = plt.subplots(figsize=(8, 0.28 * len(table) + 0.8))
    scale = table.measure.map(lambda name: 100 if name == "iou" else 1)
    y = range(len(table))
    error = (2 * table["sd"].fillna(0) * scale).values
    axes.errorbar(table.separate * scale, y, xerr=error, fmt="o", color="0.45", label="a network per task, mean ± 2 SD")
    axes.scatter(table.trivial * scale, y, marker="|", color="0.45", label="best trivial answer")
    axes.scatter(table.joint * scale, y, marker="D", color="C1", zorder=3, label="one network")
    axes.set_yticks(y, [f"{row.task}: {row.kind}" if row.kind else row.task for row in table.itertuples()])
    axes.invert_yaxis()
    axes.set(xlabel="accuracy or F1 in percent; 100 × IoU; PSNR in dB", xlim=(0, 102))
    figure.legend(loc="outside upper center", ncols=3)
    return finish(figure, path)


@styled
def validation(run: str | Path, path: Path | None = None) -> plt.Figure:
    """Validation MS-SSIM of each task, over the steps of a joint run."""
    log, start = pd.read_csv(Path(run) / "log.csv").dropna(subset="validation_ssim"), "validation_ssim_"
    figure, axes = plt.subplots()
    for i, column in enumerate(column for column in log if column.startswith(start)):
        axes.plot(log.step, log[column], "-o" if i < 5 else "--s", label=column.removeprefix(start))
    axes.set(xlabel="steps, of all tasks together", ylabel="validation MS-SSIM")
    figure.legend(loc="outside right center")
    return finish(figure, path)


@styled
def transfer(table: pd.DataFrame, path: Path | None = None) -> plt.Figure:
    """`paper.transfer.transfer`, a panel per task: the mean accuracy over seeds, and the range between them."""
    groups = list(table.groupby(["task", "data"], sort=False))
    figure, panels = plt.subplots(1, len(groups), sharey=True, squeeze=False)
    for axes, ((task, data), part) in zip(panels[0], groups):
        for start, rows in part.groupby("start", sort=False):
            seeds = 100 * rows.groupby("step").accuracy.agg(["mean", "min", "max"])
            (line,) = axes.plot(seeds.index, seeds["mean"], label=f"from {start}")
            axes.fill_between(seeds.index, seeds["min"], seeds["max"], color=line.get_color(), alpha=0.2)
        axes.set(title=f"{task}, {data}", xlabel="steps")
    panels[0][0].set(ylabel="validation accuracy, percent")
    figure.legend(handles=panels[0][0].lines, loc="outside upper center", ncols=3)
    return finish(figure, path)
