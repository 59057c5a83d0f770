"""Which recipe does a small network learn fastest with? The comparison behind presets `demo` and `fast`.

Every variant changes one setting and sees the same number of sequences. Judged on validation data alone, by the
template reader, because it is instant.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from evlib.data import tasks
from evlib.data.store import VideoStore
from evlib.generate import answer
from evlib.scoring.answers import Words
from evlib.scoring.metrics import accuracy
from evlib.scoring.ocr import TemplateReader
from evlib.scoring.predict import load_network
from evlib.training.checkpoint import trained
from evlib.training.train import train
from evlib.utils import files
from evlib.utils.errors import EvlibError
from evlib.utils.progress import log_line

VARIANTS: dict[str, dict] = {
    "demo (Muon 0.01, batch 16)": {},
    "AdamW 3e-4, constant (the paper's)": dict(optimizer="adamw", lr=3e-4, warmup=0.0, decay=0.0),
    "AdamW 1e-3": dict(optimizer="adamw", lr=1e-3),
    "AdamW 2e-3": dict(optimizer="adamw", lr=2e-3, warmup=0.1),
    "Muon 0.005": dict(muon_lr=0.005),
    "Muon 0.02": dict(muon_lr=0.02),
    "constant rate": dict(warmup=0.0, decay=0.0),
    "batch 8": dict(batch=8),
    "batch 32": dict(batch=32),
    "black on white": dict(inverted=True),
    "residual branches start random": dict(zero_init=False),
    "output starts at grey": dict(mean_bias=False),
    "no gradient clipping": dict(grad_clip=0.0),
    "averaged weights (0.99)": dict(ema_decay=0.99),
    "varied questions": dict(augment=True),  # as the task allows: see evlib.augment
    "varied questions, averaged weights": dict(augment=True, ema_decay=0.99),
}


def compare(
    store: VideoStore,
    sequences: int,
    seed: int = 0,
    variants: Sequence[str] = tuple(VARIANTS),
    examples: int | None = None,
    log: Callable[[str], None] = log_line,
) -> pd.DataFrame:
    """Trains each variant on `sequences` sequences; with `examples`, drawn from only the first so many of the training split,
    to see what many epochs do (in the files' order: no use where that goes by answer). One row each: variant, steps, seconds, validation SSIM and accuracy."""
    task, rows = tasks.get(store.manifest["task"]), []
    require_words(task)
    if examples is not None:
        kept = (store.metadata.split != "train") | ((store.metadata.split == "train").cumsum() <= examples)
        store = replace(
            store, sequences=store.sequences[kept.values], answers=store.metadata[kept].reset_index(drop=True)
        )
    for name in variants:
        changes = dict(VARIANTS[name])
        shown = replace(store, frames=255 - np.asarray(store.frames)) if changes.pop("inverted", False) else store
        if changes.pop("augment", False):
            changes["augment"] = task.augment
        config = task.config("demo", seed=seed, steps=1, **changes)
        config = config.override(steps=max(1, sequences // config.train.batch))
        with tempfile.TemporaryDirectory() as folder:
            run = train(config, shown, Path(folder) / "run", log=lambda line: None)
            net, _ = load_network(run)
            split = shown.split("validation").head(500)
            drawn = np.concatenate([frames.numpy() for frames in answer(net, split)])
            read = TemplateReader(store.manifest["vocabulary"]).read(255 - drawn if shown is not store else drawn)
            done = trained(run)
        rows.append(
            {
                "task": task.name,
                "data": store.manifest["data"],
                "variant": name,
                "seed": seed,
                "sequences": sequences,
                "examples": int((store.metadata.split == "train").sum()),
                "batch": config.train.batch,
                "steps": config.steps,
                "seconds": done["seconds"],
                "validation_ssim": round(done["best_validation_ssim"], 4),
                "validation_accuracy": round(accuracy(read, split.metadata.answer), 4),
                "n": len(split),
            }
        )
        log("  ".join(f"{k} {v}" for k, v in rows[-1].items() if k not in ("data", "n")))
    return pd.DataFrame(rows)


def require_words(task: tasks.Task) -> None:
    if not isinstance(task.answers, Words):
        known = ", ".join(name for name, other in tasks.TASKS.items() if isinstance(other.answers, Words))
        raise EvlibError(
            f"Variants are compared by the one word that they answer, which {task.name} does not: name one of {known}."
        )


def save(table: pd.DataFrame, path: Path) -> None:
    """Adds the rows to a CSV file, in place of earlier rows of the same task, variant, seed, length and examples."""
    key = ["task", "variant", "seed", "sequences", "examples"]
    if path.exists():
        table = pd.concat([pd.read_csv(path), table]).drop_duplicates(key, keep="last")
    with files.atomic(path) as temporary:
        table.to_csv(temporary, index=False)
