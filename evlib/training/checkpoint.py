"""Weights that were trained once and are kept with the results: the rows a laptop cannot learn in a few minutes.

    python -m evlib keep results/demo/runs/clevrer      # -> stored.safetensors beside config.json, env.json and log.csv

A kept run is finished: training the same settings into its folder does nothing, and it is scored as any other.
`./reproduce.sh --retrain` puts the kept weights aside and trains them again.
"""

from __future__ import annotations

import json
from pathlib import Path

import safetensors.torch
import torch

from evlib.utils import files
from evlib.utils.errors import EvlibError

NAME = "stored.safetensors"
LARGEST = 3_000_000  # bytes; they are part of the source tree


def trained(run: str | Path) -> dict | None:
    """env.json of a finished run: device, steps, seconds of training, parameters; None if it has not finished."""
    path = Path(run) / "env.json"
    return json.loads(path.read_text()) if path.exists() else None


def keep(run: str | Path) -> Path:
    """Writes the weights of a finished run in half precision, and notes it in env.json."""
    run = Path(run)
    if (environment := trained(run)) is None or not (run / "model.safetensors").is_file():
        raise EvlibError(
            f"{run}: expected a finished run (config.json, model.safetensors, env.json), found none; train it first."
        )
    half = {
        name: tensor.half().contiguous()
        for name, tensor in safetensors.torch.load_file(run / "model.safetensors").items()
    }
    packed = safetensors.torch.save(half)
    if len(packed) > LARGEST:
        raise EvlibError(
            f"{run}: the weights take {len(packed):,} bytes in half precision, more than {LARGEST:,}: too many to keep with the source."
        )
    with files.atomic(run / NAME) as temporary:
        temporary.write_bytes(packed)
    files.write_text(run / "env.json", json.dumps({**environment, "stored": "float16"}, indent=2))
    (run / "model.safetensors").unlink()  # from now on it is what was kept that is scored
    restore(run)
    return run / NAME


def restore(run: str | Path) -> bool:
    """model.safetensors from the kept weights, where it is missing. Whether there are kept weights."""
    run = Path(run)
    if not (run / NAME).is_file():
        return False
    if not (run / "model.safetensors").is_file():
        full = {name: tensor.to(torch.float32) for name, tensor in safetensors.torch.load_file(run / NAME).items()}
        with files.atomic(run / "model.safetensors") as temporary:
            temporary.write_bytes(safetensors.torch.save(full))
    return True


def discard(run: str | Path) -> None:
    """Makes a kept run one that was never trained."""
    for name in (NAME, "model.safetensors", "env.json", "resume.pt"):
        (Path(run) / name).unlink(missing_ok=True)
