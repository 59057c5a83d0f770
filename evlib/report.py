"""Table 2: the paper's rows and ours, beside what the most trivial answer scores on the same data.

Ours come from the metrics.json files of a results folder, the paper's from paper_table2.csv, typed from the paper.
"""
from __future__ import annotations

import json
from pathlib import Path

import pandas as pd

from . import files
from .errors import EvlibError

COLUMNS = ["task", "dataset", "model", "psnr", "ssim", "f1", "f1_macro", "accuracy", "accuracy_template", "iou", "cdc",
           "colorfulness", "n", "train_seconds", "device", "data"]
PERCENT = ["ssim", "f1", "f1_macro", "accuracy", "accuracy_template"]
HEADS = {"task": "Task", "dataset": "Dataset", "model": "Model", "psnr": "PSNR", "ssim": "SSIM", "f1": "F1", "f1_macro": "F1 macro",
         "accuracy": "Acc", "accuracy_template": "Acc (template)", "iou": "IoU", "cdc": "CDC", "colorfulness": "Colorfulness", "n": "n",
         "train_seconds": "trained, s", "device": "Device", "data": "Data"}


def table2(results: str | Path) -> pd.DataFrame:
    """The runs of the main job under results/runs (not those of further seeds), each task headed by the paper's own rows.
    Shares in percent, as in the paper."""
    runs = [path for path in sorted(Path(results).glob("runs/*/metrics.json")) if "-seed" not in path.parent.name]
    if not runs:
        raise EvlibError(f"{results}: expected scored runs (runs/*/metrics.json), found none; train and evaluate one first.")
    ours = pd.DataFrame([row for path in runs for row in _rows(json.loads(path.read_text()))])
    quoted = the_paper()
    quoted = quoted.assign(data="paper", model=quoted.model.replace({"Ours": "the paper"}))
    parts = [part[part.task == task] for task in dict.fromkeys(quoted.task) if task in set(ours.task) for part in (quoted, ours)]
    return pd.concat(parts, ignore_index=True).reindex(columns=COLUMNS)


def the_paper() -> pd.DataFrame:
    """The paper's own Table 2."""
    return pd.read_csv(Path(__file__).with_name("paper_table2.csv")).rename(columns={"row": "task"})


def _rows(metrics: dict) -> list[dict]:
    common = {"task": metrics["row"], "dataset": metrics["dataset"], "data": metrics["data"]}
    training = metrics["training"] or {}
    trained = {**common, "train_seconds": training.get("seconds"), "device": training.get("device")}

    def percent(values: dict) -> dict:
        return {k: 100 * values[k] for k in PERCENT if k in values}

    label = f"evlib {metrics['preset']}, seed {metrics['seed']}"
    rows = [{**trained, "model": label, "psnr": metrics["psnr"], **percent(metrics), "n": metrics["n"]}]
    for name, part in metrics["subsets"].items():
        rows.append({**trained, "model": f"{label}: {name}", **percent(part), "n": part["n"]})
    rows.append({**common, "model": f"always “{metrics['baseline']['answer']}”", **percent(metrics["baseline"]), "n": metrics["n"]})
    return rows


def write_table2(results: str | Path) -> pd.DataFrame:
    """table2.csv and table2.md in the results folder."""
    table = table2(results)
    with files.atomic(Path(results) / "table2.csv") as temporary:
        table.round(4).to_csv(temporary, index=False)
    notes = ("SSIM, F1 and accuracy in percent, PSNR in dB. “Acc” is by Tesseract after matching to the vocabulary, “Acc (template)” by the nearest "
             "drawn word. Data: *paper* is quoted from the paper; *real* is the named data set; *miniature* is a small imitation made by "
             "code in its layout, whose numbers say that the method works and nothing about the data set. Every row of ours is a single seed.")
    files.write_text(Path(results) / "table2.md", f"# Table 2\n\n{markdown(table)}\n\n{notes}\n")
    return table


def markdown(table: pd.DataFrame) -> str:
    """A Markdown table without the columns that are empty throughout."""
    shown = table.dropna(axis=1, how="all")
    digits = {"psnr": 1, "ssim": 1, "f1": 1, "f1_macro": 1, "accuracy": 1, "accuracy_template": 1, "iou": 2, "cdc": 3, "colorfulness": 1,
              "n": 0, "train_seconds": 0}
    lines = ["| " + " | ".join(HEADS.get(c, c) for c in shown) + " |",
             "|" + "|".join("---:" if c in digits else "---" for c in shown) + "|"]
    for row in shown.itertuples(index=False):
        cells = ["" if pd.isna(v) else f"{v:,.{digits[c]}f}" if c in digits else f"{v:,.0f}" if isinstance(v, float) and v.is_integer() else str(v) for c, v in zip(shown.columns, row)]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def scores(metrics: dict) -> pd.DataFrame:
    """One run's metrics.json as a table for a notebook: the two readers, the subsets, the trivial baseline; percent."""
    rows = {"Tesseract, to the letter": {"accuracy": metrics["accuracy_exact"]}, "Tesseract, nearest word": metrics,
            **{f"... {name}": part for name, part in metrics["subsets"].items()},
            "nearest drawing": {"accuracy": metrics["accuracy_template"]},
            f"always “{metrics['baseline']['answer']}”": metrics["baseline"]}
    table = pd.DataFrame([{"reader": name, **{key: 100 * row[key] for key in ("accuracy", "f1", "f1_macro") if key in row},
                           "n": row.get("n", metrics["n"])} for name, row in rows.items()])
    return table.set_index("reader").round(1).astype({"n": int}).fillna("")


def overview(results: Path) -> pd.DataFrame:
    """One line a data set, for the README: the paper's accuracy, ours on miniatures (every seed) and on real data, and
    beside each what the most frequent answer scores. All by Tesseract, in percent."""
    paper = the_paper().query("model == 'Ours'").set_index("dataset").accuracy
    lines: dict[str, dict] = {}
    for profile, name in (("demo", "miniature"), ("real", "real data")):
        runs = [json.loads(path.read_text()) for path in sorted(Path(results).glob(f"{profile}/runs/*/metrics.json"))]
        for dataset in dict.fromkeys(m["dataset"] for m in runs):
            mine = sorted((m for m in runs if m["dataset"] == dataset), key=lambda m: m["seed"])
            line = lines.setdefault(dataset, {"Task": mine[0]["row"], "Dataset": dataset, "Paper": f"{paper[dataset]:.1f}" if dataset in paper else ""})
            minutes = dict.fromkeys(f"{m['training']['seconds'] / 60:.1f}" for m in mine)
            line[f"Ours, {name}"] = " / ".join(f"{100 * m['accuracy']:.1f}" for m in mine)
            line[f"trivial, {name}"] = f"{100 * mine[0]['baseline']['accuracy']:.1f}"
            line[f"trained, {name}"] = f"{' / '.join(minutes)} min, {mine[0]['training']['device']}"
    order = [*paper.index, *(dataset for dataset in lines if dataset not in paper)]
    return pd.DataFrame([lines[dataset] for dataset in order if dataset in lines])


def seeds(results: Path) -> pd.DataFrame:
    """Every run under results/demo, one line each: what it scored, how long it trained."""
    runs = [json.loads(path.read_text()) for path in sorted(Path(results).glob("demo/runs/*/metrics.json"))]
    return pd.DataFrame({"Task": m["task"], "Seed": m["seed"], "Acc": f"{100 * m['accuracy']:.1f}", "Acc (template)": f"{100 * m['accuracy_template']:.1f}",
                         "always the most frequent": f"{100 * m['baseline']['accuracy']:.1f}", "test examples": f"{m['n']:,}", "steps": f"{m['training']['steps']:,}",
                         "trained, s": f"{m['training']['seconds']:.0f}"} for m in runs)


def recipe(results: Path) -> pd.DataFrame:
    """The comparison behind preset demo: validation accuracy by template after equally many sequences."""
    parts = [pd.read_csv(path) for path in sorted(Path(results).glob("recipe/*.csv"))]
    table = pd.concat(parts)
    table["cell"] = [f"{100 * a:.1f}" for a in table.validation_accuracy]
    table["column"] = table.task + " (" + table["data"] + ", " + (table.batch * table.steps).groupby(table.task).transform("max").map("{:,}".format) + " sequences)"
    wide = table.pivot(index="variant", columns="column", values="cell").loc[list(dict.fromkeys(table.variant))]
    return wide.reset_index().rename(columns={"variant": "Variant"})


def blocks(results: Path) -> dict[str, str]:
    """The README's generated parts, by the name of their marker."""
    ends = pd.read_csv(Path(results) / "bench" / "ends.csv")
    shown = {"what": "What", "count": "How many", "seconds": "Seconds", "per_second": "A second", "note": "Note"}
    return {"overview": markdown(overview(results)), "seeds": markdown(seeds(results)), "recipe": markdown(recipe(results)),
            "ends": markdown(ends[list(shown)].rename(columns=shown))}


def fill(readme: Path, blocks: dict[str, str]) -> None:
    """Replaces what stands between `<!-- name -->` and `<!-- /name -->` in a Markdown file."""
    text = readme.read_text(encoding="utf-8")
    for name, content in blocks.items():
        start, end = f"<!-- {name} -->", f"<!-- /{name} -->"
        if start not in text or end not in text:
            raise EvlibError(f"{readme}: expected the markers {start} and {end}, found none.")
        before, rest = text.split(start, 1)
        text = f"{before}{start}\n{content}\n{end}{rest.split(end, 1)[1]}"
    files.write_text(readme, text)
