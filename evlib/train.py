"""The training loop: one for every task, because every task is a video (section 3.3).

    train(config, store, out)     # starts, or continues where it was stopped

`out` is a run folder: config.json, model.safetensors (the best so far, by SSIM of the validation split's answers),
log.csv, env.json (once it is finished), and resume.pt, from which a stopped run continues: on a CPU bit for bit, where
steps end it and not the clock.
Under torchrun each process takes its share of every batch.
"""
from __future__ import annotations

import atexit
import io
import json
import os
import platform
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import safetensors.torch
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from . import files
from .config import Config, TrainConfig
from .errors import EvlibError
from .loss import ms_ssim, next_frame_loss
from .model import NextFrame
from .store import Schedule, Split, VideoStore

REPORT, CHECKPOINT = 5.0, 60.0        # seconds between progress lines, between checkpoints


@dataclass
class State:
    """Everything a run is, besides its weights."""
    step: int = 0
    seconds: float = 0.0              # of training, over all starts
    best: float = -1.0                # validation SSIM
    validated: int = 0                # validations done
    log: list[dict] = field(default_factory=list)
    # Since the last row of the log:
    reported: float = 0.0             # when that was, in seconds of training
    losses: list[Tensor] = field(default_factory=list)
    frames: int = 0                   # shown


def train(config: Config, store: VideoStore, out: str | Path, device: str | None = None,
          log: Callable[[str], None] = lambda line: print(line, flush=True)) -> Path:
    """Trains until config.steps or config.minutes are used up, whichever comes first. Returns the run folder.

    Raises EvlibError if `out` holds a run with other settings or of another renderer.
    """
    config.require_end()
    out, workers = Path(out), Workers.start(device)
    device, batch = workers.device, config.train.batch
    if batch % workers.count:
        raise EvlibError(f"A batch of {batch} sequences cannot be shared evenly by {workers.count} processes.")
    settings = {**json.loads(config.to_json()), "renderer": store.manifest["renderer"], "data": store.manifest["data"],
                "examples": store.manifest["examples"], "vocabulary": store.manifest["vocabulary"], "answer_frames": int(store.answers.n_out.max())}
    finished = _is_finished(out, settings)
    workers.wait()                                            # until all have looked, and only then write
    if finished:
        if workers.first:
            log(f"{config.task}: already trained -> {out}")
        return out
    if workers.first:
        files.write_text(out / "config.json", json.dumps(settings, indent=2))
        (out / "env.json").unlink(missing_ok=True)            # it says that a run is finished

    torch.manual_seed(config.seed)
    train_split, validation = store.split("train", device), store.split("validation", device)
    net = NextFrame(config.model).to(device)
    if config.start is not None:
        load_start(net, out, config.start)
    elif config.train.mean_bias:
        net.start_from(train_split.mean_output().to(device))
    optimizers, state = make_optimizers(net, config.train), State()
    resumed = resume(out / "resume.pt", net, optimizers, state)
    workers.wait()
    if workers.first and not resumed:
        save_weights(net, out)
        checkpoint(out, net, optimizers, state)
    model = DistributedDataParallel(net) if workers.count > 1 else net

    schedule = Schedule(train_split, batch, config.seed)
    share = slice(workers.rank * batch // workers.count, (workers.rank + 1) * batch // workers.count)
    autocast = torch.autocast("cuda", torch.bfloat16) if device.type == "cuda" else nullcontext()

    clock = Clock(state.seconds)
    now = saved = workers.agree(clock.now())
    while (progress := progress_of(config, state.step, now)) < 1:
        rows = schedule[state.step][share]
        n_out = int(train_split.table.n_out.values[rows[0]])
        video = train_split.gather(rows)
        wanted = video.shape[1] - 1 if config.train.loss == "all" else n_out

        net.train()
        set_rates(optimizers, rate_at(progress, config.train))
        with autocast:
            predicted = model(video[:, :-1], last=wanted)
        loss = next_frame_loss(predicted, video[:, -wanted:], config.train.window, config.train.l1)
        loss.backward()
        if config.train.grad_clip:
            nn.utils.clip_grad_norm_(net.parameters(), config.train.grad_clip)
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        state.step += 1
        state.losses.append(loss.detach())
        state.frames += batch * video.shape[1]

        # One clock, the first process's, decides what is due, so that all processes do the same.
        now = workers.agree(clock.now())
        progress = progress_of(config, state.step, now)
        due = int(progress * config.train.validations) > state.validated or progress >= 1
        if due:
            state.validated = max(int(progress * config.train.validations), state.validated)
            score = validate(net, validation, config.train.validation_size)
            if workers.first and score > state.best:
                save_weights(net, out)
            state.best = max(score, state.best)
        if due or now - state.reported > REPORT:
            row = {"step": state.step, "seconds": round(now, 2), "loss": workers.mean(sum(state.losses) / len(state.losses)),
                   "frames_per_second": round(state.frames / max(now - state.reported, 1e-6)), "validation_ssim": score if due else None}
            state.log.append(row)
            if workers.first:
                log(describe(config, row, progress))
            now = workers.agree(clock.now())
            state.reported, state.losses, state.frames = now, [], 0
        if workers.first and (due or now - saved > CHECKPOINT):       # the best weights and the checkpoint belong together
            state.seconds = saved = now
            checkpoint(out, net, optimizers, state)

    if workers.first:
        files.write_text(out / "env.json", json.dumps({**environment(device), "processes": workers.count, "steps": state.step,
                         "seconds": round(state.seconds, 1), "parameters": sum(p.numel() for p in net.parameters()),
                         "best_validation_ssim": state.best}, indent=2))
    workers.wait()
    return out


# ------------------------------------------------------------------------------------ optimisers, schedule

def make_optimizers(net: NextFrame, config: TrainConfig) -> list[torch.optim.Optimizer]:
    """AdamW on everything (section 3.3); or Muon on the matrices of the blocks and AdamW on the rest."""
    if config.optimizer == "adamw":
        return [torch.optim.AdamW(net.parameters(), lr=config.lr, weight_decay=config.weight_decay)]
    inner = {*net.encoder.parameters(), *net.middle.parameters(), *net.decoder.parameters(),
             *net.merge.parameters(), *net.unmerge.parameters(), *net.mix.parameters()}
    matrices = [p for p in net.parameters() if p in inner and p.ndim == 2]
    others = [p for p in net.parameters() if not (p in inner and p.ndim == 2)]
    return [torch.optim.Muon(matrices, lr=config.muon_lr, weight_decay=config.weight_decay),
            torch.optim.AdamW(others, lr=config.lr, weight_decay=config.weight_decay)]


def rate_at(progress: float, config: TrainConfig) -> float:
    """The share of the learning rate that is used when `progress` (0..1) of the run is over."""
    rising = min(1.0, (progress + 1e-3) / config.warmup) if config.warmup else 1.0
    falling = min(1.0, (1 - progress) / config.decay) if config.decay else 1.0
    return rising * falling


def set_rates(optimizers: list[torch.optim.Optimizer], share: float) -> None:
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group.setdefault("full_lr", group["lr"])
            group["lr"] = group["full_lr"] * share


def progress_of(config: Config, step: int, seconds: float) -> float:
    """0 at the start, 1 when the steps or the minutes are used up. With steps alone a run is the same on every start."""
    by_steps = step / config.steps if config.steps is not None else 0.0
    by_time = seconds / (60 * config.minutes) if config.minutes is not None else 0.0
    return max(by_steps, by_time)


@torch.inference_mode()
def validate(net: NextFrame, split: Split, size: int) -> float:
    """Mean MS-SSIM of the predicted answer frames of `size` sequences, the true frames before them given."""
    net.eval()
    rows = np.sort(np.random.default_rng(0).permutation(len(split))[:size])      # the same every time, and of every length
    split = Split(split.name, split.frames, split.sequences[torch.from_numpy(rows).to(split.sequences.device)], split.table.iloc[rows])
    total = 0.0
    for rows in split.batches(64):
        n_out = int(split.table.n_out.values[rows[0]])
        video = split.gather(rows)
        total += ms_ssim(net(video[:, :-1], last=n_out).flatten(0, 1), video[:, -n_out:].flatten(0, 1).float() / 255).sum().item()
    return total / int(split.table.n_out.sum())


# ------------------------------------------------------------------------------------ stopping and starting

def save_weights(net: NextFrame, out: Path) -> None:
    """model.safetensors; with config.json beside it, NextFrame.from_pretrained(out) reads them."""
    with files.atomic(out / "model.safetensors") as temporary:
        temporary.write_bytes(safetensors.torch.save({name: tensor.contiguous() for name, tensor in net.state_dict().items()}))


def load_start(net: NextFrame, out: Path, start: str) -> None:
    """The weights of another run of the same shape: a network that can already read and write has less to learn (section 5.2)."""
    run = out.parent / start if (out.parent / start).is_dir() else Path(start)
    try:
        safetensors.torch.load_model(net, run / "model.safetensors", device=str(net.bias.device))
    except FileNotFoundError:
        raise EvlibError(f"start: expected a trained run in {run} (model.safetensors), found none; train it first.") from None
    except (RuntimeError, safetensors.SafetensorError) as error:
        raise EvlibError(f"start: the network of {run} has another shape than this one ({str(error).splitlines()[0][:120]}).") from None


def checkpoint(out: Path, net: NextFrame, optimizers: list, state: State) -> None:
    device, memory = net.bias.device, io.BytesIO()             # torch's own writer hides why a disk refused
    torch.save({"state": state.__dict__, "net": net.state_dict(), "optimizers": [o.state_dict() for o in optimizers],
                "random": torch.get_rng_state(),
                "random_cuda": torch.cuda.get_rng_state(device) if device.type == "cuda" else None}, memory)
    with files.atomic(out / "resume.pt") as temporary:
        temporary.write_bytes(memory.getbuffer())
    with files.atomic(out / "log.csv") as temporary:
        pd.DataFrame(state.log, columns=["step", "seconds", "loss", "frames_per_second", "validation_ssim"]).to_csv(temporary, index=False)


def resume(path: Path, net: NextFrame, optimizers: list, state: State) -> bool:
    """Whether there was a checkpoint to continue from."""
    if not path.exists():
        return False
    saved = torch.load(path, map_location="cpu", weights_only=True)     # tensors and plain values, never code
    net.load_state_dict(saved["net"])
    for optimizer, values in zip(optimizers, saved["optimizers"]):
        optimizer.load_state_dict(values)
    state.__dict__.update(saved["state"])
    torch.set_rng_state(saved["random"])
    if net.bias.device.type == "cuda" and saved["random_cuda"] is not None:
        torch.cuda.set_rng_state(saved["random_cuda"], net.bias.device)
    return True


def _is_finished(out: Path, settings: dict) -> bool:
    if not (out / "config.json").exists():
        if out.exists() and any(out.glob("[!.]*")):            # a killed process may leave a hidden temporary folder
            raise EvlibError(f"{out} is not empty and not a run folder: name another with --out.")
        return False
    if not any((out / name).exists() for name in ("resume.pt", "model.safetensors")):
        return False                                           # the figures of a run without its weights
    there, here = (_flat(s) for s in (json.loads((out / "config.json").read_text()), settings))
    if there != here:
        other = [f"{k} {there.get(k)!r:.60} there, {here.get(k)!r:.60} here" for k in {**here, **there} if there.get(k) != here.get(k)]
        raise EvlibError(f"{out} holds a run with other settings ({'; '.join(other)}): name another folder with --out, or remove it.")
    return (out / "env.json").exists()


def _flat(settings: dict) -> dict:
    return {k: v for part in (settings, settings.get("model", {}), settings.get("train", {})) for k, v in part.items() if not isinstance(v, dict)}


def trained(run: Path) -> dict | None:
    """env.json of a finished run: device, steps, seconds of training, parameters; None if it has not finished."""
    path = Path(run) / "env.json"
    return json.loads(path.read_text()) if path.exists() else None


class Clock:
    """Seconds of training, continued over restarts."""

    def __init__(self, before: float):
        self.start = time.perf_counter() - before

    def now(self) -> float:
        return time.perf_counter() - self.start


def find_device(name: str | None) -> torch.device:
    """The named device, or the first GPU, or the CPU."""
    try:
        device = torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, ImportError):
        raise EvlibError(f"There is no device {name!r} here: expected cpu{', cuda' if torch.cuda.is_available() else ' (this torch finds no CUDA GPU)'}.") from None
    return device


@dataclass(frozen=True)
class Workers:
    """The processes of one run: one, or as many as torchrun started."""
    rank: int
    count: int
    device: torch.device              # of this one

    @classmethod
    def start(cls, device: str | None) -> Workers:
        count = int(os.environ.get("WORLD_SIZE", 1))
        device = find_device(device)
        if device.type == "cuda":
            device = torch.device("cuda", int(os.environ["LOCAL_RANK"]) if count > 1 else device.index or 0)
            torch.cuda.set_device(device)
        if count == 1:
            return cls(0, 1, device)
        if not dist.is_initialized():                         # once: a program may train several runs
            dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
            atexit.register(dist.destroy_process_group)
        return cls(dist.get_rank(), count, device)

    @property
    def first(self) -> bool:
        return self.rank == 0

    def agree(self, value: float) -> float:
        """The first process's value."""
        if self.count == 1:
            return value
        shared = torch.tensor([value], device=self.device, dtype=torch.float64)
        dist.broadcast(shared, src=0)
        return shared.item()

    def mean(self, value: Tensor) -> float:
        """The mean of all processes' values."""
        if self.count > 1:
            dist.all_reduce(value)
        return value.item() / self.count

    def wait(self) -> None:
        """Until all processes are here."""
        if self.count > 1:
            dist.barrier()


def environment(device: torch.device) -> dict:
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU, {torch.get_num_threads()} threads"
    return {"device": name, "torch": torch.__version__, "python": platform.python_version(), "machine": platform.machine()}


def describe(config: Config, row: dict, progress: float) -> str:
    left = row["seconds"] / max(progress, 1e-6) * (1 - progress)
    ssim = f"  validation SSIM {row['validation_ssim']:.3f}" if row["validation_ssim"] is not None else ""
    return (f"{config.task}: step {row['step']:,}  loss {row['loss']:.3f}  {row['frames_per_second']:,} frames/s  "
            f"{int(left) // 60}:{int(left) % 60:02d} left{ssim}")
