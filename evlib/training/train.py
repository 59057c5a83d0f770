"""The training loop: one for every task, because every task is a video (section 3.3).

    train(config, store, out)     # starts, or continues where it was stopped

`out` is a run folder: config.json, model.safetensors (the best so far, by SSIM of the validation split's answers),
log.csv, env.json (once it is finished), and resume.pt, from which a stopped run continues: on a CPU bit for bit, where steps
end it and not the clock; on another type of device with the same weights, order of examples and schedule, but other rounding
and other dropout.
Under torchrun each process takes its share of every batch.

Nothing in the loop waits for a GPU: the data lie on it, what is shown when is known an epoch ahead, and losses are looked at
when they are reported. On a CPU the frames are read as they are needed, by memory mapping; no file is opened.
"""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import safetensors.torch
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from evlib.config import Config, TrainConfig
from evlib.data.batches import Batch, Batches, Schedule
from evlib.data.store import Split, VideoStore
from evlib.model import NextFrame
from evlib.training.augment import augment
from evlib.training.checkpoint import restore
from evlib.training.device import autocast, compiled, compiles, environment, precision_for, uncompiled
from evlib.training.distributed import Distributed
from evlib.training.loss import concave, ms_ssim, next_frame_loss
from evlib.training.optim import EMA, lr_scale, make_optimizers, set_lr
from evlib.utils import files
from evlib.utils.errors import EvlibError
from evlib.utils.progress import bar as progress_bar
from evlib.utils.progress import is_terminal, log_line

REPORT, CHECKPOINT = 5.0, 60.0  # seconds between progress lines, between checkpoints
RUNTIME_SETTINGS = (
    "precision",
    "compile",
)  # settings that a run may change when it goes on: how a step is computed, not what


@dataclass
class State:
    """Everything a run is, besides its weights."""

    step: int = 0
    seconds: float = 0.0  # of training, over all starts
    best: float = -1.0  # validation SSIM
    validated: int = 0  # validations done
    log: list[dict] = field(default_factory=list)
    # Since the last row of the log:
    reported: float = 0.0  # when that was, in seconds of training
    losses: list[Tensor] = field(default_factory=list)
    frames: int = 0  # shown


def train(
    config: Config, store: VideoStore, out: str | Path, device: str | None = None, log: Callable[[str], None] = log_line
) -> Path:
    """Trains until config.steps or config.minutes are used up, whichever comes first. Returns the run folder.

    Raises EvlibError if `out` holds a run with other settings or of another renderer.
    """
    config.require_end()
    out, dist = Path(out), Distributed.start(device)
    device, batch, shards = dist.device, config.train.batch, config.train.shards
    if batch % dist.world_size:
        raise EvlibError(f"A batch of {batch} sequences cannot be shared evenly by {dist.world_size} processes.")
    if shards > 1 and shards % dist.world_size:
        raise EvlibError(
            f"{shards} shards cannot be shared evenly by {dist.world_size} processes: set shards to a multiple of {dist.world_size}."
        )
    settings = {
        **json.loads(config.to_json()),
        "renderer": store.manifest["renderer"],
        "data": store.manifest["data"],
        "examples": store.manifest["examples"],
        "vocabulary": store.manifest["vocabulary"],
        "answer_frames": int(store.metadata.n_out.max()),
    }
    if dist.is_main:
        restore(out)
    dist.barrier()
    finished = _is_finished(out, settings)
    dist.barrier()  # until all have looked, and only then write
    if finished:
        if dist.is_main:
            log(f"{config.task}: already trained -> {out}")
        return out
    if dist.is_main:
        files.write_text(out / "config.json", json.dumps(settings, indent=2))
        (out / "env.json").unlink(missing_ok=True)  # it says that a run is finished

    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    torch.manual_seed(config.seed)
    train_split, validation = store.split("train"), store.split("validation", device)
    net = NextFrame(config.model).to(device)
    if config.init_from is not None:
        load_init(net, out, config.init_from)
    elif config.train.mean_bias:
        net.init_output_bias(train_split.mean_output().to(device))
    learner = Learner(config, net, dist)
    state = State()
    resumed = resume(out / "resume.pt", learner, state)
    dist.barrier()
    if dist.is_main and not resumed:
        save_weights(learner.eval_model, out)
        checkpoint(out, learner, state)
    if dist.is_main and resumed not in (None, device.type):
        log(
            f"{config.task}: goes on on {device.type}, but was stopped on {resumed}: the same weights and order, other rounding and dropout"
        )

    batches = Batches(train_split, Schedule(train_split, batch, config.seed, shards), dist.local_slice(batch), device)
    if not batches.resident and dist.is_main:
        divided = f"; `--set shards={dist.world_size}` divides them among the GPUs" if dist.world_size > shards else ""
        log(f"{config.task}: the frames do not fit on the GPU and stay in main memory{divided}")
    compiling = learner.prepare(batches.one_of_each_shape()) if learner.compiled else 0.0
    loop(config, learner, state, batches, validation, out, dist, log)
    if dist.is_main:
        more = {"compile_seconds": round(compiling, 1)} if learner.compiled else {}
        if device.type == "cuda":
            more["peak_gpu_gb"] = round(torch.cuda.max_memory_allocated(device) / 1e9, 2)
        files.write_text(
            out / "env.json",
            json.dumps(
                {
                    **environment(device),
                    "processes": dist.world_size,
                    "precision": str(learner.dtype).removeprefix("torch."),
                    "compiled": learner.compiled,
                    **more,
                    "steps": state.step,
                    "seconds": round(state.seconds, 1),
                    "parameters": sum(p.numel() for p in net.parameters()),
                    "best_validation_ssim": state.best,
                },
                indent=2,
            ),
        )
    dist.barrier()
    return out


def loop(
    config: Config,
    learner: Learner,
    state: State,
    batches: Batches,
    validation: Split,
    out: Path,
    dist: Distributed,
    log: Callable[[str], None],
) -> None:
    """Step after step until the steps or the minutes are used up; reports, validates and saves what is due."""
    batch, chance = config.train.batch, torch.Generator(dist.device)
    watched = is_terminal() and log is log_line  # then a bar tells what else the lines would
    clock = Clock(state.seconds)
    now = saved = dist.broadcast(clock.now())
    with progress_bar(f"{config.task}: training", log=log_line if watched else lambda line: None) as bar:
        while (progress := progress_of(config, state.step, now)) < 1:
            shown = batches[state.step]
            # Seeded by the step, and so the same on every start. What is drawn for questions is drawn for all of a batch, of which
            # each process takes its share; dropout is each process's own.
            chance.manual_seed(config.seed * 2**32 + state.step)
            torch.manual_seed(config.seed * 2**32 + state.step * dist.world_size + dist.rank)
            video = augment(shown.video, shown.n_in, config.train.augment, chance, batch, dist.local_slice(batch))
            state.losses.append(learner.step(shown._replace(video=video), lr_scale(progress, config.train)))
            state.step += 1
            state.frames += batch * video.shape[1]

            # One clock, the first process's, decides what is due, so that all processes do the same.
            now = dist.broadcast(clock.now())
            progress = progress_of(config, state.step, now)
            bar.to(min(progress, 1.0))
            due = int(progress * config.train.validations) > state.validated or progress >= 1
            if due:
                state.validated = max(int(progress * config.train.validations), state.validated)
                with uncompiled(learner.compiled):
                    score = validate(learner.eval_model, validation, config.train.validation_size, config.train.power)
                if dist.is_main and score > state.best:
                    save_weights(learner.eval_model, out)
                state.best = max(score, state.best)
            if due or now - state.reported > REPORT:
                mean = torch.stack(state.losses).mean().item()  # waits for the device
                row = {
                    "step": state.step,
                    "seconds": round(now, 2),
                    "loss": dist.mean(mean),
                    "frames_per_second": round(state.frames / max(now - state.reported, 1e-6)),
                    "validation_ssim": score if due else None,
                }
                state.log.append(row)
                bar.note(f"loss {row['loss']:.3f}, SSIM {max(state.best, 0):.3f}")
                if dist.is_main and (due or not watched):
                    log(describe(config, row, progress))
                now = dist.broadcast(clock.now())
                state.reported, state.losses, state.frames = now, [], 0
            if dist.is_main and (
                due or now - saved > CHECKPOINT
            ):  # the best weights and the checkpoint belong together
                state.seconds = saved = now
                checkpoint(out, learner, state)


class Learner:
    """What learns, and one step of it: the network, its optimisers, and the running average of its weights, if there is one."""

    def __init__(self, config: Config, net: NextFrame, dist: Distributed | None = None):
        device = net.output_bias.device
        self.config, self.net, self.dtype = config.train, net, precision_for(config, device)
        self.optimizers = make_optimizers(net, config.train)
        self.ema = EMA(net, config.train.ema_decay) if config.train.ema_decay else None
        self.compiled = compiles(config, device)
        model = (
            DistributedDataParallel(net, broadcast_buffers=False) if dist is not None and dist.world_size > 1 else net
        )
        self.model = compiled(model, config) if self.compiled else model

    def step(self, batch: Batch, rate: float = 1.0) -> Tensor:
        """Learns from a batch with this share of the learning rate. Returns its loss, which is still being computed on a GPU."""
        if not self.net.training:
            self.net.train()
        set_lr(self.optimizers, rate)
        loss = answer_loss(self.model, batch, self.config, self.dtype)
        loss.backward()
        if self.config.grad_clip:
            nn.utils.clip_grad_norm_(self.net.parameters(), self.config.grad_clip)
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        if self.ema is not None:
            self.ema.update(self.net)
        return loss.detach()

    def prepare(self, batches: Iterable[Batch]) -> float:
        """Lets the compiler meet these batches, and learns nothing from them, so that it does not take its minutes from the run's.
        Returns the seconds it took."""
        started = time.perf_counter()
        self.net.train()
        for batch in batches:
            answer_loss(self.model, batch, self.config, self.dtype).backward()
            self.net.zero_grad(set_to_none=True)
        return time.perf_counter() - started

    @property
    def best(self) -> NextFrame:
        """The weights that are validated and kept."""
        return self.net if self.ema is None else self.ema.net


def answer_loss(model: nn.Module, batch: Batch, config: TrainConfig, dtype: torch.dtype) -> Tensor:
    """The loss of a batch, a scalar in float32, whatever the network computes in."""
    wanted = batch.video.shape[1] - 1 if config.loss == "all" else batch.n_out
    with autocast(dtype, batch.video.device):
        predicted = model(batch.video[:, :-1], last=wanted)
    return next_frame_loss(predicted.float(), batch.video[:, -wanted:], config.window, config.l1, config.power)


# ------------------------------------------------------------------------------------ progress, validation


def progress_of(config: Config, step: int, seconds: float) -> float:
    """0 at the start, 1 when the steps or the minutes are used up. With steps alone a run is the same on every start."""
    by_steps = step / config.steps if config.steps is not None else 0.0
    by_time = seconds / (60 * config.minutes) if config.minutes is not None else 0.0
    return max(by_steps, by_time)


@torch.inference_mode()
def validate(net: NextFrame, split: Split, size: int, power: float = 1.0) -> float:
    """Mean MS-SSIM of the predicted answer frames of `size` sequences, the true frames before them given."""
    net.eval()
    rows = np.sort(np.random.default_rng(0).permutation(len(split))[:size])  # the same every time, and of every length
    split = split.select(rows)
    sums = []
    for rows in split.batches(64):
        n_out = int(split.metadata.n_out.values[rows[0]])
        video = split.gather(rows)
        similarity = ms_ssim(
            net(video[:, :-1], last=n_out).flatten(0, 1), video[:, -n_out:].flatten(0, 1).float() / 255
        )
        sums.append((1 - concave(1 - similarity, power)).sum())
    return torch.stack(sums).sum().item() / int(split.metadata.n_out.sum())


# ------------------------------------------------------------------------------------ stopping and starting


def save_weights(net: NextFrame, out: Path) -> None:
    """model.safetensors; with config.json beside it, NextFrame.from_pretrained(out) reads them."""
    with files.atomic(out / "model.safetensors") as temporary:
        temporary.write_bytes(
            safetensors.torch.save({name: tensor.contiguous() for name, tensor in net.state_dict().items()})
        )


def load_init(net: NextFrame, out: Path, start: str) -> None:
    """The weights of another run of the same shape: a network that can already read and write has less to learn (section 5.2)."""
    run = out.parent / start if (out.parent / start).is_dir() else Path(start)
    restore(run)
    try:
        safetensors.torch.load_model(net, run / "model.safetensors", device=str(net.output_bias.device))
    except FileNotFoundError:
        raise EvlibError(
            f"start: expected a trained run in {run} (model.safetensors), found none; train it first, or start from nothing with `--set init_from=null`."
        ) from None
    except (RuntimeError, safetensors.SafetensorError) as error:
        raise EvlibError(
            f"start: the network of {run} has another shape than this one ({str(error).splitlines()[0][:120]})."
        ) from None


def checkpoint(out: Path, learner: Learner, state: State) -> None:
    memory = io.BytesIO()  # torch's own writer hides why a disk refused
    torch.save(
        {
            "state": state.__dict__,
            "net": learner.net.state_dict(),
            "optimizers": [o.state_dict() for o in learner.optimizers],
            "averaged": learner.ema.state() if learner.ema is not None else None,
            "device": learner.net.output_bias.device.type,
        },
        memory,
    )
    with files.atomic(out / "resume.pt") as temporary:
        temporary.write_bytes(memory.getbuffer())
    with files.atomic(out / "log.csv") as temporary:
        pd.DataFrame(state.log, columns=["step", "seconds", "loss", "frames_per_second", "validation_ssim"]).to_csv(
            temporary, index=False
        )


def resume(path: Path, learner: Learner, state: State) -> str | None:
    """Continues from a checkpoint, if there is one. Returns the type of device that wrote it."""
    if not path.exists():
        return None
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)  # tensors and plain values, never code
    except Exception as error:  # of many kinds, with and without a word
        raise EvlibError(
            f"{path}: the checkpoint is damaged ({type(error).__name__}): remove the run's folder and train it again."
        ) from None
    learner.net.load_state_dict(saved["net"])
    for optimizer, values in zip(learner.optimizers, saved["optimizers"]):
        for group, mine in zip(values["param_groups"], optimizer.param_groups):
            if "fused" in mine:
                group["fused"] = mine["fused"]  # of this device, not of the one that wrote it
        optimizer.load_state_dict(values)
    if learner.ema is not None:
        learner.ema.load(saved["averaged"])
    state.__dict__.update(saved["state"])
    state.losses = [loss.to(learner.net.output_bias.device) for loss in state.losses]
    return saved.get("device", "cpu")


def _is_finished(out: Path, settings: dict) -> bool:
    if not (out / "config.json").exists():
        if out.exists() and any(out.glob("[!.]*")):  # a killed process may leave a hidden temporary folder
            raise EvlibError(f"{out} is not empty and not a run folder: name another with --out.")
        return False
    if not any((out / name).exists() for name in ("resume.pt", "model.safetensors")):
        return False  # the figures of a run without its weights
    there, here = (_flat(s) for s in (_complete((out / "config.json").read_text()), settings))
    if there != here:
        other = [
            f"{k} {there.get(k)!r:.60} there, {here.get(k)!r:.60} here"
            for k in {**here, **there}
            if there.get(k) != here.get(k)
        ]
        raise EvlibError(
            f"{out} holds a run with other settings ({'; '.join(other)}): name another folder with --out, or remove it."
        )
    return (out / "env.json").exists()


def _flat(settings: dict) -> dict:
    return {
        k: v
        for part in (settings, settings.get("model", {}), settings.get("train", {}))
        for k, v in part.items()
        if not isinstance(v, dict) and k not in RUNTIME_SETTINGS
    }


def _complete(config: str) -> dict:
    """A run's config.json; settings that it was written before have their defaults."""
    settings: dict = {}
    try:
        settings = json.loads(config)
        return {**settings, **json.loads(Config.from_json(config).to_json())}
    except (TypeError, KeyError, ValueError, EvlibError):  # a setting that no longer exists, or a broken file
        return settings


class Clock:
    """Seconds of training, continued over restarts."""

    def __init__(self, before: float):
        self.start = time.perf_counter() - before

    def now(self) -> float:
        return time.perf_counter() - self.start


def describe(config: Config, row: dict, progress: float) -> str:
    left = row["seconds"] / max(progress, 1e-6) * (1 - progress)
    ssim = f"  validation SSIM {row['validation_ssim']:.3f}" if row["validation_ssim"] is not None else ""
    return (
        f"{config.task}: step {row['step']:,}  loss {row['loss']:.3f}  {row['frames_per_second']:,} frames/s  "
        f"{int(left) // 60}:{int(left) % 60:02d} left{ssim}"
    )
