"""With which recipe does a small network learn fastest? The comparison behind presets `demo` and `fast`.

Every variant changes one setting and sees the same number of sequences. Scored on validation data only, by the
nearest rendered word and by Tesseract.
"""

import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from evlib.data import tasks
from evlib.data.store import VideoStore
from evlib.data.tasks.answers import WordAnswer
from evlib.generation import generate_answers
from evlib.scoring.answers import read_and_match
from evlib.scoring.metrics import accuracy
from evlib.scoring.ocr import TemplateReader
from evlib.training.checkpoint import load_network, training_info
from evlib.training.train import train
from evlib.utils.errors import EvlibError
from evlib.utils.progress import log_line

KEY = ["task", "variant", "seed", "sequences", "examples"]  # of a row of the comparison
VARIANTS: dict[str, dict] = {
    "demo (Muon 0.003, batch 16)": {},
    "AdamW 3e-4, constant (the paper's)": {"optimizer": "adamw", "lr": 3e-4, "warmup": 0.0, "decay": 0.0},
    "AdamW 1e-3": {"optimizer": "adamw", "lr": 1e-3},
    "AdamW 2e-3": {"optimizer": "adamw", "lr": 2e-3, "warmup": 0.1},
    "Muon 0.001": {"muon_lr": 0.001},
    "Muon 0.005": {"muon_lr": 0.005},
    "Muon 0.01": {"muon_lr": 0.01},
    "Muon 0.02": {"muon_lr": 0.02},
    "constant learning rate": {"warmup": 0.0, "decay": 0.0},
    "no stem": {"stem": 0},
    "batch 8": {"batch": 8},
    "batch 32": {"batch": 32},
    "black on white": {"inverted": True},  # inverts the frames; not a setting
    "no zero_init": {"zero_init": False},
    "no mean_bias": {"mean_bias": False},
    "no gradient clipping": {"grad_clip": 0.0},
    "EMA (0.99)": {"ema_decay": 0.99},
    "augmentation": {"augment": True},  # the task's own: see evlib.training.augment
    "augmentation, EMA": {"augment": True, "ema_decay": 0.99},
    "loss power 1 (the paper's)": {"loss_power": 1.0},
    "loss power 0.7": {"loss_power": 0.7},
    "loss power 0.5": {"loss_power": 0.5},
    "loss power 0.3": {"loss_power": 0.3},
    "loss power 0 (logarithm)": {"loss_power": 0.0},
    "loss power from the start": {"power_decay": 0.0},
    "loss power falling from 1 to 0.5": {"loss_power": 0.5, "power_decay": 0.5},
}


def compare(
    store: VideoStore,
    sequences: int,
    seed: int,
    variant: str,
    examples: int | None = None,
    log: Callable[[str], None] = log_line,
) -> dict:
    """Trains a variant on `sequences` sequences; with `examples`, sampled from only the first so many of the training
    split, to see what many epochs do. Returns a row: variant, steps, seconds, validation SSIM and accuracy."""
    task = tasks.get(store.manifest["task"])
    require_words(task)
    in_train = store.metadata.split == "train"
    if examples is not None:
        rest = ~in_train | (in_train.cumsum() <= examples)
        metadata = store.metadata[rest].reset_index(drop=True)
        store = replace(store, sequences=store.sequences[rest.values], metadata=metadata)
    changes = dict(VARIANTS[variant])
    inverted = changes.pop("inverted", False)
    used = replace(store, frames=255 - np.asarray(store.frames)) if inverted else store
    if changes.pop("augment", False):
        changes["augment"] = task.augment
    config = task.config("demo", seed=seed, steps=1, **changes)
    config = config.override(steps=max(1, sequences // config.train.batch))
    with tempfile.TemporaryDirectory() as folder:
        run = train(config, used, Path(folder) / "run", log=lambda line: None)
        net, info = load_network(run)[0], training_info(run)
    split = used.split("validation").head(500)
    generated = np.concatenate(generate_answers(net, split, task.answer.n_frames))
    generated, words = 255 - generated if inverted else generated, store.manifest["vocabulary"]
    read, truth = TemplateReader(words).read(generated), split.metadata.answer
    row = {
        "task": task.name, "data": store.manifest["data"], "variant": variant, "seed": seed, "sequences": sequences,
        "examples": int((store.metadata.split == "train").sum()), "batch": config.train.batch,
        "steps": config.steps, "seconds": info["seconds"],
        "validation_ssim": round(info["best_validation_ssim"], 4),
        "validation_accuracy": round(accuracy(read, truth), 4),
        "validation_tesseract": round(accuracy(read_and_match(generated, words)[1], truth), 4), "n": len(split),
    }  # fmt: skip
    log("  ".join(f"{key} {value}" for key, value in row.items() if key not in ("data", "n")))
    return row


def require_words(task: tasks.Task) -> None:
    """EvlibError unless the task's answer is one word."""
    if not isinstance(task.answer, WordAnswer):
        known = ", ".join(name for name, other in tasks.TASKS.items() if isinstance(other.answer, WordAnswer))
        raise EvlibError(
            f"Variants are compared by the one word that they answer, which {task.name} does not: name one of {known}."
        )
