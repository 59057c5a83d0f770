"""Loading and saving: a run's weights, the state from which a stopped run continues, the env.json of a finished one.

config.json              settings, and under "store" what the run is trained on
model.safetensors        the best weights so far, float32
model.fp16.safetensors   replaces it after `python -m evlib export RUN`: half the size, kept with the results
resume.pt                the latest weights, optimizers, EMA and counters
log.csv                  one row per report
env.json                 once it is finished: device, steps, seconds, ...
"""

from __future__ import annotations

import io
import json
import shutil
import textwrap
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import torch
from huggingface_hub import snapshot_download
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from evlib.config import Config, ModelConfig
from evlib.model import NextFrame
from evlib.utils import files
from evlib.utils.errors import EvlibError
from evlib.utils.paths import here

if TYPE_CHECKING:
    from evlib.training.learner import Learner

WEIGHTS, EXPORTED = "model.safetensors", "model.fp16.safetensors"
MAX_EXPORT = 4_000_000  # bytes: exported weights are part of the source tree
IN_STORE = ("renderer", "data", "examples")  # of config.json's "store": these must be equal for a run to continue
LOG_COLUMNS = ["step", "seconds", "loss", "frames_per_second", "validation_ssim", "validation_score"]


# ---- weights ---------------------------------------------------------------------------------------------------------


def save_weights(net: NextFrame, run: Path) -> None:
    """Writes model.safetensors; with config.json beside it, NextFrame.from_pretrained(run) reads it."""
    with files.atomic(run / WEIGHTS) as temporary:
        temporary.write_bytes(save({name: tensor.contiguous() for name, tensor in net.state_dict().items()}))


def has_weights(run: str | Path) -> bool:
    return any((Path(run) / name).is_file() for name in (WEIGHTS, EXPORTED))


def weights_file(run: str | Path) -> Path:
    """model.safetensors, or where there is none the exported weights. EvlibError without either."""
    if not has_weights(run):
        raise EvlibError(f"{run}: expected trained weights ({WEIGHTS} or {EXPORTED}), found none; train it first.")
    return next(path for name in (WEIGHTS, EXPORTED) if (path := Path(run) / name).is_file())


def load_weights(run: str | Path) -> dict[str, Tensor]:
    """The state dict of a run's network, float32 on the CPU. EvlibError if there is none or the file is damaged."""
    path = weights_file(run)
    try:
        return {name: tensor.float() for name, tensor in load_file(path).items()}
    except SafetensorError as error:
        raise EvlibError(f"{path}: the weights are damaged ({error}); train it again.") from None


def load_network(run: str | Path, device: str | torch.device = "cpu") -> tuple[NextFrame, dict]:
    """The network of a run folder or Hugging Face Hub id, in evaluation mode, and its config.json.

    Raises EvlibError as `read_config` does, and if the weights do not match the config."""
    folder = _folder(run)
    config = read_config(folder)
    try:
        net = NextFrame(ModelConfig(**config["model"]))
        net.load_state_dict(load_weights(folder))
    except (EvlibError, RuntimeError, TypeError, ValueError) as error:
        raise EvlibError(
            f"{run}: the weights do not fit the settings in config.json ({textwrap.shorten(str(error), 160)}); "
            "train it again."
        ) from None
    return net.to(device).eval(), config


def read_config(run: str | Path) -> dict:
    """config.json of a run folder or Hugging Face Hub id that has weights: settings, and under "store" what it was
    trained on. Raises EvlibError if there is no run, or if the file is damaged or not that of a run."""
    folder = _folder(run)
    if not has_weights(folder) or not (folder / "config.json").is_file():
        raise _no_run(run)
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except ValueError:
        raise EvlibError(f"{run}: config.json is damaged; train it again.") from None
    if missing := [name for name in ("task", "model", "store") if name not in config]:
        raise EvlibError(
            f"{run}: config.json is not that of a run, it has no {' and no '.join(missing)}; train it again."
        )
    return config


def _folder(run: str | Path) -> Path:
    """The run folder, or a downloaded copy of a model on the Hugging Face Hub."""
    if Path(run).is_dir():
        return Path(run)
    if Path(run).exists() or str(run).count("/") != 1 or str(run).startswith("."):
        raise _no_run(run)
    try:
        return Path(snapshot_download(str(run), allow_patterns=["config.json", WEIGHTS, EXPORTED]))
    except Exception as error:  # no network, no such model, no access: of many types
        raise EvlibError(
            f"{run}: found neither a run folder nor a model on the Hugging Face Hub that can be reached "
            f"({type(error).__name__})."
        ) from None


def _no_run(run: str | Path) -> EvlibError:
    return EvlibError(
        f"{run}: expected a run folder with config.json and {WEIGHTS}, found none; "
        "train one with `python -m evlib train`."
    )


def load_init(net: NextFrame, run: Path, init_from: str) -> set[str]:
    """Initializes `net`, the network of `run`, with the weights of another run: a folder beside it, or a path relative
    to the working directory or the project folder. A network that can already see and write has less to learn (section
    5.2). Returns the names of its parameters.

    The other one may lack copying and, with zero_init, have fewer global blocks: what it lacks is left as it is.
    EvlibError if there is no such run, or if its network has another shape."""
    places = run.parent / init_from, Path(init_from), here(init_from)
    if not (other := next(filter(has_weights, places), None)):
        raise EvlibError(
            f"init_from: expected a trained run in {init_from} ({WEIGHTS}), found none; train it first, "
            "or start from scratch with `--set init_from=null`."
        )
    weights, may_lack = load_weights(other), ("copy.", "middle.") if net.config.zero_init else ("copy.",)
    try:
        missing, unknown = net.load_state_dict(weights, strict=False)
        reason = ", ".join([*unknown, *(name for name in missing if not name.startswith(may_lack))])
    except RuntimeError as error:
        reason = str(error)
    if reason:
        reason = textwrap.shorten(reason, 160)
        raise EvlibError(f"init_from: the network of {other} has another shape than this one ({reason}).")
    return set(weights)


# ---- finished runs ---------------------------------------------------------------------------------------------------


def copy_run(source: Path, run: Path, *more: str) -> None:
    """Copies an exported run: settings, log, the files in `more` if they are there, and at last the weights, which make
    the folder a run."""
    run.mkdir(parents=True, exist_ok=True)
    for name in ("config.json", "env.json", "log.csv", *(name for name in more if (source / name).exists()), EXPORTED):
        shutil.copy(source / name, run / name)


def training_info(run: str | Path) -> dict | None:
    """env.json of a finished run: device, steps, seconds of training, parameters; None if it has not finished."""
    path = Path(run) / "env.json"
    return json.loads(path.read_text()) if path.exists() else None


def is_finished(run: Path, settings: dict, ignore: tuple[str, ...]) -> bool:
    """Whether `run` holds a finished run with these settings (config.json's). Settings named in `ignore` may differ.

    Raises EvlibError if it holds a run with other settings, or something else."""
    if not (run / "config.json").exists():
        if run.exists() and any(run.glob("[!.]*")):  # a killed process may leave a hidden temporary folder
            raise EvlibError(f"{run} is not empty and not a run folder: name another with --out.")
        return False
    if not has_weights(run) and not (run / "resume.pt").exists():
        return False  # the results of a run without its weights
    there, here = (_flat(s, ignore) for s in (_known_settings(run / "config.json"), settings))
    if there != here:
        differences = "; ".join(
            f"{name} {there.get(name)!r:.60} there, {here.get(name)!r:.60} here"
            for name in {**here, **there}
            if there.get(name) != here.get(name)
        )
        raise EvlibError(
            f"{run} holds a run with other settings ({differences}): name another folder with --out, or remove it."
        )
    return (run / "env.json").exists()


def _flat(settings: dict, ignore: tuple[str, ...]) -> dict:
    store = {name: settings.get("store", {}).get(name) for name in IN_STORE}
    flat = {**settings, **settings.get("model", {}), **settings.get("train", {}), **store}
    return {k: v for k, v in flat.items() if not isinstance(v, dict) and k not in ignore}


def _known_settings(path: Path) -> dict:
    """A run's config.json, with defaults for settings that were added after it was written."""
    settings: dict = {}
    try:
        settings = json.loads(path.read_text())
        return {**settings, **json.loads(Config.from_json(path.read_text()).to_json())}
    except (TypeError, KeyError, ValueError, EvlibError):  # a setting that no longer exists, or a broken file
        return settings


def export(run: str | Path) -> Path:
    """Saves the weights of a finished run in half precision, records it in env.json and removes model.safetensors: from
    now on the exported weights are used. Raises EvlibError if it has not finished, or above MAX_EXPORT bytes."""
    run = Path(run)
    if (info := training_info(run)) is None or not has_weights(run):
        raise EvlibError(
            f"{run}: expected a finished run (config.json, {WEIGHTS}, env.json), found none; train it first."
        )
    packed = save({name: tensor.half().contiguous() for name, tensor in load_weights(run).items()})
    if len(packed) > MAX_EXPORT:
        raise EvlibError(
            f"{run}: the weights take {len(packed):,} bytes in half precision, more than {MAX_EXPORT:,}: "
            "too many to export beside the results."
        )
    with files.atomic(run / EXPORTED) as temporary:
        temporary.write_bytes(packed)
    files.write_text(run / "env.json", json.dumps({**info, "exported": "float16"}, indent=2))
    (run / WEIGHTS).unlink(missing_ok=True)
    return run / EXPORTED


# ---- stopping and continuing -----------------------------------------------------------------------------------------


@dataclass
class State:
    """The state of a run, apart from that of its Learner."""

    step: int = 0
    seconds: float = 0.0  # of training, over all restarts
    best_score: float = -1.0  # on validation data, of the weights in model.safetensors
    best_ssim: float = -1.0  # mean validation MS-SSIM of the same weights
    validated: int = 0  # validations done
    log: list[dict] = field(default_factory=list)
    # Since the last row of the log:
    reported: float = 0.0  # when that was, in seconds of training
    losses: list[Tensor] = field(default_factory=list)
    frames: int = 0  # trained on, over all processes


def save_checkpoint(run: Path, learner: Learner, state: State) -> None:
    """Writes resume.pt and log.csv."""
    memory = io.BytesIO()  # torch's own writer hides the reason for a disk error
    torch.save({"state": state.__dict__, **learner.state_dict()}, memory)
    with files.atomic(run / "resume.pt") as temporary:
        temporary.write_bytes(memory.getbuffer())
    columns = dict.fromkeys([*LOG_COLUMNS, *(name for row in state.log for name in row)])  # several tasks have more
    files.write_text(run / "log.csv", pd.DataFrame(state.log, columns=[*columns]).to_csv(index=False))


def resume(run: Path, learner: Learner, state: State) -> str | None:
    """Continues from a checkpoint, if there is one. Returns the type of device that wrote it."""
    path = run / "resume.pt"
    if not path.exists():
        return None
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)  # tensors and plain values, never code
    except Exception as error:  # of many types, with and without a message
        raise EvlibError(
            f"{path}: the checkpoint is damaged ({type(error).__name__}): remove the run's folder and train it again."
        ) from None
    learner.load_state_dict(saved)
    state.__dict__.update(saved["state"])
    state.losses = [loss.to(learner.device) for loss in state.losses]
    return saved["device"]
