"""Table 2: the paper's rows and ours, next to what trivial answers and simple models score on the same data.

Ours come from the metrics.json files of a results folder, the paper's from table2_paper.csv, copied by hand.
"""

from pathlib import Path

import pandas as pd

from evlib.paper.claims import claims
from evlib.scoring.evaluate import as_printed, headline, scored
from evlib.utils import files
from evlib.utils.errors import EvlibError

HEADS = {"task": "Task", "dataset": "Dataset", "model": "Model", "psnr": "PSNR", "ssim": "SSIM", "f1": "F1"}
HEADS |= {"f1_positive": "F1 positive", "f1_macro": "F1 macro", "accuracy": "Acc"}
HEADS |= {"accuracy_template": "Acc (template)", "iou": "IoU", "iou_with_first": "IoU with the given box"}
HEADS |= {"cdc": "CDC", "colorfulness": "Colorfulness", "n": "n", "train_seconds": "trained, s"}
HEADS |= {"device": "Device", "data": "Data"}
DIGITS = {name: 1 for name in ("psnr", "ssim", "f1", "f1_positive", "f1_macro", "accuracy", "accuracy_template")}
DIGITS |= {"iou": 2, "iou_with_first": 2, "cdc": 4, "colorfulness": 1, "n": 0, "train_seconds": 0}
NOTES = (
    "SSIM, F1 and accuracy in percent, PSNR in dB. “Acc” is by Tesseract after matching to the vocabulary, “Acc "
    "(template)” by the nearest rendered word; for lists of labels it means all of them right. F1 is weighted by "
    "support, beside it that of the positive class and the mean of classes: of SST-2's 76.8 and 75.5 only the "
    "positive class fits. IoU leaves out the first box, which is given. Data: *paper* is quoted from the paper; "
    "*real* is the named data set; *miniature* is a small imitation made by code in its layout, whose numbers say"
    " that the method works and nothing about the data set. A row is one seed; the spread of several is in "
    "results/README.md."
)


def table2(results: str | Path) -> pd.DataFrame:
    """The runs under results/runs (without those of further seeds), after the paper's own rows for each task. Shares in
    percent, as in the paper. Raises EvlibError if there are no runs."""
    runs = scored(results)
    if not runs:
        raise EvlibError(f"{results}: expected scored runs (runs/*/metrics.json), found none; evaluate one first.")
    ours = pd.DataFrame([row for metrics in runs.values() for row in _rows(metrics)])
    quoted = the_paper()
    quoted = quoted.assign(data="paper", model=quoted.model.replace({"Ours": "the paper"}))
    names = [name for name in dict.fromkeys(quoted.task) if name in set(ours.task)]
    parts = [table[table.task == name] for name in names for table in (quoted, ours)]
    return pd.concat(parts, ignore_index=True).reindex(columns=list(HEADS))


def the_paper() -> pd.DataFrame:
    """The paper's own Table 2."""
    return pd.read_csv(Path(__file__).with_name("table2_paper.csv")).rename(columns={"row": "task"})


def _rows(metrics: dict) -> list[dict]:
    common = {"task": metrics["table2_row"], "dataset": metrics["dataset"], "data": metrics["data"]}
    training = metrics["training"] or {}
    trained = {**common, "train_seconds": training.get("seconds"), "device": training.get("device")}
    label = f"evlib {metrics['preset']}, seed {metrics['seed']}"
    if metrics["trained_on"] != metrics["data"]:
        label += f", trained on {metrics['trained_on']} data"
    if metrics["init_from"]:
        label += f", started from {metrics['init_from']}"
    ours = {label: metrics, **{f"{label}: {name}": part for name, part in metrics["subsets"].items()}}
    rows = [{**trained, "model": name, **_measures(part), "n": part["n"]} for name, part in ours.items()]
    trivial = metrics["baselines"].items()
    return rows + [{**common, "model": name, **_measures(values), "n": metrics["n"]} for name, values in trivial]


def _measures(values: dict) -> dict:
    """The columns of Table 2 among some measures, shares in percent."""
    return {name: as_printed(name, values[name]) for name in HEADS if isinstance(values.get(name), float)}


def write_table2(results: str | Path) -> pd.DataFrame:
    """table2.csv and table2.md in the results folder."""
    table = table2(results)
    files.write_text(Path(results) / "table2.csv", table.round(4).to_csv(index=False))
    text = (
        f"# Table 2\n\n{markdown(table)}\n\n{NOTES}\n\n"
        f"## Beyond the trivial answers\n\n{markdown(margins(results))}\n\n"
        f"## The paper's claims\n\n{markdown(claims(results))}\n"
    )
    files.write_text(Path(results) / "table2.md", text)
    return table


def markdown(table: pd.DataFrame) -> str:
    """A Markdown table without columns that are entirely empty; numbers with the digits of their metric."""
    table = table.dropna(axis=1, how="all")

    def cell(name: str, value: object, quoted: bool) -> str:
        if isinstance(value, str):
            return value
        if pd.isna(value):
            return ""
        if name in DIGITS:
            return f"{value:g}" if quoted else f"{value:,.{DIGITS[name]}f}"  # the paper's keep the digits it prints
        return f"{value:,.0f}" if isinstance(value, float) and value.is_integer() else str(value)

    lines = [
        "| " + " | ".join(HEADS.get(name, name) for name in table) + " |",
        "|" + "|".join("---:" if name in DIGITS else "---" for name in table) + "|",
    ]
    for row in table.to_dict("records"):
        quoted = row.get("data") == "paper"
        lines.append("| " + " | ".join(cell(name, value, quoted) for name, value in row.items()) + " |")
    return "\n".join(lines)


def scores(metrics: dict) -> pd.DataFrame:
    """One run's metrics.json as a table for a notebook: readers, subsets, trivial answers; shares in percent."""
    rows = {"ours": metrics, **{f"... {name}": part for name, part in metrics["subsets"].items()}}
    readers = {"accuracy_exact": "ours, exact match", "accuracy_template": "ours, nearest rendered word"}
    rows |= {label: {"accuracy": metrics[name]} for name, label in readers.items() if name in metrics}
    table = pd.DataFrame({name: _measures(row) for name, row in {**rows, **metrics["baselines"]}.items()}).T
    return table.drop(columns="accuracy_template", errors="ignore").round(3).fillna("")


def margins(results: str | Path) -> pd.DataFrame:
    """How far every run is from each trivial answer on the same data; for colors, also its CDC against the data's."""
    lines = []
    for metrics in scored(results).values():
        name, ours = headline(metrics)
        line = {"Task": metrics["table2_row"], "Dataset": metrics["dataset"], "Data": metrics["data"]}
        digits = 3 if name == "iou" else 1
        compared = {b: as_printed(name, v[name]) for b, v in metrics["baselines"].items() if name in v}
        for baseline, score in compared.items():
            numbers = {"Ours": f"{ours:.{digits}f}", "Compared with": baseline, "Its score": f"{score:.{digits}f}"}
            lines.append({**line, "Measure": HEADS[name], **numbers, "Margin": f"{ours - score:+.{digits}f}"})
        if "the data" in metrics["baselines"]:
            own, cdc = metrics["baselines"]["the data"]["cdc"], metrics["cdc"]
            numbers = {"Ours": f"{cdc:.4f}", "Compared with": "the data", "Its score": f"{own:.4f}"}
            lines.append({**line, "Measure": "CDC", **numbers, "Margin": f"{cdc / own:.2f} times" if own else ""})
    return pd.DataFrame(lines)
