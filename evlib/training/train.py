"""The training loop, the same for all tasks, because every task is a video (section 3.3).

    train(config, store, out)     # starts, or continues where it was stopped

`out` is a run folder (see evlib.training.checkpoint). On a CPU, a stopped run continues bit for bit if its length is
set in steps, not minutes; on another type of device it has the same weights, order of examples and schedule, but other
rounding and dropout. Under torchrun, each process takes its slice of every batch.

Nothing in the loop waits for a GPU: the data is on it, the order of batches is known an epoch ahead, and losses are
only read when they are reported. On a CPU, the frames are memory-mapped and read on demand; no file is opened.
"""

import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from evlib.config import Config
from evlib.data.batches import Batches, Curriculum, Schedule, questions_first, short_first
from evlib.data.store import Split, VideoStore
from evlib.data.union import Mixture
from evlib.model import NextFrame
from evlib.training.augment import augment
from evlib.training.checkpoint import EXPORTED, State, is_finished, load_init, resume, save_checkpoint, save_weights
from evlib.training.device import environment, uncompiled
from evlib.training.distributed import Distributed
from evlib.training.learner import Learner
from evlib.training.loss import concave, ms_ssim
from evlib.utils import files
from evlib.utils.errors import EvlibError
from evlib.utils.progress import bar as progress_bar
from evlib.utils.progress import is_terminal, log_line

REPORT, CHECKPOINT = 5.0, 60.0  # seconds between progress lines, between checkpoints
RUNTIME_SETTINGS = ("precision", "compile")  # how a step is computed, not what: they may change when a run continues
AUGMENT, DROPOUT = 0, 1  # purposes of random numbers, see stream_seed
AnyBatches = Batches | Curriculum | Mixture
OnValidation = Callable[[int, NextFrame, Split], None]  # the step, the network, the validation sequences


def train(
    config: Config,
    store: VideoStore,
    out: str | Path,
    device: str | None = None,
    log: Callable[[str], None] = log_line,
    on_validation: OnValidation | None = None,
) -> Path:
    """Trains for config.steps or, if that is None, config.minutes. Returns the run folder. `on_validation` is
    called after every validation with the step, the network in evaluation mode, and the validation sequences.

    Does nothing if `out` holds a finished run with the same settings. Raises EvlibError if it holds a run with other
    settings, other data or another renderer."""
    config.require_end()
    out, dist = Path(out), Distributed.start(device)
    _check_shares(config, dist)
    settings = {**json.loads(config.to_json()), "store": store.summary()}
    # With steps, the minutes are only an estimate.
    finished = is_finished(out, settings, RUNTIME_SETTINGS + (("minutes",) if config.steps else ()))
    dist.barrier()  # all processes look before the main one writes
    if finished:
        if dist.is_main:
            log(f"{config.label}: already trained -> {out}")
        return out
    device, train_split = dist.device, store.split("train")
    batches = _batches(config, train_split, dist, log)
    if dist.is_main:
        files.write_text(out / "config.json", json.dumps(settings, indent=2))
        for name in ("env.json", EXPORTED):  # of a finished run
            (out / name).unlink(missing_ok=True)
        if config.steps and config.minutes:
            log(f"{config.label}: {config.steps:,} steps, about {config.minutes:g} minutes")

    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    torch.manual_seed(config.seed)
    validation = store.split("validation", device)
    net = NextFrame(config.model).to(device)
    loaded = load_init(net, out, config.init_from) if config.init_from is not None else set()
    copies = config.model.copy and "copy.lag.bias" not in loaded
    if copies or (config.train.mean_bias and not loaded):  # copying, or the layer that generates pixels, starts anew
        parts = train_split.by_task().values()
        mean = torch.stack([part.mean_output() for part in parts]).mean(dim=0)
        lags = {part.best_lag(mean) for part in parts} if copies else {None}
        if copies:
            opened = 1.0 if None not in lags else 0.5 if len(lags) > 1 else 0.0  # half, if only some tasks copy
            net.init_copy(lags - {None}, opened)
        if config.train.mean_bias and not loaded and None in lags:
            net.init_output_bias(mean.to(device))
    learner, state = Learner(config, net, dist), State()
    stopped_on = resume(out, learner, state)
    dist.barrier()
    if dist.is_main and stopped_on is None:
        save_weights(learner.eval_model, out)
        save_checkpoint(out, learner, state)
    if dist.is_main and stopped_on not in (None, device.type):
        log(f"{config.label}: resumed on {device.type}, was stopped on {stopped_on}: rounding and dropout differ")

    compile_seconds = learner.prepare(batches.one_of_each_shape()) if learner.compiled else 0.0
    loop(config, learner, state, batches, validation, out, dist, log, on_validation)
    if dist.is_main:
        info = {
            **environment(device),
            "processes": dist.world_size,
            "precision": str(learner.dtype).removeprefix("torch."),
            "compiled": learner.compiled,
            "steps": state.step,
            "seconds": round(state.reported, 1),
            "parameters": sum(p.numel() for p in net.parameters()),
            "best_validation_ssim": state.best_ssim,
            "best_validation_score": state.best_score,
        }
        if learner.compiled:
            info["compile_seconds"] = round(compile_seconds, 1)
        if device.type == "cuda":
            info["peak_gpu_gb"] = round(torch.cuda.max_memory_allocated(device) / 1e9, 2)
        files.write_text(out / "env.json", json.dumps(info, indent=2))
    dist.barrier()
    return out


def loop(
    config: Config,
    learner: Learner,
    state: State,
    batches: AnyBatches,
    validation: Split,
    out: Path,
    dist: Distributed,
    log: Callable[[str], None],
    on_validation: OnValidation | None = None,
) -> None:
    """Trains until the steps or the minutes are used up; reports, validates and saves when it is due."""
    settings, generator = config.train, torch.Generator(dist.device)
    in_terminal = is_terminal() and log is log_line  # then a progress bar replaces the progress lines
    now = saved = state.seconds  # a checkpoint holds the time at which it was due
    stopwatch = Stopwatch(max(now, state.reported))
    bar_log, begun = log_line if in_terminal else lambda line: None, min(progress_of(config, state.step, now), 1.0)
    with progress_bar(f"{config.label}: training", 1, log=bar_log, initial=begun) as bar:
        while (progress := progress_of(config, state.step, now)) < 1:
            batch = batches[state.step]
            # Seeded by the step, and so the same after a restart. Augmentation generates random numbers for the whole
            # batch, of which each process uses its slice; dropout differs between processes.
            generator.manual_seed(stream_seed(config.seed, state.step, AUGMENT))
            torch.manual_seed(stream_seed(config.seed, state.step, DROPOUT, dist.rank))
            local = dist.local_slice(settings.batch)
            video = augment(batch.video, batch.n_in, settings.augment, generator, settings.batch, local)
            state.losses.append(learner.step(batch._replace(video=video), progress))
            state.step += 1
            state.frames += settings.batch * video.shape[1]

            # A single reading of the main process's clock decides what is due and whether this step was the last, so
            # that all processes do the same and a run cannot end without being validated and saved.
            now = dist.broadcast(stopwatch.seconds())
            progress = progress_of(config, state.step, now)
            bar.update(min(progress, 1.0) - bar.n)
            n_due = int(progress * settings.validations)
            validates = n_due > state.validated or progress >= 1
            score, ssim, by_task = None, None, {}
            if validates:
                state.validated = max(n_due, state.validated)
                with uncompiled(learner.compiled):
                    score, ssim, by_task = validate(
                        learner.eval_model, validation, settings.validation_size, settings.loss_power
                    )
                    if on_validation is not None and dist.is_main:
                        on_validation(state.step, learner.eval_model, validation)
                if score > state.best_score:
                    state.best_score, state.best_ssim = score, ssim
                    if dist.is_main:
                        save_weights(learner.eval_model, out)
            if validates or now - state.reported > REPORT:
                row = {
                    "step": state.step,
                    "seconds": round(now, 2),
                    "loss": dist.mean(torch.stack(state.losses).mean().item()),  # waits for the device
                    "frames_per_second": round(state.frames / max(now - state.reported, 1e-6)),
                    "validation_ssim": ssim,
                    "validation_score": score,
                    **{f"validation_ssim_{name}": value for name, value in by_task.items()},
                }
                state.log.append(row)
                bar.set_postfix_str(f"loss {row['loss']:.3f}, SSIM {max(state.best_ssim, 0):.3f}", refresh=False)
                if dist.is_main and (validates or not in_terminal):
                    log(describe(config, row, progress))
                # The clock is read again, so that validation does not count as slow training. This reading only decides
                # when the next report is due.
                state.reported, state.losses, state.frames = dist.broadcast(stopwatch.seconds()), [], 0
            if validates or now - saved > CHECKPOINT:  # the best weights and the checkpoint must match
                state.seconds = saved = now
                if dist.is_main:
                    save_checkpoint(out, learner, state)


def progress_of(config: Config, step: int, seconds: float) -> float:
    """0 at the start, 1 when the steps (or, if none are set, the minutes) are used up. With steps, a run is the
    same every time."""
    return step / config.steps if config.steps is not None else seconds / (60 * config.minutes)


def stream_seed(seed: int, step: int, purpose: int, rank: int = 0) -> int:
    """The seed of a random number stream: a different one for every step, purpose and process."""
    return int(np.random.SeedSequence([seed, step, purpose, rank]).generate_state(1, np.uint64)[0])


@torch.inference_mode()
def validate(net: NextFrame, split: Split, size: int, loss_power: float = 1.0) -> tuple[float, float, dict[str, float]]:
    """Score and mean MS-SSIM, 0..1, of the predicted answer frames of `size` sequences, given the true frames before
    them (teacher forcing); of several tasks, each counts equally, and the third value is the MS-SSIM of each.

    The score is 1 - the mean concave distance, as in the loss; at power 1 it equals the mean MS-SSIM. The weights with
    the best score are saved."""
    net.eval()
    parts, scores, ssim = split.sample(size).by_task(), [], {}
    for name, part in parts.items():
        distances = []
        for rows in part.batches(64):
            n_out = int(part.metadata.n_out.values[rows[0]])
            video = part.gather(rows)
            predicted, target = net(video[:, :-1], last=n_out), video[:, -n_out:].float() / 255
            distances.append(1 - ms_ssim(predicted.flatten(0, 1), target.flatten(0, 1)))
        distance = torch.cat(distances)
        scores.append(1 - concave(distance, loss_power).mean().item())
        ssim[name] = 1 - distance.mean().item()
    return sum(scores) / len(scores), sum(ssim.values()) / len(ssim), ssim if len(ssim) > 1 else {}


class Stopwatch:
    """Seconds of training, continued over restarts."""

    def __init__(self, before: float):
        self.start = time.perf_counter() - before

    def seconds(self) -> float:
        return time.perf_counter() - self.start


def describe(config: Config, row: dict, progress: float) -> str:
    """A row of the log as one line of text."""
    left = row["seconds"] / max(progress, 1e-6) * (1 - progress)
    ssim = f"  validation SSIM {row['validation_ssim']:.3f}" if row["validation_ssim"] is not None else ""
    return (
        f"{config.label}: step {row['step']:,}  loss {row['loss']:.3f}  {row['frames_per_second']:,} frames/s  "
        f"{tqdm.format_interval(max(left, 0))} left{ssim}"
    )


def _check_shares(config: Config, dist: Distributed) -> None:
    batch, shards, n = config.train.batch, config.train.shards, dist.world_size
    if batch % n:
        raise EvlibError(f"A batch of {batch} sequences cannot be shared evenly by {n} processes.")
    if shards > 1 and shards % n:
        raise EvlibError(f"{shards} shards cannot be shared evenly by {n} processes: set shards to a multiple of {n}.")


def _batches(config: Config, split: Split, dist: Distributed, log: Callable[[str], None]) -> AnyBatches:
    settings = config.train
    batch, shards, n = settings.batch, settings.shards, dist.world_size

    def plain(part: Split) -> Batches:
        return Batches(part, Schedule(part, batch, config.seed, shards), dist.local_slice(batch), dist.device)

    def make(part: Split, share: float = 1.0) -> Batches | Curriculum:
        """`share`: of the run's steps, those on this task."""
        stages = short_first(part) if settings.short_first else []
        stages = questions_first(part, settings.questions_first) + stages if settings.questions_first else stages
        return Curriculum(part, share * config.steps, stages, plain) if stages else plain(part)

    if settings.questions_first and not questions_first(split, settings.questions_first):
        examples = "; ".join(split.metadata.question[:3])
        raise EvlibError(f"questions_first: no question begins with {settings.questions_first!r}; found: {examples}")
    joint = "task" in split.metadata
    batches = Mixture(split, settings.task_weights, config.seed, make) if joint else make(split)
    if not batches.resident and dist.is_main:
        hint = f"; `--set shards={n}` divides them among the GPUs" if n > shards else ""
        log(f"{config.label}: the frames do not fit on the GPU and stay in main memory{hint}")
    return batches
