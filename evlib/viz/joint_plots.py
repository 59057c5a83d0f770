"""One network for all tasks beside one network per task, in two pictures."""

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
    """Validation MS-SSIM of each task of a joint run, over its steps."""
    log = pd.read_csv(Path(run) / "log.csv").dropna(subset="validation_ssim")
    figure, axes = plt.subplots()
    start = "validation_ssim_"
    for i, column in enumerate(column for column in log if column.startswith(start)):
        axes.plot(log.step, log[column], "-o" if i < 5 else "--s", label=column.removeprefix(start))
    axes.set(xlabel="steps, of all tasks together", ylabel="validation MS-SSIM")
    figure.legend(loc="outside right center")
    return finish(figure, path)
