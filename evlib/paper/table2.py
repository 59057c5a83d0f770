"""Table 2: the paper's rows and ours, beside what the most trivial answer scores on the same data.

Ours come from the metrics.json files of a results folder, the paper's from table2_paper.csv, typed from the paper.
"""

from __future__ import annotations

import json
from pathlib import Path
from statistics import median

import pandas as pd

from evlib.bench.network import SHAPES
from evlib.config import preset
from evlib.paper import cost
from evlib.paper.claims import claims
from evlib.scoring.evaluate import as_printed, best_trivial, headline, scored
from evlib.utils import files
from evlib.utils.errors import EvlibError

COLUMNS = [
    "task",
    "dataset",
    "model",
    "psnr",
    "ssim",
    "f1",
    "f1_macro",
    "accuracy",
    "accuracy_template",
    "iou",
    "cdc",
    "colorfulness",
    "n",
    "train_seconds",
    "device",
    "data",
]
HEADS = {
    "task": "Task",
    "dataset": "Dataset",
    "model": "Model",
    "psnr": "PSNR",
    "ssim": "SSIM",
    "f1": "F1",
    "f1_macro": "F1 macro",
    "accuracy": "Acc",
    "accuracy_template": "Acc (template)",
    "iou": "IoU",
    "cdc": "CDC",
    "colorfulness": "Colorfulness",
    "n": "n",
    "train_seconds": "trained, s",
    "device": "Device",
    "data": "Data",
}


def table2(results: str | Path) -> pd.DataFrame:
    """The runs of the main job under results/runs (not those of further seeds), each task headed by the paper's own rows.
    Shares in percent, as in the paper."""
    runs = scored(results)
    if not runs:
        raise EvlibError(
            f"{results}: expected scored runs (runs/*/metrics.json), found none; train and evaluate one first."
        )
    ours = pd.DataFrame([row for metrics in runs.values() for row in _rows(metrics)])
    quoted = the_paper()
    quoted = quoted.assign(data="paper", model=quoted.model.replace({"Ours": "the paper"}))
    parts = [
        part[part.task == task]
        for task in dict.fromkeys(quoted.task)
        if task in set(ours.task)
        for part in (quoted, ours)
    ]
    return pd.concat(parts, ignore_index=True).reindex(columns=COLUMNS)


def the_paper() -> pd.DataFrame:
    """The paper's own Table 2."""
    return pd.read_csv(Path(__file__).with_name("table2_paper.csv")).rename(columns={"row": "task"})


def _rows(metrics: dict) -> list[dict]:
    common = {"task": metrics["row"], "dataset": metrics["dataset"], "data": metrics["data"]}
    training = metrics["training"] or {}
    trained = {**common, "train_seconds": training.get("seconds"), "device": training.get("device")}
    label = f"evlib {metrics['preset']}, seed {metrics['seed']}"
    if metrics["trained_on"] != metrics["data"]:
        label += f", trained on {metrics['trained_on']} data"
    if metrics["init_from"]:
        label += f", started from {metrics['start']}"
    if training.get("stored"):
        label += ", stored weights"
    rows = [{**trained, "model": label, **_measures(metrics), "n": metrics["n"]}]
    for name, part in metrics["subsets"].items():
        rows.append({**trained, "model": f"{label}: {name}", **_measures(part), "n": part["n"]})
    for name, values in metrics["baselines"].items():
        rows.append({**common, "model": name, **_measures(values), "n": metrics["n"]})
    return rows


def _measures(values: dict) -> dict:
    """The columns of Table 2 among some measures, shares in percent."""
    return {k: as_printed(k, values[k]) for k in COLUMNS if isinstance(values.get(k), float)}


def write_table2(results: str | Path) -> pd.DataFrame:
    """table2.csv and table2.md in the results folder."""
    table = table2(results)
    with files.atomic(Path(results) / "table2.csv") as temporary:
        table.round(4).to_csv(temporary, index=False)
    notes = (
        "SSIM, F1 and accuracy in percent, PSNR in dB. “Acc” is by Tesseract after matching to the vocabulary, “Acc (template)” by the nearest "
        "drawn word; for lists of labels it means all of them right. Data: *paper* is quoted from the paper; *real* is the named data set; *miniature* is a small imitation made by "
        "code in its layout, whose numbers say that the method works and nothing about the data set. Every row of ours is a single seed."
    )
    beyond, said = markdown(margins(results)), markdown(claims(results))
    files.write_text(
        Path(results) / "table2.md",
        f"# Table 2\n\n{markdown(table)}\n\n{notes}\n\n## Beyond the trivial answers\n\n{beyond}\n\n## The paper's claims\n\n{said}\n",
    )
    return table


def markdown(table: pd.DataFrame) -> str:
    """A Markdown table without the columns that are empty throughout."""
    kept = table.dropna(axis=1, how="all")
    digits = {
        "psnr": 1,
        "ssim": 1,
        "f1": 1,
        "f1_macro": 1,
        "accuracy": 1,
        "accuracy_template": 1,
        "iou": 2,
        "cdc": 3,
        "colorfulness": 1,
        "n": 0,
        "train_seconds": 0,
    }
    lines = [
        "| " + " | ".join(HEADS.get(c, c) for c in kept) + " |",
        "|" + "|".join("---:" if c in digits else "---" for c in kept) + "|",
    ]
    for row in kept.itertuples(index=False):
        quoted = getattr(row, "data", None) == "paper"  # with the digits that it prints
        cells = [
            ""
            if pd.isna(v)
            else f"{v:g}"
            if quoted and c in digits
            else f"{v:,.{digits[c]}f}"
            if c in digits
            else f"{v:,.0f}"
            if isinstance(v, float) and v.is_integer()
            else str(v)
            for c, v in zip(kept.columns, row)
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def scores(metrics: dict) -> pd.DataFrame:
    """One run's metrics.json as a table for a notebook: the two readers, the subsets, the trivial answers; shares in percent."""
    rows = {"ours": metrics, **{f"... {name}": part for name, part in metrics["subsets"].items()}}
    if "accuracy_exact" in metrics:
        rows["ours, read to the letter"] = {"accuracy": metrics["accuracy_exact"]}
    if "accuracy_template" in metrics:
        rows["ours, nearest drawing"] = {"accuracy": metrics["accuracy_template"]}
    table = pd.DataFrame({name: _measures(row) for name, row in {**rows, **metrics["baselines"]}.items()}).T
    return table.drop(columns="accuracy_template", errors="ignore").round(3).fillna("")


def margins(results: str | Path) -> pd.DataFrame:
    """How far every run of the main job is from each trivial answer on the same data, and, for colours, from the data's own consistency."""
    lines = []
    for metrics in scored(results).values():
        name, ours = headline(metrics)
        line = {"Task": metrics["row"], "Dataset": metrics["dataset"], "Data": metrics["data"]}
        for baseline, values in metrics["baselines"].items():
            if name in values:
                trivial, digits = as_printed(name, values[name]), 3 if name == "iou" else 1
                lines.append(
                    {
                        **line,
                        "Measure": HEADS[name],
                        "Ours": f"{ours:.{digits}f}",
                        "Compared with": baseline,
                        "Its score": f"{trivial:.{digits}f}",
                        "Margin": f"{ours - trivial:+.{digits}f}",
                    }
                )
        if "the data" in metrics["baselines"]:
            own = metrics["baselines"]["the data"]["cdc"]
            lines.append(
                {
                    **line,
                    "Measure": "CDC",
                    "Ours": f"{metrics['cdc']:.4f}",
                    "Compared with": "the data",
                    "Its score": f"{own:.4f}",
                    "Margin": f"{metrics['cdc'] / own:.2f} times" if own else "",
                }
            )
    return pd.DataFrame(lines)


FEW = 20  # test examples, below which a percentage would pretend to know


def overview(results: Path) -> pd.DataFrame:
    """One line a data set, for the README: the paper's score, ours on miniatures (every seed) and on real data, and beside
    each what the best trivial answer scores. Words are read by Tesseract."""
    paper = the_paper().query("model == 'Ours'").set_index(["task", "dataset"])
    lines: dict[tuple, dict] = {}
    for profile, kind in (("demo", "miniature"), ("real", "real data")):
        runs = list(scored(Path(results) / profile, seeds=True).values())
        for key in dict.fromkeys((m["row"], m["dataset"]) for m in runs):
            mine = sorted((m for m in runs if (m["row"], m["dataset"]) == key), key=lambda m: m["seed"])
            name, digits = headline(mine[0])[0], 2 if "iou" in mine[0] else 1
            quoted = paper[name].get(key)
            line = lines.setdefault(
                key,
                {
                    "Task": key[0],
                    "Dataset": key[1],
                    "Measure": HEADS[name],
                    "Paper": "" if quoted is None else f"{quoted:.{digits}f}",
                },
            )
            trivial = best_trivial(mine[0])
            minutes = dict.fromkeys(f"{m['training']['seconds'] / 60:.1f}" for m in mine if m["training"])
            few = mine[0]["n"] < FEW and name == "accuracy"
            line[f"Ours, {kind}"] = " / ".join(
                f"{m['accuracy'] * m['n']:.0f} of {m['n']}" if few else f"{headline(m)[1]:.{digits}f}" for m in mine
            )
            line[f"trivial, {kind}"] = "" if trivial is None else f"{trivial:.{digits}f}"
            device = next((m["training"]["device"] for m in mine if m["training"]), "")
            line[f"trained, {kind}"] = (
                f"{' / '.join(minutes)} min, {device}{', on the miniature' if mine[0]['trained_on'] != mine[0]['data'] else ''}"
                if device
                else ""
            )
    order = [*paper.index, *(key for key in lines if key not in paper.index)]
    return pd.DataFrame([lines[key] for key in order if key in lines])


def seeds(results: Path) -> pd.DataFrame:
    """Every run under results/demo, one line each: what it scored, how long it trained."""
    lines = []
    for m in scored(Path(results) / "demo", seeds=True).values():
        name, score = headline(m)
        digits, trivial, training = 2 if name == "iou" else 1, best_trivial(m), m["training"]
        lines.append(
            {
                "Task": m["task"],
                "Seed": m["seed"],
                "Measure": HEADS[name],
                "Score": f"{score:.{digits}f}",
                "best trivial answer": "" if trivial is None else f"{trivial:.{digits}f}",
                "test examples": f"{m['n']:,}",
                "steps": f"{training['steps']:,}" if training else "",
                "trained, s": f"{training['seconds']:.0f}" if training else "",
            }
        )
    return pd.DataFrame(lines)


def recipe(results: Path) -> pd.DataFrame:
    """The comparison behind presets demo and fast, after equally many sequences: validation accuracy by template in percent, and in
    brackets the validation SSIM, by which weights are chosen; of several seeds, each."""
    table = pd.concat([pd.read_csv(path) for path in sorted(Path(results).glob("recipe/*.csv"))]).sort_values(
        "seed", kind="stable"
    )
    table["column"] = (
        table.task
        + " ("
        + table["data"]
        + ": "
        + table.sequences.map("{:,}".format)
        + " sequences of "
        + table.examples.map("{:,}".format)
        + ")"
    )
    table["cell"] = [
        f"{100 * accuracy:.1f} ({ssim:.3f})" for accuracy, ssim in zip(table.validation_accuracy, table.validation_ssim)
    ]
    cells = table.groupby(["variant", "column"]).cell.agg(" / ".join)
    order = sorted(set(table.column), key=list(table.sort_values(["task", "sequences"]).column).index)
    wide = cells.unstack(fill_value="").loc[list(dict.fromkeys(table.variant)), order]
    return wide.reset_index().rename(columns={"variant": "Variant"})


# What a GPU is asked to show on real data: task, data set, minutes of preset fast, goal of the measure that the row is judged by.
GOALS = (
    ("sst2", "SST-2 (GLUE dev)", 25, "75.5"),
    ("cifar10", "CIFAR-10 (10,000 test images)", 25, "89.1"),
    ("fsdd", "Free Spoken Digits (300 test recordings)", 5, "97.1"),
    ("tinyvirat", "actions, in TinyVIRAT's layout", 25, ""),
    ("lasot", "tracking, in LaSOT's layout", 25, ""),
)
UNMEASURED = "not measured"


def on_a_gpu(results: Path) -> pd.DataFrame:
    """What presets fast and paper scored on real data, or which command would fill the row: results/fast, results/paper."""
    lines = []
    for task, data, minutes, goal in GOALS:
        for profile in ("fast", "paper"):
            path = Path(results) / profile / "runs" / task / "metrics.json"
            line = {
                "Data": data,
                "Preset": profile,
                "Goal": f"{goal} in {minutes} min" if goal and profile == "fast" else "",
            }
            if path.exists():
                metrics = json.loads(path.read_text())
                name, score = headline(metrics)
                training = metrics["training"] or {"seconds": float("nan"), "device": "not finished"}
                line |= {
                    "Score": f"{HEADS[name]} {score:.{2 if name == 'iou' else 1}f}",
                    "Minutes": f"{training['seconds'] / 60:.1f}",
                    "Device": training["device"],
                    "Seed": str(metrics["seed"]),
                    "Command": "",
                }
            else:
                line |= {
                    "Score": UNMEASURED,
                    "Minutes": "",
                    "Device": "",
                    "Seed": "",
                    "Command": f"`./reproduce.sh {profile} --data DIR`",
                }
            lines.append(line)
    return pd.DataFrame(lines)


# Official training examples (their authors' counts, ours of three clips a sequence of LaSOT) and the shape of Table 1.
SETS = (
    ("SST-2", 67_349, "text, or video and question"),
    ("CIFAR-10", 50_000, "picture or sound"),
    ("TinyVIRAT", 7_663, "video"),
    ("AudioMNIST", 18_000, "picture or sound"),
    ("CLEVRER", 109_952, "text, or video and question"),
    ("TGIF-QA", 39_392, "text, or video and question"),
    ("LaSOT", 3 * 1_120, "tracking"),
    ("TinyVIRAT, colorization", 7_663, "colorization"),
)
GOAL_UTILISATION = 0.40


def utilisation(results: Path) -> tuple[float, bool]:
    """What share of the makers' rate a training step of preset paper reaches on a GPU, 0..1, the median over the shapes of Table 1;
    and whether it was measured (results/bench) or is the goal."""
    path = Path(results) / "bench" / "network.csv"
    if path.exists():
        seen = pd.read_csv(path).query("what == 'training step' and preset == 'paper'").dropna(subset="seconds")
        shares = [
            row.gflop_per_second * 1e9 / device.flops
            for row in seen.itertuples()
            for key, device in cost.DEVICES.items()
            if key in row.device.lower()
        ]
        if shares:
            return float(median(shares)), True
    return GOAL_UTILISATION, False


def costs(results: Path) -> pd.DataFrame:
    """An epoch of each row of Table 2 at the paper's size, by arithmetic: FLOP over the makers' rates and a utilisation."""
    model, (share, measured), lines = preset("paper").model, utilisation(results), []
    said = f"at {share:.0%}{'' if measured else ' (a goal, not measured)'}"
    for name, examples, shape in SETS:
        n_in, n_out, batch = SHAPES[shape]
        total = cost.step_flops(model, n_in, n_out, batch).total * examples / batch
        minutes = {key: cost.minutes(total, device.flops, share) for key, device in cost.DEVICES.items()}
        lines.append(
            {
                "Data set": name,
                "Training examples": f"{examples:,}",
                "Frames": f"{n_in} + {n_out}",
                "PFLOP an epoch": f"{total / 1e15:.2f}",
                f"A100, minutes an epoch {said}": f"{minutes['a100']:.2f}",
                "H100 or H200": f"{minutes['h100']:.2f}",
                "8 × H100": f"{minutes['h100'] / 8:.3f}",
                "A100, $": f"{cost.dollars(minutes['a100'], cost.DEVICES['a100'].dollars):.3f}",
            }
        )
    return pd.DataFrame(lines)


def peers(results: Path) -> pd.DataFrame:
    """What the same work takes when it is done otherwise (results/bench/peers.csv), measured rows only."""
    table = pd.read_csv(Path(results) / "bench" / "peers.csv").dropna(subset="ratio")
    table["ratio"] = table.ratio.map("{:.1f}".format)
    shown = {
        "what": "What",
        "ours": "Ours",
        "peer": "Otherwise",
        "ratio": "takes so many times as long",
        "device": "Device",
    }
    return table[list(shown)].rename(columns=shown)


def network(results: Path) -> pd.DataFrame:
    """The training step of every shape of Table 1 (results/bench/network.csv); on a GPU, where that was measured."""
    table = pd.read_csv(Path(results) / "bench" / "network.csv").query("what == 'training step'")
    lines = []
    for row in table.dropna(subset="seconds").itertuples():
        lines.append(
            {
                "Preset": row.preset,
                "Input → answer": f"{row.shape}, {row.n_in:.0f} → {row.n_out:.0f}",
                "Batch": f"{row.batch:.0f}",
                "Frames a second": f"{row.frames_per_second:,.0f}",
                "Utilisation": f"{row.utilisation:.0%} of {row.matmul_gflop_per_second:,.0f} GFLOP/s, {row.dtype}",
                "Device": row.device,
            }
        )
    for (preset_name, device), rows in table[table.seconds.isna()].groupby(["preset", "device"]):
        lines.append(
            {
                "Preset": preset_name,
                "Input → answer": f"all {len(rows)} shapes",
                "Batch": "",
                "Frames a second": UNMEASURED,
                "Utilisation": "",
                "Device": device,
            }
        )
    return pd.DataFrame(lines)


def blocks(results: Path) -> dict[str, str]:
    """The generated parts of README.md and results/README.md, by the name of their marker."""
    ends = pd.read_csv(Path(results) / "bench" / "ends.csv")
    shown = {"what": "What", "count": "How many", "seconds": "Seconds", "per_second": "A second", "note": "Note"}
    return {
        "overview": markdown(overview(results)),
        "claims": markdown(claims(Path(results) / "demo")),
        "seeds": markdown(seeds(results)),
        "recipe": markdown(recipe(results)),
        "gpu": markdown(on_a_gpu(results)),
        "costs": markdown(costs(results)),
        "network": markdown(network(results)),
        "peers": markdown(peers(results)),
        "ends": markdown(ends[list(shown)].rename(columns=shown)),
    }


def fill(pages: list[Path], blocks: dict[str, str]) -> None:
    """Replaces what stands between `<!-- name -->` and `<!-- /name -->` in Markdown files; each block has its place in one of them."""
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
