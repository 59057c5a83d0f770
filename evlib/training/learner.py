"""One training step, and what it updates: the network, its optimizers, and the moving average of its weights, if there
is one."""

import time
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from evlib.config import Config, TrainConfig
from evlib.data.batches import Batch
from evlib.model import NextFrame
from evlib.training.augment import fade_context
from evlib.training.device import autocast, compiled, compiles, precision_for
from evlib.training.distributed import Distributed
from evlib.training.loss import next_frame_loss, power_at
from evlib.training.optim import EMA, lr_scale, make_optimizers, set_lr


class Learner:
    def __init__(self, config: Config, net: NextFrame, dist: Distributed | None = None):
        self.config, self.net, self.device = config.train, net, net.output_bias.device
        self.dtype = precision_for(config, self.device)
        self.optimizers = make_optimizers(net, config.train)
        self.ema = EMA(net, config.train.ema_decay) if config.train.ema_decay else None
        several = dist is not None and dist.world_size > 1
        model = DistributedDataParallel(net, broadcast_buffers=False) if several else net
        self.compiled = compiles(config, self.device)
        self.model = compiled(model, config) if self.compiled else model

    @property
    def eval_model(self) -> NextFrame:
        """The network that is validated and saved: with the averaged weights, if there are any."""
        return self.net if self.ema is None else self.ema.net

    def step(self, batch: Batch, progress: float = 0.0) -> Tensor:
        """Trains on one batch. `progress`, the fraction (0..1) of the run that is over, determines the learning rate
        and the power of the loss. Returns the loss, a scalar that a GPU may still be computing."""
        if not self.net.training:
            self.net.train()
        set_lr(self.optimizers, lr_scale(progress, self.config))
        loss = answer_loss(self.model, batch, self.config, self.dtype, progress)
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
        """Compiles for these batches without training on them, so that compiling does not count as training time.
        Returns the seconds it took."""
        started = time.perf_counter()
        self.net.train()
        for batch in batches:
            answer_loss(self.model, batch, self.config, self.dtype).backward()
            self.net.zero_grad(set_to_none=True)
        return time.perf_counter() - started

    def state_dict(self) -> dict:
        return {
            "net": self.net.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "ema": self.ema.state_dict() if self.ema is not None else None,
            "device": self.device.type,
        }

    def load_state_dict(self, saved: dict) -> None:
        """Also loads a state that was saved on another type of device."""
        self.net.load_state_dict(saved["net"])
        for optimizer, state in zip(self.optimizers, saved["optimizers"]):
            for theirs, ours in zip(state["param_groups"], optimizer.param_groups):
                if "fused" in ours:
                    theirs["fused"] = ours["fused"]  # of this device, not of the one that saved it
            optimizer.load_state_dict(state)
        if self.ema is not None:
            self.ema.load_state_dict(saved["ema"])


def answer_loss(
    model: nn.Module, batch: Batch, config: TrainConfig, dtype: torch.dtype, progress: float = 0.0
) -> Tensor:
    """The loss of a batch when `progress` (0..1) of the run is over: a float32 scalar, whatever dtype the network
    computes in."""
    n_frames = batch.video.shape[1] - 1 if config.loss == "all" else batch.n_out
    paired = batch.n_out == batch.n_in - 1 > 1  # an answer frame for every input frame, and another before it
    context = fade_context(batch.video, batch.n_in) if config.fade_context and paired else batch.video
    with autocast(dtype, batch.video.device):
        predicted = model(context[:, :-1], last=n_frames)
    target = batch.video[:, -n_frames:]
    return next_frame_loss(predicted.float(), target, config.window, config.l1, power_at(progress, config))
