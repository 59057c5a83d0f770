"""The generated parts of README.md and results/README.md: every number from a file under results/.

python -m evlib pages        # fills in the text between <!-- name --> and <!-- /name -->
"""

import json
import re
from pathlib import Path

import pandas as pd

from evlib.config import preset
from evlib.paper import cost
from evlib.paper.claims import claims
from evlib.paper.joint import read_table, readable
from evlib.paper.table1 import SHAPES
from evlib.paper.table2 import DIGITS, HEADS, markdown, the_paper
from evlib.scoring.evaluate import best_trivial, headline, scored
from evlib.utils import files
from evlib.utils.errors import EvlibError

FEW = 20  # test examples; with fewer, a percentage would suggest too much precision


def real_data(results: Path) -> pd.DataFrame:
    """One line per real data set: the paper's score, ours, the best trivial answer's and a simple model's."""
    paper = the_paper().query("model == 'Ours'").set_index(["task", "dataset"])
    lines = []
    for group in _by_dataset(scored(results / "real", seeds=True)):
        first = group[0]
        name = headline(first)[0]
        line = {"Task": first["table2_row"], "Data set": _short(first["dataset"]), "Measure": HEADS[name]}
        line["Paper, 41M"] = printed(name, paper[name].get((first["table2_row"], first["dataset"])))
        lines.append({**line, **_ours(group, name), "Simple model": _best_baseline(results, first, name)})
    return pd.DataFrame(lines)


def miniatures(results: Path) -> pd.DataFrame:
    """One line per miniature: ours, every seed, and the best trivial answer's score."""
    lines = []
    for group in _by_dataset(scored(results / "demo", seeds=True)):
        name = headline(group[0])[0]
        line = {"Task": group[0]["table2_row"], "Imitates": group[0]["dataset"], "Measure": HEADS[name]}
        lines.append({**line, **_ours(group, name)})
    return pd.DataFrame(lines)


def printed(name: str, value: float | None) -> str:
    """A metric with its number of digits in Table 2; an empty string if there is no value."""
    return "" if value is None or pd.isna(value) else f"{value:.{DIGITS[name]}f}"


def _short(dataset: str) -> str:
    """A data set's name without its layout."""
    return re.sub(r" \(in .* layout\)", "", re.sub(", each of .* left out in turn", ", cross-validated", dataset))


def _by_dataset(runs: dict[Path, dict]) -> list[list[dict]]:
    groups: dict[tuple, list[dict]] = {}
    for metrics in sorted(runs.values(), key=lambda m: m["seed"]):
        groups.setdefault((metrics["table2_row"], metrics["dataset"]), []).append(metrics)
    order = list(dict.fromkeys(the_paper().task))
    return [groups[key] for key in sorted(groups, key=lambda key: order.index(key[0]))]


def _ours(group: list[dict], name: str) -> dict[str, str]:
    first = group[0]
    if first["n"] < FEW and name == "accuracy":
        ours = [f"{m['accuracy'] * m['n']:.0f} of {m['n']}" for m in group]
    else:
        ours = [printed(*headline(m)) for m in group]
    minutes = f"{sum(m['training']['seconds'] for m in group) / len(group) / 60:.0f}" if first["training"] else ""
    where = " (on the miniature)" if first["trained_on"] != first["data"] else ""
    trivial = printed(name, best_trivial(first))
    return {"Ours": " / ".join(ours), "n": f"{first['n']:,}", "Minutes": minutes + where, "Trivial": trivial}


def _best_baseline(results: Path, metrics: dict, name: str) -> str:
    """The best simple model on the same data."""
    table = _read_baselines(results)
    mine = table[(table.task == metrics["task"]) & (table["data"] == metrics["data"])]
    if name not in mine or mine.empty:
        return ""
    means = mine.groupby("model")[name].mean()
    return f"{means.idxmax()} {100 * means.max():.1f}"


def _read_baselines(results: Path) -> pd.DataFrame:
    """The rows that `python -m evlib baselines` wrote; an empty table if there are none."""
    path = results / "baselines.csv"
    return pd.read_csv(path) if path.exists() else pd.DataFrame(columns=["task", "dataset", "data", "model"])


def baselines(results: Path) -> pd.DataFrame:
    """Simple models and ours on the same test examples, in percent, means over seeds; by kind of question where the
    task has kinds."""
    lines = []
    for (task, dataset, data), rows in _read_baselines(results).groupby(["task", "dataset", "data"]):
        kinds = [c for c in rows if c.startswith("accuracy") and rows[c].notna().any()]
        models = {model: part[kinds].mean() for model, part in rows.groupby("model")}
        runs = scored(results / ("demo" if data == "miniature" else "real"), seeds=True).values()
        mine = [m for m in runs if m["task"] == task]
        ours = [{"accuracy": m, **{f"accuracy: {k}": part for k, part in m["subsets"].items()}} for m in mine]
        if ours:
            right = pd.DataFrame([{kind: part["accuracy"] for kind, part in run.items()} for run in ours])
            models["evlib, preset demo"] = right.mean()
            blind = {kind: part["baselines"].get("from the question alone") for kind, part in ours[0].items()}
            if all(blind.values()):
                accuracies = pd.Series({kind: values["accuracy"] for kind, values in blind.items()})
                models["most frequent answer to the question"] = accuracies
        for model, scores in models.items():
            shown = {kind: f"{100 * scores[kind]:.1f}" for kind in kinds if kind in scores}
            shown = {kind.partition(": ")[2] or "all": score for kind, score in shown.items()}
            lines.append({"Data": f"{dataset}, {data}", "Model": model, **shown})
    return pd.DataFrame(lines).fillna("")


def seeds(results: Path) -> pd.DataFrame:
    """Every run under results/demo and results/real, one line each: its score and its training time."""
    lines = []
    for m in (m for profile in ("demo", "real") for m in scored(results / profile, seeds=True).values()):
        (name, score), training = headline(m), m["training"]
        task = m["task"] + (", cross-validated" if "groups" in m else "")
        line = {"Task": task, "Data": m["data"], "Seed": m["seed"], "Measure": HEADS[name]}
        line |= {"Score": printed(name, score), "Best trivial answer": printed(name, best_trivial(m))}
        line |= {"Test examples": f"{m['n']:,}", "Steps": "", "Minutes": "", "Device": ""}
        if training:
            line |= {"Steps": f"{training['steps']:,}", "Minutes": f"{training['seconds'] / 60:.1f}"}
            line["Device"] = training["device"]
        lines.append(line)
    return pd.DataFrame(lines)


def recipes(results: Path) -> pd.DataFrame:
    """The comparison behind presets demo and fast, after equally many sequences: validation accuracy in percent by the
    nearest rendered word and, in brackets, by Tesseract; with several seeds the means, ± the standard deviation."""
    table = pd.concat([pd.read_csv(path) for path in sorted(results.glob("recipe/*.csv"))])
    table["column"] = [f"{r.task} ({r.data}: {r.sequences:,} sequences of {r.examples:,})" for r in table.itertuples()]
    wide = table.groupby(["variant", "column"]).apply(_accuracies, include_groups=False).unstack(fill_value="")
    columns = table.sort_values(["task", "sequences"]).column.unique()
    return wide.loc[table.variant.unique(), columns].reset_index().rename(columns={"variant": "Variant"})


def _accuracies(seeds: pd.DataFrame) -> str:
    nearest, tesseract = 100 * seeds.validation_accuracy, 100 * seeds.validation_tesseract.dropna()
    spread = f" ± {nearest.std():.1f}" if len(seeds) > 1 else ""
    return f"{nearest.mean():.1f}{spread}" + (f" ({tesseract.mean():.1f})" if len(tesseract) else "")


def curriculum(results: Path) -> pd.DataFrame:
    """How the published CLEVRER runs and the variants in curriculum.csv learn: validation accuracy by kind of question,
    percent, by the nearest rendered word."""
    parts = [pd.read_csv(results / "curriculum.csv")]
    for path in sorted(results.glob("demo/runs/clevrer*/validation.csv")):
        seed = json.loads((path.parent / "config.json").read_text())["seed"]
        table = pd.read_csv(path)
        table.insert(0, "variant", "as published")
        table.insert(1, "seed", seed)
        parts.append(table[table.step % 1600 == 0])
    table = pd.concat(parts, ignore_index=True)
    kinds = table.columns.drop(["variant", "seed", "step"])
    table[kinds] = (100 * table[kinds]).map("{:.1f}".format)
    return table.assign(step=table.step.map("{:,}".format)).rename(columns=str.capitalize)


def tracking(results: Path) -> pd.DataFrame:
    """The variants in tracking.csv: IoU on validation sequences of LaSOT's miniature, which the network generates."""
    table = pd.read_csv(results / "tracking.csv")
    table = table.assign(steps=table.steps.map("{:,}".format), no_box=table.no_box.map("{:.1%}".format))
    heads = ("Variant", "Muon's rate", "Seed", "Steps", "Minutes", "SSIM", "IoU", "No box found", "Sequences")
    return table.set_axis(heads, axis=1)


# Official training examples (the authors' counts; for LaSOT three clips per sequence) and the row of Table 1.
DATA_SETS = (
    ("SST-2", 67_349, "Text Classification"),
    ("CIFAR-10", 50_000, "Image Classification"),
    ("TinyVIRAT", 7_663, "Video Classification"),
    ("AudioMNIST", 18_000, "Audio Classification"),
    ("CLEVRER", 109_952, "Video QA"),
    ("TGIF-QA", 39_392, "Video QA"),
    ("LaSOT", 3 * 1_120, "Object Tracking"),
    ("TinyVIRAT, colorization", 7_663, "Video Colorization"),
)
UTILIZATION = 0.40  # of the manufacturers' rates: a target, not measured


def costs(results: Path) -> pd.DataFrame:
    """The computed cost of an epoch of each row of Table 2 at the paper's size: FLOP at UTILIZATION of the
    manufacturers' rates."""
    model, lines = preset("paper").model, []
    for name, examples, row in DATA_SETS:
        n_in, n_out, batch = SHAPES[row]
        total = cost.step_flops(model, n_in, n_out, batch) * examples / batch
        minutes = {key: cost.minutes(total, device.flops, UTILIZATION) for key, device in cost.DEVICES.items()}
        line = {"Data set": name, "Training examples": f"{examples:,}", "Frames": f"{n_in} + {n_out}"}
        line |= {"PFLOP per epoch": f"{total / 1e15:.2f}", "A100, minutes per epoch": f"{minutes['a100']:.2f}"}
        line |= {"H100": f"{minutes['h100']:.2f}", "8 × H100": f"{minutes['h100'] / 8:.3f}"}
        lines.append({**line, "A100, $": f"{cost.dollars(minutes['a100'], cost.DEVICES['a100'].dollars):.3f}"})
    return pd.DataFrame(lines)


FORMS = {"slowdown": "{:.1f}", "utilization": "{:.0%}", "seconds": "{:.3g}", "speedup": "{:.2f}"}
FORMS["frames_per_second"] = "{:,.0f}"


def bench_table(results: Path, name: str, columns: dict[str, str], measure: str) -> pd.DataFrame:
    """Some columns of results/bench/<name>.csv, renamed; rows without a value of `measure` are left out."""
    table = pd.read_csv(results / "bench" / f"{name}.csv").dropna(subset=measure)
    for column in FORMS.keys() & set(table):
        table[column] = table[column].map(FORMS[column].format)
    return table[[column for column in columns if column in table]].rename(columns=columns)


PEERS = {"what": "What", "peer": "Otherwise", "slowdown": "Slowdown", "device": "Device"}
VARIANTS = {"n_in": "Input frames", "n_out": "Answer frames", "precision": "Precision"}
VARIANTS |= {"last_block": "Last block computes", "stem": "Stem", "seconds": "Seconds"}
VARIANTS |= {"speedup": "Speedup", "device": "Device"}
ENDS = {"what": "What", "count": "How many", "seconds": "Seconds", "per_second": "Per second", "note": "Note"}
NETWORK = {"preset": "Preset", "shape": "Shape", "batch": "Batch", "frames_per_second": "Frames per second"}
NETWORK |= {"utilization": "Of one large matrix product", "dtype": "Precision", "device": "Device"}


def blocks(results: Path) -> dict[str, str]:
    """The generated parts of README.md and results/README.md, by the name of their marker."""
    network = bench_table(results, "network", {"what": "", **NETWORK}, "seconds")
    tables = {
        "real": real_data(results),
        "miniatures": miniatures(results),
        "claims": claims(results / "demo"),
        "baselines": baselines(results),
        "curriculum": curriculum(results),
        "tracking": tracking(results),
        "joint": readable(read_table(results / "joint")),
        "seeds": seeds(results),
        "recipes": recipes(results),
        "costs": costs(results),
        "network": network[network[""] == "training step"].drop(columns=""),
        "variants": bench_table(results, "variants", VARIANTS, "seconds"),
        "peers": bench_table(results, "peers", PEERS, "slowdown"),
        "ends": bench_table(results, "ends", ENDS, "seconds"),
    }
    return {name: markdown(table) for name, table in tables.items()}


def fill(pages: list[Path], blocks: dict[str, str]) -> None:
    """Replaces the text between `<!-- name -->` and `<!-- /name -->` in Markdown files; each block belongs to one of
    them."""
    texts = {page: page.read_text(encoding="utf-8") for page in pages}
    for name, content in blocks.items():
        start, end = f"<!-- {name} -->", f"<!-- /{name} -->"
        page = next((page for page, text in texts.items() if start in text and end in text), None)
        if page is None:
            raise EvlibError(f"{' and '.join(map(str, pages))}: expected the markers {start} and {end}, found none.")
        before, rest = texts[page].split(start, 1)
        texts[page] = f"{before}{start}\n{content}\n{end}{rest.split(end, 1)[1]}"
    for page, text in texts.items():
        files.write_text(page, text)
